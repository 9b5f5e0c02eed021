//! Carries out assessments: hears from the store what changed about whom, judges that time anew, and writes what differs.
//!
//! What is written is a function of what is stored, so that hearing of a change twice, late or in another order does no harm.

use super::case::{self, Case};
use super::reading::{self, Reading};
use super::result::{Frame, Held, Made};
use super::uncovered::{Gone, uncovered};
use super::unexpected::unexpected;
use super::{Assessment, Owner, judge};
use crate::alert::{Candidate, Raised, Whose, current, fresh, gravity, pause_at};
use crate::{State, feed};
use fhir::check;
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::json::{Glance, Json, Limits};
use fhir::resource::{Checked, ResourceType};
use fhir::time::{Instant, Range, parse_date};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::{Change, Due, Followed, Put, StoreError, WrittenFate};
use trust::audit::Record;
use trust::{Interaction, Permit};
use wire::Worker;
use wire::courier::{self, Deliver, Fate};

/// The receiver of what the store tells.
pub const RECEIVER: &str = "assess";

const MINUTE: i64 = 60_000_000;
/// How far back a new or corrected plan judges what was measured before it arrived.
const LOOK_BACK: i64 = 30 * 24 * 60 * MINUTE;

/// How long a reading may bear on what others mean: a flow of oxygen, and which of a day's readings was the one that was asked for. A day
/// has 25 hours at most.
const DAY: i64 = 25 * 60 * MINUTE;

/// Longest time that is looked at in one go: what is far apart is judged apart, so that no list of readings grows with it.
const PIECE: i64 = 48 * 60 * MINUTE;
/// Most results written in one commit, as in a Bundle.
const MOST_AT_ONCE: usize = 500;
/// Status of a result whose reading does not hold any more.
const TAKEN_BACK: &str = "entered-in-error";

/// The courier to the assessment; none where nothing is assessed.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    state.config.assessment.as_ref()?;
    Some(Worker::new("assess", async move {
        let (house, store) = (state.house.clone(), state.desk.store.clone());
        courier::run(store, RECEIVER.to_owned(), Assessing(state), &house).await;
    }))
}

struct Assessing(Arc<State>);

/// How what was made differs from what is held.
struct Differences {
    /// What is to be written; first what says more than was said before.
    puts: Vec<Put>,
    /// What says more.
    candidates: Vec<Candidate>,
    /// Results that end, as they were.
    ended: Vec<Held>,
}

/// What changes touch.
struct Touched {
    /// When readings are and were, and from when plans hold.
    times: Vec<Range>,
    /// Of which curve each reading is, or was before it went.
    curves: BTreeMap<LogicalId, &'static str>,
}

impl Deliver for Assessing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        // One assessment a patient, however many commits are waiting.
        let mut waiting: BTreeMap<LogicalId, Vec<(usize, Followed)>> = BTreeMap::new();
        let mut fates = vec![Fate::Dead("not a list of changes".into()); batch.len()];
        for (place, due) in batch.iter().enumerate() {
            if let Ok(one) = serde_json::from_slice::<Followed>(&due.body) {
                waiting.entry(one.patient).or_default().push((place, one));
            }
        }
        for (patient, entries) in waiting {
            let mut together = Followed {
                patient,
                written: Vec::new(),
                erased: Vec::new(),
            };
            for (_, one) in &entries {
                together.written.extend(one.written.iter().cloned());
                together.erased.extend(one.erased.iter().cloned());
            }
            let done = self.0.assess(&together).await;
            let alone = entries.len() > 1;
            for (place, one) in entries {
                // Where all of them together come to nothing for good, one of them need not keep the others from it.
                let done = match &done {
                    Err(error) if alone && !passes(error) => self.0.assess(&one).await,
                    done => done.clone(),
                };
                let tries = batch.get(place).map_or(0, |due| due.attempts);
                if let Some(fate) = fates.get_mut(place) {
                    *fate = self.fate(patient, done, tries);
                }
            }
        }
        fates
    }
}

/// Tries of what does not pass by itself. After them it is a dead letter, so that it does not keep the patient's later readings
/// from being judged.
const TRIES: u32 = 5;

/// What becomes of an entry of the store's that could not be worked off after so many tries.
pub(crate) fn fate_of(error: &StoreError, tries: u32) -> Fate {
    // What was too costly may have met a clock that leapt while it read.
    let for_good = matches!(error, StoreError::Bug);
    if passes(error) || (!for_good && tries < TRIES) {
        Fate::Retry(error.to_string())
    } else {
        Fate::Dead(error.to_string())
    }
}

