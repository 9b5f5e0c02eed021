//! What citizens have set at Helsenorge (Personvernkomponenten, PVK) for this organisation: a reservation or an access limitation
//! there is a wish here, in the same ledger as those that are made here, from the replication that brings it to the one that
//! misses it. Decisions ask the ledger alone, so none waits for a service elsewhere; how old the copy is, the rules know
//! ([`trust::wish::Known`]). It must never end a wish that the patient made here, and nothing by half a list.

mod read;

use crate::State;
use fhir::ids::PersonIdentifier;
use fhir::time::Instant;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::{Change, Expect, LedgerWrite, Replica, Store, StoreError};
use tokio::task::JoinSet;
use trust::Interaction;
use trust::audit::Record;
use trust::wish::{Closed, Known, Source};
use uuid::Uuid;
use wire::client::{Party, PeerError};
use wire::{House, Worker};

/// Ledger of how far the copy goes: one entry, microseconds as text.
const LEDGER: &str = "pvk";
const AS_OF: &[u8] = b"as-of";
/// From so many wishes of one setting on, the source is asked again before more than half of them end at once: a list that came
/// back empty by mistake opens nothing.
const MANY: usize = 10;
/// How long it must go on saying so, in microseconds.
const BELIEVED: i64 = 3600 * 1_000_000;
/// Commits under way at once: each patient's change is one, with a record of its own.
const AT_ONCE: usize = 32;

/// How the component is asked, and for what.
#[derive(Clone, Debug)]
pub struct Pvk {
    /// Its base, without a slash at the end.
    pub url: String,
    /// The client it is asked as.
    pub client_file: PathBuf,
    /// Audience of that client's tokens.
    pub audience: String,
    /// Their scope.
    pub scope: String,
    /// This organisation's party code there.
    pub part: String,
    /// Between two replications.
    pub every: Duration,
    /// How old the copy may be, in seconds.
    pub max_age_seconds: i64,
    /// Whether nothing that a setting could close is opened when the copy is older; else it counts as it is.
    pub closes_when_older: bool,
    /// The settings.
    pub definitions: Vec<Definition>,
}

/// A setting that citizens can make there. Debug shows its GUID alone.
#[derive(Clone)]
pub struct Definition {
    /// Its GUID.
    pub id: Uuid,
    /// What it closes here: sharing for a reservation, everything or kinds for an access limitation.
    pub closed: Closed,
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Definition({})", self.id)
    }
}

/// Why a replication did not come to its end. Names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No usable answer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// An answer that cannot be trusted to be whole.
    #[error("{0}")]
    Shape(&'static str),
    /// Our own store.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

/// What a replication changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turned {
    /// Wishes made or changed.
    pub made: usize,
    /// Wishes ended.
    pub ended: usize,
}

/// How old the copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// In seconds; `None`: there never was a whole one.
    pub seconds: Option<i64>,
    /// Whether that is more than it may be.
    pub late: bool,
}

/// The replication of one service.
pub(crate) struct Replication {
    source: Pvk,
    party: Party,
    /// What the rules ask.
    known: Arc<Known>,
    as_of: Mutex<Option<Instant>>,
    /// Settings that more than half of the citizens had taken back at once, and since when the source says so.
    emptied: Mutex<HashMap<[u8; 16], Instant>>,
}

impl Replication {
    /// Reads the client file, and how far the copy went before.
    pub(crate) async fn open(
        source: &Pvk,
        house: &House,
        store: &Store,
    ) -> Result<Replication, crate::OpenError> {
        let party = Party::from_file(
            &source.client_file,
            house.http.clone(),
            house.clock.clone(),
            house.ids.clone(),
        )?;
        let closes = |sharing: bool| {
            let mut all = source.definitions.iter();
            source.closes_when_older
                && all.any(|one| matches!(one.closed, Closed::Sharing) == sharing)
        };
        let known = Known::within(source.max_age_seconds, closes(true), closes(false));
        let kept = store.ledger_get(LEDGER, AS_OF).await?;
        let as_of = match kept {
            None => None,
            Some(entry) => {
                let damaged = StoreError::Damaged("how far the settings go does not read again");
                let text = std::str::from_utf8(&entry.value).ok();
                Some(Instant(
                    text.and_then(|text| text.parse().ok()).ok_or(damaged)?,
                ))
            }
        };
        if let Some(as_of) = as_of {
            known.renewed(as_of);
        }
        Ok(Replication {
            source: source.clone(),
            party,
            known: Arc::new(known),
            as_of: Mutex::new(as_of),
            emptied: Mutex::default(),
        })
    }

