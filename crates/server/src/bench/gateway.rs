//! `gateway`: what a look-up across organisations takes beyond its slowest source: finding the holders, a token for each,
//! asking all at once, merging, the signed receipt, and the gateway's own audit record; and how many of them a second. For 1, 5,
//! 10 and 20 sources.

use super::drive::{Client, Driven, Plan};
use super::figure::Figure;
use super::ground::{self, Bearer, Ground, Target};
use super::http::Answer;
use super::question::{first_words, identifier};
use super::statistics::{Spread, milliseconds, rounded};
use super::{Found, Setting, disk, drive, say};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use testkit::bench_load::FIVE;
use testkit::people::Directory;

/// How many sources are asked at once.
const SOURCES: [usize; 4] = [1, 5, 10, 20];
/// People whose data lies at that many sources each.
const PEOPLE: usize = 20;
/// Readings of one person and kind at each source.
const EACH: u64 = 10;
/// Look-ups with a token that the gateway has not seen.
const COLD: usize = 150;
/// Times that all sources are asked at the same moment without the gateway.
const ROUNDS: usize = 200;

/// One look-up and what must come of it.
struct Ask {
    bearer: Bearer,
    form: Arc<str>,
    matches: usize,
    /// Sources that must say `complete`; 0 at a source itself, which writes no receipt.
    complete: usize,
}

struct Asking {
    asks: Vec<Ask>,
    turn: usize,
    /// Asks each once, else over and over.
    once: bool,
    to: Target,
}

impl Client for Asking {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.turn += 1;
        if self.once && self.turn > self.asks.len() {
            return false;
        }
        let ask = &self.asks[(self.turn - 1) % self.asks.len()];
        ask.bearer.search(out, &self.to, &ask.form)
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        let ask = &self.asks[(self.turn - 1) % self.asks.len()];
        if answer.status != 200 {
            return Err(format!(
                "status {}: {}",
                answer.status,
                first_words(answer.body)
            ));
        }
        let bundle: Value = serde_json::from_slice(answer.body).map_err(|e| e.to_string())?;
        let entries = bundle["entry"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let matches = entries
            .iter()
            .filter(|e| e["search"]["mode"] == "match")
            .count();
        let issues = entries
            .iter()
            .filter(|e| e["search"]["mode"] == "outcome")
            .filter_map(|e| e["resource"]["issue"].as_array())
            .flatten();
        let complete = issues
            .filter(|i| {
                i["details"]["coding"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|c| c["code"] == "complete"))
            })
            .count();
        if matches == ask.matches && complete == ask.complete {
            return Ok(1);
        }
        Err(format!(
            "{matches} readings and {complete} complete sources instead of {} and {}",
            ask.matches, ask.complete
        ))
    }
}

/// Where clients wait for each other before each round; for one who has left, not for ever.
struct Together {
    of: usize,
    /// The round, and how many are ready for it.
    ready: Mutex<(usize, usize)>,
    all: Condvar,
}

impl Together {
    fn wait(&self) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let round = ready.0;
        ready.1 += 1;
        if ready.1 == self.of {
            *ready = (round + 1, 0);
            self.all.notify_all();
            return;
        }
        let patience = Duration::from_secs(5);
        let same = |now: &mut (usize, usize)| now.0 == round;
        drop(self.all.wait_timeout_while(ready, patience, same));
    }
}

/// One of those who ask the sources at the same moment, one each; of each round the slowest answer is kept.
struct AtOnce {
    asking: Asking,
    together: Arc<Together>,
    asked: Instant,
    /// Nanoseconds.
    slowest: Arc<[AtomicU64]>,
}

impl Client for AtOnce {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        // As many rounds for each, so that nobody waits for one who has left.
        if self.asking.turn == self.slowest.len() || !self.asking.next(out) {
            return false;
        }
        self.together.wait();
        self.asked = Instant::now();
        true
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        let took = u64::try_from(self.asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.slowest[self.asking.turn - 1].fetch_max(took, Ordering::Relaxed);
        self.asking.check(answer)
    }
}

