//! The parts of points in time and of lengths of time.
//!
//! Zones are those of the IANA database that is built into this program, and offsets like `+05:30`; no file of the
//! system is read. Without a zone, and with the zones `UTC`, `Local` and the empty one, clocks show UTC.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::Value;
use super::instants::Civil;
use super::{Function, Library, Overload, Run};

pub(super) const LIBRARY: Library = Library {
    name: "time",
    doc: "The parts of timestamps and durations. A zone is a name of the IANA database such as `Europe/Berlin`, or an \
          offset such as `-08:00`; without one it is UTC.",
    upstream: "https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard-definitions",
    in_admission: true,
    types: &[],
    functions: &[
        Function {
            name: "getFullYear",
            doc: "The year.",
            examples: &[
                "timestamp('2024-02-29T12:00:00Z').getFullYear() == 2024",
                "timestamp('2024-01-01T05:30:00Z').getFullYear('-08:00') == 2023",
            ],
            overloads: &[
                one("timestamp.getFullYear() -> int", year),
                one("timestamp.getFullYear(string) -> int", year),
            ],
        },
        Function {
            name: "getMonth",
            doc: "The month, from 0 for January.",
            examples: &["timestamp('2024-02-29T12:00:00Z').getMonth() == 1"],
            overloads: &[
                one("timestamp.getMonth() -> int", month),
                one("timestamp.getMonth(string) -> int", month),
            ],
        },
        Function {
            name: "getDayOfYear",
            doc: "The day of the year, from 0.",
            examples: &["timestamp('2024-02-01T12:00:00Z').getDayOfYear() == 31"],
            overloads: &[
                one("timestamp.getDayOfYear() -> int", day_of_year),
                one("timestamp.getDayOfYear(string) -> int", day_of_year),
            ],
        },
        Function {
            name: "getDayOfMonth",
            doc: "The day of the month, from 0.",
            examples: &["timestamp('2024-02-29T12:00:00Z').getDayOfMonth() == 28"],
            overloads: &[
                one("timestamp.getDayOfMonth() -> int", day_of_month),
                one("timestamp.getDayOfMonth(string) -> int", day_of_month),
            ],
        },
        Function {
            name: "getDate",
            doc: "The day of the month, from 1.",
            examples: &[
                "timestamp('2024-02-29T12:00:00Z').getDate() == 29",
                "timestamp('2024-02-29T23:30:00Z').getDate('Europe/Berlin') == 1",
            ],
            overloads: &[
                one("timestamp.getDate() -> int", day_of_month_from_1),
                one("timestamp.getDate(string) -> int", day_of_month_from_1),
            ],
        },
        Function {
            name: "getDayOfWeek",
            doc: "The day of the week, from 0 for Sunday.",
            examples: &["timestamp('2024-02-29T12:00:00Z').getDayOfWeek() == 4"],
            overloads: &[
                one("timestamp.getDayOfWeek() -> int", day_of_week),
                one("timestamp.getDayOfWeek(string) -> int", day_of_week),
            ],
        },
        Function {
            name: "getHours",
            doc: "The hour of the day; for a duration all of its hours.",
            examples: &[
                "timestamp('2024-02-29T12:00:00Z').getHours() == 12",
                "timestamp('2024-02-29T12:00:00Z').getHours('America/New_York') == 7",
                "duration('49h30m').getHours() == 49",
            ],
            overloads: &[
                one("timestamp.getHours() -> int", hours),
                one("timestamp.getHours(string) -> int", hours),
                one("duration.getHours() -> int", all_hours),
            ],
        },
        Function {
            name: "getMinutes",
            doc: "The minute of the hour; for a duration all of its minutes.",
            examples: &[
                "timestamp('2024-02-29T12:34:56Z').getMinutes() == 34",
                "duration('1h30m').getMinutes() == 90",
            ],
            overloads: &[
                one("timestamp.getMinutes() -> int", minutes),
                one("timestamp.getMinutes(string) -> int", minutes),
                one("duration.getMinutes() -> int", all_minutes),
            ],
        },
        Function {
            name: "getSeconds",
            doc: "The second of the minute; for a duration all of its seconds.",
            examples: &[
                "timestamp('2024-02-29T12:34:56Z').getSeconds() == 56",
                "duration('1m30.5s').getSeconds() == 90",
            ],
            overloads: &[
                one("timestamp.getSeconds() -> int", seconds),
                one("timestamp.getSeconds(string) -> int", seconds),
                one("duration.getSeconds() -> int", all_seconds),
            ],
        },
        Function {
            name: "getMilliseconds",
            doc: "The millisecond of the second; for a duration all of its milliseconds.",
            examples: &[
                "timestamp('2024-02-29T12:34:56.789Z').getMilliseconds() == 789",
                "duration('1.5s').getMilliseconds() == 1500",
            ],
            overloads: &[
                one("timestamp.getMilliseconds() -> int", milliseconds),
                one("timestamp.getMilliseconds(string) -> int", milliseconds),
                one("duration.getMilliseconds() -> int", all_milliseconds),
            ],
        },
    ],
};

