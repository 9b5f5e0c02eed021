//! What she breathed: what readings say of it and what the plan does, and which of them counts. Pure.

use super::judge::{Plan, between, of_curve};
use super::reading::{FLOW, Reading};
use fhir::measurement::{Breathed, Decimal};
use fhir::time::Instant;

/// How long a word of what she breathed speaks against the plan's standing value, in microseconds: a day.
const SPEAKS: i64 = 24 * 60 * 60_000_000;

/// The newest that readings in their order say of what she breathed, and which readings say it; where those of one moment differ, nobody
/// knows.
pub fn last_word<'a>(by_time: &[&'a Reading]) -> Option<(Breathed, Vec<&'a Reading>)> {
    let said = |one: &&'a Reading| Some((one.breathed?, *one));
    let mut words = by_time.iter().rev().filter_map(said);
    let (mut word, newest) = words.next()?;
    let mut from = vec![newest];
    for (other, reading) in words.take_while(|(_, one)| one.at == newest.at) {
        word = word.and(other);
        from.push(reading);
    }
    Some((word, from))
}

/// What the plan says that she breathes.
pub fn standing_air(plan: &Plan) -> Option<Breathed> {
    let said = plan.limits.standing.iter().find(|one| one.kind == FLOW)?;
    Some(if said.value > Decimal::ZERO {
        Breathed::Oxygen
    } else {
        Breathed::Air
    })
}

/// Whether it counts as oxygen in NEWS2; `None` where nobody knows.
pub fn is_oxygen(said: Breathed) -> Option<bool> {
    match said {
        Breathed::Air => Some(false),
        Breathed::Oxygen => Some(true),
        Breathed::Unclear => None,
    }
}

/// The last word of the day before a moment.
pub fn old_word<'a>(by_time: &[&'a Reading], at: Instant) -> Option<(Breathed, Vec<&'a Reading>)> {
    last_word(between(by_time, at, SPEAKS))
}

/// What speaks against room air, where the plan's limits are for that: its standing value says so.
pub fn not_on_air<'a>(
    plan: &Plan,
    reading: &Reading,
    by_time: &[&'a Reading],
) -> Option<(Breathed, Vec<&'a Reading>)> {
    let for_air = reading.kind == "oxygen-saturation"
        && standing_air(plan) == Some(Breathed::Air)
        && of_curve(plan, reading.curve()).next().is_some();
    let word = for_air.then(|| old_word(by_time, reading.at));
    word.flatten().filter(|(word, _)| *word != Breathed::Air)
}
