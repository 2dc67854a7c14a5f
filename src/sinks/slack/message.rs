//! What is posted: a text within Slack's bounds, in which nothing that a finding says is markup.

use serde::Serialize;
use serde_json::Value;

use crate::core::alert::Notice;

/// Most bytes of a section. Slack takes 3000 characters
/// (<https://docs.slack.dev/reference/block-kit/blocks/section-block>).
const MAX_SECTION: usize = 2900;
/// Most sections. Together they stay below some 13,000 characters, from which on Slack answers `msg_blocks_too_long`
/// (<https://github.com/slackapi/bolt-js/issues/2509>), whatever else its documents allow.
const MAX_SECTIONS: usize = 4;
/// Most bytes of a message.
#[cfg(test)]
pub(super) const MAX_TEXT: usize = MAX_SECTION * MAX_SECTIONS;

/// A message, for each of the ways to hand it over.
#[derive(Serialize, Debug, Clone, PartialEq)]
pub(super) struct Message {
    /// What notifications and screen readers have of it. It must be short enough for `chat.update`, which takes 4000
    /// bytes.
    pub text: String,
    blocks: Vec<Block>,
    /// No previews of what a text names.
    unfurl_links: bool,
    unfurl_media: bool,
}

#[derive(Serialize, Debug, Clone, PartialEq)]
struct Block {
    #[serde(rename = "type")]
    kind: &'static str,
    text: Text,
}

#[derive(Serialize, Debug, Clone, PartialEq)]
struct Text {
    #[serde(rename = "type")]
    kind: &'static str,
    text: String,
    /// Names of channels and people are links only where the markup says so.
    verbatim: bool,
}

impl Message {
    /// Of a text with markup; none when it says nothing.
    pub(super) fn new(text: &str) -> Option<Self> {
        let sections = sections(text.trim());
        let text = sections.first()?.clone();
        let text_of = |text| Text { kind: "mrkdwn", text, verbatim: true };
        let blocks =
            sections.into_iter().map(|text| Block { kind: "section", text: text_of(text) }).collect();
        Some(Self { text, blocks, unfurl_links: false, unfurl_media: false })
    }
}

/// Parts of a text that end with a line where that is possible. What is too much is left out, with an ellipsis.
fn sections(text: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if sections.len() == MAX_SECTIONS {
            if let Some(last) = sections.last_mut() {
                *last = format!("{}\n…", first(last, MAX_SECTION - "\n…".len()));
            }
            break;
        }
        let part = first(rest, MAX_SECTION);
        rest = rest[part.len()..].trim_start_matches('\n');
        if !part.trim().is_empty() {
            sections.push(part.to_owned());
        }
    }
    sections
}

/// At most `max` bytes from the beginning: whole lines, or else whole words, or else whole characters.
fn first(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let end = match (text[..end].rfind('\n'), text[..end].rfind(' ')) {
        (Some(line), _) if line > max / 2 => line,
        (_, Some(word)) if word > max / 2 => word,
        _ => end,
    };
    &text[..end]
}

/// The notice with every text escaped (<https://docs.slack.dev/messaging/formatting-message-text>): without `<`, none
/// of them can mention a person or a channel, nor hide where a link goes.
///
/// # Errors
/// None that can be met: a notice is made of what JSON has.
pub(super) fn escaped(notice: &Notice) -> serde_json::Result<Notice> {
    let mut value = serde_json::to_value(notice)?;
    escape(&mut value);
    serde_json::from_value(value)
}

fn escape(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(['&', '<', '>']) => {
            *text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        }
        Value::Array(items) => items.iter_mut().for_each(escape),
        Value::Object(fields) => fields.values_mut().for_each(escape),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::finding::Severity::High;
    use crate::sinks::testing::{item, opened};

    fn texts(message: &Message) -> Vec<&str> {
        message.blocks.iter().map(|block| block.text.text.as_str()).collect()
    }

    #[test]
    fn a_text_of_many_lines_is_cut_between_them() {
        let line = "x".repeat(99);
        let text = vec![line.as_str(); 60].join("\n");
        let message = Message::new(&text).expect("a message");
        assert_eq!(texts(&message).join("\n"), text);
        assert_eq!(message.blocks.len(), 3);
        for section in texts(&message) {
            assert!(section.len() <= MAX_SECTION && section.lines().all(|part| part == line));
        }
    }

    #[test]
    fn no_text_is_too_long_whatever_it_is_made_of() {
        for letter in ["x", "é", "x ", "x\n", "\n", "…", "&lt;"] {
            let message = Message::new(&format!("begin{}end", letter.repeat(20_000))).expect("a message");
            let texts = texts(&message);
            assert!(
                texts.iter().all(|text| !text.trim().is_empty() && text.len() <= MAX_SECTION),
                "{letter:?}"
            );
            assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= MAX_TEXT, "{letter:?}");
            assert!(message.text.len() <= MAX_SECTION, "{letter:?}");
            let last = texts.last().expect("a section");
            assert!(last.ends_with('…') || last.ends_with("end"), "{letter:?}: {last}");
        }
        assert_eq!(Message::new(" \n "), None);
        assert_eq!(Message::new(""), None);
    }

    #[test]
    fn no_text_of_a_finding_is_markup() {
        let mut odd = item("a", High);
        odd.message = "<!channel> & <https://evil|good>".to_owned();
        odd.fields = "spec.x: <@U1> → 2".to_owned();
        let notice = escaped(&opened(&[odd])).expect("a notice");
        assert_eq!(notice.opened[0].message, "&lt;!channel&gt; &amp; &lt;https://evil|good&gt;");
        assert_eq!(notice.open[0].fields, "spec.x: &lt;@U1&gt; → 2");
        let plain = opened(&[item("a", High)]);
        assert_eq!(escaped(&plain).expect("a notice"), plain);
    }
}
