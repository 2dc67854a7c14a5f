//! Points in time and lengths of time as text, as Go's `time` reads and writes them, and their parts.

use jiff::ToSpan;
use jiff::civil::{Date, date};

use super::super::value::{EARLIEST, LATEST};

const SECOND: i64 = 1_000_000_000;

/// Reads a point in time, in nanoseconds since 1970: RFC 3339 as Go reads it, which takes one digit for the hour, a
/// comma before the fraction and a zone of 24:60. None for anything else and for what CEL does not have.
pub(super) fn parse_timestamp(text: &str) -> Option<i128> {
    let mut reader = Reader(text);
    let year = reader.digits(4)?;
    reader.expect('-')?;
    let month = reader.digits(2)?;
    reader.expect('-')?;
    let day = reader.digits(2)?;
    reader.expect('T')?;
    let hour = reader.digits(2).or_else(|| reader.digits(1)).filter(|hour| *hour < 24)?;
    reader.expect(':')?;
    let minute = reader.digits(2).filter(|minute| *minute < 60)?;
    reader.expect(':')?;
    let second = reader.digits(2).filter(|second| *second < 60)?;
    let fraction = reader.fraction()?;
    let offset = reader.zone()?;
    let day = Date::new(year as i16, month as i8, day as i8).ok()?;
    let days = day.duration_since(date(1970, 1, 1)).as_secs() / 86_400;
    let seconds = days * 86_400 + (hour * 60 + minute) * 60 + second - offset;
    let nanoseconds = i128::from(seconds) * i128::from(SECOND) + i128::from(fraction);
    (EARLIEST..=LATEST).contains(&nanoseconds).then_some(nanoseconds)
}

struct Reader<'t>(&'t str);

impl Reader<'_> {
    /// Exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.0.get(..count).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
        self.0 = &self.0[count..];
        digits.parse().ok()
    }

    fn expect(&mut self, c: char) -> Option<()> {
        self.0 = self.0.strip_prefix(c)?;
        Some(())
    }

    /// Nanoseconds; what is finer is cut off.
    fn fraction(&mut self) -> Option<i64> {
        let Some(rest) = self.0.strip_prefix(['.', ',']) else { return Some(0) };
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(end);
        self.0 = rest;
        let digits = &digits[..end.min(9)];
        Some(digits.parse::<i64>().ok()? * 10i64.pow(9 - digits.len() as u32))
    }

    /// Seconds east of UTC, up to the end.
    fn zone(&mut self) -> Option<i64> {
        if self.0 == "Z" {
            return Some(0);
        }
        let sign = if self.expect('-').is_some() {
            -1
        } else {
            self.expect('+')?;
            1
        };
        let hours = self.digits(2).filter(|hours| *hours <= 24)?;
        self.expect(':')?;
        let minutes = self.digits(2).filter(|minutes| *minutes <= 60)?;
        self.0.is_empty().then_some(sign * (hours * 60 + minutes) * 60)
    }
}

/// Writes a point in time in UTC, with as many digits of the second as it needs.
pub(super) fn format_timestamp(nanoseconds: i128) -> String {
    let civil = Civil::of(nanoseconds, 0);
    let (year, month, day) = (civil.year, civil.date.month(), civil.date.day());
    let (hour, minute, second) = (civil.second / 3600, civil.second / 60 % 60, civil.second % 60);
    let fraction = match civil.nanosecond {
        0 => String::new(),
        n => format!(".{n:09}").trim_end_matches('0').to_owned(),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// A point in time as calendars and clocks show it.
pub(super) struct Civil {
    /// The year; zones go beyond 1 to 9999.
    pub(super) year: i64,
    /// The day. Its year is another one of the same shape.
    pub(super) date: Date,
    /// The second of the day.
    pub(super) second: i64,
    /// The nanosecond of the second.
    pub(super) nanosecond: i64,
}

impl Civil {
    /// What clocks show that are `offset` seconds east of UTC.
    pub(super) fn of(nanoseconds: i128, offset: i64) -> Self {
        // Calendars repeat themselves every 400 years.
        const CYCLE: i64 = 146_097;
        let seconds = nanoseconds.div_euclid(SECOND.into()) as i64 + offset;
        let days = seconds.div_euclid(86_400) + 719_162;
        let date = date(2001, 1, 1).saturating_add(days.rem_euclid(CYCLE).days());
        let year = i64::from(date.year()) - 2000 + 400 * days.div_euclid(CYCLE);
        Self {
            year,
            date,
            second: seconds.rem_euclid(86_400),
            nanosecond: nanoseconds.rem_euclid(SECOND.into()) as i64,
        }
    }
}

/// The most that a duration holds, without its sign.
const MOST: u64 = 1 << 63;

/// Reads a length of time, in nanoseconds: numbers with units like `1h30m` or `-1.5s`, or `0`. None for anything else
/// and for what is too long.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(end);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = unit_of(unit)?;
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        let part = whole.checked_mul(unit)?.checked_add(part_of(fraction, unit))?;
        sum = sum.checked_add(part).filter(|sum| *sum <= MOST)?;
        rest = after;
    }
    if text.starts_with('-') { 0i64.checked_sub_unsigned(sum) } else { i64::try_from(sum).ok() }
}

