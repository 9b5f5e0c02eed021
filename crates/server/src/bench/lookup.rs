//! `lookup`: one patient's 50 newest readings of one kind, at one sharing service's `POST Observation/_search`, by a
//! practitioner with an attest.

use super::drive::Plan;
use super::figure::Figure;
use super::ground::{self, Ground, OWNER, Target};
use super::limit::{Signature, Static};
use super::question::{Asking, NEWEST, Once, Question, learn_all};
use super::statistics::{milliseconds, per_second};
use super::{Found, Setting, disk, drive, say};
use std::sync::Arc;
use testkit::bench_load::FIVE;

/// Readings in the store unless said otherwise.
const READINGS: u64 = 50_000;
/// Readings of one patient and kind: twice what is asked for.
const SERIES: u64 = 2 * NEWEST as u64;
/// First uses of a token that are measured.
const COLD: usize = 300;
/// Patients that are asked for at most: a token each, and their answers must fit in the generator's memory.
const ASKED: usize = 200;

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let readings = setting
        .readings
        .unwrap_or(READINGS)
        .next_multiple_of(SERIES * FIVE.len() as u64);
    let load = ground::load(1, usize::try_from(readings / SERIES / FIVE.len() as u64)?)?;
    say(&format!("loading {readings} readings"));
    disk::fill(
        ground.store(OWNER)?,
        &load,
        0..readings,
        disk::Audit::EachReading,
    )
    .await?;
    let base = ground.service(OWNER);
    let to = ground.target(format!("{base}/Observation/_search"));
    let people: Vec<&str> = load.numbers().take(ASKED).collect();
    let mut questions = Vec::new();
    for patient in &people {
        let bearer = ground.physician(patient, &base).await?;
        for kind in FIVE {
            questions.push(Question::new(patient, kind, bearer.clone())?);
        }
    }
    say(&format!("learning {} answers", questions.len()));
    let questions = learnt(questions, &to).await?;
    let bytes = questions.iter().map(|q| q.whole.len()).sum::<usize>() / questions.len();

    let mut found = Found::default();
    say(&format!("{} clients, flat out", setting.clients));
    let flat = drive(
        to.address,
        Asking::clients(&questions, &to, setting.clients),
        Plan::flat_out(setting.seconds),
    )
    .await?;
    found.judge(&flat);
    let rate = per_second(flat.units, flat.elapsed);

    say("the bare limit: the same requests, answered with the same bytes by a static server");
    let checked = limit(
        &questions,
        &to,
        setting,
        Some(Signature::new(2_000)?),
        &mut found,
    )
    .await?;
    let bare = limit(&questions, &to, setting, None, &mut found).await?;

    say(&format!("half of that load, {:.0} a second", rate / 2.0));
    let half = drive(
        to.address,
        Asking::clients(&questions, &to, setting.clients),
        Plan::paced(setting.seconds, rate / 2.0),
    )
    .await?;
    found.judge(&half);

    say("first use of a token on a new connection");
    let mut fresh = Vec::with_capacity(COLD);
    for n in 0..COLD {
        let question = &questions[n * 37 % questions.len()];
        fresh.push(question.with(ground.physician(&question.patient, &base).await?));
    }
    let cold = drive(
        to.address,
        Once::client(fresh, &to),
        Plan {
            fresh_connections: true,
            ..Plan::all()
        },
    )
    .await?;
    found.judge(&cold);

    let common = |figure: Figure| {
        figure
            .under("what", "one patient's 50 newest readings of one kind, POST Observation/_search at one sharing service, practitioner with attest")
            .under("readings", readings)
            .under("patients", load.numbers().count() as u64)
            .under("answer_bytes", bytes as u64)
            .under("on", "token, DPoP, policy, durable audit of each answer")
            .under("generator", "same process and cores; signs a fresh DPoP proof for each request, compares each answer byte for byte")
    };
    let clients = setting.clients as u64;
    let percentile = |metric, percent| {
        let value = half
            .times
            .percentile(percent)
            .map_or(f64::NAN, milliseconds);
        common(Figure::new(metric, value, "ms"))
            .under(
                "load",
                "half of lookup/per_second, steady pace, late answers delay later ones",
            )
            .under("offered_per_second", (rate / 2.0).round())
            .under("clients", clients)
            .under("answers", half.times.len() as u64)
    };
    found.figures.push(percentile("lookup/p50_ms", 50.0));
    found.figures.push(percentile("lookup/p99_ms", 99.0));
    found.figures.push(
        common(Figure::new("lookup/per_second", rate, "1/s"))
            .beside(checked)
            .under("clients", clients)
            .under("seconds", setting.seconds)
            .using(&flat)
            .under(
                "limit",
                "static server, same bytes, one bare ES256 check a request, same generator",
            )
            .under("static_without_check_per_second", bare.round()),
    );
    found.figures.push(
        common(Figure::new("lookup/cold_p50_ms", cold.times.median().map_or(f64::NAN, milliseconds), "ms"))
            .under("cold", "first use of each token, a new connection for each request, nothing else running; the store's pages are warm")
            .under("clients", 1)
            .under("answers", cold.times.len() as u64),
    );
    ground.close().await;
    Ok(found)
}

/// Learns the answers on a thread that may block.
async fn learnt(mut questions: Vec<Question>, to: &Target) -> anyhow::Result<Arc<Vec<Question>>> {
    let to = to.clone();
    tokio::task::spawn_blocking(move || {
        learn_all(&mut questions, &to).map(|()| Arc::new(questions))
    })
    .await?
}

/// Requests a second of a static server for the same requests; every client asks the one question that it knows.
async fn limit(
    questions: &Arc<Vec<Question>>,
    to: &Target,
    setting: Setting,
    signature: Option<Signature>,
    found: &mut Found,
) -> anyhow::Result<f64> {
    let Some(first) = questions.first() else {
        return Ok(0.0);
    };
    let server = Static::start(first.whole.clone(), signature).await?;
    let one = Arc::new(vec![first.again()]);
    let to = Target {
        address: server.address,
        ..to.clone()
    };
    let driven = drive(
        server.address,
        Asking::clients(&one, &to, setting.clients),
        Plan::flat_out(setting.seconds),
    )
    .await?;
    found.judge(&driven);
    server.close().await;
    Ok(per_second(driven.units, driven.elapsed))
}
