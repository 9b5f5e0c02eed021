//! Raises alerts: what was found becomes a new alert of the patient, or joins the one that is open, as puts and ledger entries
//! for the commit of what it was found by.

use super::finding::Finding;
use super::ledger::{Entry, Key, What};
use super::machine::{Alert, By, State as Standing, Step};
use super::missing;
use super::task::{self, Frame, Task, Topic};
use crate::State;
use crate::assess::{self, Owner, Plan};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::measurement::Kind;
use fhir::plan::Zone;
use fhir::resource::ResourceType;
use fhir::search::{PatientParam, Query};
use fhir::time::{Instant, Range};
use serde_json::Value;
use store::{Expect, LedgerWrite, Put, StoreError};
use trust::Permit;

/// What raising writes.
#[derive(Default)]
pub struct Raised {
    /// Tasks and DetectedIssues.
    pub puts: Vec<Put>,
    /// What is to be looked at when.
    pub ledger: Vec<LedgerWrite>,
    /// The same for the queue, once it is durable.
    pub queue: Vec<(Key, Option<i64>)>,
}

impl Raised {
    /// Both.
    #[must_use]
    pub fn and(mut self, other: Raised) -> Raised {
        self.puts.extend(other.puts);
        self.ledger.extend(other.ledger);
        self.queue.extend(other.queue);
        self
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.ledger.is_empty()
    }
}

/// Whose alert it is, and who may look.
pub struct Whose<'a> {
    /// The Patient.
    pub patient: LogicalId,
    /// Who that is.
    pub person: &'a PersonIdentifier,
    /// The assessment's right.
    pub permit: &'a Permit,
}

/// An alert that is open.
pub(super) struct Open {
    /// Where it stands.
    pub task: Task,
    /// What was found.
    pub issue: Option<Found>,
}

/// A DetectedIssue with its id and its version; there is none where it was erased.
pub(super) type Found = (LogicalId, u64, Value);

