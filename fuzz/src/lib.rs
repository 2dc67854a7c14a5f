//! What the fuzz targets share. `core` is compiled by itself: instrumented Kubernetes clients would take minutes.

#[allow(dead_code)]
#[path = "../../src/core/mod.rs"]
pub mod core;

use core::cel::{Bindings, CompileError, Inputs, MAX_COMPILE_MESSAGE, MAX_EVAL_MESSAGE, MAX_STEPS, Program};
use core::cel::{Root, Scope, Want, compile};
use core::paths::Paths;
use core::project::{ProjectedObject, Projection};

/// Compiles, and looks at the message if that fails.
pub fn compiled(source: &str, want: Want) -> Option<Program> {
    match compile(source, &Scope::new(&Root::ALL), want) {
        Ok(program) => Some(program),
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() <= MAX_COMPILE_MESSAGE && !text.contains(char::is_control), "{text:?}");
            assert!(!matches!(error, CompileError::Internal { .. }), "{text}");
            None
        }
    }
}

/// Decodes an object, if it is one.
pub fn decoded(json: &str, paths: &Paths) -> Option<ProjectedObject> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Projection::new(paths.clone(), "v1", "Sample").decode(&mut deserializer).ok()
}

/// What a program comes to on an object, in words.
pub fn evaluated(program: &Program, object: &ProjectedObject) -> String {
    let inputs = Inputs { object: Some(object.root()), ..Inputs::default() };
    let mut bindings = Bindings::new(inputs);
    let said = program.evaluate_bool(&mut bindings);
    assert!(bindings.spent() <= MAX_STEPS, "{}", bindings.spent());
    match said {
        Ok(verdict) => verdict.to_string(),
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() <= MAX_EVAL_MESSAGE && !text.contains(char::is_control), "{text:?}");
            text
        }
    }
}
