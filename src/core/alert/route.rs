//! Which findings of a policy go to which sink, how they are grouped, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::core::finding::{Finding, Severity};
use crate::core::labels::LabelMatcher;

/// One entry of `spec.notify`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Name of the sink.
    pub sink: Arc<str>,
    /// Only findings at least this bad.
    pub min_severity: Severity,
    /// Only findings of these rules; empty for all.
    pub rules: BTreeSet<Arc<str>>,
    /// Only findings on objects in these namespaces; empty for all, those on objects without one included.
    pub namespaces: BTreeSet<Arc<str>>,
    /// No findings on objects in these.
    pub exclude_namespaces: BTreeSet<Arc<str>>,
    /// Only findings on objects with such labels. A group of objects has none.
    pub labels: LabelMatcher,
    /// What findings that are told together have in common, beside the policy.
    pub group_by: BTreeSet<Dimension>,
    /// How long the first notice of a group waits for more to tell with it; none for what the sink prefers.
    pub wait: Option<SignedDuration>,
    /// Least time between two notices of a group; none for what the sink prefers.
    pub interval: Option<SignedDuration>,
    /// After this time without news the sink hears again of what is open; none for what the sink prefers.
    pub resend: Option<SignedDuration>,
    /// Whether the sink hears of what is resolved.
    pub send_resolved: bool,
    /// What becomes of what was open before the sink could hear of it as news.
    pub baseline: Baseline,
    /// When the sink is left alone.
    pub mute: Vec<Schedule>,
}

/// By what findings are grouped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// The rule.
    Rule,
    /// The namespace of the object.
    Namespace,
    /// The value of this label of the object.
    Label(Arc<str>),
}

/// What is told of findings that were open when a policy began to be judged for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// One summary for the policy, which is kept up to date until they are all resolved.
    Summary,
    /// The same as of any other finding.
    Each,
    /// Nothing.
    Nothing,
}

impl Route {
    /// Whether the route is for a finding, whatever the time is.
    pub fn admits(&self, finding: &Finding) -> bool {
        let namespace = finding.object.namespace.as_ref();
        finding.severity >= self.min_severity
            && (self.rules.is_empty() || self.rules.contains(&finding.key.rule))
            && (self.namespaces.is_empty() || namespace.is_some_and(|name| self.namespaces.contains(name)))
            && !namespace.is_some_and(|name| self.exclude_namespaces.contains(name))
            && (self.labels.is_empty() || self.labels.matches_values(|key| finding.tags.label(key)))
    }

    /// What a finding has in common with those that are told with it.
    pub fn group(&self, finding: &Finding) -> BTreeMap<String, String> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let of = |dimension: &Dimension| match dimension {
            Dimension::Rule => ("rule".to_owned(), finding.key.rule.to_string()),
            Dimension::Namespace => ("namespace".to_owned(), text(finding.object.namespace.as_deref())),
            Dimension::Label(key) => (format!("label {key}"), text(finding.tags.label(key))),
        };
        self.group_by.iter().map(of).collect()
    }

    /// Until when nothing new goes to the sink; none when it may be told now.
    pub fn muted_until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut until = None;
        // Windows may follow each other; whoever is muted for longer than this is asked again then.
        for _ in 0..MOST_WINDOWS {
            let at = until.unwrap_or(now);
            match self.mute.iter().filter_map(|schedule| schedule.ends(at)).max() {
                Some(end) => until = Some(end),
                None => break,
            }
        }
        until
    }

    /// The labels of objects that it reads.
    pub fn reads_labels(&self) -> BTreeSet<Arc<str>> {
        let grouped = self.group_by.iter().filter_map(|dimension| match dimension {
            Dimension::Label(key) => Some(key.clone()),
            Dimension::Rule | Dimension::Namespace => None,
        });
        self.labels.keys().map(Arc::from).chain(grouped).collect()
    }
}

/// Windows of a schedule that are followed in one go: a week, twice a day.
const MOST_WINDOWS: usize = 14;

