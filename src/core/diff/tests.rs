use super::*;
use crate::core::project::testing::node;
use crate::core::schema::Schema;
use proptest::prelude::*;

/// No schema.
const UNKNOWN: Option<&Schema> = None;

fn scope(include: &[&str], exclude: &[&str]) -> FieldScope {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a pattern")).collect();
    FieldScope::new(parse(include), parse(exclude))
}

fn told(old: &str, new: &str, scope: &FieldScope, mode: Mode) -> Vec<String> {
    let (old, new) = (node(old), node(new));
    let text = |value: Option<&Node>| {
        value.map_or("-".to_owned(), |value| serde_json::to_string(value).expect("JSON"))
    };
    diff(&old, &new, scope, mode, &UNKNOWN)
        .iter()
        .map(|change| format!("{} {} {}", change.path, text(change.from), text(change.to)))
        .collect()
}

fn all(old: &str, new: &str) -> Vec<String> {
    told(old, new, &scope(&[], &[]), Mode::Exact)
}

#[test]
fn each_changed_field_is_named_with_both_values() {
    assert_eq!(
        all(
            r#"{"status":{"ready":true},"spec":{"limit":100,"auth":{"required":true},"same":1,"labels":{"a.b/c":"x"}}}"#,
            r#"{"status":{"ready":false},"spec":{"limit":1000,"tier":{"a":1},"same":1,"labels":{"a.b/c":"y"}}}"#,
        ),
        [
            "spec.limit 100 1000",
            r#"spec.auth {"required":true} -"#,
            r#"spec.labels["a.b/c"] "x" "y""#,
            r#"spec.tier - {"a":1}"#,
            "status.ready true false",
        ]
    );
}

#[test]
fn elements_of_lists_are_matched_by_their_keys() {
    assert_eq!(
        all(
            r#"{"c":[{"name":"app","image":"a:1"},{"name":"side","image":"s:1"}]}"#,
            r#"{"c":[{"name":"new","image":"n:1"},{"name":"app","image":"a:2"}]}"#,
        ),
        [
            r#"c[name=app].image "a:1" "a:2""#,
            r#"c[name=side] {"name":"side","image":"s:1"} -"#,
            r#"c[name=new] - {"name":"new","image":"n:1"}"#,
        ]
    );
    assert_eq!(
        all(
            r#"{"p":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP","x":1}]}"#,
            r#"{"p":[{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP","x":2}]}"#,
        ),
        ["p[containerPort=80,protocol=UDP].x 1 2"]
    );
}

