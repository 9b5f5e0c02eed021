//! The story as events, held against STORY.md.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeBounds;

fn calendar() -> Calendar {
    // Day 3 is Friday 20 November 2026, in winter time.
    Calendar::from_day0("2026-11-17".parse().unwrap())
}

fn told(until: Instant) -> Vec<Event> {
    Scenario::kols()
        .unwrap()
        .events(Directory::demo(), &calendar(), until)
        .unwrap()
}

fn everything() -> Vec<Event> {
    told(Instant(i64::MAX))
}

fn json(event: &Event) -> Value {
    serde_json::from_slice(&event.body).unwrap()
}

fn clock(day: i32, time: &str) -> Instant {
    moment(&calendar().at(day, rows::clock_time(time).unwrap()))
}

/// Values of a kind of the story's days, as `DAY HH:MM value`, once each, in time.
fn values(word: &str, source: &str, days: impl RangeBounds<i32>) -> Vec<String> {
    let suffix = format!("/{word}");
    let mut seen = BTreeSet::new();
    let mut found: Vec<(i32, String, String)> = everything()
        .iter()
        .filter(|e| e.service == source && e.key.ends_with(&suffix) && seen.insert(e.key.clone()))
        .map(|e| {
            let parts: Vec<&str> = e.key.split('/').collect();
            let body = json(e);
            let text = match body["component"].as_array() {
                Some(c) => format!(
                    "{}/{}",
                    c[0]["valueQuantity"]["value"], c[1]["valueQuantity"]["value"]
                ),
                None => body["valueQuantity"]["value"].to_string(),
            };
            (parts[2].parse().unwrap(), parts[3].to_owned(), text)
        })
        .filter(|(day, _, _)| days.contains(day))
        .collect();
    found.sort();
    found
        .into_iter()
        .map(|(day, time, text)| format!("{day} {time} {text}"))
        .collect()
}

#[test]
fn the_last_days_are_as_story_md_tells_them() {
    assert_eq!(
        values("spo2", "fjellvik", 0..=3),
        [
            "0 08:29 90",
            "1 08:28 87",
            "1 08:45 87",
            "1 20:30 87",
            "2 08:31 86",
            "2 20:34 86",
            "3 08:26 84",
            "3 20:32 86",
        ]
    );
    assert_eq!(
        values("pulse", "fjellvik", 0..=3),
        [
            "0 08:29 86",
            "1 08:45 96",
            "1 20:30 98",
            "2 08:31 104",
            "2 20:34 106",
            "3 08:26 118",
            "3 20:32 104",
        ]
    );
    assert_eq!(
        values("temp", "fjellvik", 0..=3),
        ["2 08:31 37.6", "3 08:26 37.8"]
    );
    assert_eq!(
        values("bp", "fjellvik", 0..=3),
        ["0 08:29 134/78", "3 08:26 138/82"]
    );
    assert_eq!(values("weight", "fjellvik", 0..=3), ["0 08:29 61.4"]);
    assert_eq!(
        values("cat", "fjellvik", -17..=3),
        ["-14 08:30 18", "-7 08:28 18", "0 08:29 21", "2 08:31 26"]
    );
    assert_eq!(values("resp", "fjellvik", 0..=3), ["3 09:00 24"]);
    assert_eq!(values("oxygen", "fjellvik", 0..=3), ["3 09:00 0"]);
    for (word, value) in [
        ("resp", "22"),
        ("spo2", "86"),
        ("pulse", "108"),
        ("bp", "134/76"),
        ("temp", "37.6"),
        ("oxygen", "0"),
    ] {
        assert_eq!(
            values(word, "proveheim", 0..=3),
            [format!("3 13:00 {value}")]
        );
    }
}

#[test]
fn afterwards_she_gets_better_day_by_day() {
    let mornings = |word: &str| {
        let mut rows = values(word, "fjellvik", 4..);
        rows.retain(|row| row.contains(" 08:"));
        rows
    };
    let saturations = mornings("spo2");
    let first = [
        "4 08:27 87",
        "4 08:44 87",
        "5 08:29 88",
        "6 08:31 89",
        "7 08:30 90",
    ];
    assert_eq!(saturations[..5], first);
    assert!(
        saturations[5..]
            .iter()
            .all(|row| row.ends_with(" 90") || row.ends_with(" 91"))
    );
    assert_eq!(mornings("pulse")[..2], ["4 08:27 100", "4 08:44 100"]);
    assert_eq!(
        values("cat", "fjellvik", 4..),
        ["7 08:30 22", "14 08:31 19"]
    );
    // Twice daily for seven days, by plan v2.
    let evenings = |day: i32| {
        values("spo2", "fjellvik", day..=day)
            .iter()
            .any(|row| row.contains(" 20:"))
    };
    assert!((3..=10).all(evenings) && !(11..=14).any(evenings));
}

