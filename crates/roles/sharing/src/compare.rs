//! Does the locator have what this service announced, and nothing else? Compared by a tree of digests (`wire::drift`), a
//! branch at a time, and repaired (decision 0045).
//!
//! Compared at rest only: while something is on its way, or where something turns meanwhile, nothing is concluded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::Worker;
use wire::client::Request;
use wire::contract::locator::{
    Announcement, COMPARE, Compared, Comparison, MAX_ENTRIES, OUTBOX_RECEIVER, Presence,
    REGISTER_SCOPE, REPAIR, Repair, Repaired,
};
use wire::drift::{self, Leaf, Prefix, TagKey};

use crate::State;

/// Between comparisons.
const ROUND: Duration = Duration::from_secs(15 * 60);
/// Before the first, and before a repair is looked over: what was announced while the service was down goes out first.
const FIRST: Duration = Duration::from_secs(20);
/// Turns read from the store at once.
const PAGE: usize = 5_000;
/// Branches looked at in one comparison, the rest in the next: a locator that lies cannot keep a holder asking.
const MOST_BRANCHES: usize = 4_096;

/// How much differed the last time; none yet.
pub(crate) struct Drift(AtomicI64);

impl Default for Drift {
    fn default() -> Self {
        Self(AtomicI64::new(-1))
    }
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Something was on its way, or turned meanwhile.
    Moving,
    /// So many pointers differed, and were repaired.
    Differed(u64),
}

type Held = HashMap<Leaf, Announcement>;

/// Compares and repairs; none where no locator is told.
pub fn workers(state: Arc<State>) -> Option<Worker> {
    state.locator.as_ref()?;
    Some(Worker::new("compare", async move {
        let pause = state.house.pause.clone();
        let (mut next, mut repaired) = (FIRST, false);
        loop {
            tokio::select! {
                () = state.house.stop.stopped() => return,
                () = pause(next) => {}
            }
            next = ROUND;
            let before = std::mem::take(&mut repaired);
            match state.compare_pointers().await {
                Ok(Found::Differed(count)) if count > 0 => {
                    // Whether the repair held is looked at once, soon; a locator that loses everything is not asked all the time.
                    repaired = !before;
                    next = if repaired { FIRST } else { ROUND };
                    tracing::error!(
                        service = state.config.id,
                        count,
                        "the locator had drifted from what is held here; repaired"
                    );
                }
                Ok(Found::Differed(_)) => {}
                Ok(Found::Moving) => next = FIRST,
                Err(reason) => {
                    tracing::warn!(
                        service = state.config.id,
                        reason,
                        "pointers could not be compared with the locator's"
                    );
                }
            }
        }
    }))
}

impl State {
    /// How many pointers differed from the locator's at the last comparison; none before the first.
    pub fn drift(&self) -> Option<u64> {
        u64::try_from(self.drift.0.load(Ordering::Relaxed)).ok()
    }

