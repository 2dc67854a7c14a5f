//! Clients of clusters.
//!
//! In: a kubeconfig or the service account of a Pod. Out: a client whose every request passes through the layer
//! that it is given. `app` calls.

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::{Body, ClientBuilder, DynBody};
use kube::{Client, Config};
use thiserror::Error;
use tower::{BoxError, Layer, Service};

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account.
    #[error(
        "no cluster to connect to: set KUBECONFIG or --context, or run in a Pod with a service account ({0})"
    )]
    NoConfig(String),
    /// The configuration cannot be used.
    #[error("the cluster's configuration can not be used: {0}")]
    Unusable(#[source] kube::Error),
}

type Inner = tower::util::BoxService<http::Request<Body>, http::Response<Box<DynBody>>, BoxError>;

/// Connects to the cluster of the kubeconfig (KUBECONFIG, `~/.kube/config`; `context` names one of its
/// contexts), else to the one that this Pod runs in.
///
/// # Errors
/// When there is no configuration or it cannot be used. Whether the API server answers is not asked.
pub async fn connect<L>(context: Option<&str>, layer: &L) -> Result<Client, ConnectError>
where
    L: Layer<Inner>,
    L::Service: Service<http::Request<Body>, Response = http::Response<Box<DynBody>>, Error = BoxError>
        + Send
        + 'static,
    <L::Service as Service<http::Request<Body>>>::Future: Send + 'static,
{
    let mut config = config(context).await?;
    // By itself kube asks 15 times when a server answers 429, 503 or 504, over minutes, and meanwhile nobody knows
    // that something is wrong. Everything here has a back-off of its own.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    let agent = concat!("polywatch/", env!("CARGO_PKG_VERSION"));
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    let builder = ClientBuilder::try_from(config).map_err(ConnectError::Unusable)?;
    Ok(builder.with_layer(layer).build())
}

async fn config(context: Option<&str>) -> Result<Config, ConnectError> {
    let no_config = |error: &dyn std::fmt::Display| ConnectError::NoConfig(error.to_string());
    match context {
        Some(context) => {
            let options =
                kube::config::KubeConfigOptions { context: Some(context.to_owned()), ..Default::default() };
            Config::from_kubeconfig(&options).await.map_err(|error| no_config(&error))
        }
        None => Config::infer().await.map_err(|error| no_config(&error)),
    }
}
