//! For bad days: what the catalogue and the anchor said last is kept on disk, signed with the gateway's own key, so that a
//! gateway that starts while one of them is silent knows what it knew. Each part serves within its own grace, counted from when it
//! was told: the catalogue's as configured, the anchor's for a day. An altered file is refused whole, and that is said.
//!
//! Nothing about any patient is in it; whom anybody asked about is not either.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use wire::Worker;
use wire::client::Party;
use wire::last_copy::LastCopy;
use wire::members::{Documents, MemberBook};

use crate::State;
use crate::directory::Told;

/// The file, in the gateway's folder.
const FILE: &str = "last-copy";
/// Between two writings.
const PAUSE: Duration = Duration::from_secs(1);

/// What is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// The anchor whose word it is, and the catalogue: a copy of others is of no use here.
    issuer: String,
    catalogue: String,
    /// The anchor's keys, participants and agreements.
    pub anchor: Option<Documents>,
    /// The catalogue's entries.
    pub told: Vec<Told>,
}

/// Where the copy is kept.
pub struct Shelf {
    file: LastCopy,
    issuer: String,
    catalogue: String,
}

impl Shelf {
    /// In the gateway's folder, signed by its client.
    pub fn new(folder: &Path, party: &Party, issuer: &str, catalogue: &str) -> Self {
        Self {
            file: LastCopy::new(folder.join(FILE), party.clone()),
            issuer: issuer.to_owned(),
            catalogue: catalogue.to_owned(),
        }
    }

    /// What was kept; nothing where there is none, or none that can be believed. What is from after `now` was kept by another clock:
    /// nobody knows how old it is. Blocks for file access.
    pub fn read(&self, now: Instant) -> Copy {
        let mut copy = self.kept();
        copy.anchor = copy.anchor.filter(|one| one.at <= now);
        copy.told.retain(|one| one.at <= now);
        copy
    }

    fn kept(&self) -> Copy {
        match self.file.read::<Copy>() {
            Ok(Some(copy)) if copy.issuer == self.issuer && copy.catalogue == self.catalogue => {
                copy
            }
            Ok(Some(_)) => {
                tracing::warn!(
                    "the last copy on disk is of another anchor or catalogue; it is not used"
                );
                Copy::default()
            }
            Ok(None) => Copy::default(),
            Err(error) => {
                tracing::error!(%error, "the last copy of catalogue and anchor on disk is refused; nothing of it is used");
                Copy::default()
            }
        }
    }

    fn write(&self, anchor: Option<Documents>, told: Vec<Told>) {
        let copy = Copy {
            issuer: self.issuer.clone(),
            catalogue: self.catalogue.clone(),
            anchor,
            told,
        };
        if let Err(error) = self.file.write(&copy) {
            tracing::warn!(%error, "the last copy of catalogue and anchor could not be written");
        }
    }
}

/// Lays what the anchor said before this start where it is looked for.
pub fn remember(copy: &Copy, members: &MemberBook) {
    let documents = copy.anchor.clone();
    if let Some(Err(error)) = documents.map(|documents| members.remember(documents)) {
        tracing::warn!(%error, "the anchor's documents on disk are not believed");
    }
}

impl State {
    /// Writes the copy as it should stand now.
    pub async fn keep_copy(self: &Arc<Self>) {
        let state = self.clone();
        let write = move || {
            let (anchor, told) = (state.members.documents(), state.directory.told());
            state.shelf.write(anchor, told);
        };
        if tokio::task::spawn_blocking(write).await.is_err() {
            tracing::error!("the last copy could not be written: a bug");
        }
    }
}

/// Writes the copy whenever something new was told, and once more at the end.
pub fn worker(state: Arc<State>) -> Worker {
    Worker::new("last-copy", async move {
        let pause = state.house.pause.clone();
        loop {
            tokio::select! {
                () = state.house.stop.stopped() => break,
                () = state.directory.changed() => state.keep_copy().await,
            }
            tokio::select! {
                () = state.house.stop.stopped() => break,
                () = pause(PAUSE) => {}
            }
        }
        state.keep_copy().await;
    })
}
