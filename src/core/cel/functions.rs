//! The functions that expressions may call, how they are called and what they return.

use cel::common::ast::{CallExpr, Expr};

use super::kinds::Kinds;

/// One function, by the way it is called.
pub(super) struct Function {
    /// The name, with the namespace in front for one that has it.
    pub(super) name: &'static str,
    /// Whether it is called on a value, as in `name.startsWith('a')`.
    pub(super) member: bool,
    /// How many arguments it takes, least and most, without the value it is called on.
    pub(super) args: (usize, usize),
    /// What it returns.
    pub(super) result: Kinds,
}

const fn member(name: &'static str, least: usize, most: usize, result: Kinds) -> Function {
    Function { name, member: true, args: (least, most), result }
}

const fn global(name: &'static str, least: usize, most: usize, result: Kinds) -> Function {
    Function { name, member: false, args: (least, most), result }
}

/// Everything but operators and macros. A test calls each of them.
pub(super) const FUNCTIONS: &[Function] = &[
    global("bool", 1, 1, Kinds::BOOL),
    global("bytes", 1, 1, Kinds::BYTES),
    global("double", 1, 1, Kinds::NUMBER),
    global("duration", 1, 1, Kinds::DURATION),
    global("dyn", 1, 1, Kinds::ANY),
    global("int", 1, 1, Kinds::NUMBER),
    global("matches", 2, 2, Kinds::BOOL),
    global("size", 1, 1, Kinds::NUMBER),
    global("string", 1, 1, Kinds::STRING),
    global("timestamp", 1, 1, Kinds::TIMESTAMP),
    global("type", 1, 1, Kinds::TYPE),
    global("uint", 1, 1, Kinds::NUMBER),
    global("base64.decode", 1, 1, Kinds::BYTES),
    global("base64.encode", 1, 1, Kinds::STRING),
    global("lists.range", 1, 1, Kinds::LIST),
    global("math.abs", 1, 1, Kinds::NUMBER),
    global("math.bitAnd", 2, 2, Kinds::NUMBER),
    global("math.bitNot", 1, 1, Kinds::NUMBER),
    global("math.bitOr", 2, 2, Kinds::NUMBER),
    global("math.bitShiftLeft", 2, 2, Kinds::NUMBER),
    global("math.bitShiftRight", 2, 2, Kinds::NUMBER),
    global("math.bitXor", 2, 2, Kinds::NUMBER),
    global("math.ceil", 1, 1, Kinds::NUMBER),
    global("math.floor", 1, 1, Kinds::NUMBER),
    global("math.isFinite", 1, 1, Kinds::BOOL),
    global("math.isInf", 1, 1, Kinds::BOOL),
    global("math.isNaN", 1, 1, Kinds::BOOL),
    global("math.round", 1, 1, Kinds::NUMBER),
    global("math.sign", 1, 1, Kinds::NUMBER),
    global("math.sqrt", 1, 1, Kinds::NUMBER),
    global("math.trunc", 1, 1, Kinds::NUMBER),
    global("optional.none", 0, 0, Kinds::OPTIONAL),
    global("optional.of", 1, 1, Kinds::OPTIONAL),
    global("optional.ofNonZeroValue", 1, 1, Kinds::OPTIONAL),
    global("strings.quote", 1, 1, Kinds::STRING),
    // what the macros math.greatest(…), math.least(…) and sortBy(…) become
    global("math.@max", 1, 2, Kinds::NUMBER),
    global("math.@min", 1, 2, Kinds::NUMBER),
    member("@sortByAssociatedKeys", 1, 1, Kinds::LIST),
    member("charAt", 1, 1, Kinds::STRING),
    member("contains", 1, 1, Kinds::BOOL),
    member("distinct", 0, 0, Kinds::LIST),
    member("endsWith", 1, 1, Kinds::BOOL),
    member("flatten", 0, 1, Kinds::LIST),
    member("format", 1, 1, Kinds::STRING),
    member("getDate", 0, 1, Kinds::NUMBER),
    member("getDayOfMonth", 0, 1, Kinds::NUMBER),
    member("getDayOfWeek", 0, 1, Kinds::NUMBER),
    member("getDayOfYear", 0, 1, Kinds::NUMBER),
    member("getFullYear", 0, 1, Kinds::NUMBER),
    member("getHours", 0, 1, Kinds::NUMBER),
    member("getMilliseconds", 0, 1, Kinds::NUMBER),
    member("getMinutes", 0, 1, Kinds::NUMBER),
    member("getMonth", 0, 1, Kinds::NUMBER),
    member("getSeconds", 0, 1, Kinds::NUMBER),
    member("hasValue", 0, 0, Kinds::BOOL),
    member("indexOf", 1, 2, Kinds::NUMBER),
    member("join", 0, 1, Kinds::STRING),
    member("lastIndexOf", 1, 2, Kinds::NUMBER),
    member("lowerAscii", 0, 0, Kinds::STRING),
    member("matches", 1, 1, Kinds::BOOL),
    member("or", 1, 1, Kinds::OPTIONAL),
    member("orValue", 1, 1, Kinds::ANY),
    member("replace", 2, 3, Kinds::STRING),
    member("reverse", 0, 0, Kinds::LIST.or(Kinds::STRING)),
    member("size", 0, 0, Kinds::NUMBER),
    member("slice", 2, 2, Kinds::LIST),
    member("sort", 0, 0, Kinds::LIST),
    member("split", 1, 2, Kinds::LIST),
    member("startsWith", 1, 1, Kinds::BOOL),
    member("substring", 1, 2, Kinds::STRING),
    member("trim", 0, 0, Kinds::STRING),
    member("upperAscii", 0, 0, Kinds::STRING),
    member("value", 0, 0, Kinds::ANY),
];

