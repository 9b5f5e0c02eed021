//! Points in time and the ranges that FHIR dates mean.
//!
//! Standard: FHIR R4 data types `instant`, `date`, `dateTime`, and search parameter type `date` (section
//! 3.1.1.4.7). CONTRACT section 5: a date is a half-open range [lo, hi) in UTC microseconds; a date without a
//! time counts in the deployment's zone. The zone rules are compiled in, so an answer does not depend on the
//! machine. Seconds of 60 and hours of 24 are refused; years run from 0001 to 9999.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const SECOND: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Before every time that a FHIR date can name: the low end of a range that is open backwards.
pub const EARLIEST: i64 = -62_167_305_600 * SECOND;
/// After every time that a FHIR date can name: the high end of a range that is open forwards.
pub const LATEST: i64 = 253_402_473_600 * SECOND;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// `Display` and JSON: RFC 3339 in UTC (`2026-03-01T09:30:00.123456Z`), fraction only as long as needed
/// (none, 3 or 6 digits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Instant(pub i64);

impl Instant {
    /// The point `seconds` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// The point `micros` later (earlier if negative); stops at the ends of `i64`.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The point `seconds` later (earlier if negative); stops at the ends of `i64`.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_micros(seconds.saturating_mul(SECOND))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let micros = self.0.rem_euclid(SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
        let rest = seconds.rem_euclid(DAY_SECONDS);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )?;
        match micros {
            0 => {}
            m if m % 1000 == 0 => write!(f, ".{:03}", m / 1000)?,
            m => write!(f, ".{m:06}")?,
        }
        f.write_str("Z")
    }
}

impl FromStr for Instant {
    type Err = DateError;
    fn from_str(text: &str) -> Result<Self, DateError> {
        parse_instant(text)
    }
}

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse_instant(&text).map_err(serde::de::Error::custom)
    }
}

/// A half-open range of time in UTC microseconds: `lo` is in it, `hi` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// First microsecond.
    pub lo: i64,
    /// First microsecond after it; always above `lo`.
    pub hi: i64,
}

impl Range {
    /// All of time: a period with neither start nor end.
    pub const ALL: Self = Self {
        lo: EARLIEST,
        hi: LATEST,
    };

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub const fn contains(&self, other: &Self) -> bool {
        self.lo <= other.lo && other.hi <= self.hi
    }

    /// Whether the two have a microsecond in common.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.lo < other.hi && other.lo < self.hi
    }
}