impl State {
    /// What these findings write. Nothing is written here.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn raise(
        &self,
        whose: &Whose<'_>,
        findings: &[Finding],
        now: Instant,
    ) -> Result<Raised, StoreError> {
        let mut raised = Raised::default();
        for topic in Topic::ALL {
            let own: Vec<_> = findings.iter().filter(|one| one.topic == topic).collect();
            if own.is_empty() {
                continue;
            }
            let key = Key {
                patient: whose.patient,
                what: What::Alert(topic),
            };
            let entry = self.alert_entry(key).await?;
            let open = match &entry {
                Some((entry, _)) => self.open_alert(whose.permit, key, entry).await?,
                None => None,
            };
            let expect = entry.map_or(Expect::Absent, |(_, version)| Expect::Version(version));
            let (task, due) = match open {
                Some(open) => match self.joined(whose, open, &own, now, &mut raised.puts)? {
                    Some(joined) => joined,
                    None => continue,
                },
                None => self.new_alert(whose, topic, &own, now, &mut raised.puts)?,
            };
            let entry = Entry {
                task: Some(task),
                due,
            };
            raised.ledger.push(key.write(Some(&entry), expect)?);
            raised.queue.push((key, due));
        }
        Ok(raised)
    }

    /// What is written where readings that were missing have come after all, about these times: the alert is told, and stays
    /// open.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn answered(
        &self,
        whose: &Whose<'_>,
        touched: &[Range],
        now: Instant,
    ) -> Result<Raised, StoreError> {
        let mut raised = Raised::default();
        let key = Key {
            patient: whose.patient,
            what: What::Alert(Topic::Missing),
        };
        let Some((entry, version)) = self.alert_entry(key).await? else {
            return Ok(raised);
        };
        let Some(open) = self.open_alert(whose.permit, key, &entry).await? else {
            return Ok(raised);
        };
        let (mut task, Some((id, issue_version, mut issue))) = (open.task, open.issue) else {
            return Ok(raised);
        };
        let expected = issue["implicated"].as_array();
        let expected: Vec<_> = expected
            .into_iter()
            .flatten()
            .filter_map(missing::read)
            .collect();
        let mut told = false;
        for (kind, window) in expected {
            if !touched.iter().any(|range| range.overlaps(&window)) {
                continue;
            }
            let case = assess::readings(self, whose.permit, whose.person, window).await?;
            let mut own = case
                .readings
                .iter()
                .filter(|one| one.curve() == kind.curve());
            if let Some(one) = own.next() {
                told |= task::answered(&mut issue, &one.reference());
            }
        }
        if told {
            let alert = task.alert.clone();
            task.set(alert, now);
            let patient = whose.patient;
            raised
                .puts
                .push(self.new_version(patient, id, issue_version, &issue)?);
            raised
                .puts
                .push(self.new_version(patient, task.id, task.version, task.json())?);
            let same = Entry {
                task: Some(task.id),
                ..entry
            };
            let same = key.write(Some(&same), Expect::Version(version))?;
            raised.ledger.push(same);
        }
        Ok(raised)
    }

    /// What is written where a plan has changed: that she is followed up, and when what the plan expects is looked at next.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn expected(
        &self,
        patient: LogicalId,
        plans: &[Plan],
        now: Instant,
    ) -> Result<Raised, StoreError> {
        let mut raised = Raised::default();
        let key = Key {
            patient,
            what: What::Expected,
        };
        let held = self.alert_entry(key).await?;
        let was = held.as_ref().and_then(|(entry, _)| entry.due);
        let due = match was {
            // Its turn has come and is still to be taken.
            Some(due) if due <= now.0 => Some(due),
            _ => missing::next(plans, &self.config.zone, now).map(|at| at.0),
        };
        let entry = awaited(plans, due, now);
        let due = entry.as_ref().and_then(|entry| entry.due);
        if entry.as_ref() == held.as_ref().map(|(entry, _)| entry) {
            return Ok(raised);
        }
        let expect = held.map_or(Expect::Absent, |(_, version)| Expect::Version(version));
        raised.ledger.push(key.write(entry.as_ref(), expect)?);
        raised.queue.push((key, due));
        Ok(raised)
    }

    /// Keeps in memory when what was raised is to be looked at.
    pub(crate) fn raised(&self, queue: Vec<(Key, Option<i64>)>) {
        for (key, due) in queue {
            self.alerts.set(key, due);
        }
    }

    pub(super) async fn open_alert(
        &self,
        permit: &Permit,
        key: Key,
        entry: &Entry,
    ) -> Result<Option<Open>, StoreError> {
        let task = match entry.task {
            Some(task) => {
                let stored = self.there(permit, ResourceType::TASK, task).await?;
                stored.as_ref().and_then(Task::read)
            }
            None => self.unlisted(key).await?,
        };
        let Some(task) = task.filter(|task| task.alert.state.is_open()) else {
            return Ok(None);
        };
        let issue = self.found(permit, &task).await?;
        Ok(Some(Open { task, issue }))
    }

    /// What was found for an alert.
    pub(crate) async fn found(
        &self,
        permit: &Permit,
        task: &Task,
    ) -> Result<Option<Found>, StoreError> {
        let issue = match task.issue {
            Some(id) => self.there(permit, ResourceType::DETECTED_ISSUE, id).await?,
            None => None,
        };
        Ok(issue.and_then(|held| Some((held.id, held.version, task::plain(&held)?))))
    }

    /// The open alert that an entry was of, whose Task it does not say any more.
    pub(super) async fn unlisted(&self, key: Key) -> Result<Option<Task>, StoreError> {
        let Some(person) = self.desk.store.patient_of(key.patient).await? else {
            return Ok(None);
        };
        let mut query = Query::all(ResourceType::TASK);
        query.patient = Some(PatientParam::Identifier(person.clone()));
        // Those that are open, as their states say it.
        query.status = ["requested", "accepted", "in-progress"]
            .map(str::to_owned)
            .to_vec();
        let permit = trust::assess(person);
        let found = self.desk.store.search(&permit, &query, None).await?;
        let mut tasks = found.matches.iter().filter_map(Task::read);
        Ok(tasks.find(|task| task.alert.state.is_open() && task.what() == key.what))
    }

    /// An alert by its Task's id, with whom it is about and the service's own permit for her; `None` for what was erased.
    pub(super) async fn alert_of(
        &self,
        id: LogicalId,
    ) -> Result<Option<(PersonIdentifier, Permit, Task)>, StoreError> {
        let Some(person) = self.desk.store.patient_of(id).await? else {
            return Ok(None);
        };
        let permit = trust::assess(person.clone());
        let stored = self.there(&permit, ResourceType::TASK, id).await?;
        let task = stored.as_ref().and_then(Task::read);
        Ok(task.map(|task| (person, permit, task)))
    }

    /// A resource that is there: not withdrawn, not erased.
    pub(crate) async fn there(
        &self,
        permit: &Permit,
        resource: ResourceType,
        id: LogicalId,
    ) -> Result<Option<store::Stored>, StoreError> {
        match self.desk.store.read(permit, resource, id).await {
            Err(StoreError::Gone) => Ok(None),
            read => read,
        }
    }

    /// Joins the open alert; `None` where it rests on all of this already.
    fn joined(
        &self,
        whose: &Whose<'_>,
        open: Open,
        findings: &[&Finding],
        now: Instant,
        puts: &mut Vec<Put>,
    ) -> Result<Option<(LogicalId, Option<i64>)>, StoreError> {
        let Open { mut task, issue } = open;
        let wait = task.wait(self.deadlines());
        let new = |finding: &&&Finding| {
            let held = issue.as_ref();
            !held.is_some_and(|(_, _, issue)| task::rests_on(issue, finding))
        };
        let news: Vec<_> = findings.iter().filter(new).copied().collect();
        let Some(first) = news.first() else {
            return Ok(None);
        };
        let mut alert = task.alert.clone();
        for finding in &news {
            let by = By::itself(now, &wait);
            let step = Step::Join(finding.zone);
            alert = alert.after(step, &by).unwrap_or(alert);
        }
        match issue {
            Some((id, version, mut issue)) => {
                for finding in &news {
                    task::join(&mut issue, finding);
                }
                puts.push(self.new_version(whose.patient, id, version, &issue)?);
            }
            None => {
                let id = self.new_id();
                let mut issue = self.framed(whose, |frame| frame.issue(&task.name(), first, now));
                for finding in &news {
                    task::join(&mut issue, finding);
                }
                puts.push(self.new_resource(whose.patient, id, &issue)?);
                task.about(id);
            }
        }
        let due = alert.deadline.map(|end| end.0);
        // A new version in any case: whoever closes it has seen what joined it.
        task.set(alert, now);
        puts.push(self.new_version(whose.patient, task.id, task.version, task.json())?);
        Ok(Some((task.id, due)))
    }

    fn new_alert(
        &self,
        whose: &Whose<'_>,
        topic: Topic,
        findings: &[&Finding],
        now: Instant,
        puts: &mut Vec<Put>,
    ) -> Result<(LogicalId, Option<i64>), StoreError> {
        // VKP's code of what was measured goes before that of a summary.
        let measured = findings.iter().find(|one| one.code == "5.2.1");
        let Some(first) = measured.or(findings.first()) else {
            return Err(StoreError::Bug);
        };
        let zones = findings.iter().filter_map(|one| one.zone);
        let zone = zones.max().unwrap_or(Zone::Yellow);
        let wait = self.deadlines().wait(topic, zone);
        let alert = Alert::raised(Standing::Raised, zone, now, wait);
        let (task, issue) = (self.new_id(), self.new_id());
        let name = task.to_string();
        let mut found = self.framed(whose, |frame| frame.issue(&name, first, now));
        for finding in findings {
            task::join(&mut found, finding);
        }
        puts.push(self.new_resource(whose.patient, issue, &found)?);
        let made = self.framed(whose, |frame| frame.task(&name, issue, topic, &alert, now));
        puts.push(self.new_resource(whose.patient, task, &made)?);
        Ok((task, alert.deadline.map(|end| end.0)))
    }

    pub(super) fn framed(
        &self,
        whose: &Whose<'_>,
        make: impl FnOnce(&Frame<'_>) -> Value,
    ) -> Value {
        let owner = Owner {
            orgnr: self.config.owner,
            name: self.config.name.clone(),
        };
        let device = self.device();
        make(&Frame {
            patient: whose.person,
            owner: &owner,
            device: &device,
        })
    }

    pub(super) fn new_id(&self) -> LogicalId {
        LogicalId::from((self.house.ids)())
    }

    pub(super) fn new_resource(
        &self,
        patient: LogicalId,
        id: LogicalId,
        resource: &Value,
    ) -> Result<Put, StoreError> {
        Ok(Put::CreateAs {
            id,
            resource: self.checked(patient, resource)?,
            written_by: None,
            enrol: false,
        })
    }

    pub(crate) fn new_version(
        &self,
        patient: LogicalId,
        id: LogicalId,
        version: u64,
        resource: &Value,
    ) -> Result<Put, StoreError> {
        Ok(Put::Update {
            id,
            expect_version: Some(version),
            resource: self.checked(patient, resource)?,
            written_by: None,
        })
    }
}