    /// What the rules ask.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// Whether so many ends at once are to be believed: few, or said for long.
    fn believes(&self, setting: [u8; 16], held: usize, ended: usize, now: Instant) -> bool {
        let mut emptied = self.emptied.lock().unwrap_or_else(PoisonError::into_inner);
        if held < MANY || ended * 2 <= held {
            emptied.remove(&setting);
            return true;
        }
        let since = emptied.entry(setting).or_insert(now);
        let believed = now.0.saturating_sub(since.0) >= BELIEVED;
        if believed {
            emptied.remove(&setting);
        }
        believed
    }

    fn age(&self, now: Instant) -> Age {
        let as_of = *self.as_of.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = as_of.map(|as_of| now.0.saturating_sub(as_of.0).max(0) / 1_000_000);
        Age {
            seconds,
            late: seconds.is_none_or(|seconds| seconds >= self.source.max_age_seconds),
        }
    }
}

impl State {
    /// How old the copy of citizens' settings is; `None` where none is kept.
    pub fn settings_age(&self) -> Option<Age> {
        let replication = self.replication.as_ref()?;
        Some(replication.age((self.house.clock)()))
    }

    /// Lays what is active at the source beside the copy, and turns the copy.
    ///
    /// # Errors
    /// When the source could not be read whole. What was read is in force all the same; nothing is ended by it.
    pub async fn replicate(&self) -> Result<Turned, Fault> {
        let Some(replication) = &self.replication else {
            return Ok(Turned::default());
        };
        let Replication { source, party, .. } = replication;
        let (store, began) = (&self.desk.store, (self.house.clock)());
        let mut held: HashMap<[u8; 16], HashMap<PersonIdentifier, Replica>> = HashMap::new();
        for one in store.replicas().await? {
            let of = held.entry(one.definition).or_default();
            of.insert(one.patient.clone(), one);
        }
        let (mut turned, mut fault) = (Turned::default(), None);
        for definition in &source.definitions {
            let numbers = self.config.person_numbers;
            let active = read::active(source, party, numbers, definition).await;
            let key = store.definition_key(&definition.id.to_string());
            let before = held.remove(&key).unwrap_or_default();
            let gone = before.keys().filter(|one| !active.citizens.contains(one));
            let whole = active.whole.and_then(|()| {
                let now = (self.house.clock)();
                match replication.believes(key, before.len(), gone.count(), now) {
                    true => Ok(()),
                    false => Err(Fault::Shape(
                        "more than half of the citizens have taken a setting back at once; it is believed when it has stood for an hour",
                    )),
                }
            });
            let whole = match whole {
                Ok(()) => true,
                Err(error) => {
                    fault.get_or_insert(error);
                    false
                }
            };
            let step = self.turn(key, definition, &before, &active.citizens, whole);
            let step = step.await?;
            turned.made += step.made;
            turned.ended += step.ended;
        }
        // What no definition of the configuration stands behind any more.
        for gone in held.into_values().flat_map(HashMap::into_values) {
            self.commit_replica(&gone, Interaction::WishEnded, store.replica_ended(&gone))
                .await?;
            turned.ended += 1;
        }
        match fault {
            Some(fault) => Err(fault),
            None => {
                self.reached(replication, began).await?;
                Ok(turned)
            }
        }
    }

