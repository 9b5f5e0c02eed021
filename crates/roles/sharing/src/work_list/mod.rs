//! The list of the organisation's own patients under follow-up, worst first (decision 0053): who has a plan that holds or an open
//! alert. Each is looked at under a permit of her own, and left out without a trace where she has shut the reader out.
//!
//! Nobody takes the list from everybody else: of whom something does not read, or time is out, the row says that it is not whole; of whom it cannot
//! even be decided whether she may be shown, the list says how many they are.
//!
//! A row's way: `alert/ledger.rs` (who is followed up) → a permit for each → `assess` (readings of a week, results, plans) →
//! `facts.rs` (what they say, pure) → `order.rs` (worst first, pure) → `tag.rs` (what the caller has already) → `api/operation/work_list.rs` (a page
//! of them, each on record).

mod facts;
mod order;
mod reading;
mod tag;

pub use order::worst_first;
pub use tag::Tags;

use crate::State;
use crate::alert::{self, Task, Tasks};
use crate::assess;
use facts::{Facts, facts};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::json::{Json, Limits};
use fhir::resource::{InformationService, ResourceType};
use fhir::search::{PatientParam, Query};
use fhir::time::{Instant, Range};
use reading::{Reading, is_hers};
use std::collections::BTreeSet;
use store::{StoreError, Stored};
use trust::audit::Disclosed;
use trust::{Ask, Permit};
use wire::contract::work_list::{Alert, Row};
use wire::visit::{End, Visit};

/// How far back readings are looked at, in microseconds: a week.
pub const WEEK: i64 = 7 * 24 * 60 * 60_000_000;
/// How far back where a week is too much.
pub const DAY: i64 = 24 * 60 * 60_000_000;
/// Classes of an Encounter (HL7 v3 ActCode) that are an admission.
const ADMITTED: [&str; 3] = ["IMP", "ACUTE", "NONAC"];

/// How long rows are read, and how much longer it is decided who may be shown, from when the question came; in microseconds. Together they
/// leave room within what a client of the house waits for (`wire::client::DEADLINE`).
const READ: i64 = 6_000_000;
const DECIDED: i64 = 2_000_000;

/// Who is on the list.
pub struct Found {
    /// Worst first.
    pub shown: Vec<Shown>,
    /// How many it could not be decided about, so that they are not on it.
    pub undecided: usize,
}

/// One patient of the list.
pub struct Shown {
    /// What the list says.
    pub row: Row,
    /// By which right.
    pub permit: Permit,
    /// What that was decided with.
    pub decided_with: trust::Facts,
    /// What it was taken from.
    pub given: Vec<Disclosed>,
}

