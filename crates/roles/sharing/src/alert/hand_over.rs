//! An alert changes hands: from its owner's service to another organisation's, as signed messages over the outbox, until each
//! is taken. It is the sender's until the receiver has accepted; each side keeps a Task of its own, and there is no third.
//!
//! Messages may cross or come twice: an offer is known by its id at both ends, and each end's machine decides what a word means
//! where it stands. When an acceptance and a recall cross, the acceptance counts: who has accepted is already at work. The sender is
//! who says whose it is: the first acceptance that it hears counts, whichever offer that was of, and who accepted later is told so.

use super::finding::Finding;
use super::ledger::{Entry, Key, What};
use super::machine::{Alert, By, Owner, State as Standing, Step};
use super::raise::Whose;
use super::task::{self, Task, Topic};
use crate::{Partner, State};
use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::plan::{ZONE, Zone};
use fhir::resource::ResourceType;
use fhir::systems::ASSESSMENT;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, Expect, LedgerWrite, Put, StoreError};
use trust::Permit;
use trust::wish::{Closed, Wish};
use uuid::Uuid;
use wire::contract::alert::{Message, Word};

/// Ledger of offers, by their id: which Task each is about here, and with whom.
const LEDGER: &str = "alert-offer";
/// References that an offer carries at most, the newest; the whole list is at the sender's.
const MOST_CARRIED: usize = 200;
/// Notes that it carries at most, the newest.
const MOST_NOTES: usize = 20;

/// Told to who accepts too late. Not whose it is.
const TAKEN: &str =
    "it was taken by another before, or is closed, or stands for more than was offered";

/// One offer as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed {
    /// The Task.
    pub task: LogicalId,
    /// Organisation number of the other.
    pub with: String,
    /// Whether it was made here; else it came from the other.
    pub made: bool,
}

impl Handed {
    /// The write that remembers an offer. An offer is made once.
    ///
    /// # Errors
    /// A bug, if it cannot be written.
    pub fn write(&self, offer: Uuid) -> Result<LedgerWrite, StoreError> {
        Ok(LedgerWrite {
            ledger: LEDGER,
            key: offer.as_bytes().to_vec(),
            value: Some(serde_json::to_vec(self).map_err(|_| StoreError::Bug)?),
            expect: Expect::Absent,
        })
    }
}

/// What became of a message.
pub enum Heard {
    /// This is to be written.
    Change(Box<Change>, Vec<(Key, Option<i64>)>),
    /// It was heard before, or says nothing new.
    Known,
    /// It cannot be: why, in words that hold nothing about a person.
    Not(&'static str),
}

impl State {
    /// An offer that is known here.
    pub(crate) async fn handed(&self, offer: Uuid) -> Result<Option<Handed>, StoreError> {
        let held = self.desk.store.ledger_get(LEDGER, offer.as_bytes()).await?;
        let read = |held: store::LedgerEntry| {
            serde_json::from_slice(&held.value)
                .map_err(|_| StoreError::Damaged("an offer does not read again"))
        };
        held.map(read).transpose()
    }

