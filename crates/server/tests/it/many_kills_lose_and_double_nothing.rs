//! The ledger: hub and sharing service as processes that are killed (SIGKILL) again and again at random instants while home systems
//! post. At the end each reading that was acknowledged is at both receivers, record system and sharing service, once and as it was
//! sent, and the audit trails verify (threats-and-faults.md section 12).
//!
//! `cargo xtask test` kills [`KILLS`] times; `cargo xtask ledger --kills N --seed S` as often as asked. The seed says who is killed
//! when: at the so-manieth request begun, request answered or reading delivered since the last start, or while it starts.

use crate::kit::apart::{Apart, Client, FJELLVIK, More};
use crate::kit::process::{Serving, delt};
use crate::kit::wait::{PATIENCE, until, until_within};
use bytes::Bytes;
use futures::FutureExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::bench_load::Load;
use testkit::bundle;
use testkit::dice::Dice;
use testkit::feed::Feed;
use testkit::home_system::HomeSystem;
use testkit::record_system::{FILE, RecordSystem};
use tokio::sync::{Semaphore, watch};
use wire::Stop;
use wire::client::{Party, Request};
use wire::contract::hub::{DELIVERIES, Deliveries, WRITE_SCOPE};

/// How often is killed when nobody asks for more.
const KILLS: usize = 40;
/// Home systems that post at once, each for a patient of its own.
const HOMES: usize = 8;
/// Readings of one bundle; every fourth sending is a bundle.
const BUNDLE: u64 = 5;
/// One sending in so many is given up when it is not answered: it may have been taken in or not.
const GIVEN_UP: i64 = 20;
/// What a killed receiver did not take is tried again after a pause that doubles each time, to 15 minutes at most (section 9).
const DRAIN: Duration = Duration::from_secs(16 * 60);
/// A start may take no longer (threats-and-faults.md section 12).
const START: Duration = Duration::from_secs(10);

const PARTS: [(&str, &[&str]); 3] = [
    ("anchor", &["anchor"]),
    ("hub", &["hub"]),
    ("sharing", &["sharing:fjellvik"]),
];
/// Reads back what the service has.
const RECORD: Client = (
    "epj-fjellvik",
    FJELLVIK,
    "record-system",
    &["system/*.cruds"],
    &["sharing:fjellvik"],
);

#[tokio::test]
async fn kill_after_kill_nothing_acknowledged_is_lost_and_nothing_is_doubled_at_either_receiver() {
    let asked = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let kills = asked("DELT_KILLS").map_or(KILLS, |kills: u64| usize::try_from(kills).unwrap());
    let seed = asked("DELT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let more = More {
        facts: |_| String::new(),
        clients: &[RECORD],
    };
    let region = Apart::with(&PARTS, "", "", more).await;
    eprintln!("ledger: {kills} kills, seed {seed}");
    let told = AssertUnwindSafe(ledger(&region, kills, seed))
        .catch_unwind()
        .await;
    if let Err(why) = told {
        eprintln!(
            "ledger: failed with seed {seed}; kept in {:?}",
            region.keep()
        );
        std::panic::resume_unwind(why);
    }
}

