//! The operator's own metrics, in one place. Labels are bounded: names of policies, of watched resources, and
//! words of the enumerations below; never text of an error.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::process::ProcessCollector;

mod format;
mod text_format;

pub use format::Format;

/// Where something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The policies could not be read.
    PolicyWatch,
    /// The sinks could not be read.
    SinkWatch,
    /// What a sink was told could not be written down or read.
    SinkMemory,
    /// Served kinds could not be discovered.
    Discovery,
    /// The schema of a kind could not be read.
    Schema,
    /// A watch lost its connection or was refused.
    Watch,
    /// A status could not be written.
    StatusWrite,
    /// An Event could not be written or read.
    EventWrite,
    /// A report could not be written or read.
    ReportWrite,
    /// What is to outlive a restart could not be written or read.
    Memory,
    /// The lease could not be read or renewed.
    Lease,
}

impl EncodeLabelValue for ErrorKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        let word = match self {
            Self::PolicyWatch => "policy_watch",
            Self::SinkWatch => "sink_watch",
            Self::SinkMemory => "sink_memory",
            Self::Discovery => "discovery",
            Self::Schema => "schema",
            Self::Watch => "watch",
            Self::StatusWrite => "status_write",
            Self::EventWrite => "event_write",
            Self::ReportWrite => "report_write",
            Self::Memory => "memory",
            Self::Lease => "lease",
        };
        EncodeLabelValue::encode(&word, encoder)
    }
}

/// A watched resource: `pods.v1`, `deployments.v1.apps`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResourceLabel {
    /// Plural, version and group.
    pub resource: String,
}

/// What was handled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandlerLabel {
    /// `event`, `assignment` or `backlog`.
    pub handler: &'static str,
}

/// Open findings, or occurrences, of a policy by severity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingLabel {
    /// Policy.
    pub policy: String,
    /// Severity.
    pub severity: &'static str,
}

/// Something of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyLabel {
    /// Policy.
    pub policy: String,
}

/// Something of one sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SinkLabel {
    /// Sink.
    pub sink: String,
}

/// Notices to one sink, by what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NoticeLabel {
    /// Sink.
    pub sink: String,
    /// `sent`, `failed` or `dead`.
    pub outcome: &'static str,
}

/// Kind of an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabel {
    /// Where it happened.
    pub kind: ErrorKind,
}

/// A request to an API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabel {
    /// get, list, watch, create, update, patch or delete.
    pub verb: &'static str,
    /// Plural and group.
    pub resource: String,
    /// HTTP status, or `none` when there was no answer.
    pub code: String,
}

/// All metrics. Cheap to share.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Object events judged.
    pub events_processed: Family<ResourceLabel, Counter>,
    /// Objects that rules on states were asked about, each time once for a policy.
    pub judgements: Counter,
    /// Complete lists begun, the first one included.
    pub resyncs: Family<ResourceLabel, Counter>,
    /// Objects kept in memory.
    pub cache_objects: Family<ResourceLabel, Gauge>,
    /// Time to handle one input of the engine.
    pub handler_duration: Family<HandlerLabel, Histogram, fn() -> Histogram>,
    errors: Family<ErrorLabel, Counter>,
    /// Watches that policies want.
    pub watches_wanted: Gauge,
    /// Watches whose first list is complete and that are connected.
    pub watches_running: Gauge,
    /// Open findings.
    pub findings: Family<FindingLabel, Gauge>,
    /// Changes that rules do not allow and that happened.
    pub occurrences: Family<FindingLabel, Counter>,
    /// What is wrong and is no finding yet.
    pub pending: Family<PolicyLabel, Gauge>,
    /// Pairs of rule and object that cannot be judged.
    pub rule_errors: Family<PolicyLabel, Gauge>,
    /// Requests to API servers.
    pub requests: Family<RequestLabel, Counter>,
    /// Inputs waiting for the engine.
    pub queue_length: Gauge,
    /// 1 while this process is the leader.
    pub leader: Gauge,
    /// Events (of Kubernetes) written.
    pub events_written: Counter,
    /// Events owed that the budget of their policy held back at the last attempt.
    pub events_held_back: Family<PolicyLabel, Gauge>,
    /// Status writes.
    pub status_writes: Counter,
    notices: Family<NoticeLabel, Counter>,
    sink_owed: Family<SinkLabel, Gauge>,
    sink_dead: Family<SinkLabel, Gauge>,
    sink_breaker: Family<SinkLabel, Gauge>,
    sink_latency: Family<SinkLabel, Histogram, fn() -> Histogram>,
    /// Reports (of OpenReports) written and deleted.
    pub report_writes: Counter,
    /// Reports owed that the rate of all writes held back at the last look.
    pub reports_held_back: Family<PolicyLabel, Gauge>,
}

fn latencies() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0])
}

