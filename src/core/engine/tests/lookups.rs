//! Rules about several objects: a change of one judges again what depends on it, and nothing else.

use serde_json::{Value as Json, json};

use super::NOTHING;
use super::cluster::Cluster;

const KINDS: [&str; 3] = ["Route", "Service", "EndpointSlice"];

/// A route needs a ready address behind the service that it names.
const CHAIN: &str = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
- name: slices
  apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  labels: {kubernetes.io/service-name: lookups.service.metadata.name}
  expression: lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  message: no ready endpoint
rules:
- name: serves
  severity: critical
  expression: lookups.service != null && lookups.slices.exists(s, s.endpoints.exists(e, e.ready))
  message: nothing serves it
";

fn route(name: &str, service: &str) -> Json {
    json!({"apiVersion": "example.io/v1", "kind": "Route", "metadata": {"namespace": "n", "name": name},
           "spec": {"service": service}})
}

fn service(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "n", "name": name}, "spec": {"note": 1}})
}

fn slice(name: &str, service: &str, ready: bool) -> Json {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
           "metadata": {"namespace": "n", "name": name, "labels": {"kubernetes.io/service-name": service}},
           "endpoints": [{"ready": ready, "ip": "10.0.0.1"}]})
}

fn chain() -> Cluster {
    let mut cluster = Cluster::synced(CHAIN, &KINDS);
    cluster.apply(&service("a"));
    cluster.apply(&slice("a-1", "a", true));
    assert_eq!(cluster.apply(&route("one", "a")), NOTHING);
    cluster
}

#[test]
fn a_chain_breaks_and_heals_at_each_of_its_links() {
    let mut cluster = chain();
    let broken = "opened serves Route n/one: nothing serves it";
    let healed = ["resolved serves Route n/one Compliant"];
    let slices = "[Service a → EndpointSlice a-1: no ready endpoint]";
    assert_eq!(cluster.apply(&slice("a-1", "a", false)), [format!("{broken} {slices}")]);
    assert_eq!(cluster.apply(&slice("a-1", "a", true)), healed);
    let none = "[Service a → EndpointSlice no ready endpoint]";
    assert_eq!(cluster.delete("EndpointSlice", "n/a-1"), [format!("{broken} {none}")]);
    assert_eq!(cluster.apply(&slice("a-2", "a", true)), healed);
    // Another label, and it is another's.
    assert_eq!(cluster.apply(&slice("a-2", "b", true)), [format!("{broken} {none}")]);
    assert_eq!(cluster.apply(&slice("a-2", "a", true)), healed);
    assert_eq!(cluster.delete("Service", "n/a"), [format!("{broken} [Service a does not exist]")]);
    assert_eq!(cluster.apply(&service("a")), healed);
    // Another key, and it depends on another.
    assert_eq!(cluster.apply(&route("one", "b")), [format!("{broken} [Service b does not exist]")]);
    assert_eq!(cluster.apply(&slice("a-2", "a", false)), NOTHING);
    assert_eq!(
        cluster.apply(&service("b")),
        [format!("changed serves Route n/one: nothing serves it {none}").replace(" a ", " b ")]
    );
    assert_eq!(cluster.apply(&slice("b-1", "b", true)), healed);
}

#[test]
fn a_change_judges_again_what_depends_on_it_and_nothing_else() {
    let mut cluster = chain();
    for n in 0..20 {
        cluster.apply(&service(&format!("s{n}")));
        cluster.apply(&slice(&format!("s{n}-1"), &format!("s{n}"), true));
        cluster.apply(&route(&format!("r{n}"), &format!("s{n}")));
    }
    let judged = |cluster: &mut Cluster, manifest: &Json| {
        let before = cluster.engine.judged();
        cluster.apply(manifest);
        cluster.engine.judged() - before
    };
    assert_eq!(judged(&mut cluster, &slice("s7-1", "s7", false)), 1);
    assert_eq!(judged(&mut cluster, &slice("x-1", "x", false)), 0, "nobody's");
    let mut other = slice("s7-1", "s7", false);
    other["endpoints"][0]["ip"] = "10.0.0.2".into();
    assert_eq!(judged(&mut cluster, &other), 0, "a field that no rule reads");
    assert_eq!(judged(&mut cluster, &slice("s7-1", "s8", false)), 2, "it was one's and is another's");
    let mut elsewhere = service("s7");
    elsewhere["metadata"]["namespace"] = "m".into();
    assert_eq!(judged(&mut cluster, &elsewhere), 0, "the same name in another namespace");
    for n in 0..20 {
        cluster.delete("Route", &format!("n/r{n}"));
    }
    assert_eq!(judged(&mut cluster, &slice("s7-1", "s7", true)), 0, "who depended on it is gone");
}

