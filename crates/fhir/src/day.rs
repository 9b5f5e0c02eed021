//! Days of a calendar, as people keep them: a day begins and ends by the clocks of its zone, and may last 23 or 25 hours.

use crate::time::{Instant, Zone};
use jiff::ToSpan;
use jiff::civil::{Date, Time, Weekday};

/// `mon` … `sun`, as FHIR writes days of the week.
#[must_use]
pub fn code(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(Date);

impl Day {
    /// The day on which `instant` falls.
    #[must_use]
    pub fn of(instant: Instant, zone: &Zone) -> Day {
        let (year, month, day) = zone.day_of(instant);
        Day(Date::new(year, month, day).unwrap_or(Date::constant(1970, 1, 1)))
    }

    /// The day after; the last there is stays itself.
    #[must_use]
    pub fn next(self) -> Day {
        Day(self.0.tomorrow().unwrap_or(self.0))
    }

    /// So many days before.
    #[must_use]
    pub fn before(self, days: u32) -> Day {
        Day(self.0.saturating_sub(i64::from(days).days()))
    }

    /// `mon` … `sun`, as FHIR writes days of the week.
    #[must_use]
    pub fn weekday(self) -> &'static str {
        code(self.0.weekday())
    }

    /// When it begins.
    #[must_use]
    pub fn begins(self, zone: &Zone) -> Instant {
        self.on(Time::midnight(), zone)
    }

    /// A time of it, `hh:mm:ss`: where the clocks were put forward over it, as much later as they were put; where it is there
    /// twice, the first. `None` for what is no time.
    #[must_use]
    pub fn at(self, time: &str, zone: &Zone) -> Option<Instant> {
        Some(self.on(time.parse().ok()?, zone))
    }

    fn on(self, time: Time, zone: &Zone) -> Instant {
        let civil = self.0.to_datetime(time);
        let zoned = zone.tz().to_ambiguous_zoned(civil).compatible();
        // Fails only at the ends of the calendar.
        Instant(zoned.map_or(0, |zoned| zoned.timestamp().as_microsecond()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn days_begin_and_end_by_the_clock_also_when_it_is_put() {
        let zone = Zone::default();
        let day = |text: &str| Day::of(text.parse().unwrap(), &zone);
        let monday = day("2026-11-15T23:00:00Z");
        assert_eq!(monday.weekday(), "mon");
        assert_eq!(day("2026-11-15T22:59:59Z").weekday(), "sun");
        assert_eq!(monday.before(1).next(), monday);
        assert_eq!(monday.begins(&zone).to_string(), "2026-11-15T23:00:00Z");
        let at = |day: Day, time: &str| day.at(time, &zone).map(|at| at.to_string());
        assert_eq!(at(monday, "08:30:00").unwrap(), "2026-11-16T07:30:00Z");
        assert_eq!(at(monday, "24:30:00"), None);
        // 29 March has 23 hours and no half past two; 25 October has 25 and two of them.
        let spring = day("2026-03-29T10:00:00Z");
        assert_eq!(at(spring, "02:30:00").unwrap(), "2026-03-29T01:30:00Z");
        let hours = |day: Day| (day.next().begins(&zone).0 - day.begins(&zone).0) / 3_600_000_000;
        assert_eq!(hours(spring), 23);
        let autumn = day("2026-10-25T10:00:00Z");
        assert_eq!(hours(autumn), 25);
        assert_eq!(at(autumn, "02:30:00").unwrap(), "2026-10-25T00:30:00Z");
    }
}
