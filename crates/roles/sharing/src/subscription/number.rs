//! Gives events their numbers: 1, 2, … without a gap, each when it is about to be told, and only if it may be told then.
//!
//! So numbers and secrecy meet: what the patient has closed before it was told has no number, and the next one takes its place.
//! What had its number before keeps it, and is told without what it is about, as what was erased.

use super::book::Held;
use super::kept::{Event, KEPT_EVENTS, Kept, LEDGER, Shelf, Status};
use super::notification::{Focus, Shown, Stands};
use super::right::Right;
use crate::State;
use fhir::resource::ResourceType;
use std::sync::Arc;
use store::{LedgerWrite, StoreError};
use trust::Permit;

/// What numbering comes to: nothing of it stands before it is committed with [`Kept::write`].
pub struct Numbered {
    /// The subscription afterwards.
    pub kept: Kept,
    /// The writes.
    pub ledger: Vec<LedgerWrite>,
    /// Who has a number now.
    pub events: Vec<(Event, Shown)>,
    /// How many wait no more.
    pub gone: usize,
    /// Whether more may wait.
    pub left: bool,
}

impl State {
    /// Numbers at most `most` of what waits for a subscription; what it does not open is taken away. While its subscriber is told, no
    /// more than is kept until the endpoint has taken it: what was never delivered gives no place to what came later.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn number(
        &self,
        held: &Held,
        right: &Right,
        most: usize,
    ) -> Result<Numbered, StoreError> {
        let mut kept = (*held.kept).clone();
        let id = kept.id;
        let (mut ledger, mut events, mut gone) = (Vec::new(), Vec::new(), 0);
        let most = match (right, kept.status) {
            (Right::Open { .. }, Status::Active | Status::Requested) => most.min(kept.room()),
            _ => most,
        };
        let waiting = match right {
            Right::Unknown | Right::Over(_) => Vec::new(),
            _ => self.shelf(Shelf::Waiting, id, 0, most).await?,
        };
        let left = waiting.len() == most;
        for (place, event) in waiting {
            gone += 1;
            ledger.push(Shelf::Waiting.write(id, place, None)?);
            let Right::Open { permit, .. } = right else {
                continue;
            };
            let focus = match self.focus(permit, &event).await {
                Ok(None) => continue,
                Ok(focus) => focus,
                // It happened, and what it is about cannot be read: `$events` gives the number alone, and all else goes on.
                Err(StoreError::Damaged(what)) => {
                    tracing::error!(service = self.config.id, subscription = %id, what, "an event is counted and not told: what it is about is damaged");
                    None
                }
                Err(error) => return Err(error),
            };
            kept.told += 1;
            let number = kept.told;
            ledger.push(Shelf::Numbered.write(id, number, Some(&event))?);
            if let Some(old) = number.checked_sub(KEPT_EVENTS).filter(|old| *old > 0) {
                ledger.push(Shelf::Numbered.write(id, old, None)?);
            }
            let shown = Shown {
                number,
                at: event.at,
                focus,
            };
            events.push((event, shown));
        }
        Ok(Numbered {
            kept,
            ledger,
            events,
            gone,
            left,
        })
    }

    /// Whether a subscription rests as it is held in memory. Where another has written it whose word has not come yet, it is held as it
    /// rests from now on, so that nobody turns in vain meanwhile.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn is_still(&self, held: &Held) -> Result<bool, StoreError> {
        let rests = held.kept.write(Some(held.version))?;
        let Some(entry) = self.desk.store.ledger_get(LEDGER, &rests.key).await? else {
            return Ok(false);
        };
        if entry.version > held.version {
            self.subscriptions.newer(Held {
                kept: Arc::new(Kept::read(&entry)?),
                version: entry.version,
            });
        }
        Ok(entry.version == held.version)
    }

    /// Numbered events after a number, as they may be told now.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn numbered(
        &self,
        held: &Held,
        right: &Right,
        after: u64,
        most: usize,
    ) -> Result<Vec<(Event, Shown)>, StoreError> {
        let mut events = Vec::new();
        let kept = self
            .shelf(Shelf::Numbered, held.kept.id, after, most)
            .await?;
        for (number, event) in kept {
            let focus = match right {
                Right::Open { permit, .. } => match self.focus(permit, &event).await {
                    // Said when it got its number.
                    Err(StoreError::Damaged(_)) => None,
                    focus => focus?,
                },
                _ => None,
            };
            let shown = Shown {
                number,
                at: event.at,
                focus,
            };
            events.push((event, shown));
        }
        Ok(events)
    }

    /// What an event is about, if the permit opens it.
    async fn focus(&self, permit: &Permit, event: &Event) -> Result<Option<Focus>, StoreError> {
        let Some(resource) = ResourceType::parse(&event.resource_type) else {
            return Ok(None);
        };
        let read = self.desk.store.read(permit, resource, event.id).await;
        let focus = |version, now| Focus {
            resource_type: event.resource_type.clone(),
            id: event.id,
            version,
            now,
        };
        match read {
            Ok(Some(stored)) if event.new => Ok(Some(focus(stored.version, Stands::New))),
            Ok(stored) => Ok(stored.map(|stored| focus(stored.version, Stands::Changed))),
            // Said by the store only to who might have seen it.
            Err(StoreError::Gone) => {
                Ok(event.gone.map(|version| focus(version, Stands::Withdrawn)))
            }
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