#[test]
fn a_label_may_have_one_of_several_values() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, labels: {kubernetes.io/service-name: object.spec.services}}
rules:
- name: serves
  expression: object.spec.services.all(n, lookups.slices.exists(s, s.metadata.labels['kubernetes.io/service-name'] == n))
  message: nothing serves it
";
    let mut cluster = Cluster::synced(spec, &["Route", "EndpointSlice"]);
    let mut subject = route("one", "");
    subject["spec"] = json!({"services": ["b", "a"]});
    let opened =
        |chain: &str| [format!("opened serves Route n/one: nothing serves it [EndpointSlice {chain}]")];
    let none = "with kubernetes.io/service-name in (a,b): there is none";
    assert_eq!(cluster.apply(&subject), opened(none));
    let changed = cluster.apply(&slice("a-1", "a", true));
    assert_eq!(changed, ["changed serves Route n/one: nothing serves it [EndpointSlice a-1]"]);
    assert_eq!(cluster.apply(&slice("b-1", "b", true)), ["resolved serves Route n/one Compliant"]);
    assert_eq!(cluster.apply(&slice("b-1", "c", true)), opened("a-1"));
    subject["spec"] = json!({"services": []});
    assert_eq!(cluster.apply(&subject), ["resolved serves Route n/one Compliant"]);
    subject["spec"] = json!({"services": [1]});
    cluster.apply(&subject);
    assert_eq!(
        cluster.errors(),
        [
            "1 serves: Route n/one: lookup `slices`: labels[kubernetes.io/service-name]: one is an int, want strings"
        ]
    );
}

#[test]
fn nothing_is_judged_by_what_is_not_known_yet() {
    let mut cluster = Cluster::of(CHAIN, &KINDS);
    for manifest in [route("one", "a"), service("a"), slice("a-1", "a", true)] {
        cluster.apply(&manifest);
    }
    assert_eq!(cluster.list("Route"), NOTHING);
    assert!(!cluster.is_settled());
    assert_eq!(cluster.list("Service"), NOTHING);
    assert_eq!(cluster.list("EndpointSlice"), NOTHING);
    assert!(cluster.is_settled() && cluster.open().is_empty());
    cluster.apply(&slice("a-1", "a", false));
    // What was open stays until all of it is known again, and says nothing twice.
    assert_eq!(cluster.restart(), NOTHING);
    for kind in KINDS {
        assert_eq!(cluster.list(kind), NOTHING);
    }
    assert!(cluster.is_settled());
    assert_eq!(cluster.open().len(), 1);
}

#[test]
fn rules_that_look_up_other_things_do_not_wait() {
    let spec = format!("{CHAIN}\n- {{name: named, expression: object.spec.service == 'b', message: not b}}");
    let mut cluster = Cluster::of(&spec, &KINDS);
    assert_eq!(cluster.apply(&route("one", "a")), ["opened named Route n/one: not b"]);
}

#[test]
fn a_kind_that_is_not_installed_is_absent_and_not_empty() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: limits, apiVersion: example.io/v1, kind: Limit, labels: {route: object.metadata.name}}
rules:
- {name: if-there, expression: '!has(lookups.limits) || lookups.limits.size() > 0', message: no limit}
- {name: optional, expression: 'lookups.?limits.orValue([{}]).size() > 0', message: no limit}
- {name: needed, expression: lookups.limits.size() > 0, message: no limit}
";
    let mut cluster = Cluster::synced(spec, &["Route"]);
    assert_eq!(cluster.apply(&route("one", "a")), NOTHING);
    assert_eq!(
        cluster.errors(),
        ["1 needed: Route n/one: the kind example.io/v1 Limit is not installed; has(lookups.NAME) tells"]
    );
    let none = "no limit [Limit with route=one: there is none]";
    let open = ["if-there", "optional", "needed"].map(|rule| format!("opened {rule} Route n/one: {none}"));
    assert_eq!(cluster.install("Limit"), open);
    let limit = json!({"apiVersion": "example.io/v1", "kind": "Limit",
                       "metadata": {"namespace": "n", "name": "l", "labels": {"route": "one"}}});
    assert_eq!(cluster.apply(&limit).len(), 3);
    assert_eq!(cluster.errors(), NOTHING);
    assert_eq!(cluster.uninstall("Limit"), NOTHING);
    assert_eq!(cluster.errors().len(), 1);
}

