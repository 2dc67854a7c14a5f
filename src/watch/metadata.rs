//! Watches of which nothing but `metadata` is read ask for nothing else: the API server leaves out spec, status and
//! data before it sends an object (<https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>).

use http::header::ACCEPT;
use http::{HeaderValue, Request};
use kube::Client;
use kube::client::Body;

/// Whoever does not have that form sends whole objects, which are read as well.
const EVENTS: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
const LISTS: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The same client, for lists and watches of metadata.
pub fn client(client: &Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    let ask = move |mut request: Request<Body>| {
        let client = client.clone();
        let mut parameters = request.uri().query().unwrap_or_default().split('&');
        let form = if parameters.any(|pair| pair == "watch=true") { EVENTS } else { LISTS };
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(form));
        async move { client.send(request).await }
    };
    Client::new(tower::service_fn(ask), namespace)
}
