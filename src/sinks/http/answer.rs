//! What a destination answers, and what that means for the notice.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::mask::Mask;
use crate::sinks::SendError;

/// Most bytes that are read of an answer.
pub const MAX_BODY: usize = 64 * 1024;
/// Most bytes of it that an error repeats.
pub const MAX_SHOWN: usize = 200;
/// Longest that a destination is left alone because it asks for that.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// An answer, whatever its status.
pub struct Answer<'a> {
    pub(super) name: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether the body is longer, or did not come to its end.
    pub(super) cut: bool,
    pub(super) mask: &'a Mask,
}

impl Answer<'_> {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its body, if that is JSON of this form.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        if self.cut { None } else { serde_json::from_slice(&self.body).ok() }
    }

    /// Whether this text is in its body.
    pub fn says(&self, text: &str) -> bool {
        self.body.windows(text.len().max(1)).any(|window| window == text.as_bytes())
    }

    /// What the status says of the notice, by RFC 9110.
    ///
    /// # Errors
    /// For every status but 2xx.
    pub fn accepted(self) -> Result<Self, SendError> {
        match self.status.as_u16() {
            200..=299 => Ok(self),
            401 | 403 => Err(self.refused()),
            408 | 425 | 429 | 500..=599 => Err(self.passing()),
            300..=399 => Err(self.permanent("redirects are not followed: give the final address")),
            _ => Err(self.permanent("")),
        }
    }

    /// The same of a destination that is known never to answer with a page for people: what comes then is of a proxy or
    /// a portal on the way, and the notice did not arrive.
    ///
    /// # Errors
    /// As [`Self::accepted`], and for a page in HTML.
    pub fn accepted_by_api(self) -> Result<Self, SendError> {
        let answer = self.accepted()?;
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.trim_start().to_ascii_lowercase().starts_with("text/html") {
            true => Err(answer.passing()),
            false => Ok(answer),
        }
    }

    /// The error for a destination that does not take the credentials.
    pub fn refused(&self) -> SendError {
        SendError::Credentials(self.text("give other credentials"))
    }

    /// The error for a notice that may be taken later.
    pub fn passing(&self) -> SendError {
        SendError::Passing { why: self.text(""), retry_after: self.retry_after(Timestamp::now()) }
    }

    /// The error for a notice that will never be taken. `remedy` may be empty.
    pub fn permanent(&self, remedy: &str) -> SendError {
        SendError::Permanent(self.text(remedy))
    }

    fn text(&self, remedy: &str) -> String {
        let Self { name, status, .. } = self;
        let said = self.mask.line(&self.body, self.cut, MAX_SHOWN);
        let colon = if said.is_empty() { "" } else { ": " };
        let semicolon = if remedy.is_empty() { "" } else { "; " };
        format!("{name} answers {status}{colon}{said}{semicolon}{remedy}")
    }

    /// For how long it asks to be left alone: seconds, or a date
    /// (<https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>).
    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let wait = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
                Duration::try_from(date.duration_since(now)).unwrap_or_default()
            }
        };
        Some(wait.min(MAX_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer<'a>(mask: &'a Mask, status: u16, retry_after: &str) -> Answer<'a> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().expect("a value"));
        Answer {
            name: "https://host/".into(),
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: b"because\nof this".to_vec(),
            cut: false,
            mask,
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let mask = Mask::default();
        for status in 200..600 {
            let error = answer(&mask, status, "7").accepted().err();
            match status {
                200..300 => assert_eq!(error, None),
                401 | 403 => assert!(matches!(error, Some(SendError::Credentials(_))), "{status}"),
                408 | 425 | 429 | 500..600 => {
                    let Some(SendError::Passing { retry_after, .. }) = error else {
                        panic!("{status}: {error:?}")
                    };
                    assert_eq!(retry_after, Some(Duration::from_secs(7)));
                }
                _ => assert!(matches!(error, Some(SendError::Permanent(_))), "{status}"),
            }
        }
        let error = answer(&mask, 404, "").accepted().err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("https://host/ answers 404 Not Found: because of this"));
    }

    #[test]
    fn a_page_is_not_the_answer_of_an_api() {
        let mask = Mask::default();
        for (kind, taken) in
            [("text/html; charset=utf-8", false), ("Text/HTML", false), ("text/plain", true), ("", true)]
        {
            let mut answer = answer(&mask, 200, "");
            answer.headers.insert(CONTENT_TYPE, kind.parse().expect("a value"));
            let result = answer.accepted_by_api();
            assert!(matches!(result, Ok(_) | Err(SendError::Passing { .. })));
            assert_eq!(result.is_ok(), taken, "{kind}");
        }
    }

    #[test]
    fn a_destination_may_ask_for_time_in_seconds_or_until_a_date_and_for_an_hour_at_most() {
        let mask = Mask::default();
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().expect("a time");
        for (text, seconds) in [
            ("0", Some(0)),
            (" 90 ", Some(90)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("86400", Some(3600)),
            ("18446744073709551615", Some(3600)),
            ("Fri, 06 Nov 2026 08:49:37 GMT", Some(3600)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let wait = answer(&mask, 429, text).retry_after(now);
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text}");
        }
    }
}