#[test]
fn names_labels_and_all_of_a_namespace_are_looked_up_across_namespaces_and_kinds() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: backends, apiVersion: v1, kind: Service, namesExpression: 'object.spec.services.map(s, s.name)'}
- {name: node, apiVersion: v1, kind: Node, nameExpression: object.spec.node}
- {name: selected, apiVersion: v1, kind: Pod, namespaceExpression: object.spec.pods.namespace, labelsExpression: object.spec.pods.labels}
- {name: anywhere, apiVersion: v1, kind: Pod, namespaceExpression: \"''\", labels: {app: object.metadata.name}}
- {name: quotas, apiVersion: v1, kind: Quota}
rules:
- name: told
  expression: 'false'
  messageExpression: >-
    lookups.backends.map(s, s.metadata.name).join(',') + '|' + (lookups.node == null ? '-' : lookups.node.spec.zone)
    + '|' + lookups.selected.map(p, p.metadata.name).join(',') + '|' + lookups.anywhere.map(p, p.metadata.namespace).join(',')
    + '|' + string(lookups.quotas.size())
";
    let mut cluster = Cluster::synced(spec, &["Route", "Service", "Node", "Pod", "Quota"]);
    let told = |cluster: &Cluster| {
        let open = cluster.open();
        let text = open[0].strip_prefix("told Route n/r: ").expect("the finding").to_owned();
        text.split(" [").next().unwrap_or_default().to_owned()
    };
    let object = |kind: &str, namespace: Option<&str>, name: &str, labels: Json, spec: Json| {
        let mut metadata = json!({"name": name, "labels": labels});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec})
    };
    let mut subject = object(
        "Route",
        Some("n"),
        "r",
        json!({}),
        json!({
            "services": [{"name": "b"}, {"name": "a"}, {"name": "a"}, {"name": ""}], "node": "n1",
            "pods": {"namespace": "m", "labels": {"app": "r", "tier": "x"}},
        }),
    );
    subject["apiVersion"] = "example.io/v1".into();
    cluster.apply(&subject);
    assert_eq!(told(&cluster), "|-|||0");
    cluster.apply(&object("Service", Some("n"), "b", json!({}), json!({})));
    cluster.apply(&object("Service", Some("m"), "a", json!({}), json!({})));
    assert_eq!(told(&cluster), "b|-|||0");
    cluster.apply(&object("Service", Some("n"), "a", json!({}), json!({})));
    cluster.apply(&object("Node", None, "n1", json!({}), json!({"zone": "z"})));
    assert_eq!(told(&cluster), "a,b|z|||0");
    cluster.apply(&object("Pod", Some("m"), "p2", json!({"app": "r", "tier": "x"}), json!({})));
    cluster.apply(&object("Pod", Some("m"), "p1", json!({"app": "r", "tier": "x"}), json!({})));
    cluster.apply(&object("Pod", Some("m"), "p3", json!({"app": "r", "tier": "y"}), json!({})));
    cluster.apply(&object("Pod", Some("l"), "p4", json!({"app": "r"}), json!({})));
    assert_eq!(told(&cluster), "a,b|z|p1,p2|l,m,m,m|0");
    cluster.apply(&object("Quota", Some("n"), "q", json!({}), json!({})));
    cluster.apply(&object("Quota", Some("m"), "q", json!({}), json!({})));
    assert_eq!(told(&cluster), "a,b|z|p1,p2|l,m,m,m|1");
    cluster.apply(&object("Pod", Some("m"), "p3", json!({"app": "r", "tier": "x"}), json!({})));
    cluster.delete("Node", "n1");
    assert_eq!(told(&cluster), "a,b|-|p1,p2,p3|l,m,m,m|1");
}

