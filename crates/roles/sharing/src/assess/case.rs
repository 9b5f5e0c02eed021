//! What an assessment looks at: one patient's readings of a time, what was made of them before, and the plans.

use super::judge::Plan;
use super::reading::{self, NOT_JUDGED, Reading};
use super::result::{Held, NAMES};
use super::submitted::{self, Inconsistency};
use crate::{State, feed};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::index::Coding;
use fhir::json::Glance;
use fhir::measurement::{self, Kind};
use fhir::plan::PlanLimits;
use fhir::resource::ResourceType;
use fhir::search::{DateParam, PatientParam, Prefix, Query};
use fhir::systems;
use fhir::time::{Instant, Range, Zone};
use store::{Met, StoreError, Walker};
use trust::Permit;

/// Most resources looked at for one assessment.
const MOST: usize = 20_000;

/// One patient's case.
#[derive(Default)]
pub struct Case {
    /// Readings of known kinds, in no order.
    pub readings: Vec<Reading>,
    /// Earlier results, in no order.
    pub held: Vec<Held>,
    /// Early warning scores that others submitted, with what is wrong with each.
    pub submitted: Vec<Submitted>,
    /// Plans with limits, those among them whose limits cannot be read too: these must not be taken for no limit.
    pub plans: Vec<Plan>,
}

/// A total that somebody else submitted.
pub struct Submitted {
    /// The Observation.
    pub id: LogicalId,
    /// Its version.
    pub version: u64,
    /// The moment it is about.
    pub at: Instant,
    /// What is wrong with it.
    pub faults: Vec<Inconsistency>,
}

/// Reads the plans, all of them as of one moment.
///
/// # Errors
/// Of the store.
pub async fn plans(
    state: &State,
    permit: &Permit,
    person: &PersonIdentifier,
) -> Result<Case, StoreError> {
    let query = of(person, ResourceType::CARE_PLAN);
    walk(state, permit, vec![(query, Meets::Plan)]).await
}

/// Reads readings and earlier results of a time, all of them as of one moment.
///
/// # Errors
/// Of the store; more than 20 000 resources is [`StoreError::TooCostly`].
pub async fn readings(
    state: &State,
    permit: &Permit,
    person: &PersonIdentifier,
    range: Range,
) -> Result<Case, StoreError> {
    let bound = |prefix, micros: i64| DateParam {
        prefix,
        range: Range {
            lo: micros,
            hi: micros.saturating_add(1),
        },
    };
    let within = |resource, meets| {
        let mut query = of(person, resource);
        query.dates = vec![bound(Prefix::Ge, range.lo), bound(Prefix::Lt, range.hi)];
        (query, meets)
    };
    let wanted = vec![
        within(ResourceType::OBSERVATION, Meets::Nothing),
        within(ResourceType::QUESTIONNAIRE_RESPONSE, Meets::Answers),
    ];
    walk(state, permit, wanted).await
}

fn of(person: &PersonIdentifier, resource: ResourceType) -> Query {
    let mut query = Query::all(resource);
    query.patient = Some(PatientParam::Identifier(person.clone()));
    query
}

async fn walk(
    state: &State,
    permit: &Permit,
    wanted: Vec<(Query, Meets)>,
) -> Result<Case, StoreError> {
    let reader = |(query, meets)| {
        let reader = Reader {
            case: Case::default(),
            meets,
            zone: state.config.zone.clone(),
        };
        (query, reader)
    };
    let wanted = wanted.into_iter().map(reader).collect();
    let walked = state.desk.store.walk(permit, wanted, MOST).await?;
    let mut whole = Case::default();
    for Reader { case, .. } in walked {
        whole.readings.extend(case.readings);
        whole.held.extend(case.held);
        whole.submitted.extend(case.submitted);
        whole.plans.extend(case.plans);
    }
    Ok(whole)
}

