//! The reference page of all functions, made of what the libraries say about themselves.

use std::fmt::Write;

use super::macros::{MACROS, Macro};
use super::{Function, LIBRARIES, Library};

const HEAD: &str = "\
# Functions of CEL

<!-- Made from src/core/cel/libraries; `UPDATE_DOCS=1 cargo test --test reference` writes it anew. -->

What expressions may call, beside the operators of the language. A function with a value in front of its
name is called on it, as in `name.startsWith('web-')`. `A` and `B` are any types, the same wherever they stand in one
signature. All examples are true; tests evaluate them.
";

const MACROS_HEAD: &str = "
## macros

What is written like a call and takes names and conditions: an argument is evaluated for each element, or not at all.
Upstream: <https://github.com/google/cel-spec/blob/master/doc/langdef.md#macros>,
<https://pkg.go.dev/github.com/google/cel-go/ext#TwoVarComprehensions>,
<https://pkg.go.dev/github.com/google/cel-go/ext#Bindings>.
";

/// The page, as Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(MACROS_HEAD);
    for known in MACROS {
        let _ = write_macro(&mut page, known);
    }
    for library in LIBRARIES {
        // Writing to a string cannot fail.
        let _ = write_library(&mut page, library);
    }
    page
}

fn write_macro(page: &mut String, known: &Macro) -> std::fmt::Result {
    let Macro { name, usage, doc, example, in_admission } = known;
    let elsewhere =
        if *in_admission { "" } else { " A kube-apiserver does not have it in a ValidatingAdmissionPolicy." };
    let usage = usage.replace(" or ", "\n");
    writeln!(page, "\n### {name}\n\n{doc}{elsewhere}\n\n```text\n{usage}\n```\n\n```cel\n{example}\n```")
}

fn write_library(page: &mut String, library: &Library) -> std::fmt::Result {
    let Library { name, doc, upstream, in_admission, types, functions } = library;
    writeln!(page, "\n## {name}\n\n{doc}\n")?;
    if !types.is_empty() {
        writeln!(page, "Types: `{}`.\n", types.join("`, `"))?;
    }
    let admission = if *in_admission {
        "A kube-apiserver has it in a ValidatingAdmissionPolicy, too."
    } else {
        "A kube-apiserver does not have it in a ValidatingAdmissionPolicy."
    };
    writeln!(page, "{admission} Upstream: <{upstream}>.")?;
    functions.iter().try_for_each(|function| write_function(page, function))
}

fn write_function(page: &mut String, function: &Function) -> std::fmt::Result {
    writeln!(page, "\n### {}\n\n{}\n\n```text", as_called(function.name), function.doc)?;
    for overload in function.overloads {
        writeln!(page, "{}", as_called(overload.signature))?;
    }
    writeln!(page, "```\n\n```cel")?;
    for example in function.examples {
        writeln!(page, "{example}")?;
    }
    writeln!(page, "```")
}

/// Macros stand for these two.
fn as_called(text: &str) -> String {
    text.replace("math.@max", "math.greatest").replace("math.@min", "math.least")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_on_the_page_as_it_is_called() {
        let page = reference();
        for library in LIBRARIES {
            assert!(page.contains(&format!("\n## {}\n", library.name)) && page.contains(library.upstream));
            for function in library.functions {
                assert!(page.contains(&format!("\n### {}\n", as_called(function.name))), "{}", function.name);
                assert!(function.examples.iter().all(|example| page.contains(example)), "{}", function.name);
            }
        }
        assert!(page.contains("math.greatest(int, int) -> int") && !page.contains("math.@"));
    }
}
