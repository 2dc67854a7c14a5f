//! A graph of what depends on what: as a tree for people, and for Graphviz.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::core::graph::{Edge, Graph, Vertex};

/// What depends on the object, each below what it depends on; then what the object depends on itself.
pub fn tree(graph: &Graph) -> String {
    let mut page = Tree { graph, text: String::new(), told: BTreeSet::new() };
    let _ = writeln!(page.text, "{}", graph.root);
    page.text.push_str("depends on it:\n");
    page.below(&graph.root, "  ", Direction::Dependents);
    page.told.clear();
    page.text.push_str("it depends on:\n");
    page.below(&graph.root, "  ", Direction::Dependencies);
    if graph.truncated {
        page.text.push_str("and more, which is left out\n");
    }
    page.text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Dependents,
    Dependencies,
}

struct Tree<'g> {
    graph: &'g Graph,
    text: String,
    told: BTreeSet<String>,
}

impl<'g> Tree<'g> {
    fn below(&mut self, id: &str, indent: &str, direction: Direction) {
        let graph = self.graph;
        let end = |edge: &'g Edge| match direction {
            Direction::Dependents => (&edge.to, &edge.from),
            Direction::Dependencies => (&edge.from, &edge.to),
        };
        let edges: Vec<&Edge> = graph.edges.iter().filter(|edge| end(edge).0 == id).collect();
        let others: BTreeSet<&String> = edges.iter().map(|edge| end(edge).1).collect();
        if others.is_empty() && id == graph.root {
            let _ = writeln!(self.text, "{indent}nothing, as far as policies look");
        }
        for other in others {
            let _ = writeln!(self.text, "{indent}{other}{}", self.mark(other));
            for edge in edges.iter().filter(|edge| end(edge).1 == other) {
                let _ = writeln!(self.text, "{indent}  by {}", by(edge));
            }
            if self.told.insert(other.clone()) {
                self.below(other, &format!("{indent}    "), direction);
            }
        }
    }

    fn mark(&self, id: &str) -> &'static str {
        let missing = |vertex: &Vertex| vertex.id == id && vertex.missing;
        if self.graph.vertices.iter().any(missing) { " (does not exist)" } else { "" }
    }
}

fn by(edge: &Edge) -> String {
    let violated = match edge.violated.as_slice() {
        [] => String::new(),
        rules => format!("; {} not satisfied by {}", rules.join(", "), edge.judged),
    };
    format!("policy {}, lookup {}, for {}{violated}", edge.policy, edge.lookup, edge.rules.join(", "))
}

/// For `dot`.
pub fn dot(graph: &Graph) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = String::from("digraph polywatch {\n  rankdir=LR\n  node [shape=box]\n");
    for vertex in &graph.vertices {
        let style = match (vertex.missing, vertex.id == graph.root) {
            (true, _) => " [style=dashed]",
            (false, true) => " [penwidth=2]",
            (false, false) => "",
        };
        let _ = writeln!(text, "  {}{style}", quote(&vertex.id));
    }
    for edge in &graph.edges {
        let color = if edge.violated.is_empty() { "" } else { " color=red" };
        let label = quote(&format!("{}: {}", edge.policy, edge.lookup));
        let _ = writeln!(text, "  {} -> {} [label={label}{color}]", quote(&edge.from), quote(&edge.to));
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let vertex = |id: &str, missing| Vertex {
            id: id.into(),
            api_version: "v1".into(),
            kind: "Kind".into(),
            namespace: None,
            name: "name".into(),
            missing,
        };
        let edge = |from: &str, to: &str, lookup: &str| Edge {
            from: from.into(),
            to: to.into(),
            policy: "p".into(),
            lookup: lookup.into(),
            judged: "Route/n/r".into(),
            rules: vec!["serves".into()],
            violated: vec!["serves".into()],
        };
        Graph {
            root: "Service/n/a".into(),
            vertices: vec![
                vertex("EndpointSlice/n/[app=\"a\"]", true),
                vertex("Route/n/r", false),
                vertex("Service/n/a", false),
            ],
            edges: vec![
                edge("Route/n/r", "Service/n/a", "service"),
                edge("Service/n/a", "EndpointSlice/n/[app=\"a\"]", "slices"),
            ],
            truncated: true,
        }
    }

    #[test]
    fn a_tree_tells_both_directions() {
        let by = |lookup: &str| {
            format!("policy p, lookup {lookup}, for serves; serves not satisfied by Route/n/r")
        };
        let lines = [
            "Service/n/a".to_owned(),
            "depends on it:".to_owned(),
            "  Route/n/r".to_owned(),
            format!("    by {}", by("service")),
            "it depends on:".to_owned(),
            "  EndpointSlice/n/[app=\"a\"] (does not exist)".to_owned(),
            format!("    by {}", by("slices")),
            "and more, which is left out".to_owned(),
        ];
        assert_eq!(tree(&graph()), lines.join("\n") + "\n");
    }

    #[test]
    fn graphviz_gets_quoted_names() {
        let text = dot(&graph());
        assert!(text.contains("\"EndpointSlice/n/[app=\\\"a\\\"]\" [style=dashed]"), "{text}");
        assert!(text.contains("\"Route/n/r\" -> \"Service/n/a\" [label=\"p: service\" color=red]"), "{text}");
    }
}
