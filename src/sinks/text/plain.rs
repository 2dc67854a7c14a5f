//! The texts of notices for which the spec has no template.

use std::fmt::Write;

use jiff::Timestamp;

use super::template::MAX_OUTPUT;
use crate::core::alert::notice::MAX_SAMPLES;
use crate::core::alert::{Group, Item, Notice, Reason};
use crate::core::rules::one_line;

/// Most bytes of a title.
pub const MAX_TITLE: usize = 240;
/// Most bytes that are shown of a name, a key or a list of fields.
const MAX_SHOWN: usize = 256;

/// One line, at most [`MAX_TITLE`] bytes: how bad it is, where, and what is new, such as
/// `[critical] api-gateway / backend-available: 3 open, 2 new`. Of a single finding it says what is wrong.
pub fn default_title(notice: &Notice) -> String {
    let state = match notice.reason {
        Reason::Test => "test",
        Reason::AllResolved => "resolved",
        _ => notice.severity().as_str(),
    };
    let group = short_group(&notice.group);
    let place = if group.is_empty() { notice.policy.clone() } else { format!("{} / {group}", notice.policy) };
    let told = single(notice).unwrap_or_else(|| counts(notice));
    one_line(&format!("[{state}] {place}: {told}"), MAX_TITLE)
}

/// Several lines of plain text, at most [`MAX_OUTPUT`] bytes: the title, and what is new, changed, resolved, occurred
/// and otherwise open, each with severity, object, message and time. Of each list at most [`MAX_SAMPLES`] are shown.
pub fn default_text(notice: &Notice) -> String {
    let mut text = Lines { text: default_title(notice), full: false };
    let totals = &notice.totals;
    section(&mut text, "New", &notice.opened, totals.opened, opened);
    section(&mut text, "Changed", &notice.changed, totals.changed, opened);
    section(&mut text, "Resolved", &notice.resolved, totals.resolved, resolved);
    section(&mut text, "Occurred", &notice.occurred, totals.occurred, occurred);
    let told = |item: &&Item| {
        let mut news = notice.opened.iter().chain(&notice.changed);
        !news.any(|new| new.id == item.id)
    };
    let also: Vec<&Item> = notice.open.iter().filter(told).collect();
    let more = totals.open.saturating_sub(totals.opened + totals.changed);
    let heading = if more == totals.open { "Open" } else { "Also open" };
    section(&mut text, heading, also, more, opened);
    text.line("");
    text.line(&format!("Policy {}", notice.policy));
    if !notice.group.by.is_empty() {
        text.line(&format!("Group {}", one_line(&notice.group.to_string(), MAX_SHOWN)));
    }
    text.line(&format!("Told at {} ({})", moment(notice.time), notice.reason));
    text.text
}

/// The group for a title: the rule speaks for itself, of the others the name is said.
fn short_group(group: &Group) -> String {
    let rule = group.by.get("rule").cloned();
    let others = group.by.iter().filter(|(name, _)| *name != "rule").map(|(name, value)| {
        let value = if value.is_empty() { "none" } else { value };
        format!("{name} {value}")
    });
    let parts: Vec<String> = rule.into_iter().chain(others).collect();
    one_line(&parts.join(", "), MAX_SHOWN / 2)
}

/// What a notice says that is about one finding or one change alone.
fn single(notice: &Notice) -> Option<String> {
    let totals = &notice.totals;
    let told = totals.opened + totals.changed + totals.resolved + totals.occurred;
    if notice.is_test() || told != 1 || totals.open > totals.opened + totals.changed {
        return None;
    }
    let lists = [&notice.opened, &notice.changed, &notice.resolved, &notice.occurred];
    let item = lists.into_iter().flatten().next()?;
    Some(format!("{}: {}", one_line(&item.subject(), MAX_SHOWN), item.message))
}

fn counts(notice: &Notice) -> String {
    let totals = &notice.totals;
    match notice.reason {
        Reason::Test => return "a test message, nothing is wrong".to_owned(),
        Reason::Baseline => return format!("{} open when it was first judged", totals.open),
        Reason::Resend => return format!("{} still open", totals.open),
        _ => {}
    }
    let numbers = [
        (totals.open, "open"),
        (totals.opened, "new"),
        (totals.changed, "changed"),
        (totals.resolved, "resolved"),
        (totals.occurred, "occurred"),
    ];
    let said = numbers.into_iter().filter(|(number, _)| *number > 0);
    let said: Vec<String> = said.map(|(number, what)| format!("{number} {what}")).collect();
    if said.is_empty() { "nothing is open".to_owned() } else { said.join(", ") }
}

