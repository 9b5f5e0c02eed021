//! `flood`: what others notice while one device sends without end. Many homes send at a steady pace, first alone, then beside a
//! device that has used up what it may send (threats-and-faults section 9: one flooder does not slow the others).

use super::drive::{Client, Driven, Plan};
use super::figure::Figure;
use super::ground::{self, Bearer, Ground, OWNER, Target};
use super::http::Answer;
use super::intake::verify;
use super::question::first_words;
use super::statistics::{milliseconds, per_second, rounded};
use super::{Found, Setting, drive, say};
use anyhow::Context;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::bench_load::Load;

/// Readings a minute that the hub takes of one device here, and sixty minutes' worth at once.
const OF_A_DEVICE: u32 = 2;
/// Readings a second of all other homes together.
const STEADY: u64 = 200;
/// Other homes' connections.
const HOMES: usize = 8;
/// People whom the others measure: each device of theirs stays far below what it may send.
const PEOPLE: usize = 500;
/// Readings that the flooder has: those of one person, over and over.
const FLOOD: u64 = 20_000;

/// Bodies to be sent in turn.
struct Line {
    bodies: Vec<Bytes>,
    next: AtomicUsize,
    bearer: Bearer,
    to: Target,
    /// Taken in, and turned away with a time to come again.
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Line {
    fn of(load: &Load, count: u64, bearer: Bearer, to: Target) -> Arc<Line> {
        let bodies = (0..count).filter_map(|n| load.reading(n)).map(|r| r.body);
        Arc::new(Line {
            bodies: bodies.collect(),
            next: AtomicUsize::new(0),
            bearer,
            to,
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }
}

/// One connection of those who send.
struct Sending {
    line: Arc<Line>,
    /// Whether to begin again with the first body, and to be turned away is what is expected.
    floods: bool,
}

impl Client for Sending {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let line = &self.line;
        let mut n = line.next.fetch_add(1, Ordering::Relaxed);
        if self.floods {
            n %= line.bodies.len().max(1);
        }
        let body = line.bodies.get(n);
        body.is_some_and(|body| line.bearer.send(out, &line.to, body))
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        match answer.status {
            201 => {
                self.line.taken.fetch_add(1, Ordering::Relaxed);
                Ok(1)
            }
            // The first of the same identity again, once all were sent.
            200 if self.floods => Ok(0),
            429 if self.floods && answer.header("retry-after").is_some() => {
                self.line.refused.fetch_add(1, Ordering::Relaxed);
                Ok(0)
            }
            status => Err(format!("status {status}: {}", first_words(answer.body))),
        }
    }
}

async fn send(
    line: &Arc<Line>,
    floods: bool,
    clients: usize,
    plan: Plan,
) -> anyhow::Result<Driven> {
    let one = || {
        let line = line.clone();
        Box::new(Sending { line, floods }) as Box<dyn Client>
    };
    let clients = (0..clients).map(|_| one()).collect();
    drive(line.to.address, clients, plan).await
}

/// Measures the others alone, and beside the flooder.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::with_slow_devices(OF_A_DEVICE).await?;
    let hub = || ground.target(format!("{}/Observation", ground.hub()));
    let (others, floods) = (ground::load(6, PEOPLE)?, ground::load(7, 1)?);
    let steady = (setting.seconds + 1) * STEADY;
    say("making the readings");
    let line = Line::of(&others, 2 * steady, ground.home_system().await?, hub());
    let flood = Line::of(&floods, FLOOD, ground.home_system().await?, hub());
    let plan = || Plan::paced(setting.seconds, STEADY as f64);
    let mut found = Found::default();

    say(&format!("{STEADY} readings a second of {PEOPLE} people"));
    let alone = send(&line, false, HOMES, plan()).await?;
    found.judge(&alone);
    say("one device sends until it is turned away");
    let used_up = send(&flood, true, setting.clients, Plan::flat_out(1)).await?;
    found.judge(&used_up);
    say(&format!(
        "the same beside it, on {} connections",
        setting.clients
    ));
    let before = flood.refused.load(Ordering::Relaxed);
    let (beside, flooding) = tokio::join!(
        send(&line, false, HOMES, plan()),
        send(
            &flood,
            true,
            setting.clients,
            Plan::flat_out(setting.seconds)
        ),
    );
    let (beside, flooding) = (beside?, flooding?);
    found.judge(&beside);
    found.judge(&flooding);
    let refused = flood.refused.load(Ordering::Relaxed) - before;
    if refused == 0 {
        let words = "the flooder was never turned away: nothing was measured";
        found.wrong.push(words.to_owned());
    }
    ground
        .delivered(|receiver| receiver.starts_with(ground::orgnr()))
        .await?;
    for (load, line) in [(&others, &line), (&floods, &flood)] {
        let taken = line.taken.load(Ordering::Relaxed);
        verify(&ground, load, taken, &mut found).await?;
    }

    let time = |driven: &Driven, percent| -> anyhow::Result<Duration> {
        driven
            .times
            .percentile(percent)
            .context("nobody was answered")
    };
    let ms = |driven: &Driven, percent| {
        Ok::<f64, anyhow::Error>(rounded(milliseconds(time(driven, percent)?)))
    };
    let (taken, warm_up) = (flood.taken.load(Ordering::Relaxed), plan().warm_up);
    let slower = time(&beside, 50.0)?.as_secs_f64() / time(&alone, 50.0)?.as_secs_f64();
    let figure = Figure::new("flood/p50_ratio", slower, "")
        .under("what", "time of others' single Observations until the hub's durable acknowledgement, beside one device that sends without end, through the time without it")
        .under("others_per_second", STEADY)
        .under("others_p50_ms_alone", ms(&alone, 50.0)?)
        .under("others_p50_ms_beside", ms(&beside, 50.0)?)
        .under("others_p99_ms_alone", ms(&alone, 99.0)?)
        .under("others_p99_ms_beside", ms(&beside, 99.0)?)
        .under("flooders_connections", setting.clients as u64)
        .under("flooders_readings_taken_in_all", taken)
        .under("flooder_turned_away_per_second", per_second(refused, warm_up + Duration::from_secs(setting.seconds)))
        .under("flooders_answers_p50_ms", ms(&flooding, 50.0)?)
        .under("flooders_answers_p99_ms", ms(&flooding, 99.0)?)
        .under("device_per_minute", u64::from(OF_A_DEVICE))
        .under("seconds", setting.seconds)
        .under("generator", "same process and cores, flooder included; signs a fresh DPoP proof for each request")
        .under("checked", format!("each answer of the others 201; afterwards all acknowledged readings of both found by search at {OWNER}, once"));
    found.figures.push(figure);
    ground.close().await;
    Ok(found)
}
