//! Doubles as text, as Go's `strconv` reads and writes them.

/// Reads a double: decimal or hexadecimal, `_` between digits, `inf`, `infinity` and `nan` in any case. None for
/// anything else and for what is too large.
pub(super) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !underscores_separate_digits(unsigned)
    {
        return None;
    }
    let plain: String = unsigned.chars().filter(|c| *c != '_').collect();
    let magnitude = match plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        Some(digits) => parse_hexadecimal(digits)?,
        None => plain.parse().ok()?,
    };
    let signed = if text.starts_with('-') { -magnitude } else { magnitude };
    magnitude.is_finite().then_some(signed)
}

/// A prefix like `0x` counts as a digit.
fn underscores_separate_digits(unsigned: &str) -> bool {
    let lower = unsigned.to_ascii_lowercase();
    let hexadecimal = lower.starts_with("0x");
    let is_digit = |c: u8| c.is_ascii_digit() || (hexadecimal && (c == b'x' || c.is_ascii_hexdigit()));
    let bytes = lower.as_bytes();
    bytes.iter().enumerate().filter(|(_, c)| **c == b'_').all(|(at, _)| {
        let neighbour = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|c| is_digit(*c));
        neighbour(at.checked_sub(1)) && neighbour(at.checked_add(1))
    })
}

/// `1.8p-3`; the exponent is mandatory.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let number = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // Whatever is beyond this is beyond what a double holds.
    let exponent =
        exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { -1 << 40 } else { 1 << 40 });
    let mut mantissa = 0u64;
    let mut exponent = exponent.clamp(-(1 << 40), 1 << 40) - 4 * fraction.len() as i64;
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
        } else {
            // Too small to count, except that the value is not exactly in the middle of two doubles.
            mantissa |= u64::from(digit != 0);
            exponent += 4;
        }
    }
    Some(scale(mantissa, exponent))
}

/// `mantissa` times two to the power of `exponent`, rounded to the nearest double, half to even.
fn scale(mantissa: u64, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let shift = mantissa.leading_zeros();
    let mantissa = mantissa << shift;
    let exponent = exponent - i64::from(shift) + 63;
    if exponent > 1023 {
        return f64::INFINITY;
    }
    // Fewer bits are left near zero.
    let bits = if exponent < -1022 { 53 + (exponent + 1022) } else { 53 };
    if bits < 0 {
        return 0.0;
    }
    let dropped = 64 - bits as u32;
    let kept = u128::from(mantissa) >> dropped;
    let rest = u128::from(mantissa) & ((1u128 << dropped) - 1);
    let half = 1u128 << (dropped - 1);
    let rounded = (kept + u128::from(rest > half || (rest == half && kept & 1 == 1))) as u64;
    if exponent < -1022 {
        return f64::from_bits(rounded);
    }
    // A carry goes over into the exponent, as it should.
    f64::from_bits((((exponent + 1022) as u64) << 52) + rounded)
}

/// Writes a double with as few digits as identify it, as Go's `%g`: with an exponent below 0.0001 and from one
/// million.
pub(super) fn format(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    // What cel-go 0.29.2 says, but for the last three, which are IEEE 754's edges.
    #[test]
    fn doubles_are_read_as_go_reads_them() {
        for (text, value) in [
            ("+Infinity", f64::INFINITY),
            ("-iNf", f64::NEG_INFINITY),
            ("0x1p-2", 0.25),
            ("0x1.8P+1", 3.0),
            ("-0X_1p3", -8.0),
            ("1_000.5", 1000.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("+.5e+3", 500.0),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x0.fffffffffffffffffp0", 1.0),
            ("0x1.fffffffffffff7ffffp1023", f64::MAX),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        assert!(parse("NaN").is_some_and(f64::is_nan));
        for wrong in [
            "",
            ".",
            "+",
            "infinityx",
            "+nan",
            "1e400",
            "0x10",
            "0xp1",
            "0x1p",
            " 1",
            "1 ",
            "1__0",
            "_1",
            "1_",
            "1_e5",
            "1._5",
            "++1",
            "0x1p1024",
            "1e",
            "e5",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hexadecimal_doubles_round_half_to_even() {
        let one = 1.0f64.to_bits();
        assert_eq!(parse("0x1.00000000000008p0"), Some(1.0));
        assert_eq!(parse("0x1.00000000000008000001p0"), Some(f64::from_bits(one + 1)));
        assert_eq!(parse("0x1.00000000000018p0"), Some(f64::from_bits(one + 2)));
        assert_eq!(parse("0x1p-1075"), Some(0.0));
        assert_eq!(parse("0x1.8p-1075"), Some(f64::from_bits(1)));
    }

    #[test]
    fn doubles_are_written_as_go_writes_them() {
        for (value, text) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (123_456_789.125, "1.23456789125e+08"),
            (1e21, "1e+21"),
            (1e300, "1e+300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format(value), text);
        }
    }
}
