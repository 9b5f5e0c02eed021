//! `locate`: who holds what about one patient, at the locator's `POST /locate`, by a practitioner with an attest; half of the
//! patients have pointers, half are unknown. And whether time tells the unknown from those of whom nothing is told.

use super::drive::{Client, Plan};
use super::figure::Figure;
use super::ground::{self, Bearer, Ground, OWNER, Target};
use super::http::Answer;
use super::question::first_words;
use super::statistics::{Spread, milliseconds, per_second, rounded};
use super::{Found, Setting, disk, drive, say};
use anyhow::Context;
use fhir::ids::{PersonIdentifier, PersonNumbers};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{Change, Purge, Store};
use testkit::bench_load::FIVE;
use testkit::dice::Dice;
use wire::contract::locator::{LOCATE, OUTBOX_RECEIVER};

/// People with pointers, as many without, and as many whose data was erased.
const PEOPLE: usize = 100;
/// Readings of each that are in the store: enough for a pointer.
const EACH: u64 = 2 * FIVE.len() as u64;
/// What is asked.
const QUESTION: &[u8] = br#"{"kinds":["IT17","IT08","IT03"]}"#;
/// What is asked where nobody has any of it.
const OTHER_KINDS: &[u8] = br#"{"kinds":["IT07","IT08","IT03"]}"#;

/// What a question is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// Somebody with pointers of a kind that is asked for.
    Held,
    /// Somebody whose pointers are of kinds that are not told of.
    Hidden,
    /// Somebody whose data was erased: the pointers stand as absent.
    Absent,
    /// Somebody whom nobody announced.
    Unknown,
}

/// Those of whom nothing is told, in the words of a figure.
const SILENT: [(About, &str); 2] = [(About::Hidden, "hidden"), (About::Absent, "absent")];

/// One question, and what it is about.
#[derive(Clone)]
struct Ask {
    bearer: Bearer,
    about: About,
}

struct Asking {
    asks: Arc<Vec<Ask>>,
    turn: usize,
    to: Target,
    /// When the last was sent; how long each took, by what it was about.
    sent: Instant,
    times: Option<Times>,
}

type Times = Arc<Mutex<Vec<(About, Duration)>>>;

impl Asking {
    fn ask(&self) -> &Ask {
        &self.asks[self.turn % self.asks.len()]
    }
}

impl Client for Asking {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.turn += 1;
        let ask = self.ask();
        let question = match ask.about {
            About::Hidden => OTHER_KINDS,
            _ => QUESTION,
        };
        let written = ask.bearer.post(out, &self.to, "application/json", question);
        self.sent = Instant::now();
        written
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        let took = self.sent.elapsed();
        if answer.status != 200 {
            let words = first_words(answer.body);
            return Err(format!("status {}: {words}", answer.status));
        }
        let found: Value = serde_json::from_slice(answer.body).map_err(|e| e.to_string())?;
        let holders = found["holders"].as_array().ok_or("no holders")?;
        let own = holders.len() == 1 && holders[0]["service"] == OWNER;
        let about = self.ask().about;
        if own != (about == About::Held) || !own && !holders.is_empty() {
            return Err("another holder than the one that has data".to_owned());
        }
        if let Some(mut times) = self.times.as_ref().and_then(|times| times.lock().ok()) {
            times.push((about, took));
        }
        Ok(1)
    }
}

/// The median times of the silent answers over that about somebody unknown, one client that asks about all of them in an order drawn
/// anew for each round: whether the time tells what the answer does not.
async fn tells_by_time(
    to: &Target,
    silent: &[Ask],
    found: &mut Found,
    setting: Setting,
) -> anyhow::Result<serde_json::Map<String, Value>> {
    say("one client: whether the time tells the unknown from the hidden and the erased");
    let mut dice = Dice::new(7);
    let mut drawn = Vec::new();
    for _ in 0..50 {
        let mut round = silent.to_vec();
        dice.shuffle(&mut round);
        drawn.append(&mut round);
    }
    let times = Times::default();
    let client: Box<dyn Client> = Box::new(Asking {
        asks: Arc::new(drawn),
        turn: 0,
        to: to.clone(),
        sent: Instant::now(),
        times: Some(times.clone()),
    });
    let run = drive(
        to.address,
        vec![client],
        Plan::flat_out(2 * setting.seconds),
    )
    .await?;
    found.judge(&run);
    let times = times.lock().map(|times| times.clone()).unwrap_or_default();
    let median = |about: About| {
        let of = times.iter().filter(|(one, _)| *one == about);
        let of = of.map(|(_, took)| *took).collect();
        Spread::of(of).median().map_or(f64::NAN, milliseconds)
    };
    let unknown = median(About::Unknown);
    let ratio = |(about, word): (About, &str)| {
        let ratio = rounded(median(about) / unknown);
        (word.to_owned(), ratio.into())
    };
    Ok(SILENT.into_iter().map(ratio).collect())
}