#[test]
fn what_a_lookup_goes_by_may_fail_and_may_be_nothing() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups:
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
rules:
- {name: served, expression: lookups.service != null, message: no service}
";
    let mut cluster = Cluster::synced(spec, &["Route", "Service"]);
    let mut broken = route("one", "a");
    broken["spec"] = json!({});
    cluster.apply(&broken);
    assert_eq!(
        cluster.errors(),
        ["1 served: Route n/one: lookup `service`: nameExpression: no such key: service"]
    );
    broken["spec"] = json!({"service": 3});
    cluster.apply(&broken);
    assert_eq!(
        cluster.errors(),
        ["1 served: Route n/one: lookup `service`: nameExpression: evaluated to an int, want a string"]
    );
    assert_eq!(cluster.apply(&route("one", "")), ["opened served Route n/one: no service"]);
}

#[test]
fn many_dependents_are_judged_in_slices() {
    let mut cluster = chain();
    for n in 0..100 {
        cluster.apply(&route(&format!("r{n:03}"), "a"));
    }
    cluster.slice = usize::MAX;
    let outcome = cluster.engine.step(
        cluster.served["EndpointSlice"],
        crate::core::event::ObjectEvent::Seen(crate::core::project::testing::object(
            &{
                let mut manifest = slice("a-1", "a", false);
                manifest["metadata"]["uid"] = "EndpointSlice-n-a-1".into();
                manifest
            }
            .to_string(),
        )),
        cluster.now,
    );
    assert!(outcome.is_empty(), "the event itself judges nobody");
    let first = cluster.engine.work(10, cluster.now);
    assert_eq!(first.len(), 10);
    assert!(cluster.engine.has_work());
    let mut rest = 0;
    while cluster.engine.has_work() {
        rest += cluster.engine.work(10, cluster.now).len();
    }
    assert_eq!(rest, 91);
}

#[test]
fn params_are_kept_where_teams_keep_them() {
    let spec = |more: &str| {
        format!(
            "
resources: [{{name: routes, apiVersion: example.io/v1, kind: Route}}]
params: {{apiVersion: v1, kind: ConfigMap, {more}}}
rules:
- {{name: few, expression: 'object.spec.backends <= int(params.data.most)', messageExpression: \"'more than ' + params.data.most\"}}
- {{name: some, expression: object.spec.backends > 0}}
"
        )
    };
    let config = |name: &str, most: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"namespace": "n", "name": name, "labels": {"for": "routes"}}, "data": {"most": most}})
    };
    let mut subject = route("one", "a");
    subject["spec"] = json!({"backends": 5});
    let kinds = ["Route", "ConfigMap"];

    let mut cluster = Cluster::synced(&spec("name: limits"), &kinds);
    assert_eq!(cluster.apply(&subject), NOTHING, "without params the rule is not judged");
    assert_eq!(cluster.apply(&config("limits", "4")), ["opened few Route n/one: more than 4"]);
    assert_eq!(cluster.apply(&config("limits", "3")), ["changed few Route n/one: more than 3"]);
    assert_eq!(cluster.apply(&config("limits", "9")), ["resolved few Route n/one Compliant"]);
    cluster.apply(&config("limits", "4"));
    assert_eq!(cluster.delete("ConfigMap", "n/limits"), ["resolved few Route n/one NoParams"]);

    let mut cluster = Cluster::synced(&spec("name: limits, parameterNotFoundAction: Deny"), &kinds);
    let missing = "opened few Route n/one: there are no params: there is no ConfigMap limits in namespace n";
    assert_eq!(cluster.apply(&subject), [missing]);

    let selector = "labelSelector: {matchLabels: {for: routes}}";
    let mut cluster = Cluster::synced(&spec(selector), &kinds);
    cluster.apply(&subject);
    assert_eq!(cluster.apply(&config("a", "9")), NOTHING);
    assert_eq!(
        cluster.apply(&config("b", "4")),
        ["opened few Route n/one: more than 4"],
        "each of them counts"
    );
    assert_eq!(cluster.apply(&config("b", "5")), ["resolved few Route n/one Compliant"]);
}

