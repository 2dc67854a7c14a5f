//! OpenAPI v3 as Kubernetes writes it
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#openapi-v3> and
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{MAX_DEPTH, MAX_PARTS, Schema, metadata};

const COMPONENTS: &str = "#/components/schemas/";

/// What one group and version of an API server has: `/openapi/v3/apis/GROUP/VERSION`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Document {
    components: Components,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Components {
    schemas: BTreeMap<String, Props>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

impl Document {
    /// The schema of a kind, when the document has it.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<Schema> {
        let wanted = |k: &Kind| (&*k.group, &*k.version, &*k.kind) == (group, version, kind);
        let props = self.components.schemas.values().find(|props| props.kinds.iter().any(wanted))?;
        Some(Reader::new(&self.components.schemas).object(props))
    }
}

/// What a CustomResourceDefinition says of its versions.
#[derive(Debug, Deserialize)]
pub struct Definition {
    spec: DefinitionSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionSpec {
    /// Left over from a time when definitions needed no schema.
    #[serde(default)]
    preserve_unknown_fields: bool,
    versions: Vec<DefinitionVersion>,
}

#[derive(Debug, Deserialize)]
struct DefinitionVersion {
    name: String,
    schema: Option<DefinitionSchema>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionSchema {
    #[serde(rename = "openAPIV3Schema")]
    open_api: Option<Props>,
}

impl Definition {
    /// The schema of a version, when it has one.
    pub fn version(&self, name: &str) -> Option<Schema> {
        self.schema(self.spec.versions.iter().find(|version| version.name == name)?)
    }

    /// Each version that has a schema, by name.
    pub fn versions(&self) -> impl Iterator<Item = (&str, Schema)> {
        let versions = self.spec.versions.iter();
        versions.filter_map(|version| Some((&*version.name, self.schema(version)?)))
    }

    fn schema(&self, version: &DefinitionVersion) -> Option<Schema> {
        let props = version.schema.as_ref()?.open_api.as_ref()?;
        Some(match Reader::new(&BTreeMap::new()).object(props) {
            Schema::Object { fields, .. } if self.spec.preserve_unknown_fields => {
                Schema::Object { fields, open: true }
            }
            schema => schema,
        })
    }
}

/// The parts of a schema object that say what values look like; what says which values are valid is left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Props {
    #[serde(rename = "$ref")]
    reference: Option<String>,
    all_of: Vec<Props>,
    #[serde(rename = "type")]
    kind: Option<String>,
    format: Option<String>,
    nullable: bool,
    properties: BTreeMap<String, Props>,
    items: Option<Box<Props>>,
    additional_properties: Additional,
    #[serde(rename = "x-kubernetes-int-or-string")]
    int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    open: bool,
    #[serde(rename = "x-kubernetes-embedded-resource")]
    embedded: bool,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    list_keys: Vec<Arc<str>>,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<Kind>,
}

/// What a map may have besides its properties.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    None,
    Any,
    Of(Box<Props>),
}

// Not derived as an untagged enumeration: that would hold each level as a copy before it is read.
impl<'de> Deserialize<'de> for Additional {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Additional;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a schema")
            }

            fn visit_bool<E>(self, any: bool) -> Result<Additional, E> {
                Ok(if any { Additional::Any } else { Additional::None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Additional, A::Error> {
                Props::deserialize(MapAccessDeserializer::new(map))
                    .map(|props| Additional::Of(Box::new(props)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

struct Reader<'a> {
    components: &'a BTreeMap<String, Props>,
    /// The references that are being followed.
    within: Vec<&'a str>,
    depth: usize,
    parts: usize,
}

impl<'a> Reader<'a> {
    fn new(components: &'a BTreeMap<String, Props>) -> Self {
        Self { components, within: Vec::new(), depth: 0, parts: 0 }
    }

    /// An object of the API: it has its kind and its metadata, whatever its schema says of them.
    fn object(&mut self, props: &'a Props) -> Schema {
        let (mut fields, open) = match self.shape(props) {
            Schema::Object { fields, open } => (fields, open),
            _ => (BTreeMap::new(), true),
        };
        fields.extend(metadata::of_any_object().map(|(name, schema)| (Arc::from(name), schema)));
        Schema::Object { fields, open }
    }

    fn read(&mut self, props: &'a Props) -> Schema {
        if self.depth >= MAX_DEPTH || self.parts >= MAX_PARTS {
            return Schema::Any;
        }
        self.parts += 1;
        self.depth += 1;
        let schema = if props.embedded { self.object(props) } else { self.shape(props) };
        self.depth -= 1;
        match schema {
            Schema::Any => Schema::Any,
            schema if props.nullable => Schema::Nullable(Box::new(schema)),
            schema => schema,
        }
    }

    fn shape(&mut self, props: &'a Props) -> Schema {
        if let Some(name) = referred(props) {
            return self.follow(name);
        }
        if props.int_or_string || props.format.as_deref() == Some("int-or-string") {
            return Schema::Any;
        }
        match props.kind.as_deref() {
            Some("boolean") => Schema::Bool,
            Some("integer") => Schema::Int,
            Some("number") => Schema::Double,
            Some("string") => Schema::String,
            Some("array") => {
                let element = props.items.as_deref().map_or(Schema::Any, |items| self.read(items));
                let keyed = props.list_type.as_deref() == Some("map");
                let keys = if keyed { props.list_keys.clone() } else { Vec::new() };
                Schema::List { element: Box::new(element), keys }
            }
            Some("object") => self.map(props),
            None if !props.properties.is_empty() => self.map(props),
            _ => Schema::Any,
        }
    }

    fn map(&mut self, props: &'a Props) -> Schema {
        match &props.additional_properties {
            Additional::Of(values) if props.properties.is_empty() => Schema::Map(Box::new(self.read(values))),
            Additional::Any if props.properties.is_empty() => Schema::Map(Box::new(Schema::Any)),
            // Built-in kinds write arbitrary JSON like this.
            Additional::None if props.properties.is_empty() => Schema::Any,
            more => {
                let open = props.open || !matches!(more, Additional::None);
                let fields = props.properties.iter();
                let fields =
                    fields.map(|(name, props)| (Arc::from(name.as_str()), self.read(props))).collect();
                Schema::Object { fields, open }
            }
        }
    }

    fn follow(&mut self, name: &'a str) -> Schema {
        let Some(props) = self.components.get(name).filter(|_| !self.within.contains(&name)) else {
            return Schema::Any;
        };
        self.within.push(name);
        let schema = self.read(props);
        self.within.pop();
        schema
    }
}

/// The component that a schema stands for. Where it has more to say, as a default, it is written as `allOf` of
/// one reference.
fn referred(props: &Props) -> Option<&str> {
    let reference = match (&props.reference, props.all_of.as_slice()) {
        (Some(reference), _) => reference,
        (None, [one]) => one.reference.as_ref()?,
        _ => return None,
    };
    // A reference to elsewhere finds no component.
    Some(reference.strip_prefix(COMPONENTS).unwrap_or(reference))
}
