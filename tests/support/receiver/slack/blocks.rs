//! What a message of Slack may be made of: <https://docs.slack.dev/reference/block-kit/blocks> with its limits, and
//! <https://docs.slack.dev/messaging/formatting-message-text> for what has to be escaped.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::check::Findings;

/// Longer texts are cut.
const MAX_TEXT: usize = 40_000;

/// Checks text, blocks and attachments. Returns the word by which Slack refuses what is fatal.
pub fn check(body: &Map<String, Value>, findings: &mut Findings) -> &'static str {
    let text = match body.get("text") {
        Some(Value::String(text)) if text.is_empty() => None,
        _ => findings.text(body, "", "text", false, MAX_TEXT),
    };
    if !findings.fatal.is_empty() {
        return "msg_too_long";
    }
    let blocks = findings.list(body, "", "blocks", 50);
    let attachments = findings.list(body, "", "attachments", 100);
    if text.is_none() && blocks.is_empty() && attachments.is_empty() {
        findings.fatal("there is neither text nor blocks nor attachments");
        return "no_text";
    }
    if text.is_none() {
        findings.lenient("text is missing: it is what notifications show of a message with blocks");
    }
    if let Some(text) = text
        && body.get("mrkdwn") != Some(&Value::Bool(false))
    {
        escapes(text, "text", findings);
    }
    check_blocks(blocks, "blocks", findings);
    for (n, attachment) in attachments.iter().enumerate() {
        let at = format!("attachments[{n}].");
        if let Some(attachment) = findings.object(attachment, &at) {
            check_blocks(findings.list(attachment, &at, "blocks", 50), &format!("{at}blocks"), findings);
        }
    }
    "invalid_blocks"
}

fn check_blocks(blocks: &[Value], list: &str, findings: &mut Findings) {
    let mut ids = BTreeSet::new();
    for (n, block) in blocks.iter().enumerate() {
        let at = format!("{list}[{n}].");
        let Some(block) = findings.object(block, &at) else {
            continue;
        };
        if let Some(id) = findings.text(block, &at, "block_id", false, 255)
            && !ids.insert(id)
        {
            findings.fatal(format!("{at}block_id is there twice: {id}"));
        }
        match findings.text(block, &at, "type", true, 255) {
            Some("header") => {
                findings.unknown(block, &at, &["type", "block_id", "text", "level"]);
                text_object(block.get("text"), &format!("{at}text"), &["plain_text"], 150, findings);
            }
            Some("section") => section(block, &at, findings),
            Some("divider") => findings.unknown(block, &at, &["type", "block_id"]),
            Some("context") => {
                findings.unknown(block, &at, &["type", "block_id", "elements"]);
                for (n, element) in elements(block, &at, 10, findings).iter().enumerate() {
                    let at = format!("{at}elements[{n}]");
                    if element.get("type") != Some(&Value::from("image")) {
                        text_object(Some(element), &at, &["plain_text", "mrkdwn"], 3000, findings);
                    }
                }
            }
            Some("actions") => {
                findings.unknown(block, &at, &["type", "block_id", "elements"]);
                for (n, element) in elements(block, &at, 25, findings).iter().enumerate() {
                    button(element, &format!("{at}elements[{n}]."), findings);
                }
            }
            // Allowed in messages, and not read here.
            Some("image" | "rich_text" | "markdown" | "table" | "video" | "file") | None => {}
            Some(other) => findings.fatal(format!("{at}type is {other}, which no message has")),
        }
    }
}

fn section(block: &Map<String, Value>, at: &str, findings: &mut Findings) {
    findings.unknown(block, at, &["type", "block_id", "text", "fields", "accessory", "expand"]);
    let kinds = &["plain_text", "mrkdwn"];
    let fields = findings.list(block, at, "fields", 10);
    if block.contains_key("text") || fields.is_empty() {
        text_object(block.get("text"), &format!("{at}text"), kinds, 3000, findings);
    }
    for (n, field) in fields.iter().enumerate() {
        text_object(Some(field), &format!("{at}fields[{n}]"), kinds, 2000, findings);
    }
    if let Some(accessory) = block.get("accessory")
        && accessory.get("type") == Some(&Value::from("button"))
    {
        button(accessory, &format!("{at}accessory."), findings);
    }
}