const fn one(signature: &'static str, run: Run) -> Overload {
    Overload::new(signature, Cost::Fixed(1), run)
}

fn year<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getFullYear", args, meter, |civil| civil.year)
}

fn month<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getMonth", args, meter, |civil| i64::from(civil.date.month()) - 1)
}

fn day_of_year<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getDayOfYear", args, meter, |civil| i64::from(civil.date.day_of_year()) - 1)
}

fn day_of_month<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getDayOfMonth", args, meter, |civil| i64::from(civil.date.day()) - 1)
}

fn day_of_month_from_1<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getDate", args, meter, |civil| civil.date.day().into())
}

fn day_of_week<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getDayOfWeek", args, meter, |civil| civil.date.weekday().to_sunday_zero_offset().into())
}

fn hours<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getHours", args, meter, |civil| civil.second / 3600)
}

fn minutes<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getMinutes", args, meter, |civil| civil.second / 60 % 60)
}

fn seconds<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getSeconds", args, meter, |civil| civil.second % 60)
}

fn milliseconds<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    part("getMilliseconds", args, meter, |civil| civil.nanosecond / 1_000_000)
}

fn part<'a>(
    name: &str,
    args: &[Value<'a>],
    meter: &mut Meter,
    part: fn(&Civil) -> i64,
) -> Result<Value<'a>, Fault> {
    let (t, offset) = match args {
        [Value::Timestamp(t)] => (*t, 0),
        [Value::Timestamp(t), Value::Str(zone)] => {
            // Looking a zone up is more than a step.
            meter.charge(2)?;
            (*t, offset(*t, zone)?)
        }
        _ => return Err(Fault::no_such_overload(name, args)),
    };
    Ok(Value::Int(part(&Civil::of(t, offset))))
}

/// The longest name in the database has 32 bytes.
const LONGEST_ZONE: usize = 64;

/// How many seconds east of UTC the clocks of `zone` are at `t`.
fn offset(t: i128, zone: &str) -> Result<i64, Fault> {
    static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
    if let Some((hours, minutes)) = zone.split_once(':') {
        let (Ok(h), Ok(m)) = (hours.parse::<i32>(), minutes.parse::<i32>()) else {
            return Err(Fault::new("a time zone offset must be written like +05:30 or -08:00"));
        };
        let minutes = if hours.starts_with('-') { -i64::from(m) } else { i64::from(m) };
        return Ok((i64::from(h) * 60 + minutes) * 60);
    }
    if matches!(zone, "" | "UTC" | "Local") {
        return Ok(0);
    }
    let found = (zone.len() <= LONGEST_ZONE).then(|| ZONES.get(zone).ok()).flatten();
    // The database is found in by any case; Go's is not.
    let Some(found) = found.filter(|found| found.iana_name() == Some(zone)) else {
        return Err(Fault::new(
            "unknown time zone; use a name of the IANA database or an offset like +05:30",
        ));
    };
    // CEL's last day is not among those that the database has offsets for; nothing changes on it.
    let last = Timestamp::MAX.as_nanosecond();
    let instant = Timestamp::from_nanosecond(t.min(last)).unwrap_or(Timestamp::MAX);
    Ok(found.to_offset(instant).seconds().into())
}

fn all_hours<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    all("getHours", args, 3_600_000_000_000)
}

fn all_minutes<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    all("getMinutes", args, 60_000_000_000)
}

