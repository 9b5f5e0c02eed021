//! What the writing thread is asked, and the answers that wait for the flush.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::commit::Committed;
use crate::errors::StoreError;
use crate::outbox::Report;
use crate::prepare::Ready;

pub(crate) type Answer<T> = oneshot::Sender<T>;

/// What the thread is asked to do.
pub(crate) enum Message {
    Commit {
        changes: Vec<Ready>,
        answer: Answer<Vec<Result<Committed, StoreError>>>,
        room: OwnedSemaphorePermit,
    },
    Report {
        report: Report,
        answer: Answer<Result<(), StoreError>>,
        room: OwnedSemaphorePermit,
    },
    /// A look at the presence of some patients.
    Settle {
        from: i64,
        limit: usize,
        answer: Answer<Result<i64, StoreError>>,
        room: OwnedSemaphorePermit,
    },
}

impl Message {
    /// How many changes it counts for.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Commit { changes, .. } => changes.len(),
            _ => 1,
        }
    }
}

/// An answer that waits for the flush.
pub(super) enum Done {
    Commit(
        Vec<Result<Committed, StoreError>>,
        Answer<Vec<Result<Committed, StoreError>>>,
        OwnedSemaphorePermit,
    ),
    Report(
        Result<(), StoreError>,
        Answer<Result<(), StoreError>>,
        OwnedSemaphorePermit,
    ),
    Settle(
        Result<i64, StoreError>,
        Answer<Result<i64, StoreError>>,
        OwnedSemaphorePermit,
    ),
}

impl Done {
    /// For a message that was not carried out; the group's error answers it.
    pub(super) fn nothing(message: Message) -> Done {
        match message {
            Message::Commit {
                changes,
                answer,
                room,
            } => Done::Commit(
                changes.iter().map(|_| Err(StoreError::Io)).collect(),
                answer,
                room,
            ),
            Message::Report { answer, room, .. } => Done::Report(Err(StoreError::Io), answer, room),
            Message::Settle { answer, room, .. } => Done::Settle(Err(StoreError::Io), answer, room),
        }
    }

    /// With an error of the whole group, every change of it gets that error, whatever it had reached itself.
    pub(super) fn answer(self, error: Option<&StoreError>) {
        match self {
            Done::Commit(results, answer, room) => {
                drop(room);
                let _ = answer.send(match error {
                    None => results,
                    Some(error) => results.iter().map(|_| Err(error.clone())).collect(),
                });
            }
            Done::Settle(result, answer, room) => {
                drop(room);
                let _ = answer.send(error.map_or(result, |error| Err(error.clone())));
            }
            Done::Report(result, answer, room) => {
                drop(room);
                let _ = answer.send(error.map_or(result, |error| Err(error.clone())));
            }
        }
    }
}