/// Measures, for each number of sources: what the gateway takes beyond the slowest of them, with tokens that it knows and with
/// new ones, and how many look-ups a second it gives.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let most = SOURCES.into_iter().max().unwrap_or(1);
    let ground = Ground::of(Directory::with_more_sources(most)).await?;
    let services = ground.sources(most)?;
    let load = ground::load(8, PEOPLE * SOURCES.len())?;
    say(&format!(
        "loading {EACH} readings of {} kinds of {PEOPLE} people at each of {SOURCES:?} sources",
        FIVE.len()
    ));
    let people = (PEOPLE * SOURCES.len()) as u64;
    let round = people * FIVE.len() as u64;
    for (k, (service, _)) in services.iter().enumerate() {
        // Sitting by sitting in turn, so that every source holds some of every month.
        let sittings = (0..EACH).map(|s| s * services.len() as u64 + k as u64);
        let held = |n: &u64| {
            let group = (n % people) as usize / PEOPLE;
            SOURCES.get(group).is_some_and(|sources| k < *sources)
        };
        let readings = sittings.flat_map(|s| s * round..(s + 1) * round);
        let store = ground.store(service)?;
        disk::fill(
            store,
            &load,
            readings.filter(held),
            disk::Audit::EachReading,
        )
        .await?;
    }
    ground
        .delivered(|receiver| receiver == wire::contract::locator::OUTBOX_RECEIVER)
        .await?;

    let mut found = Found::default();
    let everywhere: Vec<&str> = load.numbers().skip(PEOPLE * (SOURCES.len() - 1)).collect();
    let mut alone: Vec<(f64, &str)> = Vec::new();
    say("one client at each source alone");
    for (service, _) in &services {
        let base = ground.service(service);
        let to = ground.target(format!("{base}/Observation/_search"));
        let asks = asks(&ground, &everywhere, &base, "", (EACH as usize, 0)).await?;
        let seconds = (setting.seconds / services.len() as u64).max(1);
        let driven = clients(vec![asks], false, &to, seconds).await?;
        found.judge(&driven);
        alone.push((median(&driven)?, service.as_str()));
    }

    let to = ground.target(format!("{}/Observation/_search", ground.gateway()));
    for (group, sources) in SOURCES.into_iter().enumerate() {
        let people: Vec<&str> = load.numbers().skip(group * PEOPLE).take(PEOPLE).collect();
        let named = services
            .iter()
            .take(sources)
            .map(|(_, orgnr)| orgnr.as_str());
        let named = named.collect::<Vec<_>>().join(",");
        let slowest = alone.iter().take(sources).copied();
        let slowest = slowest.fold((0.0, ""), |a, b| if b.0 > a.0 { b } else { a });
        let expected = (EACH as usize * sources, sources);
        let gateway = ground.gateway();
        let new = async || asks(&ground, &people, &gateway, &named, expected).await;

        say(&format!(
            "{sources} sources: all asked at the same moment, without the gateway"
        ));
        let (direct, at_once) = at_once(&ground, &services[..sources], &people).await?;
        found.judge(&direct);
        say(&format!(
            "{sources} sources: one client, tokens that the gateway knows"
        ));
        let warm = clients(vec![new().await?], false, &to, setting.seconds).await?;
        found.judge(&warm);
        say(&format!(
            "{sources} sources: one client, a new token for each look-up"
        ));
        let mut cold = Vec::with_capacity(COLD);
        while cold.len() < COLD {
            cold.extend(new().await?);
        }
        cold.truncate(COLD);
        let cold = clients(vec![cold], true, &to, setting.seconds).await?;
        found.judge(&cold);
        say(&format!("{sources} sources: {} clients", setting.clients));
        let mut many = Vec::with_capacity(setting.clients);
        for _ in 0..setting.clients {
            many.push(new().await?);
        }
        let many = clients(many, false, &to, setting.seconds).await?;
        found.judge(&many);

        let common = |figure: Figure| {
            figure
                .under("sources", sources as u64)
                .under("readings_in_answer", expected.0 as u64)
                .under("found_by", "locator (members that hold something) and organisations chosen from the catalogue")
                .under("where", "gateway, anchor, locator, catalogue and all sources in one process on the same cores as the generator")
                .under("checked", "each answer: all readings, every source complete")
        };
        for (driven, words) in [
            (
                &warm,
                "warm: the user's token was exchanged for each source before",
            ),
            (
                &cold,
                "cold: the user's token is new, so a token is exchanged for the locator and for each source",
            ),
        ] {
            let p50 = median(driven)?;
            let p99 = driven.times.percentile(99.0);
            let p99 = p99.map_or(Value::Null, |t| rounded(milliseconds(t)).into());
            found.figures.push(
                common(Figure::new("gateway/added_ms", p50 - slowest.0, "ms"))
                    .under("tokens", words)
                    .under("what", "p50 of a look-up at the gateway less p50 of the same question at the slowest source alone, one client")
                    .under("gateway_p50_ms", rounded(p50))
                    .under("gateway_p99_ms", p99)
                    .under("slowest_source", slowest.1)
                    .under("slowest_source_p50_ms", rounded(slowest.0))
                    .under("slowest_when_all_are_asked_at_once_p50_ms", rounded(at_once))
                    .under("added_beyond_that_ms", rounded(p50 - at_once))
                    .under("answers", driven.times.len() as u64),
            );
        }
        let rate = many.units as f64 / many.elapsed.as_secs_f64().max(f64::EPSILON);
        found.figures.push(
            common(Figure::new("gateway/per_second", rate, "1/s"))
                .under(
                    "what",
                    "look-ups at the gateway, all clients at once, tokens that it knows",
                )
                .under("clients", setting.clients as u64)
                .under("seconds", setting.seconds)
                .using(&many),
        );
    }
    ground.close().await;
    Ok(found)
}

