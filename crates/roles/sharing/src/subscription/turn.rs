//! Whether a zone has turned: a result is an event of `zone-change` only if the reading before it, of the same kind, was in another zone.

use crate::State;
use crate::assess::case;
use crate::feed;
use fhir::ids::LogicalId;
use fhir::ids::PersonIdentifier;
use fhir::json::{Glance, Json};
use fhir::resource::ResourceType;
use fhir::time::{Instant, Range, parse_date};
use std::collections::BTreeMap;
use store::{Listed, StoreError, WrittenFate};
use trust::Permit;

/// How far back the zone before is looked for.
const LOOK_BACK: i64 = 30 * 24 * 60 * 60_000_000;

impl State {
    /// Whether a zone's result says another zone than the one before it. A withdrawal does; what was erased or withdrawn since says
    /// nothing.
    ///
    /// # Errors
    /// Of the store.
    pub(super) async fn zone_turned(&self, event: &Listed) -> Result<bool, StoreError> {
        let written = &event.written;
        if written.fate == WrittenFate::Withdrawn {
            return Ok(true);
        }
        let Some(person) = self.desk.store.patient_of(event.patient).await? else {
            return Ok(false);
        };
        // Of the organisation's own, for the organisation: what a subscriber is told of it is asked of his own right.
        let permit = trust::assess(person.clone());
        let Some(json) = self.version(&permit, written.id, written.version).await? else {
            return Ok(false);
        };
        let before = match written.fate {
            WrittenFate::Updated => {
                let before = written.version.saturating_sub(1);
                let before = self.version(&permit, written.id, before).await?;
                before.and_then(|json| zone(Glance::of(json.bytes())))
            }
            _ => self.zone_before(&permit, &person, &json).await?,
        };
        Ok(zone(Glance::of(json.bytes())) != before)
    }

    async fn version(
        &self,
        permit: &Permit,
        id: LogicalId,
        version: u64,
    ) -> Result<Option<Json>, StoreError> {
        let store = &self.desk.store;
        let resource = ResourceType::OBSERVATION;
        match store.read_version(permit, resource, id, version).await {
            Ok(Some(stored)) => feed::stored_json(stored.body)
                .map(Some)
                .map_err(|_| StoreError::Damaged("a stored resource does not parse")),
            // Erased or withdrawn since.
            Ok(None) | Err(StoreError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The zone of the reading before this one's, of the same curve (pulse goes with heart rate); none where there was none, or too much to look through: then it
    /// is told rather than not.
    async fn zone_before(
        &self,
        permit: &Permit,
        person: &PersonIdentifier,
        result: &Json,
    ) -> Result<Option<String>, StoreError> {
        let body = Glance::of(result.bytes());
        let text = body.get("effectiveDateTime").and_then(Glance::str);
        let at = text.and_then(|text| parse_date(&text, &self.config.zone).ok());
        let (Some(at), Some(name)) = (at, case::name(body)) else {
            return Ok(None);
        };
        let range = Range {
            lo: at.lo.saturating_sub(LOOK_BACK),
            hi: at.lo.saturating_add(1),
        };
        let seen = match case::readings(self, permit, person, range).await {
            Err(StoreError::TooCostly | StoreError::Timeout) => return Ok(None),
            seen => seen?,
        };
        let curves: BTreeMap<String, &str> = seen
            .readings
            .iter()
            .map(|one| (format!("zone/{}", one.id), one.curve()))
            .collect();
        let curve = curves.get(&name);
        let before = seen.held.iter().filter(|one| {
            one.at < Instant(at.lo)
                && one.name != name
                && curves.get(&one.name) == curve
                && curve.is_some()
        });
        let last = before.max_by_key(|one| one.at);
        Ok(last.and_then(|one| zone(Glance::of(&one.body))))
    }
}

/// The zone that a result says; none for one that was taken back.
fn zone(body: Glance<'_>) -> Option<String> {
    let status = body.get("status").and_then(Glance::str);
    if status.as_deref() == Some("entered-in-error") {
        return None;
    }
    let coding = body.get("valueCodeableConcept")?.get("coding")?;
    let code = coding.items().next()?.get("code")?.str()?;
    Some(code.into_owned())
}
