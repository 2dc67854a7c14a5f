//! Mail, by way of a real mail server into real mailboxes.

use std::collections::BTreeMap;

use polywatch::core::alert::Notice;
use polywatch::sinks::email::{Email, EmailConfig};
use polywatch::sinks::{Receipt, SecretKey, Secrets, SendError, Sink};
use serde_json::{Value, json};

use crate::support::{Authority, MailServer};

/// A sink for a server, with some fields of its own.
fn email(server: &MailServer, more: Value) -> Email {
    let mut config = json!({
        "host": MailServer::HOST,
        "port": server.port(),
        "ca": {"name": "smtp", "key": "ca.crt"},
        "auth": {"username": MailServer::USER, "password": {"name": "smtp", "key": "password"}},
        "from": "Alerts <alerts@mail.test>",
        "to": ["oncall@mail.test"],
    });
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let config: EmailConfig = serde_json::from_value(config).expect("a config");
    Email::new(&config).expect("a sink")
}

fn secrets(ca: String, password: &str) -> Secrets {
    let key = |key: &str| SecretKey { name: "smtp".to_owned(), key: key.to_owned() };
    Secrets::new(BTreeMap::from([
        (key("ca.crt"), ca.into_bytes()),
        // As from a file: kubectl create secret --from-file.
        (key("password"), format!("{password}\n").into_bytes()),
    ]))
}

fn notice(id: &str, reason: &str, reference: Option<&str>) -> Notice {
    let item = json!({
        "id": "00112233445566778899aabbccddeeff",
        "policy": "api-gateway",
        "rule": "backend-available",
        "severity": "critical",
        "object": {
            "apiVersion": "gateway.example.com/v1",
            "kind": "APIRoute",
            "namespace": "team-a",
            "name": "checkout",
            "uid": "6fd2ba2e-8f0a-4a53-9d0e-0c8a5f3e7b11",
        },
        "message": "kein Endpunkt ist erreichbar → „checkout“",
        "since": "2026-05-01T10:00:00Z",
    });
    let none: [Value; 0] = [];
    let open = reason == "Opened";
    let notice = json!({
        "id": id,
        "reason": reason,
        "policy": "api-gateway",
        "group": {"id": "fedcba9876543210fedcba9876543210", "by": {"rule": "backend-available"}},
        "collapsed": false,
        "open": if open { vec![item.clone()] } else { vec![] },
        "opened": if open { vec![item.clone()] } else { vec![] },
        "changed": none,
        "resolved": if open { vec![] } else { vec![item] },
        "occurred": none,
        "totals": {
            "open": usize::from(open),
            "bySeverity": if open { json!({"critical": 1}) } else { json!({}) },
            "opened": usize::from(open),
            "changed": 0,
            "resolved": usize::from(!open),
            "occurred": 0,
        },
        "time": "2026-05-01T10:05:00Z",
        "validUntil": "2026-05-01T11:05:00Z",
        "reference": reference,
    });
    serde_json::from_value(notice).expect("a notice")
}

async fn refused(email: &Email, secrets: &Secrets) -> SendError {
    email.send(&notice("refused", "Opened", None), secrets).await.expect_err("it is refused")
}

