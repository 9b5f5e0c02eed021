//! Tells the region its history: home systems post to the hub, record systems feed their own services, each in its own
//! order. Sent again after an interruption it changes nothing, since every resource has its business identifier.

use super::Started;
use super::state::DemoState;
use crate::roles::Region;
use crate::time::Time;
use anyhow::{Context, bail};
use fhir::time::Instant;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;
use store::Store;
use testkit::event::{Event, Route};
use testkit::feed::Feed;
use testkit::home_system::{HomeSystem, Report};
use testkit::people::Directory;
use trust::ClientUse;

/// How long everything may take to be delivered after it was taken in.
const PATIENCE: Duration = Duration::from_secs(300);

/// Sends everything that has happened until the first start.
pub async fn tell(
    kept: &DemoState,
    directory: &Directory,
    started: &Started,
) -> anyhow::Result<()> {
    let until = Instant(kept.first_start);
    let events = testkit::story::region(directory, &kept.calendar()?, until)?;
    let told = send(&events, started).await?;
    eprintln!("delt demo: {told} events told and taken in");
    Ok(())
}

/// Sends what happened, each thing by its own way, and says how many were taken in.
pub async fn send(events: &[Event], started: &Started) -> anyhow::Result<usize> {
    let progress = Progress::new(events.len());
    let mut report = Report::default();
    for client in &started.made.clients {
        let party = started.party(&client.file)?;
        let done = match client.use_ {
            ClientUse::HomeSystem => {
                HomeSystem::new(party, &started.hub())
                    .send(events, |n, _| progress.at(&client.client_id, n))
                    .await
            }
            ClientUse::RecordSystem => {
                let mut done = Report::default();
                for (service, base) in fed_by(events, &client.orgnr, started) {
                    let feed = Feed::new(party.clone(), &service, &base);
                    done.add(
                        feed.play(events, |n, _| progress.at(&client.client_id, n))
                            .await
                            .with_context(|| format!("the feed of {service}"))?,
                    );
                }
                Ok(done)
            }
            _ => continue,
        };
        report.add(done.with_context(|| format!("the history of {}", client.client_id))?);
    }
    progress.done();
    if let Some((key, answer)) = report.refused.first() {
        bail!(
            "{} events of the history were not taken in, the first {key}: {answer:?}",
            report.refused.len()
        );
    }
    Ok(report.accepted)
}

/// The services that a record system's organisation feeds in these events, with their bases.
fn fed_by(events: &[Event], orgnr: &str, started: &Started) -> Vec<(String, String)> {
    let mut services: Vec<String> = events
        .iter()
        .filter_map(|e| match &e.route {
            Route::Feed { service, writer } if writer == orgnr => Some(service.clone()),
            _ => None,
        })
        .collect();
    services.sort();
    services.dedup();
    services
        .into_iter()
        .map(|id| (id.clone(), started.at.service(&id)))
        .collect()
}

/// Waits until everything taken in has been delivered: readings to their receivers, pointers to the locator.
pub async fn delivered(region: &Region) -> anyhow::Result<()> {
    let dead = waited(region, async |store, receiver| {
        Ok(store.outbox_state(receiver).await?.pending)
    });
    if dead.await? > 0 {
        tracing::warn!("some entries were refused by their receivers");
    }
    Ok(())
}

/// Waits until what could be delivered now has been: what waits for a receiver that is away is left to wait.
pub async fn tried(region: &Region, time: &Time) -> anyhow::Result<()> {
    let due = async |store: &Store, receiver: &str| {
        let due = store.outbox_due(receiver, time.now(), 1).await?;
        Ok(due.len() as u64)
    };
    waited(region, due).await.map(|_| ())
}

/// Waits until `left` of every queue is nothing; gives how many entries are dead letters.
async fn waited(
    region: &Region,
    left: impl AsyncFn(&Store, &str) -> Result<u64, store::StoreError>,
) -> anyhow::Result<u64> {
    let since = std::time::Instant::now();
    loop {
        let (mut waiting, mut dead) = (0, 0);
        for store in region.stores() {
            for receiver in store.outbox_receivers().await? {
                waiting += left(store, &receiver).await?;
                dead += store.outbox_state(&receiver).await?.dead;
            }
        }
        if waiting == 0 {
            return Ok(dead);
        }
        if since.elapsed() > PATIENCE {
            bail!(
                "{waiting} entries are still not delivered after {} s",
                PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Words on standard error while the history goes in: a moving line on a terminal, a line now and then elsewhere.
struct Progress {
    all: usize,
    moving: bool,
    state: Mutex<(usize, String, usize, std::time::Instant)>,
}

impl Progress {
    fn new(all: usize) -> Progress {
        // The few of one moment are told without a word.
        let many = all > 200;
        if many {
            eprintln!("delt demo: telling {all} events of the history");
        }
        Progress {
            all,
            moving: many && std::io::stderr().is_terminal(),
            state: Mutex::new((0, String::new(), 0, std::time::Instant::now())),
        }
    }

    /// `who` has come to its `n`th event.
    fn at(&self, who: &str, n: usize) {
        let Ok(mut state) = self.state.lock() else {
            return;
        };
        let (before, current, within, last) = &mut *state;
        if current != who {
            *before += *within;
            *current = who.to_owned();
        }
        *within = n;
        let told = *before + n;
        if self.moving {
            eprint!("\r  {told} of {} ({who})          ", self.all);
            let _ = std::io::stderr().flush();
        } else if last.elapsed() > Duration::from_secs(5) {
            *last = std::time::Instant::now();
            eprintln!("  {told} of {} ({who})", self.all);
        }
    }

    fn done(&self) {
        if self.moving {
            eprintln!();
        }
    }
}
