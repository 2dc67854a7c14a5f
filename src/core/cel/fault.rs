//! Why an evaluation stopped, while it is still under way.

use super::error::{EvalError, Text};
use super::value::Value;

/// Why an operator or a function gave no value. Holds no value of the object: a Secret may be what is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What `||`, `&&`, `all` and `exists` can do without when the rest decides.
    Error(Box<EvalError>),
    /// The budget is used up: nothing goes on.
    Budget,
}

impl Fault {
    /// A fault in words. They must hold no value of the object.
    pub fn new(reason: impl AsRef<str>) -> Self {
        EvalError::Failed { reason: Text::bounded(reason.as_ref(), 200) }.into()
    }

    /// No form of the operator or function `name`, as people write it, takes values of these types.
    pub(super) fn no_such_overload(name: &str, args: &[Value<'_>]) -> Self {
        let types: Vec<&str> = args.iter().map(Value::describe).collect();
        Self::new(format!("no such overload: `{name}` does not take {}", types.join(" and ")))
    }
}

impl From<EvalError> for Fault {
    fn from(error: EvalError) -> Self {
        Self::Error(Box::new(error))
    }
}