/// The watch is of everything, because another policy has it so.
#[test]
fn params_are_found_among_thousands_of_objects_that_are_none() {
    for which in ["name: zz", "labelSelector: {matchLabels: {for: routes}}"] {
        let spec = format!(
            "
resources: [{{name: routes, apiVersion: example.io/v1, kind: Route}}]
params: {{apiVersion: v1, kind: ConfigMap, {which}}}
rules: [{{name: few, expression: object.spec.backends <= int(params.data.most), message: too many}}]
"
        );
        let mut cluster = Cluster::synced(&spec, &["Route", "ConfigMap"]);
        let config = |name: &str, labels: Json| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "n", "name": name, "labels": labels},
                   "data": {"most": "4"}})
        };
        for n in 0..2_500 {
            assert_eq!(cluster.apply(&config(&format!("c{n}"), json!({}))), NOTHING);
        }
        let mut subject = route("one", "a");
        subject["spec"] = json!({"backends": 5});
        assert_eq!(cluster.apply(&subject), NOTHING);
        assert_eq!(
            cluster.apply(&config("zz", json!({"for": "routes"}))),
            ["opened few Route n/one: too many"]
        );
    }
}

#[test]
fn params_of_what_lives_in_no_namespace_have_to_say_where_they_are() {
    let spec = "
resources: [{name: nodes, apiVersion: v1, kind: Node}]
params: {apiVersion: v1, kind: ConfigMap, labelSelector: {}}
rules: [{name: r, expression: params.data.most == '1'}]
";
    let mut cluster = Cluster::synced(spec, &["Node", "ConfigMap"]);
    assert_eq!(
        cluster.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}})),
        NOTHING
    );
    let text =
        "lookup `params`: their kind lives in namespaces and the object in none; write params.namespace";
    assert_eq!(cluster.errors(), [format!("1 r: Node a: {text}")]);
}

#[test]
fn changes_are_judged_by_params_too() {
    let spec = |more: &str| {
        format!(
            "
resources: [{{name: routes, apiVersion: example.io/v1, kind: Route}}]
params: {{apiVersion: v1, kind: ConfigMap, {more}}}
rules:
- name: step
  'on': [Update]
  expression: object.spec.backends - oldObject.spec.backends <= int(params.data.most)
  messageExpression: \"'by more than ' + params.data.most\"
"
        )
    };
    let config = |name: &str, most: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"namespace": "n", "name": name, "labels": {"for": "routes"}}, "data": {"most": most}})
    };
    let grow = |cluster: &mut Cluster, backends: i64| {
        let mut subject = route("one", "a");
        subject["spec"] = json!({"backends": backends});
        cluster.apply(&subject)
    };
    let kinds = ["Route", "ConfigMap"];
    for (more, missing) in [
        ("name: limits", None),
        (
            "labelSelector: {matchLabels: {for: routes}}, parameterNotFoundAction: Deny",
            Some("there are no params"),
        ),
    ] {
        let mut cluster = Cluster::synced(&spec(more), &kinds);
        grow(&mut cluster, 1);
        let without = grow(&mut cluster, 6);
        assert_eq!(without.len(), usize::from(missing.is_some()), "{without:?}");
        assert!(without.iter().all(|line| line.contains(missing.unwrap_or_default())), "{without:?}");
        assert_eq!(cluster.errors(), NOTHING);
        cluster.apply(&config("limits", "4"));
        assert_eq!(grow(&mut cluster, 10), NOTHING);
        assert_eq!(
            grow(&mut cluster, 15),
            ["occurred step Route n/one: by more than 4: spec.backends: 10 → 15 by an unknown manager"]
        );
    }
}

#[test]
fn groups_are_judged_by_params_of_one_place() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
params: {apiVersion: v1, kind: ConfigMap, name: limits, namespace: platform}
rules:
- name: enough
  groupBy: object.spec.service
  expression: objects.size() >= int(params.data.least)
  messageExpression: \"'fewer than ' + params.data.least\"
";
    let config = |least: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "platform", "name": "limits"},
               "data": {"least": least}})
    };
    let mut cluster = Cluster::synced(spec, &["Route", "ConfigMap"]);
    assert_eq!(cluster.apply(&route("one", "a")), NOTHING, "without params they are not judged");
    assert_eq!(cluster.apply(&config("2")), ["opened enough Group a: fewer than 2"]);
    assert_eq!(cluster.apply(&route("two", "a")), ["resolved enough Group a Compliant"]);
    assert_eq!(cluster.apply(&config("3")), ["opened enough Group a: fewer than 3"]);
    assert_eq!(cluster.delete("ConfigMap", "platform/limits"), ["resolved enough Group a NoParams"]);
    assert_eq!(cluster.restart(), NOTHING);
    cluster.list("Route");
    assert!(!cluster.is_settled(), "nothing is said before the params are known");
    cluster.list("ConfigMap");
    assert!(cluster.is_settled());
    assert_eq!(cluster.apply(&config("3")), ["opened enough Group a: fewer than 3"]);
}

