//! The story's days as real moments: whole-day shift, Europe/Oslo, daylight saving included (STORY.md, first paragraph).
//!
//! Day 0 is the plan's Monday. Adding days adds calendar days, never multiples of 24 hours, so half past eight stays
//! half past eight across a change of clocks.

use fhir::time::Instant;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// The story's zone as a POSIX rule (CET/CEST, changes on the last Sundays of March and October at 01:00 UTC), so that
/// a machine without a time zone database tells the same story.
const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// The latest day whose half past nine has passed is day 3.
const ANCHOR_DAY: i32 = 3;

/// Which date the story's day 0 is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    day0: Date,
    zone: TimeZone,
}

impl Calendar {
    /// The calendar of a demo that first starts at `now`: day 3 is the latest day whose 09:30 Europe/Oslo has passed.
    pub fn at_first_start(now: Instant) -> Self {
        let zone = zone();
        let local = zoned(now, &zone);
        let today = local.date();
        let half_past_nine = Time::constant(9, 30, 0, 0);
        let day3 = if local.time() >= half_past_nine {
            today
        } else {
            today.saturating_sub(1.day())
        };
        Self {
            day0: day3.saturating_sub(i64::from(ANCHOR_DAY).days()),
            zone,
        }
    }

    /// The calendar whose day 0 is `day0`, as kept in `demo.json`.
    pub fn from_day0(day0: Date) -> Self {
        Self { day0, zone: zone() }
    }

    /// Date of day 0; its `Display` is `YYYY-MM-DD` and parses back.
    pub fn day0(&self) -> Date {
        self.day0
    }

    /// Date of a story day.
    pub fn date(&self, day: i32) -> Date {
        self.day0.saturating_add(i64::from(day).days())
    }

    /// Weekday of a story day; the plan's Monday is day 0's weekday.
    pub fn weekday(&self, day: i32) -> Weekday {
        self.date(day).weekday()
    }

    /// A wall-clock time on a story day. A time that the change of clocks skips is the same time after the gap; one that
    /// comes twice is the first.
    pub fn at(&self, day: i32, time: Time) -> Zoned {
        let local = self.date(day).to_datetime(time);
        self.zone
            .to_ambiguous_zoned(local)
            .compatible()
            .unwrap_or_else(|_| Timestamp::UNIX_EPOCH.to_zoned(self.zone.clone()))
    }

    /// A full hour of a story day.
    pub fn hour(&self, day: i32, hour: i8) -> Instant {
        moment(&self.at(
            day,
            Time::midnight().saturating_add(i64::from(hour).hours()),
        ))
    }

    /// The story day that a moment falls on.
    pub fn day_of(&self, moment: Instant) -> i32 {
        let date = zoned(moment, &self.zone).date();
        let span = date.since((jiff::Unit::Day, self.day0));
        span.map(|span| span.get_days()).unwrap_or(i32::MAX)
    }
}

/// Europe/Oslo by rule.
fn zone() -> TimeZone {
    TimeZone::posix(OSLO).unwrap_or(TimeZone::UTC)
}

fn zoned(moment: Instant, zone: &TimeZone) -> Zoned {
    Timestamp::from_microsecond(moment.0)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}

/// A zoned time as FHIR `dateTime` or `instant`: seconds and offset, as a Norwegian device platform writes it.
pub fn fhir_time(time: &Zoned) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// A zoned time as a moment.
pub fn moment(time: &Zoned) -> Instant {
    Instant(time.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn at(text: &str) -> Instant {
        Instant(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn day_three_is_the_latest_day_whose_half_past_nine_has_passed() {
        // Oslo is one hour ahead of UTC in winter and two in summer.
        for (now, day3) in [
            ("2026-11-20T08:29:59Z", "2026-11-19"),
            ("2026-11-20T08:30:00Z", "2026-11-20"),
            ("2026-07-01T07:29:59.999999Z", "2026-06-30"),
            ("2026-07-01T07:30:00Z", "2026-07-01"),
            ("2026-11-20T23:30:00Z", "2026-11-20"),
            ("2027-01-01T00:00:00Z", "2026-12-31"),
        ] {
            let calendar = Calendar::at_first_start(at(now));
            assert_eq!(calendar.date(3).to_string(), day3, "{now}");
            assert_eq!(
                Calendar::from_day0(calendar.day0().to_string().parse().unwrap()),
                calendar
            );
        }
    }

    #[test]
    fn half_past_eight_stays_half_past_eight_across_both_changes_of_clocks() {
        // 2026-03-29 and 2026-10-25 are the Sundays of change.
        let spring = Calendar::from_day0("2026-03-28".parse().unwrap());
        let eight = Time::constant(8, 30, 0, 0);
        assert_eq!(fhir_time(&spring.at(0, eight)), "2026-03-28T08:30:00+01:00");
        assert_eq!(fhir_time(&spring.at(1, eight)), "2026-03-29T08:30:00+02:00");
        assert_eq!(
            fhir_time(&spring.at(1, Time::constant(2, 30, 0, 0))),
            "2026-03-29T03:30:00+02:00"
        );
        let autumn = Calendar::from_day0("2026-10-24".parse().unwrap());
        assert_eq!(fhir_time(&autumn.at(0, eight)), "2026-10-24T08:30:00+02:00");
        assert_eq!(fhir_time(&autumn.at(1, eight)), "2026-10-25T08:30:00+01:00");
        assert_eq!(
            fhir_time(&autumn.at(1, Time::constant(2, 30, 0, 0))),
            "2026-10-25T02:30:00+02:00"
        );
        let day = moment(&autumn.at(1, eight)).0 - moment(&autumn.at(0, eight)).0;
        assert_eq!(day, 25 * 3600 * 1_000_000);
    }

    #[test]
    fn a_moment_knows_its_story_day() {
        let calendar = Calendar::from_day0("2026-10-24".parse().unwrap());
        for day in [-1100, -365, -1, 0, 1, 2, 14] {
            for time in [Time::constant(0, 0, 0, 0), Time::constant(23, 59, 59, 0)] {
                assert_eq!(calendar.day_of(moment(&calendar.at(day, time))), day);
            }
        }
    }
}
