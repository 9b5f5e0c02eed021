//! Carries out assessments: hears from the store what changed about whom, judges that time anew, and writes what differs.
//!
//! What is written is a function of what is stored, so that hearing of a change twice, late or in another order does no harm.

use super::case::{self, Case};
use super::result::{Frame, Held, Made};
use super::{Assessment, Owner, judge};
use crate::State;
use fhir::check;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::json::{Json, Limits};
use fhir::resource::{Checked, ResourceType};
use fhir::time::{Instant, Range, parse_date};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Change, Due, Followed, Put, StoreError, WrittenFate, WrittenOne};
use trust::audit::Record;
use trust::{Interaction, Permit};
use wire::Worker;
use wire::courier::{self, Deliver, Fate};

/// The receiver of what the store tells.
pub const RECEIVER: &str = "assess";

const MINUTE: i64 = 60_000_000;
/// How far back a new or corrected plan judges what was measured before it arrived.
const LOOK_BACK: i64 = 30 * 24 * 60 * MINUTE;

/// The courier to the assessment; none where nothing is assessed.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    state.config.assessment.as_ref()?;
    Some(Worker::new("assess", async move {
        let (house, store) = (state.house.clone(), state.desk.store.clone());
        courier::run(store, RECEIVER.to_owned(), Assessing(state), &house).await;
    }))
}

struct Assessing(Arc<State>);

impl Deliver for Assessing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        // One assessment a patient, however many commits are waiting.
        let mut waiting: BTreeMap<LogicalId, Vec<WrittenOne>> = BTreeMap::new();
        let mut whom = Vec::with_capacity(batch.len());
        for due in batch {
            let followed = serde_json::from_slice::<Followed>(&due.body).ok();
            whom.push(followed.as_ref().map(|one| one.patient));
            if let Some(one) = followed {
                waiting.entry(one.patient).or_default().extend(one.written);
            }
        }
        let mut fates = BTreeMap::new();
        for (patient, written) in waiting {
            let fate = match self.0.assess(patient, &written).await {
                Ok(()) => Fate::Done,
                Err(error @ (StoreError::TooCostly | StoreError::Bug)) => {
                    tracing::error!(service = self.0.config.id, %patient, %error, "an assessment was given up");
                    Fate::Dead(error.to_string())
                }
                Err(error) => Fate::Retry(error.to_string()),
            };
            fates.insert(patient, fate);
        }
        let fate = |patient: Option<LogicalId>| {
            let known = patient.and_then(|patient| fates.get(&patient).cloned());
            known.unwrap_or_else(|| Fate::Dead("not a list of changes".into()))
        };
        whom.into_iter().map(fate).collect()
    }
}

