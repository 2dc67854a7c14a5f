//! Each fault, as whoever sends meets it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::http;
use crate::support::receiver::{CloudEvents, Fault, Outcome, Receiver};

fn event(id: &str) -> String {
    json!({"specversion": "1.0", "id": id, "source": "/tests", "type": "test"}).to_string()
}

async fn send(receiver: &Receiver<CloudEvents>, id: &str) -> std::io::Result<http::Answer> {
    let headers = [("Content-Type", "application/cloudevents+json")];
    http::send(receiver.port(), "POST", CloudEvents::PATH, &headers, event(id).as_bytes()).await
}

#[tokio::test]
async fn what_breaks_the_connection_tells_nothing_and_only_one_of_them_takes_the_message() {
    let receiver = CloudEvents::start(None);
    for (fault, taken) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 0), (Fault::CutAnswer, 1)] {
        receiver.set(fault);
        let error = send(&receiver, "in-doubt").await.expect_err("no answer");
        assert!(
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{fault:?}: {error:?}"
        );
        assert_eq!(receiver.seen().taken, taken, "{fault:?}");
    }
    assert_eq!(receiver.seen().attempts, 2, "one request was not read");
    assert!(receiver.broken() >= 1);

    receiver.set(Fault::None);
    assert_eq!(send(&receiver, "in-doubt").await.expect("an answer").status, 204);
    let seen = receiver.seen();
    assert_eq!((seen.view.events.len(), seen.view.repeats()), (1, 1), "{seen:#?}");
    let outcomes: Vec<_> = seen.last.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed(Fault::ResetAfter), Outcome::Taken, Outcome::Taken]);
    receiver.assert_no_violations();
}

#[tokio::test]
async fn a_connection_that_was_open_breaks_as_well() {
    let receiver = CloudEvents::start(None);
    let body = event("kept-alive");
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\nContent-Length: {}\r\n\r\n{body}",
        CloudEvents::PATH,
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", receiver.port())).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    let mut exchange = || {
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    let answer = exchange().expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    receiver.set(Fault::ResetBefore);
    let error = exchange().expect_err("it breaks");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error:?}");
    assert_eq!(receiver.seen().attempts, 1);
}

#[tokio::test]
async fn whoever_asks_again_too_early_is_counted() {
    let receiver = CloudEvents::start(None);
    receiver.set(Fault::TooMany { retry_after: 600 });
    let answer = send(&receiver, "early").await.expect("an answer");
    assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("600")));
    assert_eq!(receiver.seen().early, 0);
    // That it would take messages again is nothing that whoever sends can know.
    receiver.set(Fault::None);
    assert_eq!(send(&receiver, "early").await.expect("an answer").status, 204);
    let seen = receiver.seen();
    assert_eq!((seen.early, seen.failed, seen.taken), (1, 1, 1));

    let receiver = CloudEvents::start(None);
    receiver.set(Fault::TooMany { retry_after: 0 });
    send(&receiver, "in-time").await.expect("an answer");
    send(&receiver, "in-time").await.expect("an answer");
    assert_eq!(receiver.seen().early, 0);
}

#[tokio::test]
async fn answers_that_say_no_or_nothing_at_all_take_nothing() {
    let receiver = CloudEvents::start(None);
    for (fault, status) in [(Fault::Broken(500), 500), (Fault::Broken(503), 503), (Fault::Refuses, 400)] {
        receiver.set(fault);
        assert_eq!(send(&receiver, "no").await.expect("an answer").status, status, "{fault:?}");
    }
    receiver.set(Fault::Garbage);
    let answer = send(&receiver, "no").await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.header("Content-Type").is_some_and(|kind| kind.starts_with("text/html")), "{answer:?}");
    receiver.set(Fault::NotHttp);
    let error = send(&receiver, "no").await.expect_err("no HTTP");
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error:?}");
    let seen = receiver.seen();
    assert_eq!((seen.taken, seen.failed, seen.attempts), (0, 5, 5));
    receiver.assert_no_violations();
}

#[tokio::test]
async fn a_slow_receiver_has_taken_the_message_and_answers_when_it_is_well_again() {
    let receiver = CloudEvents::start(None);
    receiver.set(Fault::Slow(Duration::from_secs(3600)));
    let sender = receiver.clone();
    let answer = tokio::spawn(async move { send(&sender, "slow").await });
    receiver.when("the message is taken", |seen| seen.taken == 1).await;
    assert!(!answer.is_finished());
    receiver.set(Fault::None);
    assert_eq!(answer.await.expect("it ends").expect("an answer").status, 204);

    let wait = Duration::from_millis(300);
    receiver.set(Fault::Slow(wait));
    let start = Instant::now();
    send(&receiver, "slow").await.expect("an answer");
    assert!(start.elapsed() >= wait);
}

#[tokio::test]
async fn what_was_seen_before_stays_as_it_was_and_the_last_handle_ends_the_receiver() {
    let receiver = CloudEvents::start(None);
    let (before, other) = (receiver.seen(), receiver.clone());
    send(&receiver, "one").await.expect("an answer");
    assert_eq!((before.taken, other.seen().taken), (0, 1));
    drop(receiver);
    send(&other, "two").await.expect("an answer");
    let port = other.port();
    drop(other);
    crate::support::eventually("the port is closed", Duration::from_secs(30), async || {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => Err("it takes connections".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;
}