fn durations() -> Histogram {
    Histogram::new([0.000_01, 0.000_1, 0.001, 0.01, 0.1, 1.0, 10.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut root = Registry::default();
        // Names of its own: some are those of any process.
        root.register_collector(Box::new(ProcessCollector));
        let registry = root.sub_registry_with_prefix("polywatch");
        let metrics = Self {
            registry: Registry::default(),
            events_processed: Family::default(),
            resyncs: Family::default(),
            cache_objects: Family::default(),
            handler_duration: Family::new_with_constructor(durations),
            errors: Family::default(),
            watches_wanted: Gauge::default(),
            watches_running: Gauge::default(),
            findings: Family::default(),
            occurrences: Family::default(),
            pending: Family::default(),
            rule_errors: Family::default(),
            requests: Family::default(),
            queue_length: Gauge::default(),
            leader: Gauge::default(),
            events_written: Counter::default(),
            events_held_back: Family::default(),
            status_writes: Counter::default(),
            notices: Family::default(),
            sink_owed: Family::default(),
            sink_dead: Family::default(),
            sink_breaker: Family::default(),
            sink_latency: Family::new_with_constructor(latencies),
            report_writes: Counter::default(),
            reports_held_back: Family::default(),
            judgements: Counter::default(),
        };
        // The encoder appends `_total` to counters.
        let m = &metrics;
        registry.register("events_processed", "Object events judged", m.events_processed.clone());
        registry.register("resyncs", "Complete lists begun, the first one included", m.resyncs.clone());
        registry.register("cache_objects", "Objects kept in memory", m.cache_objects.clone());
        registry.register(
            "handler_duration_seconds",
            "Time to handle one input of the engine",
            m.handler_duration.clone(),
        );
        registry.register("errors", "Errors by where they happened", m.errors.clone());
        registry.register("watches_wanted", "Watches that policies want", m.watches_wanted.clone());
        registry.register(
            "watches_running",
            "Watches that are complete and connected",
            m.watches_running.clone(),
        );
        registry.register("findings", "Open findings", m.findings.clone());
        registry.register(
            "occurrences",
            "Changes that rules do not allow and that happened",
            m.occurrences.clone(),
        );
        registry.register(
            "findings_pending",
            "What is wrong, and not for as long as its rule asks for",
            m.pending.clone(),
        );
        registry.register(
            "rule_errors",
            "Pairs of rule and object that cannot be judged",
            m.rule_errors.clone(),
        );
        registry.register("api_requests", "Requests to API servers", m.requests.clone());
        registry.register("engine_queue_length", "Inputs waiting for the engine", m.queue_length.clone());
        registry.register("leader", "1 while this process is the leader", m.leader.clone());
        registry.register(
            "kubernetes_events_written",
            "Events written to the API server",
            m.events_written.clone(),
        );
        registry.register(
            "kubernetes_events_held_back",
            "Events owed that the budget of their policy holds back",
            m.events_held_back.clone(),
        );
        let text = "Objects that rules on states were asked about, each time once for a policy";
        registry.register("judgements", text, m.judgements.clone());
        registry.register("status_writes", "Status writes", m.status_writes.clone());
        registry.register(
            "sink_notices",
            "Attempts to tell a sink, by what became of them: sent, failed or dead",
            m.notices.clone(),
        );
        registry.register(
            "sink_owed",
            "Groups of findings of which a sink is owed news",
            m.sink_owed.clone(),
        );
        registry.register(
            "sink_dead",
            "Groups of findings whose last notice a sink refused for good",
            m.sink_dead.clone(),
        );
        registry.register(
            "sink_breaker",
            "Whether a sink is believed to answer: 0 it is, 1 it is being tried, 2 it is left alone",
            m.sink_breaker.clone(),
        );
        registry.register(
            "sink_latency_seconds",
            "Time from when news was owed to a sink until the sink had it, waiting for more to tell with it included",
            m.sink_latency.clone(),
        );
        registry.register("report_writes", "Reports written and deleted", m.report_writes.clone());
        registry.register(
            "reports_held_back",
            "Reports owed that the rate of all writes holds back",
            m.reports_held_back.clone(),
        );
        Self { registry: root, ..metrics }
    }
}

impl Metrics {
    /// Counts an error.
    pub fn error(&self, kind: ErrorKind) {
        self.errors.get_or_create(&ErrorLabel { kind }).inc();
    }

    /// How long a handler takes, in seconds.
    pub fn durations(&self, handler: &'static str) -> Histogram {
        self.handler_duration.get_or_create_owned(&HandlerLabel { handler })
    }

    /// Counts an attempt to tell a sink.
    pub fn count_notice(&self, sink: &str, outcome: &'static str) {
        self.notices.get_or_create(&NoticeLabel { sink: sink.to_owned(), outcome }).inc();
    }

    /// From when something was owed to a sink until it had it, in seconds.
    pub fn sink_latency(&self, sink: &str) -> Histogram {
        self.sink_latency.get_or_create_owned(&SinkLabel { sink: sink.to_owned() })
    }

    /// How it goes with a sink: groups owed, state of its breaker, groups refused for good.
    pub fn set_sink(&self, sink: &str, owed: usize, breaker: i64, dead: usize) {
        let label = SinkLabel { sink: sink.to_owned() };
        self.sink_owed.get_or_create(&label).set(owed as i64);
        self.sink_dead.get_or_create(&label).set(dead as i64);
        self.sink_breaker.get_or_create(&label).set(breaker);
    }

    /// Drops the series of a sink that is gone.
    pub fn forget_sink(&self, sink: &str) {
        for outcome in ["sent", "failed", "dead"] {
            self.notices.remove(&NoticeLabel { sink: sink.to_owned(), outcome });
        }
        let label = SinkLabel { sink: sink.to_owned() };
        self.sink_owed.remove(&label);
        self.sink_dead.remove(&label);
        self.sink_breaker.remove(&label);
        self.sink_latency.remove(&label);
    }

    /// Drops the series of a policy that is gone.
    pub fn forget_policy(&self, policy: &str) {
        for severity in crate::core::finding::Severity::ALL {
            let label = FindingLabel { policy: policy.to_owned(), severity: severity.as_str() };
            self.findings.remove(&label);
            self.occurrences.remove(&label);
        }
        let label = PolicyLabel { policy: policy.to_owned() };
        self.pending.remove(&label);
        self.rule_errors.remove(&label);
        self.events_held_back.remove(&label);
        self.reports_held_back.remove(&label);
    }

    /// All metrics as OpenMetrics.
    ///
    /// # Errors
    /// None that can be met: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }

    /// All metrics, in a form that was asked for. Samples have the same names and values in each.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_as(&self, format: Format) -> Result<String, fmt::Error> {
        let open_metrics = self.encode()?;
        Ok(match format {
            Format::OpenMetrics => open_metrics,
            Format::Text => text_format::from_open_metrics(&open_metrics),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_dashboards_use() {
        let metrics = Metrics::default();
        let pods = ResourceLabel { resource: "pods.v1".into() };
        metrics.events_processed.get_or_create(&pods).inc();
        metrics.resyncs.get_or_create(&pods).inc();
        metrics.cache_objects.get_or_create(&pods).set(3);
        metrics.durations("event").observe(0.001);
        metrics.error(ErrorKind::Watch);
        let text = metrics.encode().expect("text");
        for line in [
            "polywatch_events_processed_total{resource=\"pods.v1\"} 1",
            "polywatch_resyncs_total{resource=\"pods.v1\"} 1",
            "polywatch_cache_objects{resource=\"pods.v1\"} 3",
            "polywatch_handler_duration_seconds_count{handler=\"event\"} 1",
            "polywatch_errors_total{kind=\"watch\"} 1",
            "polywatch_watches_wanted 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn both_forms_have_the_same_samples() {
        let metrics = Metrics::default();
        metrics.errors.get_or_create(&ErrorLabel { kind: ErrorKind::Watch }).inc();
        metrics.durations("event").observe(0.001);
        // Memory and CPU time are others at each scrape.
        let samples = |format| {
            let text = metrics.encode_as(format).expect("text");
            let ours = |line: &&str| !line.starts_with('#') && !line.contains("_memory_bytes");
            let ours = text.lines().filter(ours).filter(|line| !line.starts_with("process_cpu"));
            ours.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(samples(Format::Text), samples(Format::OpenMetrics));
    }

    /// A counter without type is one of which Prometheus shows no help, and `promtool check metrics` complains.
    #[test]
    fn in_text_every_sample_has_a_type_and_help() {
        let metrics = Metrics::default();
        metrics.error(ErrorKind::Watch);
        metrics.durations("event").observe(0.001);
        let text = metrics.encode_as(Format::Text).expect("text");
        assert!(text.contains("# TYPE polywatch_errors_total counter\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = family.unwrap_or(name);
            for about in ["TYPE", "HELP"] {
                assert!(text.contains(&format!("# {about} {family} ")), "{family} has no {about}:\n{text}");
            }
        }
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_process_is_measured_at_each_scrape() {
        let metrics = Metrics::default();
        let read = |name: &str| {
            let text = metrics.encode().expect("text");
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value = line.unwrap_or_else(|| panic!("{name} is missing in\n{text}"));
            value.parse::<f64>().expect("a number")
        };
        let large = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(read("polywatch_memory_bytes{state=\"allocated\"}") >= f64::from(64 << 20));
        drop(large);
        assert!(read("polywatch_memory_bytes{state=\"resident\"}") > 0.0);
        assert!(read("polywatch_memory_bytes{state=\"retained\"}") >= 0.0);
        assert!(read("process_resident_memory_bytes") > f64::from(1 << 20));
        assert!(read("process_cpu_seconds_total") >= 0.0);
    }
}