/// Why a date was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Not the form that FHIR prescribes.
    #[error("not a FHIR date: expected {0}")]
    Form(&'static str),
    /// A month, day, hour, minute, second, year or offset that does not exist.
    #[error("the {0} does not exist")]
    Impossible(&'static str),
    /// A local time that the clocks of the zone skipped.
    #[error("this local time does not exist in the zone: the clocks were put forward over it")]
    Skipped,
    /// A time without zone where one is demanded.
    #[error("a time needs a zone: Z or +hh:mm (in a form body, + is written %2B)")]
    NoZone,
    /// The zone's name is unknown.
    #[error("unknown time zone")]
    UnknownZone,
}

/// The zone in which a date without a time counts. Default Europe/Oslo.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone with this IANA name, from the compiled-in database.
    ///
    /// # Errors
    /// [`DateError::UnknownZone`].
    pub fn named(name: &str) -> Result<Self, DateError> {
        TimeZoneDatabase::bundled()
            .get(name)
            .map(Self)
            .map_err(|_| DateError::UnknownZone)
    }

    /// The zone's IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Its rules.
    pub(crate) fn tz(&self) -> &TimeZone {
        &self.0
    }

    /// The calendar day (year, month, day) on which `instant` falls in this zone.
    #[must_use]
    pub fn day_of(&self, instant: Instant) -> (i16, i8, i8) {
        let clamped = instant.0.clamp(EARLIEST, 253_400_000_000 * SECOND);
        jiff::Timestamp::from_microsecond(clamped).map_or((1970, 1, 1), |timestamp| {
            let date = self.0.to_datetime(timestamp).date();
            (date.year(), date.month(), date.day())
        })
    }

    /// The time of day (hour, minute) that clocks show at `instant` in this zone.
    #[must_use]
    pub fn clock_of(&self, instant: Instant) -> (i8, i8) {
        let clamped = instant.0.clamp(EARLIEST, 253_400_000_000 * SECOND);
        jiff::Timestamp::from_microsecond(clamped).map_or((0, 0), |timestamp| {
            let time = self.0.to_datetime(timestamp).time();
            (time.hour(), time.minute())
        })
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::named("Europe/Oslo").unwrap_or(Self(TimeZone::UTC))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

/// Reads a FHIR `date` or `dateTime`: `YYYY`, `YYYY-MM`, `YYYY-MM-DD` or `YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`.
///
/// The answer's width is the precision: a year, a month or a day of the zone's calendar, a second, or one unit
/// of the last given fraction digit (no finer than a microsecond).
///
/// # Errors
/// [`DateError`] for another form and for times that do not exist.
pub fn parse_date(text: &str, zone: &Zone) -> Result<Range, DateError> {
    parse(text, zone, Demand::Resource)
}

/// Reads a date as a search parameter may write it: as [`parse_date`], and also `YYYY-MM-DDThh:mm` and times
/// without a zone, which then count in `zone` (a time that comes twice a year means both).
///
/// # Errors
/// [`DateError`] for another form and for times that do not exist.
pub fn parse_search_date(text: &str, zone: &Zone) -> Result<Range, DateError> {
    parse(text, zone, Demand::Search)
}

/// Reads a FHIR `instant`: date, time to the second at least, and zone.
///
/// # Errors
/// [`DateError`] for another form and for times that do not exist.
pub fn parse_instant(text: &str) -> Result<Instant, DateError> {
    let expected = DateError::Form("YYYY-MM-DDThh:mm:ss[.fff](Z|+hh:mm)");
    if text.len() < 20 {
        return Err(expected);
    }
    parse(text, &Zone(TimeZone::UTC), Demand::Resource).map(|range| Instant(range.lo))
}

#[derive(Clone, Copy, PartialEq)]
enum Demand {
    Resource,
    Search,
}

const FORM: DateError =
    DateError::Form("YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss(Z|+hh:mm)");

fn number(bytes: &[u8]) -> Result<i64, DateError> {
    bytes.iter().try_fold(0, |n, b| {
        if b.is_ascii_digit() {
            Ok(n * 10 + i64::from(b - b'0'))
        } else {
            Err(FORM)
        }
    })
}

fn parse(text: &str, zone: &Zone, demand: Demand) -> Result<Range, DateError> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date.as_bytes(), Some(time.as_bytes())),
        None => (text.as_bytes(), None),
    };
    let (year, month, day) = match date {
        [y @ .., b'-', m1, m2, b'-', d1, d2] if y.len() == 4 => (
            number(y)?,
            Some(number(&[*m1, *m2])?),
            Some(number(&[*d1, *d2])?),
        ),
        [y @ .., b'-', m1, m2] if y.len() == 4 => (number(y)?, Some(number(&[*m1, *m2])?), None),
        y if y.len() == 4 => (number(y)?, None, None),
        _ => return Err(FORM),
    };
    if year == 0 {
        return Err(DateError::Impossible("year"));
    }
    if !matches!(month.unwrap_or(1), 1..=12) {
        return Err(DateError::Impossible("month"));
    }
    let (first_month, first_day) = (month.unwrap_or(1), day.unwrap_or(1));
    if first_day < 1 || first_day > days_in_month(year, first_month) {
        return Err(DateError::Impossible("day"));
    }
    let days = days_from_civil(year, first_month, first_day);
    let Some(time) = time else {
        let after = match (month, day) {
            (_, Some(_)) => days + 1,
            (Some(12) | None, None) => days_from_civil(year + 1, 1, 1),
            (Some(month), None) => days_from_civil(year, month + 1, 1),
        };
        let midnight =
            |day: i64| local(zone, day * DAY_SECONDS).map_or_else(|gap| gap, |(lo, _)| lo);
        let (lo, hi) = (midnight(days) * SECOND, midnight(after) * SECOND);
        // A zone that moved over the date line left out a whole day.
        return if lo < hi {
            Ok(Range { lo, hi })
        } else {
            Err(DateError::Skipped)
        };
    };
    if day.is_none() {
        return Err(FORM);
    }
    parse_time(time, days, zone, demand)
}

