//! Decimal numbers of any size up to [`MAX_DIGITS`].

use std::cmp::Ordering;

/// Most digits of a number, those between its first and its last that are not 0. Kubernetes has no limit; this one
/// keeps every operation on numbers of an object short.
pub(super) const MAX_DIGITS: usize = 1000;

/// `digits × 10^exponent`, with a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Each 0 to 9, the most significant first; neither the first nor the last is 0. None for zero.
    digits: Vec<u8>,
    /// 0 for zero.
    exponent: i64,
}

impl Decimal {
    /// From digits, each 0 to 9. May be longer than [`MAX_DIGITS`].
    pub(super) fn new(negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Self {
        let zeros = digits.iter().rev().take_while(|digit| **digit == 0).count();
        digits.truncate(digits.len() - zeros);
        exponent += zeros as i64;
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        match digits.is_empty() {
            true => Self { negative: false, digits, exponent: 0 },
            false => Self { negative, digits, exponent },
        }
    }

    /// `value × 10^exponent`.
    pub(super) fn scaled(value: i64, exponent: i64) -> Self {
        let digits = value.unsigned_abs().to_string().into_bytes().into_iter().map(|b| b - b'0').collect();
        Self::new(value < 0, digits, exponent)
    }

    /// Whether it has no more than [`MAX_DIGITS`].
    pub(super) fn fits(&self) -> bool {
        self.digits.len() <= MAX_DIGITS
    }

    /// -1, 0 or 1.
    pub(super) fn sign(&self) -> i64 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    /// The same with the other sign.
    pub(super) fn negated(mut self) -> Self {
        self.negative = !self.negative && !self.digits.is_empty();
        self
    }

    /// The same without its sign.
    pub(super) fn abs(mut self) -> Self {
        self.negative = false;
        self
    }

    /// Times 10^`power`.
    pub(super) fn times_ten_to(mut self, power: i64) -> Self {
        if !self.digits.is_empty() {
            self.exponent += power;
        }
        self
    }

    /// Times 2^`power`; `power` is at most 60.
    pub(super) fn shifted(self, power: u32) -> Self {
        let mut product = Vec::with_capacity(self.digits.len() + 19);
        let mut carry = 0u128;
        for digit in self.digits.iter().rev() {
            carry += u128::from(*digit) << power;
            product.push((carry % 10) as u8);
            carry /= 10;
        }
        while carry > 0 {
            product.push((carry % 10) as u8);
            carry /= 10;
        }
        product.reverse();
        Self::new(self.negative, product, self.exponent)
    }

    /// Rounded away from zero to a multiple of 10^`exponent`.
    pub(super) fn rounded_up(self, exponent: i64) -> Self {
        if self.digits.is_empty() || self.exponent >= exponent {
            return self;
        }
        // The last digit is not 0, so something is cut off: what stays goes up by one.
        let kept = self.digits.len().saturating_sub(exponent.abs_diff(self.exponent) as usize);
        let mut digits = self.digits;
        digits.truncate(kept);
        let nines = digits.iter().rev().take_while(|digit| **digit == 9).count();
        digits[kept - nines..].fill(0);
        match digits[..kept - nines].last_mut() {
            Some(digit) => *digit += 1,
            None => digits.insert(0, 1),
        }
        Self::new(self.negative, digits, exponent)
    }

    /// The sum, and how many digits were added. None when the numbers are so far apart that it has more than
    /// [`MAX_DIGITS`].
    pub(super) fn plus(&self, other: &Self) -> Option<(Self, usize)> {
        if self.digits.is_empty() {
            return Some((other.clone(), 0));
        }
        if other.digits.is_empty() {
            return Some((self.clone(), 0));
        }
        let low = self.exponent.min(other.exponent);
        let span = usize::try_from(self.top().max(other.top()) - low).ok().filter(|n| *n <= MAX_DIGITS)?;
        let (larger, smaller) = match self.magnitude(other) {
            Ordering::Less => (other, self),
            _ => (self, other),
        };
        let subtracts = larger.negative != smaller.negative;
        let mut sum = vec![0; span + 1];
        let mut carry = 0i8;
        for (place, out) in sum.iter_mut().rev().enumerate() {
            let (a, b) = (larger.digit(low, place), smaller.digit(low, place));
            let mut digit = a + carry + if subtracts { -b } else { b };
            carry = digit.div_euclid(10);
            digit = digit.rem_euclid(10);
            *out = digit as u8;
        }
        Some((Self::new(larger.negative, sum, low), span))
    }

    /// Which of two numbers is greater.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (1, 1) => self.magnitude(other),
            (-1, -1) => other.magnitude(self),
            (a, b) => a.cmp(&b),
        }
    }

    /// This times 10^`places` as a floating point number, rounded to the nearest.
    pub(super) fn to_f64(&self, places: i64) -> f64 {
        let mut text = String::with_capacity(self.digits.len() + 24);
        text.push_str(if self.negative { "-0" } else { "0" });
        text.extend(self.digits.iter().map(|digit| char::from(b'0' + digit)));
        text.push_str(&format!("e{}", self.exponent + places));
        // A number in this form can always be read; one too large is infinite.
        text.parse().unwrap_or(f64::NAN)
    }

    /// The place above the first digit.
    fn top(&self) -> i64 {
        self.exponent + self.digits.len() as i64
    }

    /// Which is further from zero; neither is zero.
    fn magnitude(&self, other: &Self) -> Ordering {
        self.top().cmp(&other.top()).then_with(|| self.digits.cmp(&other.digits))
    }

    /// The digit that counts 10^(`low` + `place`).
    fn digit(&self, low: i64, place: usize) -> i8 {
        let from_end = usize::try_from(low + place as i64 - self.exponent).ok();
        let index = from_end.and_then(|n| self.digits.len().checked_sub(n + 1));
        index.and_then(|index| self.digits.get(index)).map_or(0, |digit| *digit as i8)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(value: i128, exponent: i64) -> Decimal {
        let digits = value.unsigned_abs().to_string().bytes().map(|b| b - b'0').collect();
        Decimal::new(value < 0, digits, exponent)
    }

    proptest! {
        #[test]
        fn sums_order_and_products_are_those_of_integers(
            a in -(1i128 << 60)..1 << 60,
            b in -(1i128 << 60)..1 << 60,
            ea in 0i64..12,
            eb in 0i64..12,
            power in 0u32..61,
        ) {
            let (wide_a, wide_b) = (a * 10i128.pow(ea as u32), b * 10i128.pow(eb as u32));
            let sum = of(a, ea).plus(&of(b, eb)).map(|(sum, _)| sum);
            prop_assert_eq!(sum, Some(of(wide_a + wide_b, 0)));
            prop_assert_eq!(of(a, ea).compare(&of(b, eb)), wide_a.cmp(&wide_b));
            prop_assert_eq!(of(a, ea).shifted(power), of(a << power, ea));
        }

        #[test]
        fn rounding_goes_away_from_zero(a in -10_000_000i64..10_000_000, places in 0u32..9) {
            let unit = 10i64.pow(places);
            let up = (a.abs() + unit - 1) / unit * unit * a.signum();
            prop_assert_eq!(Decimal::scaled(a, 0).rounded_up(places.into()), Decimal::scaled(up, 0));
        }
    }

    #[test]
    fn numbers_too_far_apart_are_not_added() {
        let (one, small) = (of(1, 0), of(1, -999));
        assert_eq!(one.plus(&small).map(|(sum, digits)| (sum.digits.len(), digits)), Some((1000, 1000)));
        assert_eq!(one.plus(&of(1, -1000)), None);
        assert_eq!(one.plus(&of(0, 0)), Some((of(1, 0), 0)));
        assert_eq!(of(1, 4_000_000_000).compare(&one), Ordering::Greater);
        assert_eq!(of(-1, 4_000_000_000).compare(&small), Ordering::Less);
    }
}
