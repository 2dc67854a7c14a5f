//! Messages, and what answers of a server mean. What a real server makes of it is in tests/sinks/smtp.rs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use regex::Regex;
use serde_json::json;

use super::*;
use crate::core::alert::Reason;
use crate::sinks::text::sample;

fn config(more: serde_json::Value) -> EmailConfig {
    let mut config = json!({
        "host": "smtp.example.com",
        "from": "Alerts <alerts@example.com>",
        "to": ["oncall@example.com", "Böse Boss <boss@example.com>"],
    });
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    serde_json::from_value(config).expect("a config")
}

fn email(more: serde_json::Value) -> Email {
    Email::new(&config(more)).expect("a sink")
}

fn refused(more: serde_json::Value) -> Vec<String> {
    Email::new(&config(more)).expect_err("an error").iter().map(ToString::to_string).collect()
}

/// The headers as they are sent, unfolded, and the body with its lines joined again that were too long.
fn sent(email: &Email, notice: &Notice) -> (Vec<String>, String) {
    let bytes = email.message(notice).expect("a message").0.formatted();
    assert!(bytes.is_ascii(), "every server takes it");
    let text = String::from_utf8(bytes).expect("ASCII");
    let (headers, body) = text.split_once("\r\n\r\n").expect("headers and a body");
    let headers = headers.replace("\r\n ", " ").split("\r\n").map(str::to_owned).collect();
    (headers, body.replace("=\r\n", ""))
}

#[test]
fn a_message_says_what_it_is_and_where_it_belongs() {
    let email = email(json!({}));
    let mut notice = sample(Reason::Opened);
    let (headers, body) = sent(&email, &notice);
    for header in [
        "Message-ID: <0123456789abcdef0123456789abcdef@example.com>",
        "Date: Fri, 01 May 2026 10:05:00 +0000",
        "From: Alerts <alerts@example.com>",
        "Auto-Submitted: auto-generated",
        "Content-Type: text/plain; charset=utf-8",
        "MIME-Version: 1.0",
    ] {
        assert!(headers.iter().any(|there| there == header), "{header} in {headers:#?}");
    }
    assert!(
        headers.iter().any(|header| header.starts_with("Subject: [high] api-gateway / ")),
        "{headers:#?}"
    );
    assert!(
        headers.iter().any(|header| header.starts_with("To: oncall@example.com, =?utf-8?")),
        "{headers:#?}"
    );
    assert!(
        !headers.iter().any(|header| header.starts_with("In-Reply-To")),
        "the first of a thread: {headers:#?}"
    );
    assert!(body.contains("New (1):\r\n- [high] APIRoute"), "{body}");
    assert_eq!(sent(&email, &notice).0, headers, "what is sent again is the same message");

    notice.id = "next".to_owned();
    notice.reference = Some("<0123456789abcdef0123456789abcdef@example.com>".to_owned());
    let (headers, _) = sent(&email, &notice);
    for header in [
        "Message-ID: <next@example.com>",
        "In-Reply-To: <0123456789abcdef0123456789abcdef@example.com>",
        "References: <0123456789abcdef0123456789abcdef@example.com>",
    ] {
        assert!(headers.iter().any(|there| there == header), "{header} in {headers:#?}");
    }
}

#[test]
fn nothing_of_a_notice_becomes_a_header() {
    let email = email(json!({"subject": "{{ policy }}\r\nBcc: a@example.com\n\nbody"}));
    let mut notice = sample(Reason::Opened);
    notice.policy = "p\r\nBcc: b@example.com\u{2028}x".to_owned();
    notice.id = "i>\r\nBcc: c@example.com".to_owned();
    notice.reference = Some("<x>\r\nBcc: d@example.com".to_owned());
    let (headers, _) = sent(&email, &notice);
    assert!(headers.iter().all(|header| !header.starts_with("Bcc")), "{headers:#?}");
    assert!(headers.contains(&"Message-ID: <i---Bcc--c-example.com@example.com>".to_owned()), "{headers:#?}");
    assert!(!headers.iter().any(|header| header.starts_with("In-Reply-To")), "{headers:#?}");
    let (message, _) = email.message(&notice).expect("a message");
    assert_eq!(message.envelope().to().len(), 2);
}