fn section<'a>(
    text: &mut Lines,
    heading: &str,
    items: impl IntoIterator<Item = &'a Item>,
    total: usize,
    tell: fn(&Item) -> String,
) {
    let shown: Vec<&Item> = items.into_iter().take(MAX_SAMPLES).collect();
    let total = total.max(shown.len());
    if total == 0 {
        return;
    }
    text.line("");
    text.line(&format!("{heading} ({total}):"));
    for item in &shown {
        let subject = one_line(&item.subject(), MAX_SHOWN);
        text.line(&format!("- [{}] {subject}: {}", item.severity.as_str(), item.message));
        text.line(&format!("  {}", tell(item)));
    }
    if total > shown.len() {
        text.line(&format!("and {} more", total - shown.len()));
    }
}

fn opened(item: &Item) -> String {
    let mut line = format!("rule {}, since {}", item.rule, moment(item.since));
    if item.flaps > 1 {
        let _ = write!(line, ", opened {} times lately", item.flaps);
    }
    with_fields(line, item)
}

fn resolved(item: &Item) -> String {
    let mut line = format!("rule {}, since {}", item.rule, moment(item.since));
    if let Some(ended) = item.ended {
        let _ = write!(line, ", until {} ({})", moment(ended), lasted(item.since, ended));
    }
    if let Some(why) = &item.ended_because {
        let _ = write!(line, ", because {}", one_line(why, MAX_SHOWN));
    }
    line
}

fn occurred(item: &Item) -> String {
    let what = item.operation.as_deref().unwrap_or("Change");
    with_fields(format!("rule {}, {what} at {}", item.rule, moment(item.since)), item)
}

fn with_fields(line: String, item: &Item) -> String {
    if item.fields.is_empty() { line } else { format!("{line}, {}", one_line(&item.fields, MAX_SHOWN)) }
}

/// Such as `2026-05-01 10:00:00 UTC`.
fn moment(time: Timestamp) -> String {
    let text = jiff::fmt::strtime::format("%Y-%m-%d %H:%M:%S UTC", time);
    text.unwrap_or_else(|_| time.to_string())
}