/// The entry of a patient whose plan holds or will, or whose readings are looked at next at `due`. Where nothing is to be looked
/// at, it is when the last plan ends: then she is followed up no more, and takes no place among those who are.
pub fn awaited(plans: &[Plan], due: Option<i64>, now: Instant) -> Option<Entry> {
    let ends = plans.iter().map(|plan| plan.holds.hi);
    let last = ends.max().filter(|end| *end > now.0);
    let end = last.filter(|end| *end < fhir::time::LATEST);
    (last.is_some() || due.is_some()).then_some(Entry {
        task: None,
        due: due.or(end),
    })
}

/// What an alert's DetectedIssue says was expected: of which kind, and when a reading would have been it.
pub fn expected(issue: &store::Stored) -> Vec<(&'static Kind, Range)> {
    let issue = task::plain(issue).unwrap_or_default();
    let expected = issue["implicated"].as_array();
    let expected = expected.into_iter().flatten();
    expected.filter_map(missing::read).collect()
}

/// Whether what was expected is among these readings.
pub fn came((kind, window): &(&Kind, Range), readings: &[assess::Reading]) -> bool {
    let is = |one: &assess::Reading| {
        one.curve() == kind.curve() && (window.lo..window.hi).contains(&one.at.0)
    };
    readings.iter().any(is)
}
