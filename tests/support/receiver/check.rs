//! Reading JSON strictly: what is missing, of another type, too long or unknown.

use serde_json::{Map, Value};

/// What was found wrong with a message.
#[derive(Debug, Default)]
pub struct Findings {
    /// The vendor refuses the message for it.
    pub fatal: Vec<String>,
    /// The vendor lets it pass, and its documentation does not.
    pub lenient: Vec<String>,
}

impl Findings {
    /// The vendor refuses this.
    pub fn fatal(&mut self, text: impl Into<String>) {
        self.fatal.push(text.into());
    }

    /// The vendor lets this pass.
    pub fn lenient(&mut self, text: impl Into<String>) {
        self.lenient.push(text.into());
    }

    /// A text of 1 to `max` characters; null is as good as absent.
    pub fn text<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        at: &str,
        field: &str,
        required: bool,
        max: usize,
    ) -> Option<&'a str> {
        match object.get(field) {
            None | Some(Value::Null) => {
                if required {
                    self.fatal(format!("{at}{field} is missing"));
                }
                None
            }
            Some(Value::String(text)) if text.is_empty() => {
                self.fatal(format!("{at}{field} is empty"));
                None
            }
            Some(Value::String(text)) => {
                let length = text.chars().count();
                if length > max {
                    self.fatal(format!("{at}{field} has {length} characters, and may have {max}"));
                }
                Some(text)
            }
            Some(other) => {
                self.fatal(format!("{at}{field} is no text: {other}"));
                None
            }
        }
    }

    /// Fields that the documentation does not have.
    pub fn unknown(&mut self, object: &Map<String, Value>, at: &str, known: &[&str]) {
        for field in object.keys().filter(|field| !known.contains(&field.as_str())) {
            self.lenient(format!("{at}{field} is no field that is documented"));
        }
    }

    /// A list; none when it is absent.
    pub fn list<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        at: &str,
        field: &str,
        max: usize,
    ) -> &'a [Value] {
        match object.get(field) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => {
                if items.len() > max {
                    self.fatal(format!("{at}{field} has {} items, and may have {max}", items.len()));
                }
                items
            }
            Some(other) => {
                self.fatal(format!("{at}{field} is no list: {other}"));
                &[]
            }
        }
    }

    /// An object.
    pub fn object<'a>(&mut self, value: &'a Value, at: &str) -> Option<&'a Map<String, Value>> {
        let object = value.as_object();
        if object.is_none() {
            self.fatal(format!("{at} is no object: {value}"));
        }
        object
    }
}