fn all_seconds<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    all("getSeconds", args, 1_000_000_000)
}

fn all_milliseconds<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    all("getMilliseconds", args, 1_000_000)
}

/// A duration in units of `unit` nanoseconds; what is left is cut off.
fn all<'a>(name: &str, args: &[Value<'a>], unit: i64) -> Result<Value<'a>, Fault> {
    let [Value::Duration(nanoseconds)] = args else { return Err(Fault::no_such_overload(name, args)) };
    Ok(Value::Int(nanoseconds / unit))
}

#[cfg(test)]
mod tests {
    use super::super::super::value::{EARLIEST, LATEST};
    use super::super::instants::parse_timestamp;
    use super::*;

    fn at(run: Run, t: i128, zone: &str) -> Option<i64> {
        match run(&[Value::Timestamp(t), Value::text(zone)], &mut Meter::new(10)) {
            Ok(Value::Int(part)) => Some(part),
            _ => None,
        }
    }

    // What cel-go 0.29.2 says.
    #[test]
    fn offsets_are_read_as_cel_go_reads_them() {
        let noon = parse_timestamp("2024-02-29T12:00:00Z").unwrap();
        for (zone, hour) in [
            ("", 12),
            ("UTC", 12),
            ("Local", 12),
            ("02:00", 14),
            ("2:0", 14),
            ("+2:99", 15),
            ("-2:-30", 10),
            ("-08:00", 4),
            ("100:00", 16),
            ("Europe/Berlin", 13),
            ("EST5EDT", 7),
        ] {
            assert_eq!(at(hours, noon, zone), Some(hour), "{zone}");
        }
        assert_eq!(at(minutes, noon, "-00:30"), Some(30));
        for wrong in
            ["europe/berlin", ":", "1:2:3", "../etc", "Mars/Olympus", "+0530", &"x".repeat(1_000_000)]
        {
            assert_eq!(at(hours, noon, wrong), None, "{wrong:.20}");
        }
    }

    #[test]
    fn zones_go_beyond_the_years_of_timestamps() {
        assert_eq!(at(year, EARLIEST, "-01:00"), Some(0));
        assert_eq!(at(year, EARLIEST, "America/New_York"), Some(0));
        assert_eq!(at(year, LATEST, "+02:00"), Some(10_000));
        assert_eq!(at(year, LATEST, "Asia/Tokyo"), Some(10_000));
        assert_eq!(at(year, LATEST, "2147483647:00"), Some(254_983));
        assert_eq!(at(month, LATEST, "America/New_York"), Some(11));
    }

    #[test]
    fn zones_had_other_offsets_long_ago() {
        let t = parse_timestamp("1890-02-20T12:00:00Z").unwrap();
        assert_eq!(at(minutes, t, "Europe/Berlin"), Some(53));
        assert_eq!(at(seconds, t, "Europe/Berlin"), Some(28));
        let summer = parse_timestamp("2024-07-01T12:00:00Z").unwrap();
        assert_eq!(at(hours, summer, "Europe/Berlin"), Some(14));
    }

    #[test]
    fn parts_count_as_cel_counts() {
        let t = parse_timestamp("1969-12-31T23:59:59.999Z").unwrap();
        let parts = [
            (year as Run, 1969),
            (month, 11),
            (day_of_year, 364),
            (day_of_month, 30),
            (day_of_month_from_1, 31),
            (day_of_week, 3),
            (hours, 23),
            (minutes, 59),
            (seconds, 59),
            (milliseconds, 999),
        ];
        for (nth, (run, wanted)) in parts.into_iter().enumerate() {
            assert_eq!(at(run, t, "UTC"), Some(wanted), "{nth}");
        }
    }

    #[test]
    fn durations_are_cut_off_towards_zero() {
        let get = |run: Run, nanoseconds| match run(&[Value::Duration(nanoseconds)], &mut Meter::new(0)) {
            Ok(Value::Int(i)) => i,
            other => panic!("{other:?}"),
        };
        assert_eq!(get(all_hours, -5_400_000_000_000), -1);
        assert_eq!(get(all_minutes, -90_000_000_000), -1);
        assert_eq!(get(all_seconds, -90_700_000_000), -90);
        assert_eq!(get(all_milliseconds, -1_500_000_000), -1500);
    }
}
