//! Templates of users, in the language of Jinja (https://docs.rs/minijinja/latest/minijinja/syntax/): compiled and tried
//! when a sink is applied, so that a slip is told then and not when something is on fire.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use regex::Regex;

use super::context::{self, FUNCTIONS};
use super::filters;
use super::samples::samples;
use crate::core::alert::Notice;
use crate::core::near::nearest;
use crate::core::rules::one_line;
use crate::sinks::{SendError, SpecError};

/// Most bytes of the source of a template.
pub const MAX_SOURCE: usize = 8 * 1024;
/// Most bytes that a template gives; the rest is cut.
pub const MAX_OUTPUT: usize = 64 * 1024;
/// What one rendering may cost: an instruction costs one, and so do 64 bytes that are made or read. A notice of five
/// hundred findings, each with a paragraph of text, costs about a tenth.
const FUEL: u64 = 300_000;
/// Most bytes that are said of an error.
const MAX_ERROR: usize = 512;
const NAME: &str = "template";
const CUT: &str = "…";

/// A template that was tried with every kind of notice.
#[derive(Clone)]
pub struct Template {
    field: String,
    environment: Arc<Environment<'static>>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("field", &self.field).finish_non_exhaustive()
    }
}

impl Template {
    /// Compiles a template and tries it. `field` is where it stands in the spec, such as `email.text`.
    ///
    /// # Errors
    /// When the source is longer than [`MAX_SOURCE`], is no template, reads what no notice has, uses what is unknown, or
    /// does not end within its bounds. The message has the line, and the nearest name that there is.
    pub fn new(field: &str, source: &str) -> Result<Self, SpecError> {
        let refuse = |message: String| SpecError { field: field.to_owned(), message };
        if source.len() > MAX_SOURCE {
            let most = MAX_SOURCE / 1024;
            return Err(refuse(format!(
                "the template has {} bytes; at most {most} KiB are taken",
                source.len()
            )));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(plain);
        environment.set_fuel(Some(FUEL));
        // It shows all variables, which is of use to nobody who is told of a finding.
        environment.remove_global("debug");
        filters::add(&mut environment);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|e| refuse(said(&e)))?;
        let template = Self { field: field.to_owned(), environment: Arc::new(environment) };
        let samples: Vec<Value> = samples().iter().map(context::of).collect();
        for sample in &samples {
            template.rendered(sample.clone()).map_err(|e| refuse(said(&e)))?;
        }
        if let Some(sample) = samples.first() {
            template.check_names(source, sample).map_err(refuse)?;
        }
        Ok(template)
    }

    /// The text for a notice: at most [`MAX_OUTPUT`] bytes, and cut at a whole character where it would be longer.
    ///
    /// # Errors
    /// [`SendError::Permanent`] when the notice has what no sample had: a template may do what fails only then.
    pub fn render(&self, notice: &Notice) -> Result<String, SendError> {
        self.rendered(context::of(notice))
            .map_err(|e| SendError::Permanent(format!("{}: {}", self.field, said(&e))))
    }

    fn rendered(&self, context: Value) -> Result<String, Error> {
        let template = self.environment.get_template(NAME)?;
        let mut output = Bounded::default();
        match template.render_captured_to(context, &mut output) {
            Err(error) if !output.full => Err(error),
            _ => Ok(output.into_text()),
        }
    }

    /// What no sample came by, since it stands in a branch.
    fn check_names(&self, source: &str, sample: &Value) -> Result<(), String> {
        let Ok(template) = self.environment.get_template(NAME) else { return Ok(()) };
        let mut paths: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        paths.sort_unstable();
        for path in paths {
            let root = path.split('.').next().unwrap_or_default();
            // What is set in a branch counts as not declared after it.
            if FUNCTIONS.contains(&root) || is_set(source, root) {
                continue;
            }
            if let Some(wrong) = context::wrong_path(sample, &path) {
                let line = source.lines().position(|line| line.contains(&path));
                let line = line.map(|line| format!("line {}: ", line + 1)).unwrap_or_default();
                return Err(format!("{line}{wrong}"));
            }
        }
        Ok(())
    }
}

