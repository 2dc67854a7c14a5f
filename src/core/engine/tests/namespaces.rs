//! What is selected by namespace, here and not by the API server.

use super::*;

const PUBLIC_ONLY: &str = "
resources:
- name: items
  apiVersion: example.io/v1
  kind: Item
  namespaceSelector: {matchLabels: {tier: public}}
  excludeNamespaces: [hidden]
rules:
- {name: low, expression: object.spec.level <= 3}
";

const OWNED: &str = "
rules:
- {name: owned, expression: has(namespaceObject.metadata.labels) && 'tier' in namespaceObject.metadata.labels}
";

fn world(spec: &str, namespaces: &[Arc<ProjectedObject>]) -> World {
    let mut world = World::default();
    world.assignment.namespaces = Some(NAMESPACES);
    assert_eq!(world.assign([(named("p", "uid-1", 1, spec), [ITEMS])]), NOTHING);
    if !namespaces.is_empty() {
        assert_eq!(world.list_of(NAMESPACES, namespaces), NOTHING);
        assert_eq!(world.work(), NOTHING);
    }
    world
}

fn bad(path: &str) -> Item {
    item(path).level(9)
}

#[test]
fn only_objects_in_matching_namespaces_are_judged() {
    let namespaces = [
        namespace("shop", Some("public")),
        namespace("hidden", Some("public")),
        namespace("bank", Some("private")),
    ];
    let mut world = world(PUBLIC_ONLY, &namespaces);
    assert_eq!(
        world.list(&[bad("shop/a"), bad("bank/b"), bad("hidden/c"), bad("unknown/d")]),
        ["opened low shop/a"]
    );
    assert_eq!(world.report().selections[0].objects, 1);
}

#[test]
fn relabelling_a_namespace_moves_its_objects_in_and_out() {
    let mut world = world(PUBLIC_ONLY, &[namespace("shop", Some("public")), namespace("bank", None)]);
    assert_eq!(world.list(&[bad("shop/a"), bad("shop/b"), bad("bank/c")]).len(), 2);
    assert_eq!(world.event(NAMESPACES, ObjectEvent::Seen(namespace("shop", Some("private")))), NOTHING);
    assert_eq!(world.work(), ["resolved low shop/a NotSelected", "resolved low shop/b NotSelected"]);
    assert_eq!(world.report().selections[0].objects, 0);
    assert_eq!(world.event(NAMESPACES, ObjectEvent::Seen(namespace("bank", Some("public")))), NOTHING);
    assert_eq!(world.work(), ["opened low bank/c"]);
}

#[test]
fn nothing_is_judged_before_the_namespaces_are_known() {
    let mut world = world(PUBLIC_ONLY, &[]);
    assert_eq!(world.list(&[bad("shop/a"), bad("bank/b")]), NOTHING);
    assert!(!world.settled());
    let namespaces = [namespace("shop", Some("public")), namespace("bank", None)];
    assert_eq!(world.list_of(NAMESPACES, &namespaces), NOTHING);
    assert!(!world.settled(), "known, but not judged");
    assert_eq!(world.work(), ["opened low shop/a"]);
    assert!(world.settled());
}

#[test]
fn a_namespace_that_is_gone_selects_nothing() {
    let mut world = world(PUBLIC_ONLY, &[namespace("shop", Some("public"))]);
    assert_eq!(world.list(&[bad("shop/a")]), ["opened low shop/a"]);
    // The two watches are not in step: the namespace may go before its objects.
    let key = namespace("shop", None).key();
    assert_eq!(world.event(NAMESPACES, ObjectEvent::Gone(key)), NOTHING);
    assert_eq!(world.work(), ["resolved low shop/a NotSelected"]);
    assert_eq!(world.gone(&bad("shop/a")), NOTHING);
}

#[test]
fn excluding_alone_needs_no_namespaces() {
    let spec = format!(
        "{}\n{LOW}",
        "resources:\n- {name: items, apiVersion: example.io/v1, kind: Item, excludeNamespaces: [hidden]}"
    );
    let (world, said) =
        World::listed(named("p", "uid-1", 1, &spec), &[bad("shop/a"), bad("hidden/b"), bad("hidden/c")]);
    assert_eq!(said, ["opened low shop/a"]);
    assert_eq!(world.report().selections[0].objects, 1);
    assert!(world.settled());
}

