//! `polywatch graph`.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::{Folder, Ran, polywatch};

const POLICY: &str = "
apiVersion: polywatch.dev/v1alpha1
kind: MonitorPolicy
metadata: {name: routes}
spec:
  resources: [{name: routes, apiVersion: shop.example.io/v1, kind: Route}]
  lookups:
  - {name: service, apiVersion: v1, kind: Service, nameExpression: object.spec.service}
  - {name: slices, apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, labels: {kubernetes.io/service-name: lookups.service.metadata.name}}
  rules:
  - {name: serves, expression: lookups.service != null && lookups.slices.size() > 0}
  - {name: named, expression: lookups.service != null}
";

const MANIFESTS: &str = "
{apiVersion: shop.example.io/v1, kind: Route, metadata: {namespace: shop, name: checkout}, spec: {service: checkout}}
---
{apiVersion: shop.example.io/v1, kind: Route, metadata: {namespace: shop, name: lost}, spec: {service: gone}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: checkout}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {namespace: shop, name: checkout}}
";

fn graph(name: &str, arguments: &[&str]) -> Ran {
    let folder = Folder::new(name);
    let (policy, manifests) = (folder.write("policy.yaml", POLICY), folder.write("all.yaml", MANIFESTS));
    polywatch(&[&["graph"], arguments, &["-f", &policy, "-r", &manifests]].concat(), b"")
}

const ROUTE: &str = "Route.shop.example.io/shop/checkout";
const SLICES: &str = "EndpointSlice.discovery.k8s.io/shop/[kubernetes.io/service-name=checkout]";

#[test]
fn a_tree_tells_what_breaks_with_an_object_and_what_breaks_it() {
    let ran = graph("graph-text", &["Service/shop/checkout"]);
    let expected = format!(
        "Service/shop/checkout
depends on it:
  {ROUTE}
    by policy routes, lookup service, for serves, named; serves not satisfied by {ROUTE}
it depends on:
  nothing, as far as policies look
"
    );
    assert_eq!((ran.code, ran.out), (0, expected), "{}", ran.err);

    let ran = graph("graph-route", &["route/shop/checkout"]);
    let expected = format!(
        "{ROUTE}
depends on it:
  nothing, as far as policies look
it depends on:
  Service/shop/checkout
    by policy routes, lookup service, for serves, named; serves not satisfied by {ROUTE}
      {SLICES} (does not exist)
        by policy routes, lookup slices, for serves; serves not satisfied by {ROUTE}
"
    );
    assert_eq!((ran.code, ran.out), (0, expected), "{}", ran.err);
}

#[test]
fn the_json_has_objects_and_what_each_depends_on() {
    let ran = graph("graph-json", &["Route.shop.example.io/shop/lost", "-o", "json"]);
    let lost = "Route.shop.example.io/shop/lost";
    let drawn: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(
        drawn,
        json!({
            "root": lost,
            "vertices": [
                {"id": lost, "apiVersion": "shop.example.io/v1", "kind": "Route", "namespace": "shop", "name": "lost"},
                {"id": "Service/shop/gone", "apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "gone",
                 "missing": true},
            ],
            "edges": [{
                "from": lost, "to": "Service/shop/gone", "policy": "routes", "lookup": "service", "judged": lost,
                "rules": ["serves", "named"], "violated": ["serves", "named"],
            }],
            "truncated": false,
        })
    );
}

#[test]
fn graphviz_is_given_what_it_draws() {
    let ran = graph("graph-dot", &["Route/shop/checkout", "-o", "dot"]);
    for line in [
        "digraph polywatch {".to_owned(),
        format!("  \"{ROUTE}\" [penwidth=2]"),
        "  \"Service/shop/checkout\"".to_owned(),
        format!("  \"{SLICES}\" [style=dashed]"),
        format!("  \"{ROUTE}\" -> \"Service/shop/checkout\" [label=\"routes: service\" color=red]"),
    ] {
        assert!(ran.out.lines().any(|told| told == line), "{line} is not in\n{}", ran.out);
    }
}

#[test]
fn what_no_policy_looks_at_and_what_is_no_object_are_told_apart() {
    for object in
        ["Service/shop/gone", "ConfigMap/shop/checkout", "Service.example.io/shop/checkout", "Node/checkout"]
    {
        let ran = graph("graph-unknown", &[object]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{object}: {}", ran.err);
        assert_eq!(ran.err, format!("no policy looks at {object}, or it does not exist\n"));
    }
    for object in ["checkout", "Service//checkout", "a/b/c/d", ""] {
        let ran = graph("graph-bad", &[object]);
        assert_eq!(ran.code, 2, "{object}");
        assert!(ran.err.contains("an object is written as KIND/NAMESPACE/NAME"), "{}", ran.err);
    }
    let ran = polywatch(&["graph", "Service/shop/checkout", "-f", "policies"], b"");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--resources"), "{}", ran.err);
}

/// An operator that answers one question with this.
fn answering(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody asks");
        let mut question = [0; 4096];
        let read = stream.read(&mut question).expect("a question");
        stream.write_all(answer.as_bytes()).expect("answered");
        String::from_utf8_lossy(&question[..read]).lines().next().unwrap_or_default().to_owned()
    });
    (address, asked)
}

#[test]
fn an_operator_is_asked_and_what_it_answers_instead_is_told() {
    for (answer, code, told) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 22\r\n\r\nno policy looks at it\n",
            1,
            "no policy looks at ClusterRole/system:a",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            2,
            "it has no /debug/graph; give the address of --debug-listen",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", 2, "does not answer: invalid"),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 6\r\n\r\nasleep",
            2,
            "does not answer: 503 asleep",
        ),
        ("nonsense", 2, "does not answer: "),
    ] {
        let (address, asked) = answering(answer);
        let ran = polywatch(&["graph", "ClusterRole/system:a b", "--from", &address], b"");
        assert_eq!(ran.code, code, "{answer}: {}", ran.err);
        assert!(ran.err.contains(told), "{}", ran.err);
        let asked = asked.join().expect("asked");
        assert_eq!(asked, "GET /debug/graph?object=ClusterRole/system:a%20b HTTP/1.1");
    }
    let ran = polywatch(&["graph", "Service/a/b", "--from", "http://127.0.0.1:1"], b"");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("http://127.0.0.1:1/ does not answer: "), "{}", ran.err);
}