    /// The Bundle of an offer: the Task and the DetectedIssue as they stand here, what they refer to by whole addresses.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn offer(&self, permit: &Permit, task: &Task) -> Result<Value, StoreError> {
        let mut entries = Vec::new();
        let mut told = task.json().clone();
        if let Some(notes) = told["note"].as_array_mut() {
            let old = notes.len().saturating_sub(MOST_NOTES);
            notes.drain(..old);
        }
        entries
            .push(json!({"fullUrl": format!("{}/Task/{}", self.base, task.id), "resource": told}));
        if let Some(id) = task.issue
            && let Some(held) = self.there(permit, ResourceType::DETECTED_ISSUE, id).await?
            && let Some(mut issue) = task::plain(&held)
        {
            if let Some(named) = issue["implicated"].as_array_mut() {
                let old = named.len().saturating_sub(MOST_CARRIED);
                named.drain(..old);
                for one in named {
                    let here = one["reference"].as_str();
                    let here = here.map(|text| task::address(&self.base, text));
                    if let Some(here) = here {
                        one["reference"] = here.into();
                    }
                }
            }
            if let Some(members) = issue.as_object_mut() {
                members.remove("evidence");
            }
            let url = format!("{}/DetectedIssue/{id}", self.base);
            entries.push(json!({"fullUrl": url, "resource": issue}));
        }
        Ok(json!({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    }

    /// What a partner's message comes to here.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn hear(
        &self,
        from: &Partner,
        message: &Message,
    ) -> Result<(Heard, Option<PersonIdentifier>), StoreError> {
        let known = self.handed(message.offer).await?;
        let ours = known
            .as_ref()
            .is_none_or(|one| one.with == from.organisation.to_string());
        match (message.said, known) {
            (_, Some(_)) if !ours => Ok((Heard::Not("no such offer between the two"), None)),
            (Word::Offer, Some(_)) => Ok((Heard::Known, None)),
            (Word::Offer, None) => self.came(from, message).await,
            (Word::Accept, Some(one)) if one.made => {
                self.answered_by(&one, message, Step::Taken).await
            }
            (Word::Decline, Some(one)) if one.made => {
                self.answered_by(&one, message, Step::SentBack).await
            }
            (Word::Recall, Some(one)) if !one.made => {
                self.answered_by(&one, message, Step::CalledBack).await
            }
            _ => Ok((Heard::Not("no such offer between the two"), None)),
        }
    }

    /// A partner offers an alert: a Task of our own, that nobody here has yet.
    async fn came(
        &self,
        from: &Partner,
        message: &Message,
    ) -> Result<(Heard, Option<PersonIdentifier>), StoreError> {
        let not = |why| Ok((Heard::Not(why), None));
        let entries = message
            .bundle
            .as_ref()
            .and_then(|one| one["entry"].as_array());
        let of = |name: &str| {
            let mut all = entries?.iter().map(|one| &one["resource"]);
            all.find(|one| one["resourceType"] == name)
        };
        let Some(told) = of("Task") else {
            return not("an offer holds a Task");
        };
        // What it was found by may have been erased at the sender's.
        let evidence = of("DetectedIssue").and_then(|found| found["implicated"].as_array());
        let mut evidence = evidence.cloned().unwrap_or_default();
        for one in &mut evidence {
            task::brought_home(&self.base, one);
        }
        let identifier = &told["for"]["identifier"];
        let named = |name: &str| identifier[name].as_str().unwrap_or_default();
        let numbers = self.config.person_numbers;
        let Ok(person) = PersonIdentifier::parse(named("system"), named("value"), numbers) else {
            return not("an offer names the patient by number in Task.for");
        };
        if self.config.synthetic_only && !person.value().is_synthetic() {
            return not("this is a demo: only numbers marked synthetic are taken in");
        }
        let codings = told["code"]["coding"].as_array();
        let topic = Topic::ALL.into_iter().find(|topic| {
            codings.is_some_and(|all| {
                all.iter()
                    .any(|one| one["system"] == ASSESSMENT && one["code"] == topic.code())
            })
        });
        let Some(topic) = topic else {
            return not("an offer says what its alert is about in Task.code");
        };
        let zone = told["extension"].as_array().and_then(|all| {
            let zone = all.iter().find(|one| one["url"] == ZONE)?;
            Zone::parse(zone["valueCoding"]["code"].as_str()?)
        });
        let now = (self.house.clock)();
        let zone = zone
            .filter(|zone| *zone > Zone::Green)
            .unwrap_or(Zone::Yellow);
        let wait = self.deadlines().wait(topic, zone);
        let alert = Alert::raised(Standing::Offered, zone, now, wait);
        let permit = trust::assess(person.clone());
        let (task, issue) = (self.new_id(), self.new_id());
        let finding = Finding {
            topic,
            zone: (topic == Topic::Readings).then_some(zone),
            code: topic.summary(),
            evidence,
        };
        // For the log alone: whether there is such a patient is asked when all else is right.
        let whose = Whose {
            patient: task,
            person: &person,
            permit: &permit,
        };
        let name = task.to_string();
        let made = self.framed(&whose, |frame| frame.issue(&name, &finding, now));
        let of = (from, message.offer);
        let mut came = self.framed(&whose, |frame| {
            frame.came(&name, issue, of, (topic, &alert), now)
        });
        let notes = notes(told);
        if !notes.is_empty() {
            came["note"] = notes.into();
        }
        let create = |id, resource: &Value| {
            Ok(Put::CreateAs {
                id,
                resource: self.checked(whose.patient, resource)?,
                written_by: None,
                enrol: self.config.enrol,
            })
        };
        let puts: Result<Vec<Put>, StoreError> = [create(issue, &made), create(task, &came)]
            .into_iter()
            .collect();
        // One wording for both, so that nobody learns by offers that cannot be taken who is a patient here.
        let patient = self.desk.store.patient_id(&person).await?;
        let puts = puts.ok().filter(|_| patient.is_some() || self.config.enrol);
        let Some(puts) = puts else {
            let why = "what the offer holds does not pass the check, or is about nobody this service knows";
            return Ok((Heard::Not(why), patient.map(|_| person)));
        };
        let handed = Handed {
            task,
            with: from.organisation.to_string(),
            made: false,
        };
        let change = Change {
            puts,
            ledger: vec![handed.write(message.offer)?],
            audit_fill: true,
            ..Change::default()
        };
        Ok((Heard::Change(Box::new(change), Vec::new()), Some(person)))
    }

    /// Sees to it that an offer that is here is looked at when its deadline passes. By its own commit, since a patient may be
    /// new here with the offer; whoever offers again sees to it again.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn wait_for(&self, offer: Uuid) -> Result<(), StoreError> {
        let store = &self.desk.store;
        let Some(handed) = self.handed(offer).await?.filter(|one| !one.made) else {
            return Ok(());
        };
        let Some(person) = store.patient_of(handed.task).await? else {
            return Ok(());
        };
        let Some(patient) = store.patient_id(&person).await? else {
            return Ok(());
        };
        let key = Key {
            patient,
            what: What::Offered(offer),
        };
        if self.alert_entry(key).await?.is_some() {
            return Ok(());
        }
        let permit = trust::assess(person);
        let stored = self.there(&permit, ResourceType::TASK, handed.task).await?;
        let Some(task) = stored.as_ref().and_then(Task::read) else {
            return Ok(());
        };
        if !task.alert.state.is_open() {
            return Ok(());
        }
        let entry = Entry {
            task: Some(task.id),
            due: task.alert.deadline.map(|end| end.0),
        };
        let change = Change {
            ledger: vec![key.write(Some(&entry), Expect::Absent)?],
            ..Change::default()
        };
        store.commit(change).await?;
        self.alerts.set(key, entry.due);
        Ok(())
    }

