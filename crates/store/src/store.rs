//! The store as its callers hold it: cheap to clone, closed when the last clone is dropped.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::index::{Coding, Subject};
use fhir::resource::{Checked, ResourceType};
use fhir::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use trust::Permit;

use crate::audit::{self, AuditEntry, AuditFilter, AuditHead, AuditReport};
use crate::backend::sqlite::message::Message;
use crate::backend::sqlite::open;
use crate::backend::sqlite::reader::Readers;
use crate::backend::sqlite::writer::{Setting, Writer};
use crate::commit::{Change, Committed, Presence, Stored};
use crate::dictionary::Trainer;
use crate::errors::StoreError;
use crate::history::{self, HistoryCursor, HistoryPage, Past};
use crate::identified;
use crate::keys::Keys;
use crate::ledger::{self, LedgerEntry, LedgerPages};
use crate::options::Options;
use crate::outbox::{self, Delivery, DeliveryId, Due, ReceiverState, Report};
use crate::presence::Kinds;
use crate::{Surroundings, handle, patient, prepare, presence, query, seal, series};

/// Changes that may wait for the writer; beyond that, [`StoreError::Busy`].
const WAITING: usize = 8_192;
/// Largest limit of a list question.
const MOST: usize = 10_000;

/// One organisation's store (or one role's).
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    owner: Arc<str>,
    keys: Arc<Keys>,
    inbox: Option<mpsc::Sender<Message>>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
    readers: Readers,
    stopped: Arc<AtomicBool>,
    signal: watch::Receiver<u64>,
    /// Released last: the fields above are dropped first.
    _lock: File,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.0.owner)
    }
}

impl Store {
    /// Opens the store in folder `dir` for `owner` with default [`Options`]; makes it if it is not there.
    ///
    /// Blocks for file access; call it at start. The folder gets `store.db` (and SQLite's side files), `keys`, `lock`.
    ///
    /// # Errors
    /// [`StoreError::OtherOwner`], [`StoreError::InUse`], [`StoreError::NewerFormat`], [`StoreError::Keys`],
    /// [`StoreError::Damaged`], [`StoreError::OldSqlite`], [`StoreError::Io`].
    pub fn open(dir: &Path, owner: &str, surroundings: Surroundings) -> Result<Store, StoreError> {
        Store::open_with(dir, owner, surroundings, Options::default())
    }

