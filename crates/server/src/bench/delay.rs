//! `delay`: how long a reading takes from the hub's durable acknowledgement to where a nurse meets it: until it can be searched at its
//! owner's sharing service, and until what the assessment makes of it by the patient's plan is there. One reading at a time, as at home.

use super::figure::Figure;
use super::ground::{Bearer, Ground, OWNER, orgnr};
use super::question::identifier;
use super::statistics::{Spread, milliseconds};
use super::{Found, Setting, say};
use crate::surroundings;
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::calendar::{Calendar, moment};
use testkit::event::Event;
use testkit::feed::Feed;
use testkit::home_system::HomeSystem;
use testkit::kinds::Kind;
use testkit::observation::{self, Author, Reading, observation};
use testkit::people::Directory;
use testkit::simulate::Sender;
use testkit::story::Scenario;
use trust::ClientUse;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// How long one reading may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Readings at least and at most; 45 minutes lie between two of them, and the plan has stood for three weeks.
const READINGS: std::ops::RangeInclusive<u32> = 20..=600;
const MINUTES: i64 = 45;
const BEGIN_DAYS: i64 = 20;
/// System of the names of what the assessment makes.
const ASSESSED: &str = "https://delt.example/fhir/assessment";

/// Measures it.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let ground = Ground::open().await?;
    let patient = Directory::demo().story_patient();
    let calendar = Calendar::at_first_start((surroundings::clock())());
    plan(&ground, &calendar).await?;
    let base = ground.service(OWNER);
    let bearer = ground.physician(&patient.number, &base).await?;
    let hub = ground.hub();
    let hub = hub
        .strip_suffix(wire::contract::hub::FHIR)
        .context("the hub's base")?;
    let home = HomeSystem::new(ground.party(ClientUse::HomeSystem, orgnr())?, hub);
    let search = Search {
        ground: &ground,
        bearer,
        url: format!("{base}/Observation/_search"),
        person: identifier(&patient.number)?,
    };
    let sender = Sender::of(orgnr());
    let (mut searchable, mut assessed) = (Vec::new(), Vec::new());
    let since = Instant::now();
    say("one reading at a time, looking for it each millisecond");
    for n in READINGS {
        if since.elapsed() > Duration::from_secs(setting.seconds) && searchable.len() >= 20 {
            break;
        }
        let now = jiff::Timestamp::from_microsecond((surroundings::clock())().0)?;
        let minutes = i64::from(n) * MINUTES - BEGIN_DAYS * 24 * 60;
        let taken =
            now.to_zoned(jiff::tz::TimeZone::UTC) + jiff::SignedDuration::from_mins(minutes);
        let key = format!("delay/{n}/{}", moment(&taken).0);
        let body = observation(&Reading {
            key: &key,
            kind: Kind::Spo2,
            value: "90",
            taken: &taken,
            issued: &taken,
            status: "final",
            patient,
            author: Author::Patient,
            responsible: observation::Responsible {
                system: fhir::systems::ORGNR,
                value: &sender.orgnr,
                name: &sender.name,
            },
            device: None,
        });
        let answer = home.send_one(body.to_string()).await?;
        let acknowledged = Instant::now();
        ensure!(
            answer.status == 201,
            "a reading was answered {}",
            answer.status
        );
        let (system, value) = observation::identifier(&key);
        let found = search
            .until(&format!("{system}|{value}"), acknowledged)
            .await?;
        searchable.push(acknowledged.elapsed());
        let id = found["id"].as_str().context("a reading without its id")?;
        search
            .until(&format!("{ASSESSED}|zone/{id}"), acknowledged)
            .await?;
        assessed.push(acknowledged.elapsed());
    }
    let mut found = Found::default();
    for (until, times) in [
        ("searchable at its owner's sharing service", searchable),
        (
            "assessed by the patient's plan there: its zone is found by search",
            assessed,
        ),
    ] {
        let times = Spread::of(times);
        for (metric, percent) in [("delay/p50_ms", 50.0), ("delay/p99_ms", 99.0)] {
            let time = times.percentile(percent).context("nothing was measured")?;
            let figure = Figure::new(metric, milliseconds(time), "ms")
                .under(
                    "from",
                    "the hub's durable acknowledgement of a single reading, as its sender has it",
                )
                .under("until", until)
                .under("readings", times.len() as u64)
                .under(
                    "sent",
                    "one after the other, each when the one before is assessed",
                )
                .under(
                    "resolution",
                    "looked for by a search each millisecond, which the figure includes",
                )
                .under(
                    "beside",
                    "delivery to the record system; every role in the same process",
                );
            found.figures.push(figure);
        }
    }
    ground.close().await;
    Ok(found)
}

/// Feeds the story's plan to the owner's service, as its record system does.
async fn plan(ground: &Ground, calendar: &Calendar) -> anyhow::Result<()> {
    let now = (surroundings::clock())();
    let all = Scenario::kols()?.events(Directory::demo(), calendar, now)?;
    let plans: Vec<Event> = all
        .into_iter()
        .filter(|one| one.resource_type == "CarePlan" && one.service == OWNER)
        .collect();
    let party = ground.party(ClientUse::RecordSystem, orgnr())?;
    let report = Feed::new(party, OWNER, &ground.service(OWNER))
        .play(&plans, |_, _| {})
        .await?;
    ensure!(
        report.accepted > 0 && report.refused.is_empty(),
        "the plan was not taken in"
    );
    Ok(())
}

struct Search<'a> {
    ground: &'a Ground,
    bearer: Bearer,
    url: String,
    person: String,
}

impl Search<'_> {
    /// Looks until what has this identifier is found.
    async fn until(&self, identifier: &str, since: Instant) -> anyhow::Result<Value> {
        loop {
            let form = [
                ("patient.identifier", self.person.as_str()),
                ("identifier", identifier),
            ];
            let mut bundle = self.ground.search(&self.bearer, &self.url, &form).await?;
            let entries = bundle["entry"].as_array_mut().into_iter().flatten();
            let mut found = entries.filter(|one| one["search"]["mode"] == "match");
            if let Some(one) = found.next() {
                ensure!(found.next().is_none(), "it is there twice");
                return Ok(one["resource"].take());
            }
            if since.elapsed() > PATIENCE {
                bail!("a reading was not there after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