/// The time part, on the day that begins `days` days after 1970-01-01 (local).
fn parse_time(time: &[u8], days: i64, zone: &Zone, demand: Demand) -> Result<Range, DateError> {
    let at = time
        .iter()
        .position(|b| matches!(b, b'Z' | b'+' | b'-' | b' '))
        .unwrap_or(time.len());
    let (clock, offset) = time.split_at(at);
    let (hour, minute, second, fraction) = match clock {
        [h1, h2, b':', m1, m2, b':', s1, s2] => ([*h1, *h2], [*m1, *m2], Some([*s1, *s2]), None),
        [h1, h2, b':', m1, m2, b':', s1, s2, b'.', f @ ..] if !f.is_empty() && f.len() <= 20 => {
            ([*h1, *h2], [*m1, *m2], Some([*s1, *s2]), Some(f))
        }
        [h1, h2, b':', m1, m2] if demand == Demand::Search => ([*h1, *h2], [*m1, *m2], None, None),
        _ => return Err(FORM),
    };
    let (hour, minute) = (number(&hour)?, number(&minute)?);
    let seconds = second.map(|s| number(&s)).transpose()?;
    if hour > 23 {
        return Err(DateError::Impossible("hour"));
    }
    if minute > 59 {
        return Err(DateError::Impossible("minute"));
    }
    if seconds.is_some_and(|s| s > 59) {
        return Err(DateError::Impossible("second"));
    }
    let (micros, width) = fraction_of(seconds.is_some(), fraction)?;
    let civil = days * DAY_SECONDS + hour * 3600 + minute * 60 + seconds.unwrap_or(0);
    let (lo, hi) = match offset {
        [] if demand == Demand::Search => local(zone, civil).map_err(|_| DateError::Skipped)?,
        [] => return Err(DateError::NoZone),
        [b' ', ..] => return Err(DateError::NoZone),
        _ => {
            let utc = civil - parse_offset(offset)?;
            (utc, utc)
        }
    };
    Ok(Range {
        lo: lo * SECOND + micros,
        hi: hi * SECOND + micros + width,
    })
}

/// Microseconds and width of a fraction; digits below a microsecond are read and cut off.
fn fraction_of(seconds: bool, fraction: Option<&[u8]>) -> Result<(i64, i64), DateError> {
    let Some(fraction) = fraction else {
        return Ok((0, if seconds { SECOND } else { 60 * SECOND }));
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(FORM);
    }
    let kept = &fraction[..fraction.len().min(6)];
    let width = 10_i64.pow(6 - kept.len() as u32);
    Ok((number(kept)? * width, width))
}

