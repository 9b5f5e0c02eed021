//! What happens by time: a deadline that passes with nobody on it raises the alert's level, in a version of its own and on
//! record; a reading that a plan expects and that is not here by its time raises an alert. One worker, woken at the next time that anything is due; times that have passed while the service was down are
//! caught up with at start.

use super::finding::Finding;
use super::ledger::{Entry, Key, What};
use super::machine::{By, Step};
use super::missing::{self, Expected};
use super::raise::Whose;
use super::task::Topic;
use crate::State;
use crate::assess;
use fhir::time::Instant;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Expect, StoreError};
use trust::Interaction;
use trust::audit::Record;
use wire::Worker;

/// What is done in one go.
const AT_ONCE: usize = 100;
/// Longest wait, so that a clock that was set is noticed.
const LOOK_ANYWAY: Duration = Duration::from_secs(60);
/// Wait after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// How long what failed is left alone, in microseconds.
const LATER: i64 = 60_000_000;
/// How far back missing readings are caught up with after a standstill, in microseconds: a week.
const CATCH_UP: i64 = 7 * 24 * 60 * 60_000_000;

/// The worker; none where nothing is assessed.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    state.config.assessment.as_ref()?;
    Some(Worker::new("alert", async move {
        let pause = state.house.pause.clone();
        while let Err(error) = state.alerts_remembered().await {
            tracing::error!(service = state.config.id, %error, "open alerts cannot be read");
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(AGAIN) => {}
            }
        }
        while !state.house.stop.is_stopped() {
            let done = state.watch_once().await;
            if done > 0 {
                continue;
            }
            let next = state.alerts.next().map(|at| at - (state.house.clock)().0);
            let wait = next.map_or(LOOK_ANYWAY, |micros| {
                Duration::from_micros(u64::try_from(micros).unwrap_or(0))
            });
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = state.alerts.changed() => {}
                () = pause(wait.clamp(Duration::from_millis(1), LOOK_ANYWAY)) => {}
            }
        }
    }))
}

impl State {
    /// Looks at what is due now, and says how much that was. The worker does the same by itself.
    ///
    /// # Errors
    /// Of the store, where the open alerts cannot be read.
    pub async fn watch_due(&self) -> Result<usize, StoreError> {
        self.alerts_remembered().await?;
        let mut count = 0;
        loop {
            match self.watch_once().await {
                0 => return Ok(count),
                done => count += done,
            }
        }
    }

    async fn watch_once(&self) -> usize {
        let now = (self.house.clock)();
        let due = self.alerts.due(now, AT_ONCE);
        for key in &due {
            if let Err(error) = self.look_at(*key, now).await {
                // Somebody's step came between; or the store cannot. It is looked at again.
                tracing::warn!(service = self.config.id, patient = %key.patient, %error, "an alert that was due could not be looked at");
                self.alerts.set(*key, Some(now.0.saturating_add(LATER)));
            }
        }
        due.len()
    }

    async fn look_at(&self, key: Key, now: Instant) -> Result<(), StoreError> {
        let Some((entry, version)) = self.alert_entry(key).await? else {
            self.alerts.set(key, None);
            return Ok(());
        };
        if entry.due.is_none_or(|due| due > now.0) {
            self.alerts.set(key, entry.due);
            return Ok(());
        }
        match key.what {
            What::Alert(_) | What::Offered(_) => {
                self.deadline_passed(key, &entry, version, now).await
            }
            What::Expected => self.looked_for(key, &entry, version, now).await,
        }
    }