#[test]
fn the_graph_of_an_object_is_what_depends_on_it_and_what_it_depends_on() {
    let mut cluster = chain();
    cluster.apply(&route("two", "a"));
    cluster.apply(&route("three", "c"));
    cluster.apply(&slice("a-1", "a", false));
    let graph = |cluster: &Cluster, object: &str| {
        cluster.engine.graph(&object.parse().expect("an object")).map(|graph| {
            let edge = |edge: &crate::core::graph::Edge| {
                format!("{} -> {} by {} for {}", edge.from, edge.to, edge.lookup, edge.judged)
            };
            graph.edges.iter().map(edge).collect::<Vec<_>>()
        })
    };
    let of = |name: &str| {
        let judged = format!("Route.example.io/n/{name}");
        [
            format!("{judged} -> Service/n/a by service for {judged}"),
            format!("Service/n/a -> EndpointSlice.discovery.k8s.io/n/a-1 by slices for {judged}"),
        ]
    };
    let mut all: Vec<String> = of("one").into_iter().chain(of("two")).collect();
    all.sort();
    assert_eq!(graph(&cluster, "EndpointSlice/n/a-1").as_ref(), Some(&all), "through the Service");
    let direct: Vec<String> = [of("one")[0].clone(), of("two")[0].clone()].into();
    assert_eq!(graph(&cluster, "Service/n/a"), Some(direct));
    assert_eq!(graph(&cluster, "Route/n/one"), Some(of("one").into()));
    let missing = "Route.example.io/n/three -> Service/n/c by service for Route.example.io/n/three";
    assert_eq!(graph(&cluster, "Route/n/three"), Some(vec![missing.to_owned()]));
    assert_eq!(graph(&cluster, "Service/n/unknown"), None);
}

#[test]
fn what_is_said_of_what_was_found_may_read_variables_that_read_it_and_other_lookups() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
variables: [{name: serving, expression: 'lookups.slices.exists(s, s.endpoints.exists(e, e.ready))'}]
lookups:
- name: service
  apiVersion: v1
  kind: Service
  nameExpression: object.spec.service
  expression: object.spec.note != 'strict' || variables.serving
  message: serves nobody
- {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, labels: {kubernetes.io/service-name: object.spec.service}}
rules:
- {name: found, expression: 'lookups.service == null', message: there}
";
    let mut cluster = Cluster::synced(spec, &KINDS);
    cluster.apply(&service("a"));
    let mut subject = route("one", "a");
    subject["spec"]["note"] = "loose".into();
    assert_eq!(cluster.apply(&subject), ["opened found Route n/one: there [Service a]"]);
    subject["spec"]["note"] = "strict".into();
    assert_eq!(cluster.apply(&subject), ["changed found Route n/one: there [Service a: serves nobody]"]);
    assert_eq!(cluster.apply(&slice("a-1", "a", true)), ["changed found Route n/one: there [Service a]"]);
}

#[test]
fn what_names_groups_waits_for_what_it_looks_up() {
    let spec = "
resources:
- {name: routes, apiVersion: example.io/v1, kind: Route}
- {name: services, apiVersion: v1, kind: Service}
lookups:
- {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, labels: {kubernetes.io/service-name: object.metadata.name}}
rules:
- name: routed
  resources: [routes]
  groupBy: object.spec.service
  groups: {resource: services, expression: 'lookups.slices.size() > 0 ? object.metadata.name : null'}
  expression: objects.size() > 0
";
    let mut cluster = Cluster::of(spec, &KINDS);
    cluster.apply(&service("a"));
    cluster.apply(&slice("a-1", "a", true));
    cluster.list("Route");
    assert_eq!(cluster.list("Service"), NOTHING);
    assert!(!cluster.is_settled());
    assert_eq!(cluster.list("EndpointSlice"), ["opened routed Group a: rule routed is not satisfied"]);
}

