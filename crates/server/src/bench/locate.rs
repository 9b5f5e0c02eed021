//! `locate`: who holds what about one patient, at the locator's `POST /locate`, by a practitioner with an attest; half of the
//! patients have pointers, half are unknown.

use super::drive::{Client, Plan};
use super::figure::Figure;
use super::ground::{self, Bearer, Ground, OWNER, Target};
use super::http::Answer;
use super::question::first_words;
use super::statistics::{milliseconds, per_second};
use super::{Found, Setting, disk, drive, say};
use anyhow::Context;
use serde_json::Value;
use std::sync::Arc;
use testkit::bench_load::FIVE;
use wire::contract::locator::{LOCATE, OUTBOX_RECEIVER};

/// People with pointers, and as many without.
const PEOPLE: usize = 100;
/// Readings of each that are in the store: enough for a pointer.
const EACH: u64 = 2 * FIVE.len() as u64;
/// What is asked.
const QUESTION: &[u8] = br#"{"kinds":["IT17","IT08","IT03"]}"#;

/// One question and whether a holder must be told of.
struct Ask {
    bearer: Bearer,
    held: bool,
}

struct Asking {
    asks: Arc<Vec<Ask>>,
    turn: usize,
    to: Target,
}

impl Asking {
    fn ask(&self) -> &Ask {
        &self.asks[self.turn % self.asks.len()]
    }
}

impl Client for Asking {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.turn += 1;
        let ask = self.ask();
        ask.bearer.post(out, &self.to, "application/json", QUESTION)
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        if answer.status != 200 {
            let words = first_words(answer.body);
            return Err(format!("status {}: {words}", answer.status));
        }
        let found: Value = serde_json::from_slice(answer.body).map_err(|e| e.to_string())?;
        let holders = found["holders"].as_array().ok_or("no holders")?;
        let own = holders.len() == 1 && holders[0]["service"] == OWNER;
        if own == self.ask().held && (own || holders.is_empty()) {
            Ok(1)
        } else {
            Err("another holder than the one that has data".to_owned())
        }
    }
}

/// Rounds in which the known and the unknown are asked for in turn.
const ROUNDS: usize = 4;

/// The median time of an answer about somebody unknown over that of one about somebody with pointers, one client, the quietest
/// round of each: whether the time tells what the answer does not.
async fn tells_by_time(
    to: &Target,
    asks: &[Ask],
    found: &mut Found,
    setting: Setting,
) -> anyhow::Result<f64> {
    say("one client: whether the time tells who is unknown");
    let seconds = (setting.seconds / ROUNDS as u64).max(1);
    let mut best = [f64::INFINITY; 2];
    for round in 0..2 * ROUNDS {
        let held = round % 2 == 0;
        let of_kind = asks.iter().filter(|ask| ask.held == held);
        let asks = of_kind.map(|ask| Ask {
            bearer: ask.bearer.clone(),
            held,
        });
        let client: Box<dyn Client> = Box::new(Asking {
            asks: Arc::new(asks.collect()),
            turn: 0,
            to: to.clone(),
        });
        let run = drive(to.address, vec![client], Plan::flat_out(seconds)).await?;
        found.judge(&run);
        let median = run.times.median().map_or(f64::INFINITY, milliseconds);
        let kind = usize::from(!held);
        best[kind] = best[kind].min(median);
    }
    Ok(best[1] / best[0])
}

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let known = ground::load(1, PEOPLE)?;
    let unknown = ground::load(2, 2 * PEOPLE)?;
    say(&format!("{PEOPLE} people with pointers, {PEOPLE} without"));
    let readings = EACH * PEOPLE as u64;
    let store = ground.store(OWNER)?;
    disk::fill(store, &known, 0..readings, disk::Audit::EachReading).await?;
    ground
        .delivered(|receiver| receiver == OUTBOX_RECEIVER)
        .await?;
    let locator = ground.config().locator.as_ref();
    let base = locator.context("the region has no locator")?.base.clone();
    let base = base.as_str().trim_end_matches('/').to_owned();
    let to = ground.target(format!("{base}{LOCATE}"));
    let numbers: Vec<&str> = known.numbers().collect();
    let others = unknown.numbers().filter(|one| !numbers.contains(one));
    let people = numbers.iter().map(|one| (*one, true));
    let people = people.chain(others.take(PEOPLE).map(|one| (one, false)));
    let mut asks = Vec::new();
    for (patient, held) in people {
        let bearer = ground.physician(patient, &base).await?;
        asks.push(Ask { bearer, held });
    }
    // Known and unknown take turns.
    let (with, without) = asks.split_at(PEOPLE);
    let asks: Vec<Ask> = with
        .iter()
        .zip(without)
        .flat_map(|(one, other)| [one, other])
        .map(|ask| Ask {
            bearer: ask.bearer.clone(),
            held: ask.held,
        })
        .collect();
    let asks = Arc::new(asks);
    let client = |n: usize| {
        Box::new(Asking {
            asks: asks.clone(),
            turn: n * 7,
            to: to.clone(),
        }) as Box<dyn Client>
    };
    let clients = (0..setting.clients).map(client).collect();
    say(&format!("{} clients, flat out", setting.clients));
    let flat = drive(to.address, clients, Plan::flat_out(setting.seconds)).await?;
    let mut found = Found::default();
    found.judge(&flat);
    let median = flat.times.median().map_or(f64::NAN, milliseconds);
    let ratio = tells_by_time(&to, &asks, &mut found, setting).await?;
    let rate = per_second(flat.units, flat.elapsed);
    found.figures.push(
        Figure::new("locate/per_second", rate, "1/s")
            .under("what", "who holds what about one patient, POST /locate, three kinds; half of the patients unknown")
            .under("patients", 2 * PEOPLE as u64)
            .under("median_ms", median)
            .under("unknown_over_known_median", ratio)
            .under("on", "token, DPoP, policy, budget of distinct patients, durable audit of each answer")
            .under("generator", "same process and cores; signs a fresh DPoP proof for each request, checks each answer")
            .under("clients", setting.clients as u64)
            .under("seconds", setting.seconds)
            .using(&flat),
    );
    ground.close().await;
    Ok(found)
}