    /// Looks for what a plan expected to be here by the time that is due, and when to look next.
    async fn looked_for(
        &self,
        key: Key,
        entry: &Entry,
        version: u64,
        now: Instant,
    ) -> Result<(), StoreError> {
        let at = Instant(entry.due.unwrap_or(now.0));
        let (store, zone) = (&self.desk.store, &self.config.zone);
        let Some(person) = store.patient_of(key.patient).await? else {
            return self.forgotten(key, version).await;
        };
        let permit = trust::assess(person.clone());
        let plans = assess::plans(self, &permit, &person).await?.plans;
        let oldest = now.plus_micros(-CATCH_UP);
        let (at, doubtful) = match at < oldest {
            true => (oldest, Vec::new()),
            false => (at, missing::doubtful(&plans, zone, at)),
        };
        let readings = match missing::span(&doubtful) {
            Some(span) => {
                assess::readings(self, &permit, &person, span)
                    .await?
                    .readings
            }
            None => Vec::new(),
        };
        let missing = missing::missing(doubtful, &readings);
        let whose = Whose {
            patient: key.patient,
            person: &person,
            permit: &permit,
        };
        let found: Vec<_> = match missing.is_empty() {
            true => Vec::new(),
            false => vec![Finding {
                topic: Topic::Missing,
                zone: None,
                code: "5.3.2",
                evidence: missing.iter().map(Expected::named).collect(),
            }],
        };
        let raised = self.raise(&whose, &found, now).await?;
        let due = missing::next(&plans, zone, at).map(|next| next.0);
        let entry = super::raise::awaited(&plans, due, now);
        let due = entry.as_ref().and_then(|entry| entry.due);
        let next = key.write(entry.as_ref(), Expect::Version(version))?;
        let mut change = Change {
            puts: raised.puts,
            ledger: raised.ledger,
            ..Change::default()
        };
        change.ledger.push(next);
        if !change.puts.is_empty() {
            let request = (self.house.ids)();
            let asked = "alert: readings that the plan expects are missing";
            let record = Record::new(now, request, Interaction::Assess, asked);
            let about = Some(person.clone());
            change.audit = Some(record.permitted(&permit).about(about));
            change.audit_fill = true;
        }
        store.commit(change).await?;
        self.raised(raised.queue);
        self.alerts.set(key, due);
        Ok(())
    }

    /// Nobody waits for this any more.
    async fn forgotten(&self, key: Key, version: u64) -> Result<(), StoreError> {
        let change = Change {
            ledger: vec![key.write(None, Expect::Version(version))?],
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        self.alerts.set(key, None);
        Ok(())
    }

    async fn deadline_passed(
        &self,
        key: Key,
        entry: &Entry,
        version: u64,
        now: Instant,
    ) -> Result<(), StoreError> {
        let id = match entry.task {
            Some(id) => Some(id),
            None => self.unlisted(key).await?.map(|task| task.id),
        };
        let Some(id) = id else {
            return self.forgotten(key, version).await;
        };
        let Some((person, permit, mut task)) = self.alert_of(id).await? else {
            // Erased.
            return self.forgotten(key, version).await;
        };
        let wait = task.wait(self.deadlines());
        let by = By::itself(now, &wait);
        let Ok(alert) = task.alert.after(Step::Escalate, &by) else {
            return self.forgotten(key, version).await;
        };
        let due = alert.deadline.map(|end| end.0);
        if alert == task.alert {
            // Not yet: the entry said another time than the Task.
            let entry = Entry {
                task: Some(id),
                due,
            };
            let write = key.write(Some(&entry), Expect::Version(version))?;
            let change = Change {
                ledger: vec![write],
                ..Change::default()
            };
            self.desk.store.commit(change).await?;
            self.alerts.set(key, due);
            return Ok(());
        }
        let level = alert.level;
        task.set(alert, now);
        let mut asked = format!("alert: deadline passed, level {level}");
        if let Some(role) = self.escalated_to(level) {
            task.escalate_to(role);
            asked.push_str(", now for ");
            asked.push_str(role);
        }
        let request = (self.house.ids)();
        let record = Record::new(now, request, Interaction::Assess, &asked)
            .permitted(&permit)
            .about(Some(person));
        let entry = Entry {
            task: Some(task.id),
            due,
        };
        let change = Change {
            puts: vec![self.new_version(key.patient, task.id, task.version, task.json())?],
            ledger: vec![key.write(Some(&entry), Expect::Version(version))?],
            audit: Some(record),
            audit_fill: true,
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        tracing::warn!(service = self.config.id, task = %task.id, level, "an alert waits past its deadline");
        self.alerts.set(key, due);
        Ok(())
    }
}