#[test]
fn a_template_that_fails_keeps_nothing_back() {
    let email = email(json!({"text": "{{ 1 // (policy | length - 3) }}", "subject": "{{ policy }}!"}));
    let mut notice = sample(Reason::Opened);
    assert_eq!(sent(&email, &notice).1.trim_end(), "0");
    notice.policy = "abc".to_owned();
    let (headers, body) = sent(&email, &notice);
    assert!(headers.contains(&"Subject: abc!".to_owned()), "{headers:#?}");
    assert!(body.contains("New (1):") && body.contains("email.text: line 1"), "{body}");
}

#[test]
fn what_cannot_work_is_refused_with_its_field() {
    assert_eq!(
        refused(
            json!({"from": "alerts", "to": ["a@example.com", "b@", "a@example.com", "a@b.c\r\nBcc: x@y.z"]})
        ),
        [
            format!("email.from: \"alerts\" {NO_ADDRESS}"),
            format!("email.to[1]: \"b@\" {NO_ADDRESS}"),
            "email.to[2]: a@example.com is given before".to_owned(),
            format!("email.to[3]: \"a@b.c  Bcc: x@y.z\" {NO_ADDRESS}"),
        ]
    );
    assert_eq!(refused(json!({"to": []})), ["email.to: has 0 addresses; give 1 to 32"]);
    assert!(refused(json!({"to": ["a@bücher.example"]}))[0].contains("write the domain as xn--"));
    assert_eq!(
        refused(json!({"subject": "{{ polcy }}", "text": "{% if %}"}))[0],
        "email.subject: line 1: there is no \"polcy\" in a notice; did you mean \"policy\"?"
    );
    assert!(refused(json!({"host": "smtp://example.com"}))[0].starts_with("email.host: "));
    let auth = json!({"username": "alerts", "password": {"name": "smtp", "key": "password"}});
    assert!(refused(json!({"tls": "None", "auth": auth}))[0].starts_with("email.auth: needs tls"));
}

#[test]
fn the_port_follows_from_how_the_connection_is_encrypted() {
    let port = |more| email(more).server.port;
    assert_eq!(port(json!({})), 587);
    assert_eq!(port(json!({"tls": "Tls"})), 465);
    assert_eq!(port(json!({"tls": "None"})), 25);
    assert_eq!(port(json!({"tls": "Tls", "port": 2465})), 2465);
}

#[test]
fn a_sink_names_the_secrets_that_it_needs() {
    let key = |name: &str| SecretKey { name: name.to_owned(), key: "k".to_owned() };
    let with = email(json!({
        "ca": {"name": "ca", "key": "k"},
        "auth": {"username": "u", "password": {"name": "smtp", "key": "k"}},
    }));
    assert_eq!(with.secrets(), [key("ca"), key("smtp")]);
    assert!(email(json!({})).secrets().is_empty());
}

#[test]
fn what_the_api_server_takes_as_an_address_is_one() {
    let pattern = |rule: &str| {
        let pattern = rule.split('\'').nth(1).expect("a pattern between quotes").to_owned();
        Regex::new(&pattern).expect("a pattern")
    };
    let schema = serde_json::to_value(schemars::schema_for!(EmailConfig)).expect("a schema");
    let rule = |field: &str| {
        let rule = &schema["properties"][field]["x-kubernetes-validations"][0]["rule"];
        pattern(rule.as_str().unwrap_or_else(|| panic!("{field} has a rule: {schema:#}")))
    };
    for field in ["from", "to"] {
        let address = rule(field);
        for good in ["a@b.c", "alerts+x@mail.example.com", "Böse <boss@example.com>", "\"A, B\" <a@b.c>"] {
            assert!(address.is_match(good) && mailbox(good).is_ok(), "{good}");
        }
        for bad in ["alerts", "a@b.c, d@e.f", "<>", "a@", "@b", "a b@c.d@"] {
            assert!(!address.is_match(bad), "{bad}");
        }
    }
    let host = rule("host");
    for good in ["smtp.example.com", "10.0.0.1", "::1", "fd00::25", "localhost"] {
        assert!(host.is_match(good) && Email::new(&config(json!({"host": good}))).is_ok(), "{good}");
    }
    for bad in ["smtp.example.com:587", "smtp://x", "a b", "", "-x"] {
        assert!(!host.is_match(bad), "{bad}");
    }
}

