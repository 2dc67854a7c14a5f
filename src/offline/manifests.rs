//! From files to objects, as they would be after `kubectl apply`, one file after another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::input::Source;
use super::kinds::{by_kind, guess_plural};
use super::schemas::Defined;
use super::{InputError, Item, items};
use crate::core::paths::Paths;
use crate::core::project::{ProjectedObject, Projection};
use crate::core::schema::{Definition, SchemaSet};
use crate::yaml::{Place, Tree, Value};

/// The label by which the API server names every Namespace.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One object.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The object, whole.
    pub object: Arc<ProjectedObject>,
    /// Group, version and plural of its kind.
    pub resource: [Arc<str>; 3],
}

/// What the manifests say.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Each object once, in the order in which they were first given.
    pub objects: Vec<Manifest>,
    /// The Namespaces among them, by name.
    pub namespaces: BTreeMap<Arc<str>, Arc<ProjectedObject>>,
    /// For objects whose Namespace is not among them: one of which nothing is known but its name.
    pub assumed: BTreeMap<Arc<str>, Arc<ProjectedObject>>,
    /// What the definitions among them say that objects look like.
    pub schemas: SchemaSet,
    /// Kinds that definitions among them define, by group and kind, and whether they live in namespaces.
    pub defined: HashMap<(String, String), bool>,
    /// How many were given again; the last one counts.
    pub replaced: usize,
    /// Kinds whose scope nobody told, and of which no object has a namespace: taken as namespaced.
    pub guessed: BTreeSet<String>,
}

/// Reads the objects of `sources`. Objects of namespaced kinds without a namespace are in `namespace`.
///
/// # Errors
/// Everything that is no object.
pub fn read(sources: &[Source], namespace: &str) -> Result<Manifests, Vec<InputError>> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for source in sources {
        match items(source) {
            Ok(items) => found.extend(items),
            Err(error) => errors.push(error),
        }
    }
    let mut known = Kinds::default();
    for item in &found {
        match fault(item) {
            Some(error) => errors.push(error),
            None => known.learn(&item.tree),
        }
    }
    if found.is_empty() && errors.is_empty() {
        let at = Place::START;
        let file = sources.first().map_or("no file".into(), |source| source.file.clone());
        let text = "there is no object, so there is nothing to judge".to_owned();
        errors.push(InputError { file, document: 1, at, text });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let defined = known.defined.iter().map(|(kind, (_, namespaced))| (kind.clone(), *namespaced));
    let mut manifests = Manifests { defined: defined.collect(), ..Manifests::default() };
    manifests.schemas = std::mem::take(&mut known.schemas);
    let mut places: HashMap<[String; 4], usize> = HashMap::new();
    let mut projections = HashMap::new();
    for item in found {
        let manifest = known.manifest(item, namespace, &mut projections, &mut manifests.guessed)?;
        let id = manifest.object.id();
        let group = manifest.resource[0].to_string();
        let owner = id.namespace.as_deref().unwrap_or_default().to_owned();
        let identity = [group, id.kind.to_string(), owner, id.name.to_string()];
        if let Some(at) = places.get(&identity) {
            manifests.replaced += 1;
            manifests.objects[*at] = manifest;
        } else {
            places.insert(identity, manifests.objects.len());
            manifests.objects.push(manifest);
        }
    }
    for Manifest { object, .. } in &manifests.objects {
        let id = object.id();
        if (&*id.api_version, &*id.kind) == ("v1", "Namespace") {
            manifests.namespaces.insert(id.name.clone(), object.clone());
        }
    }
    for name in manifests.objects.iter().filter_map(|manifest| manifest.object.id().namespace.clone()) {
        if !manifests.namespaces.contains_key(&name) && !manifests.assumed.contains_key(&name) {
            let namespace = bare_namespace(&name).map_err(|error| vec![error])?;
            manifests.assumed.insert(name, namespace);
        }
    }
    Ok(manifests)
}

fn bare_namespace(name: &str) -> Result<Arc<ProjectedObject>, InputError> {
    let json = serde_json::json!({"metadata": {"name": name, "labels": {NAME_LABEL: name}}});
    let decoded = Projection::new(Paths::whole(), "v1", "Namespace").decode(json);
    let at = Place::START;
    let unfit =
        |error: serde_json::Error| InputError { file: name.into(), document: 1, at, text: error.to_string() };
    decoded.map(Arc::new).map_err(unfit)
}

/// An object exactly as it is written.
pub(super) fn verbatim(item: &Item) -> Result<Arc<ProjectedObject>, InputError> {
    if let Some(error) = fault(item) {
        return Err(error);
    }
    let text = |key| item.tree.str_at(&[key]).unwrap_or_default();
    let projection = Projection::whole(text("apiVersion"), text("kind"));
    let object = projection.decode(item.tree.to_json());
    Ok(Arc::new(object.map_err(|error| item.error(item.tree.at, error.to_string()))?))
}

