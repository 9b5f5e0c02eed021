//! A subscriber who is away, and a service that stops: nothing is missing afterwards, and repeats have the same number.

use http::StatusCode;
use trust::Interaction;

use super::*;
use crate::house::*;

#[tokio::test]
async fn away_it_is_in_error_the_count_goes_on_and_what_was_missed_has_no_gap() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let first = region.reads("r-1", "90").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1]);
    region.hook.answers(StatusCode::SERVICE_UNAVAILABLE);
    let mut ids = vec![first];
    ids.push(region.reads("r-2", "89").await);
    region.tells().await;
    // Tried again with patience, the same number each time, and then no more.
    for wait in [1, 2, 4, 8, 16, 32] {
        assert_eq!(region.stands(&path).await.0, "active");
        region.passes(wait - 1).await;
        let before = region.hook.asked();
        region.passes(1).await;
        assert_eq!(region.hook.asked(), before + 1, "after {wait} s");
    }
    assert_eq!(region.stands(&path).await, ("error".into(), "2".into()));
    let told = region.get(&region.system(), &path).await;
    assert_eq!(
        (told["status"].as_str(), told["error"].as_str()),
        (Some("error"), Some("the endpoint answered 503"))
    );
    // The count goes on, and the server does not set it active again by itself.
    region.hook.answers(StatusCode::OK);
    let before = region.hook.asked();
    for n in 3..=5 {
        ids.push(region.reads(&format!("r-{n}"), "88").await);
    }
    region.passes(7_200).await;
    assert_eq!(region.hook.asked(), before);
    assert_eq!(region.stands(&path).await, ("error".into(), "5".into()));
    // What was missed is fetched, in parts too, without a gap.
    let expected: Vec<_> = (1_u64..)
        .zip(ids.iter().map(|id| format!("Observation/{id}")))
        .collect();
    assert_eq!(region.missed(&path, "").await, expected);
    assert_eq!(
        region
            .missed(&path, "?eventsSinceNumber=2&eventsUntilNumber=4")
            .await,
        expected[1..4]
    );
    assert_eq!(region.missed(&path, "?eventsSinceNumber=6").await, []);
    let without = region
        .missed(&path, "?eventsSinceNumber=5&content=empty")
        .await;
    assert_eq!(without, [(5, String::new())]);
    for (query, place) in [
        ("eventsSinceNumber=x", "eventsSinceNumber"),
        ("content=full-resource", "content"),
        ("foo=1", "foo"),
    ] {
        let reply = region
            .service
            .get(&region.system(), &format!("{path}/$events?{query}"))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(reply.json.to_string().contains(place), "{}", reply.json);
    }
    let record = region
        .service
        .last_record_of(Interaction::SubscriptionRead)
        .await;
    assert_eq!(record.organisation, Some(org(PROVEBAKKEN)));
    // Asked for again by its subscriber, with the need stated anew, it goes on where it stopped: repeats carry the same numbers.
    let now = region.get(&region.gp(), &path).await;
    let mut body = wanted(&region.endpoint(), "new-reading", Some(&region.patient));
    body["id"] = now["id"].clone();
    let stale = region
        .service
        .put(&region.gp(), &path, Some("\"1\""), &body)
        .await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let without = region.service.put(&region.gp(), &path, None, &body).await;
    assert_eq!(without.status, StatusCode::PRECONDITION_REQUIRED);
    let version = format!("W/\"{}\"", now["meta"]["versionId"].as_str().unwrap());
    let by_system = region
        .service
        .put(&region.system(), &path, Some(&version), &body)
        .await;
    assert_eq!(
        by_system.status,
        StatusCode::FORBIDDEN,
        "no need is stated by a system"
    );
    let again = region
        .service
        .put(&region.gp(), &path, Some(&version), &body)
        .await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.json);
    region.hook.heard();
    region.tells().await;
    let heard = region.hook.heard();
    assert_eq!(heard[0].0, "handshake");
    assert_eq!(
        heard[1],
        ("event-notification".to_owned(), expected[1..].to_vec())
    );
    assert_eq!(region.stands(&path).await, ("active".into(), "5".into()));
}