/// Seconds east of UTC. FHIR allows up to 14:00.
fn parse_offset(offset: &[u8]) -> Result<i64, DateError> {
    let (sign, hours, minutes) = match offset {
        b"Z" => return Ok(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => (
            if *sign == b'-' { -1 } else { 1 },
            number(&[*h1, *h2])?,
            number(&[*m1, *m2])?,
        ),
        _ => return Err(FORM),
    };
    if minutes > 59 || hours * 60 + minutes > 14 * 60 {
        return Err(DateError::Impossible("zone offset"));
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

/// The UTC second(s) that a local civil second (counted as if UTC) means in `zone`: the earlier and the later
/// reading where clocks were put back. `Err` carries the first second after a gap.
fn local(zone: &Zone, civil: i64) -> Result<(i64, i64), i64> {
    let (year, month, day) = civil_from_days(civil.div_euclid(DAY_SECONDS));
    // jiff's calendar ends with 9999; zone rules that far ahead repeat every 400 years.
    let asked = if year > 9998 { year - 400 } else { year };
    let rest = civil.rem_euclid(DAY_SECONDS);
    let datetime = Date::new(asked as i16, month as i8, day as i8)
        .map(|date: Date| {
            date.at(
                (rest / 3600) as i8,
                (rest / 60 % 60) as i8,
                (rest % 60) as i8,
                0,
            )
        })
        .unwrap_or(DateTime::ZERO);
    match zone.0.to_ambiguous_timestamp(datetime).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            let utc = civil - i64::from(offset.seconds());
            Ok((utc, utc))
        }
        AmbiguousOffset::Fold { before, after } => Ok((
            civil - i64::from(before.seconds()),
            civil - i64::from(after.seconds()),
        )),
        // Read with the offset from before the gap, a skipped local time lands as far after the gap's end as
        // it lies behind its beginning: midnight in a gap that begins at midnight is the day's first moment.
        AmbiguousOffset::Gap { before, .. } => Err(civil - i64::from(before.seconds())),
    }
}

/// Days since 1970-01-01 of a Gregorian date (H. Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The Gregorian date of a day counted from 1970-01-01 (H. Hinnant's algorithm).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> (String, String) {
        let range = parse_date(text, &Zone::default()).unwrap();
        (Instant(range.lo).to_string(), Instant(range.hi).to_string())
    }

    #[test]
    fn precision_is_width() {
        for (text, lo, hi) in [
            ("2026", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
            ("2026-02", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"),
            ("2026-12", "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z"),
            ("2026-01-15", "2026-01-14T23:00:00Z", "2026-01-15T23:00:00Z"),
            ("2026-07-15", "2026-07-14T22:00:00Z", "2026-07-15T22:00:00Z"),
            (
                "2026-07-15T08:30:00+02:00",
                "2026-07-15T06:30:00Z",
                "2026-07-15T06:30:01Z",
            ),
            (
                "2026-07-15T08:30:00.5Z",
                "2026-07-15T08:30:00.500Z",
                "2026-07-15T08:30:00.600Z",
            ),
            (
                "2026-07-15T08:30:00.123Z",
                "2026-07-15T08:30:00.123Z",
                "2026-07-15T08:30:00.124Z",
            ),
            (
                "2026-07-15T08:30:00.1234567Z",
                "2026-07-15T08:30:00.123456Z",
                "2026-07-15T08:30:00.123457Z",
            ),
            (
                "2026-07-15T23:59:59-14:00",
                "2026-07-16T13:59:59Z",
                "2026-07-16T14:00:00Z",
            ),
        ] {
            assert_eq!(range(text), (lo.to_owned(), hi.to_owned()), "{text}");
        }
    }

    #[test]
    fn days_on_which_the_clocks_change_are_23_and_25_hours() {
        let hours = |text| {
            let range = parse_date(text, &Zone::default()).unwrap();
            (range.hi - range.lo) / SECOND / 3600
        };
        assert_eq!(
            (
                hours("2026-03-28"),
                hours("2026-03-29"),
                hours("2026-03-30")
            ),
            (24, 23, 24)
        );
        assert_eq!(
            (
                hours("2026-10-24"),
                hours("2026-10-25"),
                hours("2026-10-26")
            ),
            (24, 25, 24)
        );
    }

    #[test]
    fn local_times_around_the_changes() {
        let zone = Zone::default();
        let search = |text| {
            parse_search_date(text, &zone)
                .map(|r| (Instant(r.lo).to_string(), Instant(r.hi).to_string()))
        };
        let at = |lo: &str, hi: &str| Ok((lo.to_owned(), hi.to_owned()));
        assert_eq!(
            search("2026-03-29T01:59"),
            at("2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z")
        );
        assert_eq!(search("2026-03-29T02:00"), Err(DateError::Skipped));
        assert_eq!(search("2026-03-29T02:59"), Err(DateError::Skipped));
        assert_eq!(
            search("2026-03-29T03:00"),
            at("2026-03-29T01:00:00Z", "2026-03-29T01:01:00Z")
        );
        // 02:30 comes twice: both are meant.
        assert_eq!(
            search("2026-10-25T02:30"),
            at("2026-10-25T00:30:00Z", "2026-10-25T01:31:00Z")
        );
        assert_eq!(
            search("2026-10-25T03:00"),
            at("2026-10-25T02:00:00Z", "2026-10-25T02:01:00Z")
        );
        assert_eq!(
            search("2026-10-25T01:59:59"),
            at("2026-10-24T23:59:59Z", "2026-10-25T00:00:00Z")
        );
    }

    #[test]
    fn a_day_that_a_zone_left_out_is_refused() {
        let apia = Zone::named("Pacific/Apia").unwrap();
        assert_eq!(parse_date("2011-12-30", &apia), Err(DateError::Skipped));
        let (before, after) = (
            parse_date("2011-12-29", &apia).unwrap(),
            parse_date("2011-12-31", &apia).unwrap(),
        );
        assert_eq!(before.hi, after.lo);
    }

    #[test]
    fn the_first_and_the_last_year() {
        let zone = Zone::default();
        let first = parse_date("0001-01-01", &zone).unwrap();
        let last = parse_date("9999-12-31", &zone).unwrap();
        assert!(EARLIEST < first.lo && last.hi < LATEST);
        assert_eq!((last.hi - last.lo) / SECOND, DAY_SECONDS);
        assert_eq!(Instant(last.lo).to_string(), "9999-12-30T23:00:00Z");
        let last = parse_date("9999-12-31T23:59:59-14:00", &zone).unwrap();
        assert!(last.hi < LATEST);
        assert_eq!(range("9999-07-01").0, "9999-06-30T22:00:00Z");
        assert_eq!(range("9998-07-01").0, "9998-06-30T22:00:00Z");
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for (text, what) in [
            ("0000", "year"),
            ("2026-00", "month"),
            ("2026-13", "month"),
            ("2026-02-29", "day"),
            ("1900-02-29", "day"),
            ("2026-04-31", "day"),
            ("2026-01-00", "day"),
            ("2026-01-01T24:00:00Z", "hour"),
            ("2026-01-01T10:60:00Z", "minute"),
            ("2016-12-31T23:59:60Z", "second"),
            ("2026-01-01T10:00:00+14:01", "zone offset"),
            ("2026-01-01T10:00:00+10:60", "zone offset"),
        ] {
            assert_eq!(
                parse_date(text, &Zone::default()),
                Err(DateError::Impossible(what)),
                "{text}"
            );
        }
        assert!(parse_date("2024-02-29", &Zone::default()).is_ok());
        assert!(parse_date("2000-02-29", &Zone::default()).is_ok());
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "26",
            "20260101",
            "2026-1-1",
            "2026-01-01T",
            "2026-01-01T10",
            "2026-01-01T10:00",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00:00 02:00",
            "2026-01-01 10:00:00Z",
            "2026-01-01t10:00:00z",
            "2026-01-01T10:00:00.Z",
            "2026-01T10:00:00Z",
            "2026-01-01T10:00:00+0200",
            "2026-01-01T10:00:00Zx",
            "+2026",
            "-2026-01-01",
            "2026-",
            "２０２６",
            "2026-01-01T10:00:00.1a3Z",
            " 2026",
            "2026 ",
        ] {
            assert!(parse_date(text, &Zone::default()).is_err(), "{text}");
        }
        assert_eq!(
            parse_date("2026-01-01T10:00:00", &Zone::default()),
            Err(DateError::NoZone)
        );
        assert!(parse_instant("2026-01-01").is_err());
        assert!(parse_instant("2026-01-01T10:00Z").is_err());
    }

    #[test]
    fn zones_by_name() {
        assert_eq!(Zone::default().name(), "Europe/Oslo");
        assert_eq!(Zone::named("Europe/Atlantis"), Err(DateError::UnknownZone));
        assert_eq!(Zone::default().day_of(Instant(0)), (1970, 1, 1));
        let late = parse_instant("2026-07-14T22:00:00Z").unwrap();
        assert_eq!(Zone::default().day_of(late), (2026, 7, 15));
        assert_eq!(Zone::default().day_of(late.plus_micros(-1)), (2026, 7, 14));
    }

    proptest! {
        #[test]
        fn an_instant_prints_and_parses_back(micros in EARLIEST + 400 * DAY_SECONDS * SECOND..LATEST - 3 * DAY_SECONDS * SECOND) {
            let instant = Instant(micros);
            prop_assert_eq!(parse_instant(&instant.to_string()), Ok(instant));
        }

        #[test]
        fn agrees_with_jiff_on_days(days in -700_000_i32..2_900_000) {
            let date = Date::new(1970, 1, 1).unwrap().checked_add(jiff::Span::new().days(days)).unwrap();
            let (y, m, d) = civil_from_days(i64::from(days));
            prop_assert_eq!((y, m, d), (i64::from(date.year()), i64::from(date.month()), i64::from(date.day())));
            prop_assert_eq!(days_from_civil(y, m, d), i64::from(days));
            prop_assert!(d <= days_in_month(y, m));
        }

        #[test]
        fn days_follow_each_other_without_gap(days in 0_i64..40_000) {
            let text = |days| { let (y, m, d) = civil_from_days(days); format!("{y:04}-{m:02}-{d:02}") };
            let zone = Zone::default();
            let today = parse_date(&text(days), &zone).unwrap();
            let tomorrow = parse_date(&text(days + 1), &zone).unwrap();
            prop_assert_eq!(today.hi, tomorrow.lo);
            prop_assert!(parse_date(&text(days)[..7], &zone).unwrap().contains(&today));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse_search_date(&text, &Zone::default());
        }

        #[test]
        fn no_near_date_makes_it_panic(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(\\.[0-9]{0,21})?(Z|[+ -][0-9]{2}:[0-9]{2})?") {
            if let Ok(range) = parse_search_date(&text, &Zone::default()) {
                prop_assert!(EARLIEST < range.lo && range.lo < range.hi && range.hi < LATEST);
            }
        }
    }
}
