//! Settles the numbers that events have had since they were committed, when somebody is about to hear of them: what may be told keeps its
//! number from then on; what may not be told, or is no event after all, gives its own back, and what comes after it moves up.
//!
//! So numbers and secrecy meet: 1, 2, … without a gap, and of what the patient closed before it was told no number tells. What had been
//! told before keeps its number, and is told without what it is about, as what was erased.

use super::book::Held;
use super::kept::{KEPT_EVENTS, Kept, LEDGER, Status};
use super::notification::{Focus, Shown, Stands};
use super::right::Right;
use super::topic::Topic;
use crate::State;
use fhir::resource::ResourceType;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{LedgerWrite, Listed, StoreError, TakenBack, WrittenFate, forgotten};
use trust::Permit;

/// What settling comes to: nothing of it stands before it is committed with [`Kept::write`].
pub struct Settled {
    /// The subscription afterwards.
    pub kept: Kept,
    /// What is done to its list.
    pub moves: Moves,
    /// What has its number for good now.
    pub events: Vec<(Listed, Shown)>,
    /// How many wait no more.
    pub gone: usize,
    /// Whether more may wait.
    pub left: bool,
}

/// What is done to the list of a subscription.
#[derive(Default)]
pub struct Moves {
    /// Old ones are forgotten.
    pub ledger: Vec<LedgerWrite>,
    /// Those that are not told give their numbers back.
    pub back: Option<TakenBack>,
}

impl State {
    /// Settles at most `most` of what waits for a subscription. While its subscriber is told, no
    /// more than is kept until the endpoint has taken it: what was never delivered gives no place to what came later.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn settle(
        &self,
        held: &Held,
        right: &Right,
        most: usize,
    ) -> Result<Settled, StoreError> {
        let mut kept = (*held.kept).clone();
        let id = kept.id;
        let (mut ledger, mut events) = (Vec::new(), Vec::new());
        let mut back = BTreeSet::new();
        let most = match (right, kept.status) {
            (Right::Open { .. }, Status::Active | Status::Requested) => most.min(kept.room()),
            _ => most,
        };
        let waiting = match right {
            Right::Unknown | Right::Over(_) => Vec::new(),
            _ => self.desk.store.listed(id, kept.told, most).await?,
        };
        let (gone, left) = (waiting.len(), waiting.len() == most);
        for (place, event) in waiting {
            let Right::Open { permit, .. } = right else {
                back.insert(place);
                continue;
            };
            let focus = match self.told_of(permit, kept.wanted.topic, &event).await {
                Ok(None) => {
                    back.insert(place);
                    continue;
                }
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
            if let Some(old) = number.checked_sub(KEPT_EVENTS).filter(|old| *old > 0) {
                ledger.push(forgotten(id, old));
            }
            let shown = Shown {
                number,
                at: event.at,
                focus,
            };
            events.push((event, shown));
        }
        let back = (!back.is_empty()).then_some(TakenBack {
            list: id,
            numbers: back,
        });
        Ok(Settled {
            kept,
            moves: Moves { ledger, back },
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

    /// Events after a number that somebody may have heard of, as they may be told now.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn settled(
        &self,
        held: &Held,
        right: &Right,
        after: u64,
        most: usize,
    ) -> Result<Vec<(Listed, Shown)>, StoreError> {
        let mut events = Vec::new();
        let kept = &held.kept;
        let listed = self.desk.store.listed(kept.id, after, most).await?;
        let heard_of = listed
            .into_iter()
            .filter(|(number, _)| *number <= kept.told);
        for (number, event) in heard_of {
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

    /// What is told of something that nobody has heard of yet; nothing, if it is no event after all.
    async fn told_of(
        &self,
        permit: &Permit,
        topic: Topic,
        event: &Listed,
    ) -> Result<Option<Focus>, StoreError> {
        match self.focus(permit, event).await? {
            Some(focus) if topic == Topic::ZoneChange => {
                Ok(self.zone_turned(event).await?.then_some(focus))
            }
            focus => Ok(focus),
        }
    }

    /// What an event is about, if the permit opens it.
    async fn focus(&self, permit: &Permit, event: &Listed) -> Result<Option<Focus>, StoreError> {
        let written = &event.written;
        let Some(resource) = ResourceType::parse(&written.resource_type) else {
            return Ok(None);
        };
        let read = self.desk.store.read(permit, resource, written.id).await;
        let focus = |version, now| Focus {
            resource_type: written.resource_type.clone(),
            id: written.id,
            version,
            now,
        };
        let stands = match written.fate {
            WrittenFate::Created => Stands::New,
            WrittenFate::Updated | WrittenFate::Withdrawn => Stands::Changed,
        };
        match read {
            Ok(stored) => Ok(stored.map(|stored| focus(stored.version, stands))),
            // Said by the store only to who might have seen it.
            Err(StoreError::Gone) => {
                let told = written.fate == WrittenFate::Withdrawn;
                Ok(told.then(|| focus(written.version, Stands::Withdrawn)))
            }
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
