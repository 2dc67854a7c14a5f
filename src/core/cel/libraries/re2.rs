//! Patterns of RE2, as Go's `regexp/syntax` reads them, in the syntax of the `regex` crate.
//!
//! What Go refuses is refused, with the reason; what it takes means the same, with these differences:
//! - `\B` beside a letter that is not ASCII takes it for a part of a word.
//! - Groups nest at most 250 deep, in place of 1000.
//! - A pattern of more than about [`HEAVIEST`] states is refused; Go's limit is in bytes, and higher.
//! - Scripts may also be called by their short names, such as `\p{Grek}`.

/// A pattern that has been read.
pub(super) struct Translated {
    /// It, in the syntax of the `regex` crate.
    pub(super) pattern: String,
    /// About how many states it has when it is compiled.
    pub(super) weight: u64,
}

/// Most states of a pattern.
const HEAVIEST: u64 = 20_000;
/// Most repetitions that a repetition may say, also with those that it is within.
const MOST_REPEATED: u64 = 1000;
/// Most groups within one another.
const DEEPEST: usize = 200;

/// Reads a pattern.
///
/// # Errors
/// What is wrong with it, in words that hold nothing of it.
pub(super) fn translate(pattern: &str) -> Result<Translated, String> {
    let mut reader = Reader { rest: pattern, out: String::with_capacity(pattern.len() * 2) };
    match reader.pattern() {
        Ok(weight) => Ok(Translated { pattern: reader.out, weight }),
        Err(reason) => Err(format!("invalid regular expression: {reason}")),
    }
}

type Wrong = &'static str;

struct Reader<'p> {
    rest: &'p str,
    out: String,
}

/// How heavy a part of a pattern is.
#[derive(Clone, Copy, Default)]
struct Size {
    /// About how many states it has.
    weight: u64,
    /// How often it repeats what is within, at most, repetitions within repetitions multiplied.
    repeats: u64,
}

/// A group that is still open.
#[derive(Default)]
struct Group {
    /// What of it has been read.
    read: Size,
    /// What was read last; None where nothing can be repeated.
    last: Option<Last>,
    /// The flag `i`, as it was before.
    folded_before: bool,
}

struct Last {
    size: Size,
    is_repeated: bool,
}

impl Group {
    fn push(&mut self, size: Size) {
        self.settle();
        self.last = Some(Last { size, is_repeated: false });
    }

    /// What was read last is not repeated any more.
    fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.read.weight = self.read.weight.saturating_add(last.size.weight);
            self.read.repeats = self.read.repeats.max(last.size.repeats);
        }
    }
}

