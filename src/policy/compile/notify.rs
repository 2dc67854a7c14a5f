//! Who is told: `spec.notify`.

use std::collections::BTreeSet;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::{Compiler, label_matcher};
use crate::api::notify::{Day, GroupBy, MuteWindow, Notify, OnFirstSync};
use crate::core::alert::{Baseline, Dimension, Route, Schedule};
use crate::core::finding::Severity;
use crate::core::labels::LabelMatcher;
use crate::core::rules::CompiledRule;

impl Compiler {
    /// The routes. One of which a part is wrong is left out: it would tell of what nobody asked for.
    pub(super) fn routes(&mut self, notify: &[Notify], rules: &[CompiledRule]) -> Vec<Route> {
        self.unique("spec.notify", notify.iter().map(|route| route.sink.as_str()));
        let mut seen = BTreeSet::new();
        let routes = notify.iter().enumerate().filter(|(_, route)| seen.insert(&route.sink));
        let routes: Vec<_> = routes.collect();
        routes.into_iter().filter_map(|(n, route)| self.route(n, route, rules)).collect()
    }

    fn route(&mut self, n: usize, route: &Notify, rules: &[CompiledRule]) -> Option<Route> {
        let field = format!("spec.notify[{n}]");
        let mut fits = true;
        for (at, name) in route.rules.iter().enumerate() {
            if !rules.iter().any(|rule| *rule.name == **name) {
                self.problem(format!("{field}.rules[{at}]"), None, format!("there is no rule {name:?}"));
                fits = false;
            }
        }
        let labels = match route.label_selector.as_ref().map(label_matcher) {
            None => LabelMatcher::default(),
            Some(Ok(matcher)) => matcher,
            Some(Err((path, text))) => {
                self.problem(format!("{field}.labelSelector.{path}"), None, text);
                fits = false;
                LabelMatcher::default()
            }
        };
        let mut time = |name: &str, text: &Option<String>| {
            let wait = self.wait(&format!("{field}.{name}"), None, text.as_ref()?);
            fits &= wait.is_some();
            wait
        };
        let (wait, interval, resend) = (
            time("groupWait", &route.group_wait),
            time("groupInterval", &route.group_interval),
            time("resendInterval", &route.resend_interval),
        );
        let mut mute = Vec::new();
        for (at, window) in route.mute.iter().enumerate() {
            match schedule(window) {
                Ok(schedule) => mute.push(schedule),
                Err((name, text)) => {
                    self.problem(format!("{field}.mute[{at}].{name}"), None, text);
                    fits = false;
                }
            }
        }
        let group_by = route.group_by.as_deref().unwrap_or(&[GroupBy::Rule]);
        let dimensions = group_by.iter().flat_map(|by| match by {
            GroupBy::Rule => vec![Dimension::Rule],
            GroupBy::Namespace => vec![Dimension::Namespace],
            GroupBy::Label => {
                let keys = route.group_by_labels.iter();
                keys.map(|key| Dimension::Label(key.as_str().into())).collect()
            }
        });
        let group_by = dimensions.collect();
        let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        fits.then(|| Route {
            sink: route.sink.as_str().into(),
            min_severity: route.min_severity.map_or(Severity::Info, Into::into),
            rules: names(&route.rules),
            namespaces: names(&route.namespaces),
            exclude_namespaces: names(&route.exclude_namespaces),
            labels,
            group_by,
            wait,
            interval,
            resend,
            send_resolved: route.send_resolved.unwrap_or(true),
            baseline: match route.on_first_sync.unwrap_or(OnFirstSync::Summary) {
                OnFirstSync::Summary => Baseline::Summary,
                OnFirstSync::Each => Baseline::Each,
                OnFirstSync::Nothing => Baseline::Nothing,
            },
            mute,
        })
    }
}

/// The schedule, or the field that is wrong and why.
fn schedule(window: &MuteWindow) -> Result<Schedule, (&'static str, String)> {
    let time = |field, text: &str| {
        let wrong = || (field, format!("{text:?} is no time of the day; write it as 22:00"));
        Time::strptime("%H:%M", text).map_err(|_| wrong())
    };
    let zone = match window.time_zone.as_deref() {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| {
            (
                "timeZone",
                format!("{name:?} is no time zone; write one of the IANA database, such as Europe/Berlin"),
            )
        })?,
    };
    let days = window.days.iter().map(|day| match day {
        Day::Monday => Weekday::Monday,
        Day::Tuesday => Weekday::Tuesday,
        Day::Wednesday => Weekday::Wednesday,
        Day::Thursday => Weekday::Thursday,
        Day::Friday => Weekday::Friday,
        Day::Saturday => Weekday::Saturday,
        Day::Sunday => Weekday::Sunday,
    });
    Ok(Schedule {
        days: days.collect(),
        from: time("from", &window.from)?,
        to: time("to", &window.to)?,
        zone,
    })
}
