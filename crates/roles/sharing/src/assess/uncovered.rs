//! What a reading that is taken back uncovers: the one behind it is the last that is known of her then. It raised nothing while a newer
//! one stood, or somebody closed its alert when the newer one had come; with that gone, its zone is told of as of any newest.

use super::case;
use super::result::Held;
use super::run::plain;
use crate::alert::{Candidate, FRESH, Whose, gravity};
use crate::{State, feed};
use fhir::ids::LogicalId;
use fhir::index::Coding;
use fhir::json::{Json, Node};
use fhir::measurement::{self, Kind};
use fhir::resource::ResourceType;
use fhir::time::{Instant, Range};
use serde_json::Value;
use store::StoreError;

/// A result whose reading does not hold any more: the reading's curve, and when it was measured.
struct Gone {
    curve: &'static str,
    at: Instant,
}

impl State {
    /// Results of the newest readings behind those whose results (`gone`) are taken back, as they rest.
    ///
    /// # Errors
    /// Of the store.
    pub(super) async fn uncovered(
        &self,
        whose: &Whose<'_>,
        gone: &[Held],
        now: Instant,
    ) -> Result<Vec<Candidate>, StoreError> {
        let mut ended = Vec::new();
        for held in gone
            .iter()
            .filter(|one| one.at.0 >= now.0.saturating_sub(FRESH))
        {
            ended.extend(self.gone(whose, held).await?);
        }
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        let since = Range {
            lo: now.0.saturating_sub(FRESH),
            hi: now.0.saturating_add(1),
        };
        let recent = case::readings(self, whose.permit, whose.person, since).await?;
        let mut found: Vec<Candidate> = Vec::new();
        for one in ended {
            let of_curve = recent.readings.iter().filter(|r| r.curve() == one.curve);
            let newest = of_curve.max_by_key(|reading| (reading.at, reading.id));
            let Some(newest) = newest.filter(|reading| reading.at < one.at) else {
                continue;
            };
            let name = format!("zone/{}", newest.id);
            if found.iter().any(|other| other.name == name) {
                continue;
            }
            let Some(held) = recent.held.iter().find(|held| held.name == name) else {
                continue;
            };
            let result = plain(held)?;
            if let Some(zone) = gravity(&result) {
                let place = format!("Observation/{}/_history/{}", held.id, held.version);
                found.push(Candidate::of(name, held.at, zone, &place, &result));
            }
        }
        Ok(found)
    }

    /// Of which curve a result's reading was; `None` for a result of another sort, one that was taken back before, or whose reading was
    /// erased.
    async fn gone(&self, whose: &Whose<'_>, held: &Held) -> Result<Option<Gone>, StoreError> {
        let result = plain(held)?;
        let reading = held.name.strip_prefix("zone/");
        let Some((id, resource, version)) = reading.and_then(|id| input(&result, id)) else {
            return Ok(None);
        };
        let store = &self.desk.store;
        let read = store
            .read_version(whose.permit, resource, id, version)
            .await;
        let stored = match read {
            Ok(Some(stored)) => stored,
            Ok(None) | Err(StoreError::Gone | StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let json = feed::stored_json(stored.body)
            .map_err(|_| StoreError::Damaged("a stored resource does not parse"))?;
        Ok(kind(&json).map(|kind| Gone {
            curve: kind.curve(),
            at: held.at,
        }))
    }
}

/// The reading with this id among what a result was made of, in the version that was looked at.
fn input(result: &Value, id: &str) -> Option<(LogicalId, ResourceType, u64)> {
    let inputs = result["derivedFrom"].as_array()?;
    inputs.iter().find_map(|one| {
        let mut parts = one["reference"].as_str()?.split('/');
        let resource = ResourceType::parse(parts.next()?)?;
        let of_id = parts.next().filter(|part| *part == id)?;
        let version = parts.nth(1)?.parse().ok()?;
        Some((LogicalId::parse(of_id).ok()?, resource, version))
    })
}

fn kind(json: &Json) -> Option<&'static Kind> {
    let root = json.root();
    if let Some(canonical) = root.text("questionnaire") {
        return measurement::of_questionnaire(&canonical);
    }
    let codings = root.path(&["code", "coding"]).into_iter();
    let codings = codings.flat_map(Node::items).filter_map(|one| {
        Some(Coding {
            system: one.text("system").map(|text| text.into_owned()),
            code: one.text("code")?.into_owned(),
        })
    });
    measurement::of(&codings.collect::<Vec<_>>())
}