impl Reader<'_> {
    fn pattern(&mut self) -> Result<u64, Wrong> {
        let mut folded = false;
        let mut groups: Vec<Group> = Vec::new();
        let mut group = Group::default();
        while let Some(c) = self.next() {
            match c {
                '(' => {
                    let folded_before = folded;
                    if self.open(&mut folded)? {
                        if groups.len() == DEEPEST {
                            return Err("groups are nested too deep");
                        }
                        groups
                            .push(std::mem::replace(&mut group, Group { folded_before, ..Group::default() }));
                    } else {
                        // Flags cannot be repeated.
                        group.settle();
                    }
                }
                ')' => {
                    let Some(outer) = groups.pop() else { return Err("unexpected )") };
                    self.out.push(')');
                    group.settle();
                    folded = group.folded_before;
                    let size = Size { weight: group.read.weight + 1, ..group.read };
                    group = outer;
                    group.push(size);
                }
                '|' => {
                    self.out.push('|');
                    group.settle();
                    group.read.weight += 1;
                }
                '^' | '$' | '.' => {
                    self.out.push(c);
                    group.push(Size { weight: if c == '.' { ANY } else { 1 }, repeats: 0 });
                }
                '[' => {
                    let weight = self.class()?;
                    group.push(Size { weight, repeats: 0 });
                }
                '*' | '+' | '?' => self.repeat(&mut group, &c.to_string(), 1, None)?,
                '{' => match self.bounds()? {
                    Some((least, most)) => {
                        let repeated = match most {
                            None => format!("{{{least},}}"),
                            Some(most) => format!("{{{least},{most}}}"),
                        };
                        let times = most.unwrap_or(least);
                        self.repeat(&mut group, &repeated, times.max(least), Some(times))?;
                    }
                    None => group.push(self.literal('{', folded)),
                },
                '\\' => self.escaped(&mut group, folded)?,
                c => group.push(self.literal(c, folded)),
            }
            if groups.iter().map(|group| group.read.weight).sum::<u64>() + group.read.weight > HEAVIEST {
                return Err("it is too large");
            }
        }
        if !groups.is_empty() {
            return Err("missing closing )");
        }
        group.settle();
        if group.read.weight > HEAVIEST { Err("it is too large") } else { Ok(group.read.weight + 1) }
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn write(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
        }
    }

    fn literal(&mut self, c: char, folded: bool) -> Size {
        self.write(c);
        Size { weight: c.len_utf8() as u64 * if folded { 4 } else { 1 }, repeats: 0 }
    }

    /// `*`, `{2,3}` and so on. `times` is how often it is there when it is compiled, `counted` what it counts for.
    fn repeat(
        &mut self,
        group: &mut Group,
        written: &str,
        times: u64,
        counted: Option<u64>,
    ) -> Result<(), Wrong> {
        let Some(last) = &mut group.last else { return Err("missing argument to repetition operator") };
        if last.is_repeated {
            return Err("invalid nested repetition operator");
        }
        last.is_repeated = true;
        if let Some(counted) = counted {
            last.size.repeats = if counted == 0 { 0 } else { counted * last.size.repeats.max(1) };
            if counted >= 2 && last.size.repeats > MOST_REPEATED {
                return Err("invalid repeat count: more than 1000");
            }
        }
        last.size.weight = last.size.weight.saturating_mul(times.max(1)).saturating_add(1);
        self.out.push_str(written);
        if self.skip("?") {
            self.out.push('?');
        }
        Ok(())
    }

    /// What comes after `{`, if that is a repetition; else it is a character like any other.
    fn bounds(&mut self) -> Result<Option<(u64, Option<u64>)>, Wrong> {
        let Some((inside, after)) = self.rest.split_once('}') else { return Ok(None) };
        let (least, most) = match inside.split_once(',') {
            Some((least, most)) => (least, (!most.is_empty()).then_some(most)),
            None => (inside, Some(inside)),
        };
        let is_number = |n: &str| {
            !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()) && (n.len() == 1 || !n.starts_with('0'))
        };
        if !is_number(least) || !most.is_none_or(is_number) {
            return Ok(None);
        }
        self.rest = after;
        let number = |n: &str| n.parse().ok().filter(|n| *n <= MOST_REPEATED);
        let least = number(least).ok_or("invalid repeat count: more than 1000")?;
        let most = most.map(|most| number(most).ok_or("invalid repeat count: more than 1000")).transpose()?;
        if most.is_some_and(|most| most < least) {
            return Err("invalid repeat count: the second is less than the first");
        }
        Ok(Some((least, most)))
    }

    /// What comes after `(`: a group, then true; or flags for what follows, then false.
    fn open(&mut self, folded: &mut bool) -> Result<bool, Wrong> {
        if !self.skip("?") {
            self.out.push_str("(?:");
            return Ok(true);
        }
        if self.skip("P<") || self.skip("<") {
            let (name, after) = self.rest.split_once('>').ok_or("invalid named capture")?;
            if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
                return Err("invalid named capture");
            }
            self.rest = after;
            self.out.push_str("(?:");
            return Ok(true);
        }
        let mut flags = String::new();
        // Whether there is a flag since the beginning, or since the sign.
        let mut some = false;
        let mut negative = false;
        loop {
            match self.next() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    *folded = if flag == 'i' { !negative } else { *folded };
                    // Said twice is refused by the regex crate, not by Go; the last one counts.
                    flags.retain(|known| known != flag);
                    flags.push(flag);
                    some = true;
                }
                Some('-') if !negative => {
                    negative = true;
                    some = false;
                    flags.push('-');
                }
                Some(end @ (':' | ')')) if some || !negative => {
                    if !flags.is_empty() || end == ':' {
                        let flags = flags.trim_end_matches('-');
                        self.out.push_str(&format!("(?{flags}{end}"));
                    }
                    return Ok(end == ':');
                }
                None => return Err("missing closing )"),
                Some(_) => return Err("invalid or unsupported Perl syntax"),
            }
        }
    }

    /// What comes after `\`, outside of a class.
    fn escaped(&mut self, group: &mut Group, folded: bool) -> Result<(), Wrong> {
        let mut rest = self.rest.chars();
        match rest.next() {
            Some('Q') => {
                self.rest = rest.as_str();
                let (quoted, after) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                self.rest = after;
                for c in quoted.chars() {
                    let size = self.literal(c, folded);
                    group.push(size);
                }
            }
            Some(c @ ('A' | 'z' | 'b' | 'B')) => {
                self.rest = rest.as_str();
                // The regex crate refuses an ASCII `\B`, which could match within a character.
                self.out.push_str(match c {
                    'A' => "\\A",
                    'z' => "\\z",
                    'b' => "(?-u:\\b)",
                    _ => "\\B",
                });
                group.push(Size { weight: 1, repeats: 0 });
            }
            _ => {
                let size = match self.class_escape()? {
                    Some(weight) => Size { weight, repeats: 0 },
                    None => {
                        let c = self.character_escape()?;
                        self.literal(c, folded)
                    }
                };
                group.push(size);
            }
        }
        Ok(())
    }

    /// `\d`, `\pL` and the like, within a class or not; how heavy it is.
    fn class_escape(&mut self) -> Result<Option<u64>, Wrong> {
        let mut rest = self.rest.chars();
        let Some(c) = rest.next() else { return Err("trailing backslash at end of expression") };
        let ascii = match c {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\x0c\\r ]",
            'S' => "[^\\t\\n\\x0c\\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            'p' | 'P' => {
                self.rest = rest.as_str();
                return self.property(c == 'P').map(Some);
            }
            _ => return Ok(None),
        };
        self.rest = rest.as_str();
        self.out.push_str(ascii);
        Ok(Some(if c.is_ascii_uppercase() { ANY } else { 1 }))
    }

    /// What comes after `\p` or `\P`.
    fn property(&mut self, mut negated: bool) -> Result<u64, Wrong> {
        const INVALID: Wrong = "invalid character class range";
        let name = if self.skip("{") {
            let (name, after) = self.rest.split_once('}').ok_or(INVALID)?;
            self.rest = after;
            match name.strip_prefix('^') {
                Some(name) => {
                    negated = !negated;
                    name.to_owned()
                }
                None => name.to_owned(),
            }
        } else {
            self.next().ok_or(INVALID)?.to_string()
        };
        let plain: String =
            name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
        if plain.is_empty() || !plain.bytes().all(|c| c.is_ascii_alphabetic()) {
            return Err(INVALID);
        }
        let kind = if CATEGORIES.contains(&plain.as_str()) { "gc" } else { "sc" };
        let property = format!("\\{}{{{kind}={plain}}}", if negated { 'P' } else { 'p' });
        // It alone tells what the script is called; the rest of the pattern is not known yet.
        if kind == "sc" && regex::Regex::new(&property).is_err() {
            return Err(INVALID);
        }
        self.out.push_str(&property);
        Ok(PROPERTY)
    }

    /// A character that is written with a backslash.
    fn character_escape(&mut self) -> Result<char, Wrong> {
        const INVALID: Wrong = "invalid escape sequence";
        let c = self.next().ok_or("trailing backslash at end of expression")?;
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            // One digit alone would be what a group has matched.
            '1'..='7' if !self.rest.starts_with(|c: char| c.is_digit(8)) => return Err(INVALID),
            '0'..='7' => {
                let more = self.rest.chars().take(2).take_while(|c| c.is_digit(8)).count();
                let digits = format!("{c}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32).ok_or(INVALID)?
            }
            'x' => {
                let digits = if self.skip("{") {
                    let (digits, after) = self.rest.split_once('}').ok_or(INVALID)?;
                    self.rest = after;
                    digits
                } else {
                    let digits = self.rest.get(..2).ok_or(INVALID)?;
                    self.rest = &self.rest[2..];
                    digits
                };
                let is_hex = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_hexdigit());
                let code = if is_hex { u32::from_str_radix(digits, 16).ok() } else { None };
                code.and_then(char::from_u32).ok_or(INVALID)?
            }
            c if c.is_ascii_punctuation() || c == ' ' || c.is_ascii_control() => c,
            _ => return Err(INVALID),
        })
    }

    /// What comes after `[`; how heavy it is.
    fn class(&mut self) -> Result<u64, Wrong> {
        let negated = self.skip("^");
        self.out.push_str(if negated { "[^" } else { "[" });
        let mut weight = if negated { ANY } else { 1 };
        let mut first = true;
        loop {
            if self.rest.is_empty() {
                return Err("missing closing ]");
            }
            if !first && self.skip("]") {
                self.out.push(']');
                return Ok(weight);
            }
            first = false;
            if self.rest.starts_with("[:")
                && let Some(end) = self.rest[2..].find(":]")
            {
                let name = &self.rest[2..2 + end];
                if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err("invalid character class range");
                }
                weight += if name.starts_with('^') { ANY } else { 1 };
                self.out.push_str(&self.rest[..end + 4]);
                self.rest = &self.rest[end + 4..];
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix('\\') {
                let before = self.rest;
                self.rest = rest;
                if let Some(heavy) = self.class_escape()? {
                    weight = weight.saturating_add(heavy);
                    continue;
                }
                self.rest = before;
            }
            let low = self.class_character()?;
            self.write(low);
            let is_range =
                self.rest.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && !rest.starts_with(']'));
            let mut high = low;
            if is_range {
                self.skip("-");
                high = self.class_character()?;
                if high < low {
                    return Err("invalid character class range");
                }
                self.out.push('-');
                self.write(high);
            }
            weight += if high.is_ascii() { 1 } else { 8 };
        }
    }

    fn class_character(&mut self) -> Result<char, Wrong> {
        match self.next() {
            Some('\\') => self.character_escape(),
            Some(c) => Ok(c),
            None => Err("missing closing ]"),
        }
    }
}