#[test]
fn the_keys_of_the_schema_come_before_guessed_ones() {
    struct ByRole;
    impl ListKeys for ByRole {
        fn keys(&self, path: &[Step]) -> Option<Vec<Arc<str>>> {
            (FieldPath(path.to_vec()).to_string() == "spec.users").then(|| vec!["role".into()])
        }
    }
    let (old, new) = (
        node(r#"{"spec":{"users":[{"name":"a","role":"admin"}]}}"#),
        node(r#"{"spec":{"users":[{"name":"b","role":"admin"}]}}"#),
    );
    let changes = diff(&old, &new, &scope(&[], &[]), Mode::Exact, &ByRole);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path.to_string(), "spec.users[role=admin].name");
}

#[test]
fn lists_without_keys_are_compared_by_position_while_their_length_stays() {
    assert_eq!(all(r#"{"a":["x","y"]}"#, r#"{"a":["x","z"]}"#), [r#"a[1] "y" "z""#]);
    assert_eq!(all(r#"{"a":["x","y"]}"#, r#"{"a":["y"]}"#), [r#"a ["x","y"] ["y"]"#]);
    // The same name twice is no key.
    assert_eq!(
        all(
            r#"{"a":[{"name":"n","x":1},{"name":"n","x":2}]}"#,
            r#"{"a":[{"name":"n","x":1},{"name":"n","x":3}]}"#
        ),
        ["a[1].x 2 3"]
    );
}

#[test]
fn another_order_of_a_list_with_keys_is_a_change_of_the_list() {
    let (ab, ba) = (r#"{"a":[{"name":"a"},{"name":"b"}]}"#, r#"{"a":[{"name":"b"},{"name":"a"}]}"#);
    assert_eq!(all(ab, ba), [r#"a [{"name":"a"},{"name":"b"}] [{"name":"b"},{"name":"a"}]"#]);
}

#[test]
fn only_what_is_in_scope_is_compared() {
    let old = r#"{"metadata":{"x":1},"spec":{"replicas":1,"tiers":[{"name":"a","limit":1,"note":"n"}]}}"#;
    let new = r#"{"metadata":{"x":2},"spec":{"replicas":2,"tiers":[{"name":"a","limit":2,"note":"m"}]}}"#;
    let within = |include: &[&str], exclude: &[&str]| told(old, new, &scope(include, exclude), Mode::Exact);
    assert_eq!(within(&["spec"], &["spec.replicas", "spec.tiers[*].note"]), ["spec.tiers[name=a].limit 1 2"]);
    assert_eq!(within(&["spec.tiers[limit=2].note"], &[]), [r#"spec.tiers[name=a].note "n" "m""#]);
    assert_eq!(within(&["spec.tiers[0].limit"], &[]), ["spec.tiers[name=a].limit 1 2"]);
    assert_eq!(within(&["spec.other"], &[]), [""; 0]);
    // Of what went as a whole, only the part that is compared.
    let gone = |include: &[&str], exclude: &[&str]| told(old, "{}", &scope(include, exclude), Mode::Exact);
    assert_eq!(gone(&["spec.replicas"], &[]), ["spec.replicas 1 -"]);
    assert_eq!(gone(&["spec"], &["spec.tiers"]), ["spec.replicas 1 -"]);
    assert_eq!(gone(&["spec.tiers[*].limit"], &[]), ["spec.tiers[name=a].limit 1 -"]);
}

#[test]
fn a_declaration_leaves_free_what_it_does_not_mention() {
    let declared = |declaration, object| told(declaration, object, &scope(&[], &[]), Mode::Declared);
    let object = r#"{"spec":{"a":1,"b":2,"list":[{"name":"x","v":1},{"name":"y"}]}}"#;
    assert_eq!(declared(r#"{"spec":{"a":1,"list":[{"name":"x","v":1}]}}"#, object), [""; 0]);
    assert_eq!(declared(r#"{"spec":{"a":3,"c":4}}"#, object), ["spec.a 3 1", "spec.c 4 -"]);
    assert_eq!(declared(r#"{"spec":{"b":null,"z":null}}"#, object), ["spec.b null 2"]);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        (0..3i64).prop_map(Into::into),
        "[a-b]".prop_map(Into::into)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            prop::collection::btree_map("[a-c]|name", inner, 0..4)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// Equal but for the order of maps, and of lists with keys.
fn same(a: &Node, b: &Node) -> bool {
    diff(a, b, &scope(&[], &[]), Mode::Exact, &UNKNOWN).is_empty()
}

proptest! {
    /// The changes are the whole difference: put into the old state, they make the new one.
    #[test]
    fn old_and_changes_make_new(old in json(), new in json()) {
        let (old, new) = (serde_json::json!({"spec": old}), serde_json::json!({"spec": new}));
        let (old, new) = (node(&old.to_string()), node(&new.to_string()));
        let mut made = old.clone();
        for change in diff(&old, &new, &scope(&[], &[]), Mode::Exact, &UNKNOWN) {
            change.path.set(&mut made, change.to.cloned());
        }
        // Elements that came are appended: only their order may be another.
        let order = |changes: Vec<Change<'_>>| changes.iter().all(|c| matches!((c.from, c.to), (Some(Node::List(a)), Some(Node::List(b))) if a.len() == b.len()));
        prop_assert!(same(&made, &new) || order(diff(&made, &new, &scope(&[], &[]), Mode::Exact, &UNKNOWN)), "{made:?}");
    }

    #[test]
    fn a_state_differs_from_itself_in_nothing(value in json()) {
        let value = node(&serde_json::json!({"spec": value}).to_string());
        prop_assert!(same(&value, &value));
    }
}
