//! Tells the locator which kinds of data this organisation holds about whom (CONTRACT section 8).
//!
//! What to tell is written by the data's own commit into the outbox; here it is only carried, in order and until it is
//! taken. A heartbeat with the highest sequence number lets others see that nothing is missing; a locator that answers that it
//! lacks some (it lost its memory, or an older one was put back) is told again from where it lacks them.
//!
//! What the patient has closed goes with each announcement, as it stands when it is told: a wish makes a turn of its own in its commit,
//! so a later one is told later (decision 0029).

use crate::State;
use fhir::resource::InformationService;
use fhir::time::Instant;
use std::sync::Arc;
use std::time::Duration;
use store::Due;
use trust::wish::{Closed, Wish};
use wire::Worker;
use wire::client::Request;
use wire::contract::locator::{
    Accepted, Announcement, CatchUp, Closing, MAX_CLOSINGS, MAX_ENTRIES, OUTBOX_RECEIVER, Presence,
    REGISTER, REGISTER_SCOPE, Registration,
};
use wire::courier::{self, Deliver, Fate};

/// How often the locator hears that this service is alive, when there is nothing else to tell.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Longest wait before an announcement is told again: erasure reaches a locator that was away within 60 s of its return
/// (threats-and-faults.md section 5), the courier's own rest of half a minute included.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The courier to the locator and its heartbeat; none where no locator is agreed on.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    if state.locator.is_none() {
        return Vec::new();
    }
    let announcing = state.clone();
    vec![
        Worker::new("announce", async move {
            let house = announcing.house.clone();
            courier::run(
                announcing.desk.store.clone(),
                OUTBOX_RECEIVER.to_owned(),
                Announcing(announcing),
                &house,
            )
            .await;
        }),
        Worker::new("heartbeat", heartbeat(state)),
    ]
}

struct Announcing(Arc<State>);

impl Deliver for Announcing {
    async fn deliver(&self, batch: &[Due]) -> Vec<Fate> {
        let mut entries = Vec::with_capacity(batch.len());
        let mut fates = Vec::with_capacity(batch.len());
        for due in batch {
            match serde_json::from_slice::<Announcement>(&due.body) {
                Ok(entry) => match self.0.with_closings(entry).await {
                    Ok(entry) => {
                        entries.push(entry);
                        fates.push(Fate::Done);
                    }
                    Err(error) => fates.push(Fate::Retry(error.to_string())),
                },
                Err(_) => fates.push(Fate::Dead("not an announcement".into())),
            }
        }
        if let Err(reason) = tell(&self.0, entries, None).await {
            return fates
                .into_iter()
                .map(|fate| {
                    if matches!(fate, Fate::Done) {
                        Fate::Retry(reason.clone())
                    } else {
                        fate
                    }
                })
                .collect();
        }
        fates
    }

    fn longest_wait(&self) -> Duration {
        LONGEST_WAIT
    }
}

/// Sends one registration, and gives up to which number the locator says that it has everything; the words of a failure hold
/// nothing about a person.
async fn tell(
    state: &State,
    entries: Vec<Announcement>,
    catch_up: Option<CatchUp>,
) -> Result<Option<u64>, String> {
    let Some((base, party)) = &state.locator else {
        return Ok(None);
    };
    let high_water = state
        .desk
        .store
        .presence_high_water()
        .await
        .map_err(|e| e.to_string())?;
    let registration = Registration {
        holder: state.config.id.clone(),
        entries,
        high_water,
        catch_up,
    };
    let request = Request::post_json(format!("{base}{REGISTER}"), &registration)
        .map_err(|e| e.to_string())?;
    let answer = party
        .send(base, REGISTER_SCOPE, request)
        .await
        .map_err(|e| e.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("the locator answered {}", answer.status));
    }
    answer
        .json::<Accepted>()
        .map(|accepted| accepted.complete)
        .map_err(|e| e.to_string())
}

/// What the locator hears that a patient has closed of a kind here: blocks and reservation, and neither whom she named nor why.
/// A named practitioner is the holder's alone to refuse.
fn closings(wishes: &[Wish], kind: InformationService, now: Instant) -> Vec<Closing> {
    let closing = |wish: &Wish| {
        let to = match &wish.closed {
            Closed::Sharing | Closed::Everything => None,
            Closed::Services { services } if services.contains(&kind) => None,
            Closed::Organisation { organisation } => Some(*organisation),
            Closed::Services { .. } | Closed::Practitioner { .. } => return None,
        };
        let until = wish.until;
        Some(Closing { to, until })
    };
    let holding = wishes.iter().filter(|wish| wish.holds(now));
    let mut all: Vec<Closing> = holding.filter_map(closing).collect();
    all.sort();
    all.dedup();
    let whole = Closing {
        to: None,
        until: None,
    };
    // Closed to everybody for good says it all.
    if all.contains(&whole) || all.len() > MAX_CLOSINGS {
        all = vec![whole];
    }
    all
}

/// Whether the locator hears of what this closes.
pub(crate) fn is_told(closed: &Closed) -> bool {
    !matches!(closed, Closed::Practitioner { .. })
}

impl State {
    /// The announcement with what the patient has closed of it by now.
    pub(crate) async fn with_closings(
        &self,
        announcement: Announcement,
    ) -> Result<Announcement, store::StoreError> {
        if announcement.state == Presence::Absent {
            return Ok(announcement);
        }
        let wishes = self.desk.store.wishes(&announcement.patient).await?;
        Ok(Announcement {
            closed: closings(&wishes, announcement.kind, (self.house.clock)()),
            ..announcement
        })
    }

    /// One heartbeat to the locator; what the locator says that it lacks is told again, as it stands now.
    ///
    /// # Errors
    /// Why it was not taken, in words that hold nothing about a person.
    pub async fn heartbeat(&self) -> Result<(), String> {
        let store = &self.desk.store;
        let wrong = |error: store::StoreError| error.to_string();
        let Some(mut complete) = tell(self, Vec::new(), None).await? else {
            return Ok(());
        };
        loop {
            let high_water = store.presence_high_water().await.map_err(wrong)?;
            if complete >= high_water {
                return Ok(());
            }
            let turns = store.presence_since(complete, MAX_ENTRIES).await;
            let turns = turns.map_err(wrong)?;
            let last = turns.last().map_or(0, |turn| turn.sequence);
            let through = if turns.len() < MAX_ENTRIES {
                last.max(high_water)
            } else {
                last
            };
            let mut entries = Vec::with_capacity(turns.len());
            for turn in turns {
                let announcement = Announcement {
                    patient: turn.patient,
                    kind: turn.service,
                    state: if turn.present {
                        Presence::Present
                    } else {
                        Presence::Absent
                    },
                    sequence: turn.sequence,
                    closed: Vec::new(),
                };
                entries.push(self.with_closings(announcement).await.map_err(wrong)?);
            }
            let catch_up = CatchUp {
                after: complete,
                through,
            };
            match tell(self, entries, Some(catch_up)).await? {
                Some(reached) if reached > complete => complete = reached,
                _ => return Err("the locator did not come further".to_owned()),
            }
        }
    }
}

async fn heartbeat(state: Arc<State>) {
    let pause = state.house.pause.clone();
    loop {
        tokio::select! {
            () = state.house.stop.stopped() => return,
            () = pause(HEARTBEAT) => {}
        }
        if let Err(reason) = state.heartbeat().await {
            tracing::warn!(
                service = state.config.id,
                reason,
                "the locator did not take a heartbeat"
            );
        }
    }
}
