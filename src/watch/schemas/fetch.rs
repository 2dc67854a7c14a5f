//! Where schemas come from, and one question to the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncReadExt;
use http::Request;
use http::header::ACCEPT;
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::core::schema::{Definition, Document, Schema};
use crate::watch::catalog::Served;

/// Largest answer that is read, in bytes. The largest document of the built-in kinds has 1.6 million.
const MAX_ANSWER: u64 = 16 << 20;
/// A question that is not answered by then is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What describes one or more kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The CustomResourceDefinition of this name.
    Definition(String),
    /// The document of OpenAPI v3 of this group and version, by its name in the index.
    Document(String),
}

impl Source {
    /// The definition of a kind, when it is known; it is true at once, the document a moment later.
    pub fn of(served: &Served) -> Self {
        match (&served.definition, served.group.as_str()) {
            (Some(definition), _) => Self::Definition(definition.name.clone()),
            (None, "") => Self::Document(format!("api/{}", served.version)),
            (None, group) => Self::Document(format!("apis/{group}/{}", served.version)),
        }
    }
}

/// One kind in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
}

impl Kind {
    /// The kind that is served.
    pub fn of(served: &Served) -> Self {
        Self { group: served.group.clone(), version: served.version.clone(), kind: served.kind.clone() }
    }
}

/// Schemas by kind; none for a kind that the source does not describe.
pub type Schemas = BTreeMap<Kind, Option<Arc<Schema>>>;

/// What a source answered.
#[derive(Debug)]
pub enum Answer {
    /// Nothing changed since the address that was known.
    Unchanged,
    /// Its schemas, and the address that they were read at, which changes with its content.
    Read(Schemas, String),
}

/// Why a source did not answer.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The API server publishes no such document, or not yet.
    #[error("the API server publishes no schemas for {0}")]
    Absent(String),
    /// It refused, or could not be reached.
    #[error(transparent)]
    Request(#[from] kube::Error),
    /// The connection broke.
    #[error("the answer broke off: {0}")]
    Read(#[from] std::io::Error),
    /// More than [`MAX_ANSWER`].
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    /// Not what was asked for.
    #[error("the answer can not be read: {0}")]
    Malformed(String),
    /// Nothing came.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Silent,
}

/// Asks a source for kinds, once. `known` is the address of what is known already of all of them.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(
    client: Client,
    source: Source,
    kinds: BTreeSet<Kind>,
    known: Option<String>,
) -> Result<Answer, FetchError> {
    tokio::time::timeout(TIMEOUT, read(client, source, kinds, known)).await.unwrap_or(Err(FetchError::Silent))
}

async fn read(
    client: Client,
    source: Source,
    kinds: BTreeSet<Kind>,
    known: Option<String>,
) -> Result<Answer, FetchError> {
    match source {
        Source::Definition(name) => {
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            let body = get(&client, &path).await?;
            let schemas = blocking(body, |definition: Definition| {
                each(kinds, |kind| definition.version(&kind.version))
            });
            Ok(Answer::Read(schemas.await?, path))
        }
        Source::Document(name) => {
            let index = blocking(get(&client, "/openapi/v3").await?, |index: Index| index).await?;
            let address = index.paths.get(&name).map(|entry| entry.address.clone());
            let address = address.filter(|address| address.starts_with('/'));
            let address = address.ok_or(FetchError::Absent(name))?;
            if known.as_ref() == Some(&address) {
                return Ok(Answer::Unchanged);
            }
            let body = get(&client, &address).await?;
            let schemas = blocking(body, |document: Document| {
                each(kinds, |kind| document.kind(&kind.group, &kind.version, &kind.kind))
            });
            Ok(Answer::Read(schemas.await?, address))
        }
    }
}

#[derive(Deserialize)]
struct Index {
    paths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Names a hash of the document.
    #[serde(rename = "serverRelativeURL")]
    address: String,
}

fn each(kinds: BTreeSet<Kind>, schema: impl Fn(&Kind) -> Option<Schema>) -> Schemas {
    let with_schema = |kind| {
        let schema = schema(&kind).map(Arc::new);
        (kind, schema)
    };
    kinds.into_iter().map(with_schema).collect()
}

async fn get(client: &Client, address: &str) -> Result<Vec<u8>, FetchError> {
    let request = Request::get(address).header(ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|error| FetchError::Malformed(error.to_string()))?;
    let mut body = Vec::new();
    client.request_stream(request).await?.take(MAX_ANSWER + 1).read_to_end(&mut body).await?;
    if body.len() as u64 > MAX_ANSWER { Err(FetchError::TooLong) } else { Ok(body) }
}

/// Reads an answer where that holds up nobody: megabytes take a while.
async fn blocking<A: DeserializeOwned, T: Send + 'static>(
    body: Vec<u8>,
    read: impl FnOnce(A) -> T + Send + 'static,
) -> Result<T, FetchError> {
    let read = tokio::task::spawn_blocking(move || serde_json::from_slice(&body).map(read)).await;
    let malformed = |error: &dyn std::fmt::Display| FetchError::Malformed(error.to_string());
    read.map_err(|error| malformed(&error))?.map_err(|error| malformed(&error))
}
