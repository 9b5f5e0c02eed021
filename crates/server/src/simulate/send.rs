//! Sendings to a hub, some homes at once, each home's in its own order. What the hub does not take is told on standard output.

use super::Sum;
use crate::surroundings;
use anyhow::Context;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use testkit::home_system::HomeSystem;
use testkit::observation::identifier;
use testkit::simulate::Sending;
use testkit::simulate::trouble::ClockError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::client::{Http, Network, Party, Policy};

/// How many homes post at the same time.
const LANES: usize = 8;
/// Sendings that wait in a lane.
const WAITING: usize = 4;

/// A home system's client, from its file.
pub fn party(file: &Path, networks: &[String]) -> anyhow::Result<Party> {
    let mut policy = Policy::loopback();
    for one in networks {
        let network = Network::parse(one).with_context(|| format!("{one} is no network"))?;
        policy.allow.push(network);
    }
    let http = Http::new(policy)?;
    let party = Party::from_file(file, http, surroundings::clock(), surroundings::ids());
    party.with_context(|| format!("the client file {}", file.display()))
}

/// The homes that post at once.
pub struct Lanes {
    lanes: Vec<(mpsc::Sender<Sending>, JoinHandle<anyhow::Result<Sum>>)>,
}

impl Lanes {
    /// Posts to the hub at `base` as this client.
    pub fn open(party: Party, base: &str) -> Lanes {
        let home = HomeSystem::new(party, base.trim_end_matches('/'));
        let lane = |_| {
            let (sender, waiting) = mpsc::channel(WAITING);
            (sender, tokio::spawn(post(home.clone(), waiting)))
        };
        Lanes {
            lanes: (0..LANES).map(lane).collect(),
        }
    }

    /// Hands one sending over; waits while its lane is full.
    pub async fn send(&mut self, sending: &Sending) -> anyhow::Result<()> {
        let (lane, _) = &self.lanes[sending.home % LANES];
        // A lane that ended tells why when it is closed.
        lane.send(sending.clone())
            .await
            .context("the hub no longer takes what is sent")
    }

    /// Waits until everything handed over is answered; says how it went.
    pub async fn close(self) -> anyhow::Result<Sum> {
        let mut sum = Sum::default();
        for (lane, posting) in self.lanes {
            drop(lane);
            sum.add(posting.await??);
        }
        Ok(sum)
    }
}

async fn post(home: HomeSystem, mut waiting: mpsc::Receiver<Sending>) -> anyhow::Result<Sum> {
    let mut sum = Sum::default();
    let mut last = None;
    while let Some(sending) = waiting.recv().await {
        // A phone that sends once more because it saw no answer knows nothing of a key.
        let key = sending.key();
        let once_more = last.replace(key) == Some(key);
        let count = sending.readings.len();
        let answers = home
            .send_kept(sending.bundle(), count, (!once_more).then_some(key))
            .await?;
        sum.bundles += 1;
        sum.readings += count as u64;
        for (one, answer) in sending.readings.iter().zip(answers) {
            if answer.is_accepted() {
                sum.taken += 1;
                continue;
            }
            let asked = matches!(one.clock, Some(ClockError::Year(_)));
            *(if asked {
                &mut sum.asked
            } else {
                &mut sum.refused
            }) += 1;
            let line = json!({
                "identifier": identifier(&one.key).1, "status": answer.status,
                "clock": one.clock.map(|wrong| format!("{wrong:?}")), "outcome": answer.outcome,
            });
            writeln!(std::io::stdout(), "{line}")?;
        }
    }
    Ok(sum)
}