#[test]
fn rules_read_the_namespace_and_follow_its_changes() {
    let mut world = world(&format!("{SELECTION}\n{OWNED}"), &[namespace("shop", Some("public"))]);
    assert_eq!(world.list(&[item("shop/a")]), NOTHING);
    assert_eq!(world.event(NAMESPACES, ObjectEvent::Seen(namespace("shop", None))), NOTHING);
    assert_eq!(world.work(), ["opened owned shop/a"]);
    assert_eq!(world.event(NAMESPACES, ObjectEvent::Seen(namespace("shop", Some("x")))), NOTHING);
    assert_eq!(world.work(), ["resolved owned shop/a Compliant"]);
}

#[test]
fn cluster_scoped_objects_have_no_namespace_and_pass_a_namespace_selector() {
    let spec =
        PUBLIC_ONLY.replace("object.spec.level <= 3}", "namespaceObject != null && request.namespace != ''}");
    let mut world = world(&spec, &[namespace("shop", Some("public"))]);
    let node = object(
        r#"{"apiVersion":"example.io/v1","kind":"Item","metadata":{"name":"node-1","uid":"u"},"spec":{}}"#,
    );
    assert_eq!(world.list_of(ITEMS, &[node]), ["opened low /node-1"]);
    assert_eq!(world.open()[0].object.namespace, None);
}

#[test]
fn namespaces_themselves_are_selected_by_their_own_labels() {
    let spec = "
resources:
- name: namespaces
  apiVersion: v1
  kind: Namespace
  namespaceSelector: {matchLabels: {tier: public}}
  excludeNamespaces: [hidden]
rules:
- {name: never, expression: 'false'}
";
    let mut world = World::default();
    world.assignment.namespaces = Some(NAMESPACES);
    assert_eq!(world.assign([(named("p", "uid-1", 1, spec), [NAMESPACES])]), NOTHING);
    let namespaces =
        [namespace("bank", None), namespace("hidden", Some("public")), namespace("shop", Some("public"))];
    let mut said = world.list_of(NAMESPACES, &namespaces);
    said.extend(world.work());
    assert_eq!(said, ["opened never /shop"]);
    assert_eq!(world.report().selections[0].objects, 1);
    let mut said = world.event(NAMESPACES, ObjectEvent::Seen(namespace("shop", None)));
    said.extend(world.work());
    assert_eq!(said, ["resolved never /shop NotSelected"]);
}

#[test]
fn a_policy_waits_for_namespaces_that_keep_what_it_reads() {
    use crate::core::paths::Paths;
    use crate::core::project::Projection;

    let spec = format!(
        "{SELECTION}\nrules: [{{name: owned, expression: \"'owner' in namespaceObject.metadata.?annotations.orValue({{}})\"}}]"
    );
    // Until now nobody read annotations.
    let known = Projection::new(Paths::only([&["metadata", "name"][..]]), "v1", "Namespace");
    let shop = serde_json::json!({"metadata": {"name": "shop", "uid": "1", "annotations": {"owner": "a"}}});
    let decode = |projection: &Projection| Arc::new(projection.decode(&shop).expect("a namespace"));
    let mut world = World::default();
    world.assignment.namespaces = Some(NAMESPACES);
    let policy = named("p", "uid-1", 1, &spec);
    assert_eq!(world.assign([(policy.clone(), [ITEMS])]), NOTHING);
    let mut next = world.assignment.clone();
    next.namespaces_since.insert(policy.key.clone(), 1);
    assert_eq!(world.take(next), NOTHING);
    assert_eq!(world.list_of(NAMESPACES, &[decode(&known)]), NOTHING);
    assert_eq!(world.list(&[item("shop/a")]), NOTHING);
    assert_eq!((world.work(), world.settled()), (Vec::new(), false), "it has an owner that is not kept");
    let paths = Paths::only([&["metadata", "name"][..], &["metadata", "annotations"]]);
    known.widen(1, Arc::new(paths.into()));
    known.begin_list();
    assert_eq!(world.list_of(NAMESPACES, &[decode(&known)]), NOTHING);
    assert_eq!((world.work(), world.settled()), (Vec::new(), true));
}
