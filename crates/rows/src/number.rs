//! Reads numbers from text exactly: what does not fit is refused, never rounded.

/// Why a text is not a number of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberFault {
    /// It is no number at all.
    NotANumber,
    /// It is a number, but too large.
    OutOfRange,
    /// It has digits after the point that the type cannot hold.
    TooManyDecimals,
}

/// Reads a 64-bit whole number; one that is written with a point or an exponent is refused.
pub(crate) fn parse_int(text: &str) -> Result<i64, NumberFault> {
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) {
        Err(NumberFault::OutOfRange)
    } else if Parts::of(text).is_some() {
        Err(NumberFault::TooManyDecimals)
    } else {
        Err(NumberFault::NotANumber)
    }
}

/// Reads the nearest 64-bit floating-point number. Infinity and NaN are no numbers here.
pub(crate) fn parse_float(text: &str) -> Result<f64, NumberFault> {
    let is_written = |it: u8| it.is_ascii_digit() || matches!(it, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(is_written) {
        return Err(NumberFault::NotANumber);
    }
    if let Some(value) = usual_float(text) {
        return Ok(value);
    }
    let value: f64 =
        text.parse().map_err(|_not_a_float: std::num::ParseFloatError| NumberFault::NotANumber)?;
    if value.is_finite() { Ok(value) } else { Err(NumberFault::OutOfRange) }
}

/// Reads `-12.5` if both its digits and the power of ten they are divided by are exact, so that
/// the nearest number is what the processor divides them to.
fn usual_float(text: &str) -> Option<f64> {
    const EXACT_MAX: i64 = 1 << f64::MANTISSA_DIGITS;
    let (digits, decimals) = usual(text)?;
    if EXACT_MAX < digits {
        return None;
    }
    let size = digits as f64 / TENS.get(decimals).copied()? as f64;
    Some(if text.starts_with('-') { -size } else { size })
}

/// Returns the digits of `-12.5` as one number without a sign, and how many stand after the point;
/// nothing if it is longer or written in another way.
fn usual(text: &str) -> Option<(i64, usize)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if TENS.len() <= unsigned.len() {
        return None;
    }
    let (mut digits, mut decimals, mut has_point) = (0, 0, false);
    for byte in unsigned {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + i64::from(byte - b'0');
                decimals += usize::from(has_point);
            }
            b'.' if !has_point => has_point = true,
            _ => return None,
        }
    }
    (usize::from(has_point) < unsigned.len()).then_some((digits, decimals))
}

/// The powers of ten of 64 bits.
const TENS: [i64; 19] = {
    let mut tens = [1; 19];
    let mut place = 1;
    while place < tens.len() {
        tens[place] = tens[place - 1] * 10;
        place += 1;
    }
    tens
};

/// Reads a decimal as the number of its smallest units: `1.5` at scale 2 is 150.
///
/// Zeros at the end and exponents are no harm (`1.230`, `1e2`); anything else below the scale is
/// refused, whatever its size.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<i128, NumberFault> {
    match usual_decimal(text, precision, scale) {
        Some(units) => Ok(units),
        None => any_decimal(text, precision, scale),
    }
}

fn any_decimal(text: &str, precision: u8, scale: i8) -> Result<i128, NumberFault> {
    let parts = Parts::of(text).ok_or(NumberFault::NotANumber)?;
    let digits = || parts.whole.bytes().chain(parts.fraction.bytes()).map(|it| it - b'0');

    // Only the digits between the first and the last that is not zero count.
    let mut mantissa: i128 = 0;
    let mut significant: i64 = 0;
    let mut zeros: i64 = 0;
    for digit in digits() {
        match (digit, significant) {
            (0, 0) => {}
            (0, _) => zeros += 1,
            _ => {
                significant += zeros + 1;
                if significant <= DIGITS_MAX {
                    mantissa = mantissa * ten_to(zeros + 1) + i128::from(digit);
                }
                zeros = 0;
            }
        }
    }
    if significant == 0 {
        return Ok(0);
    }
    let fraction_digits = i64::try_from(parts.fraction.len()).unwrap_or(i64::MAX);
    let shift = i64::from(scale)
        .saturating_add(parts.exponent)
        .saturating_add(zeros)
        .saturating_sub(fraction_digits);
    if shift < 0 {
        return Err(NumberFault::TooManyDecimals);
    }
    if i64::from(precision) < significant.saturating_add(shift) {
        return Err(NumberFault::OutOfRange);
    }
    let units = mantissa * ten_to(shift);
    Ok(if parts.is_negative { -units } else { units })
}

/// Reads `-12.5` if it and its limits fit into 64 bits.
fn usual_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (digits, decimals) = usual(text)?;
    let zeros = usize::try_from(scale).ok()?.checked_sub(decimals)?;
    let units = digits.checked_mul(*TENS.get(zeros)?)?;
    let is_within = TENS.get(usize::from(precision)).is_none_or(|it| units < *it);
    is_within.then(|| i128::from(if text.starts_with('-') { -units } else { units }))
}

/// As many digits as 128 bits hold, whatever they are.
const DIGITS_MAX: i64 = 38;

/// Returns a power of ten; callers have made sure that it has at most 38 zeros.
fn ten_to(zeros: i64) -> i128 {
    u32::try_from(zeros).ok().and_then(|it| 10_i128.checked_pow(it)).unwrap_or(0)
}

/// A number as it is written.
struct Parts<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Parts<'a> {
    /// Takes `-12.5e3` apart; `None` if it is not written like a number.
    fn of(text: &'a str) -> Option<Parts<'a>> {
        let is_negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            None => (unsigned, 0),
            Some((number, exponent)) => (number, parse_exponent(exponent)?),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |it: &str| it.bytes().all(|digit| digit.is_ascii_digit());
        let has_digits = !(whole.is_empty() && fraction.is_empty());
        (has_digits && is_digits(whole) && is_digits(fraction)).then_some(Parts {
            is_negative,
            whole,
            fraction,
            exponent,
        })
    }
}

/// Reads an exponent; one that is absurdly large stays absurdly large.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests;