    /// Whether a patient's alerts are open to a partner: `Some(false)` where she has closed them, `None` where it is not known
    /// whether she has.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn open_to(
        &self,
        person: &PersonIdentifier,
        to: &Partner,
    ) -> Result<Option<bool>, StoreError> {
        let now = (self.house.clock)();
        let wishes = self.desk.store.wishes(person).await?;
        let closes = |wish: &Wish| match &wish.closed {
            Closed::Sharing | Closed::Everything => true,
            Closed::Services { services } => {
                let service = ResourceType::TASK.information_service();
                service.is_some_and(|one| services.contains(&one))
            }
            Closed::Organisation { organisation } => {
                self.config.register.main_unit(*organisation) == to.organisation
            }
            Closed::Practitioner { .. } => false,
        };
        if wishes.iter().any(|wish| wish.holds(now) && closes(wish)) {
            return Ok(Some(false));
        }
        let known = &self.desk.facts.known;
        Ok((known.blocks(now) && known.reservations(now)).then_some(true))
    }

    /// The other side of an offer has said what becomes of it.
    async fn answered_by(
        &self,
        handed: &Handed,
        message: &Message,
        step: Step,
    ) -> Result<(Heard, Option<PersonIdentifier>), StoreError> {
        let words = match step {
            Step::Taken => "Tatt imot",
            Step::SentBack => "Ikke tatt imot",
            _ => "Tilbudet er trukket",
        };
        let said = match &message.note {
            Some(note) => format!("{words}: {note}"),
            None => words.to_owned(),
        };
        let other = Owner {
            key: String::new(),
            name: message.by.clone(),
        };
        self.becomes(handed, message.offer, step, (&other, &said))
            .await
    }

