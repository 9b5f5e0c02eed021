//! Homes over many seeds and days: the same seed tells the same, the rhythms are those asked for, nothing is lost on the way, and
//! the hub's checks take every reading but those whose clock was asked to be a year ahead.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use super::*;
use crate::kinds::Kind;
use fhir::check::{Fate, Rules, UnknownCodes, check, fate};
use fhir::json::{Json, Limits};
use jiff::ToSpan;
use jiff::civil::Weekday;
use std::collections::BTreeMap;

const FIRST: Date = Date::constant(2026, 9, 1);

fn homes(seed: u64, people: usize, condition: Option<&str>, troubles: Troubles) -> Homes {
    Homes::new(seed, people, condition, Sender::of("310001007"), troubles).unwrap()
}

fn days(count: i64) -> impl Iterator<Item = Date> {
    (0..count).map(|n| FIRST.saturating_add(n.days()))
}

fn sent(homes: &Homes, count: i64) -> Vec<Sending> {
    days(count)
        .flat_map(|day| homes.sent_on(day).unwrap())
        .collect()
}

#[test]
fn the_same_seed_is_the_same_bytes_and_a_day_can_be_asked_for_alone() {
    let bytes = |seed| {
        let all = sent(&homes(seed, 12, None, Troubles::USUAL), 30);
        all.iter().map(Sending::bundle).collect::<Vec<_>>()
    };
    assert_eq!(bytes(4), bytes(4));
    assert!(bytes(4) != bytes(5));
    let (one, other) = (
        homes(9, 5, None, Troubles::USUAL),
        homes(9, 5, None, Troubles::USUAL),
    );
    let whole = sent(&one, 40);
    let day = FIRST.saturating_add(33.days());
    let alone = other.sent_on(day).unwrap();
    let of_day = |sending: &&Sending| alone.iter().any(|one| one == *sending);
    assert_eq!(whole.iter().filter(of_day).count(), alone.len());
    assert!(!alone.is_empty());
}

#[test]
fn homes_are_drawn_by_their_shares_and_everybody_is_synthetic() {
    let all = homes(1, 400, None, Troubles::NONE);
    let mut of = BTreeMap::new();
    for (number, condition) in (0..all.count()).map(|n| all.who(n).unwrap()) {
        assert!(number[2..4].parse::<u32>().unwrap() > 80, "{number}");
        *of.entry(condition).or_insert(0) += 1;
    }
    assert!((200..280).contains(&of["copd"]) && of.len() == 3, "{of:?}");
    let only = homes(1, 20, Some("copd"), Troubles::NONE);
    assert!((0..20).all(|n| only.who(n).unwrap().1 == "copd"));
    let none = Homes::new(1, 1, Some("gout"), Sender::of("310001007"), Troubles::NONE);
    assert!(
        none.unwrap_err()
            .to_string()
            .contains("copd, heart-failure")
    );
}

#[test]
fn the_hubs_checks_take_every_reading_but_those_a_year_ahead() {
    let harmless = Troubles::parse("gaps,offline,doubled,minutes=20,hours=20").unwrap();
    let a_year = Troubles::parse("year=50").unwrap();
    for (seed, troubles) in [(1, Troubles::USUAL), (2, harmless), (3, a_year)] {
        let mut ahead = 0;
        for sending in sent(&homes(seed, 25, None, troubles), 45) {
            let rules = Rules {
                unknown_codes: UnknownCodes::Refuse,
                now: Some(sending.at),
                ..Rules::default()
            };
            for one in &sending.readings {
                let json = Json::parse(one.body.clone(), Limits::RESOURCE).unwrap();
                let found = check(&json, json.root(), &rules);
                if one.clock == Some(ClockError::Year(1)) {
                    assert_eq!(fate(&found.unwrap_err()), Fate::Quarantine, "{}", one.key);
                    ahead += 1;
                } else {
                    assert!(found.is_ok(), "{}: {:?}", one.key, found.unwrap_err());
                }
            }
        }
        assert_eq!(ahead > 0, troubles.year > 0);
    }
}