    /// Compares this service's pointers with the locator's and repairs what differs.
    ///
    /// # Errors
    /// Why it could not, in words that hold nothing about a person.
    pub async fn compare_pointers(&self) -> Result<Found, String> {
        let before = self.at_rest().await?;
        let (Some(before), Some(whole)) = (before, self.branch_of(&Prefix::default()).await?)
        else {
            return Ok(Found::Moving);
        };
        let key = TagKey::parse(whole.key.expose()).ok_or("the locator's tag key is none")?;
        let held = self.held(&key).await?;
        let mut ours: Vec<Leaf> = held.keys().cloned().collect();
        ours.sort();
        let (mut missing, mut strays) = (Vec::new(), Vec::new());
        let mut open = vec![(Prefix::default(), whole.clone())];
        let mut looked = 0;
        'walk: while let Some((prefix, told)) = open.pop() {
            let own = drift::on(&ours, &prefix);
            if drift::branch(own, prefix.depth()) == told.node.whole {
                continue;
            }
            if told.node.branches.is_empty() {
                let theirs = &told.node.leaves;
                let unknown = own
                    .iter()
                    .filter(|leaf| theirs.binary_search(leaf).is_err());
                missing.extend(unknown.cloned());
                let unknown = theirs
                    .iter()
                    .filter(|leaf| own.binary_search(leaf).is_err());
                strays.extend(unknown.cloned());
                continue;
            }
            for (digit, branch) in (0..16).zip(&told.node.branches) {
                let below = prefix.below(digit);
                if drift::branch(drift::on(&ours, &below), below.depth()) == *branch {
                    continue;
                }
                looked += 1;
                if looked > MOST_BRANCHES {
                    break 'walk;
                }
                match self.branch_of(&below).await? {
                    Some(part) if part.version == whole.version => open.push((below, part)),
                    _ => return Ok(Found::Moving),
                }
            }
        }
        if looked > MOST_BRANCHES && missing.is_empty() && strays.is_empty() {
            return Err("the locator's branches have no end".to_owned());
        }
        if self.at_rest().await? != Some(before) {
            return Ok(Found::Moving);
        }
        let differed = differing(&missing, &strays);
        self.repair(&held, &missing, &strays).await?;
        self.drift.0.store(
            i64::try_from(differed).unwrap_or(i64::MAX),
            Ordering::Relaxed,
        );
        Ok(Found::Differed(differed))
    }

    /// The highest number given out, if nothing waits to be told.
    async fn at_rest(&self) -> Result<Option<u64>, String> {
        let wrong = |error: store::StoreError| error.to_string();
        let store = &self.desk.store;
        let waits = store.outbox_state(OUTBOX_RECEIVER).await.map_err(wrong)?;
        let high_water = store.presence_high_water().await.map_err(wrong)?;
        Ok((waits.pending == 0).then_some(high_water))
    }

    async fn branch_of(&self, prefix: &Prefix) -> Result<Option<Compared>, String> {
        let asked = Comparison {
            holder: self.config.id.clone(),
            prefix: prefix.text(),
        };
        match self.say::<Compared>(COMPARE, &asked).await? {
            Some(told) if !told.node.is_sound(prefix) => {
                Err("the locator's branch is none of a tree".to_owned())
            }
            told => Ok(told),
        }
    }

    /// Every pointer as it stands here, by its leaf.
    async fn held(&self, key: &TagKey) -> Result<Held, String> {
        let mut held = Held::new();
        let mut after = 0;
        loop {
            let turns = self.desk.store.presence_since(after, PAGE).await;
            let turns = turns.map_err(|error| error.to_string())?;
            let full = turns.len() == PAGE;
            for turn in turns {
                after = turn.sequence;
                let state = if turn.present {
                    Presence::Present
                } else {
                    Presence::Absent
                };
                let leaf = Leaf {
                    tag: key.tag(&turn.patient),
                    kind: turn.service,
                    state,
                    sequence: turn.sequence,
                };
                let announcement = Announcement {
                    patient: turn.patient,
                    kind: turn.service,
                    state,
                    sequence: turn.sequence,
                    closed: Vec::new(),
                };
                held.insert(leaf, announcement);
            }
            if !full {
                return Ok(held);
            }
        }
    }

    /// Tells what the locator lacks and takes away what it has too much of.
    async fn repair(&self, held: &Held, missing: &[Leaf], strays: &[Leaf]) -> Result<(), String> {
        // Strays first: one that stands in the way of what is missing must not take it away afterwards.
        for part in strays.chunks(MAX_ENTRIES) {
            self.mend(Vec::new(), part.to_vec()).await?;
        }
        for part in missing.chunks(MAX_ENTRIES) {
            let mut entries = Vec::with_capacity(part.len());
            for announcement in part.iter().filter_map(|leaf| held.get(leaf).cloned()) {
                let told = self.with_closings(announcement).await;
                entries.push(told.map_err(|error| error.to_string())?);
            }
            self.mend(entries, Vec::new()).await?;
        }
        Ok(())
    }

    async fn mend(&self, entries: Vec<Announcement>, strays: Vec<Leaf>) -> Result<(), String> {
        let repair = Repair {
            holder: self.config.id.clone(),
            entries,
            strays,
        };
        self.say::<Repaired>(REPAIR, &repair).await.map(|_| ())
    }

    async fn say<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Option<T>, String> {
        let Some((base, party)) = &self.locator else {
            return Ok(None);
        };
        let request = Request::post_json(format!("{base}{path}"), body);
        let request = request.map_err(|error| error.to_string())?;
        let answer = party.send(base, REGISTER_SCOPE, request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        answer.json().map(Some).map_err(|error| error.to_string())
    }
}

/// Pointers that differ. One that is there in another state or from another turn is one, not two; what is absent on one side
/// and unknown on the other says the same of the patient: it is swept, and is no drift.
fn differing(missing: &[Leaf], strays: &[Leaf]) -> u64 {
    let mut pointers = std::collections::BTreeMap::new();
    for (at, leaf) in missing
        .iter()
        .map(|one| (0, one))
        .chain(strays.iter().map(|one| (1, one)))
    {
        pointers
            .entry((leaf.tag, leaf.kind))
            .or_insert([None, None])[at] = Some(leaf.state);
    }
    let says = |state: Option<Presence>| state == Some(Presence::Present);
    let wrong = pointers
        .values()
        .filter(|[ours, theirs]| says(*ours) || says(*theirs));
    wrong.count() as u64
}