#[test]
fn the_green_days_stay_within_their_values_and_every_day_is_there() {
    let number = |row: &String| row.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    let days = |rows: &[String]| {
        rows.iter()
            .map(|r| r.split(' ').next().unwrap().parse().unwrap())
            .collect::<Vec<i32>>()
    };
    let before = |row: &String| row.starts_with('-');
    let of = |word: &str| {
        values(word, "fjellvik", -17..)
            .into_iter()
            .filter(before)
            .collect::<Vec<_>>()
    };
    assert!(
        of("spo2")
            .iter()
            .all(|r| (90.0..=92.0).contains(&number(r)))
    );
    assert!(
        of("pulse")
            .iter()
            .all(|r| (76.0..=84.0).contains(&number(r)))
    );
    assert!(of("bp").iter().all(|r| r.ends_with(" 134/78")));
    assert!(of("weight").iter().all(|r| r.ends_with(" 61.4")));
    assert_eq!(days(&of("spo2")), (-17..=-1).collect::<Vec<_>>());
    assert_eq!(days(&of("pulse")), (-17..=-1).collect::<Vec<_>>());
    // Monday, Wednesday, Friday of the plan's week.
    let due: Vec<i32> = (-17..=-1_i32)
        .filter(|day| [0, 2, 4].contains(&day.rem_euclid(7)))
        .collect();
    assert_eq!(days(&of("bp")), due);
    assert_eq!(days(&of("weight")), due);
}

#[test]
fn the_backlog_comes_shuffled_and_doubled_and_holds_no_new_identity() {
    let backlog: Vec<Event> = everything()
        .into_iter()
        .filter(|e| e.key.starts_with("kols/home-backlog/"))
        .collect();
    assert_eq!(backlog.len(), 8);
    let mut times: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &backlog {
        times.entry(&event.key).or_default().push(event);
    }
    assert_eq!(times.len(), 4, "two days of two kinds, nothing new");
    for events in times.values() {
        assert_eq!(events.len(), 2, "each twice");
        assert_eq!(events[0].body, events[1].body, "a resend is the same bytes");
    }
    assert!(
        backlog.iter().all(|e| calendar().day_of(e.at) == -7),
        "it all arrives on day -7"
    );
    let taken: Vec<String> = backlog
        .iter()
        .map(|e| json(e)["effectiveDateTime"].as_str().unwrap().to_owned())
        .collect();
    assert!(taken.windows(2).any(|w| w[0] > w[1]), "shuffled");
    let quiet = everything()
        .iter()
        .any(|e| e.service == "fjellvik" && [-9, -8].contains(&calendar().day_of(e.at)));
    assert!(!quiet, "nothing arrives on days -9 and -8");
}