fn unit_of(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        // The second is the micro sign, the third the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A fraction of a unit, rounded as Go rounds it: through a double, digits beyond 63 bits cut off.
fn part_of(fraction: &str, unit: u64) -> u64 {
    let (mut digits, mut scale) = (0u64, 1.0f64);
    for digit in fraction.bytes() {
        let next = digits.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')));
        let Some(next) = next.filter(|next| digits <= (MOST - 1) / 10 && *next <= MOST) else { break };
        digits = next;
        scale *= 10.0;
    }
    (digits as f64 * (unit as f64 / scale)) as u64
}

/// Writes a length of time in seconds.
pub(super) fn format_duration(nanoseconds: i64) -> String {
    let seconds = (nanoseconds / SECOND) as f64 + (nanoseconds % SECOND) as f64 / 1e9;
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    // What cel-go 0.29.2 says.
    #[test]
    fn timestamps_are_read_as_go_reads_them() {
        for (text, written) in [
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
            ("2024-02-29T12:00:00.123456789123Z", "2024-02-29T12:00:00.123456789Z"),
            ("2024-02-29T12:00:00,50Z", "2024-02-29T12:00:00.5Z"),
            ("2024-02-29T2:00:00Z", "2024-02-29T02:00:00Z"),
            ("2024-02-29T12:00:00+05:30", "2024-02-29T06:30:00Z"),
            ("2024-02-29T12:00:00-24:60", "2024-03-01T13:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(parse_timestamp(text).map(format_timestamp).as_deref(), Some(written), "{text}");
        }
        assert_eq!(parse_timestamp("0001-01-01T00:00:00Z"), Some(EARLIEST));
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999999Z"), Some(LATEST));
        for wrong in [
            "",
            "2023-02-29T12:00:00Z",
            "2024-02-29t12:00:00z",
            "2024-02-29 12:00:00Z",
            "2024-02-29T12:00:60Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T12:00:00",
            "2024-02-29T12:00:00.Z",
            "2024-02-29T12:00:00+24:61",
            "2024-02-29T12:00:00ZZ",
            "2024-2-29T12:00:00Z",
            "12024-02-29T12:00:00Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2024-02-2\u{e9}T12:00:00Z",
        ] {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_has_its_date() {
        // Beyond 400 years on both sides of 1970, and of CEL's ends.
        let first = date(1, 1, 1);
        for days in (0..3_652_059).step_by(61).chain([3_652_058]) {
            let wanted = first.saturating_add(days.days());
            let civil = Civil::of(EARLIEST + i128::from(days) * 86_400_000_000_000 + 1, 0);
            assert_eq!(civil.year, i64::from(wanted.year()));
            assert_eq!((civil.date.month(), civil.date.day()), (wanted.month(), wanted.day()));
            assert_eq!(civil.date.weekday(), wanted.weekday());
            assert_eq!(civil.date.day_of_year(), wanted.day_of_year());
            assert_eq!((civil.second, civil.nanosecond), (0, 1));
        }
        assert_eq!(Civil::of(LATEST, 1).year, 10_000);
        assert_eq!(Civil::of(EARLIEST, -1).year, 0);
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("+5s", 5_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("-1.5h3m", -5_580_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1us1\u{b5}s1\u{3bc}s", 3_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("1.9999999999ns", 1),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("2562047h47m16.854775807s", i64::MAX),
        ] {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
        }
        for wrong in [
            "",
            "-",
            "1",
            "1d",
            ".s",
            "s",
            "1 s",
            "9223372036854775808ns",
            "2562048h",
            "1s1",
            "\u{e9}",
            "--1s",
            "0x1s",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_in_seconds() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "0.000000001s"),
            (1_500_000_000, "1.5s"),
            (-90_000_000_000, "-90s"),
            (3_600_000_000_001, "3600.000000001s"),
            (i64::MIN, "-9223372036.854776s"),
        ] {
            assert_eq!(format_duration(nanoseconds), text);
        }
    }
}
