use super::super::libraries::LIBRARIES;
use super::super::libraries::macros::MACROS;
use super::*;

/// What the reference page shows works as it stands there.
#[test]
fn every_example_is_true() {
    let mut wrong = Vec::new();
    let functions = LIBRARIES.iter().flat_map(|library| library.functions);
    let examples = functions.map(|function| (function.name, function.examples));
    let macros = MACROS.iter().map(|known| (known.name, std::slice::from_ref(&known.example)));
    for (name, examples) in examples.chain(macros) {
        for example in examples {
            match compile(example, &scope(), Want::Bool) {
                Err(error) => wrong.push(format!("{name}: {example}: {error}")),
                Ok(program) => match program.evaluate_bool(&mut Bindings::new(Inputs::default())) {
                    Ok(true) => {}
                    other => wrong.push(format!("{name}: {example}: {other:?}")),
                },
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
