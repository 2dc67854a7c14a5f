//! Where a request goes, and how that is called where people read it.

use reqwest::Url;

use super::config::MAX_URL;
use crate::sinks::{SecretKey, SendError, SpecError};

/// The address of a destination. Its name is for people: without what may be a credential.
#[derive(Clone)]
pub struct Address {
    pub(super) url: Url,
    name: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Address {
    /// One that the spec has. In its name are neither query nor fragment.
    ///
    /// # Errors
    /// When it is none, has another scheme than http and https, or a password in it.
    pub fn new(field: &str, text: &str) -> Result<Self, SpecError> {
        let wrong = |message: &str| Err(SpecError { field: field.to_owned(), message: message.to_owned() });
        let Some(url) = parse(text) else {
            return wrong("must be an address such as https://host.example:8443/path");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("user and password belong in a Secret: see auth");
        }
        if url.fragment().is_some() {
            return wrong("what follows # is never sent; remove it");
        }
        let mut name = url.clone();
        name.set_query(None);
        Ok(Self { url, name: name.to_string() })
    }

    /// One that paths are put after, so it has no query.
    ///
    /// # Errors
    /// As [`Self::new`], and when it has a query.
    pub fn base(field: &str, text: &str) -> Result<Self, SpecError> {
        let address = Self::new(field, text)?;
        match address.url.query() {
            Some(_) => {
                Err(SpecError { field: field.to_owned(), message: "has a query; remove ?...".to_owned() })
            }
            None => Ok(address),
        }
    }

    /// One that is a credential itself. Its name is that of the Secret.
    ///
    /// # Errors
    /// When it is no address.
    pub fn secret(key: &SecretKey, text: &str) -> Result<Self, SendError> {
        let name = format!("the address in {key}");
        match parse(text.trim()) {
            Some(url) => Ok(Self { url, name }),
            None => Err(SendError::Credentials(format!(
                "{name} is none; it must be one such as https://host.example:8443/path"
            ))),
        }
    }

    /// This path below it.
    pub fn join(&self, path: &str) -> Self {
        let below = |url: &Url| {
            let mut url = url.clone();
            url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
            url
        };
        let name = Url::parse(&self.name).map_or_else(|_| self.name.clone(), |name| below(&name).to_string());
        Self { url: below(&self.url), name }
    }

    /// How people know it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn parse(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL)?;
    (["http", "https"].contains(&url.scheme()) && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_address_has_nothing_that_may_be_a_credential() {
        let address = Address::new("url", "https://host:8443/path/?key=s3cr3t").expect("an address");
        assert_eq!(address.name(), "https://host:8443/path/");
        let below = address.join("api/v2/alerts");
        assert_eq!(below.name(), "https://host:8443/path/api/v2/alerts");
        assert_eq!(below.url.as_str(), "https://host:8443/path/api/v2/alerts?key=s3cr3t");

        let key = SecretKey { name: "slack".into(), key: "url".into() };
        let address = Address::secret(&key, " https://u:p@host/s3cr3t ").expect("an address");
        assert_eq!(address.join("x").name(), "the address in key url of Secret slack");
        assert!(!format!("{address:?}").contains("s3cr3t"));
        let error = Address::secret(&key, "not-one:s3cr3t").expect_err("no address").to_string();
        assert!(error.contains("key url of Secret slack") && !error.contains("s3cr3t"), "{error}");
    }

    #[test]
    fn an_address_that_can_not_work_is_refused() {
        for (text, why) in [
            ("host.example/path", "must be an address"),
            ("ftp://host.example", "must be an address"),
            ("https://", "must be an address"),
            ("https://me:s3cr3t@host.example/", "belong in a Secret"),
            ("https://host.example/#part", "never sent"),
        ] {
            let error = Address::new("slack.apiUrl", text).expect_err(text);
            assert_eq!(error.field, "slack.apiUrl");
            assert!(error.message.contains(why) && !error.message.contains("s3cr3t"), "{error}");
        }
        assert!(
            Address::base("url", "https://host/?a=b").is_err_and(|error| error.message.contains("query"))
        );
        let long = format!("https://host/{}", "x".repeat(MAX_URL));
        assert!(Address::new("url", &long).is_err());
    }
}
