//! Numbers as DynamoDB has them: decimal, exact, at most 38 digits.

use std::cmp::Ordering;
use std::fmt;

use base::limits;

/// A number in its one form, so that equal numbers are equal as values and as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    /// Where the point stands: the value is `0.DIGITS` times ten to this power.
    point: i64,
}

/// Why a text is not a number, in the words of DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotANumber {
    #[error("The parameter cannot be converted to a numeric value")]
    Empty,
    #[error("The parameter cannot be converted to a numeric value: {0}")]
    Text(String),
    #[error("Attempting to store more than 38 significant digits in a Number")]
    Digits,
    #[error(
        "Number overflow. Attempting to store a number with magnitude larger than supported range"
    )]
    Overflow,
    #[error(
        "Number underflow. Attempting to store a number with magnitude smaller than supported range"
    )]
    Underflow,
}

/// The exponents that a number may have, written with one digit before the point.
const EXPONENTS: std::ops::RangeInclusive<i64> = -130..=125;

impl Number {
    /// Reads `12`, `-0.5`, `1.5E+3`.
    pub(crate) fn parse(text: &str) -> Result<Number, NotANumber> {
        let wrong = || NotANumber::Text(text.chars().take(limits::TITLE_CHARS_MAX).collect());
        if text.is_empty() {
            return Err(NotANumber::Empty);
        }
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent).ok_or_else(wrong)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_decimal = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
        let has_digits = !whole.is_empty() || !fraction.is_empty();
        if !has_digits || !is_decimal(whole) || !is_decimal(fraction) {
            return Err(wrong());
        }
        Number::of(negative, whole, fraction, exponent)
    }

    fn of(
        negative: bool,
        whole: &str,
        fraction: &str,
        exponent: i64,
    ) -> Result<Number, NotANumber> {
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        let zeros = match whole {
            "" => fraction.len() - fraction.trim_start_matches('0').len(),
            _ => 0,
        };
        let mut digits = String::with_capacity(whole.len() + fraction.len());
        digits.push_str(whole);
        digits.push_str(fraction.get(zeros..).unwrap_or_default());
        digits.truncate(digits.trim_end_matches('0').len());
        if digits.is_empty() {
            return Ok(Number { negative: false, digits, point: 0 });
        }
        let places = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
        let point = exponent.saturating_add(places(whole.len())).saturating_sub(places(zeros));
        if *EXPONENTS.end() < point - 1 {
            Err(NotANumber::Overflow)
        } else if point.saturating_sub(1) < *EXPONENTS.start() {
            Err(NotANumber::Underflow)
        } else if limits::DYNAMODB_DIGITS_MAX < digits.len() {
            Err(NotANumber::Digits)
        } else {
            Ok(Number { negative, digits, point })
        }
    }

    /// Returns its size as DynamoDB counts it.
    pub(crate) fn bytes(&self) -> usize {
        1 + self.digits.len().div_ceil(2) + usize::from(self.negative)
    }
}

/// Reads `12`, `+3`, `-40`; what is out of any range stays so.
fn exponent_of(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    // Far out of range, and far from where sums overflow.
    let number = digits.parse().unwrap_or(EXPONENT_FAR).min(EXPONENT_FAR);
    Some(if negative { -number } else { number })
}

const EXPONENT_FAR: i64 = 1 << 40;

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let sign = |it: &Number| match (it.digits.is_empty(), it.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitude = || {
            // Digits without zeros before them compare as text does.
            self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits))
        };
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => magnitude(),
            _ => magnitude().reverse(),
        })
    }
}

/// All digits, without an exponent.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        let Ok(point) = usize::try_from(self.point) else {
            let zeros = usize::try_from(self.point.unsigned_abs()).unwrap_or_default();
            return write!(f, "0.{:0<zeros$}{}", "", self.digits);
        };
        match self.digits.split_at_checked(point) {
            Some(("", fraction)) => write!(f, "0.{fraction}"),
            Some((whole, "")) => f.write_str(whole),
            Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
            None => write!(f, "{:0<point$}", self.digits),
        }
    }
}

#[cfg(test)]
mod tests;
