//! `delay`: how long a reading takes from the hub's durable acknowledgement to where a nurse meets it: until it can be searched at its
//! owner's sharing service, until what the assessment makes of it by the patient's plan is there, until the row of her list says both, and until
//! the portal's page has that row. One reading at a time, as at home.

use super::figure::Figure;
use super::ground::{Bearer, Ground, OWNER, orgnr};
use super::question::identifier;
use super::statistics::{Spread, milliseconds};
use super::{Found, Setting, say};
use crate::surroundings;
use anyhow::{Context, bail, ensure};
use fhir::time::parse_instant;
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::browser::{Browser, Page};
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
use wire::client::Request;
use wire::contract::work_list::{KNOWN, WORK_LIST, WorkList};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// How long one reading may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Readings at least and at most.
const LEAST: usize = 20;
const MOST: i64 = 600;
/// They are of the last days, for the list looks a week back, and all of them over; the plan has stood for three weeks.
const MINUTES: i64 = 14;
const BEGIN_DAYS: i64 = 6;
/// Until when, and how that is seen.
const UNTIL: [(&str, &str); 4] = [
    (
        "searchable at its owner's sharing service",
        "a search by its identifier, by a physician's token",
    ),
    (
        "assessed by the patient's plan there",
        "a search for its zone, by the same token",
    ),
    (
        "the row of the work list says it, with its zone",
        "Task/$work-list at the owner's service, by a nurse's token, with what she knows already",
    ),
    (
        "the nurse's page in the portal has that row",
        "/list/rows of her session, as the page's script asks; the demo's portal takes a new token for each look",
    ),
];
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
    let mut list = List {
        ground: &ground,
        bearer: ground.nurse(&base).await?,
        url: format!("{base}{WORK_LIST}"),
        known: None,
    };
    let mut portal = Portal::open(&ground).await?;
    let sender = Sender::of(orgnr());
    let mut times: [Vec<Duration>; UNTIL.len()] = Default::default();
    let begun = Instant::now();
    say("one reading at a time, looking for it each millisecond");
    for n in 0..MOST {
        if begun.elapsed() > Duration::from_secs(setting.seconds) && times[0].len() >= LEAST {
            break;
        }
        let now = jiff::Timestamp::from_microsecond((surroundings::clock())().0)?;
        let minutes = n * MINUTES - BEGIN_DAYS * 24 * 60;
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
        let measured = body["effectiveDateTime"].as_str().unwrap_or_default();
        let measured = parse_instant(measured).context("a reading without its time")?;
        let answer = home.send_one(body.to_string()).await?;
        let since = Instant::now();
        ensure!(
            answer.status == 201,
            "a reading was answered {}",
            answer.status
        );
        let (system, value) = observation::identifier(&key);
        let found = search.until(&format!("{system}|{value}"), since).await?;
        times[0].push(since.elapsed());
        let id = found["id"].as_str().context("a reading without its id")?;
        let judged = format!("{ASSESSED}|zone/{id}");
        search.until(&judged, since).await?;
        times[1].push(since.elapsed());
        list.until(measured, since).await?;
        times[2].push(since.elapsed());
        portal.until(measured, since).await?;
        times[3].push(since.elapsed());
    }
    let mut found = Found::default();
    for ((until, looked), times) in UNTIL.into_iter().zip(times) {
        let times = Spread::of(times);
        for (metric, percent) in [("delay/p50_ms", 50.0), ("delay/p99_ms", 99.0)] {
            let time = times.percentile(percent).context("nothing was measured")?;
            let figure = Figure::new(metric, milliseconds(time), "ms")
                .under(
                    "from",
                    "the hub's durable acknowledgement of a single reading, as its sender has it",
                )
                .under("until", until)
                .under("looked", looked)
                .under("readings", times.len() as u64)
                .under(
                    "sent",
                    "one after the other, each when the one before is on the nurse's page",
                )
                .under(
                    "resolution",
                    "looked for in this order, each until it is there, a millisecond between two looks, which the figure includes",
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
            wait(since, "found").await?;
        }
    }
}

/// The nurse's list, as her portal asks for it.
struct List<'a> {
    ground: &'a Ground,
    bearer: Bearer,
    url: String,
    known: Option<String>,
}

impl List<'_> {
    /// Asks until a row says that the newest reading was measured then, and its zone.
    async fn until(&mut self, measured: fhir::time::Instant, since: Instant) -> anyhow::Result<()> {
        loop {
            let known = self.known.iter().map(|tags| (KNOWN, tags.as_str()));
            let form: Vec<_> = known.collect();
            let answer = self.ground.search(&self.bearer, &self.url, &form).await?;
            let list = WorkList::from_json(&answer)?;
            if !list.same {
                let tags = [list.tag].into_iter().chain(list.order);
                self.known = Some(tags.collect::<Vec<_>>().join(","));
            }
            let says = |row: &wire::contract::work_list::Row| {
                row.newest == Some(measured) && row.zone.is_some() && !row.unread
            };
            if list.rows.iter().any(says) {
                return Ok(());
            }
            wait(since, "on the list").await?;
        }
    }
}

/// The nurse's browser, at the page of her list.
struct Portal {
    browser: Browser,
    origin: String,
    known: String,
}

impl Portal {
    async fn open(ground: &Ground) -> anyhow::Result<Portal> {
        let nurse = ground.own_practitioner()?;
        let (mut browser, origin) = (Browser::new()?, ground.portal());
        let start = browser.open(&origin).await?;
        let person = start.person(nurse.name.expose()).context("the nurse")?;
        let form = start.field("form").context("the start page's form")?;
        let form = [("form", form), ("person", person)];
        browser.send(&start, "/session", &form).await?;
        let page = browser.go(&format!("{origin}/list")).await?;
        ensure!(page.status == 200, "the list was answered {}", page.status);
        Ok(Portal {
            known: known(&page)?,
            browser,
            origin,
        })
    }

    /// Asks for the rows until one says that the newest reading was measured then, and its zone.
    async fn until(&mut self, measured: fhir::time::Instant, since: Instant) -> anyhow::Result<()> {
        let newest = format!("class=\"age\" data-at=\"{}\"", measured.0 / 1000);
        loop {
            let url = format!("{}/list/rows?from=0&known={}", self.origin, self.known);
            let page = self.browser.step(Request::get(url), false).await?;
            if page.status == 200 {
                self.known = known(&page)?;
                let mut rows = page.html.split("</tr>");
                if rows.any(|row| row.contains(&newest) && row.contains("class=\"zone ")) {
                    return Ok(());
                }
            }
            ensure!(page.status.is_success(), "rows: {}", page.status);
            wait(since, "on the nurse's page").await?;
        }
    }
}

/// The tags of what a page has: the list's, and then those of its rows.
fn known(page: &Page) -> anyhow::Result<String> {
    let tags = page.html.split("data-tag=\"").skip(1);
    let tags: Vec<_> = tags.filter_map(|rest| rest.split('"').next()).collect();
    ensure!(!tags.is_empty(), "a page without rows");
    Ok(tags.join(","))
}

/// Until the next look.
async fn wait(since: Instant, place: &str) -> anyhow::Result<()> {
    if since.elapsed() > PATIENCE {
        bail!("a reading was not {place} after {} s", PATIENCE.as_secs());
    }
    tokio::time::sleep(LOOK).await;
    Ok(())
}