#[tokio::test]
async fn a_group_arrives_as_a_thread_in_the_mailboxes_of_all() {
    let server = MailServer::start().await;
    let secrets = secrets(server.ca(), MailServer::PASSWORD);
    let email = email(&server, json!({"to": ["oncall@mail.test", "The Boß <boss@mail.test>"]}));

    let first = email.send(&notice("one", "Opened", None), &secrets).await.expect("it is taken");
    assert_eq!(first, Receipt { reference: Some("<one@mail.test>".to_owned()) });
    for mailbox in ["oncall", "boss"] {
        let mail = server.mail(mailbox, "<one@mail.test>").await;
        assert_eq!(mail.header("From"), Some("Alerts <alerts@mail.test>"), "{mail:?}");
        assert_eq!(mail.header("Auto-Submitted"), Some("auto-generated"), "{mail:?}");
        assert_eq!(mail.header("Content-Type"), Some("text/plain; charset=utf-8"), "{mail:?}");
        assert_eq!(mail.header("In-Reply-To"), None, "{mail:?}");
        assert!(
            mail.body
                .contains("- [critical] APIRoute team-a/checkout: kein Endpunkt ist erreichbar → „checkout“"),
            "{mail:?}"
        );
        let received = mail.header("Received").expect("the server says how it came");
        assert!(received.contains("esmtpsa"), "encrypted and logged in: {received}");
    }

    let resolved = notice("two", "AllResolved", first.reference.as_deref());
    let second = email.send(&resolved, &secrets).await.expect("it is taken");
    assert_eq!(
        second.reference.as_deref(),
        Some("<one@mail.test>"),
        "what comes later refers to the first as well"
    );
    let mail = server.mail("oncall", "<two@mail.test>").await;
    assert_eq!(mail.header("In-Reply-To"), Some("<one@mail.test>"), "{mail:?}");
    assert_eq!(mail.header("References"), Some("<one@mail.test>"), "{mail:?}");
}

#[tokio::test]
async fn templates_and_tls_from_the_beginning_work_as_well() {
    let server = MailServer::start().await;
    let email = email(
        &server,
        json!({
            "tls": "Tls",
            "port": server.tls_port(),
            "subject": "{{ severity | upper }}:\n{{ policy }}",
            "text": "{% for item in opened %}{{ item.subject }} since {{ item.since | time }}{% endfor %}\n.\n.two dots",
        }),
    );
    let secrets = secrets(server.ca(), MailServer::PASSWORD);
    email.send(&notice("templates", "Opened", None), &secrets).await.expect("it is taken");
    let mail = server.mail("oncall", "<templates@mail.test>").await;
    assert_eq!(mail.header("Subject"), Some("CRITICAL: api-gateway"));
    assert_eq!(mail.body.trim_end(), "APIRoute team-a/checkout since 2026-05-01 10:00:00 UTC\n.\n.two dots");
}

#[tokio::test]
async fn what_the_server_refuses_says_who_has_to_mend_what() {
    let server = MailServer::start().await;
    let right = || secrets(server.ca(), MailServer::PASSWORD);

    // Another authority, and those of the system: none of them issued the certificate.
    let other = secrets(Authority::new().pem(), MailServer::PASSWORD);
    for (more, secrets) in [(json!({}), &other), (json!({"ca": null}), &right())] {
        let error = refused(&email(&server, more), secrets).await;
        let SendError::Passing { why, .. } = &error else { panic!("{error:?}") };
        assert!(why.contains("invalid peer certificate") && why.contains("issued it in email.ca"), "{why}");
    }

    // A name that the certificate is not for.
    let error = refused(&email(&server, json!({"host": "127.0.0.1"})), &right()).await;
    let SendError::Passing { why, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains("email.host must be a name that the certificate has"), "{why}");

    let error = refused(&email(&server, json!({})), &secrets(server.ca(), "wrong-horse-9")).await;
    let SendError::Credentials(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("535") && why.contains("key password of Secret smtp"), "{why}");
    assert!(!format!("{error:?} {error}").contains("wrong-horse-9"), "{error:?}");

    let error = refused(&email(&server, json!({"auth": null})), &right()).await;
    let SendError::Credentials(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("530 5.7.0 log in first; give email.auth"), "{why}");

    let error = refused(&email(&server, json!({"to": ["nobody@mail.test"]})), &right()).await;
    let SendError::Permanent(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("nobody@mail.test (550 no such mailbox here)"), "{why}");

    // Nothing of all this arrived; of two recipients, the one that there is gets it.
    assert_eq!(server.mails("oncall").len(), 0);
    let both = email(&server, json!({"to": ["nobody@mail.test", "oncall@mail.test"]}));
    let error = refused(&both, &right()).await;
    let SendError::Permanent(why) = &error else { panic!("{error:?}") };
    assert!(why.contains("for 1 of 2 recipients and refuses nobody@mail.test"), "{why}");
    server.mail("oncall", "<refused@mail.test>").await;
}