/// How many states any character takes, and a property of characters.
const ANY: u64 = 12;
const PROPERTY: u64 = 500;

/// The names between `[:` and `:]`.
const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// The categories of Unicode, short and long, in lower case and without `_`; other properties are scripts.
const CATEGORIES: &[&str] = &[
    "any",
    "ascii",
    "assigned",
    "c",
    "casedletter",
    "cc",
    "cf",
    "closepunctuation",
    "cn",
    "cntrl",
    "co",
    "combiningmark",
    "connectorpunctuation",
    "control",
    "cs",
    "currencysymbol",
    "dashpunctuation",
    "decimalnumber",
    "digit",
    "enclosingmark",
    "finalpunctuation",
    "format",
    "initialpunctuation",
    "l",
    "lc",
    "letter",
    "letternumber",
    "lineseparator",
    "ll",
    "lm",
    "lo",
    "lowercaseletter",
    "lt",
    "lu",
    "m",
    "mark",
    "mathsymbol",
    "mc",
    "me",
    "mn",
    "modifierletter",
    "modifiersymbol",
    "n",
    "nd",
    "nl",
    "no",
    "nonspacingmark",
    "number",
    "openpunctuation",
    "other",
    "otherletter",
    "othernumber",
    "otherpunctuation",
    "othersymbol",
    "p",
    "paragraphseparator",
    "pc",
    "pd",
    "pe",
    "pf",
    "pi",
    "po",
    "privateuse",
    "ps",
    "punct",
    "punctuation",
    "s",
    "sc",
    "separator",
    "sk",
    "sm",
    "so",
    "spaceseparator",
    "spacingmark",
    "surrogate",
    "symbol",
    "titlecaseletter",
    "unassigned",
    "uppercaseletter",
    "z",
    "zl",
    "zp",
    "zs",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, text: &str) -> Option<String> {
        let translated = translate(pattern).unwrap_or_else(|reason| panic!("{pattern}: {reason}"));
        let regex = regex::Regex::new(&translated.pattern);
        let regex = regex.unwrap_or_else(|reason| panic!("{pattern} as {}: {reason}", translated.pattern));
        regex.find(text).map(|found| found.as_str().to_owned())
    }

    // What Kubernetes 1.37 says, built with Go 1.26; here and below.
    #[test]
    fn what_go_matches_is_matched() {
        for (pattern, text) in [
            ("^.$", "\u{e9}"),
            (r"\Aa\z", "a"),
            (r"\Qa.b\E", "a.b"),
            (r"\Qa.b", "a.b"),
            (r"^\Qab\E+$", "abb"),
            (r"\Q\E", ""),
            ("^a{,2}$", "a{,2}"),
            ("^a{01}$", "a{01}"),
            ("^a{$", "a{"),
            ("^a{1,2$", "a{1,2"),
            ("^[a&&b]$", "&"),
            ("^[a~~b]$", "~"),
            ("^[[a]$", "["),
            ("^[[a]]$", "[]"),
            ("^[]a]$", "]"),
            ("^[^]a]$", "b"),
            ("^[a-b-c]$", "-"),
            ("^[a-]$", "-"),
            ("^[-a]$", "-"),
            (r"^[\d-z]$", "-"),
            (r"^[\d-\w]$", "-"),
            ("^[:alpha:]$", ":"),
            ("^[[:alpha:]-z]$", "-"),
            ("^[[:^alpha:]]$", "\u{e9}"),
            ("^[[:word:]]$", "_"),
            ("^(?<n>a)(?P<n>b)$", "ab"),
            (r"^\pL\p{Latin}\p{Letter}\p{L}$", "a\u{e9}bc"),
            (r"^\p{greek}\p{^Greek}\P{Greek}\P{^Greek}$", "\u{3b1}ab\u{3b1}"),
            (r"^\p{uppercase_letter}\p{Any}\p{ASCII}\p{LC}$", "Aaaa"),
            (r"^[\pN\PL]$", "1"),
            (r"^\x61\x{61}\141\07\0$", "aaa\u{7}\0"),
            (r"^\a\f\n\r\t\v$", "\u{7}\u{c}\n\r\t\u{b}"),
            (r"^\-\_\<\ \%\/$", "-_< %/"),
            (r"^a]}$", "a]}"),
            ("^(?i)A", "a"),
            ("^(?i)s$", "\u{17f}"),
            (r"^(?i)\w$", "\u{17f}"),
            ("^(?i-s)A(?)$", "a"),
            ("^(?i:A(?-i)b)c$", "abc"),
            ("^(?s).$", "\n"),
            ("(?m)^b$", "a\nb"),
            ("^(|a)*(a*)*$", "aa"),
            ("^a||b$", "b"),
            ("^*a", "a"),
            (r"\b+a", "a"),
            (r"^[\n-\x7f]$", "a"),
            (r"^[\D\S\W]$", "\u{e9}"),
            ("^(a{100}){0,1}$", ""),
            ("^\u{e9}{2}$", "\u{e9}\u{e9}"),
            ("^#$", "#"),
        ] {
            assert!(find(pattern, text).is_some(), "{pattern} {text:?}");
        }
    }

    #[test]
    fn what_go_does_not_match_is_not_matched() {
        for (pattern, text) in [
            (r"\w", "\u{e9}"),
            (r"\d", "\u{661}"),
            (r"\s", "\u{b}"),
            (r"\s", "\u{a0}"),
            (r"\bb", "\u{e9}\u{e9}x"),
            ("[[:alpha:]]", "\u{e9}"),
            ("a$", "a\n"),
            ("a.b", "a\nb"),
            ("(?-i:a)", "A"),
            ("(?i-i:a)", "A"),
            ("^(?i:A(?-i)b)c$", "abC"),
            ("^(?i:A(?-i)b)c$", "aBc"),
            ("^((?i)a)b$", "AB"),
            (r"[^\x00-\x{10FFFF}]", "a"),
            (r"(?i)\W", "ab\u{17f}"),
            (r"\p{Lt}", "a"),
        ] {
            assert_eq!(find(pattern, text), None, "{pattern} {text:?}");
        }
        // A word ends before a letter that is not ASCII.
        assert!(find(r"a\b", "a\u{e9}").is_some());
    }

    #[test]
    fn the_first_alternative_wins_and_greed_turns_around() {
        assert_eq!(find("a|ab", "ab").as_deref(), Some("a"));
        assert_eq!(find("(?U)a+", "aab").as_deref(), Some("a"));
        assert_eq!(find("(?U)a+?", "aab").as_deref(), Some("aa"));
        assert_eq!(find("a{1,2}?", "aab").as_deref(), Some("a"));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for pattern in [
            "(",
            ")",
            "a)",
            "(a",
            "(?",
            "(?:",
            "(?=a)",
            "(?#c)a",
            "(?x)a",
            "(?u)a",
            "(?R)a",
            "(?-)a",
            "(?i-)a",
            "(?--i)a",
            "(?P<>a)",
            "(?P<n)",
            "(?P=n)",
            "(?P>n)",
            "(?P<a-b>a)",
            "[",
            "[]",
            "[a",
            "[^",
            "[b-a]",
            "[a--b]",
            r"[a-\d]",
            "[a-[:digit:]]",
            r"[\b]",
            r"[\Qa\E]",
            "[[:foo:]]",
            "*",
            "*a",
            "a|*",
            "a|?",
            "(*)",
            "a**",
            "a*+",
            "a++",
            "a??+",
            "a{2}{3}",
            "a{1001}",
            "a{0,1001}",
            "a{2,1}",
            "a{100000000000000000000}",
            "(a{1000}){2}",
            "((a{100}){100})",
            "(a{100}){11}",
            "(a{2}b{501}){2}",
            r"\",
            r"\C",
            r"\Z",
            r"\G",
            r"\K",
            r"\X",
            r"\R",
            r"\h",
            r"\e",
            r"\u0061",
            r"\1",
            r"\8",
            r"\x6",
            r"\x{}",
            r"\x{110000}",
            r"\xg1",
            "\\\u{e9}",
            r"\pX",
            r"\p{Lowercase}",
            r"\p{",
            r"\p",
            "\\p\u{e9}",
            r"\p{Foo}",
            r"\p{gc=L}",
            r"\Q\E*",
        ] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn repetitions_within_repetitions_multiply() {
        for pattern in [
            "a{1000}",
            "(a{100}){10}",
            "(a{1000}){1}",
            "(a{1000}){0}",
            "(a{1000})*",
            "(a{500}b{500}){2}",
            "a{1000,}",
        ] {
            assert!(translate(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn heavy_patterns_are_weighed_before_they_are_compiled() {
        let weight = |pattern: &str| translate(pattern).map(|translated| translated.weight);
        assert_eq!(weight("abc"), Ok(4));
        assert!(weight("[a-z]{1000}").is_ok_and(|weight| weight > 1000));
        assert!(weight(r"\pL{1000}").is_err());
        assert!(weight(&"(?:x{1000})".repeat(21)).is_err());
        assert!(weight(&format!("{}a{}", "(".repeat(201), ")".repeat(201))).is_err());
        assert!(weight(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_ok());
    }

    #[test]
    fn nothing_of_the_pattern_is_in_the_reason() {
        for pattern in ["s3cret(", "[s3cret", r"\p{s3cret}", "(?P<s3cret", "s3cret{1001}"] {
            assert!(translate(pattern).is_err_and(|reason| !reason.contains("s3cret")), "{pattern}");
        }
    }

    /// Whatever is translated, the regex crate takes it; what is heavy was refused before.
    #[test]
    fn the_heaviest_patterns_compile() {
        for pattern in ["(?i)[a-z]{1000}", r"(?:\W{800}){2}", r"(?:.|\n){700}", r"(?i)(?:\x{3b1}\x{e9}){500}"]
        {
            if let Ok(translated) = translate(pattern) {
                let regex = regex::RegexBuilder::new(&translated.pattern).size_limit(8 << 20).build();
                assert!(regex.is_ok(), "{pattern} {}", translated.weight);
            }
        }
    }
}
