//! What can go wrong in a store, in its own words. No status codes, no SQL, no person, no reading.

use fhir::ids::LogicalId;
use trust::Category;

/// Why a store did not do what it was asked.
///
/// Cloned to every waiting caller when a whole commit group fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A proof, assertion or code of the change was used before (see `trust::Replay`). Nothing was written.
    #[error("used before")]
    Replayed,
    /// What is there stands against what was sent. Nothing of the change was written.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// These puts of a change (by their place) cannot be carried out, each for its reason. Nothing was written.
    #[error("some puts cannot be carried out")]
    Puts(Vec<(usize, StoreError)>),
    /// These puts of a change (by their place) would come out as other versions than the change says. Nothing was written.
    #[error("puts would come out as other versions")]
    Versions(Vec<(usize, u64)>),
    /// The subject is nobody this store knows, and the put did not ask to enrol.
    #[error("the subject is not a patient of this store")]
    UnknownPatient,
    /// The resource has another version than the caller expected.
    #[error("the current version is {current}")]
    VersionMismatch {
        /// Version that the store holds.
        current: u64,
    },
    /// A ledger entry is not what the write expected.
    #[error("the ledger entry is not as expected")]
    LedgerMismatch {
        /// Ledger whose entry differs.
        ledger: &'static str,
        /// Version that the store holds; `None`: no entry.
        current: Option<u64>,
    },
    /// A delivery that a change carries out is not waiting any more: somebody did before. Nothing was written.
    #[error("the delivery is not pending")]
    NotPending,
    /// No such resource, or not one that this permit opens: the two look the same.
    #[error("not found")]
    NotFound,
    /// The resource was withdrawn.
    #[error("withdrawn")]
    Gone,
    /// The change or question itself is not one the store can take (a caller's bug, not a person's).
    #[error("not acceptable: {0}")]
    Invalid(&'static str),
    /// The question would cost more than one question may.
    #[error("too costly")]
    TooCostly,
    /// The question took longer than one question may.
    #[error("out of time")]
    Timeout,
    /// The queue is full; try again later.
    #[error("the store's queue is full")]
    Busy,
    /// The disk or the store's quota is full, or the disk is read-only. Nothing was written; later attempts may work.
    #[error("the store has no room")]
    Full,
    /// A write could not be made durable. The store has stopped writing until it is opened anew.
    #[error("the store has stopped writing after an input/output error")]
    Stopped,
    /// Reading or writing failed below us.
    #[error("input/output error")]
    Io,
    /// What is on disk does not make sense; the store is closed rather than guessed at.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// The file belongs to another organisation or role.
    #[error("the store file belongs to another owner")]
    OtherOwner,
    /// Another process (or another handle) has the store open.
    #[error("the store is already open elsewhere")]
    InUse,
    /// The file was written by a newer program.
    #[error("the store has format {found}, this program knows up to {known}")]
    NewerFormat {
        /// Format of the file.
        found: i64,
        /// Newest format this program reads.
        known: i64,
    },
    /// The bundled SQLite is older than 3.51.3.
    #[error("the SQLite library is older than 3.51.3")]
    OldSqlite,
    /// The key file is missing, malformed, readable by others, or belongs to another store.
    #[error("key file: {0}")]
    Keys(&'static str),
    /// A bug of ours ended this request; others go on.
    #[error("internal error")]
    Bug,
}

/// Ways in which what is stored stands against what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Same identity, other content, and the status marks no correction (CONTRACT section 5).
    #[error("the same reading is stored with other content")]
    Content {
        /// The stored resource.
        existing: LogicalId,
    },
    /// The identity belongs to a resource that was withdrawn, and the content is not the one withdrawn.
    #[error("the same reading was withdrawn")]
    Withdrawn {
        /// The withdrawn resource.
        existing: LogicalId,
    },
    /// An update would give the resource an identity that another resource has.
    #[error("another resource has this identity")]
    Identity {
        /// The resource that has the identity.
        existing: LogicalId,
    },
    /// Another member of a shared register wrote the resource.
    #[error("another member of the register wrote this; only that member changes it")]
    Writer {
        /// The resource.
        existing: LogicalId,
    },
    /// An update would move the resource to another patient.
    #[error("a resource cannot move to another patient")]
    Patient,
}

impl StoreError {
    /// The category of this error. `wire` tells apart from it only [`StoreError::VersionMismatch`] (a failed
    /// precondition) and [`StoreError::Full`] (no room), both by name.
    pub fn category(&self) -> Category {
        match self {
            Self::Replayed => Category::Unauthenticated,
            Self::Conflict(Conflict::Writer { .. }) => Category::Forbidden,
            Self::Puts(faults) => faults
                .first()
                .map_or(Category::Bug, |(_, error)| error.category()),
            Self::Conflict(_)
            | Self::LedgerMismatch { .. }
            | Self::NotPending
            | Self::Versions(_) => Category::Conflict,
            Self::UnknownPatient => Category::Invalid,
            Self::VersionMismatch { .. } => Category::Conflict,
            Self::NotFound => Category::NotFound,
            Self::Gone => Category::Gone,
            Self::TooCostly | Self::Timeout | Self::Busy => Category::Busy,
            Self::Invalid(_) | Self::Bug => Category::Bug,
            Self::Full
            | Self::Stopped
            | Self::Io
            | Self::Damaged(_)
            | Self::OtherOwner
            | Self::InUse
            | Self::NewerFormat { .. }
            | Self::OldSqlite
            | Self::Keys(_) => Category::Unavailable,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    /// Keeps the kind of failure, drops SQLite's text (it may quote statements), and logs its code.
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let code = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => failure.code,
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..) => {
                return Self::Damaged("a column has an unexpected form");
            }
            _ => {
                tracing::error!(kind = "statement", "store statement failed: a bug");
                return Self::Bug;
            }
        };
        match code {
            Code::DiskFull | Code::ReadOnly => Self::Full,
            Code::DatabaseCorrupt | Code::NotADatabase => {
                Self::Damaged("the file is not a sound database")
            }
            Code::SystemIoFailure | Code::CannotOpen | Code::PermissionDenied => {
                tracing::error!(?code, "store input/output failed");
                Self::Io
            }
            Code::DatabaseBusy | Code::DatabaseLocked => Self::Busy,
            Code::OperationInterrupted => Self::TooCostly,
            code => {
                tracing::error!(?code, "store statement failed");
                Self::Bug
            }
        }
    }
}