impl State {
    /// Assesses whatever waits now, and says how many entries that was. The worker does the same by itself.
    ///
    /// # Errors
    /// Of the store.
    pub async fn assess_waiting(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            let now = (self.house.clock)();
            let due = self.desk.store.outbox_due(RECEIVER, now, 100).await?;
            if due.is_empty() {
                return Ok(count);
            }
            count += due.len();
            let fates = Assessing(self.clone()).deliver(&due).await;
            let done = due.iter().zip(fates);
            let done = done.filter(|(_, fate)| *fate == Fate::Done);
            let done: Vec<_> = done.map(|(due, _)| due.id).collect();
            if done.len() < due.len() {
                return Err(StoreError::Bug);
            }
            self.desk.store.outbox_done(done).await?;
        }
    }

    /// Judges anew the time that these changes of one patient touch.
    async fn assess(&self, patient: LogicalId, written: &[WrittenOne]) -> Result<(), StoreError> {
        let Some(assessment) = &self.config.assessment else {
            return Ok(());
        };
        let store = &self.desk.store;
        let Some(person) = store.patient_of(patient).await? else {
            // Erased since.
            return Ok(());
        };
        let permit = trust::assess(person.clone());
        let Some(touched) = self.touched(&permit, written).await? else {
            return Ok(());
        };
        let plans = case::plans(self, &permit, &person).await?;
        if !plans.unreadable.is_empty() {
            tracing::error!(service = self.config.id, %patient, "a plan has limits that cannot be read: nothing is judged by it");
        }
        let window = i64::from(assessment.news2_window_minutes) * MINUTE;
        let longest = longest_repeat(&plans).max(window);
        // What was measured up to a window later is judged by what changed.
        let judged = Range {
            lo: touched.lo,
            hi: touched.hi.saturating_add(longest),
        };
        let seen = Range {
            lo: touched.lo.saturating_sub(longest),
            hi: judged.hi,
        };
        let case = case::readings(self, &permit, &person, seen).await?;
        let made = self.results(&person, assessment, &case, &plans, judged);
        let puts = self.differences(patient, made, case.held, judged)?;
        if puts.is_empty() {
            return Ok(());
        }
        self.write(person, &permit, puts).await
    }

    fn results(
        &self,
        patient: &PersonIdentifier,
        assessment: &Assessment,
        case: &Case,
        plans: &Case,
        judged: Range,
    ) -> Vec<Made> {
        let owner = Owner {
            orgnr: self.config.owner,
            name: self.config.name.clone(),
        };
        let frame = Frame {
            patient,
            owner: &owner,
            device: &assessment.device,
        };
        let window = i64::from(assessment.news2_window_minutes) * MINUTE;
        let (readings, plans) = (&case.readings, &plans.plans);
        let zones = judge::zones(readings, plans, judged);
        let scores = judge::scores(readings, plans, judged, window);
        let submitted = case.submitted.iter();
        let submitted = submitted.filter(|one| (judged.lo..judged.hi).contains(&one.at.0));
        zones
            .iter()
            .map(|one| frame.zone(one))
            .chain(scores.iter().map(|one| frame.score(one)))
            .chain(submitted.map(|one| frame.submitted((one.id, one.version), one.at, &one.faults)))
            .collect()
    }

    /// What is to be written so that the results of that time are these, and no others.
    fn differences(
        &self,
        patient: LogicalId,
        made: Vec<Made>,
        held: Vec<Held>,
        judged: Range,
    ) -> Result<Vec<Put>, StoreError> {
        let mut held: BTreeMap<String, Held> = held
            .into_iter()
            .filter(|one| (judged.lo..judged.hi).contains(&one.at.0))
            .map(|one| (one.name.clone(), one))
            .collect();
        let mut puts = Vec::new();
        for mut one in made {
            match held.remove(&one.name) {
                None => puts.push(Put::Create {
                    resource: self.checked(patient, &one.resource)?,
                    written_by: None,
                    enrol: false,
                }),
                Some(before) => {
                    let was = plain(&before)?;
                    one.resource["status"] = was["status"].clone();
                    if one.resource != was {
                        one.resource["status"] = "amended".into();
                        puts.push(self.update(patient, before.id, &one.resource)?);
                    }
                }
            }
        }
        // What was made of readings that are not there any more.
        for before in held.into_values() {
            let mut was = plain(&before)?;
            if was["status"] != "entered-in-error" {
                was["status"] = "entered-in-error".into();
                puts.push(self.update(patient, before.id, &was)?);
            }
        }
        Ok(puts)
    }

    fn update(
        &self,
        patient: LogicalId,
        id: LogicalId,
        resource: &Value,
    ) -> Result<Put, StoreError> {
        Ok(Put::Update {
            id,
            expect_version: None,
            resource: self.checked(patient, resource)?,
            written_by: None,
        })
    }

    /// By the rules that every other resource is checked by.
    fn checked(&self, patient: LogicalId, resource: &Value) -> Result<Checked, StoreError> {
        let wrong = |faults: &dyn std::fmt::Debug| {
            tracing::error!(%patient, ?faults, "a result of the assessment does not pass the check");
            StoreError::Bug
        };
        let json = Json::parse(resource.to_string().into_bytes(), Limits::RESOURCE)
            .map_err(|fault| wrong(&fault))?;
        check::check(&json, json.root(), &self.rules()).map_err(|issues| {
            let places: Vec<_> = issues.into_iter().map(|one| one.expression).collect();
            wrong(&places)
        })
    }

    async fn write(
        &self,
        person: PersonIdentifier,
        permit: &Permit,
        puts: Vec<Put>,
    ) -> Result<(), StoreError> {
        let now = (self.house.clock)();
        let request = (self.house.ids)();
        let record = Record::new(now, request, Interaction::Assess, "plan and NEWS2")
            .permitted(permit)
            .about(Some(person));
        let change = Change {
            puts,
            audit: Some(record),
            audit_fill: true,
            ..Change::default()
        };
        self.desk.store.commit(change).await.map(|_| ())
    }

    /// The time that changes touch: when the readings are and were, or from when a plan holds; `None` where they touch
    /// nothing that is assessed, our own results among them.
    async fn touched(
        &self,
        permit: &Permit,
        written: &[WrittenOne],
    ) -> Result<Option<Range>, StoreError> {
        let mut touched: Option<Range> = None;
        let mut seen = BTreeSet::new();
        for one in written {
            let resource = match one.resource_type.as_str() {
                "Observation" => ResourceType::OBSERVATION,
                "CarePlan" => ResourceType::CARE_PLAN,
                _ => continue,
            };
            let before = one.version.saturating_sub(1);
            let versions = match one.fate {
                WrittenFate::Created => vec![one.version],
                WrittenFate::Updated => vec![before, one.version],
                WrittenFate::Withdrawn => vec![before],
            };
            for version in versions {
                if !seen.insert((one.id, version)) {
                    continue;
                }
                let store = &self.desk.store;
                let read = store.read_version(permit, resource, one.id, version).await;
                let stored = match read {
                    Ok(Some(stored)) => stored,
                    // Erased or withdrawn since: another change tells of it.
                    Ok(None) | Err(StoreError::Gone) => continue,
                    Err(error) => return Err(error),
                };
                let json = Json::parse(stored.body, Limits::RESOURCE)
                    .map_err(|_| StoreError::Damaged("a stored resource does not parse"))?;
                if let Some(range) = self.time_of(&json, resource) {
                    touched = Some(match touched {
                        None => range,
                        Some(so_far) => Range {
                            lo: so_far.lo.min(range.lo),
                            hi: so_far.hi.max(range.hi),
                        },
                    });
                }
            }
        }
        Ok(touched)
    }

    fn time_of(&self, json: &Json, resource: ResourceType) -> Option<Range> {
        let root = json.root();
        let zone = &self.config.zone;
        let read = |path: &[&str]| {
            let text = root.path(path)?.str()?;
            parse_date(&text, zone).ok()
        };
        if resource == ResourceType::CARE_PLAN {
            let now: Instant = (self.house.clock)();
            let oldest = now.0.saturating_sub(LOOK_BACK);
            let lo = read(&["period", "start"]).map_or(oldest, |start| start.lo.max(oldest));
            return Some(Range {
                lo: lo.min(now.0),
                hi: now.0.saturating_add(1),
            });
        }
        let glance = fhir::json::Glance::of(json.bytes());
        if case::name(glance).is_some() {
            return None;
        }
        let at = read(&["effectiveDateTime"])
            .or_else(|| read(&["effectiveInstant"]))
            .or_else(|| read(&["effectivePeriod", "start"]))?;
        Some(Range {
            lo: at.lo,
            hi: at.lo.saturating_add(1),
        })
    }
}

/// The longest window in which any plan counts repeated readings, in microseconds.
fn longest_repeat(plans: &Case) -> i64 {
    let rules = plans.plans.iter().flat_map(|plan| &plan.limits.criteria);
    rules
        .filter_map(|one| one.repeated)
        .map(|one| i64::from(one.within_minutes) * MINUTE)
        .max()
        .unwrap_or(0)
}

/// A result as it was written: without what the store adds.
fn plain(held: &Held) -> Result<Value, StoreError> {
    let mut value: Value = serde_json::from_slice(&held.body)
        .map_err(|_| StoreError::Damaged("a stored result does not parse"))?;
    if let Some(members) = value.as_object_mut() {
        members.remove("id");
        members.remove("meta");
    }
    Ok(value)
}