/// Nothing of a notice needs to be escaped for plain text, and what is not there is not written.
fn plain(output: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if !value.is_none() {
        write!(output, "{value}")?;
    }
    Ok(())
}

/// Whether a template gives a name a value anywhere.
fn is_set(source: &str, name: &str) -> bool {
    static SET: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\{%[-+]?\s*set\s+([^=%]*)").ok());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    SET.as_ref().is_none_or(|set| {
        set.captures_iter(source).any(|found| found[1].split(|c| !is_word(c)).any(|word| word == name))
    })
}

/// What an error says to whoever wrote the template.
fn said(error: &Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "takes too long; loop over less, or make less text".to_owned(),
        ErrorKind::UndefinedError if detail.is_empty() => "nothing is there, as in the first of an empty list or a \
                                                           field of a text; ask for it in an if, or add | default(\"…\")"
            .to_owned(),
        ErrorKind::UndefinedError => detail.to_owned(),
        ErrorKind::UnknownFilter => {
            let name = detail.split_whitespace().nth(1).unwrap_or_default();
            match nearest(name, filters::ALL.into_iter()) {
                Some(near) => format!("{detail}; did you mean {near:?}?"),
                None => format!("{detail}; there are {}", filters::ALL.join(", ")),
            }
        }
        ErrorKind::InvalidOperation if detail.ends_with("is not callable") => {
            format!("there is no such function; there are {}", FUNCTIONS.join(", "))
        }
        kind if detail.is_empty() => kind.to_string(),
        kind => format!("{kind}: {detail}"),
    };
    let mut said = format!("{line}{what}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        said.push_str(&format!(": {error}"));
        source = error.source();
    }
    one_line(&said, MAX_ERROR)
}

/// Takes what fits, and then refuses, so that nothing more is rendered.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    full: bool,
}