    /// What a step that no person here takes makes of an alert that is offered, and what is said of it.
    pub(super) async fn becomes(
        &self,
        handed: &Handed,
        offer: Uuid,
        step: Step,
        (who, said): (&Owner, &str),
    ) -> Result<(Heard, Option<PersonIdentifier>), StoreError> {
        let Some((person, _, mut task)) = self.alert_of(handed.task).await? else {
            // Erased since.
            return Ok((Heard::Known, None));
        };
        // Who accepts first has it, whichever offer that was of; nobody else's acceptance counts. Other answers to an offer that another has
        // taken the place of change nothing.
        let current = !handed.made || task.offered == Some(offer);
        let before = task.alert.state;
        // Nor was what has joined it since among what the earlier offers told of.
        let counts = current || (step == Step::Taken && !task.has_gathered());
        let stands = before.is_open() || (current && before == Standing::HandedOver);
        if step == Step::Taken && !(stands && counts) {
            return Ok((Heard::Not(TAKEN), Some(person)));
        }
        let now = (self.house.clock)();
        let wait = task.wait(self.deadlines());
        let by = By::itself(now, &wait);
        let after = task.alert.after(step, &by);
        let Some(alert) = after.ok().filter(|after| counts && *after != task.alert) else {
            return Ok((Heard::Known, Some(person)));
        };
        let Some(patient) = self.desk.store.patient_id(&person).await? else {
            return Ok((Heard::Known, None));
        };
        let (open, due) = (alert.state.is_open(), alert.deadline.map(|end| end.0));
        let key = Key {
            patient,
            what: task.what(),
        };
        // What another was offered meanwhile is not on offer any more.
        let mut outbox = Vec::new();
        if before == Standing::HandingOver
            && !open
            && let Some(other) = task.offered.filter(|other| *other != offer)
            && let Some(other_handed) = self.handed(other).await?
        {
            outbox.extend(self.recall(other, &other_handed)?);
        }
        let mut partners = self.config.hand_over.iter();
        if step == Step::Taken
            && let Some(taker) = partners.find(|one| one.organisation.to_string() == handed.with)
        {
            task.offer(offer, taker);
        }
        task.set(alert, now);
        task.note(who, said, now);
        let mut change = Change {
            outbox,
            puts: vec![self.new_version(patient, task.id, task.version, task.json())?],
            audit_fill: true,
            ..Change::default()
        };
        let mut queue = Vec::new();
        let entry = self.alert_entry(key).await?;
        if let Some((_, version)) = entry.filter(|(entry, _)| entry.task == Some(task.id)) {
            let entry = Entry {
                task: Some(task.id),
                due,
            };
            let entry = open.then_some(&entry);
            change
                .ledger
                .push(key.write(entry, Expect::Version(version))?);
            queue.push((key, due.filter(|_| open)));
        }
        Ok((Heard::Change(Box::new(change), queue), Some(person)))
    }
}

/// What people at the sender's said of it.
fn notes(told: &Value) -> Vec<Value> {
    let notes = told["note"].as_array();
    let sound = |one: &&Value| one["text"].is_string() && one["authorString"].is_string();
    let own = notes.into_iter().flatten().filter(sound).take(MOST_NOTES);
    own.map(|one| json!({"authorString": one["authorString"], "time": one["time"], "text": one["text"]}))
        .collect()
}
