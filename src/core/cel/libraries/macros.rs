//! The macros: what is written like a call and takes names and conditions instead of values. The checker turns each into
//! code of its own (`check/macros.rs`); here is what people need to know of them.

/// A macro.
pub(in super::super) struct Macro {
    /// The name, with the namespace in front for one that has it.
    pub(in super::super) name: &'static str,
    /// How to write it.
    pub(in super::super) usage: &'static str,
    /// What it does.
    pub(in super::super) doc: &'static str,
    /// An expression that is true. A test evaluates it.
    pub(in super::super) example: &'static str,
    /// Whether a kube-apiserver has it in a ValidatingAdmissionPolicy.
    pub(in super::super) in_admission: bool,
}

const fn of(name: &'static str, usage: &'static str, doc: &'static str, example: &'static str) -> Macro {
    Macro { name, usage, doc, example, in_admission: true }
}

const fn extension(
    name: &'static str,
    usage: &'static str,
    doc: &'static str,
    example: &'static str,
) -> Macro {
    Macro { name, usage, doc, example, in_admission: false }
}

/// All of them.
pub(in super::super) const MACROS: &[Macro] = &[
    of("has", "has(object.spec.field)", "Whether a map has a field.", "has({'a': 1}.a) && !has({'a': 1}.b)"),
    of(
        "all",
        "list.all(x, condition) or map.all(key, value, condition)",
        "Whether a condition holds for all elements, or keys of a map. One false decides, whatever fails.",
        "[1, 2].all(x, x > 0) && {'a': 1}.all(k, v, k == 'a' && v == 1)",
    ),
    of(
        "exists",
        "list.exists(x, condition) or map.exists(key, value, condition)",
        "Whether a condition holds for any element, or key of a map. One true decides, whatever fails.",
        "[0, 1].exists(x, 1 / x == 1) && [5, 6].exists(i, v, i == 1 && v == 6)",
    ),
    of(
        "exists_one",
        "list.exists_one(x, condition) or map.exists_one(key, value, condition)",
        "Whether a condition holds for exactly one element, or key of a map.",
        "[1, 2, 2].exists_one(x, x == 1)",
    ),
    of(
        "existsOne",
        "list.existsOne(x, condition) or map.existsOne(key, value, condition)",
        "The same as exists_one; a kube-apiserver has this spelling only with two names.",
        "{'a': 1, 'b': 2}.existsOne(k, v, v == 2)",
    ),
    of(
        "map",
        "list.map(x, value) or list.map(x, condition, value)",
        "A list of values, one for each element, or for each one for which a condition holds.",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
    ),
    of(
        "filter",
        "list.filter(x, condition)",
        "The elements, or keys of a map, for which a condition holds.",
        "[1, 2, 3].filter(x, x > 1) == [2, 3]",
    ),
    of(
        "transformList",
        "map.transformList(key, value, result) or map.transformList(key, value, condition, result)",
        "A list of results, one for each element of a list or entry of a map.",
        "['a', 'b'].transformList(i, v, string(i) + v) == ['0a', '1b']",
    ),
    of(
        "transformMap",
        "map.transformMap(key, value, result) or map.transformMap(key, value, condition, result)",
        "A map with the same keys and other values.",
        "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 10) == {'b': 20}",
    ),
    of(
        "transformMapEntry",
        "map.transformMapEntry(key, value, {newKey: newValue})",
        "A map of other keys and values.",
        "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
    ),
    of(
        "sortBy",
        "list.sortBy(x, key)",
        "The elements in the order of their keys.",
        "[3, 1, 2].sortBy(x, -x) == [3, 2, 1]",
    ),
    of(
        "optMap",
        "optional.optMap(x, value)",
        "An optional of what becomes of the value, if there is one.",
        "optional.of(1).optMap(x, x + 1).value() == 2",
    ),
    of(
        "optFlatMap",
        "optional.optFlatMap(x, optional)",
        "The optional that is made of the value, if there is one.",
        "optional.of({'a': 1}).optFlatMap(m, m.?a).value() == 1",
    ),
    of(
        "or",
        "optional.or(optional)",
        "The first optional that has a value.",
        "optional.none().or(optional.of(1)).value() == 1",
    ),
    of("orValue", "optional.orValue(value)", "The value, or another one.", "{'a': 1}.?b.orValue(2) == 2"),
    extension(
        "cel.bind",
        "cel.bind(name, value, expression)",
        "A name for a value.",
        "cel.bind(x, 2 + 3, x * x) == 25",
    ),
    extension(
        "math.greatest",
        "math.greatest(a, b)",
        "The greatest of some numbers.",
        "math.greatest(1, 3, 2) == 3",
    ),
    extension("math.least", "math.least(a, b)", "The least of some numbers.", "math.least([3, 1, 2]) == 1"),
];
