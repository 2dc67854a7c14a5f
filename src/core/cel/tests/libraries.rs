use super::super::libraries::LIBRARIES;
use super::*;

/// What the reference page shows works as it stands there.
#[test]
fn every_example_is_true() {
    let mut wrong = Vec::new();
    for function in LIBRARIES.iter().flat_map(|library| library.functions) {
        for example in function.examples {
            match compile(example, &scope(), Want::Bool) {
                Err(error) => wrong.push(format!("{}: {example}: {error}", function.name)),
                Ok(program) => match program.evaluate_bool(&mut Bindings::new(Inputs::default())) {
                    Ok(true) => {}
                    other => wrong.push(format!("{}: {example}: {other:?}", function.name)),
                },
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