/// Macros, and how to write them. Only a call that the parser did not expand is still called so.
pub(super) const MACROS: &[(&str, &str)] = &[
    ("has", "has(object.spec.field)"),
    ("all", "list.all(x, condition)"),
    ("exists", "list.exists(x, condition)"),
    ("exists_one", "list.exists_one(x, condition)"),
    ("existsOne", "list.existsOne(x, condition)"),
    ("map", "list.map(x, value) or list.map(x, condition, value)"),
    ("filter", "list.filter(x, condition)"),
    ("sortBy", "list.sortBy(x, key)"),
    ("optMap", "optional.optMap(x, value)"),
    ("optFlatMap", "optional.optFlatMap(x, optional)"),
    ("greatest", "math.greatest(a, b)"),
    ("least", "math.least(a, b)"),
];

/// What Kubernetes has beside, and this program does not have yet.
const NOT_YET: &[&str] = &[
    "add",
    "asApproximateFloat",
    "asInteger",
    "cel.bind",
    "cidr",
    "compareTo",
    "containsCIDR",
    "containsIP",
    "family",
    "find",
    "findAll",
    "format.named",
    "getEscapedPath",
    "getHost",
    "getHostname",
    "getPort",
    "getQuery",
    "getScheme",
    "ip",
    "ip.isCanonical",
    "isCIDR",
    "isGreaterThan",
    "isIP",
    "isInteger",
    "isLessThan",
    "isQuantity",
    "isSemver",
    "isSorted",
    "isURL",
    "masked",
    "max",
    "min",
    "prefixLength",
    "quantity",
    "semver",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "sub",
    "sum",
    "transformList",
    "transformMap",
    "transformMapEntry",
    "url",
    "validate",
];

const TYPE_NAMES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

/// Whether `name` is a CEL type, as in `type(x) == string`.
pub(super) fn is_type_name(name: &str) -> bool {
    TYPE_NAMES.contains(&name)
}

/// Whether Kubernetes knows a function of this name that is missing here.
pub(super) fn is_not_yet(name: &str) -> bool {
    NOT_YET.contains(&name)
}

const NAMESPACES: &[&str] = &["base64", "cel", "format", "lists", "math", "optional", "sets", "strings"];

/// Whether functions have names that begin with this.
pub(super) fn is_namespace(name: &str) -> bool {
    NAMESPACES.contains(&name)
}

/// The name a call names with its namespace: `lists.range` for `lists.range(3)`.
///
/// `None` for a call on a value.
pub(super) fn qualified(call: &CallExpr) -> Option<String> {
    match call.target.as_deref().map(|target| &target.expr) {
        Some(Expr::Ident(namespace)) if is_namespace(namespace) => {
            Some(format!("{namespace}.{}", call.func_name))
        }
        _ => None,
    }
}

/// Whether the call is one of a function with a namespace, so that its target is not a value.
pub(super) fn is_qualified(call: &CallExpr) -> bool {
    qualified(call).is_some_and(|name| find(&name, false).is_some())
}

/// The function that a call calls.
pub(super) fn called(call: &CallExpr) -> Option<&'static Function> {
    qualified(call)
        .and_then(|name| find(&name, false))
        .or_else(|| find(&call.func_name, call.target.is_some()))
}

/// The function of this name that is called this way.
pub(super) fn find(name: &str, member: bool) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.member == member && function.name == name)
}
