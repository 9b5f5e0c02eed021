//! What goes wrong between a person and the hub, drawn for each home: days on which nobody measures, days without a connection,
//! sendings that come twice, devices whose clocks are wrong. All but the clocks harm nothing: a hub takes it as it comes.

use crate::dice::Dice;
use jiff::{SignedDuration, ToSpan, Zoned};

/// How often each trouble comes, in a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Troubles {
    /// Months with days on which nothing is measured.
    pub gaps: u32,
    /// Fortnights with days without a connection; what was measured comes afterwards, shuffled, some of it twice.
    pub offline: u32,
    /// Sendings that are sent once more.
    pub doubled: u32,
    /// Devices whose clock is minutes off.
    pub minutes: u32,
    /// Devices whose clock is hours off.
    pub hours: u32,
    /// Devices whose clock is a year off.
    pub year: u32,
}

/// Name of each trouble, in the order of the fields.
const NAMES: [&str; 6] = ["gaps", "offline", "doubled", "minutes", "hours", "year"];
/// What is usual when a trouble is named without a number.
const USUAL: [u32; 6] = [20, 25, 10, 10, 5, 2];
/// Days within which gaps and days without a connection are drawn, and their most days.
const MONTH: (i32, i64) = (30, 5);
const FORTNIGHT: (i32, i64) = (14, 3);

impl Troubles {
    /// None at all.
    pub const NONE: Troubles = Troubles {
        gaps: 0,
        offline: 0,
        doubled: 0,
        minutes: 0,
        hours: 0,
        year: 0,
    };
    /// Those that every home has and that harm nothing.
    pub const USUAL: Troubles = Troubles {
        gaps: USUAL[0],
        offline: USUAL[1],
        doubled: USUAL[2],
        ..Troubles::NONE
    };

    /// Reads `none` or names with or without a number: `gaps,offline=40,year=1`.
    ///
    /// # Errors
    /// What is no such list, in words for whoever typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut each = [0; 6];
        if text != "none" {
            for part in text.split(',') {
                let (name, percent) = part
                    .split_once('=')
                    .map_or((part, None), |(name, n)| (name, Some(n)));
                let at = NAMES.iter().position(|one| *one == name);
                let at = at.ok_or_else(|| {
                    format!(
                        "no such trouble: {name}; there are {} and none",
                        NAMES.join(", ")
                    )
                })?;
                let percent = percent
                    .map_or(Ok(USUAL[at]), str::parse)
                    .ok()
                    .filter(|n| *n <= 100);
                each[at] =
                    percent.ok_or_else(|| format!("{name} takes a whole number up to 100"))?;
            }
        }
        let [gaps, offline, doubled, minutes, hours, year] = each;
        Ok(Self {
            gaps,
            offline,
            doubled,
            minutes,
            hours,
            year,
        })
    }

    /// Whether nobody measures on a day.
    pub(super) fn gap(&self, name: &str, day: i32) -> bool {
        span(&format!("{name}/gap"), self.gaps, MONTH, day).is_some()
    }

    /// The day on which the connection is back, when there is none on this day.
    pub(super) fn offline_until(&self, name: &str, day: i32) -> Option<i32> {
        span(&format!("{name}/offline"), self.offline, FORTNIGHT, day)
    }

    /// What is wrong with a device's clock.
    pub(super) fn clock(&self, name: &str, device: &str) -> Option<ClockError> {
        let mut dice = Dice::named(&format!("{name}/{device}/clock"));
        let thrown = u32::try_from(dice.between(1, 100)).unwrap_or(100);
        let sign = if dice.chance(50) { 1 } else { -1 };
        if thrown <= self.year {
            Some(ClockError::Year(sign))
        } else if thrown <= self.year + self.hours {
            Some(ClockError::Hours(sign * dice.between(1, 11)))
        } else if thrown <= self.year + self.hours + self.minutes {
            Some(ClockError::Minutes(sign * dice.between(2, 25)))
        } else {
            None
        }
    }
}

/// The day after the span of days that holds `day`: in so many of a hundred periods of days there is one, of at most so many days. It
/// ends within its period.
fn span(name: &str, percent: u32, (period, most): (i32, i64), day: i32) -> Option<i32> {
    let which = day.div_euclid(period);
    let mut dice = Dice::named(&format!("{name}/{which}"));
    if !dice.chance(percent) {
        return None;
    }
    let days = i32::try_from(dice.between(1, most)).ok()?;
    let start = i32::try_from(dice.between(0, i64::from(period - days - 1))).ok()?;
    let into = day.rem_euclid(period);
    (start..start + days)
        .contains(&into)
        .then(|| day - into + start + days)
}

/// By how much a device's clock is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// Minutes: it was never set right.
    Minutes(i64),
    /// Hours: another zone, or morning for evening.
    Hours(i64),
    /// A year, forward (1) or back (-1).
    Year(i64),
}

impl ClockError {
    /// What the device shows at a moment.
    pub fn shown(self, true_time: &Zoned) -> Zoned {
        let moved = match self {
            ClockError::Minutes(n) => true_time.checked_add(SignedDuration::from_mins(n)),
            ClockError::Hours(n) => true_time.checked_add(SignedDuration::from_hours(n)),
            ClockError::Year(n) => true_time.checked_add(n.years()),
        };
        moved.unwrap_or_else(|_| true_time.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn a_list_is_read_and_what_is_none_is_refused_in_words() {
        assert_eq!(Troubles::parse("none"), Ok(Troubles::NONE));
        assert_eq!(Troubles::parse("gaps,offline,doubled"), Ok(Troubles::USUAL));
        let some = Troubles {
            offline: 40,
            year: 1,
            ..Troubles::NONE
        };
        assert_eq!(Troubles::parse("offline=40,year=1"), Ok(some));
        for wrong in [
            "",
            "gap",
            "gaps=",
            "gaps=101",
            "gaps=-1",
            "none,gaps",
            "gaps, offline",
        ] {
            assert!(Troubles::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Troubles::parse("clock").unwrap_err().contains("minutes"));
    }

    #[test]
    fn spans_last_some_days_and_end_within_their_period() {
        let all: Vec<Option<i32>> = (0..1400)
            .map(|day| span("somebody", 50, FORTNIGHT, day))
            .collect();
        let held = all.iter().flatten().count();
        assert!((50..150).contains(&held), "{held} of 1400 days");
        for (day, end) in (0..).zip(&all) {
            if let Some(end) = end {
                assert!(
                    *end > day
                        && *end <= day + 3
                        && all[usize::try_from(*end).unwrap()] != Some(*end)
                );
            }
        }
        assert!((0..1400).all(|day| span("somebody", 0, MONTH, day).is_none()));
    }
}
