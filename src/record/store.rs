//! What the operator remembers in the cluster: packed JSON in Secrets of its own namespace.
//!
//! Secrets, because what is remembered repeats what objects say. Each is labelled by what it is for and owned by the
//! object that it is about, so that it goes with that.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tracing::warn;

use super::WRITE_TIMEOUT;
use crate::api::{FIELD_MANAGER, MEMORY_LABEL};

/// Most bytes of one entry, packed. API servers take 1 MiB.
pub const MAX_PACKED: usize = 768 * 1024;
/// Most bytes of one entry, unpacked: what another wrote in its place must not fill the memory.
const MAX_UNPACKED: u64 = 64 << 20;
/// Entries that are read at once.
const PAGE: u32 = 20;
/// Type of the Secrets.
const TYPE: &str = "polywatch.dev/memory";
const KEY: &str = "content.json.gz";

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// What a sink was told of a policy.
    Told,
    /// What is open and pending in a policy, and what occurred.
    Findings,
    /// The last known objects of rules on changes.
    Objects,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Findings => "findings",
            Self::Objects => "objects",
        }
    }
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// Name, unique for its purpose: at most 200 characters of a DNS label.
    pub name: String,
    /// What it is about; it goes when that goes.
    pub owner: Option<OwnerReference>,
    /// What is remembered.
    pub content: T,
}

/// Why something cannot be remembered or read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The API server does not take it, or does not answer.
    #[error("Secret {namespace}/{name}: {source}; config/rbac grants the operator what it needs")]
    Refused {
        /// Where.
        namespace: String,
        /// The Secret; empty for all.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// It is too large for one entry.
    #[error("{name} takes {size} bytes packed, and may take {most}")]
    TooLarge {
        /// The Secret.
        name: String,
        /// Packed bytes.
        size: usize,
        /// Most that it may take.
        most: usize,
    },
    /// It cannot be packed.
    #[error("{name} can not be packed: {why}")]
    Pack {
        /// The Secret.
        name: String,
        /// Why.
        why: String,
    },
}

/// The operator's memory in the cluster.
#[derive(Clone)]
pub struct Store {
    client: Client,
    namespace: String,
}

impl Store {
    /// In this namespace.
    pub fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    /// Every entry for a purpose. One that cannot be understood is left out, with a warning.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn list<T: DeserializeOwned>(&self, purpose: Purpose) -> Result<Vec<Entry<T>>, StoreError> {
        let mut params =
            ListParams::default().labels(&format!("{MEMORY_LABEL}={}", purpose.as_str())).limit(PAGE);
        let mut entries = Vec::new();
        loop {
            let page = self.answer("", self.api().list(&params)).await?;
            for secret in page.items {
                let name = secret.metadata.name.clone().unwrap_or_default();
                match read(&secret) {
                    Ok(content) => {
                        let name = name.strip_prefix(&prefix(purpose)).unwrap_or(&name).to_owned();
                        let owner = secret.metadata.owner_references.unwrap_or_default().into_iter().next();
                        entries.push(Entry { name, owner, content });
                    }
                    Err(why) => {
                        warn!(secret = name, why, "what is remembered here can not be read; it is left out")
                    }
                }
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Writes an entry whole, in place of what it was.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn save<T: Serialize>(&self, purpose: Purpose, entry: &Entry<T>) -> Result<(), StoreError> {
        self.save_within(purpose, entry, MAX_PACKED).await.map(drop)
    }

    /// The same, of an entry that may take no more than so many bytes packed; returns how many it takes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn save_within<T: Serialize>(
        &self,
        purpose: Purpose,
        entry: &Entry<T>,
        most: usize,
    ) -> Result<usize, StoreError> {
        let name = prefix(purpose) + &entry.name;
        let packed = pack(&entry.content).map_err(|why| StoreError::Pack { name: name.clone(), why })?;
        let size = packed.len();
        if size > most.min(MAX_PACKED) {
            return Err(StoreError::TooLarge { name, size, most: most.min(MAX_PACKED) });
        }
        let labels = [("app.kubernetes.io/managed-by", FIELD_MANAGER), (MEMORY_LABEL, purpose.as_str())];
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                owner_references: entry.owner.clone().map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(packed))])),
            ..Secret::default()
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.answer(&name, self.api().patch(&name, &params, &Patch::Apply(&secret))).await?;
        Ok(size)
    }

    /// Forgets an entry. That it is not there is no error.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn delete(&self, purpose: Purpose, name: &str) -> Result<(), StoreError> {
        let name = prefix(purpose) + name;
        match self.answer(&name, self.api().delete(&name, &DeleteParams::default())).await {
            Err(StoreError::Refused { source: kube::Error::Api(status), .. }) if status.code == 404 => Ok(()),
            other => other.map(drop),
        }
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn answer<T>(
        &self,
        name: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, StoreError> {
        let silence = || {
            let why = format!("no answer within {} s", WRITE_TIMEOUT.as_secs());
            Err(kube::Error::Service(why.into()))
        };
        let answer = tokio::time::timeout(WRITE_TIMEOUT, request).await.unwrap_or_else(|_| silence());
        answer.map_err(|source| StoreError::Refused {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            source,
        })
    }
}

fn prefix(purpose: Purpose) -> String {
    format!("polywatch-{}-", purpose.as_str())
}

pub(super) fn pack<T: Serialize>(content: &T) -> Result<Vec<u8>, String> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut packer, content).map_err(|error| error.to_string())?;
    packer.flush().and_then(|()| packer.finish()).map_err(|error| error.to_string())
}

fn read<T: DeserializeOwned>(secret: &Secret) -> Result<T, String> {
    let packed = secret.data.as_ref().and_then(|data| data.get(KEY)).ok_or(format!("it has no {KEY}"))?;
    let unpacked = GzDecoder::new(packed.0.as_slice()).take(MAX_UNPACKED);
    serde_json::from_reader(std::io::BufReader::new(unpacked)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_again_and_what_is_not_packed_is_an_error() {
        let content: BTreeMap<String, u32> = (0..1000).map(|n| (format!("finding-{n}"), n)).collect();
        let packed = pack(&content).expect("packed");
        let secret = |bytes: Vec<u8>| Secret {
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes))])),
            ..Secret::default()
        };
        assert_eq!(read(&secret(packed)), Ok(content));
        assert!(read::<u32>(&secret(b"not packed".to_vec())).is_err());
        assert!(read::<u32>(&Secret::default()).is_err());
    }
}
