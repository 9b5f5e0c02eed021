//! Notices what was written that somebody subscribes to: the store tells of each commit in the commit itself, and what comes of
//! that here waits for each subscription in the change that ends the store's entry. So nothing is missed or noticed twice, whoever
//! is killed when. Rights are asked when events are numbered (`number.rs`), not here.

use super::book::Held;
use super::kept::{Event, Kept, Shelf, Status};
use super::right::Right;
use super::topic::Topic;
use crate::assess::{case, fate_of};
use crate::{State, feed};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::json::{Glance, Json};
use fhir::resource::ResourceType;
use fhir::time::{Instant, Range, parse_date};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use store::{Change, Due, Followed, StoreError, WrittenFate, WrittenOne};
use trust::Permit;
use wire::courier::{Deliver, Fate};

/// The receiver of what the store tells.
pub const RECEIVER: &str = "subscription";

/// Why it is in error when what was written could not be read.
const LOST: &str = "something was written that cannot be read here, and may have been an event: read anew what matters";

/// How far back the zone before is looked for.
const LOOK_BACK: i64 = 30 * 24 * 60 * 60_000_000;

/// The second follower of the store, besides the assessment.
pub struct Noticing(pub Arc<State>);

impl Deliver for Noticing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(batch.len());
        let mut held = HashSet::new();
        for due in batch {
            if held.contains(&due.partition) {
                fates.push(Fate::Retry(
                    "an earlier change of the patient's waits".into(),
                ));
                continue;
            }
            let fate = match serde_json::from_slice::<Followed>(&due.body) {
                Err(_) => Fate::Dead("not a list of changes".into()),
                Ok(followed) => match self.0.notice(due, &followed).await {
                    // Done in a change of its own, or nothing came of it.
                    Ok(()) | Err(StoreError::NotPending) => Fate::Done,
                    Err(error) => {
                        let mut fate = fate_of(&error, due.attempts);
                        if matches!(fate, Fate::Dead(_)) {
                            tracing::error!(service = self.0.config.id, patient = %followed.patient, %error, "what was written is told to no subscriber");
                            if let Err(error) = self.0.owns_up(due, &followed).await {
                                fate = Fate::Retry(error.to_string());
                            }
                        }
                        if !matches!(fate, Fate::Dead(_)) {
                            held.insert(due.partition);
                        }
                        fate
                    }
                },
            };
            fates.push(fate);
        }
        fates
    }
}

impl State {
    /// Subscriptions that what was written about a patient may be an event of.
    fn concerned(&self, due: &Due, patient: LogicalId) -> Vec<Held> {
        self.subscriptions.those(|kept| {
            let whose = kept.wanted.patient;
            let about = whose.is_none_or(|one| one == patient) && kept.made <= due.made;
            about && kept.status != Status::Off
        })
    }

    /// Says by its status to each subscriber who might have been told of it that something was written which cannot be read: numbers
    /// without a gap must not seem to say that it has heard everything. To whom the patient is closed nothing is said.
    async fn owns_up(&self, due: &Due, followed: &Followed) -> Result<(), StoreError> {
        let now = (self.house.clock)();
        for held in self.concerned(due, followed.patient) {
            let types = held.kept.wanted.topic.types();
            let may_be = |one: &WrittenOne| {
                let of_type = held.kept.wanted.of_type.as_ref();
                ResourceType::parse(&one.resource_type).is_some_and(|of| types.contains(&of))
                    && of_type.is_none_or(|of| *of == one.resource_type)
            };
            if held.kept.status == Status::Error || !followed.written.iter().any(may_be) {
                continue;
            }
            match self.right(&held.kept).await? {
                Right::Open { .. } => self.in_error(held, LOST.to_owned(), now).await?,
                // Asked again when it can be known.
                Right::Unknown => return Err(StoreError::Busy),
                Right::Closed | Right::Silent | Right::Over(_) => {}
            }
        }
        Ok(())
    }

