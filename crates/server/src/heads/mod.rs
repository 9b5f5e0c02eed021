//! Heads of this process's audit trails, signed at an interval and at stop, and kept elsewhere: in a second folder, and at the
//! anchor as witness (threats-and-faults section 11). A trail that is cut or rewritten afterwards no longer fits them.
//!
//! A role that is a registered client signs with that client's key, so that anybody can verify with what is registered; the
//! common services without one sign with a key of their own, made at first start.

mod believed;
mod kept;
mod key;
mod proof;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod world;

pub use kept::{Kept, read};
pub use proof::{Proof, Wanted, prove};

use crate::config::{self, Config};
use crate::surroundings;
use crate::time::Time;
use anyhow::Context;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{AuditHead, Store};
use trust::encoding::base64url;
use wire::client::{Http, Party, Request};
use wire::contract::witness::{HEAD_TYP, HEADS, HeadStatement, JOSE, WitnessedHeads};
use wire::{Stop, Worker};

/// The stores of a role whose trails are looked after, asked anew each time: a gateway opens some while it runs.
pub type Trails = Arc<dyn Fn() -> Vec<Store> + Send + Sync>;

/// How long the anchor may take to answer as witness; a process that stops does not wait longer either.
const DEADLINE: Duration = Duration::from_secs(2);
/// Largest answer of the witness.
const ANSWER_BYTES: usize = 64 * 1024;

/// Who signs.
enum Signer {
    Client(Party),
    Own(trust::keys::SigningKey),
}

/// Looks after the trails of one role.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    trails: Trails,
    signer: Signer,
    issuer: String,
    folder: PathBuf,
    witness: bool,
    every: Duration,
    http: Http,
    time: Time,
    /// What is kept of each trail. One round at a time: the last one, at stop, may meet one under way.
    turn: tokio::sync::Mutex<HashMap<String, Last>>,
}

/// The newest that is kept of a trail.
#[derive(Default)]
struct Last {
    sequence: u64,
    hash: String,
    /// The newest record that the anchor witnessed.
    witnessed: u64,
}

impl Last {
    /// Whether more was kept of the trail than it has now.
    fn is_beyond(&self, head: &AuditHead) -> bool {
        self.sequence > head.sequence
    }
}

/// How the witness took a head.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It knows it now.
    Witnessed,
    /// It knows a later or another one of this trail.
    Contradicted,
    /// It could not be told, or did not take it; at the next turn.
    Missed,
}

impl Keeper {
    /// For a role's trails, speaking as the client of `client_file` where the role has one.
    ///
    /// # Errors
    /// A key or a folder that cannot be used.
    pub fn new(
        config: &Config,
        trails: Trails,
        client_file: Option<&Path>,
        http: Http,
        time: Time,
    ) -> anyhow::Result<Keeper> {
        let audit = config.audit.clone().unwrap_or_default();
        let folder = config.heads_folder();
        kept::make_folder(&folder)?;
        let signer = match client_file {
            Some(file) => Signer::Client(
                Party::from_file(file, http.clone(), time.clock(), surroundings::ids())
                    .with_context(|| file.display().to_string())?,
            ),
            None => Signer::Own(key::load(&config.data, &folder)?),
        };
        Ok(Keeper(Arc::new(Inner {
            trails,
            signer,
            issuer: config.issuer(),
            folder,
            witness: audit.witness,
            every: Duration::from_secs(audit.every_seconds.into()),
            http,
            time,
            turn: tokio::sync::Mutex::default(),
        })))
    }

    /// Signs and keeps the heads at each interval until the process stops; [`Keeper::finish`] does it a last time.
    pub fn worker(&self, stop: Stop) -> Worker {
        let (keeper, pause) = (self.clone(), self.0.time.pause());
        Worker::new("audit heads", async move {
            loop {
                keeper.keep().await;
                tokio::select! {
                    () = stop.stopped() => return,
                    () = pause(keeper.0.every) => {}
                }
            }
        })
    }

    /// The last heads of a process that stops.
    pub async fn finish(&self) {
        self.keep().await;
    }

