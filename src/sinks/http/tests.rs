use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, LazyLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::sinks::testing::{Receiver, Reply, key, nothing_shows, secrets};

/// What the server shows, and its key.
static SHOWN: LazyLock<(String, String)> = LazyLock::new(of_localhost);
/// What nobody shows.
static OTHER: LazyLock<String> = LazyLock::new(|| of_localhost().0);

/// A certificate that speaks for itself, and its key, in PEM.
fn of_localhost() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn certificate() -> &'static str {
    &SHOWN.0
}

async fn post(http: &Http, url: &str, secrets: &Secrets) -> Result<String, SendError> {
    let address = Address::new("url", url).expect("an address");
    let mask = http.mask(secrets, &[]);
    let answer = http.post(&address, HeaderMap::new(), b"body".to_vec(), secrets, &mask).await?;
    answer.accepted().map(|answer| String::from_utf8(answer.body).expect("text"))
}

fn basic() -> Auth {
    let basic = BasicAuth { username: "polywatch".to_owned(), password_secret: key("password") };
    Auth { basic_auth: Some(basic), bearer_token_secret: None }
}

fn bearer() -> Auth {
    Auth { basic_auth: None, bearer_token_secret: Some(key("token")) }
}

#[tokio::test]
async fn a_request_says_who_asks_and_proves_it() {
    let receiver = Receiver::always(Reply::status(200, "taken")).await;
    let values = secrets(&[("password", "open sesame\n"), ("token", "t0ken")]);
    for (auth, header) in
        [(None, ""), (Some(basic()), "Basic cG9seXdhdGNoOm9wZW4gc2VzYW1l"), (Some(bearer()), "Bearer t0ken")]
    {
        let http = Http::new(None, auth.as_ref());
        assert_eq!(post(&http, &receiver.url("/in?a=b"), &values).await.as_deref(), Ok("taken"));
        let received = receiver.received().pop().expect("a request");
        assert_eq!(
            (&*received.method, &*received.path, received.query.as_deref()),
            ("POST", "/in", Some("a=b"))
        );
        assert_eq!(received.header("authorization"), header);
        assert_eq!(received.header("user-agent"), format!("polywatch/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(received.body, b"body");
    }
    assert_eq!(Http::new(None, Some(&basic())).secrets(), [key("password")]);
}

#[tokio::test]
async fn a_credential_that_no_header_can_have_or_that_is_missing_is_named_and_not_shown() {
    let receiver = Receiver::always(Reply::status(200, "")).await;
    let http = Http::new(None, Some(&bearer()));
    for values in [&[("token", "s3cr3t\nvalue")] as &[_], &[("token", "")], &[]] {
        let error = post(&http, &receiver.url("/"), &secrets(values)).await.expect_err("an error");
        assert!(
            matches!(&error, SendError::Credentials(text) if text.contains("key token of Secret alerts"))
        );
        nothing_shows([&error], &["s3cr3t"]);
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn of_an_answer_no_more_is_read_than_the_bound_and_its_status_counts_when_the_rest_never_comes() {
    // The last one stops the clock.
    for reply in
        [Reply::Endless(200), Reply::Broken(200, "first".to_owned()), Reply::Stalled(200, "first".to_owned())]
    {
        let endless = matches!(reply, Reply::Endless(_));
        let stalled = matches!(reply, Reply::Stalled(..));
        let receiver = Receiver::always(reply).await;
        let http = Http::new(None, None);
        let request = async {
            receiver.arrived().await;
            if stalled {
                tokio::time::pause();
            }
        };
        let url = receiver.url("/");
        let values = Secrets::default();
        let (body, ()) = tokio::join!(post(&http, &url, &values), request);
        let body = body.expect("taken");
        assert_eq!(body.len(), if endless { MAX_BODY } else { 5 });
    }
}

#[tokio::test]
async fn whoever_does_not_answer_in_time_is_asked_later() {
    let receiver = Receiver::always(Reply::Silence).await;
    let http = Http::new(None, None);
    let url = receiver.url("/");
    let values = Secrets::default();
    // The clock runs only once the request is there.
    let (answer, ()) = tokio::join!(post(&http, &url, &values), async {
        receiver.arrived().await;
        tokio::time::pause();
    });
    let why = format!("{url} gives no answer: no answer within 30 s");
    assert_eq!(answer, Err(SendError::Passing { why, retry_after: None }));
}

/// The address of a server with the certificate of localhost.
fn tls_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://localhost:{}/", listener.local_addr().expect("an address").port());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SHOWN.0.as_bytes()).expect("a certificate")],
            PrivateKeyDer::from_pem_slice(SHOWN.1.as_bytes()).expect("a key"),
        )
        .map(Arc::new)
        .expect("a configuration");
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let mut connection = connection;
            let mut session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut stream = rustls::Stream::new(&mut session, &mut connection);
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok_and(|read| read > 0) {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\ntaken");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    url
}

fn tls(ca: bool, insecure_skip_verify: bool) -> Tls {
    Tls { ca: ca.then(|| key("ca")), insecure_skip_verify }
}

#[tokio::test]
async fn a_destination_is_trusted_for_the_authority_in_the_secret_which_may_change_at_any_time() {
    let url = tls_server();
    let http = Http::new(Some(&tls(true, false)), None);
    assert_eq!(http.secrets(), [key("ca")]);
    let both = format!("{}{}", *OTHER, certificate());
    for (ca, trusted) in
        [(certificate(), true), (&**OTHER, false), (certificate(), true), (&*both, true), (&**OTHER, false)]
    {
        let answer = post(&http, &url, &secrets(&[("ca", ca)])).await;
        assert_eq!(answer.is_ok(), trusted, "{answer:?}");
        if let Err(error) = answer {
            assert!(
                matches!(&error, SendError::Passing { why, .. } if why.contains("tls.ca names")),
                "{error:?}"
            );
        }
        assert!(http.clients.lock().expect("a list").len() <= MAX_CLIENTS);
    }
    for none in ["", "no PEM", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"] {
        let error = post(&http, &url, &secrets(&[("ca", none)])).await.expect_err("an error");
        let text = error.to_string();
        assert!(matches!(error, SendError::Credentials(_)), "{error:?}");
        assert!(text.contains("key ca of Secret alerts has no certificates in PEM"), "{text}");
    }
}

#[tokio::test]
async fn nobody_is_trusted_without_a_word_and_everybody_when_that_is_asked_for() {
    let url = tls_server();
    let values = Secrets::default();
    let error = post(&Http::new(None, None), &url, &values).await.expect_err("an error");
    assert!(matches!(&error, SendError::Passing { .. }), "{error:?}");
    assert_eq!(post(&Http::new(Some(&tls(false, true)), None), &url, &values).await.as_deref(), Ok("taken"));
    // Another name than the certificate has.
    let url = url.replace("localhost", "127.0.0.1");
    let http = Http::new(Some(&tls(true, false)), None);
    let error = post(&http, &url, &secrets(&[("ca", certificate())])).await.expect_err("an error");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn an_address_from_a_secret_is_not_shown_when_the_certificate_is_for_another() {
    let address = tls_server().replace("localhost", "127.0.0.1") + "s3cr3t";
    let http = Http::new(Some(&tls(true, false)), None);
    let values = secrets(&[("ca", certificate()), ("url", &address)]);
    let mask = http.mask(&values, &[key("url")]);
    let to = Address::secret(&key("url"), &address).expect("an address");
    let answer = http.post(&to, HeaderMap::new(), Vec::new(), &values, &mask).await;
    let error = answer.err().expect("an error");
    assert!(
        error.to_string().starts_with("the address in key url of Secret alerts gives no answer"),
        "{error}"
    );
    nothing_shows([&error], &[&address, "s3cr3t", "127.0.0.1"]);
}

#[tokio::test]
async fn debug_shows_names_and_no_values() {
    let http = Http::new(Some(&tls(true, false)), Some(&bearer()));
    let shown = format!("{http:?}");
    assert!(shown.contains("token") && shown.contains("ca"), "{shown}");
    let header = secret_header(&key("token"), "s3cr3t").expect("a header");
    assert!(!format!("{header:?}").contains("s3cr3t"));
}
