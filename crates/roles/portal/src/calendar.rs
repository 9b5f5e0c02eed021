//! Dates, times and numbers as Norwegian health personnel write them: 24.10.2026, 08:30, 61,4.

use fhir::time::{DateError, Zone, parse_date};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The deployment's zone, in which people read the clock.
#[derive(Clone)]
pub struct Calendar {
    zone: TimeZone,
    days: Zone,
}

/// When something happened: milliseconds since 1970 in UTC, and whether the clock time was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Milliseconds since 1970, UTC. For a bare date, its middle in the deployment's zone.
    pub millis: i64,
    /// False for a bare date, month or year.
    pub exact: bool,
}

/// One day in milliseconds.
pub const DAY: i64 = 86_400_000;

impl Calendar {
    /// Takes an IANA zone name, for example `Europe/Oslo`.
    ///
    /// # Errors
    /// [`DateError::UnknownZone`].
    pub fn new(name: &str) -> Result<Calendar, DateError> {
        let zone = TimeZoneDatabase::bundled()
            .get(name)
            .map_err(|_| DateError::UnknownZone)?;
        Ok(Calendar {
            zone,
            days: Zone::named(name)?,
        })
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        self.days.name()
    }

    /// Reads a FHIR date, dateTime or instant; nothing if it is none of them.
    pub fn moment(&self, text: &str) -> Option<Moment> {
        let range = parse_date(text, &self.days).ok()?;
        let width = (range.hi - range.lo) / 1000;
        let exact = width < DAY / 2;
        let middle = if exact { 0 } else { width / 2 };
        Some(Moment {
            millis: range.lo / 1000 + middle,
            exact,
        })
    }

    /// `24.10.2026`
    pub fn date(&self, millis: i64) -> String {
        self.write("%d.%m.%Y", millis)
    }

    /// `24.10.2026 08:30`
    pub fn date_time(&self, millis: i64) -> String {
        self.write("%d.%m.%Y %H:%M", millis)
    }

    /// `08:30`
    pub fn clock(&self, millis: i64) -> String {
        self.write("%H:%M", millis)
    }

    /// `24.10. 08:30`
    pub fn day_clock(&self, millis: i64) -> String {
        self.write("%d.%m. %H:%M", millis)
    }

    /// `24.10.2026 08:30`, or `24.10.2026` when no clock time was given.
    pub fn moment_text(&self, moment: Moment) -> String {
        if moment.exact {
            self.date_time(moment.millis)
        } else {
            self.date(moment.millis)
        }
    }

    fn write(&self, pattern: &str, millis: i64) -> String {
        Timestamp::from_millisecond(millis)
            .map(|at| at.to_zoned(self.zone.clone()).strftime(pattern).to_string())
            .unwrap_or_default()
    }
}

/// A FHIR date written for people; what cannot be read is shown as it came.
pub fn bare_date(text: &str) -> String {
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [year, month, day] if day.len() == 2 => format!("{day}.{month}.{year}"),
        _ => text.to_owned(),
    }
}

/// A decimal as it stands in the data, with a comma; its digits are never touched. Exponents are left as they are.
pub fn decimal(digits: &str) -> String {
    let digits = digits
        .strip_prefix('-')
        .map_or_else(|| digits.to_owned(), |rest| format!("−{rest}"));
    digits.replace('.', ",")
}

/// A computed number, with at most one decimal and a comma.
pub fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    decimal(text.strip_suffix(".0").unwrap_or(&text))
}

/// A national identity number in two groups, as it is read aloud: `148352 10260`. Other lengths are left alone.
pub fn person_number(number: &str) -> String {
    if number.len() == 11 && number.is_ascii() {
        format!("{} {}", &number[..6], &number[6..])
    } else {
        number.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;

    #[test]
    fn clock_times_follow_the_zone_over_summer_time() {
        let oslo = Calendar::new("Europe/Oslo").unwrap();
        let summer = oslo.moment("2026-07-01T06:30:00Z").unwrap();
        let winter = oslo.moment("2026-12-01T06:30:00Z").unwrap();
        assert_eq!(oslo.moment_text(summer), "01.07.2026 08:30");
        assert_eq!(oslo.moment_text(winter), "01.12.2026 07:30");
    }

    #[test]
    fn a_bare_date_stays_that_date_and_gets_no_clock_time() {
        let oslo = Calendar::new("Europe/Oslo").unwrap();
        for (text, shown) in [
            ("2026-03-29", "29.03.2026"),
            ("2026-10-25", "25.10.2026"),
            ("2024-02-29", "29.02.2024"),
        ] {
            let moment = oslo.moment(text).unwrap();
            assert!(!moment.exact);
            assert_eq!(oslo.moment_text(moment), shown);
        }
    }

    #[test]
    fn what_is_no_date_is_no_moment() {
        let oslo = Calendar::new("Europe/Oslo").unwrap();
        for text in [
            "",
            "i går",
            "2026-13-01",
            "2026-02-30",
            "2026-01-01T08:30",
            "20260101",
        ] {
            assert_eq!(oslo.moment(text), None, "{text}");
        }
    }

    #[test]
    fn digits_are_kept() {
        for (given, shown) in [
            ("61.40", "61,40"),
            ("88", "88"),
            ("-0.5", "−0,5"),
            ("1e3", "1e3"),
        ] {
            assert_eq!(decimal(given), shown);
        }
        assert_eq!(rounded(59.96), "60");
        assert_eq!(rounded(37.25), "37,2");
        assert_eq!(person_number("14835210260"), "148352 10260");
    }
}
