//! Two open alerts of one patient and topic become one, by the word of who owns both. After a hand-over and back a patient may have two: one
//! that came back, and one that was raised here meanwhile. One stays and stands for both; the other ends, and each refers to the
//! other. From then on the one that stays is the patient's alert of its topic here: what is found later joins it.
//!
//! Not while it is not sure that both are this organisation's: an acceptance that its sender has not heard may still not count
//! (`hand_over.rs`). What was offered of either before is not on offer any more: who accepts it late would have what joined without
//! having heard of it, and is told that it is not theirs.

use super::finding::Finding;
use super::ledger::{Entry, Key, What};
use super::machine::{By, No, Step};
use super::raise::{Found, Raised, Whose};
use super::task::{self, Task, Topic};
use crate::State;
use fhir::ids::LogicalId;
use fhir::plan::Zone;
use serde_json::Value;
use store::{Expect, StoreError};
use wire::contract::alert::Word;

/// The two.
pub struct Two {
    /// The one that stays.
    pub stays: Task,
    /// The one that ends.
    pub ends: Task,
}

/// Why two alerts stay two.
#[derive(Debug)]
pub enum Apart {
    /// What the one that would stay says to it.
    Stays(No),
    /// What the one that would end says to it.
    Ends(No),
    /// They are about different things.
    Topic,
    /// Who offered this one has not heard yet that it was accepted.
    Unheard(LogicalId),
    /// A third is the patient's alert of the topic here.
    Third(LogicalId),
    /// There is no room: for the note, or for what the two rest on.
    Full,
}

/// What joining writes, and what the one that stays is about then.
pub struct Joined {
    /// Both Tasks, the DetectedIssue, and what is waited for.
    pub raised: Raised,
    /// What that is.
    pub issue: About,
}

/// The DetectedIssue as it is now, and its id; `None` where there is none.
type About = Option<(LogicalId, Value)>;

impl State {
    /// Joins the one that ends to the one that stays. Nothing is written here.
    ///
    /// # Errors
    /// Of the store; [`Apart`] where they stay two.
    pub(crate) async fn join(
        &self,
        whose: &Whose<'_>,
        two: &mut Two,
        by: &By<'_>,
        note: &str,
    ) -> Result<Result<Joined, Apart>, StoreError> {
        let Two { stays, ends } = two;
        let stood = match stays.alert.after(Step::Gather, by) {
            Ok(alert) => alert.with(&ends.alert),
            Err(no) => return Ok(Err(Apart::Stays(no))),
        };
        let ended = match ends.alert.after(Step::JoinTo, by) {
            Ok(alert) => alert,
            Err(no) => return Ok(Err(Apart::Ends(no))),
        };
        if stays.topic != ends.topic {
            return Ok(Err(Apart::Topic));
        }
        for task in [&*stays, &*ends] {
            if let Some(offer) = task.came_by
                && self.unheard(Word::Accept, offer).await?
            {
                return Ok(Err(Apart::Unheard(task.id)));
            }
        }
        let key = |what| Key {
            patient: whose.patient,
            what,
        };
        let own = key(What::Alert(stays.topic));
        let held = self.alert_entry(own).await?;
        if let Some((entry, _)) = &held
            && let Some(open) = self.open_alert(whose.permit, own, entry).await?
            && ![stays.id, ends.id].contains(&open.task.id)
        {
            return Ok(Err(Apart::Third(open.task.id)));
        }

        let found = self.found(whose.permit, stays).await?;
        let other = self.found(whose.permit, ends).await?;
        let mut raised = Raised::default();
        let found = (found, other, ends.alert.zone);
        let issue = match self.found_by_both(whose, stays, found, by, &mut raised)? {
            Ok(issue) => issue,
            Err(apart) => return Ok(Err(apart)),
        };
        let Some(person) = by.person else {
            return Err(StoreError::Bug);
        };
        if !stays.note(person, note, by.now) || !ends.note(person, note, by.now) {
            return Ok(Err(Apart::Full));
        }
        let waited = [(stays.what(), stays.id), (ends.what(), ends.id)];
        let role = match ends.alert.level > stays.alert.level {
            true => ends.escalated_to().map(str::to_owned),
            false => None,
        };
        stays.gather(ends.id);
        stays.set(stood, by.now);
        if let Some(role) = role {
            stays.escalate_to(&role);
        }
        ends.joined_to(stays.id);
        ends.set(ended, by.now);
        for task in [&*stays, &*ends] {
            let put = self.new_version(whose.patient, task.id, task.version, task.json())?;
            raised.puts.push(put);
        }

        let due = stays.alert.deadline.map(|end| end.0);
        let entry = Entry {
            task: Some(stays.id),
            due,
        };
        let expect = held.map_or(Expect::Absent, |(_, version)| Expect::Version(version));
        raised.ledger.push(own.write(Some(&entry), expect)?);
        for (what, id) in waited {
            let before = key(what);
            let held = self.alert_entry(before).await?;
            let held = held.filter(|(entry, _)| before != own && entry.task == Some(id));
            if let Some((_, version)) = held {
                let gone = before.write(None, Expect::Version(version))?;
                raised.ledger.push(gone);
                raised.queue.push((before, None));
            }
        }
        raised.queue.push((own, due));
        Ok(Ok(Joined { raised, issue }))
    }

    /// What was found for both, as it then stands for the one that stays.
    fn found_by_both(
        &self,
        whose: &Whose<'_>,
        stays: &mut Task,
        (found, other, gravity): (Option<Found>, Option<Found>, Zone),
        by: &By<'_>,
        raised: &mut Raised,
    ) -> Result<Result<About, Apart>, StoreError> {
        let Some((_, _, other)) = other else {
            // Erased: there is nothing to be seen.
            return Ok(Ok(found.map(|(id, _, issue)| (id, issue))));
        };
        let finding = Finding {
            topic: stays.topic,
            zone: (stays.topic == Topic::Readings).then_some(gravity),
            code: stays.topic.summary(),
            evidence: other["implicated"].as_array().cloned().unwrap_or_default(),
        };
        let (id, version, mut issue) = match found {
            Some((id, version, issue)) => (id, Some(version), issue),
            None => {
                let name = stays.name();
                let issue = self.framed(whose, |frame| frame.issue(&name, &finding, by.now));
                (self.new_id(), None, issue)
            }
        };
        if !task::gather(&mut issue, &other, &finding) {
            return Ok(Err(Apart::Full));
        }
        raised.puts.push(match version {
            Some(version) => self.new_version(whose.patient, id, version, &issue)?,
            None => {
                stays.about(id);
                self.new_resource(whose.patient, id, &issue)?
            }
        });
        Ok(Ok(Some((id, issue))))
    }
}
