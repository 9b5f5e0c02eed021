//! The rows in which scenarios write readings: `DAY HH:MM kind=value ... [=> DAY HH:MM] [-> DAY HH:MM kind=value]`.
//!
//! `=>` says when a sitting reached the hub, if not at once. `->` says what became of it later: new values (a
//! correction) or the word `withdrawn`.

use crate::kinds::Kind;
use crate::people::ScenarioError;
use jiff::civil::Time;

/// A story day and a wall-clock time.
pub type DayTime = (i32, Time);

/// One row: what was measured at one sitting.
#[derive(Clone, Debug, PartialEq)]
pub struct Sitting {
    /// When it was measured.
    pub taken: DayTime,
    /// What, in the order written.
    pub values: Vec<(Kind, String)>,
    /// When it came, if later.
    pub arrives: Option<DayTime>,
    /// What became of it.
    pub change: Option<Change>,
}

/// A later change of a sitting.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// New values for the same readings.
    Corrected(DayTime, Vec<(Kind, String)>),
    /// Taken back.
    Withdrawn(DayTime),
}

/// Reads a row.
///
/// # Errors
/// Anything that is not exactly the grammar above, with the row named.
pub fn parse(row: &str) -> Result<Sitting, ScenarioError> {
    let wrong = || ScenarioError::Value(format!("not a scenario row: {row}"));
    let (row_, change) = match row.split_once(" -> ") {
        Some((before, after)) => (before, Some(change(after).ok_or_else(wrong)?)),
        None => (row, None),
    };
    let (row_, arrives) = match row_.split_once(" => ") {
        Some((before, after)) => (before, Some(day_time(after).ok_or_else(wrong)?)),
        None => (row_, None),
    };
    let (taken, values) = sitting(row_).ok_or_else(wrong)?;
    Ok(Sitting {
        taken,
        values,
        arrives,
        change,
    })
}

/// Reads `DAY HH:MM`.
pub fn day_time(text: &str) -> Option<DayTime> {
    let (day, time) = text.split_once(' ')?;
    Some((day.parse().ok()?, clock_time(time)?))
}

/// Reads `HH:MM`.
pub fn clock_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn change(text: &str) -> Option<Change> {
    if let Some(when) = text.strip_suffix(" withdrawn") {
        return Some(Change::Withdrawn(day_time(when)?));
    }
    let (when, values) = sitting(text)?;
    Some(Change::Corrected(when, values))
}

fn sitting(text: &str) -> Option<(DayTime, Vec<(Kind, String)>)> {
    let mut parts = text.splitn(3, ' ');
    let (day, time, values) = (parts.next()?, parts.next()?, parts.next()?);
    let taken = (day.parse().ok()?, clock_time(time)?);
    let values: Vec<(Kind, String)> = values.split(' ').map(value).collect::<Option<_>>()?;
    let kinds: std::collections::BTreeSet<Kind> = values.iter().map(|(kind, _)| *kind).collect();
    (kinds.len() == values.len()).then_some((taken, values))
}

fn value(text: &str) -> Option<(Kind, String)> {
    let (kind, value) = text.split_once('=')?;
    let kind = Kind::parse(kind)?;
    let number = |text: &str| serde_json::from_str::<serde_json::Number>(text).is_ok();
    let good = match kind {
        Kind::BloodPressure => value
            .split_once('/')
            .is_some_and(|(s, d)| number(s) && number(d)),
        Kind::Alertness => value == "alert",
        _ => number(value),
    };
    good.then(|| (kind, value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    #[test]
    fn a_row_says_when_what_arrival_and_change() {
        let late = parse("-9 08:32 spo2=91 pulse=78 => -7 09:05").unwrap();
        assert_eq!(late.taken, (-9, Time::constant(8, 32, 0, 0)));
        assert_eq!(
            late.values,
            [
                (Kind::Spo2, "91".to_owned()),
                (Kind::Pulse, "78".to_owned())
            ]
        );
        assert_eq!(late.arrives, Some((-7, Time::constant(9, 5, 0, 0))));
        let wrong = parse("-595 13:20 weight=36.9 -> -594 08:10 weight=63.9").unwrap();
        let expected = Change::Corrected(
            (-594, Time::constant(8, 10, 0, 0)),
            vec![(Kind::Weight, "63.9".to_owned())],
        );
        assert_eq!(wrong.change, Some(expected));
        let gone = parse("-447 10:05 bp=118/64 -> -447 10:40 withdrawn").unwrap();
        assert_eq!(
            gone.change,
            Some(Change::Withdrawn((-447, Time::constant(10, 40, 0, 0))))
        );
    }

    #[test]
    fn near_misses_are_refused() {
        for row in [
            "",
            "1 08:30",
            "1 8:30 spo2=90",
            "1 24:00 spo2=90",
            "x 08:30 spo2=90",
            "1 08:30 spo2=",
            "1 08:30 spo2=9o",
            "1 08:30 spo2=90  pulse=80",
            "1 08:30 spo2=90 spo2=91",
            "1 08:30 bp=134",
            "1 08:30 bp=134/x",
            "1 08:30 colour=blue",
            "1 08:30 spo2=90 =>",
            "1 08:30 spo2=90 => 2",
            "1 08:30 spo2=90 -> 2 08:30",
            "1 08:30 alertness=asleep",
        ] {
            assert!(parse(row).is_err(), "{row}");
        }
    }
}
