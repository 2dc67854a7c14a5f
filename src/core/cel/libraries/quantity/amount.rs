//! Amounts: how resources are written, as in `250m`, `1.5Gi` or `1e3`.
//!
//! Kubernetes keeps an amount in one of two ways, which functions can tell apart: short ones in 64 bits, all others
//! as decimal numbers (`k8s.io/apimachinery/pkg/api/resource`).

use std::cmp::Ordering;

use super::decimal::Decimal;

/// Nothing below this power of ten is kept.
const NANO: i64 = -9;

/// An amount.
#[derive(Debug, Clone)]
pub(super) enum Amount {
    /// `value × 10^scale`.
    Short { value: i64, scale: i32 },
    /// A decimal number, and how many places after its point Kubernetes keeps: what a float is made from.
    Long { number: Decimal, places: i64 },
}

/// What a suffix stands for.
enum Suffix {
    TenTo(i32),
    TwoTo(u32),
}

impl Amount {
    /// An amount of whole units.
    pub(super) fn units(value: i64) -> Self {
        Self::Short { value, scale: 0 }
    }

    /// Reads one. None when it is not written as an amount, or has more digits than [`Decimal`] takes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        let suffix = Suffix::parse(suffix)?;
        if let Some(short) = Self::short(negative, whole.trim_start_matches('0'), fraction, &suffix) {
            return Some(short);
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut number = Decimal::new(
            negative,
            whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0').collect(),
            -(fraction.len() as i64),
        );
        let mut places = fraction.len() as i64;
        match suffix {
            Suffix::TenTo(power) => {
                number = number.times_ten_to(power.into());
                places -= i64::from(power);
            }
            Suffix::TwoTo(power) => number = number.shifted(power),
        }
        if number.sign() != 0 {
            number = number.rounded_up(NANO);
            places = -NANO;
        }
        if let Suffix::TwoTo(_) = suffix {
            // Only amounts with a binary suffix are capped.
            let most = Decimal::scaled(i64::MAX, 0);
            if number.clone().abs().compare(&most).is_gt() {
                number = if negative { most.negated() } else { most };
                places = 0;
            }
        }
        number.fits().then_some(Self::Long { number, places })
    }

    /// The amount when it is one of those that Kubernetes keeps in 64 bits.
    fn short(negative: bool, whole: &str, fraction: &str, suffix: &Suffix) -> Option<Self> {
        let length = whole.len().max(1) + fraction.len();
        let (factor, scale) = match *suffix {
            Suffix::TenTo(power) if length <= 18 => (1, power.wrapping_sub(fraction.len() as i32)),
            Suffix::TwoTo(power) if fraction.is_empty() && length + power as usize * 3 / 10 < 15 => {
                (1i64 << power, 0)
            }
            _ => return None,
        };
        if i64::from(scale) < NANO {
            return None;
        }
        let value: i64 = format!("0{whole}{fraction}").parse().ok()?;
        let value = value.checked_mul(factor)?;
        Some(Self::Short { value: if negative { -value } else { value }, scale })
    }

    /// -1, 0 or 1.
    pub(super) fn sign(&self) -> i64 {
        match self {
            Self::Short { value, .. } => value.signum(),
            Self::Long { number, .. } => number.sign(),
        }
    }

