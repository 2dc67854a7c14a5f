//! Names that exist in some expressions and not in others, and what to do where they do not. Which of them exist is
//! the scope's to say.

/// A name, and what to do instead of reading it.
type Remedies = &'static [(&'static str, &'static str)];

const NO_PARAMS: (&str, &str) = ("params", "the policy has no params; say in spec.params what they are");
const WHOLE: &str = "the expression of a rule with groupBy is about a group; read its objects by objects, such as \
                     objects.all(o, o.spec.x == 1)";
const VARIABLES: &str = "the expression of a rule with groupBy is about a group, and variables are about one object; \
                         write it out, such as objects.all(o, o.spec.x == 1)";
const LOOKUPS: &str = "the expression of a rule with groupBy is about a group, and lookups are about one object; read \
                       them in groupBy, in a match condition, or in a rule without groupBy";
const OF_GROUPS: &str = "it exists in the expression of a rule with groupBy only";
const BY_KEY: &str = "groupBy says to which group one object belongs; it reads object, not the group";

/// Where an expression is about one object.
pub(super) const OF_OBJECT: Remedies = &[NO_PARAMS, ("objects", OF_GROUPS), ("group", OF_GROUPS)];

/// Where it says to which group an object belongs.
pub(super) const OF_KEY: Remedies = &[
    NO_PARAMS,
    ("objects", BY_KEY),
    ("group", BY_KEY),
    ("oldObject", "to which group an object belongs is a matter of its state; read object"),
];

/// Where it is about a group.
pub(super) const OF_GROUP: Remedies = &[
    NO_PARAMS,
    ("object", WHOLE),
    ("oldObject", WHOLE),
    ("namespaceObject", WHOLE),
    ("request", WHOLE),
    ("variables", VARIABLES),
    ("lookups", LOOKUPS),
];

/// The same in a policy whose params are those of each object's namespace.
pub(super) const OF_GROUP_WITHOUT_PARAMS: Remedies = &[
    (
        "params",
        "these are the params of each object's namespace, and a group may have objects of several; say in \
                params.namespace where those are that hold for all groups",
    ),
    ("object", WHOLE),
    ("oldObject", WHOLE),
    ("namespaceObject", WHOLE),
    ("request", WHOLE),
    ("variables", VARIABLES),
    ("lookups", LOOKUPS),
];