    /// Turns the copy of one definition to who has it there.
    async fn turn(
        &self,
        key: [u8; 16],
        definition: &Definition,
        before: &HashMap<PersonIdentifier, Replica>,
        citizens: &BTreeSet<PersonIdentifier>,
        whole: bool,
    ) -> Result<Turned, StoreError> {
        let store = &self.desk.store;
        let now = (self.house.clock)();
        let mut changes = Vec::new();
        for patient in citizens {
            let same = |had: &Replica| had.closed == definition.closed;
            if before.get(patient).is_some_and(same) {
                continue;
            }
            let replica = Replica {
                definition: key,
                patient: patient.clone(),
                closed: definition.closed.clone(),
            };
            let writes = store.replica_made(&replica, Source::Personvernkomponenten, now)?;
            changes.push((replica, Interaction::WishMade, writes));
        }
        let made = changes.len();
        let gone = before
            .values()
            .filter(|had| whole && !citizens.contains(&had.patient));
        changes.extend(gone.map(|had| {
            let writes = store.replica_ended(had);
            (had.clone(), Interaction::WishEnded, writes)
        }));
        let ended = changes.len() - made;
        let mut under_way = JoinSet::new();
        for (replica, what, writes) in changes {
            if under_way.len() >= AT_ONCE {
                joined(under_way.join_next().await)?;
            }
            let (store, change) = (store.clone(), self.replica_change(&replica, what, writes));
            under_way.spawn(async move { store.commit(change).await.map(|_| ()) });
        }
        while let Some(done) = under_way.join_next().await {
            joined(Some(done))?;
        }
        Ok(Turned { made, ended })
    }

    async fn commit_replica(
        &self,
        replica: &Replica,
        what: Interaction,
        writes: Vec<LedgerWrite>,
    ) -> Result<(), StoreError> {
        let change = self.replica_change(replica, what, writes);
        self.desk.store.commit(change).await.map(|_| ())
    }

    /// A change with its record: who, what, from where.
    fn replica_change(
        &self,
        replica: &Replica,
        what: Interaction,
        writes: Vec<LedgerWrite>,
    ) -> Change {
        let id = (self.house.ids)();
        let asked = "replicated from Personvernkomponenten";
        let mut record = Record::new((self.house.clock)(), id, what, asked);
        record = record.about(Some(replica.patient.clone()));
        record.organisation = Some(self.config.owner);
        Change {
            audit: Some(record),
            ledger: writes,
            retold: vec![replica.patient.clone()],
            ..Change::default()
        }
    }

    /// The copy is whole as of this moment.
    async fn reached(&self, replication: &Replication, as_of: Instant) -> Result<(), StoreError> {
        let change = Change {
            ledger: vec![LedgerWrite {
                ledger: LEDGER,
                key: AS_OF.to_vec(),
                value: Some(as_of.0.to_string().into_bytes()),
                expect: Expect::Any,
            }],
            ..Change::default()
        };
        self.desk.store.commit(change).await?;
        let mut kept = replication
            .as_of
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = Some(as_of);
        replication.known.renewed(as_of);
        Ok(())
    }
}

/// A commit's end; a panic in one is a bug of ours.
fn joined(
    done: Option<Result<Result<(), StoreError>, tokio::task::JoinError>>,
) -> Result<(), StoreError> {
    done.unwrap_or(Ok(Ok(()))).map_err(|_| StoreError::Bug)?
}

/// Replicates again and again; none where nothing is replicated.
pub(crate) fn workers(state: Arc<State>) -> Option<Worker> {
    let every = state.replication.as_ref()?.source.every;
    Some(Worker::new("pvk", async move {
        let pause = state.house.pause.clone();
        let service = state.config.id.clone();
        loop {
            match state.replicate().await {
                Ok(Turned { made: 0, ended: 0 }) => {}
                Ok(Turned { made, ended }) => {
                    tracing::info!(service, made, ended, "citizens' settings were replicated");
                }
                Err(error) => {
                    tracing::warn!(service, %error, "citizens' settings could not be replicated whole");
                }
            }
            if let Some(Age {
                seconds,
                late: true,
            }) = state.settings_age()
            {
                let closes = state
                    .replication
                    .as_ref()
                    .is_some_and(|one| one.source.closes_when_older);
                tracing::error!(
                    service,
                    ?seconds,
                    closes,
                    "the copy of citizens' settings is too old"
                );
            }
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(every) => {}
            }
        }
    }))
}