/// A time of the day, on some days of the week, at some place of the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Days on which it begins; empty for all.
    pub days: Vec<Weekday>,
    /// When it begins.
    pub from: Time,
    /// When it ends; on the next day, when that is not later than `from`.
    pub to: Time,
    /// Where.
    pub zone: TimeZone,
}

impl Schedule {
    /// When the window ends that `now` is in; none when it is in none.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        [today, today.yesterday().ok()?].into_iter().find_map(|day| {
            if !self.days.is_empty() && !self.days.contains(&day.weekday()) {
                return None;
            }
            let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
            let moment = |date: jiff::civil::Date, time| {
                date.to_datetime(time).to_zoned(self.zone.clone()).ok().map(|at| at.timestamp())
            };
            let (begins, ends) = (moment(day, self.from)?, moment(last, self.to)?);
            (begins <= now && now < ends).then_some(ends)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn schedule(days: &[Weekday], from: i8, to: i8) -> Schedule {
        let hour = |hour| Time::new(hour, 0, 0, 0).expect("an hour");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        Schedule { days: days.to_vec(), from: hour(from), to: hour(to), zone }
    }

    #[test]
    fn a_window_is_of_the_place_and_may_reach_into_the_next_day() {
        let nights = schedule(&[], 22, 6);
        // Berlin is an hour ahead in winter and two in summer.
        assert_eq!(nights.ends(at("2026-01-15T21:00:00Z")), Some(at("2026-01-16T05:00:00Z")));
        assert_eq!(nights.ends(at("2026-01-16T04:59:59Z")), Some(at("2026-01-16T05:00:00Z")));
        assert_eq!(nights.ends(at("2026-01-16T05:00:00Z")), None);
        assert_eq!(nights.ends(at("2026-07-15T20:30:00Z")), Some(at("2026-07-16T04:00:00Z")));
        assert_eq!(nights.ends(at("2026-07-15T19:59:00Z")), None);
    }

    #[test]
    fn days_are_those_on_which_it_begins() {
        // The 16th of January 2026 is a Friday.
        let fridays = schedule(&[Weekday::Friday], 22, 6);
        assert_eq!(fridays.ends(at("2026-01-17T03:00:00Z")), Some(at("2026-01-17T05:00:00Z")));
        assert_eq!(fridays.ends(at("2026-01-16T03:00:00Z")), None);
        assert_eq!(fridays.ends(at("2026-01-17T22:00:00Z")), None);
    }

    #[test]
    fn windows_that_follow_each_other_are_one_and_all_day_every_day_has_an_end() {
        let muted = |mute: Vec<Schedule>| Route { mute, ..super::testing::route("s") };
        let day = muted(vec![schedule(&[], 6, 22), schedule(&[Weekday::Friday], 22, 6)]);
        assert_eq!(day.muted_until(at("2026-01-16T12:00:00Z")), Some(at("2026-01-17T21:00:00Z")));
        assert_eq!(day.muted_until(at("2026-01-17T21:00:00Z")), None);
        let always = muted(vec![schedule(&[], 0, 0)]);
        let until = always.muted_until(at("2026-01-16T12:00:00Z")).expect("muted");
        assert!(until > at("2026-01-23T00:00:00Z"));
    }
}

/// What tests are made of.
#[cfg(test)]
pub mod testing {
    use super::*;

    /// A route that is for everything and waits for nothing.
    pub fn route(sink: &str) -> Route {
        Route {
            sink: sink.into(),
            min_severity: Severity::Info,
            rules: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            exclude_namespaces: BTreeSet::new(),
            labels: LabelMatcher::default(),
            group_by: [Dimension::Rule].into(),
            wait: Some(SignedDuration::ZERO),
            interval: Some(SignedDuration::ZERO),
            resend: None,
            send_resolved: true,
            baseline: Baseline::Each,
            mute: Vec::new(),
        }
    }
}