#[test]
fn a_questionnaire_is_sent_as_answers_that_come_to_its_score() {
    let all = sent(&homes(2, 20, Some("copd"), Troubles::USUAL), 60);
    let mut seen = std::collections::BTreeSet::new();
    for one in all.iter().flat_map(|sending| &sending.readings) {
        let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(body["resourceType"], one.resource_type);
        if !one.key.ends_with("/cat") {
            assert_eq!(one.resource_type, "Observation", "{}", one.key);
            continue;
        }
        assert_eq!(one.resource_type, "QuestionnaireResponse");
        let items = body["item"].as_array().unwrap();
        let points: Vec<i64> = items
            .iter()
            .map(|item| item["answer"][0]["valueInteger"].as_i64().unwrap())
            .collect();
        let (score, parts) = points.split_last().unwrap();
        assert_eq!((parts.len(), parts.iter().sum::<i64>()), (8, *score));
        assert!(
            parts.iter().all(|points| (0..=5).contains(points)),
            "{parts:?}"
        );
        let name = body["questionnaire"].as_str().unwrap();
        let kind = fhir::measurement::of_questionnaire(name).unwrap();
        let form = kind.questionnaire.as_ref().unwrap();
        let read = form.score(fhir::json::Glance::of(&one.body)).unwrap();
        assert_eq!(
            (kind.id.as_str(), read.to_string()),
            ("cat-score", score.to_string())
        );
        seen.insert(*score);
    }
    assert!(seen.len() > 5, "{seen:?}");
    let bundle = all
        .iter()
        .find(|sending| sending.readings.iter().any(|one| one.key.ends_with("/cat")));
    let bundle: serde_json::Value = serde_json::from_slice(&bundle.unwrap().bundle()).unwrap();
    for entry in bundle["entry"].as_array().unwrap() {
        assert_eq!(entry["request"]["url"], entry["resource"]["resourceType"]);
    }
}