/// What the API server needs of every object.
fn fault(item: &Item) -> Option<InputError> {
    let name = match item.tree.get("metadata").is_some_and(|metadata| metadata.get("name").is_none()) {
        true if item.tree.str_at(&["metadata", "generateName"]).is_some() => Ok(""),
        _ => item.text(&["metadata", "name"]),
    };
    if let Some(error) =
        [item.text(&["apiVersion"]), item.text(&["kind"]), name].into_iter().find_map(Result::err)
    {
        return Some(error);
    }
    let metadata = item.tree.get("metadata")?;
    if let Some(namespace) = metadata.get("namespace")
        && namespace.as_str().is_none()
        && namespace.value != Value::Null
    {
        let text = format!("metadata.namespace must be a text; it is {}", namespace.value.type_name());
        return Some(item.error(namespace.at, text));
    }
    // Selectors would not see them, and the server would refuse the object.
    for field in ["labels", "annotations"] {
        for entry in metadata.get(field).into_iter().flat_map(Tree::entries) {
            if entry.value.as_str().is_none() {
                let got = entry.value.value.type_name();
                let text = format!(
                    "metadata.{field}.{}: must be a text, and is {got}; write it in quotes",
                    entry.key
                );
                return Some(item.error(entry.value.at, text));
            }
        }
    }
    None
}

fn group_of(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// What is known of kinds: of built-in ones from a table, of others from the definitions and objects at hand.
#[derive(Default)]
struct Kinds {
    /// Plural and scope by group and kind.
    defined: HashMap<(String, String), (String, bool)>,
    schemas: SchemaSet,
    /// Groups and kinds of which an object has a namespace.
    namespaced: BTreeSet<(String, String)>,
}

impl Kinds {
    fn learn(&mut self, tree: &Tree) {
        let text = |path: &[&str]| tree.str_at(path).unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&["apiVersion"]), text(&["kind"]));
        let (group, _) = group_of(&api_version);
        if (group, kind.as_str()) == ("apiextensions.k8s.io", "CustomResourceDefinition") {
            let Defined { group, kind, plural, namespaced, definition, .. } = Defined::read(tree);
            // One that the API server would refuse says nothing.
            for (version, schema) in definition.iter().flat_map(Definition::versions) {
                self.schemas.insert(&group, version, &kind, Arc::new(schema));
            }
            self.defined.insert((group, kind), (plural, namespaced));
        }
        if !text(&["metadata", "namespace"]).is_empty() {
            self.namespaced.insert((group.to_owned(), kind));
        }
    }

    fn manifest(
        &self,
        mut item: Item,
        namespace: &str,
        projections: &mut HashMap<(String, String), Projection>,
        guessed: &mut BTreeSet<String>,
    ) -> Result<Manifest, Vec<InputError>> {
        let text = |path: &[&str]| item.tree.str_at(path).unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&["apiVersion"]), text(&["kind"]));
        let (group, version) = group_of(&api_version);
        let key = (group.to_owned(), kind.clone());
        let built_in = by_kind(group, &kind).map(|known| (known.plural.to_owned(), known.namespaced));
        let has_namespace = !text(&["metadata", "namespace"]).is_empty();
        let (plural, namespaced) =
            built_in.or_else(|| self.defined.get(&key).cloned()).unwrap_or_else(|| {
                if !self.namespaced.contains(&key) {
                    guessed.insert(format!("{kind} ({api_version})"));
                }
                (guess_plural(&kind), true)
            });
        let generated = text(&["metadata", "generateName"]);
        let name = text(&["metadata", "name"]);
        if let Some(metadata) = item.tree.get_mut("metadata") {
            if name.is_empty() {
                metadata.set("name", Value::Text(generated));
            }
            match (namespaced, has_namespace) {
                (true, false) => metadata.set("namespace", Value::Text(namespace.to_owned())),
                // The server drops it, too.
                (false, true) => metadata.set("namespace", Value::Null),
                _ => {}
            }
            if (group, kind.as_str()) == ("", "Namespace") {
                if metadata.get("labels").is_none_or(|labels| labels.value == Value::Null) {
                    metadata.set("labels", Value::Map(Vec::new()));
                }
                if let Some(labels) = metadata.get_mut("labels") {
                    labels.set(NAME_LABEL, Value::Text(name));
                }
            }
        }
        let projection = projections
            .entry((api_version.clone(), kind.clone()))
            .or_insert_with(|| Projection::whole(&api_version, &kind));
        let object = projection
            .decode(item.tree.to_json())
            .map_err(|error| vec![item.error(item.tree.at, error.to_string())])?;
        let resource = [group.into(), version.into(), plural.into()];
        Ok(Manifest { object: Arc::new(object), resource })
    }
}
