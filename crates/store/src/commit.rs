//! What a role hands to the store as one unit, and what it gets back when that unit is durable.

use bytes::Bytes;
use fhir::ids::{LogicalId, OrganisationNumber, PersonIdentifier};
use fhir::resource::{Checked, InformationService, ResourceType};
use fhir::time::Instant;
use trust::Replay;
use trust::audit::Record;

use crate::body;
use crate::errors::StoreError;
use crate::listed::TakenBack;
use crate::outbox::DeliveryId;

/// One unit: all of it becomes durable, or nothing.
#[derive(Default)]
pub struct Change {
    /// Resources to create, correct or withdraw, in order.
    pub puts: Vec<Put>,
    /// A whole series to put in the place of what is there, after the puts; its outcomes follow theirs.
    pub replace: Option<Replace>,
    /// Tries every put although another fails, and tells of all that failed: [`StoreError::Puts`](crate::StoreError::Puts).
    pub every_fault: bool,
    /// The version that a put (by its place) must come out as, since another of the change refers to it; else
    /// [`StoreError::Versions`](crate::StoreError::Versions), and nothing is written.
    pub versions: Vec<(usize, u64)>,
    /// What to erase for good, after the puts. Its counts are added to the audit record's `erasure`.
    pub purge: Option<Purge>,
    /// Ledger entries to write or remove.
    pub ledger: Vec<LedgerWrite>,
    /// Numbers of lists to take back, after the ledger entries: one of those says by its version that nobody has heard of them.
    pub taken_back: Vec<TakenBack>,
    /// Patients of whom the locator is told anew, each kind that is here as a turn of its own: what they have closed has changed.
    pub retold: Vec<PersonIdentifier>,
    /// Things to send to others.
    pub outbox: Vec<OutboxEntry>,
    /// Deliveries that this change is the carrying out of: they are done with it, or it fails with
    /// [`StoreError::NotPending`](crate::StoreError::NotPending) where one is not waiting any more. So what is made of an entry is made
    /// once, whoever is killed when.
    pub carried: Vec<DeliveryId>,
    /// The audit record of the interaction. With one, [`Committed::receipt`] is given.
    pub audit: Option<Record>,
    /// Further records of the same interaction, in the chain after the first: of a list that shows several patients, one about each.
    pub also: Vec<Record>,
    /// Completes the record before it is chained: adds the puts' types, ids and versions to `disclosed`, and, if it
    /// names no patient, the patient that the first put is about.
    pub audit_fill: bool,
    /// This change is such an entry of a bundle: changes of one [`Store::commit_all`](crate::Store::commit_all) whose records
    /// say the same but for what they wrote (one patient's, that is) share one record, which tells their numbers after
    /// `asked` (`Bundle.entry[0-57,60]`).
    pub audit_entry: Option<u32>,
    /// Proofs and assertions that this interaction used; a second use fails the whole change.
    pub replays: Vec<Replay>,
}

/// One resource's way into the store.
pub enum Put {
    /// A new resource, found again by its identity (CONTRACT section 5, "One reading").
    Create {
        /// The checked resource. A `Patient` whose identifier is known becomes a new version of that patient.
        resource: Checked,
        /// The member of a shared register that wrote it; shown as `meta.tag`.
        written_by: Option<OrganisationNumber>,
        /// Makes an unknown subject a patient of this store in the same commit, else [`crate::StoreError::UnknownPatient`].
        enrol: bool,
    },
    /// As `Create`, with an id that was chosen before, so that others of the same change can refer to it. If the resource
    /// is known by another id by now, that is [`Conflict::Identity`](crate::Conflict::Identity).
    CreateAs {
        /// Its id if it is new: never used before.
        id: LogicalId,
        /// As in `Create`.
        resource: Checked,
        /// As in `Create`.
        written_by: Option<OrganisationNumber>,
        /// As in `Create`.
        enrol: bool,
    },
    /// A new version of a known resource. Same content as the current version changes nothing.
    Update {
        /// The resource.
        id: LogicalId,
        /// From `If-Match`; `None`: whatever version is current.
        expect_version: Option<u64>,
        /// The checked new content, of the same type and patient.
        resource: Checked,
        /// As in `Create`.
        written_by: Option<OrganisationNumber>,
    },
    /// Takes a resource out of search and reading. Its versions, its identity and the audit trail stay.
    Withdraw {
        /// The resource.
        id: LogicalId,
        /// The type the caller named; another type under this id is [`crate::StoreError::NotFound`].
        resource_type: ResourceType,
        /// From `If-Match`.
        expect_version: Option<u64>,
    },
}

/// A patient's series as its source has it: afterwards the store holds these resources of it and no others.
pub struct Replace {
    /// Whose.
    pub patient: PersonIdentifier,
    /// Of this type.
    pub resource_type: ResourceType,
    /// Carrying one of these; empty: all of the type.
    pub codes: Vec<fhir::search::TokenParam>,
    /// The series, each resource about the patient, of the type, with one of the codes. What is here with the same content
    /// stays as it is, other content becomes a new version whatever its status, and what is not among them is withdrawn.
    pub resources: Vec<Checked>,
    /// As in [`Put::Create`].
    pub enrol: bool,
}