    /// The amount as a whole number. None when it is none, and for most of 19 digits and those that Kubernetes keeps
    /// as decimal numbers.
    pub(super) fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Short { value: 0, scale: 0.. } => Some(0),
            Self::Short { value, scale } => value.checked_mul(10i64.checked_pow(u32::try_from(scale).ok()?)?),
            Self::Long { .. } => None,
        }
    }

    /// The amount as a floating point number, rounded the way Kubernetes rounds.
    pub(super) fn as_f64(&self) -> f64 {
        let (base, power) = match self {
            Self::Short { value, scale } => (*value as f64, i64::from(*scale)),
            Self::Long { number, places } => (number.to_f64(*places), -places),
        };
        if power == 0 { base } else { base * power_of_ten(power) }
    }

    /// The sum, and how many digits were added. None when it would have too many.
    pub(super) fn plus(&self, other: &Self) -> Option<(Self, usize)> {
        if let (Self::Short { value: a, scale: sa }, Self::Short { value: b, scale: sb }) = (self, other) {
            let scale = *sa.min(sb);
            let sum = match (*a, *b) {
                (_, 0) => return Some((self.clone(), 0)),
                (0, _) => return Some((other.clone(), 0)),
                (a, b) => raised(a, *sa, scale).zip(raised(b, *sb, scale)),
            };
            if let Some(value) = sum.and_then(|(a, b)| a.checked_add(b)) {
                return Some((Self::Short { value, scale }, 0));
            }
        }
        let ((a, pa), (b, pb)) = (self.decimal(), other.decimal());
        let (number, count) = a.plus(&b)?;
        Some((Self::Long { number, places: pa.max(pb) }, count))
    }

    /// The same with the other sign.
    pub(super) fn negated(&self) -> Self {
        if let Self::Short { value, scale } = self
            && let Some(value) = value.checked_neg()
        {
            return Self::Short { value, scale: *scale };
        }
        let (number, places) = self.decimal();
        Self::Long { number: number.negated(), places }
    }

    /// Which of two amounts is greater.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        if let (Self::Short { value: a, scale: sa }, Self::Short { value: b, scale: sb }) = (self, other) {
            // 10^18 times any value fits.
            let apart = i64::from(*sa) - i64::from(*sb);
            let factor = |power: i64| u32::try_from(power).map_or(1, |power| 10i128.pow(power));
            if apart.abs() <= 18 {
                return (i128::from(*a) * factor(apart)).cmp(&(i128::from(*b) * factor(-apart)));
            }
        }
        self.decimal().0.compare(&other.decimal().0)
    }

    fn decimal(&self) -> (Decimal, i64) {
        match self {
            Self::Short { value, scale } => (Decimal::scaled(*value, i64::from(*scale)), -i64::from(*scale)),
            Self::Long { number, places } => (number.clone(), *places),
        }
    }
}

impl Suffix {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "n" => Self::TenTo(-9),
            "u" => Self::TenTo(-6),
            "m" => Self::TenTo(-3),
            "" => Self::TenTo(0),
            "k" => Self::TenTo(3),
            "M" => Self::TenTo(6),
            "G" => Self::TenTo(9),
            "T" => Self::TenTo(12),
            "P" => Self::TenTo(15),
            "E" => Self::TenTo(18),
            "Ki" => Self::TwoTo(10),
            "Mi" => Self::TwoTo(20),
            "Gi" => Self::TwoTo(30),
            "Ti" => Self::TwoTo(40),
            "Pi" => Self::TwoTo(50),
            "Ei" => Self::TwoTo(60),
            // Kubernetes keeps the last 32 bits of the exponent.
            _ => Self::TenTo(text.strip_prefix(['e', 'E'])?.parse::<i64>().ok()? as i32),
        })
    }
}

/// The digits at the start, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `value × 10^(from - to)`, when it fits.
fn raised(value: i64, from: i32, to: i32) -> Option<i64> {
    value.checked_mul(10i64.checked_pow(from.abs_diff(to))?)
}

/// 10^`n` as Go's `math.Pow10` has it, which differs from the nearest number for some.
fn power_of_ten(n: i64) -> f64 {
    const TENS: [f64; 10] = [1e0, 1e32, 1e64, 1e96, 1e128, 1e160, 1e192, 1e224, 1e256, 1e288];
    const TENTHS: [f64; 11] =
        [1e0, 1e-32, 1e-64, 1e-96, 1e-128, 1e-160, 1e-192, 1e-224, 1e-256, 1e-288, 1e-320];
    const ONES: [f64; 32] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31,
    ];
    match n {
        0..=308 => TENS[n as usize / 32] * ONES[n as usize % 32],
        -323..0 => TENTHS[-n as usize / 32] / ONES[-n as usize % 32],
        ..-323 => 0.0,
        _ => f64::INFINITY,
    }
}
