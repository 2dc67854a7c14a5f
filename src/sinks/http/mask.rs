//! What must not be read in an error: the values of the Secrets that a request is made of.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use super::address::Address;
use crate::core::rules::one_line;
use crate::sinks::{SecretKey, Secrets};

const STARS: &str = "***";
/// Shorter pieces of an address are words such as `api`, and say nothing.
const MIN_PIECE: usize = 6;

/// Texts that are blotted out of whatever a destination or a library says.
#[derive(Default)]
pub struct Mask(Vec<String>);

impl Mask {
    /// Of the values of these keys. One that is an address counts by its pieces, too, because servers repeat them.
    pub fn new(secrets: &Secrets, keys: &[SecretKey]) -> Self {
        let mut mask = Self::default();
        for key in keys {
            if let Ok(text) = secrets.text(key) {
                mask.hide(text);
                mask.hide_address(text);
            }
        }
        mask
    }

    /// Adds a text, and how it looks in JSON and in base64.
    pub fn hide(&mut self, text: &str) {
        let json = serde_json::Value::from(text).to_string();
        self.add([text.to_owned(), json.trim_matches('"').to_owned(), STANDARD.encode(text)]);
    }

    /// Adds what stands in the query of an address, which may be a credential also where it is in the spec.
    pub fn hide_query(&mut self, address: &Address) {
        let values: Vec<_> = address.url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        let pieces = values.into_iter().chain(address.url.query().map(str::to_owned));
        self.add(pieces.filter(|piece| piece.len() >= MIN_PIECE));
    }

    fn hide_address(&mut self, text: &str) {
        let Ok(url) = Url::parse(text) else { return };
        let Some(host) = url.host_str() else { return };
        let pieces =
            [host, url.username(), url.password().unwrap_or_default(), url.query().unwrap_or_default()];
        let pairs: Vec<_> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        let pieces = pieces.into_iter().chain(url.path().split('/')).chain(pairs.iter().map(String::as_str));
        let pieces: Vec<_> = pieces.filter(|piece| piece.len() >= MIN_PIECE).map(str::to_owned).collect();
        self.add(pieces);
        self.add([url.path(), url.as_str()].map(str::to_owned));
    }

    /// Longest first, so that of a text within another nothing remains.
    fn add(&mut self, texts: impl IntoIterator<Item = String>) {
        let texts: BTreeSet<_> = texts.into_iter().chain(std::mem::take(&mut self.0)).collect();
        self.0 = texts.into_iter().filter(|text| text.len() > 1 && text != STARS).collect();
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    /// One line of at most `max` bytes of what a stranger said. `cut` says that it may end amid something.
    pub fn line(&self, said: &[u8], cut: bool, max: usize) -> String {
        let said = self.blot(&String::from_utf8_lossy(said));
        let longest = self.0.first().map_or(0, String::len);
        let end = if cut { said.len().saturating_sub(longest) } else { said.len() };
        let end = (0..=end).rev().find(|end| said.is_char_boundary(*end)).unwrap_or_default();
        let words = said[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        // Once more, for what the breaks of lines hid.
        one_line(&self.blot(&words), max)
    }

    fn blot(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden.as_str(), STARS))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn mask(value: &str) -> Mask {
        let key = SecretKey { name: "s".into(), key: "k".into() };
        let secrets = Secrets::new(BTreeMap::from([(key.clone(), value.as_bytes().to_vec())]));
        Mask::new(&secrets, &[key])
    }

    #[test]
    fn a_value_is_hidden_however_a_server_repeats_it() {
        let mask = mask("tok\"en-1234\n");
        for said in [
            "bad tok\"en-1234!",
            r#"{"got":"tok\"en-1234"}"#,
            "Basic dG9rImVuLTEyMzQ=",
            "tok\"en-1234tok\"en-1234",
        ] {
            let line = mask.line(said.as_bytes(), false, 200);
            assert!(line.contains(STARS) && !line.contains("1234") && !line.contains("dG9r"), "{line}");
        }
    }

    #[test]
    fn of_an_address_every_piece_is_hidden() {
        let mask =
            mask("https://user:pass-word@hooks.internal:8443/services/T0001/B0002abc/s3cr3t?key=abcdefgh");
        let said =
            "POST /services/T0001/B0002abc/s3cr3t at hooks.internal, key abcdefgh, user pass-word: s3cr3t";
        let line = mask.line(said.as_bytes(), false, 200);
        for piece in ["B0002abc", "s3cr3t", "hooks.internal", "abcdefgh", "pass-word"] {
            assert!(!line.contains(piece), "{line}");
        }
        assert!(line.starts_with("POST ***"), "{line}");
    }

    #[test]
    fn what_is_cut_off_shows_no_beginning_of_a_value() {
        let mask = mask("secret-of-some-length");
        let said = format!("{}secret-of-some-le", " ".repeat(1000));
        assert_eq!(mask.line(said.as_bytes(), true, 200), "");
        let said = format!("no {}secret-of-some-length and more", " ".repeat(1000));
        assert_eq!(mask.line(said.as_bytes(), false, 200), "no *** and more");
    }

    #[test]
    fn a_value_that_lines_break_is_hidden_once_they_are_joined() {
        assert_eq!(mask("two words").line(b"are two\n   words here", false, 200), "are *** here");
        assert_eq!(mask("x").line(b"text stays text", false, 200), "text stays text");
    }
}
