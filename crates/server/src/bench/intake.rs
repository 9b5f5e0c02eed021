//! `intake-single` and `intake-bundle`: readings from a home system at the hub until its durable acknowledgement, and until
//! they can be searched in their owner's store.

use super::drive::{Client, Driven, Plan};
use super::figure::Figure;
use super::ground::{self, Bearer, Ground, OWNER, Target};
use super::http::Answer;
use super::question::{first_words, identifier};
use super::statistics::{milliseconds, per_second};
use super::{Found, Setting, drive, say};
use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::bench_load::{FIVE, Load};

/// Single readings made ahead, for each second that is measured.
const SINGLES_A_SECOND: u64 = 6_000;
/// Readings in bundles unless said otherwise.
const BUNDLED: u64 = 40_000;
/// Entries of a bundle.
const ENTRIES: u64 = 100;
/// Clients that send bundles at most: a home system sends few at a time.
const SENDERS: usize = 8;

/// Bodies that are ready to be sent, each once.
struct Ready {
    bodies: Vec<Bytes>,
    next: AtomicUsize,
    bearer: Bearer,
    to: Target,
    /// Readings in a body.
    each: u64,
}

/// A home system.
struct Sending {
    ready: Arc<Ready>,
    sent: usize,
}

impl Client for Sending {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.sent = self.ready.next.fetch_add(1, Ordering::Relaxed);
        self.ready
            .bodies
            .get(self.sent)
            .is_some_and(|body| self.ready.bearer.send(out, &self.ready.to, body))
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        if self.ready.each == 1 {
            let taken = answer.status == 201
                && answer
                    .header("location")
                    .is_some_and(|place| place.starts_with("Observation/"));
            return if taken {
                Ok(1)
            } else {
                Err(format!(
                    "status {}: {}",
                    answer.status,
                    first_words(answer.body)
                ))
            };
        }
        let bundle: Value = serde_json::from_slice(answer.body)
            .map_err(|e| format!("status {}: {e}", answer.status))?;
        let entries = bundle["entry"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let taken = entries
            .iter()
            .filter(|e| {
                e["response"]["status"]
                    .as_str()
                    .is_some_and(|s| s.starts_with("201"))
            })
            .count() as u64;
        match taken == self.ready.each && entries.len() as u64 == self.ready.each {
            true => Ok(taken),
            false => Err(format!(
                "status {}: {taken} of {} entries were taken in: {}",
                answer.status,
                entries.len(),
                first_words(answer.body)
            )),
        }
    }
}

async fn send(ready: Ready, clients: usize, plan: Plan) -> anyhow::Result<Driven> {
    let address = ready.to.address;
    let ready = Arc::new(ready);
    let clients = (0..clients)
        .map(|_| {
            Box::new(Sending {
                ready: ready.clone(),
                sent: 0,
            }) as Box<dyn Client>
        })
        .collect();
    drive(address, clients, plan).await
}

/// Measures single readings.
pub async fn single(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let readings = setting
        .readings
        .unwrap_or((setting.seconds + 1) * SINGLES_A_SECOND);
    let patients = patients(readings);
    let load = ground::load(3, patients)?;
    say(&format!("making {readings} readings"));
    let bodies: Vec<Bytes> = (0..readings)
        .filter_map(|n| load.reading(n))
        .map(|r| r.body)
        .collect();
    let ready = Ready {
        bodies,
        next: AtomicUsize::new(0),
        bearer: ground.home_system().await?,
        to: ground.target(format!("{}/Observation", ground.hub())),
        each: 1,
    };
    say(&format!("{} clients, flat out", setting.clients));
    let driven = send(ready, setting.clients, Plan::flat_out(setting.seconds)).await?;
    let mut found = Found::default();
    found.judge(&driven);
    say(&format!(
        "{} taken in; waiting until they are delivered",
        driven.units_in_all
    ));
    ground
        .delivered(|receiver| receiver.starts_with(ground::orgnr()))
        .await?;
    verify(&ground, &load, driven.units_in_all, &mut found).await?;
    let figure = Figure::new("intake-single/per_second", per_second(driven.units, driven.elapsed), "1/s")
        .under("what", "single Observations, POST {hub}/fhir/Observation, until the hub's durable acknowledgement")
        .under("clients", setting.clients as u64)
        .under("seconds", rounded_seconds(driven.elapsed))
.using(&driven)
        .under("patients", patients as u64)
        .under("answer_p50_ms", driven.times.median().map_or(Value::Null, |t| super::statistics::rounded(milliseconds(t)).into()))
        .under("beside", "deliveries to record system and sharing service in the same process at the same time")
        .under("generator", "same process and cores; signs a fresh DPoP proof for each request; bodies made ahead")
        .under("checked", "each answer 201 with its place; afterwards all acknowledged readings found by search at their owner");
    found.figures.push(figure);
    ground.close().await;
    Ok(found)
}

/// Measures bundles of one hundred: of one patient, and of one hundred patients.
pub async fn bundles(setting: Setting) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for (seed, together) in [(4, true), (5, false)] {
        bundled(setting, seed, together, &mut found).await?;
    }
    Ok(found)
}