/// How long it was from one moment to another, with the two largest units: `2h 5m`, `3d 4h`, `12s`. Nothing is shorter
/// than no time.
pub(super) fn lasted(from: Timestamp, until: Timestamp) -> String {
    let seconds = until.duration_since(from).as_secs().max(0);
    let parts =
        [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(first).take(2).enumerate();
    let shown = shown.filter(|(place, (number, _))| *place == 0 || *number > 0);
    shown.map(|(_, (number, unit))| format!("{number}{unit}")).collect::<Vec<_>>().join(" ")
}

/// A text that takes whole lines for as long as they fit.
struct Lines {
    text: String,
    full: bool,
}

impl Lines {
    fn line(&mut self, line: &str) {
        const END: &str = "\n…";
        if self.full {
            return;
        }
        if self.text.len() + 1 + line.len() + END.len() > MAX_OUTPUT {
            self.full = true;
            self.text.push_str(END);
            return;
        }
        self.text.push('\n');
        self.text.push_str(line);
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, samples};
    use super::*;
    use crate::core::alert::notice::MAX_ITEMS;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_title_of_one_finding_says_what_is_wrong() {
        let notice = samples::one(Reason::Opened);
        assert_eq!(
            default_title(&notice),
            "[high] api-gateway / backend-available: APIRoute team-a/checkout: no endpoint is ready"
        );
        let notice = samples::one(Reason::AllResolved);
        assert_eq!(
            default_title(&notice),
            "[resolved] api-gateway / backend-available: APIRoute team-a/checkout: no endpoint is ready"
        );
    }

    #[test]
    fn the_title_of_more_has_their_numbers() {
        let mut notice = samples::one(Reason::MoreOpened);
        notice.totals.open = 3;
        notice.totals.opened = 2;
        notice.totals.resolved = 1;
        assert_eq!(
            default_title(&notice),
            "[high] api-gateway / backend-available: 3 open, 2 new, 1 resolved"
        );
        notice.group.by.insert("namespace".to_owned(), "team-a".to_owned());
        notice.group.by.remove("rule");
        assert_eq!(
            default_title(&notice),
            "[high] api-gateway / namespace team-a: 3 open, 2 new, 1 resolved"
        );
        notice.group.by.clear();
        notice.reason = Reason::Baseline;
        assert_eq!(default_title(&notice), "[high] api-gateway: 3 open when it was first judged");
        notice.reason = Reason::Resend;
        assert_eq!(default_title(&notice), "[high] api-gateway: 3 still open");
        notice.reason = Reason::Test;
        assert_eq!(default_title(&notice), "[test] api-gateway: a test message, nothing is wrong");
    }

    #[test]
    fn the_text_tells_of_each_finding() {
        let text = default_text(&samples::one(Reason::Opened));
        assert_eq!(
            text,
            "[high] api-gateway / backend-available: APIRoute team-a/checkout: no endpoint is ready\n\
             \n\
             New (1):\n\
             - [high] APIRoute team-a/checkout: no endpoint is ready\n\
             \x20 rule backend-available, since 2026-05-01 10:00:00 UTC, opened 3 times lately, \
             spec.limit: 100 → 1000, by kubectl-edit (Update)\n\
             \n\
             Policy api-gateway\n\
             Group rule=backend-available\n\
             Told at 2026-05-01 10:05:00 UTC (Opened)"
        );
        let text = default_text(&samples::one(Reason::AllResolved));
        assert!(
            text.contains(
                "since 2026-05-01 10:00:00 UTC, until 2026-05-01 10:04:00 UTC (4m), because it is silenced"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let mut notice = samples::one(Reason::MoreOpened);
        notice.opened = vec![notice.opened[0].clone(); 30];
        notice.totals.open = 500;
        notice.totals.opened = 400;
        let text = default_text(&notice);
        assert!(text.contains("New (400):"), "{text}");
        assert_eq!(text.matches("- [high]").count(), MAX_SAMPLES, "{text}");
        assert!(text.contains("and 380 more"), "{text}");
        assert!(text.contains("Also open (100):\nand 100 more"), "{text}");
    }

    #[test]
    fn titles_and_texts_are_bounded_whatever_is_in_a_notice() {
        for mut notice in samples() {
            notice.policy = "p".repeat(500);
            notice.group.by.insert("label".to_owned(), "ü\n".repeat(10_000));
            for list in [
                &mut notice.open,
                &mut notice.opened,
                &mut notice.changed,
                &mut notice.resolved,
                &mut notice.occurred,
            ] {
                for item in list.iter_mut() {
                    item.message = "m".repeat(512);
                    item.fields = "→".repeat(50_000);
                }
                if let Some(first) = list.first().cloned() {
                    list.resize(MAX_ITEMS, first);
                }
            }
            let title = default_title(&notice);
            assert!(title.len() <= MAX_TITLE && !title.contains('\n'), "{title}");
            assert!(default_text(&notice).len() <= MAX_OUTPUT);
        }
    }

    #[test]
    fn a_text_that_is_too_long_ends_with_a_whole_line() {
        let mut lines = Lines { text: String::new(), full: false };
        for _ in 0..2 * MAX_OUTPUT / 100 {
            lines.line(&"x".repeat(99));
        }
        assert!(lines.text.len() <= MAX_OUTPUT);
        assert!(lines.text.ends_with("x\n…"));
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let lasted = |until: &str| lasted(time("2026-05-01T10:00:00Z"), time(until));
        assert_eq!(lasted("2026-05-01T10:00:00Z"), "0s");
        assert_eq!(lasted("2026-05-01T09:00:00Z"), "0s");
        assert_eq!(lasted("2026-05-01T10:00:42Z"), "42s");
        assert_eq!(lasted("2026-05-01T12:05:09Z"), "2h 5m");
        assert_eq!(lasted("2026-05-01T12:00:09Z"), "2h");
        assert_eq!(lasted("2026-05-04T14:05:09Z"), "3d 4h");
    }
}