/// Erases what is held about somebody; the locator hears of it.
async fn erase(store: &Store, number: &str) -> anyhow::Result<()> {
    let person = PersonIdentifier::guess(number, PersonNumbers::Strict)?;
    let change = Change {
        purge: Some(Purge::Patient(person)),
        ..Change::default()
    };
    store.commit(change).await?;
    Ok(())
}

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let known = ground::load(1, 2 * PEOPLE)?;
    let unknown = ground::load(2, 3 * PEOPLE)?;
    say(&format!(
        "{PEOPLE} people with pointers, {PEOPLE} erased, {PEOPLE} unknown"
    ));
    let readings = EACH * 2 * PEOPLE as u64;
    let store = ground.store(OWNER)?;
    disk::fill(store, &known, 0..readings, disk::Audit::EachReading).await?;
    let numbers: Vec<&str> = known.numbers().collect();
    let (held, erased) = numbers.split_at(PEOPLE);
    for number in erased {
        erase(store, number).await?;
    }
    ground
        .delivered(|receiver| receiver == OUTBOX_RECEIVER)
        .await?;
    let locator = ground.config().locator.as_ref();
    let base = locator.context("the region has no locator")?.base.clone();
    let base = base.as_str().trim_end_matches('/').to_owned();
    let to = ground.target(format!("{base}{LOCATE}"));
    let others = unknown.numbers().filter(|one| !numbers.contains(one));
    let others: Vec<&str> = others.take(PEOPLE).collect();
    let mut asks = Vec::new();
    let mut silent = Vec::new();
    for ((held, other), erased) in held.iter().zip(&others).zip(erased) {
        // Known and unknown take turns.
        for (patient, about) in [(held, About::Held), (other, About::Unknown)] {
            let bearer = ground.physician(patient, &base).await?;
            let hidden = About::Hidden;
            let unsaid = if about == About::Held { hidden } else { about };
            silent.push(Ask {
                bearer: bearer.clone(),
                about: unsaid,
            });
            asks.push(Ask { bearer, about });
        }
        silent.push(Ask {
            bearer: ground.physician(erased, &base).await?,
            about: About::Absent,
        });
    }
    let asks = Arc::new(asks);
    let client = |n: usize| {
        Box::new(Asking {
            asks: asks.clone(),
            turn: n * 7,
            to: to.clone(),
            sent: Instant::now(),
            times: None,
        }) as Box<dyn Client>
    };
    let clients = (0..setting.clients).map(client).collect();
    say(&format!("{} clients, flat out", setting.clients));
    let flat = drive(to.address, clients, Plan::flat_out(setting.seconds)).await?;
    let mut found = Found::default();
    found.judge(&flat);
    let median = flat.times.median().map_or(f64::NAN, milliseconds);
    let ratios = tells_by_time(&to, &silent, &mut found, setting).await?;
    let rate = per_second(flat.units, flat.elapsed);
    found.figures.push(
        Figure::new("locate/per_second", rate, "1/s")
            .under("what", "who holds what about one patient, POST /locate, three kinds; half of the patients unknown")
            .under("patients", 2 * PEOPLE as u64)
            .under("median_ms", median)
            .under("median_over_that_of_unknown", Value::Object(ratios))
            .under("on", "token, DPoP, policy, budget of distinct patients, durable audit of each answer")
            .under("generator", "same process and cores; signs a fresh DPoP proof for each request, checks each answer")
            .under("clients", setting.clients as u64)
            .under("seconds", setting.seconds)
            .using(&flat),
    );
    ground.close().await;
    Ok(found)
}