/// What is to be erased: every version, index row and identity, and what waits to be sent about it. The audit trail stays.
#[derive(Clone)]
pub enum Purge {
    /// One resource. A Patient goes with [`Purge::Patient`] only.
    Resource {
        /// Its type; another type under this id is [`crate::StoreError::NotFound`].
        resource_type: ResourceType,
        /// The resource.
        id: LogicalId,
    },
    /// Everything about a person, the Patient too.
    Patient(PersonIdentifier),
    /// Everything about everybody.
    Store,
}

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Resources, Patients among them.
    pub resources: u64,
    /// Versions, withdrawals among them.
    pub versions: u64,
    /// Patients.
    pub patients: u64,
    /// Entries of the outbox that held something of it.
    pub parcels: u64,
}

/// One keyed entry of a role's ledger. Keys hold no person's number in clear (use a keyed hash).
pub struct LedgerWrite {
    /// The ledger's name.
    pub ledger: &'static str,
    /// The entry's key; ordered bytewise.
    pub key: Vec<u8>,
    /// The new value; `None` removes the entry.
    pub value: Option<Vec<u8>>,
    /// What must be there, else [`crate::StoreError::LedgerMismatch`].
    pub expect: Expect,
}

/// What a ledger write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything or nothing.
    Any,
    /// No entry.
    Absent,
    /// This version (they count 1, 2, … while the entry exists).
    Version(u64),
}

/// Something to send, its body kept once however many receivers it has.
pub struct OutboxEntry {
    /// What it is, for the one who delivers ("observation", "announce").
    pub topic: &'static str,
    /// Who gets it. None: the entry is not written.
    pub receivers: Vec<String>,
    /// Entries of one receiver and partition are delivered in order. Only a keyed hash of it is kept.
    pub partition: String,
    /// By which the sender asks for its state; unique by the caller's choice, without a person's number.
    pub key: String,
    /// What is sent.
    pub body: Bytes,
}

/// A durable change.
#[derive(Debug)]
pub struct Committed {
    /// One outcome per put, in order.
    pub puts: Vec<PutOutcome>,
    /// Patients that were made for unknown subjects.
    pub enrolled: Vec<PutOutcome>,
    /// Information services of a patient that began or ended with this change.
    pub presence: Vec<Presence>,
    /// What a purge erased.
    pub purged: Option<Purged>,
    /// Proof that the change's audit record is durable.
    pub receipt: Option<Receipt>,
}

/// What became of one put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOutcome {
    /// The resource.
    pub id: LogicalId,
    /// Its version: for `Existing` the one that has the sent content.
    pub version: u64,
    /// When that version was committed.
    pub last_updated: Instant,
    /// Its type.
    pub resource_type: ResourceType,
    /// What happened.
    pub fate: Fate,
}

/// What happened to a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A new resource.
    Created,
    /// A new version.
    Updated,
    /// Known already, with this content; nothing was written. (Also if it has been corrected or withdrawn since.)
    Existing,
    /// Withdrawn.
    Withdrawn,
}

/// State of (patient, information service) in this store after a change that turned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The patient.
    pub patient: PersonIdentifier,
    /// The information service.
    pub service: InformationService,
    /// Whether there is data of it now.
    pub present: bool,
    /// The store's own count of such turns; higher is later.
    pub sequence: u64,
}

/// Proof that an audit record is durable. Only a commit makes one; whoever answers needs one.
#[derive(Debug)]
pub struct Receipt {
    pub(crate) sequence: u64,
    pub(crate) hash: [u8; 32],
}

impl Receipt {
    /// Place of the record in the store's audit chain; counts from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The record's link in the chain.
    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// A resource as it rests, ready to be given out.
#[derive(Clone)]
pub struct Stored {
    /// Its logical id.
    pub id: LogicalId,
    /// Its version.
    pub version: u64,
    /// When this version was committed.
    pub last_updated: Instant,
    /// Its type.
    pub resource_type: ResourceType,
    /// The resource as JSON: the bytes that were sent, with `id` and `meta` as the server owns them.
    pub body: Bytes,
}

impl Stored {
    /// Of a body as it rests cut: with the three values that the server owns put back.
    pub(crate) fn of(
        cut: &[u8],
        resource_type: ResourceType,
        id: LogicalId,
        version: u64,
        last_updated: Instant,
    ) -> Result<Stored, StoreError> {
        let (name, number, time) = (
            id.to_string(),
            version.to_string(),
            last_updated.to_string(),
        );
        let body = body::join(cut, &name, &number, &time)
            .ok_or(StoreError::Damaged("a stored body does not open"))?;
        Ok(Stored {
            id,
            version,
            last_updated,
            resource_type,
            body: body.into(),
        })
    }
}

impl std::fmt::Debug for Stored {
    /// Without the body: nobody's reading belongs in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Stored({:?}/{} version {})",
            self.resource_type, self.id, self.version
        )
    }
}