    /// Signs each trail's head as it is now, keeps it, and tells the witness. What fails is said aloud and made good at the
    /// next turn: a head builds on nothing but the trail.
    async fn keep(&self) {
        let mut known = self.0.turn.lock().await;
        for store in (self.0.trails)() {
            if let Err(error) = self.keep_one(&store, &mut known).await {
                tracing::error!(
                    owner = store.owner(),
                    "the audit trail's head was not kept: {error:#}"
                );
            }
        }
    }

    async fn keep_one(
        &self,
        store: &Store,
        known: &mut HashMap<String, Last>,
    ) -> anyhow::Result<()> {
        let owner = store.owner();
        let head = store.audit_head().await?;
        if !known.contains_key(owner) {
            known.insert(owner.to_owned(), self.last(owner)?);
        }
        let last = known.entry(owner.to_owned()).or_default();
        if last.is_beyond(&head) {
            tracing::error!(
                owner,
                now = head.sequence,
                kept = last.sequence,
                "the audit trail is shorter than a head that was kept: it was cut, or an old copy was put back"
            );
        }
        let hash = base64url(&head.hash);
        let is_kept = (last.sequence, &last.hash) == (head.sequence, &hash);
        let is_told = last.witnessed == head.sequence || !self.witnesses();
        if is_kept && is_told || head.sequence == 0 && last.sequence == 0 {
            return Ok(());
        }
        // The witness takes only what is fresh: what it missed is signed again for it.
        let signed = self.signed(owner, head)?;
        if !is_kept {
            kept::append(&self.0.folder, owner, &signed)?;
            (last.sequence, last.hash) = (head.sequence, hash);
        }
        if self.witnesses() && self.tell(owner, signed).await? == Told::Witnessed {
            last.witnessed = head.sequence;
        }
        Ok(())
    }

    fn last(&self, owner: &str) -> anyhow::Result<Last> {
        let kept = kept::read(&self.0.folder, owner)?;
        let witnessed = kept.witnessed().last().map_or(0, |one| one.sequence);
        Ok(match kept.heads().last() {
            Some(head) => Last {
                sequence: head.sequence,
                hash: head.hash,
                witnessed,
            },
            None => Last::default(),
        })
    }

    fn witnesses(&self) -> bool {
        self.0.witness && matches!(self.0.signer, Signer::Client(_))
    }

    fn signed(&self, owner: &str, head: AuditHead) -> anyhow::Result<String> {
        let statement = HeadStatement {
            iss: match &self.0.signer {
                Signer::Client(party) => Some(party.client_id().to_owned()),
                Signer::Own(_) => None,
            },
            aud: self.0.issuer.clone(),
            iat: self.0.time.now().seconds(),
            owner: owner.to_owned(),
            sequence: head.sequence,
            hash: base64url(&head.hash),
        };
        let claims = serde_json::to_value(statement)?;
        Ok(match &self.0.signer {
            Signer::Client(party) => party.sign(HEAD_TYP, &claims)?,
            Signer::Own(key) => trust::jws::sign(HEAD_TYP, &claims, key)?,
        })
    }

    /// Tells the witness, and keeps its words beside the head.
    async fn tell(&self, owner: &str, signed: String) -> anyhow::Result<Told> {
        let url = format!("{}{HEADS}", self.0.issuer);
        let request = Request::post(url, JOSE, signed)
            .deadline(DEADLINE)
            .answer_bytes(ANSWER_BYTES);
        let answer = match self.0.http.send(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(owner, %error, "the anchor could not be told of the audit trail's head; at the next turn");
                return Ok(Told::Missed);
            }
        };
        match answer.status.as_u16() {
            200 => {
                for witnessed in answer.json::<WitnessedHeads>()?.0 {
                    kept::append(&self.0.folder, owner, &witnessed)?;
                }
                Ok(Told::Witnessed)
            }
            409 => {
                tracing::error!(
                    owner,
                    "the anchor witnessed a later or another head of this audit trail: it was cut or rewritten; see `delt audit verify`"
                );
                Ok(Told::Contradicted)
            }
            status => {
                tracing::warn!(
                    owner,
                    status,
                    "the anchor did not take the audit trail's head"
                );
                Ok(Told::Missed)
            }
        }
    }
}

/// Settings of `[audit]` where the section is left out.
impl Default for config::Audit {
    fn default() -> Self {
        config::Audit {
            keep: None,
            every_seconds: config::every_seconds(),
            witness: true,
        }
    }
}