/// A server that answers what it is told to, to commands that begin in some way, and else that all is well.
fn server(answers: &[(&'static str, &'static str)]) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answers = answers.to_vec();
    let told =
        move |line: &str| answers.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, said)| *said);
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
        let mut heard = Vec::new();
        let mut say = |said: &str| stream.write_all(format!("{said}\r\n").as_bytes());
        say(told("connect").unwrap_or("220 mail.test")).expect("a greeting");
        while let Some(Ok(line)) = lines.next() {
            let said = told(&line).unwrap_or(if line == "DATA" { "354 go on" } else { "250 fine" });
            if said.is_empty() || say(said).is_err() || line == "QUIT" {
                break;
            }
            if line == "DATA" && said.starts_with("354") {
                while lines.next().is_some_and(|line| line.is_ok_and(|line| line != ".")) {}
                say(told(".").unwrap_or("250 taken")).expect("an answer");
            }
            heard.push(line);
        }
        heard
    });
    (port, thread)
}

/// What becomes of a notice, and the commands that the server heard.
async fn sends(
    answers: &[(&'static str, &'static str)],
    tls: &str,
) -> (Result<Receipt, SendError>, Vec<String>) {
    let (port, thread) = server(answers);
    let email = email(json!({"host": "127.0.0.1", "port": port, "tls": tls}));
    let result = email.send(&sample(Reason::Opened), &Secrets::default()).await;
    (result, thread.join().expect("the server"))
}

fn passing(result: Result<Receipt, SendError>, expected: &str) {
    match result {
        Err(SendError::Passing { why, .. }) if why.contains(expected) => {}
        other => panic!("{other:?} is not passing, with {expected}"),
    }
}

#[tokio::test]
async fn a_message_that_is_taken_has_arrived_whatever_the_server_says_at_the_end() {
    let (result, heard) = sends(&[("QUIT", "500 what?")], "None").await;
    let reference = Some("<0123456789abcdef0123456789abcdef@example.com>".to_owned());
    assert_eq!(result, Ok(Receipt { reference }));
    assert_eq!(
        heard,
        [
            "EHLO example.com",
            "MAIL FROM:<alerts@example.com>",
            "RCPT TO:<oncall@example.com>",
            "RCPT TO:<boss@example.com>",
            "DATA",
        ]
    );
}

#[tokio::test]
async fn what_later_messages_refer_to_is_the_first() {
    let (port, thread) = server(&[]);
    let email = email(json!({"host": "127.0.0.1", "port": port, "tls": "None"}));
    let mut notice = sample(Reason::Opened);
    notice.reference = Some("<first@example.com>".to_owned());
    let receipt = email.send(&notice, &Secrets::default()).await.expect("it is taken");
    assert_eq!(receipt.reference.as_deref(), Some("<first@example.com>"));
    thread.join().expect("the server");
}