async fn ledger(region: &Apart, kills: usize, seed: u64) {
    let stop = Stop::new();
    let record = region.open_record_system(&stop).await;
    let anchor = region.start("anchor").await;
    let mut house = House::start(region).await;
    let since = Instant::now();
    let homes = Arc::new(Homes::new(region, seed));
    let posting: Vec<_> = (0..HOMES)
        .map(|home| tokio::spawn(homes.clone().post(home)))
        .collect();
    let mut dice = Dice::new(seed);
    for kill in 1..=kills {
        homes.may_send.add_permits(3 * HOMES);
        let drawn = instant(&mut dice);
        drawn.wait(&homes, &record).await;
        house.cut(region, &mut dice, &homes).await;
        if kill % 10 == 0 || kill == kills {
            let (sent, seconds) = (
                homes.answered.load(Ordering::Relaxed),
                since.elapsed().as_secs(),
            );
            let slowest = house.slowest.as_millis();
            eprintln!(
                "ledger: {kill} of {kills} kills, {sent} requests answered, slowest start {slowest} ms, {seconds} s"
            );
        }
    }
    homes.may_send.close();
    for one in posting {
        one.await.unwrap();
    }
    everything_is_delivered(region, &homes.party).await;

    // Once, and as it was sent, at both.
    let sent = homes.sent.lock().unwrap().clone();
    let taken = sent.values().filter(|one| one.acknowledged).count();
    let at_record = in_record(region);
    let mut at_service = BTreeMap::new();
    for number in homes.load.numbers() {
        for resource in at_sharing(region, number).await {
            once(&mut at_service, resource);
        }
    }
    assert!(taken > kills * 4, "{taken} readings are no load");
    assert_eq!(record.received().lines, at_record.len());
    for (name, one) in &sent {
        let expected = one.acknowledged.then_some(&one.resource);
        for (receiver, there) in [
            ("record system", &at_record),
            ("sharing service", &at_service),
        ] {
            let found = there.get(name);
            assert!(
                found.is_some() || expected.is_none(),
                "{receiver} lost {name}"
            );
            assert!(
                found.is_none_or(|found| *found == one.resource),
                "{receiver} has {name} otherwise"
            );
        }
        let both = [&at_record, &at_service].map(|there| there.contains_key(name));
        assert_eq!(both[0], both[1], "one receiver alone has {name}");
    }
    assert!(
        at_record
            .keys()
            .chain(at_service.keys())
            .all(|name| sent.contains_key(name))
    );
    let doubt = sent.len() - taken;
    eprintln!(
        "ledger: {taken} readings acknowledged and {doubt} given up, each at both receivers once or not at all"
    );

    for process in [house.hub, house.sharing, Some(anchor)] {
        assert!(process.unwrap().stop().await.success());
    }
    stop.stop();
    let stores = [
        (region.data("hub").join("hub"), "hub"),
        (region.data("sharing").join("sharing/fjellvik"), "fjellvik"),
    ];
    for (store, owner) in stores {
        let store = store.to_str().unwrap();
        let said = delt(&["audit", "verify", "--store", store, "--owner", owner]).await;
        assert_eq!(said.code, Some(0), "{owner}: {}", said.err);
    }
}

/// The two processes that are killed.
struct House {
    hub: Option<Serving>,
    sharing: Option<Serving>,
    slowest: Duration,
}

impl House {
    async fn start(region: &Apart) -> House {
        House {
            hub: Some(region.start("hub").await),
            sharing: Some(region.start("sharing").await),
            slowest: Duration::ZERO,
        }
    }

    /// Kills one or both and starts them again, sometimes not before they have been killed once more while they start.
    async fn cut(&mut self, region: &Apart, dice: &mut Dice, homes: &Homes) {
        let (hub, sharing) = match dice.between(0, 3) {
            0 | 1 => (true, false),
            2 => (false, true),
            _ => (true, true),
        };
        let again = dice.chance(20).then(|| dice.between(0, 20));
        let since = Instant::now();
        if hub {
            homes.up.send_replace(false);
            cut(region, "hub", &mut self.hub, again).await;
            homes.up.send_replace(true);
        }
        if sharing {
            cut(region, "sharing", &mut self.sharing, again).await;
        }
        self.slowest = self.slowest.max(since.elapsed());
    }
}