/// Asks the sources the same question at the same moment, each by a client of its own: what a look-up costs on this machine
/// before anything is found, exchanged, merged or signed. Gives the median of the slowest answer of each round, in milliseconds.
async fn at_once(
    ground: &Ground,
    services: &[(String, String)],
    people: &[&str],
) -> anyhow::Result<(Driven, f64)> {
    let together = Arc::new(Together {
        of: services.len(),
        ready: Mutex::default(),
        all: Condvar::new(),
    });
    let slowest: Arc<[AtomicU64]> = (0..ROUNDS).map(|_| AtomicU64::new(0)).collect();
    let mut all: Vec<Box<dyn Client>> = Vec::new();
    for (service, _) in services {
        let base = ground.service(service);
        let asking = Asking {
            asks: asks(ground, people, &base, "", (EACH as usize, 0)).await?,
            turn: 0,
            once: false,
            to: ground.target(format!("{base}/Observation/_search")),
        };
        all.push(Box::new(AtOnce {
            asking,
            together: together.clone(),
            asked: Instant::now(),
            slowest: slowest.clone(),
        }));
    }
    let driven = drive(ground.address(), all, Plan::all()).await?;
    let times = slowest.iter().map(|one| one.load(Ordering::Relaxed));
    let times = Spread::of(times.map(Duration::from_nanos).collect());
    let median = times
        .median()
        .map(milliseconds)
        .context("nothing was asked")?;
    Ok((driven, median))
}

/// One question a person, each with a new token for this audience; with how many readings and complete sources must come.
async fn asks(
    ground: &Ground,
    people: &[&str],
    audience: &str,
    organisations: &str,
    (matches, complete): (usize, usize),
) -> anyhow::Result<Vec<Ask>> {
    let mut asks = Vec::with_capacity(people.len());
    for (n, patient) in people.iter().enumerate() {
        let kind = FIVE[n % FIVE.len()];
        let code = kind.codes().loinc.map_or_else(String::new, |(code, _)| {
            format!("{}|{code}", fhir::systems::LOINC)
        });
        let person = identifier(patient)?;
        let mut form = vec![
            ("patient.identifier", person.as_str()),
            ("code", code.as_str()),
            ("_count", "200"),
        ];
        if !organisations.is_empty() {
            form.push((wire::contract::gateway::ORGANIZATION, organisations));
        }
        let form = wire::form::write(form).into();
        asks.push(Ask {
            bearer: ground.physician(patient, audience).await?,
            form,
            matches,
            complete,
        });
    }
    Ok(asks)
}

/// One client for each list of questions.
async fn clients(
    lists: Vec<Vec<Ask>>,
    once: bool,
    to: &Target,
    seconds: u64,
) -> anyhow::Result<Driven> {
    ensure!(
        lists.iter().all(|asks| !asks.is_empty()),
        "there is nothing to ask"
    );
    let client = |asks| -> Box<dyn Client> {
        Box::new(Asking {
            asks,
            turn: 0,
            once,
            to: to.clone(),
        })
    };
    let clients = lists.into_iter().map(client).collect();
    let plan = match once {
        true => Plan::all(),
        false => Plan::flat_out(seconds),
    };
    drive(to.address, clients, plan).await
}

fn median(driven: &Driven) -> anyhow::Result<f64> {
    let words = || driven.words.join(" | ");
    driven
        .times
        .median()
        .map(milliseconds)
        .with_context(|| format!("no right answer: {}", words()))
}
