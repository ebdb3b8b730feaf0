//! Exact decimal quantities. No floating point: what is written is what is counted.

use std::fmt;

/// Most digits after the point.
pub const MAX_SCALE: u8 = 9;
/// Most digits in all, so that every quantity fits 64 bits at its own scale.
const MAX_DIGITS: usize = 18;

/// A number with at most nine digits after the point, in its shortest form: `mantissa` / 10^`scale`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i64,
    scale: u8,
}

impl Decimal {
    /// Reads `-12.50`: digits with an optional sign and point. Exponents, signs of plus, blanks, NaN and infinity are not
    /// numbers here. `None` also for more than 18 digits, or more than nine after the point, leading and closing zeros not
    /// counted.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !plain(whole) || !plain(part) || (part.is_empty() && digits.contains('.')) {
            return None;
        }
        let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
        let scale = u8::try_from(part.len()).ok().filter(|scale| *scale <= MAX_SCALE)?;
        if whole.len() + part.len() > MAX_DIGITS {
            return None;
        }
        let digits = whole.bytes().chain(part.bytes());
        let mantissa = digits.fold(0_i64, |n, digit| n * 10 + i64::from(digit - b'0'));
        Some(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// In base units of `scale` digits after the point; `None` when it is not exact there, or too large.
    pub fn at_scale(self, scale: u8) -> Option<i64> {
        let more = scale.checked_sub(self.scale)?;
        self.mantissa.checked_mul(10_i64.checked_pow(u32::from(more))?)
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// Its digits after the point.
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// What is before the point.
    pub fn whole(self) -> i64 {
        self.mantissa / 10_i64.pow(u32::from(self.scale))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }
}

impl From<i64> for Decimal {
    fn from(mantissa: i64) -> Self {
        Self { mantissa, scale: 0 }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.mantissa);
        }
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let one = 10_u64.pow(u32::from(self.scale));
        let size = self.mantissa.unsigned_abs();
        write!(f, "{sign}{}.{:0width$}", size / one, size % one, width = usize::from(self.scale))
    }
}

/// `value` base units of `scale` as people write them: `1234` at 2 is `12.34`. Closing zeros stay, so that columns align.
pub fn at(value: i128, scale: u8) -> String {
    if scale == 0 {
        return value.to_string();
    }
    let one = 10_u128.pow(u32::from(scale));
    let sign = if value < 0 { "-" } else { "" };
    let size = value.unsigned_abs();
    format!("{sign}{}.{:0width$}", size / one, size % one, width = usize::from(scale))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_plain_number_is_none() {
        for bad in
            ["", "-", ".", "1.", ".5", "+1", " 1", "1e3", "NaN", "inf", "1,5", "1.2.3", "0x1", "١", "--1"]
        {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
        assert_eq!(Decimal::parse("0.1234567891"), None, "ten digits after the point");
        assert_eq!(Decimal::parse("1234567890123456789"), None, "nineteen digits");
    }

    #[test]
    fn a_quantity_is_exact_at_a_scale_or_refused() {
        let half = Decimal::parse("12.50").unwrap();
        assert_eq!(
            (half.to_string().as_str(), half.at_scale(1), half.at_scale(2)),
            ("12.5", Some(125), Some(1_250))
        );
        assert_eq!(half.at_scale(0), None, "half a unit is not rounded away");
        assert_eq!(
            Decimal::parse("000123456789012345678.0").unwrap().at_scale(0),
            Some(123_456_789_012_345_678)
        );
        assert_eq!(Decimal::parse("123456789012345678").unwrap().at_scale(9), None, "too large there");
        assert_eq!(Decimal::parse("-0.5").unwrap().at_scale(3), Some(-500));
    }

    #[test]
    fn base_units_are_written_with_their_point() {
        assert_eq!((at(1_234, 2), at(-5, 3), at(7, 0)), ("12.34".into(), "-0.005".into(), "7".into()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(mantissa in -999_999_999_999_999_999_i64..=999_999_999_999_999_999, scale in 0_u8..=9) {
            let text = at(i128::from(mantissa), scale);
            let read = Decimal::parse(&text).unwrap();
            prop_assert_eq!(read.at_scale(scale), Some(mantissa));
            prop_assert_eq!(Decimal::parse(&read.to_string()), Some(read));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = Decimal::parse(&text);
        }
    }
}