async fn cut(region: &Apart, part: &str, process: &mut Option<Serving>, again: Option<i64>) {
    let (config, port) = (region.config(part), region.port_of(part));
    kill(process).await;
    if let Some(looks) = again {
        let starting = process.insert(Serving::spawn(&config, &[]));
        for _ in 0..looks {
            if starting.listens(port).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kill(process).await;
    }
    let since = Instant::now();
    let starting = process.insert(Serving::spawn(&config, &[]));
    until("it listens again", async || {
        starting.listens(port).await.then_some(())
    })
    .await;
    assert!(
        since.elapsed() < START,
        "{part} took {:?} to start",
        since.elapsed()
    );
}

async fn kill(process: &mut Option<Serving>) {
    process.take().expect("running").kill().await;
}

/// When is killed, counted since now.
enum Drawn {
    Begun(usize),
    Answered(usize),
    Delivered(usize),
}

fn instant(dice: &mut Dice) -> Drawn {
    let number = usize::try_from(dice.between(0, 12)).unwrap();
    match dice.between(0, 3) {
        0 | 1 => Drawn::Begun(number),
        2 => Drawn::Answered(number),
        _ => Drawn::Delivered(number),
    }
}

impl Drawn {
    async fn wait(self, homes: &Homes, record: &RecordSystem) {
        let count = || match self {
            Drawn::Begun(_) => homes.begun.load(Ordering::Relaxed),
            Drawn::Answered(_) => homes.answered.load(Ordering::Relaxed),
            Drawn::Delivered(_) => record.received().lines,
        };
        let (Drawn::Begun(more) | Drawn::Answered(more) | Drawn::Delivered(more)) = self;
        let (aim, since) = (count() + more, Instant::now());
        while count() < aim {
            assert!(since.elapsed() < PATIENCE, "waited in vain for {more} more");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A reading as it was sent.
#[derive(Clone)]
struct Posted {
    resource: Value,
    acknowledged: bool,
}

/// The home systems.
struct Homes {
    load: Load,
    party: Party,
    hub: String,
    seed: u64,
    /// One permit for each request that may be begun.
    may_send: Semaphore,
    /// Whether the hub is thought to be there.
    up: watch::Sender<bool>,
    begun: AtomicUsize,
    answered: AtomicUsize,
    /// Everything sent by its business identifier.
    sent: Mutex<BTreeMap<String, Posted>>,
}

impl Homes {
    fn new(region: &Apart, seed: u64) -> Homes {
        let today = jiff::Timestamp::from_microsecond(testkit::clients::now().0).unwrap();
        let today = today.to_zoned(jiff::tz::TimeZone::UTC).date();
        Homes {
            load: Load::new(
                seed,
                HOMES,
                today.yesterday().unwrap(),
                FJELLVIK,
                "Fjellvik kommune",
            ),
            party: region.party("home"),
            hub: region.base("hub"),
            seed,
            may_send: Semaphore::new(0),
            up: watch::channel(true).0,
            begun: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            sent: Mutex::default(),
        }
    }

    /// One home: posts its readings, one or some at a time, each until it is answered, while there are permits.
    async fn post(self: Arc<Self>, home: usize) {
        let system = HomeSystem::new(self.party.clone(), &self.hub);
        let mut dice = Dice::new(self.seed ^ (home as u64 + 1));
        let (people, mut next) = (HOMES as u64, home as u64);
        while let Ok(permit) = self.may_send.acquire().await {
            permit.forget();
            let many = if dice.chance(25) { BUNDLE } else { 1 };
            let taken = (0..many).map(|n| self.load.reading(next + n * people).unwrap().body);
            let bodies: Vec<Bytes> = taken.collect();
            next += many * people;
            self.post_until_answered(&system, &mut dice, &bodies).await;
        }
    }

    async fn post_until_answered(&self, system: &HomeSystem, dice: &mut Dice, bodies: &[Bytes]) {
        for body in bodies {
            let resource: Value = serde_json::from_slice(body).unwrap();
            let posted = Posted {
                resource,
                acknowledged: false,
            };
            self.sent
                .lock()
                .unwrap()
                .insert(name(&posted.resource), posted);
        }
        let since = Instant::now();
        loop {
            assert!(since.elapsed() < PATIENCE, "a reading was not answered");
            let mut up = self.up.subscribe();
            let was_up = *up.borrow_and_update();
            self.begun.fetch_add(1, Ordering::Relaxed);
            let answer = match bodies {
                [one] => system.send_one(one.clone()).await,
                many => {
                    let entries = many.iter().map(|body| (String::new(), &body[..]));
                    let sent =
                        bundle::write(bundle::BundleKind::Collection, "Observation", entries);
                    let sent = String::from_utf8(sent)
                        .unwrap()
                        .replace("\"fullUrl\":\"\",", "");
                    system.send_bundle(sent).await
                }
            };
            match answer {
                Ok(answer) if answer.status.is_success() => {
                    if bodies.len() > 1 {
                        let all = bundle::read_answers(&answer.body, bodies.len()).unwrap();
                        assert!(all.iter().all(bundle::EntryAnswer::is_accepted), "{all:?}");
                    }
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    return self.acknowledged(bodies);
                }
                Ok(answer) if answer.status.is_server_error() => {}
                Ok(answer) => {
                    let words = String::from_utf8_lossy(&answer.body).into_owned();
                    panic!("{}: {words}", answer.status);
                }
                Err(_) => {}
            }
            if dice.between(1, GIVEN_UP) == 1 {
                return;
            }
            // Until the hub is started again, unless that has happened meanwhile.
            if was_up && !up.has_changed().unwrap() {
                let _ = tokio::time::timeout(Duration::from_millis(50), up.changed()).await;
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), up.wait_for(|up| *up)).await;
        }
    }

    fn acknowledged(&self, bodies: &[Bytes]) {
        let mut sent = self.sent.lock().unwrap();
        for body in bodies {
            let resource: Value = serde_json::from_slice(body).unwrap();
            sent.get_mut(&name(&resource)).unwrap().acknowledged = true;
        }
    }
}

/// A reading's business identifier.
fn name(resource: &Value) -> String {
    resource["identifier"][0]["value"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Adds a reading, which must not be there yet.
fn once(there: &mut BTreeMap<String, Value>, resource: Value) {
    let name = name(&resource);
    assert!(
        there.insert(name.clone(), resource).is_none(),
        "{name} is there twice"
    );
}

/// Nothing waits at the hub and nothing was refused.
async fn everything_is_delivered(region: &Apart, home: &Party) {
    let audience = region.audience("hub");
    until_within(DRAIN, "the hub has delivered everything", async || {
        let request = Request::get(format!("{}{DELIVERIES}", region.base("hub")));
        let answer = home.send(&audience, WRITE_SCOPE, request).await.ok()?;
        let told: Deliveries = answer.json().ok()?;
        assert_eq!(told.receivers.len(), 2);
        assert!(told.receivers.iter().all(|one| one.dead == 0), "{told:?}");
        told.receivers
            .iter()
            .all(|one| one.pending == 0)
            .then_some(())
    })
    .await;
}

/// Every reading in the record system's file.
fn in_record(region: &Apart) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(region.folder().join("epj").join(FILE)).unwrap();
    let mut there = BTreeMap::new();
    for line in text.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        once(&mut there, line["resource"].take());
    }
    there
}

/// Every reading that the sharing service has of a patient, without what is the server's own.
async fn at_sharing(region: &Apart, number: &str) -> Vec<Value> {
    let (base, party) = (region.base("sharing:fjellvik"), region.party(RECORD.0));
    let person = format!("{}|{number}", fhir::systems::FNR);
    let form = [("patient.identifier", person.as_str()), ("_count", "200")];
    let feed = Feed::new(party.clone(), "fjellvik", &base);
    let mut answer = feed.search("Observation", &form).await.unwrap();
    let mut all = Vec::new();
    loop {
        let page: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{page}");
        for entry in page["entry"].as_array().into_iter().flatten() {
            if entry["search"]["mode"] == "match" {
                all.push(as_sent(entry["resource"].clone()));
            }
        }
        let links = page["link"].as_array().into_iter().flatten();
        let next = links
            .filter(|link| link["relation"] == "next")
            .find_map(|link| link["url"].as_str());
        let Some(next) = next else { return all };
        let request = Request::get(next);
        answer = party
            .send(&base, "system/Observation.rs", request)
            .await
            .unwrap();
    }
}

fn as_sent(mut resource: Value) -> Value {
    let members = resource.as_object_mut().unwrap();
    members.remove("id");
    let meta = members["meta"].as_object_mut().unwrap();
    meta.remove("versionId");
    meta.remove("lastUpdated");
    resource
}