impl State {
    /// Every patient under follow-up whom the caller may be shown, worst first. Those who have alerts are read first.
    ///
    /// # Errors
    /// Of the store as a whole.
    pub(crate) async fn work_list(
        &self,
        visit: &Visit<'_>,
        ask: &Ask,
        mut followed: Vec<(LogicalId, Tasks)>,
    ) -> Result<Found, End> {
        let read_until = visit.now.plus_micros(READ);
        let until = read_until.plus_micros(DECIDED);
        followed.sort_by_key(|(_, tasks)| tasks.ids.is_empty() && !tasks.damaged);
        let mut found = Found {
            shown: Vec::new(),
            undecided: 0,
        };
        for (patient, tasks) in followed {
            if (self.house.clock)() > until {
                found.undecided += 1;
                continue;
            }
            let patient = match self.may_be_shown(visit, ask, patient).await {
                Ok(patient) => patient,
                Err(error) if is_hers(&error) => {
                    tracing::warn!(%error, "whether a patient may be on the work list does not read");
                    found.undecided += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(patient) = patient else {
                continue;
            };
            let reading = Reading::until(&self.house.clock, read_until);
            let row = self.row(patient, &tasks, visit.now, reading).await?;
            found.shown.extend(row);
        }
        if found.undecided > 0 {
            let undecided = found.undecided;
            tracing::error!(undecided, "patients are missing from the work list");
        }
        found
            .shown
            .sort_by(|a, b| worst_first(&a.row, &b.row, visit.now));
        Ok(found)
    }

    /// Whether the caller may be shown a patient; `None` leaves her out without a trace.
    async fn may_be_shown(
        &self,
        visit: &Visit<'_>,
        ask: &Ask,
        id: LogicalId,
    ) -> Result<Option<Patient>, StoreError> {
        // Erased since, if she is not there.
        let Some(person) = self.desk.store.patient_of(id).await? else {
            return Ok(None);
        };
        let (Ok(permit), facts) = visit.permit_about(ask, &person).await? else {
            return Ok(None);
        };
        // Without readings and plans a row would say that all is well, or that nothing is known.
        let needed = [InformationService::MEASUREMENTS, InformationService::PLANS];
        let opens = needed.iter().all(|one| permit.opens(Some(*one)));
        Ok(opens.then_some(Patient {
            id,
            person,
            permit,
            decided_with: facts,
        }))
    }

    /// One patient's row; `None` for one who is not followed up now.
    async fn row(
        &self,
        patient: Patient,
        tasks: &Tasks,
        now: Instant,
        mut reading: Reading<'_>,
    ) -> Result<Option<Shown>, StoreError> {
        let Patient {
            id,
            person,
            permit,
            decided_with,
        } = patient;
        reading.less |= tasks.damaged;
        let plans = assess::plans(self, &permit, &person);
        let plans = reading.or_less(plans).await?.plans;
        let mut open = Vec::new();
        for task in &tasks.ids {
            let stored = self.there(&permit, ResourceType::TASK, *task);
            let stored = reading.or_less(stored).await?;
            let task = stored.as_ref().and_then(Task::read);
            // Only alerts are waited for.
            reading.less |= stored.is_some() && task.is_none();
            open.extend(task.filter(|task| task.alert.state.is_open()));
        }
        if !reading.less && open.is_empty() && !plans.iter().any(|plan| plan.holds_at(now)) {
            return Ok(None);
        }
        let since = |back: i64| Range {
            lo: now.0.saturating_sub(back),
            hi: now.0.saturating_add(1),
        };
        let mut read = since(WEEK);
        let week = assess::readings(self, &permit, &person, read);
        let case = match reading.of(week).await? {
            Some(case) => case,
            None => {
                read = since(DAY);
                let day = assess::readings(self, &permit, &person, read);
                reading.or_less(day).await?
            }
        };
        let Facts {
            zone,
            news2,
            trend,
            newest,
            unread: results,
            from,
        } = facts(
            &case.readings,
            &case.held,
            |one| assess::is_limited(&plans, one),
            now,
        );
        reading.less |= results || assess::is_unreadable(&plans, now);
        let mut given: Vec<_> = from
            .into_iter()
            .map(|(resource, id, version)| entry(resource, id, version))
            .collect();
        let mut awaited = Vec::new();
        let mut alerts = Vec::new();
        for task in &open {
            given.push(entry(ResourceType::TASK, task.id, task.version));
            alerts.push(line(task));
            let Some(issue) = task.issue.filter(|_| task.is_about_missing()) else {
                continue;
            };
            let issue = self.there(&permit, ResourceType::DETECTED_ISSUE, issue);
            let issue = reading.or_less(issue).await?;
            if let Some(issue) = issue {
                given.push(of(&issue));
                awaited.extend(alert::expected(&issue));
            }
        }
        awaited.retain(|one| !alert::came(one, &case.readings));
        // What was expected before the time that was read may have come then.
        let before = awaited.iter().filter(|(_, window)| window.lo < read.lo);
        let before = before.fold(None, |all: Option<Range>, (_, window)| {
            let all = all.unwrap_or(*window);
            Some(Range {
                lo: all.lo.min(window.lo),
                hi: all.hi.max(window.hi),
            })
        });
        if let Some(before) = before {
            let earlier = assess::readings(self, &permit, &person, before);
            let earlier = reading.or_less(earlier).await?.readings;
            awaited.retain(|one| !alert::came(one, &earlier));
        }
        let missing: BTreeSet<_> = awaited.iter().map(|(kind, _)| kind.id.as_str()).collect();
        let stored = self.there(&permit, ResourceType::PATIENT, id);
        let stored = reading.or_less(stored).await?;
        given.extend(stored.as_ref().map(of));
        let admitted = self.admission(&permit, &person);
        let admitted = reading.or_less(admitted).await?;
        given.extend(admitted.as_ref().map(of));
        let plan = assess::in_force(&plans, now);
        let pause = plan.and_then(|plan| alert::pause_at(&plan.limits, &self.config.zone, now));
        if let (Some(plan), Some(_)) = (plan, pause) {
            given.push(entry(ResourceType::CARE_PLAN, plan.id, plan.version));
        }
        Ok(Some(Shown {
            row: Row {
                tag: String::new(),
                name: stored.as_ref().and_then(name),
                zone,
                news2,
                trend,
                missing: missing.into_iter().map(str::to_owned).collect(),
                newest,
                admitted: admitted.is_some(),
                pause: pause.map(|pause| pause.text.clone()),
                unread: reading.less,
                alerts,
                patient: person,
            },
            permit,
            decided_with,
            given,
        }))
    }

    /// The patient's admission that is going on now, as far as this service knows it.
    async fn admission(
        &self,
        permit: &Permit,
        person: &PersonIdentifier,
    ) -> Result<Option<Stored>, StoreError> {
        let encounters = ResourceType::parse("Encounter").filter(|one| self.serves(*one));
        let Some(resource) = encounters else {
            return Ok(None);
        };
        let mut query = Query::all(resource);
        query.patient = Some(PatientParam::Identifier(person.clone()));
        query.status = vec!["in-progress".into()];
        let page = self.desk.store.search(permit, &query, None).await?;
        let is_admission = |one: &Stored| {
            let json: Option<serde_json::Value> = serde_json::from_slice(&one.body).ok();
            json.is_some_and(|json| ADMITTED.iter().any(|code| json["class"]["code"] == *code))
        };
        Ok(page.matches.into_iter().find(is_admission))
    }
}

struct Patient {
    id: LogicalId,
    person: PersonIdentifier,
    permit: Permit,
    decided_with: trust::Facts,
}

fn entry(resource: ResourceType, id: LogicalId, version: u64) -> Disclosed {
    Disclosed {
        resource: resource.as_str().to_owned(),
        id: id.to_string(),
        version,
    }
}

fn of(stored: &Stored) -> Disclosed {
    entry(stored.resource_type, stored.id, stored.version)
}

fn line(task: &Task) -> Alert {
    let alert = &task.alert;
    Alert {
        task: task.id.to_string(),
        version: task.version,
        topic: task.topic.code().to_owned(),
        state: alert.state.code().to_owned(),
        zone: (!task.is_about_missing()).then_some(alert.zone),
        owner: alert.owner.as_ref().map(|owner| owner.name.clone()),
        deadline: alert.deadline,
        level: alert.level,
        escalated_to: task.escalated_to().map(str::to_owned),
    }
}

/// The first name of a Patient.
fn name(stored: &Stored) -> Option<String> {
    let json = Json::parse(stored.body.clone(), Limits::BUNDLE).ok()?;
    json.root().get("name")?.items().find_map(|name| {
        if let Some(text) = name.text("text") {
            return Some(text.into_owned());
        }
        let given = name
            .get("given")
            .into_iter()
            .flat_map(|given| given.items());
        let parts: Vec<_> = given
            .filter_map(|part| part.str())
            .chain(name.text("family"))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}