#[test]
fn history_is_three_years_with_gaps_two_exacerbations_and_an_older_device() {
    let events = everything();
    let days = |service: &str| -> Vec<i32> {
        let mine = events
            .iter()
            .filter(|e| e.service == service && e.resource_type == "Observation");
        mine.map(|e| calendar().day_of(e.at))
            .filter(|day| *day <= -18)
            .collect()
    };
    for service in ["fjellvik", "proveheim", "provebakken"] {
        let days = days(service);
        assert!(
            *days.iter().min().unwrap() <= -1040,
            "{service} reaches back"
        );
        assert!(
            *days.iter().min().unwrap() >= -1100,
            "{service} begins with the story"
        );
    }
    let mut home = days("fjellvik");
    home.dedup();
    assert!(
        home.windows(2).filter(|w| w[1] - w[0] > 14).count() >= 3,
        "gaps"
    );
    for exacerbation in [-744, -372] {
        let low = events
            .iter()
            .filter(|e| calendar().day_of(e.at) == exacerbation && e.key.ends_with("/spo2"));
        assert!(
            low.map(json)
                .any(|o| o["valueQuantity"]["value"].as_i64().unwrap() <= 85)
        );
    }
    let devices: BTreeSet<String> = events
        .iter()
        .filter(|e| e.service == "fjellvik" && e.key.ends_with("/spo2"))
        .map(|e| json(e)["device"]["display"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(devices.len(), 3, "older, service, her own");
    let oxygen: Vec<f64> = events
        .iter()
        .filter(|e| e.service == "proveheim" && e.key.ends_with("/oxygen"))
        .map(|e| json(e)["valueQuantity"]["value"].as_f64().unwrap())
        .collect();
    assert!(oxygen.iter().any(|flow| *flow > 0.0) && oxygen.contains(&0.0));
}

#[test]
fn only_what_has_happened_is_told() {
    for (day, time) in [(3, "09:30"), (3, "13:00"), (2, "11:25"), (-7, "09:05")] {
        let until = clock(day, time);
        let events = told(until);
        assert!(events.iter().all(|e| e.at <= until));
        assert_eq!(
            events.len(),
            everything().iter().filter(|e| e.at <= until).count()
        );
        assert!(
            events.windows(2).all(|w| w[0].at <= w[1].at),
            "in the order in which it is sent"
        );
    }
    let morning = told(clock(3, "09:30"));
    assert!(
        !morning
            .iter()
            .any(|e| e.key == "kols/plan/v2" || e.key.starts_with("kols/clinic/"))
    );
    assert!(morning.iter().any(|e| e.key == "kols/video/3/09:00/resp"));
    let afternoon = told(clock(3, "14:00"));
    let plans: Vec<(&str, Action)> = afternoon
        .iter()
        .filter(|e| e.resource_type == "CarePlan")
        .map(|e| (e.key.as_str(), e.action))
        .collect();
    assert_eq!(
        plans,
        [
            ("kols/plan/v1", Action::Create),
            ("kols/plan/clinic", Action::Create),
            ("kols/plan/v1", Action::Correct),
            ("kols/plan/v2", Action::Create)
        ]
    );
}

#[test]
fn municipality_by_the_hub_the_others_by_their_record_systems() {
    for event in everything() {
        let number = Directory::demo().orgnr(&event.service).to_owned();
        assert_eq!(event.owner, number);
        match &event.route {
            Route::Hub { sender } => {
                assert_eq!(
                    (event.service.as_str(), sender, event.resource_type),
                    ("fjellvik", &number, "Observation")
                );
            }
            Route::Feed { service, writer } => {
                assert_eq!((service, writer), (&event.service, &number));
                assert!(event.service != "fjellvik" || event.resource_type == "CarePlan");
            }
        }
    }
}

#[test]
fn the_lists_differ_on_prednisolone_and_both_carry_fest_and_atc() {
    let mut prednisolone = Vec::new();
    for event in everything()
        .iter()
        .filter(|e| e.resource_type == "MedicationStatement")
    {
        let body = json(event);
        let coding = body["contained"][0]["code"]["coding"].as_array().unwrap();
        assert_eq!(coding[0]["system"], systems::FEST);
        assert!(coding[0]["code"].as_str().unwrap().starts_with("SYNT-"));
        assert_eq!(coding[1]["system"], "http://www.whocc.no/atc");
        if coding[1]["code"] == "H02AB06" && body["status"] == "active" {
            prednisolone.push((
                event.service.clone(),
                body["dosage"][0]["doseAndRate"][0]["doseQuantity"]["value"].to_string(),
            ));
        }
    }
    prednisolone.sort();
    assert_eq!(
        prednisolone,
        [
            ("provebakken".to_owned(), "30".to_owned()),
            ("proveheim".to_owned(), "40".to_owned())
        ]
    );
    let amoxicillin = everything()
        .iter()
        .any(|e| e.key == "kols/medicine/gp-amoxicillin" && calendar().day_of(e.at) == 2);
    assert!(amoxicillin);
}

/// (kind, zone) to (low, high), as text.
type Limits = HashMap<(String, String), (Option<String>, Option<String>)>;

/// Limits of a plan version: (kind, zone) to (low, high) as text.
fn limits(plan: &str, action: Action) -> Limits {
    let events = everything();
    let key = format!("kols/plan/{plan}");
    let body = json(
        events
            .iter()
            .find(|e| e.key == key && e.action == action)
            .unwrap(),
    );
    let mut limits = HashMap::new();
    for goal in body["contained"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["resourceType"] == "Goal")
    {
        for target in goal["target"].as_array().unwrap() {
            let end = |name: &str| {
                target["detailRange"]
                    .get(name)
                    .map(|q| q["value"].to_string())
            };
            let code = target["measure"]["coding"][0]["code"]
                .as_str()
                .unwrap()
                .to_owned();
            let zone = target["extension"][0]["valueCoding"]["code"]
                .as_str()
                .unwrap()
                .to_owned();
            limits.insert((code, zone), (end("low"), end("high")));
        }
    }
    limits
}

#[test]
fn the_plans_limits_stand_on_their_borders() {
    let at = |limits: &Limits, code: &str, value: f64| -> Vec<String> {
        let inside = |(low, high): &(Option<String>, Option<String>)| {
            low.as_ref().is_none_or(|l| value >= l.parse().unwrap())
                && high.as_ref().is_none_or(|h| value <= h.parse().unwrap())
        };
        limits
            .iter()
            .filter(|((c, _), range)| c == code && inside(range))
            .map(|((_, zone), _)| zone.clone())
            .collect()
    };
    let (v1, v2) = (limits("v1", Action::Create), limits("v2", Action::Create));
    for (code, value, first, second) in [
        ("2708-6", 88.0, "green", "green"),
        ("2708-6", 87.0, "yellow", "yellow"),
        ("2708-6", 86.0, "yellow", "yellow"),
        ("2708-6", 85.0, "yellow", "red"),
        ("2708-6", 84.0, "red", "red"),
        ("8867-4", 99.0, "green", "green"),
        ("8867-4", 100.0, "yellow", "yellow"),
        ("8867-4", 119.0, "yellow", "yellow"),
        ("8867-4", 120.0, "red", "red"),
        ("8310-5", 38.0, "green", "green"),
        ("8310-5", 38.1, "yellow", "yellow"),
        ("74465-6", 22.0, "green", "green"),
        ("74465-6", 23.0, "yellow", "yellow"),
    ] {
        assert_eq!(at(&v1, code, value), [first], "v1 {code} {value}");
        assert_eq!(at(&v2, code, value), [second], "v2 {code} {value}");
    }
    assert_eq!(
        v1,
        limits("v1", Action::Correct),
        "what ended keeps its limits"
    );
}

#[test]
fn the_language_of_plans_reads_what_we_write() {
    let plan = everything()
        .into_iter()
        .find(|e| e.key == "kols/plan/v2")
        .unwrap();
    let json = fhir::json::Json::parse(plan.body, fhir::json::Limits::RESOURCE).unwrap();
    let read = fhir::plan::PlanLimits::read(json.root()).unwrap();
    assert_eq!(read.criteria.len(), 10);
    assert_eq!(read.actions.len(), 3);
    assert_eq!(read.standing[0].value.to_string(), "0");
    assert_eq!(read.missing.as_ref().unwrap().in_a_row, 2);
    assert_eq!(read.version.as_deref(), Some("2"));
    assert_eq!(
        read.replaces,
        Some((
            systems::URI.to_owned(),
            crate::observation::identifier("kols/plan/v1").1
        ))
    );
    let zone = |kind, unit, value: &str| {
        read.zone_of(
            fhir::plan::Measure::whole(kind, unit),
            fhir::measurement::Decimal::parse(value).unwrap(),
        )
        .map(fhir::plan::Zone::code)
    };
    assert_eq!(zone("oxygen-saturation", "%", "85"), Some("red"));
    assert_eq!(zone("oxygen-saturation", "%", "86"), Some("yellow"));
    assert_eq!(zone("pulse", "/min", "100"), Some("yellow"));
    assert_eq!(zone("cat-score", "{score}", "22"), Some("green"));
    let twice = read.criteria.iter().find_map(|c| c.repeated).unwrap();
    assert_eq!((twice.count, twice.within_minutes), (2, 20));
}

#[test]
fn the_plans_weekdays_shift_with_day_zero() {
    let named = |day0: &str| {
        let calendar = Calendar::from_day0(day0.parse().unwrap());
        let events = Scenario::kols()
            .unwrap()
            .events(Directory::demo(), &calendar, Instant(i64::MAX))
            .unwrap();
        let plan = json(events.iter().find(|e| e.key == "kols/plan/v1").unwrap());
        let activity = plan["activity"].as_array().unwrap().clone();
        let bp = activity
            .iter()
            .find(|a| a["detail"]["code"]["coding"][0]["code"] == "85354-9")
            .unwrap();
        bp["detail"]["scheduledTiming"]["repeat"]["dayOfWeek"].clone()
    };
    assert_eq!(
        named("2026-11-16"),
        serde_json::json!(["mon", "wed", "fri"])
    );
    assert_eq!(
        named("2026-11-19"),
        serde_json::json!(["thu", "sat", "mon"])
    );
}

#[test]
fn every_key_has_one_create_per_sending_and_names_one_business_identifier() {
    let mut identifiers = HashMap::new();
    for event in everything() {
        let value = json(&event)["identifier"][0]["value"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(value, crate::observation::identifier(&event.key).1);
        let key = identifiers
            .entry(value)
            .or_insert_with(|| event.key.clone());
        assert_eq!(*key, event.key);
    }
    let changed: Vec<Action> = everything()
        .iter()
        .filter(|e| e.key.starts_with("kols/gp-slips/"))
        .map(|e| e.action)
        .collect();
    assert_eq!(
        changed,
        [
            Action::Create,
            Action::Correct,
            Action::Create,
            Action::Withdraw
        ]
    );
}

#[test]
fn the_days_in_a_year_with_both_changes_of_clocks_keep_their_clock() {
    // Day 0 shortly after the autumn change: the green days lie on both sides.
    let calendar = Calendar::from_day0("2026-10-27".parse().unwrap());
    let events = Scenario::kols()
        .unwrap()
        .events(Directory::demo(), &calendar, Instant(i64::MAX))
        .unwrap();
    for event in events
        .iter()
        .filter(|e| e.key.starts_with("kols/home-green/"))
    {
        let time = json(event)["effectiveDateTime"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(&time[11..13], "08");
        assert_eq!(
            &time[19..],
            if calendar.day_of(event.at) < -2 {
                "+02:00"
            } else {
                "+01:00"
            }
        );
    }
}

/// Every finding of the check over these events, by key.
fn findings(events: &[Event]) -> Vec<String> {
    let rules = fhir::check::Rules::default();
    let mut found = Vec::new();
    for event in events {
        let json =
            fhir::json::Json::parse(event.body.clone(), fhir::json::Limits::RESOURCE).unwrap();
        match fhir::check::check(&json, json.root(), &rules) {
            Ok(checked) => assert_eq!(checked.resource_type().as_str(), event.resource_type),
            Err(issues) => found.extend(issues.iter().map(|i| format!("{}: {i:?}", event.key))),
        }
    }
    found
}

#[test]
fn the_whole_story_and_the_background_pass_the_check() {
    assert_eq!(findings(&everything()), Vec::<String>::new());
    let directory = Directory::with_more_people(3);
    let background = crate::background::events(&directory, &calendar(), Instant(i64::MAX)).unwrap();
    assert_eq!(findings(&background), Vec::<String>::new());
}

#[test]
fn identities_are_one_a_key_and_the_backlog_adds_none() {
    let mut identities: HashMap<Vec<u8>, String> = HashMap::new();
    for event in everything().iter().filter(|e| e.action == Action::Create) {
        let json =
            fhir::json::Json::parse(event.body.clone(), fhir::json::Limits::RESOURCE).unwrap();
        let checked =
            fhir::check::check(&json, json.root(), &fhir::check::Rules::default()).unwrap();
        let key = identities
            .entry(checked.identity().key.clone())
            .or_insert_with(|| event.key.clone());
        assert_eq!(*key, event.key);
    }
    let keys: BTreeSet<String> = everything().into_iter().map(|e| e.key).collect();
    assert_eq!(identities.len(), keys.len());
}

#[test]
fn a_region_is_the_story_and_the_background_in_one_order() {
    let region = region(Directory::demo(), &calendar(), clock(3, "09:30")).unwrap();
    let story = region.iter().filter(|e| e.key.starts_with("kols/")).count();
    assert_eq!(story, told(clock(3, "09:30")).len());
    assert!(region.len() > story + 1000);
    assert!(region.windows(2).all(|w| w[0].at <= w[1].at));
}