    /// As [`Store::open`], with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        dir: &Path,
        owner: &str,
        surroundings: Surroundings,
        options: Options,
    ) -> Result<Store, StoreError> {
        let opened = open::open(dir, owner)?;
        let keys = Arc::new(opened.keys);
        let owner: Arc<str> = owner.into();
        let stopped = Arc::new(AtomicBool::new(false));
        if let Some(bytes) = options.max_bytes {
            let pages = i64::try_from(bytes / 8192).unwrap_or(i64::MAX).max(64);
            opened.writer.pragma_update(None, "max_page_count", pages)?;
        }
        let publishing = Arc::new(options.publishing);
        let seen = (&publishing, &surroundings.clock);
        let most = (options.readers, options.candidates);
        let readers = Readers::start(&opened.path, &keys, &owner, seen, most)?;
        let (inbox, waiting) = mpsc::channel(WAITING + 64);
        let (signal, signalled) = watch::channel(0);
        let trainer = Trainer::start(opened.path.clone());
        let setting = Setting {
            keys: keys.clone(),
            owner: owner.clone(),
            clock: surroundings.clock,
            ids: surroundings.ids,
            announce: options.announce,
            follow: options.follow,
            lists: options.lists,
            publishing,
            keep_delivered: options.keep_delivered_seconds.saturating_mul(1_000_000),
            stopped: stopped.clone(),
            signal,
            trainer,
        };
        let writer = Writer::new(opened.writer, setting)?;
        let writer = std::thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|_| StoreError::Busy)?;
        Ok(Store(Arc::new(Inner {
            owner,
            keys,
            inbox: Some(inbox),
            room: Arc::new(Semaphore::new(WAITING)),
            writer: Some(writer),
            readers,
            stopped,
            signal: signalled,
            _lock: opened.lock,
        })))
    }

    /// Takes note of what has come to be published, or has ceased to be, by time alone or by a new policy: looks at up to
    /// `limit` patients after number `from`, and tells the locator's courier of each turn. Gives the number to go on from,
    /// 0 after the last. With the default policy nothing turns by itself.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn settle_presence(&self, from: i64, limit: usize) -> Result<i64, StoreError> {
        let room = self.room(1)?;
        let (answer, answered) = oneshot::channel();
        self.send(Message::Settle {
            from,
            limit: limit.min(MOST),
            answer,
            room,
        })?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }

    /// The reading threads, for rooms that ask questions of their own.
    pub(crate) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    /// Whom the store was opened for.
    pub fn owner(&self) -> &str {
        &self.0.owner
    }

    /// Has the store stopped writing after an input/output error? It answers nothing that needs an audit record then.
    pub fn has_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Makes a change durable: all of it, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Replayed`], [`StoreError::Conflict`], [`StoreError::UnknownPatient`],
    /// [`StoreError::VersionMismatch`], [`StoreError::LedgerMismatch`], [`StoreError::NotFound`], [`StoreError::Gone`];
    /// [`StoreError::Busy`] and [`StoreError::Full`] when there is no room; [`StoreError::Stopped`].
    pub async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        self.commit_all(vec![change])
            .await
            .pop()
            .unwrap_or(Err(StoreError::Bug))
    }

    /// Makes each change durable or refuses it, each for itself, with one flush for all. Answers in the same order.
    /// An earlier change of the list is seen by the later ones.
    pub async fn commit_all(&self, changes: Vec<Change>) -> Vec<Result<Committed, StoreError>> {
        let count = changes.len();
        if count == 0 {
            return Vec::new();
        }
        let mut early: Vec<Option<StoreError>> = Vec::with_capacity(count);
        let mut ready = Vec::with_capacity(count);
        for change in changes {
            match prepare::change(&self.0.keys, change) {
                Ok(change) => {
                    ready.push(change);
                    early.push(None);
                }
                Err(error) => early.push(Some(error)),
            }
        }
        let results = match self.send_changes(ready).await {
            Ok(results) => results,
            Err(error) => return (0..count).map(|_| Err(error.clone())).collect(),
        };
        let mut results = results.into_iter();
        early
            .into_iter()
            .map(|error| match error {
                Some(error) => Err(error),
                None => results.next().unwrap_or(Err(StoreError::Bug)),
            })
            .collect()
    }

    async fn send_changes(
        &self,
        changes: Vec<prepare::Ready>,
    ) -> Result<Vec<Result<Committed, StoreError>>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.room(changes.len())?;
        let (answer, answered) = oneshot::channel();
        self.send(Message::Commit {
            changes,
            answer,
            room,
        })?;
        // The writer always answers; a closed channel means it ended on the way. Then nobody knows, and we say so.
        answered.await.map_err(|_| StoreError::Stopped)
    }

    fn room(&self, count: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        if self.has_stopped() {
            return Err(StoreError::Stopped);
        }
        let count = u32::try_from(count.min(WAITING)).unwrap_or(u32::MAX);
        self.0
            .room
            .clone()
            .try_acquire_many_owned(count)
            .map_err(|_| StoreError::Busy)
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        let inbox = self.0.inbox.as_ref().ok_or(StoreError::Stopped)?;
        inbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Stopped,
        })
    }

    /// The id by which a resource like this one is known already: the same identity, or the same patient. For choosing
    /// the ids of a change, not for an answer.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn known_as(&self, resource: &Checked) -> Result<Option<LogicalId>, StoreError> {
        let resource_type = resource.resource_type();
        if let (ResourceType::PATIENT, Some(Subject::Person(person))) =
            (resource_type, &resource.index().subject)
        {
            return self.patient_id(person).await;
        }
        let mac = handle::mac_of(&self.0.keys, resource_type, resource.identity());
        self.0
            .readers
            .ask(move |reader| identified::known_as(reader, mac))
            .await
    }

    /// One version of a resource, if the permit opens it. `None` alike for what is not there and what is not opened.
    ///
    /// # Errors
    /// [`StoreError::Gone`] if this version is the withdrawal, or the resource was withdrawn and another than the store's
    /// own system asks.
    pub async fn read_version(
        &self,
        permit: &Permit,
        resource_type: ResourceType,
        id: LogicalId,
        version: u64,
    ) -> Result<Option<Stored>, StoreError> {
        let permit = permit.clone();
        self.0
            .readers
            .ask(move |reader| history::read(reader, &permit, resource_type, id, version))
            .await
    }

    /// One page of versions, newest first, narrowed to what the permit opens. What is committed between two pages is
    /// newer than both; nothing that was there is left out or given twice.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn history(
        &self,
        permit: &Permit,
        past: Past,
        after: Option<HistoryCursor>,
    ) -> Result<HistoryPage, StoreError> {
        let permit = permit.clone();
        self.0
            .readers
            .ask(move |reader| history::history(reader, &permit, &past, after))
            .await
    }

    /// Whom the resource with this id is (or was) about; for a Patient, who it is. For `trust::Ask::patient`, not for an
    /// answer.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn patient_of(&self, id: LogicalId) -> Result<Option<PersonIdentifier>, StoreError> {
        self.0
            .readers
            .ask(move |reader| patient::person_by_id(&reader.connection, id))
            .await
    }

    /// The logical id of a person's Patient resource in this store.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn patient_id(
        &self,
        person: &PersonIdentifier,
    ) -> Result<Option<LogicalId>, StoreError> {
        let person = person.clone();
        self.0
            .readers
            .ask(move |reader| query::patient_id(reader, &person))
            .await
    }

    /// The sets of codings that a person's resources of a type carry here, where the permit opens them: what there is to
    /// search for, never an answer in itself.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn codings(
        &self,
        permit: &Permit,
        resource_type: ResourceType,
        person: &PersonIdentifier,
    ) -> Result<Vec<Vec<Coding>>, StoreError> {
        let (permit, person) = (permit.clone(), person.clone());
        self.0
            .readers
            .ask(move |reader| series::codings(reader, &permit, resource_type, &person))
            .await
    }

    /// A ledger entry.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn ledger_get(
        &self,
        ledger: &'static str,
        key: &[u8],
    ) -> Result<Option<LedgerEntry>, StoreError> {
        let key = key.to_vec();
        self.0
            .readers
            .ask(move |reader| ledger::get(&reader.connection, ledger, &key))
            .await
    }

    /// Ledger entries whose keys start with `prefix`, in order of key, after `after`, at most `limit` (and 10,000).
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn ledger_scan(
        &self,
        ledger: &'static str,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<LedgerEntry>, StoreError> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        let limit = limit.min(MOST);
        self.0
            .readers
            .ask(move |reader| {
                ledger::scan(&reader.connection, ledger, &prefix, after.as_deref(), limit)
            })
            .await
    }

    /// The whole of a ledger below `prefix`, a page of at most `limit` entries after the other; what is written meanwhile behind the place
    /// that was reached is seen, what is written before it is not.
    pub fn ledger_pages(
        &self,
        ledger: &'static str,
        prefix: &[u8],
        limit: usize,
    ) -> LedgerPages<'_> {
        LedgerPages {
            store: self,
            ledger,
            prefix: prefix.to_vec(),
            limit: limit.min(MOST),
            after: None,
            over: false,
        }
    }

    /// Keyed hash of something that must not stand in clear in a ledger key (a person's number, say): 16 bytes, the
    /// same for the same purpose and text in this store only.
    pub fn keyed(&self, purpose: &str, text: &[u8]) -> [u8; 16] {
        self.0.keys.mac("delt keyed", &[purpose.as_bytes(), text])
    }

    /// Deliveries to a receiver that may be tried at `now`, oldest first. Entries of one partition come in order; when
    /// one fails, leave the later ones of the same `partition` in the list alone.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn outbox_due(
        &self,
        receiver: &str,
        now: Instant,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let receiver = receiver.to_owned();
        let limit = limit.min(MOST);
        self.0
            .readers
            .ask(move |reader| {
                let crate::backend::sqlite::reader::Reader {
                    connection,
                    unpacker,
                    ..
                } = reader;
                let unpack = |packed: &[u8]| {
                    unpacker.unpack(packed, |number| {
                        crate::dictionary::bytes(connection, number)
                    })
                };
                outbox::due(connection, unpack, &receiver, now.0, limit)
            })
            .await
    }

    /// The receiver has these.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn outbox_done(&self, ids: Vec<DeliveryId>) -> Result<(), StoreError> {
        self.report(Report::Done(ids)).await
    }

    /// A try failed; not again before `next`. `reason` is kept (500 bytes) and may be shown to the sender.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn outbox_retry(
        &self,
        id: DeliveryId,
        next: Instant,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.report(Report::Retry(id, next.0, reason.to_owned()))
            .await
    }

    /// Given up: a dead letter, which blocks nobody and is kept.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn outbox_dead(&self, id: DeliveryId, reason: &str) -> Result<(), StoreError> {
        self.report(Report::Dead(id, reason.to_owned())).await
    }

    /// Puts a dead letter back in line.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn outbox_revive(&self, id: DeliveryId) -> Result<(), StoreError> {
        self.report(Report::Revive(id)).await
    }

    async fn report(&self, report: Report) -> Result<(), StoreError> {
        let room = self.room(1)?;
        let (answer, answered) = oneshot::channel();
        self.send(Message::Report {
            report,
            answer,
            room,
        })?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// How a receiver stands.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn outbox_state(&self, receiver: &str) -> Result<ReceiverState, StoreError> {
        let receiver = receiver.to_owned();
        self.0
            .readers
            .ask(move |reader| outbox::state(&reader.connection, &receiver))
            .await
    }

    /// Every receiver that was ever sent to.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn outbox_receivers(&self) -> Result<Vec<String>, StoreError> {
        self.0
            .readers
            .ask(|reader| outbox::receivers(&reader.connection))
            .await
    }

    /// What became of the entries with this key, at every receiver; delivered ones too, as long as they are kept.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn outbox_by_key(&self, key: &str) -> Result<Vec<Delivery>, StoreError> {
        let key = key.to_owned();
        self.0
            .readers
            .ask(move |reader| outbox::by_key(&reader.connection, &key))
            .await
    }

    /// The dead letters of a receiver, oldest first; those that were committed after the one with the key `after`, if one is named.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn outbox_dead_letters(
        &self,
        receiver: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (receiver, after) = (receiver.to_owned(), after.map(str::to_owned));
        let limit = limit.min(MOST);
        self.0
            .readers
            .ask(move |reader| {
                outbox::dead_letters(&reader.connection, &receiver, after.as_deref(), limit)
            })
            .await
    }

    /// Changes each time a commit has put something into the outbox, so that a courier need not poll.
    pub fn outbox_signal(&self) -> watch::Receiver<u64> {
        self.0.signal.clone()
    }

    /// Turns of presence after `sequence`, as they stand now, in order: what a locator that lost its memory is told
    /// again. At most `limit`.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn presence_since(
        &self,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Presence>, StoreError> {
        let limit = limit.min(MOST);
        self.0
            .readers
            .ask(move |reader| presence::presence_since(&reader.connection, sequence, limit))
            .await
    }

    /// Which kinds of information are held about a person, and which of them are published now: for the person's own eyes, and
    /// no answer in itself.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn kinds(&self, person: &PersonIdentifier) -> Result<Kinds, StoreError> {
        let person = person.clone();
        self.0
            .readers
            .ask(move |reader| presence::kinds(reader, &person))
            .await
    }

    /// The highest sequence number that a turn of presence has had.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn presence_high_water(&self) -> Result<u64, StoreError> {
        self.0
            .readers
            .ask(|reader| {
                Ok(reader
                    .connection
                    .prepare_cached("SELECT sequence FROM store WHERE one = 1")?
                    .query_row([], |row| row.get(0))?)
            })
            .await
    }

    /// Audit records that the filter means, newest first. Reading the trail is itself to be audited by the caller.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn audit_search(&self, filter: AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
        self.0
            .readers
            .ask(move |reader| audit::search(reader, &filter))
            .await
    }

    /// The end of the audit trail now.
    ///
    /// # Errors
    /// Input/output and damage.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.0
            .readers
            .ask(|reader| audit::head(&reader.connection))
            .await
    }

    /// Walks the whole audit trail and says where it is not what was written. `kept` are heads noted earlier, in any order.
    ///
    /// # Errors
    /// Input/output and damage of the file itself; faults of the trail are in the report.
    pub async fn verify_audit(
        &self,
        kept: impl IntoIterator<Item = AuditHead>,
    ) -> Result<AuditReport, StoreError> {
        let kept = kept.into_iter().collect();
        self.0
            .readers
            .ask(move |reader| audit::verify(reader, kept))
            .await
    }

    /// Seals bytes for a client to bring back (a paging link). Tells the client nothing, and opens only here.
    ///
    /// # Errors
    /// [`StoreError::Bug`] if the machine has no randomness.
    pub fn seal(&self, plain: &[u8]) -> Result<String, StoreError> {
        seal::seal(&self.0.keys, &self.0.owner, plain)
    }

    /// Opens what [`Store::seal`] of this store made; `None` for anything else.
    pub fn unseal(&self, text: &str) -> Option<Vec<u8>> {
        seal::unseal(&self.0.keys, &self.0.owner, text)
    }
}

impl Drop for Inner {
    /// Lets the writer finish what waits, then ends the threads.
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
