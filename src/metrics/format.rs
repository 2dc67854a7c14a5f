//! In which form a scrape gets the metrics: the one that it asks for.

/// Forms of text that Prometheus reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>
    OpenMetrics,
    /// Version 0.0.4 of
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>, which everything reads that
    /// reads metrics at all.
    Text,
}

impl Format {
    /// The content type of an answer in this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What the values of `Accept` headers ask for: OpenMetrics where that is named and wanted no less than text, as
    /// Prometheus does; otherwise text, which is what a person with curl and a tool that says nothing expect.
    pub fn wanted<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.into_iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0_f32, None);
            for part in parts {
                match part.split_once('=') {
                    // A weight that is none counts as full, so that a scrape with a mistake gets something.
                    Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => {
                        weight = value.trim().parse().unwrap_or(1.0);
                    }
                    Some((name, value)) if name.trim().eq_ignore_ascii_case("version") => {
                        version = Some(value.trim().trim_matches('"').to_owned());
                    }
                    _ => {}
                }
            }
            match (kind.as_str(), version.as_deref()) {
                ("application/openmetrics-text", None | Some("1.0.0")) => {
                    open_metrics = open_metrics.max(weight)
                }
                ("text/plain", None | Some("0.0.4")) => text = text.max(weight),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_open_metrics() {
        // Of version 2.42, of version 3, and with what else the grammar allows.
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=\"1.0.0\"; charset=utf-8",
            "Application/OpenMetrics-Text",
        ] {
            assert_eq!(Format::wanted([accept]), Format::OpenMetrics, "{accept}");
        }
        assert_eq!(
            Format::wanted(["text/plain;q=0.5", "application/openmetrics-text"]),
            Format::OpenMetrics,
            "two headers are one list"
        );
    }

    #[test]
    fn whoever_does_not_ask_for_open_metrics_gets_text() {
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain",
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0, text/plain;q=0.1",
            "application/openmetrics-text;q=0",
            ";;==,q=1;",
        ] {
            assert_eq!(Format::wanted([accept]), Format::Text, "{accept}");
        }
        assert_eq!(Format::wanted([]), Format::Text);
    }
}