fn elements<'a>(block: &'a Map<String, Value>, at: &str, max: usize, findings: &mut Findings) -> &'a [Value] {
    let elements = findings.list(block, at, "elements", max);
    if elements.is_empty() {
        findings.fatal(format!("{at}elements is missing or empty"));
    }
    elements
}

fn button(button: &Value, at: &str, findings: &mut Findings) {
    let Some(button) = findings.object(button, at) else {
        return;
    };
    if button.get("type") != Some(&Value::from("button")) {
        findings.lenient(format!("{at}type is not button: nobody answers what people choose"));
        return;
    }
    let known = ["type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"];
    findings.unknown(button, at, &known);
    text_object(button.get("text"), &format!("{at}text"), &["plain_text"], 75, findings);
    findings.text(button, at, "action_id", false, 255);
    findings.text(button, at, "url", false, 3000);
    findings.text(button, at, "value", false, 2000);
    let style = findings.text(button, at, "style", false, 255);
    if style.is_some_and(|style| !["primary", "danger"].contains(&style)) {
        findings.fatal(format!("{at}style is {style:?}"));
    }
}

fn text_object(object: Option<&Value>, at: &str, kinds: &[&str], max: usize, findings: &mut Findings) {
    let Some(object) = object else {
        findings.fatal(format!("{at} is missing"));
        return;
    };
    let Some(object) = findings.object(object, at) else {
        return;
    };
    let at = format!("{at}.");
    findings.unknown(object, &at, &["type", "text", "emoji", "verbatim"]);
    let kind = findings.text(object, &at, "type", true, 255);
    if kind.is_some_and(|kind| !kinds.contains(&kind)) {
        findings.fatal(format!("{at}type is {kind:?}, and may be {kinds:?}"));
    }
    // Each has an option that the other refuses.
    for (option, other) in [("emoji", "mrkdwn"), ("verbatim", "plain_text")] {
        if kind == Some(other) && object.contains_key(option) {
            findings.fatal(format!("{at}{option} is not for {other}"));
        }
    }
    let text = findings.text(object, &at, "text", true, max);
    if let Some(text) = text
        && kind == Some("mrkdwn")
    {
        escapes(text, &format!("{at}text"), findings);
    }
}

/// Whether `&`, `<` and `>` are escaped where they are no entity, link or quotation; whether people are called who were
/// not asked for.
fn escapes(text: &str, at: &str, findings: &mut Findings) {
    let mut rest = text;
    let mut at_start_of_line = true;
    while let Some(next) = rest.chars().next() {
        match next {
            '&' if !["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity)) => {
                findings.lenient(format!("{at} has & that is not escaped: {}", start_of(rest)));
            }
            '<' => {
                let end = rest.find('>').filter(|end| !rest[1..*end].contains(['<', '\n']));
                let link = ["<https://", "<http://", "<mailto:"].iter().any(|start| rest.starts_with(start));
                if !link || end.is_none() {
                    findings.lenient(format!("{at} has < that begins no link: {}", start_of(rest)));
                }
                if let Some(end) = end {
                    rest = &rest[end + 1..];
                    at_start_of_line = false;
                    continue;
                }
            }
            '>' if !at_start_of_line => {
                findings.lenient(format!("{at} has > that is not escaped: {}", start_of(rest)));
            }
            _ => {}
        }
        at_start_of_line = next == '\n';
        rest = &rest[next.len_utf8()..];
    }
}

fn start_of(text: &str) -> String {
    text.chars().take(40).collect()
}
