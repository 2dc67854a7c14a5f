//! Whether manifests mean here what they mean to `kubectl`.

use polywatch::yaml;
use serde_json::Value;

use crate::support::{PATIENCE, custom_kind, eventually, shared};

/// Scalars of YAML 1.1, numbers at the edges, keys that are no texts, merges, JSON with YAML in it.
const SPECS: &[&str] = &[
    "{on: y, No: off, q: 'on', r: \"no\", 1: one, 1.5: x, ~y: z}",
    "{a: 0644, b: 08, c: 0o17, d: 0x1F, e: -0b11, f: 1_000, g: +5, h: 1:30, i: -017, j: 0b2, k: 0x, l: 09.5}",
    "{a: 1.0, b: 1e3, c: .5, d: 1e400, e: 1.5e-3, f: 1e20, g: -0.0, h: 5., i: ._1, j: 1__0, k: _1}",
    "{a: 9223372036854775807, b: -9223372036854775808, c: 18446744073709551615, d: 100000000000000000000}",
    "{a: ~, b: , c: null, d: NULL, e: '', f: Null}",
    "{a: 2001-01-01, b: 2001-01-01T00:00:00Z, c: 12:30:45, d: =, e: '<<'}",
    "{a: !!str 5, b: !!int '7', c: !!float 5, d: !!bool 'true'}",
    "{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}, e: [*x, *x], f: {<<: [*x, {g: 4}]}}",
    "{a: \"\\u00e9\\t\\x41\", b: 'it''s', c: a b, d: a#b, e: \"\\U0001F600\"}",
    "\n  a: |\n    x\n     y\n\n  b: >-\n    x\n    y\n\n    z\n  c: |+\n    x\n\n  d: x\n    y",
];

#[tokio::test]
async fn yaml_means_what_kubectl_takes_it_for() {
    let cluster = shared().await;
    cluster.apply_yaml(&custom_kind("yaml", "Sheet", &[("v1", true)])).await;
    for (n, spec) in SPECS.iter().enumerate() {
        let text =
            format!("apiVersion: yaml.example.io/v1\nkind: Sheet\nmetadata: {{name: s{n}}}\nspec: {spec}\n");
        let file = cluster.admin_kubeconfig().with_file_name(format!("sheet-{n}.yaml"));
        std::fs::write(&file, &text).expect("a file");
        let file = file.display().to_string();
        let arguments = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", &file];
        let said =
            eventually("kubectl knows the kind", PATIENCE, async || cluster.try_kubectl(&arguments).await)
                .await;
        let theirs: Value = serde_json::from_str(&said).expect("JSON");
        let ours = yaml::read(&text).unwrap_or_else(|e| panic!("{e} in {text}")).remove(0).tree.to_json();
        assert_eq!(ours["spec"], theirs["spec"], "{text}");
    }
}