/// What the series at hand holds.
#[derive(Clone, Copy)]
enum Meets {
    Nothing,
    Reading(&'static Kind),
    Result,
    Submitted,
    Answers,
    Plan,
}

struct Reader {
    case: Case,
    meets: Meets,
    zone: Zone,
}

impl Walker for Reader {
    fn enters(&mut self, codes: &[Coding]) -> bool {
        if matches!(self.meets, Meets::Plan | Meets::Answers) {
            return true;
        }
        let ours = |coding: &Coding| coding.system.as_deref() == Some(systems::ASSESSMENT);
        self.meets = match measurement::of(codes) {
            _ if codes.iter().any(ours) => Meets::Result,
            Some(kind) if kind.id == "news2" => Meets::Submitted,
            Some(kind) => Meets::Reading(kind),
            None => Meets::Nothing,
        };
        !matches!(self.meets, Meets::Nothing)
    }

    fn meets(&mut self, met: &Met<'_>) -> Result<(), StoreError> {
        match self.meets {
            Meets::Nothing => {}
            Meets::Plan => self.plan(met)?,
            Meets::Reading(kind) => {
                let body = met.body()?;
                let value = Reading::value(kind, met.status, body);
                if let (Some(value), Some(at)) = (value, met.start) {
                    self.case.readings.push(Reading {
                        resource: ResourceType::OBSERVATION,
                        id: met.id,
                        version: met.version(),
                        at,
                        kind: &kind.id,
                        breathed: reading::breathed(kind, &value, body),
                        value,
                    });
                }
            }
            Meets::Answers => {
                let score = Reading::score(met.status, met.body()?);
                if let (Some((kind, value)), Some(at)) = (score, met.start) {
                    self.case.readings.push(Reading {
                        resource: ResourceType::QUESTIONNAIRE_RESPONSE,
                        id: met.id,
                        version: met.version(),
                        at,
                        kind: &kind.id,
                        breathed: None,
                        value,
                    });
                }
            }
            Meets::Result => {
                if let (Some(name), Some(at)) = (name(met.body()?), met.start) {
                    self.case.held.push(Held {
                        id: met.id,
                        version: met.version(),
                        name,
                        at,
                        body: met.stored()?.body,
                    });
                }
            }
            Meets::Submitted => {
                if let Some(at) = met.start.filter(|_| !NOT_JUDGED.contains(&met.status)) {
                    let json = feed::stored_json(met.stored()?.body)
                        .map_err(|_| StoreError::Damaged("a stored score does not parse"))?;
                    self.case.submitted.push(Submitted {
                        id: met.id,
                        version: met.version(),
                        at,
                        faults: submitted::faults(&json),
                    });
                }
            }
        }
        Ok(())
    }
}

impl Reader {
    fn plan(&mut self, met: &Met<'_>) -> Result<(), StoreError> {
        let stored = met.stored()?;
        let json = feed::stored_json(stored.body)
            .map_err(|_| StoreError::Damaged("a stored CarePlan does not parse"))?;
        match PlanLimits::read(json.root()) {
            Ok(limits)
                if limits.criteria.is_empty()
                    && limits.schedule.is_empty()
                    && limits.news2.is_none() => {}
            Ok(limits) => {
                let plan = Plan::of((met.id, met.version(), met.updated()), limits, &self.zone);
                self.case.plans.extend(plan);
            }
            Err(_) => {
                let root = json.root();
                let side = |end: &str| Some(root.path(&["period", end])?.str()?.into_owned());
                let limits = PlanLimits {
                    status: root.text("status").unwrap_or_default().into_owned(),
                    start: side("start"),
                    end: side("end"),
                    ..PlanLimits::default()
                };
                let plan = Plan::of((met.id, met.version(), met.updated()), limits, &self.zone);
                self.case.plans.extend(plan.map(Plan::unreadable));
            }
        }
        Ok(())
    }
}

/// The name by which a result of ours is known; `None` for what is another's.
pub fn name(body: Glance<'_>) -> Option<String> {
    body.get("identifier")?.items().find_map(|one| {
        let system = one.get("system")?.str()?;
        (system == NAMES).then(|| Some(one.get("value")?.str()?.into_owned()))?
    })
}