/// Whether the same may go well later though nothing about the patient has changed.
fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy | StoreError::Full | StoreError::Stopped | StoreError::Io
    )
}

impl Assessing {
    fn fate(&self, patient: LogicalId, done: Result<(), StoreError>, tries: u32) -> Fate {
        let Err(error) = done else {
            return Fate::Done;
        };
        let fate = fate_of(&error, tries);
        if matches!(fate, Fate::Dead(_)) {
            tracing::error!(service = self.0.config.id, %patient, %error, "an assessment was given up");
        }
        fate
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
    async fn assess(&self, followed: &Followed) -> Result<(), StoreError> {
        let patient = followed.patient;
        let Some(assessment) = &self.config.assessment else {
            return Ok(());
        };
        let store = &self.desk.store;
        let Some(person) = store.patient_of(patient).await? else {
            // Erased since.
            return Ok(());
        };
        let permit = trust::assess(person.clone());
        let Touched { times, curves } = self.touched(&permit, followed).await?;
        if times.is_empty() {
            return Ok(());
        }
        let plans = case::plans(self, &permit, &person).await?;
        if plans.plans.iter().any(|plan| !plan.readable) {
            tracing::error!(service = self.config.id, %patient, "a plan has limits that cannot be read: nothing is judged by it");
        }
        let window = i64::from(assessment.news2_window_minutes) * MINUTE;
        let longest = longest_repeat(&plans).max(window).max(DAY);
        let (mut made, mut held) = (Vec::new(), Vec::new());
        for judged in pieces(times.clone(), longest) {
            let seen = Range {
                lo: judged.lo.saturating_sub(longest),
                hi: judged.hi,
            };
            let case = case::readings(self, &permit, &person, seen).await?;
            made.extend(self.results(&person, assessment, &case, &plans, judged));
            let within = |one: &Held| (judged.lo..judged.hi).contains(&one.at.0);
            held.extend(case.held.into_iter().filter(within));
        }
        let whose = Whose {
            patient,
            person: &person,
            permit: &permit,
        };
        let now = (self.house.clock)();
        let Differences {
            mut puts,
            candidates,
            ended,
        } = self.differences(patient, made, held)?;
        let gone: Vec<_> = ended
            .iter()
            .filter_map(|one| Gone::of(one, &curves))
            .collect();
        // In the commit of what was found by, which is the first.
        let mut raised = self
            .alarmed(&whose, &plans.plans, (candidates, &gone), now)
            .await?
            .and(self.answered(&whose, &times, now).await?)
            .and(self.expected(patient, &plans.plans, now).await?);
        while !(puts.is_empty() && raised.is_empty()) {
            let room = MOST_AT_ONCE.saturating_sub(raised.puts.len()).max(1);
            let rest = puts.split_off(puts.len().min(room));
            self.write(&whose, puts, std::mem::take(&mut raised))
                .await?;
            puts = rest;
        }
        Ok(())
    }

    /// What the results that say more than before write as alerts, and what those uncover whose readings are gone.
    async fn alarmed(
        &self,
        whose: &Whose<'_>,
        plans: &[judge::Plan],
        (mut candidates, gone): (Vec<Candidate>, &[Gone]),
        now: Instant,
    ) -> Result<Raised, StoreError> {
        let moments = candidates.iter().map(|one| one.at);
        let mut moments = moments.chain(gone.iter().map(|one| one.at));
        if !moments.any(|at| fresh(at, now)) {
            return Ok(Raised::default());
        }
        let since = |back: i64| Range {
            lo: now.0.saturating_sub(back),
            hi: fhir::time::LATEST,
        };
        let read = |back| case::readings(self, whose.permit, whose.person, since(back));
        let recent = match read(crate::alert::FRESH).await {
            // Who is measured so often has her newest in the last day.
            Err(StoreError::TooCostly) => read(crate::work_list::DAY).await?,
            recent => recent?,
        };
        let by_time = judge::ordered(recent.readings.iter());
        let hides = |one: &Reading| !judge::escapes_limits(plans, one, &by_time);
        for one in uncovered(gone, &recent, hides, now)? {
            if !candidates.iter().any(|other| other.name == one.name) {
                candidates.push(one);
            }
        }
        let findings = current(candidates, &recent.readings, hides, now);
        self.raise(whose, &findings, now).await
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
        let unexpected = unexpected(readings, plans, &self.config.zone, judged);
        let submitted = case.submitted.iter();
        let submitted = submitted.filter(|one| (judged.lo..judged.hi).contains(&one.at.0));
        zones
            .iter()
            .map(|one| {
                let limits = &one.plan.limits;
                let at = one.reading.at;
                frame.zone(one, pause_at(limits, &self.config.zone, at))
            })
            .chain(scores.iter().map(|one| frame.score(one)))
            .chain(unexpected.iter().map(|one| frame.unexpected(one)))
            .chain(submitted.map(|one| frame.submitted((one.id, one.version), one.at, &one.faults)))
            .collect()
    }

    /// What is to be written so that of what is held, only what was made is left.
    fn differences(
        &self,
        patient: LogicalId,
        made: Vec<Made>,
        held: Vec<Held>,
    ) -> Result<Differences, StoreError> {
        let mut held: BTreeMap<String, Held> = held
            .into_iter()
            .map(|one| (one.name.clone(), one))
            .collect();
        let (mut first, mut puts, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
        for mut one in made {
            let (put, was, id, version) = match held.remove(&one.name) {
                None => {
                    let id = LogicalId::from((self.house.ids)());
                    let put = Put::CreateAs {
                        id,
                        resource: self.checked(patient, &one.resource)?,
                        written_by: None,
                        enrol: false,
                    };
                    (put, None, id, 1)
                }
                Some(before) => {
                    let was = plain(&before)?;
                    one.resource["status"] = was["status"].clone();
                    // What was taken back holds again.
                    if one.resource == was && was["status"] != TAKEN_BACK {
                        continue;
                    }
                    one.resource["status"] = "amended".into();
                    let put = self.update(patient, &before, &one.resource)?;
                    (put, gravity(&was), before.id, before.version + 1)
                }
            };
            match gravity(&one.resource).filter(|zone| Some(*zone) > was) {
                Some(zone) => {
                    let result = format!("Observation/{id}/_history/{version}");
                    candidates.push(Candidate::of(
                        one.name,
                        one.at,
                        zone,
                        &result,
                        &one.resource,
                    ));
                    first.push(put);
                }
                None => puts.push(put),
            }
        }
        // What was made of readings that are not there any more.
        let mut ended = Vec::new();
        for before in held.into_values() {
            let mut was = plain(&before)?;
            if was["status"] != TAKEN_BACK {
                was["status"] = TAKEN_BACK.into();
                puts.push(self.update(patient, &before, &was)?);
                ended.push(before);
            }
        }
        first.append(&mut puts);
        Ok(Differences {
            puts: first,
            candidates,
            ended,
        })
    }

    fn update(
        &self,
        patient: LogicalId,
        before: &Held,
        resource: &Value,
    ) -> Result<Put, StoreError> {
        self.new_version(patient, before.id, before.version, resource)
    }

    /// By the rules that every other resource is checked by.
    pub(crate) fn checked(
        &self,
        patient: LogicalId,
        resource: &Value,
    ) -> Result<Checked, StoreError> {
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
        whose: &Whose<'_>,
        mut puts: Vec<Put>,
        raised: Raised,
    ) -> Result<(), StoreError> {
        let now = (self.house.clock)();
        let request = (self.house.ids)();
        puts.extend(raised.puts);
        let record = Record::new(now, request, Interaction::Assess, "plan and NEWS2")
            .permitted(whose.permit)
            .about(Some(whose.person.clone()));
        let change = Change {
            // What is only to be looked at later tells nobody anything.
            audit: (!puts.is_empty()).then_some(record),
            audit_fill: !puts.is_empty(),
            puts,
            ledger: raised.ledger,
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        self.raised(raised.queue);
        Ok(())
    }

    /// The times that changes touch: when the readings are and were, or from when a plan holds; none where they touch
    /// nothing that is assessed, our own results among them.
    async fn touched(&self, permit: &Permit, followed: &Followed) -> Result<Touched, StoreError> {
        let mut touched = Vec::new();
        let mut curves = BTreeMap::new();
        for one in &followed.erased {
            match (one.resource_type.as_str(), one.at) {
                ("Observation" | "QuestionnaireResponse", Some(at)) => touched.push(Range {
                    lo: at,
                    hi: at.saturating_add(1),
                }),
                ("CarePlan", at) => touched.push(self.since(at)),
                _ => {}
            }
        }
        let mut seen = BTreeSet::new();
        for one in &followed.written {
            let resource = match one.resource_type.as_str() {
                "Observation" => ResourceType::OBSERVATION,
                "QuestionnaireResponse" => ResourceType::QUESTIONNAIRE_RESPONSE,
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
                let json = feed::stored_json(stored.body)
                    .map_err(|_| StoreError::Damaged("a stored resource does not parse"))?;
                touched.extend(self.time_of(&json, resource));
                let kind = reading::kind(resource, Glance::of(json.bytes()));
                curves.extend(kind.map(|kind| (one.id, kind.curve())));
            }
        }
        Ok(Touched {
            times: touched,
            curves,
        })
    }

    /// The time that a plan which began then is judged anew by.
    fn since(&self, start: Option<i64>) -> Range {
        let now: Instant = (self.house.clock)();
        let oldest = now.0.saturating_sub(LOOK_BACK);
        Range {
            lo: start.map_or(oldest, |start| start.max(oldest)).min(now.0),
            hi: now.0.saturating_add(1),
        }
    }

    fn time_of(&self, json: &Json, resource: ResourceType) -> Option<Range> {
        let root = json.root();
        let zone = &self.config.zone;
        let read = |path: &[&str]| {
            let text = root.path(path)?.str()?;
            parse_date(&text, zone).ok()
        };
        if resource == ResourceType::CARE_PLAN {
            return Some(self.since(read(&["period", "start"]).map(|start| start.lo)));
        }
        if resource == ResourceType::QUESTIONNAIRE_RESPONSE {
            let at = read(&["authored"])?;
            return Some(Range {
                lo: at.lo,
                hi: at.lo.saturating_add(1),
            });
        }
        let glance = Glance::of(json.bytes());
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

/// What is to be judged where this was touched: what was measured up to `longest` later too. In order, apart, and none longer
/// than [`PIECE`].
fn pieces(mut touched: Vec<Range>, longest: i64) -> Vec<Range> {
    touched.sort_by_key(|range| range.lo);
    let mut whole: Vec<Range> = Vec::new();
    for range in touched {
        let hi = range.hi.saturating_add(longest);
        match whole.last_mut() {
            Some(last) if range.lo <= last.hi => last.hi = last.hi.max(hi),
            _ => whole.push(Range { lo: range.lo, hi }),
        }
    }
    let cut = |range: Range| {
        let starts = std::iter::successors(Some(range.lo), |lo| lo.checked_add(PIECE));
        starts
            .take_while(move |lo| *lo < range.hi)
            .map(move |lo| Range {
                lo,
                hi: range.hi.min(lo.saturating_add(PIECE)),
            })
    };
    whole.into_iter().flat_map(cut).collect()
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
pub(super) fn plain(held: &Held) -> Result<Value, StoreError> {
    let mut value: Value = serde_json::from_slice(&held.body)
        .map_err(|_| StoreError::Damaged("a stored result does not parse"))?;
    if let Some(members) = value.as_object_mut() {
        members.remove("id");
        members.remove("meta");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE;

    fn moment(at: i64) -> Range {
        Range { lo: at, hi: at + 1 }
    }

    #[test]
    fn what_does_not_pass_by_itself_is_given_up_in_the_end() {
        let dead = |error, tries| matches!(fate_of(&error, tries), Fate::Dead(_));
        for passing in [StoreError::Busy, StoreError::Full, StoreError::Io] {
            assert!(!dead(passing, 1_000));
        }
        assert!(dead(StoreError::Bug, 0) && !dead(StoreError::TooCostly, 0));
        assert!(dead(StoreError::TooCostly, TRIES));
        let damaged = StoreError::Damaged("a stored resource does not parse");
        assert!(!dead(damaged.clone(), TRIES - 1) && dead(damaged, TRIES));
    }

    #[test]
    fn times_far_apart_are_judged_apart_and_a_long_one_in_pieces() {
        let year = 365 * PIECE;
        let near = vec![moment(year), moment(0), moment(HOUR / 2), moment(year)];
        let after = |lo: i64, hi: i64| Range { lo, hi: hi + 1 };
        assert_eq!(
            pieces(near, HOUR),
            [after(0, HOUR / 2 + HOUR), after(year, year + HOUR)]
        );
        let month = pieces(vec![after(0, 30 * PIECE)], HOUR);
        assert_eq!(month.len(), 31);
        assert!(month.windows(2).all(|two| two[0].hi == two[1].lo));
        assert_eq!(
            month.last().map(|last| last.hi),
            Some(30 * PIECE + 1 + HOUR)
        );
        assert!(pieces(Vec::new(), HOUR).is_empty());
    }
}