#[tokio::test]
async fn answers_mean_what_they_say_of_the_notice() {
    let port = "127.0.0.1:";
    passing(sends(&[("connect", "554 go away")], "None").await.0, port);
    passing(sends(&[("connect", "421 too many")], "None").await.0, "421 too many");
    passing(sends(&[("MAIL", "451 later")], "None").await.0, "451 later");
    passing(sends(&[("RCPT TO:<boss", "450 greylisted")], "None").await.0, "450 greylisted");
    passing(sends(&[("DATA", "")], "None").await.0, "does not take the message now");
    passing(sends(&[(".", "452 full")], "None").await.0, "452 full");
    passing(sends(&[], "StartTls").await.0, "offers no STARTTLS");
    passing(sends(&[], "Tls").await.0, "cannot be reached");

    let permanent = |result: Result<Receipt, SendError>, expected: &str| match result {
        Err(SendError::Permanent(why)) if why.contains(expected) => why,
        other => panic!("{other:?} is not permanent, with {expected}"),
    };
    permanent(sends(&[("MAIL", "550 no relay")], "None").await.0, "550 no relay; mend email.from");
    permanent(sends(&[(".", "552 too large")], "None").await.0, "refuses the message: 552 too large");
    permanent(
        sends(&[("RCPT", "550 unknown")], "None").await.0,
        "oncall@example.com (550 unknown), boss@example.com",
    );
    for command in ["MAIL", "RCPT", "DATA"] {
        let (result, _) = sends(&[(command, "530 log in first")], "None").await;
        let Err(SendError::Credentials(why)) = &result else { panic!("{command}: {result:?}") };
        assert!(why.contains("530 log in first; give email.auth"), "{why}");
    }
}

#[tokio::test]
async fn an_unknown_recipient_keeps_the_message_from_nobody_else() {
    let (result, heard) = sends(&[("RCPT TO:<boss", "550 5.1.1 left us")], "None").await;
    let Err(SendError::Permanent(why)) = result else { panic!("{result:?}") };
    assert!(
        why.contains(
            "took the message for 1 of 2 recipients and refuses boss@example.com (550 5.1.1 left us)"
        ),
        "{why}"
    );
    assert!(heard.contains(&"DATA".to_owned()), "{heard:?}");
}

#[tokio::test]
async fn an_answer_is_repeated_in_one_bounded_line() {
    let long = "550 5.7.1 ".to_owned() + &"x\u{1b}[31m".repeat(100);
    let long: &'static str = long.leak();
    let (result, _) = sends(&[("RCPT", long)], "None").await;
    let Err(SendError::Permanent(why)) = result else { panic!("{result:?}") };
    assert!(why.len() < 1000 && !why.contains(char::is_control), "{why}");
}

#[tokio::test]
async fn nobody_listening_is_passing() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let email = email(json!({"host": "127.0.0.1", "port": port}));
    passing(email.send(&sample(Reason::Opened), &Secrets::default()).await, "cannot be reached");
}

#[tokio::test]
async fn what_is_no_certificate_is_told_by_its_secret() {
    let email = email(json!({"ca": {"name": "ca", "key": "ca.crt"}}));
    let key = SecretKey { name: "ca".to_owned(), key: "ca.crt".to_owned() };
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nhello\n-----END CERTIFICATE-----\n"] {
        let secrets = Secrets::new(BTreeMap::from([(key.clone(), pem.as_bytes().to_vec())]));
        let error = email.send(&sample(Reason::Opened), &secrets).await.expect_err("no certificate");
        let SendError::Credentials(why) = &error else { panic!("{error:?}") };
        assert!(why.contains("key ca.crt of Secret ca") && !why.contains("hello"), "{why}");
    }
}

#[test]
fn a_password_that_a_server_repeats_is_not_repeated_again() {
    let auth = EmailAuth {
        username: "alerts".to_owned(),
        password: SecretKey { name: "smtp".to_owned(), key: "password".to_owned() },
    };
    let login = Login::new(&auth, "s3cret-word");
    // base64 of NUL alerts NUL s3cret-word, as AUTH PLAIN sends it
    let heard = "what is AUTH PLAIN AGFsZXJ0cwBzM2NyZXQtd29yZA== or s3cret-word or czNjcmV0LXdvcmQ=?";
    assert_eq!(login.without_password(heard), "what is AUTH PLAIN [password] or [password] or [password]?");
}
