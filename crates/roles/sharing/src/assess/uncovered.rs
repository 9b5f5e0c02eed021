//! What a reading that is taken back uncovers: the one behind it is the last that is known of her then. It raised nothing while a newer
//! one stood, or somebody closed its alert when the newer one had come; with that gone, its zone is told of as of any newest.

use super::case::Case;
use super::reading::Reading;
use super::result::Held;
use super::run::plain;
use crate::alert::{Candidate, gravity};
use fhir::ids::LogicalId;
use fhir::time::Instant;
use std::collections::BTreeMap;
use store::StoreError;

/// A reading that does not hold any more.
pub struct Gone {
    /// Of which curve it was.
    pub curve: &'static str,
    /// When it was measured.
    pub at: Instant,
}

impl Gone {
    /// The reading of a result that ends; `None` for a result of another sort, and where the reading was erased: nobody knows its curve.
    pub fn of(result: &Held, curves: &BTreeMap<LogicalId, &'static str>) -> Option<Gone> {
        let reading = LogicalId::parse(result.name.strip_prefix("zone/")?).ok()?;
        Some(Gone {
            curve: curves.get(&reading)?,
            at: result.at,
        })
    }
}

/// Results of the newest readings behind those that are gone, as they rest: of each curve those down to the first reading that `hides` what
/// is older.
///
/// # Errors
/// A result that does not parse.
pub fn uncovered(
    gone: &[Gone],
    recent: &Case,
    hides: impl Fn(&Reading) -> bool,
    now: Instant,
) -> Result<Vec<Candidate>, StoreError> {
    let mut found: Vec<Candidate> = Vec::new();
    for one in gone {
        let of_curve = recent.readings.iter();
        let of_curve = of_curve.filter(|r| r.curve() == one.curve && r.at <= now);
        let mut of_curve: Vec<_> = of_curve.collect();
        of_curve.sort_unstable_by_key(|reading| std::cmp::Reverse((reading.at, reading.id)));
        for reading in of_curve {
            if reading.at < one.at {
                found.extend(said_of(reading, recent)?);
            }
            if hides(reading) {
                break;
            }
        }
    }
    Ok(found)
}

/// What was made of a reading, where that calls somebody.
fn said_of(reading: &Reading, recent: &Case) -> Result<Option<Candidate>, StoreError> {
    let name = format!("zone/{}", reading.id);
    let Some(held) = recent.held.iter().find(|held| held.name == name) else {
        return Ok(None);
    };
    let result = plain(held)?;
    Ok(gravity(&result).map(|zone| {
        let place = format!("Observation/{}/_history/{}", held.id, held.version);
        Candidate::of(name, held.at, zone, &place, &result)
    }))
}