    async fn notice(&self, due: &Due, followed: &Followed) -> Result<(), StoreError> {
        let patient = followed.patient;
        let concerned = self.concerned(due, patient);
        if concerned.is_empty() || followed.written.is_empty() {
            return Ok(());
        }
        let concerned: Vec<Arc<Kept>> = concerned.into_iter().map(|held| held.kept).collect();
        let Some(person) = self.desk.store.patient_of(patient).await? else {
            return Ok(());
        };
        let mut found: BTreeMap<LogicalId, Vec<Event>> = BTreeMap::new();
        for one in &followed.written {
            let asks = |kept: &Arc<Kept>, topic: Topic| {
                let of_type = kept.wanted.of_type.as_ref();
                kept.wanted.topic == topic && of_type.is_none_or(|of| *of == one.resource_type)
            };
            let wanted = |topic: Topic| concerned.iter().any(|kept| asks(kept, topic));
            let Some(topic) = self.topic(&person, one, wanted).await? else {
                continue;
            };
            let event = Event {
                patient,
                resource_type: one.resource_type.clone(),
                id: one.id,
                new: one.fate == WrittenFate::Created,
                gone: (one.fate == WrittenFate::Withdrawn).then_some(one.version),
                at: due.made,
            };
            for kept in concerned.iter().filter(|kept| asks(kept, topic)) {
                found.entry(kept.id).or_default().push(event.clone());
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let mut ledger = Vec::new();
        for (id, events) in &found {
            let Some(first) = self.subscriptions.places(*id, events.len()) else {
                continue;
            };
            for (place, event) in (first..).zip(events) {
                ledger.push(Shelf::Waiting.write(*id, place, Some(event))?);
            }
        }
        let change = Change {
            ledger,
            carried: vec![due.id],
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        let now = (self.house.clock)();
        for (id, events) in found {
            // Ended meanwhile: what came of it goes with the rest.
            if self.subscriptions.get(id).is_none() {
                self.clear_subscription(id).await?;
            }
            self.subscriptions.more(id, events.len(), now);
        }
        Ok(())
    }

    /// The topic that a version is an event of, where somebody wants it.
    async fn topic(
        &self,
        person: &PersonIdentifier,
        one: &WrittenOne,
        wanted: impl Fn(Topic) -> bool,
    ) -> Result<Option<Topic>, StoreError> {
        let resource = ResourceType::parse(&one.resource_type);
        let can_be = |resource: &ResourceType| {
            let mut topics = Topic::ALL.into_iter().filter(|topic| wanted(*topic));
            topics.any(|topic| topic.types().contains(resource))
        };
        let Some(resource) = resource.filter(can_be) else {
            return Ok(None);
        };
        // Of the organisation's own, for the organisation: what a subscriber is told of it is asked of his own right.
        let permit = trust::assess(person.clone());
        // A withdrawal is about what was there before it: whoever has heard of that hears that it is gone.
        let withdrawn = one.fate == WrittenFate::Withdrawn;
        let version = one.version.saturating_sub(u64::from(withdrawn));
        let Some(json) = self.version(&permit, resource, one.id, version).await? else {
            return Ok(None);
        };
        let topic = Topic::of(resource, Glance::of(json.bytes())).filter(|topic| wanted(*topic));
        if topic != Some(Topic::ZoneChange) || withdrawn {
            return Ok(topic);
        }
        let before = match one.fate {
            WrittenFate::Updated => self
                .version(&permit, resource, one.id, one.version.saturating_sub(1))
                .await?
                .and_then(|json| zone(Glance::of(json.bytes()))),
            _ => self.zone_before(&permit, person, &json).await?,
        };
        Ok(topic.filter(|_| zone(Glance::of(json.bytes())) != before))
    }

    async fn version(
        &self,
        permit: &Permit,
        resource: ResourceType,
        id: LogicalId,
        version: u64,
    ) -> Result<Option<Json>, StoreError> {
        let store = &self.desk.store;
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