#[test]
fn rhythms_are_as_asked_for() {
    let all = homes(7, 30, Some("copd"), Troubles::NONE);
    let (mut mornings, mut evenings, mut weighed) = (0, 0, 0);
    for home in &all.homes {
        for day in days(60).map(day_number) {
            let worse = home.habit.course.worse(&home.name, day);
            let measured = home.habit.day(&home.name, &all.calendar, day).unwrap();
            for one in &measured {
                let (weekday, time) = (one.taken.weekday(), one.taken.time());
                let between = |from: (i8, i8), to: (i8, i8)| {
                    let at = |(h, m)| Time::constant(h, m, 0, 0);
                    assert!(
                        time >= at(from) && time <= at(to),
                        "{}: {time}",
                        one.sitting
                    );
                };
                match (one.sitting.as_str(), one.kind) {
                    ("morning", Kind::Spo2) => {
                        between((8, 5), (8, 55));
                        mornings += 1;
                    }
                    ("weighing", Kind::Weight) => {
                        assert!(
                            [Weekday::Monday, Weekday::Wednesday, Weekday::Friday]
                                .contains(&weekday)
                        );
                        weighed += 1;
                    }
                    ("questions", kind) => {
                        assert_eq!((kind, weekday), (Kind::Cat, Weekday::Monday))
                    }
                    ("evening", _) => {
                        between((20, 0), (21, 0));
                        assert!(worse > 0, "twice a day in worse weeks only");
                        evenings += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    // 30 homes over 60 days, 6 and 8 in a hundred missed.
    assert!((1620..1760).contains(&mornings), "{mornings}");
    assert!((640..760).contains(&weighed), "{weighed}");
    assert!(evenings > 30, "{evenings}");
}

#[test]
fn somebody_gets_worse_and_better_again() {
    let all = homes(7, 30, Some("copd"), Troubles::NONE);
    let value = |home: &Home, day: i32| {
        let measured = home.habit.day(&home.name, &all.calendar, day).unwrap();
        let spo2 = measured.into_iter().find(|one| one.kind == Kind::Spo2);
        spo2.map(|one| one.value.parse::<i64>().unwrap())
    };
    let mut seen = 0;
    for home in &all.homes {
        let worst: Vec<i32> = days(120)
            .map(day_number)
            .filter(|day| home.habit.course.worse(&home.name, *day) == 1000)
            .collect();
        for day in worst {
            if let (Some(then), Some(before), Some(after)) = (
                value(home, day),
                value(home, day - 14),
                value(home, day + 14),
            ) {
                assert!(then < before && then < after, "{before} {then} {after}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn a_home_without_a_connection_sends_everything_later_shuffled_and_some_of_it_twice() {
    let quiet = sent(&homes(3, 20, None, Troubles::NONE), 60);
    let offline = homes(
        3,
        20,
        None,
        Troubles::parse("offline=60,doubled=20").unwrap(),
    );
    let troubled = sent(&offline, 60);
    let keys = |all: &[Sending]| -> std::collections::BTreeSet<String> {
        let each = all.iter().flat_map(|one| &one.readings);
        each.map(|one| one.key.clone()).collect()
    };
    // All but what still waits at the end; what waited at the beginning comes too.
    let missing: Vec<String> = keys(&quiet).difference(&keys(&troubled)).cloned().collect();
    let last = FIRST.saturating_add(57.days());
    let day = |key: &String| key.split('/').nth(3).unwrap().parse::<i32>().unwrap();
    assert!(missing.iter().all(|key| day(key) >= day_number(last)));
    let more: Vec<String> = keys(&troubled).difference(&keys(&quiet)).cloned().collect();
    assert!(more.iter().all(|key| day(key) < day_number(FIRST)));
    let backlogs: Vec<&Sending> = troubled
        .iter()
        .filter(|one| {
            one.readings
                .iter()
                .any(|r| one.at.0 - r.taken.0 > 3_600_000_000 * 6)
        })
        .collect();
    assert!(backlogs.len() > 10, "{}", backlogs.len());
    let shuffled = |one: &&&Sending| !one.readings.is_sorted_by_key(|reading| reading.taken);
    assert!(backlogs.iter().filter(shuffled).count() * 2 > backlogs.len());
    let twice = |one: &&&Sending| keys(std::slice::from_ref(**one)).len() < one.readings.len();
    assert!(backlogs.iter().filter(twice).count() * 2 > backlogs.len());
    assert!(troubled.iter().any(|one| one.again) && quiet.iter().all(|one| !one.again));
}

#[test]
fn gaps_are_days_without_anything_and_clocks_are_a_devices_own() {
    let all = homes(5, 20, Some("copd"), Troubles::parse("gaps=100").unwrap());
    let mut without = 0;
    for home in &all.homes {
        for day in days(90).map(day_number) {
            if all.troubles.gap(&home.name, day) {
                without += 1;
                assert!(all.measured(home, day).unwrap().is_empty());
            }
        }
    }
    assert!((60..=300).contains(&without), "{without} of 1800 days");
    let wrong = sent(
        &homes(
            5,
            40,
            Some("copd"),
            Troubles::parse("minutes=30,hours=30,year=30").unwrap(),
        ),
        20,
    );
    let mut of_device: BTreeMap<(usize, String), Option<ClockError>> = BTreeMap::new();
    let mut seen = [0; 4];
    for sending in &wrong {
        for one in &sending.readings {
            let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
            // Answers are nobody's device's; whoever fills in looks at a clock too.
            let device = body["device"]["identifier"]["value"].as_str();
            let device = device.unwrap_or(one.resource_type).to_owned();
            assert_eq!(
                of_device.entry((sending.home, device)).or_insert(one.clock),
                &one.clock
            );
            let shown = body["effectiveDateTime"].as_str();
            let shown = shown.or(body["authored"].as_str()).unwrap();
            let shown: jiff::Timestamp = shown.parse().unwrap();
            let off = (shown.as_microsecond() - one.taken.0) / 60_000_000;
            let (at, sound) = match one.clock {
                None => (0, off == 0),
                Some(ClockError::Minutes(n)) => (1, off == n),
                Some(ClockError::Hours(n)) => (2, off == n * 60),
                Some(ClockError::Year(_)) => (3, (360..370).contains(&(off.abs() / 1440))),
            };
            assert!(sound, "{:?} {off}", one.clock);
            seen[at] += 1;
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "{seen:?}");
}