impl Bounded {
    fn into_text(mut self) -> String {
        if self.full {
            self.bytes.truncate(MAX_OUTPUT - CUT.len());
        }
        let whole = match std::str::from_utf8(&self.bytes) {
            Ok(_) => self.bytes.len(),
            Err(e) => e.valid_up_to(),
        };
        self.bytes.truncate(whole);
        let mut text = String::from_utf8(self.bytes).unwrap_or_default();
        if self.full {
            text.push_str(CUT);
        }
        text
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = (MAX_OUTPUT - self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::samples;
    use super::*;
    use crate::core::alert::{Item, Reason};

    fn refused(source: &str) -> String {
        let error = Template::new("email.text", source).expect_err(source);
        assert_eq!(error.field, "email.text");
        error.message
    }

    fn rendered(source: &str, notice: &Notice) -> String {
        Template::new("email.text", source).expect(source).render(notice).expect("a text")
    }

    #[test]
    fn a_template_reads_a_notice() {
        let source = "{{ severity | upper }} {{ policy }} ({{ group }}): {{ totals.open }} open\n\
                      {% for item in opened %}\
                      {{ loop.index }}. {{ item.subject }} in {{ item.object.namespace }}: {{ item.message }}, \
                      team {{ item.labels.team }}, for {{ item.since | age }}, \
                      {{ item.since | time(\"%H:%M %Z\", \"Europe/Berlin\") }}\n\
                      {% endfor %}{{ validUntil }}";
        assert_eq!(
            rendered(source, &samples::one(Reason::Opened)),
            "HIGH api-gateway (rule=backend-available): 1 open\n\
             1. APIRoute team-a/checkout in team-a: no endpoint is ready, team checkout, for 5m, 12:00 CEST\n\
             2026-05-01T11:05:00Z"
        );
        assert_eq!(rendered("{{ title }}", &samples::one(Reason::Test)).get(..6), Some("[test]"));
        assert!(rendered("{{ text }}", &samples::one(Reason::Test)).contains("New (1):"));
    }

    #[test]
    fn what_is_absent_is_empty() {
        let source = "{% for item in open + opened + changed + resolved + occurred %}\
                      [{{ item.object }}|{{ item.object.namespace }}|{{ item.object.name | default(\"-\") }}\
                      |{{ item.objectGroup }}|{{ item.ended }}|{{ item.ended | time }}|{{ item.since | age(item.ended) }}\
                      |{{ item.endedBecause }}|{{ item.labels.team }}|{{ item.labels[\"app.kubernetes.io/name\"] }}\
                      |{{ item.fields }}|{{ item.operation }}|{{ item.resourceVersion }}|{{ none }}]\
                      {% if item.object %}object{% else %}group{% endif %}\
                      {% endfor %}{{ reference }}{{ group.by.namespace | d(\"everywhere\") }}";
        let mut notice = samples::one(Reason::Opened);
        notice.open.clear();
        notice.opened =
            vec![Item { object: None, object_group: Some("shop".to_owned()), ..notice.opened[0].clone() }];
        notice.opened[0].labels.clear();
        notice.opened[0].fields.clear();
        assert_eq!(rendered(source, &notice), "[||-|shop|||5m|||||||]groupeverywhere");
    }

    #[test]
    fn labels_are_gone_through_and_asked_for() {
        let source = "{% for item in opened %}{% for name, value in item.labels | items %}{{ name }}={{ value }};\
                      {% endfor %}{{ \"team\" in item.labels }} {{ \"app\" in item.labels }} {{ item.labels }} \
                      {{ item.labels | length }}{% endfor %}";
        assert_eq!(
            rendered(source, &samples::one(Reason::Opened)),
            "team=checkout;True False team=checkout 1"
        );
    }

    #[test]
    fn a_name_that_no_notice_has_is_refused_with_the_nearest() {
        assert_eq!(
            refused("{{ policy }}\n{{ polcy }}"),
            "line 2: there is no \"polcy\" in a notice; did you mean \"policy\"?"
        );
        assert_eq!(
            refused("{% for item in open %}\n\n{{ item.object.namspace }}{% endfor %}"),
            "line 3: there is no field \"namspace\" in object; did you mean \"namespace\"?"
        );
        assert_eq!(
            refused("{% for item in open %}{{ item.valid_until }}{% endfor %}").split("; ").next(),
            Some("line 1: there is no field \"valid_until\" in a finding")
        );
        assert_eq!(
            refused("{{ totals.bySeverity.hihg }}"),
            "line 1: there is no field \"hihg\" in totals.bySeverity; did you mean \"high\"?"
        );
        assert_eq!(refused("{{ policy | uper }}"), "line 1: filter uper is unknown; did you mean \"upper\"?");
        assert!(
            refused("{{ opened | map(attribute=\"mesage\") | join }}").contains("did you mean \"message\"?")
        );
    }

    #[test]
    fn a_name_in_a_branch_that_no_sample_takes_is_refused_as_well() {
        assert_eq!(
            refused("{% if policy == \"other\" %}\n{{ totals.opne }}{% endif %}"),
            "line 2: there is no field \"opne\" in totals; did you mean \"open\"?"
        );
        assert_eq!(
            refused("{% if policy == \"other\" %}\n{{ serverity }}{% endif %}"),
            "line 2: there is no \"serverity\" in a notice; did you mean \"severity\"?"
        );
    }

    #[test]
    fn what_a_template_sets_and_calls_is_known() {
        let source = "{% if collapsed %}{% set word = \"many\" %}{% else %}{%- set word, other = \"few\", 1 %}{% endif %}\
                      {% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}\
                      {% with group = 7 %}{{ group.none | default(\"x\") }}{% endwith %}{{ word }} {{ ns.n }}";
        assert_eq!(rendered(source, &samples::one(Reason::Opened)), "xfew 3");
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_line() {
        assert!(refused("a\n{% if %}").starts_with("line 2: syntax error: "), "{}", refused("a\n{% if %}"));
        assert!(refused("{{ x").starts_with("line 1: syntax error: "));
        assert!(refused("{% include \"/etc/passwd\" %}").contains("syntax error"));
        assert_eq!(
            refused("{{ debug() }}"),
            "line 1: there is no such function; there are dict, namespace, range"
        );
        assert_eq!(
            refused(&"x".repeat(MAX_SOURCE + 1)),
            "the template has 8193 bytes; at most 8 KiB are taken"
        );
        assert!(refused("{{ (open | first).message }}").starts_with("line 1: nothing is there"));
        assert!(refused("{{ time | time(\"%!\") }}").contains("is no format of times"));
        assert!(refused("{{ time | time(\"%H\", \"Mars\") }}").contains("there is no time zone"));
        assert!(refused("{{ policy | age }}").contains("is not a time"));
    }

    #[test]
    fn what_does_not_end_is_stopped() {
        let begin = Instant::now();
        let hostile = [
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}".to_owned(),
            "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}".to_owned(),
            "{% set x = policy %}".to_owned() + &"{% set x = x ~ x %}".repeat(40),
            "{{ \"x\" * 90000000 }}".to_owned(),
            "{% set x = \"a\" * 100000 %}{{ x | replace(\"a\", x) | length }}".to_owned(),
            "{{ policy | indent(900000000) }}".to_owned(),
        ];
        for source in hostile {
            match Template::new("email.text", &source) {
                Ok(template) => {
                    let text = template.render(&samples::one(Reason::Opened)).expect("a text");
                    assert!(text.len() <= MAX_OUTPUT, "{source}");
                }
                Err(error) => assert!(error.message.contains("takes too long"), "{source}: {error}"),
            }
        }
        // Nothing of this takes long on a slow machine; without bounds it would take hours.
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(4000), ")".repeat(4000));
        assert!(refused(&deep).contains("syntax error"), "{}", refused(&deep));
        let deep = format!("{}{}", "{%if 1%}".repeat(500), "{%endif%}".repeat(400));
        assert!(refused(&deep).contains("syntax error"), "{}", refused(&deep));
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_whole_character() {
        for shift in ["", "x", "xx"] {
            let source = format!("{shift}{{% for i in range(9000) %}}äöü→{{% endfor %}}");
            let text = rendered(&source, &samples::one(Reason::Opened));
            assert!(text.len() <= MAX_OUTPUT && text.len() > MAX_OUTPUT - 8, "{}", text.len());
            assert!(text.ends_with('…'), "{:?}", &text[text.len() - 12..]);
        }
        let source = "{% for i in range(16384) %}abcd{% endfor %}";
        assert_eq!(rendered(source, &samples::one(Reason::Opened)), "abcd".repeat(MAX_OUTPUT / 4));
    }

    #[test]
    fn the_largest_notice_fits_into_the_fuel() {
        let mut notice = samples::one(Reason::MoreOpened);
        let item = Item { message: "m".repeat(512), ..notice.opened[0].clone() };
        let all = vec![item; crate::core::alert::notice::MAX_ITEMS];
        notice.open.clone_from(&all);
        notice.opened.clone_from(&all);
        notice.changed.clone_from(&all);
        notice.resolved.clone_from(&all);
        notice.occurred = all;
        let source = "{% for item in open + opened + changed + resolved + occurred %}{% set about = item.subject ~ \": \" \
                      ~ item.message | upper | replace(\"M\", \"n\") %}{{ about | indent(2) | trim | lower }}{% endfor %}";
        let template = Template::new("email.text", source).expect("a template");
        let context = context::of(&notice);
        template.rendered(context).expect("enough fuel");
    }

    #[test]
    fn what_fails_for_one_notice_alone_is_told_of_that() {
        let template =
            Template::new("email.text", "{{ 1 // (policy | length - 5) }}").expect("fine with samples");
        let mut notice = samples::one(Reason::Opened);
        notice.policy = "abcde".to_owned();
        let error = template.render(&notice).expect_err("a division by zero");
        assert!(
            matches!(&error, SendError::Permanent(why) if why.starts_with("email.text: line 1: ")),
            "{error:?}"
        );
    }

    #[test]
    fn nothing_is_escaped() {
        let mut notice = samples::one(Reason::Opened);
        notice.policy = "<a & \"b\">".to_owned();
        assert_eq!(rendered("{{ policy }}", &notice), "<a & \"b\">");
    }
}
