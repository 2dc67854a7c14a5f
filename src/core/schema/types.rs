//! The type that expressions about an object are checked against.

use std::sync::Arc;

use super::Schema;
use crate::core::cel::{Form, ObjectType, Type};

impl Schema {
    /// The type of CEL. Objects within are named by their path, `name` first, as in `object.spec.ports[]`.
    ///
    /// It says no more than what is always true: null is of another type, so that what may be null is known
    /// only at run time, unless it is an object.
    pub fn to_type(&self, name: &str) -> Type {
        match self {
            Self::Any => Type::Dyn,
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::List { element, .. } => Type::list(element.to_type(&format!("{name}[]"))),
            Self::Map(value) => Type::map(Type::String, value.to_type(&format!("{name}[*]"))),
            Self::Object { fields, open } => {
                let form = if *open { Form::OpenMap } else { Form::Map };
                let fields = fields.iter();
                let fields =
                    fields.map(|(field, schema)| (field.clone(), schema.to_type(&format!("{name}.{field}"))));
                Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: fields.collect(), form }))
            }
            // CEL lets null stand for an object.
            Self::Nullable(inner) => match inner.to_type(name) {
                object @ Type::Object(_) => object,
                _ => Type::Dyn,
            },
        }
    }
}