#[tokio::test]
async fn stopped_in_the_middle_nothing_is_lost_and_repeats_have_the_same_number() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.answers(StatusCode::SERVICE_UNAVAILABLE);
    let ids = [
        region.reads("r-1", "90").await,
        region.reads("r-2", "89").await,
    ];
    region.tells().await;
    // A reading that the store has told of and nobody has noticed.
    let body = reading(ragnhild(), "r-3", "2026-11-21T08:00:00+01:00", "88");
    let third = region.service.created(&body).await;
    region.hook.answers(StatusCode::OK);
    let region = region.restarted().await;
    region.tells().await;
    let expected: Vec<_> = (1_u64..)
        .zip(
            ids.iter()
                .chain([&third])
                .map(|id| format!("Observation/{id}")),
        )
        .collect();
    let heard: Vec<_> = region
        .hook
        .heard()
        .into_iter()
        .flat_map(|(_, events)| events)
        .collect();
    assert_eq!(heard, expected);
    assert_eq!(region.stands(&path).await, ("active".into(), "3".into()));
}

#[tokio::test]
async fn asked_at_once_each_is_answered_and_nothing_is_counted_twice() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.answers(StatusCode::BAD_GATEWAY);
    for n in 0..4 {
        region.reads(&format!("r-{n}"), "90").await;
        region.tells().await;
    }
    let ask = || region.stands(&path);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    for one in [a, b, c, d] {
        assert_eq!(one, ("active".into(), "4".into()));
    }
    assert_eq!(region.missed(&path, "").await.len(), 4);
}

#[tokio::test]
async fn a_clock_that_is_set_back_stalls_neither_tries_nor_heartbeats() {
    let region = Region::new().await;
    region.follows_with_heartbeats().await;
    region.hook.answers(StatusCode::BAD_GATEWAY);
    region.reads("r-1", "90").await;
    region.tells().await;
    region.hook.answers(StatusCode::OK);
    region.passes(-3_600).await;
    assert_eq!(region.hook.numbers(), [1]);
    region.passes(-3_600).await;
    assert_eq!(region.hook.heard(), []);
    region.passes(60).await;
    assert_eq!(region.hook.heard(), [("heartbeat".to_owned(), vec![])]);
}

#[tokio::test]
async fn while_it_is_in_error_what_waits_is_bounded_and_so_is_what_is_kept() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.answers(StatusCode::BAD_GATEWAY);
    region.reads("r-0", "90").await;
    region.tells().await;
    for _ in 0..8 {
        region.passes(60).await;
    }
    assert_eq!(region.stands(&path).await, ("error".into(), "1".into()));
    let owner = region.service.record_system(FJELLVIK);
    for round in 0..3 {
        let one = |n: usize| {
            let when = "2026-11-21T08:00:00+01:00";
            reading(ragnhild(), &format!("b-{round}-{n}"), when, "90")
        };
        let all: Vec<_> = (0..400).map(one).collect();
        let taken = region
            .service
            .post(&owner, "/", &bundle("batch", &all))
            .await;
        assert_eq!(taken.status, StatusCode::OK, "{}", taken.json);
        region.tells().await;
        assert!(region.listed().await.waiting < 500);
    }
    assert_eq!(region.stands(&path).await.1, "1201");
    assert_eq!(region.listed().await.heard_of, 1_000);
    // What is not kept any more is said to be so, and not passed over in silence.
    let old = region
        .service
        .get(
            &region.system(),
            &format!("{path}/$events?eventsSinceNumber=201"),
        )
        .await;
    assert_eq!(old.status, StatusCode::BAD_REQUEST, "{}", old.json);
    let oldest = region.missed(&path, "?eventsSinceNumber=202").await;
    assert_eq!((oldest.len(), oldest[0].0, oldest[99].0), (100, 202, 301));
    let last = region.missed(&path, "?eventsSinceNumber=1200").await;
    assert_eq!(
        last.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        [1200, 1201]
    );
}

