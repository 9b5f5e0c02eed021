//! `gateway`: what a look-up across organisations takes beyond its slowest source: finding the holders, a token for each,
//! asking all at once, merging, the signed receipt, and the gateway's own audit record.

use super::drive::{Client, Driven, Plan};
use super::figure::Figure;
use super::ground::{self, Bearer, Ground, Target};
use super::http::Answer;
use super::question::{first_words, identifier};
use super::statistics::{milliseconds, rounded};
use super::{Found, Setting, disk, drive, say};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::sync::Arc;
use testkit::bench_load::{FIVE, Load};
use testkit::people::Directory;

/// People whose data lies at every source.
const PEOPLE: usize = 20;
/// Readings of one person and kind at each source.
const EACH: u64 = 10;
/// Look-ups with a token that the gateway has not seen.
const COLD: usize = 150;

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

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let directory = Directory::demo();
    let services: Vec<(&str, &str)> = directory
        .services
        .iter()
        .map(|s| (s.id.as_str(), directory.orgnr(&s.organisation)))
        .collect();
    let load = ground::load(8, PEOPLE)?;
    say(&format!(
        "loading {EACH} readings of {} kinds of {PEOPLE} people at each of {} sources",
        FIVE.len(),
        services.len()
    ));
    let round = PEOPLE as u64 * FIVE.len() as u64;
    for (k, (service, _)) in services.iter().enumerate() {
        // Sitting by sitting in turn, so that every source holds some of every month.
        let sittings = (0..EACH).map(|s| s * services.len() as u64 + k as u64);
        disk::fill(
            ground.store(service)?,
            &load,
            sittings.flat_map(|s| s * round..(s + 1) * round),
            disk::Audit::EachReading,
        )
        .await?;
    }
    ground
        .delivered(|receiver| receiver == wire::contract::locator::OUTBOX_RECEIVER)
        .await?;

    let mut found = Found::default();
    let mut slowest: (f64, &str) = (0.0, "");
    for (service, _) in &services {
        say(&format!("one client at {service} alone"));
        let base = ground.service(service);
        let to = ground.target(format!("{base}/Observation/_search"));
        let asks = asks(&ground, &load, &base, "", EACH as usize, 0).await?;
        let driven = one_client(asks, false, to, setting.seconds).await?;
        found.judge(&driven);
        let p50 = median(&driven)?;
        if p50 > slowest.0 {
            slowest = (p50, service);
        }
    }

    let to = ground.target(format!("{}/Observation/_search", ground.gateway()));
    let organisations: Vec<&str> = services.iter().map(|(_, orgnr)| *orgnr).collect();
    let organisations = organisations.join(",");
    let all = EACH as usize * services.len();
    say("one client at the gateway, tokens it knows");
    let warm = asks(
        &ground,
        &load,
        &ground.gateway(),
        &organisations,
        all,
        services.len(),
    )
    .await?;
    let warm = one_client(warm, false, to.clone(), setting.seconds).await?;
    found.judge(&warm);
    say("one client at the gateway, a new token for each look-up");
    let mut cold = Vec::with_capacity(COLD);
    while cold.len() < COLD {
        cold.extend(
            asks(
                &ground,
                &load,
                &ground.gateway(),
                &organisations,
                all,
                services.len(),
            )
            .await?,
        );
    }
    cold.truncate(COLD);
    let cold = one_client(cold, true, to, setting.seconds).await?;
    found.judge(&cold);
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
        let p99 = driven
            .times
            .percentile(99.0)
            .map_or(Value::Null, |t| rounded(milliseconds(t)).into());
        found.figures.push(
            Figure::new("gateway/added_ms", p50 - slowest.0, "ms")
                .under("tokens", words)
                .under("what", "p50 of a look-up at the gateway less p50 of the same question at the slowest source alone, one client")
                .under("sources", services.len() as u64)
                .under("found_by", "locator (3 members) and organisations chosen from the catalogue")
                .under("gateway_p50_ms", rounded(p50))
                .under("gateway_p99_ms", p99)
                .under("slowest_source", slowest.1)
                .under("slowest_source_p50_ms", rounded(slowest.0))
                .under("readings_in_answer", all as u64)
                .under("answers", driven.times.len() as u64)
                .under("where", "gateway, anchor, locator, catalogue and all sources in one process on the same cores as the generator")
                .under("checked", "each answer: all readings, every source complete"),
        );
    }
    ground.close().await;
    Ok(found)
}

/// One question a person, each with a new token for this audience.
async fn asks(
    ground: &Ground,
    load: &Load,
    audience: &str,
    organisations: &str,
    matches: usize,
    complete: usize,
) -> anyhow::Result<Vec<Ask>> {
    let mut asks = Vec::with_capacity(PEOPLE);
    for (n, patient) in load.numbers().enumerate() {
        let kind = FIVE[n % FIVE.len()];
        let code = kind.codes().loinc.map_or_else(String::new, |(code, _)| {
            format!("{}|{code}", fhir::systems::LOINC)
        });
        let person = identifier(patient)?;
        let mut form = vec![
            ("patient.identifier", person.as_str()),
            ("code", code.as_str()),
            ("_count", "50"),
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

async fn one_client(
    asks: Vec<Ask>,
    once: bool,
    to: Target,
    seconds: u64,
) -> anyhow::Result<Driven> {
    ensure!(!asks.is_empty(), "there is nothing to ask");
    let address = to.address;
    let client = Asking {
        asks,
        turn: 0,
        once,
        to,
    };
    drive(
        address,
        vec![Box::new(client)],
        if once {
            Plan::all()
        } else {
            Plan::flat_out(seconds)
        },
    )
    .await
}

fn median(driven: &Driven) -> anyhow::Result<f64> {
    let words = || driven.words.join(" | ");
    driven
        .times
        .median()
        .map(milliseconds)
        .with_context(|| format!("no right answer: {}", words()))
}