async fn bundled(
    setting: Setting,
    seed: u64,
    together: bool,
    found: &mut Found,
) -> anyhow::Result<()> {
    let ground = Ground::open().await?;
    let readings = setting
        .readings
        .unwrap_or(BUNDLED)
        .next_multiple_of(ENTRIES * ENTRIES);
    // A hundred readings of each patient: a bundle of one patient holds them all, one of a hundred patients one of each.
    let patients = readings / ENTRIES;
    let load = ground::load(seed, usize::try_from(patients)?)?;
    let of = if together {
        "one patient"
    } else {
        "a hundred patients"
    };
    say(&format!("making {} bundles of {of}", readings / ENTRIES));
    let bodies: Vec<Bytes> = (0..readings / ENTRIES)
        .filter_map(|n| bundle(&load, n, patients, together))
        .collect();
    let clients = setting.clients.min(SENDERS);
    let ready = Ready {
        bodies,
        next: AtomicUsize::new(0),
        bearer: ground.home_system().await?,
        to: ground.target(ground.hub()),
        each: ENTRIES,
    };
    say(&format!("{clients} clients, flat out"));
    let receiver = format!("{}/sharing", ground::orgnr());
    let since = Instant::now();
    let sent = send(ready, clients, Plan::all()).await?;
    found.judge(&sent);
    say(&format!(
        "{} taken in; waiting until they can be searched",
        sent.units_in_all
    ));
    ground.delivered(|name| name == receiver).await?;
    let searchable = since.elapsed();
    verify(&ground, &load, sent.units_in_all, found).await?;
    let common = |figure: Figure| {
        figure
            .under("what", format!("Bundles of {ENTRIES} Observations of {of}, POST {{hub}}/fhir"))
            .under("clients", clients as u64)
            .under("readings", readings)
            .under("generator", "same process and cores; signs a fresh DPoP proof for each bundle; bodies made ahead")
            .under("checked", "each entry of each answer 201; afterwards all readings found by search at their owner")
    };
    found.figures.push(
        common(Figure::new(
            "intake-bundle/per_second",
            per_second(sent.units, sent.elapsed),
            "1/s",
        ))
        .under("until", "the hub's durable acknowledgement")
        .under("seconds", rounded_seconds(sent.elapsed))
        .using(&sent)
        .under(
            "answer_p50_ms",
            sent.times.median().map_or(Value::Null, |t| {
                super::statistics::rounded(milliseconds(t)).into()
            }),
        )
        .under(
            "beside",
            "deliveries to record system and sharing service in the same process at the same time",
        ),
    );
    found.figures.push(
        common(Figure::new("intake-bundle/searchable_per_second", per_second(sent.units, searchable), "1/s"))
            .under("until", "durable and searchable in the owner's sharing service, from the first bundle sent to the last reading")
            .under("seconds", rounded_seconds(searchable)),
    );
    ground.close().await;
    Ok(())
}

/// Bundle number `n`: patient `n`'s hundred readings, or one round of a hundred patients.
fn bundle(load: &Load, n: u64, patients: u64, together: bool) -> Option<Bytes> {
    let mut out = br#"{"resourceType":"Bundle","type":"batch","entry":["#.to_vec();
    for k in 0..ENTRIES {
        let reading = load.reading(if together {
            k * patients + n
        } else {
            n * ENTRIES + k
        })?;
        if k > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"resource":"#);
        out.extend_from_slice(&reading.body);
        out.extend_from_slice(br#","request":{"method":"POST","url":"Observation"}}"#);
    }
    out.extend_from_slice(b"]}");
    Some(out.into())
}

fn patients(readings: u64) -> usize {
    usize::try_from(readings / 100).unwrap_or(1).max(1)
}

fn rounded_seconds(time: Duration) -> f64 {
    super::statistics::rounded(time.as_secs_f64())
}

/// Counts what a physician finds at the owner: every acknowledged reading, and none twice.
pub async fn verify(
    ground: &Ground,
    load: &Load,
    expected: u64,
    found: &mut Found,
) -> anyhow::Result<()> {
    say("looking all of them up");
    let base = ground.service(OWNER);
    let mut seen = std::collections::HashSet::new();
    let mut count = 0;
    for patient in load.numbers() {
        let bearer = ground.physician(patient, &base).await?;
        for kind in FIVE {
            count += find(ground, &bearer, &base, patient, kind, &mut seen).await?;
        }
    }
    if count != expected || seen.len() as u64 != expected {
        found.wrong.push(format!(
            "{expected} readings were acknowledged, {count} are found, {} of them different",
            seen.len()
        ));
    }
    Ok(())
}

async fn find(
    ground: &Ground,
    bearer: &Bearer,
    base: &str,
    patient: &str,
    kind: testkit::kinds::Kind,
    seen: &mut std::collections::HashSet<String>,
) -> anyhow::Result<u64> {
    let url = format!("{base}/Observation/_search");
    let code = kind.codes().loinc.map_or("", |(code, _)| code);
    let person = identifier(patient)?;
    let form = [
        ("patient.identifier", person.as_str()),
        ("code", code),
        ("_count", "200"),
    ];
    let bundle = ground.search(bearer, &url, &form).await?;
    let links = bundle["link"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ensure!(
        !links.iter().any(|l| l["relation"] == "next"),
        "more than 200 readings of one patient and kind; send fewer"
    );
    let entries = bundle["entry"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for entry in entries {
        let key = entry["resource"]["identifier"][0]["value"]
            .as_str()
            .context("a reading without identifier")?;
        seen.insert(key.to_owned());
    }
    Ok(entries.len() as u64)
}