#[test]
fn what_conditions_look_up_is_needed_for_what_is_judged_and_for_nothing_else() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
matchConditions: [{name: served, expression: lookups.service != null}]
lookups:
- {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
- {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice}
rules:
- {name: some, expression: lookups.slices.size() > 0}
";
    let mut cluster = Cluster::of(spec, &KINDS);
    for kind in ["EndpointSlice", "Route", "Service"] {
        cluster.list(kind);
    }
    assert!(cluster.is_settled(), "whatever is listed last");
}

#[test]
fn what_waits_does_not_open_while_it_is_not_known_what_is_looked_up() {
    let spec = "
resources: [{name: routes, apiVersion: example.io/v1, kind: Route}]
lookups: [{name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}]
rules:
- {name: served, expression: lookups.service != null, for: 1m}
";
    let mut cluster = Cluster::synced(spec, &["Route", "Service"]);
    cluster.apply(&route("one", "a"));
    let policy = cluster.policies.keys().next().expect("a policy").clone();
    let pending = cluster.engine.pending(&policy).iter().map(|finding| (**finding).clone()).collect();
    cluster.objects.get_mut("Service").expect("a kind").clear();
    cluster.engine = crate::core::engine::Engine::default();
    cluster.engine.restore_pending(policy, "uid-p".into(), pending);
    cluster.assign();
    cluster.list("Route");
    cluster.now = super::at(2_000);
    cluster.engine.tick(cluster.now);
    assert!(!cluster.engine.has_work(), "it may be served by now");
    let made = crate::core::project::testing::object(&service("a").to_string());
    cluster.objects.get_mut("Service").expect("a kind").insert(made.key(), made);
    assert_eq!(cluster.list("Service"), NOTHING);
    assert!(cluster.is_settled());
}

#[test]
fn groups_of_a_kind_that_is_not_installed_are_judged_when_the_params_are_known() {
    let spec = "
resources: [{name: limits, apiVersion: example.io/v1, kind: Limit}]
params: {apiVersion: v1, kind: ConfigMap, name: limits, namespace: 'n'}
rules:
- {name: enough, groupBy: object.metadata.name, groups: {values: [a]}, expression: objects.size() >= int(params.data.least)}
";
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "n", "name": "limits"},
                        "data": {"least": "1"}});
    let mut cluster = Cluster::of(spec, &["ConfigMap"]);
    assert_eq!(cluster.apply(&config), NOTHING);
    assert!(!cluster.is_settled());
    assert_eq!(cluster.list("ConfigMap"), ["opened enough Group a: rule enough is not satisfied"]);
    assert!(cluster.is_settled());
}

#[test]
fn params_that_are_not_meant_and_lookups_that_cannot_be_made_are_no_part_of_a_graph() {
    let spec = "
resources: [{name: nodes, apiVersion: v1, kind: Node}]
params: {apiVersion: v1, kind: ConfigMap, labelSelector: {matchLabels: {for: nodes}}, namespace: 'n'}
lookups: [{name: service, apiVersion: v1, kind: Service, nameExpression: \"'a'\"}]
rules:
- {name: named, expression: params.data.name == object.metadata.name}
- {name: served, expression: lookups.service != null}
";
    let config = |name: &str, purpose: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"name": "n1"},
               "metadata": {"namespace": "n", "name": name, "labels": {"for": purpose}}})
    };
    let mut cluster = Cluster::synced(spec, &["Node", "ConfigMap", "Service"]);
    cluster.select = true;
    cluster.assign();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}));
    cluster.apply(&config("meant", "nodes"));
    cluster.apply(&service("a"));
    let judged = cluster.engine.judged();
    cluster.apply(&config("other", "routes"));
    assert_eq!(cluster.engine.judged(), judged, "nor is anything judged again for them");
    let edges = |object: &str| {
        cluster.engine.graph(&object.parse().expect("an object")).map(|graph| graph.edges.len())
    };
    assert_eq!(edges("ConfigMap/n/meant"), Some(1));
    assert_eq!(edges("ConfigMap/n/other"), Some(0));
    assert_eq!(edges("Service/n/a"), Some(0));
    assert_eq!(edges("Node/n1"), Some(1));
}
