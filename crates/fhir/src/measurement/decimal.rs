//! Exact decimals for comparing a reading with a limit, without passing through binary floating point.
//!
//! Standard: FHIR R4 `decimal` (JSON number; the digits as sent are significant and stay in the resource; here
//! only the value counts). A number too long or too large to be a measurement is refused, not rounded.

use std::cmp::Ordering;
use std::fmt;

/// The most significant digits that are read; FHIR asks for 18.
const DIGITS: i32 = 30;
/// The most digits that are looked at, zeroes at the end included: more would not fit the arithmetic.
const READ: i32 = 36;
/// The most digits after the decimal point, and (one more) before it.
const SCALE: i32 = 30;

/// A decimal number, compared by value: `37.0` equals `37`.
#[derive(Clone, Copy)]
pub struct Decimal {
    /// `mantissa * 10^-scale`, without trailing zeroes in the mantissa.
    mantissa: i128,
    scale: i32,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self {
        mantissa: 0,
        scale: 0,
    };

    /// One.
    pub const ONE: Self = Self {
        mantissa: 1,
        scale: 0,
    };

    /// So many tenths: `381` is 38.1.
    #[must_use]
    pub const fn tenths(tenths: i64) -> Self {
        let (mut mantissa, mut scale) = (tenths as i128, 1);
        if mantissa == 0 {
            return Self::ZERO;
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// Reads a JSON number (`-12.50`, `1e3`). `None` if it is not one, has more than 30 significant digits
    /// or an exponent that no measurement has.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text
            .strip_prefix('-')
            .map_or((false, text), |rest| (true, rest));
        let (number, exponent) = match rest.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (number, ""),
        };
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty()
            || (whole.len() > 1 && whole.starts_with('0'))
            || !digits(whole)
            || !digits(fraction)
        {
            return None;
        }
        let mut mantissa: i128 = 0;
        let mut significant: i32 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if mantissa != 0 || byte != b'0' {
                significant += 1;
            }
            if significant > READ {
                return None;
            }
            mantissa = mantissa * 10 + i128::from(byte - b'0');
        }
        let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
            significant -= 1;
        }
        if significant > DIGITS || scale > SCALE || significant.checked_sub(scale)? > SCALE + 1 {
            return None;
        }
        Some(Self {
            mantissa: if negative { -mantissa } else { mantissa },
            scale,
        })
    }

    /// Whether it has no fraction.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.scale <= 0
    }

    /// The sum; `None` when it needs more digits than are kept.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let mut mantissa = self.at(scale)?.checked_add(other.at(scale)?)?;
        let mut scale = scale;
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Some(Self { mantissa, scale })
    }

    /// The product; `None` when it needs more digits than are kept.
    #[must_use]
    pub fn times(self, other: Self) -> Option<Self> {
        let mut mantissa = self.mantissa.checked_mul(other.mantissa)?;
        let mut scale = self.scale.checked_add(other.scale)?;
        if mantissa == 0 {
            return Some(Self::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Some(Self { mantissa, scale })
    }

    /// The mantissa at a finer scale; `None` on overflow.
    fn at(self, scale: i32) -> Option<i128> {
        let power = u32::try_from(scale - self.scale).ok()?;
        self.mantissa.checked_mul(10_i128.checked_pow(power)?)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs != Ordering::Equal {
            return signs;
        }
        let scale = self.scale.max(other.scale);
        match (self.at(scale), other.at(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            // Only the coarser one can overflow when both are brought to the finer scale, and then it is larger
            // in magnitude than anything the other can hold.
            (None, _) if self.mantissa > 0 => Ordering::Greater,
            (None, _) => Ordering::Less,
            (_, None) if other.mantissa > 0 => Ordering::Less,
            (_, None) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.mantissa.unsigned_abs().to_string();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let Ok(scale) = usize::try_from(self.scale) else {
            return write!(
                f,
                "{sign}{digits}{}",
                "0".repeat(self.scale.unsigned_abs() as usize)
            );
        };
        if scale == 0 {
            write!(f, "{sign}{digits}")
        } else if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            write!(f, "{sign}{whole}.{fraction}")
        } else {
            write!(f, "{sign}0.{}{digits}", "0".repeat(scale - digits.len()))
        }
    }
}

/// Redacted: a decimal is often a reading.
impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decimal(***)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn compared_by_value_not_by_form() {
        for (a, b) in [
            ("37", "37.0"),
            ("1e2", "100"),
            ("0", "-0.00"),
            ("0.10", "1E-1"),
        ] {
            assert!(decimal(a) == decimal(b), "{a} {b}");
        }
        for (less, more) in [
            ("38.0", "38.1"),
            ("84", "84.00000000000000001"),
            ("-1", "0"),
            ("-2", "-1"),
            ("9e29", "1e30"),
            ("-1e30", "1e-30"),
            ("1e-30", "1e30"),
            ("-1e30", "-1e-30"),
        ] {
            assert!(decimal(less) < decimal(more), "{less} {more}");
            assert!(decimal(more) > decimal(less), "{less} {more}");
        }
    }

    #[test]
    fn what_is_no_number_or_absurd_is_refused() {
        for bad in [
            "",
            "-",
            "01",
            ".5",
            "1.",
            "+1",
            "1e",
            "NaN",
            "1e400",
            "1e-400",
            "1e99999999999",
            "1,5",
            "0x1",
            " 1",
            "1234567890123456789012345678901",
        ] {
            assert!(Decimal::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Decimal::parse("0e400"), Some(Decimal::ZERO));
    }

    #[test]
    fn written_plainly() {
        for (text, shown) in [
            ("38.10", "38.1"),
            ("0.05", "0.05"),
            ("-1.5e1", "-15"),
            ("1200", "1200"),
            ("0", "0"),
        ] {
            assert_eq!(decimal(text).to_string(), shown);
        }
        assert_eq!(decimal("18").plus(decimal("5")).unwrap().to_string(), "23");
        assert_eq!(decimal("0.5").plus(decimal("-0.5")).unwrap(), Decimal::ZERO);
    }

    proptest! {
        #[test]
        fn agrees_with_whole_numbers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, s in 0_usize..4) {
            let text = |n: i64| format!("{n}.{}", "0".repeat(s + 1));
            prop_assert_eq!(decimal(&text(a)).cmp(&decimal(&b.to_string())), a.cmp(&b));
            prop_assert_eq!(decimal(&a.to_string()).plus(decimal(&b.to_string())).unwrap().to_string(), (a + b).to_string());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", number in "-?[0-9]{0,35}(\\.[0-9]{0,35})?([eE]-?[0-9]{0,3})?") {
            let _ = Decimal::parse(&text);
            if let Some(d) = Decimal::parse(&number) {
                let again = decimal(&d.to_string());
                prop_assert!(again == d);
                prop_assert_eq!(d.cmp(&decimal("37.5")), decimal("37.5").cmp(&d).reverse());
            }
        }
    }
}