/// What rests of one subscription is damaged: the service starts, and the others are told.
#[tokio::test]
async fn a_damaged_subscription_is_told_nothing_and_stops_neither_the_service_nor_another() {
    let region = Region::new().await;
    let damaged = region.follows("new-reading").await;
    let whole = region.follows("new-reading").await;
    let file = crate::work_list::walkdir(region.service.folder.path());
    let id = damaged.strip_prefix("/Subscription/").unwrap();
    let id = uuid::Uuid::parse_str(id).unwrap();
    let spoil = "UPDATE ledger SET value = x'FF' WHERE ledger = 'subscription' AND key = ?1";
    let connection = rusqlite::Connection::open(file).unwrap();
    let spoilt = connection.execute(spoil, [id.as_bytes().as_slice()]);
    assert_eq!(spoilt.unwrap(), 1);
    drop(connection);
    let region = region.restarted().await;
    region.hook.heard();
    region.reads("r-1", "90").await;
    region.tells().await;
    assert_eq!(region.hook.numbers(), [1]);
    assert_eq!(region.stands(&whole).await.1, "1");
}

#[tokio::test]
async fn what_was_taken_and_whose_answer_was_lost_comes_again_under_the_same_number() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    region.hook.heard();
    // It takes what it is told, and falls before it answers.
    region.hook.keeps(true);
    region.hook.answers(StatusCode::INTERNAL_SERVER_ERROR);
    let first = region.reads("r-1", "90").await;
    region.tells().await;
    let told = region.hook.heard();
    let event = (1, format!("Observation/{first}"));
    assert_eq!(
        told,
        [("event-notification".to_owned(), vec![event.clone()])]
    );
    let second = region.reads("r-2", "89").await;
    region.hook.answers(StatusCode::OK);
    region.passes(60).await;
    // The number is what a receiver knows a repeat by: the same for the same, another for what is new.
    let again: Vec<_> = region
        .hook
        .heard()
        .into_iter()
        .flat_map(|(_, all)| all)
        .collect();
    assert_eq!(again, [event, (2, format!("Observation/{second}"))]);
    assert_eq!(region.stands(&path).await, ("active".into(), "2".into()));
    region.passes(60).await;
    assert_eq!(region.hook.numbers(), Vec::<u64>::new());
}

/// A reading that rests damaged before anybody has heard of it: its number stands, and says that something was there; but for who may
/// not know of it.
#[tokio::test]
async fn what_cannot_be_read_any_more_has_its_number_unless_she_has_closed_it() {
    for closed in [false, true] {
        let region = Region::new().await;
        let path = region.follows("new-reading").await;
        region.reads("r-1", "90").await;
        region.tells().await;
        assert_eq!(region.hook.numbers(), [1]);
        let lost = region.reads("r-2", "84").await;
        crate::work_list::spoil(&region.service, &lost);
        if closed {
            region.closes(organisation_closed(PROVEBAKKEN)).await;
        }
        region.tells().await;
        assert_eq!(region.hook.numbers(), Vec::<u64>::new());
        let count = if closed { "1" } else { "2" };
        assert_eq!(region.stands(&path).await, ("active".into(), count.into()));
        let missed = region.missed(&path, "?eventsSinceNumber=2").await;
        let alone = (!closed).then_some((2, String::new()));
        assert_eq!(missed, Vec::from_iter(alone));
    }
}

/// What was withdrawn was an event of what it had been; where that does not read any more, who may have heard of it hears that it is gone.
#[tokio::test]
async fn what_was_withdrawn_after_it_was_damaged_is_told_as_gone() {
    let region = Region::new().await;
    let path = region.follows("new-reading").await;
    let id = region.reads("r-1", "90").await;
    region.tells().await;
    crate::work_list::spoil(&region.service, &id);
    let owner = region.service.record_system(FJELLVIK);
    let gone = region
        .service
        .delete(&owner, &format!("/Observation/{id}"), None)
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.json);
    region.hook.heard();
    region.tells().await;
    let numbers = [(2, format!("Observation/{id}"))];
    assert_eq!(
        region.hook.heard(),
        [("event-notification".to_owned(), numbers.to_vec())]
    );
    assert_eq!(region.stands(&path).await.1, "2");
}
