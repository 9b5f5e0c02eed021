//! Two open alerts of one topic, one that came back and one that was raised meanwhile, become one by the word of who owns both: what
//! stays, who may, and that nobody has what joined without having heard of it.

use super::back::{handed_back, rests_on};
use super::*;
use serde_json::json;

/// A reading that raises an alert, or joins the one that is open.
async fn red(side: &Side, key: &str, value: &str) {
    side.service.clock.advance(MINUTE);
    let now = side.service.clock.now().to_string();
    let red = reading(ragnhild(), key, &now, value);
    side.service.created(&red).await;
    side.service.state.assess_waiting().await.unwrap();
}

/// Her alerts at the municipality, the oldest first.
async fn all(side: &Side) -> Vec<Value> {
    crate::alert::alerts(&side.service).await
}

fn state(task: &Value) -> &str {
    let code = &task["businessStatus"]["coding"][0]["code"];
    code.as_str().unwrap()
}

fn states(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(state).collect()
}

/// An alert as it was seen.
fn seen(task: &Value) -> String {
    let (id, version) = (&task["id"], &task["meta"]["versionId"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    format!("Task/{}/_history/{}", text(id), text(version))
}

/// A step of one alert, from the version that was seen.
async fn step(
    side: &Side,
    who: &Practitioner,
    of: &Value,
    step: &str,
    form: &[(&str, &str)],
) -> Reply {
    let path = format!("/Task/{}/${step}", of["id"].as_str().unwrap());
    let version = of["meta"]["versionId"].as_str().unwrap();
    let knock = side.service.door.knock(http::Method::POST, &path);
    let knock = knock.header("if-match", &format!("W/\"{version}\""));
    let knock = knock
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()));
    let now = side.service.clock.now();
    knock.by(&side.who(who), now).send().await
}

/// The same, and it is taken.
async fn taken(side: &Side, of: &Value, what: &str, form: &[(&str, &str)]) -> Value {
    let reply = step(side, &kari(), of, what, form).await;
    assert_eq!(reply.status, StatusCode::OK, "{what}: {}", reply.json);
    reply.json
}

/// The nurse joins one to the other, which stays.
async fn joins(side: &Side, stays: &Value, ends: &Value) -> Reply {
    let form = [("with", &*seen(ends)), ("note", "Samme sak")];
    step(side, &kari(), stays, "join", &form).await
}

fn diagnostics(reply: &Reply) -> &str {
    reply.json["issue"][0]["diagnostics"].as_str().unwrap()
}

/// The nurse has both: what came back, whose acceptance is not heard yet, and what was raised meanwhile.
async fn has_both() -> (Side, Side) {
    let (fjellvik, proveheim) = handed_back().await;
    red(&fjellvik, "meanwhile", "80").await;
    let tasks = all(&fjellvik).await;
    assert_eq!(states(&tasks), ["handed-over", "offered", "raised"]);
    taken(&fjellvik, &tasks[1], "accept", &[]).await;
    taken(&fjellvik, &tasks[2], "own", &[]).await;
    (fjellvik, proveheim)
}

#[tokio::test]
async fn what_came_back_and_what_was_raised_meanwhile_are_one_when_the_acceptance_is_heard() {
    for stays_back in [true, false] {
        let (fjellvik, proveheim) = has_both().await;
        let before = all(&fjellvik).await;
        let (stays, ends) = match stays_back {
            true => (&before[1], &before[2]),
            false => (&before[2], &before[1]),
        };
        // The sender may still say that it is not hers.
        let early = joins(&fjellvik, stays, ends).await;
        assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.json);
        assert!(diagnostics(&early).contains("has not heard"));
        assert_eq!(all(&fjellvik).await, before);
        assert_eq!(fjellvik.tells(&proveheim).await, 1);
        assert_eq!(proveheim.states().await, ["\"handed-over\""]);
        let list = crate::work_list::list(&fjellvik.service, &[]).await;
        assert_eq!(list.rows[0].alerts.len(), 2);

        let joined = joins(&fjellvik, stays, ends).await;
        assert_eq!(joined.status, StatusCode::OK, "{}", joined.json);
        let after = all(&fjellvik).await;
        let by_id = |of: &Value| {
            let found = after.iter().find(|one| one["id"] == of["id"]);
            found.unwrap().clone()
        };
        let (stood, ended) = (by_id(stays), by_id(ends));
        assert_eq!((state(&stood), state(&ended)), ("owned", "joined"));
        assert_eq!(ended["status"], "completed");
        let place = |of: &Value| format!("Task/{}", of["id"].as_str().unwrap());
        assert_eq!(ended["partOf"], json!([{"reference": place(stays)}]));
        let replaces = stood["extension"].as_array().unwrap().iter();
        let replaces: Vec<_> = replaces
            .filter(|one| one["url"].as_str().unwrap().ends_with("/task-replaces"))
            .map(|one| one["valueReference"]["reference"].as_str().unwrap())
            .collect();
        assert_eq!(replaces, [place(ends)]);
        for task in [&stood, &ended] {
            let last = task["note"].as_array().unwrap().last().unwrap();
            assert_eq!(last["text"], "Samme sak");
            assert_eq!(last["authorString"], "Kari Prøve, Fjellvik kommune");
        }
        // Whoever closes it sees what both were raised by.
        let both = rests_on(&fjellvik, &stood).await;
        for one in [stays, ends] {
            for named in rests_on(&fjellvik, one).await {
                assert!(both.contains(&named), "{named} is not in {both:?}");
            }
        }
        let record = fjellvik
            .service
            .last_record_of(Interaction::AlertStep)
            .await;
        assert!(record.asked.contains(&seen(ends)), "{}", record.asked);
        assert_eq!(record.patient, Some(identifier(ragnhild())));
        let list = crate::work_list::list(&fjellvik.service, &[]).await;
        assert_eq!(list.rows[0].alerts.len(), 1);

        // What is found later joins it, and its deadline passes once.
        red(&fjellvik, "later", "79").await;
        let later = all(&fjellvik).await;
        assert_eq!(later.len(), 3);
        let stood = later.iter().find(|one| one["id"] == stays["id"]).unwrap();
        assert!(rests_on(&fjellvik, stood).await.len() > both.len());
        fjellvik.service.clock.advance(16 * MINUTE);
        assert_eq!(fjellvik.service.state.watch_due().await.unwrap(), 1);
        assert_eq!(fjellvik.tells(&proveheim).await, 0);
        // It is closed as any other.
        let stood = all(&fjellvik).await;
        let stood = stood.iter().find(|one| one["id"] == stays["id"]).unwrap();
        taken(&fjellvik, stood, "resolve", &[("note", "Bedre")]).await;
        let list = crate::work_list::list(&fjellvik.service, &[]).await;
        assert_eq!(list.rows[0].alerts.len(), 0);
        fjellvik.service.clock.advance(60 * MINUTE);
        assert_eq!(fjellvik.service.state.watch_due().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn of_two_who_join_at_once_one_has_it_and_nothing_is_joined_twice() {
    let (fjellvik, proveheim) = has_both().await;
    fjellvik.tells(&proveheim).await;
    let tasks = all(&fjellvik).await;
    // Each into the other: both cannot end.
    let (one, other) = tokio::join!(
        joins(&fjellvik, &tasks[1], &tasks[2]),
        joins(&fjellvik, &tasks[2], &tasks[1]),
    );
    let (won, lost) = match one.status {
        StatusCode::OK => (one, other),
        _ => (other, one),
    };
    assert_eq!(won.status, StatusCode::OK, "{}", won.json);
    assert_eq!(
        lost.status,
        StatusCode::PRECONDITION_FAILED,
        "{}",
        lost.json
    );
    let states = fjellvik.states().await;
    assert_eq!(states, ["\"handed-over\"", "\"joined\"", "\"owned\""]);
}

/// Offered and taken back, so that it stands apart; then another is raised, and she has both.
async fn taken_back() -> (Side, Side) {
    let (fjellvik, proveheim) = offered().await;
    fjellvik.tells(&proveheim).await;
    let first = all(&fjellvik).await.remove(0);
    taken(&fjellvik, &first, "own", &[("note", "Venter ikke")]).await;
    red(&fjellvik, "meanwhile", "80").await;
    let tasks = all(&fjellvik).await;
    assert_eq!(states(&tasks), ["owned", "raised"]);
    taken(&fjellvik, &tasks[1], "own", &[]).await;
    (fjellvik, proveheim)
}

#[tokio::test]
async fn an_acceptance_of_what_was_offered_before_does_not_take_what_joined_it() {
    for stays_first in [true, false] {
        let (fjellvik, proveheim) = taken_back().await;
        // Accepted, while the recall is on its way.
        let accepted = proveheim.step(&ola(), "accept", &[]).await;
        assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
        let tasks = all(&fjellvik).await;
        let (stays, ends) = match stays_first {
            true => (&tasks[0], &tasks[1]),
            false => (&tasks[1], &tasks[0]),
        };
        let joined = joins(&fjellvik, stays, ends).await;
        assert_eq!(joined.status, StatusCode::OK, "{}", joined.json);
        assert_eq!(proveheim.tells(&fjellvik).await, 0);
        fjellvik.tells(&proveheim).await;
        assert_eq!(fjellvik.states().await, ["\"joined\"", "\"owned\""]);
        assert_eq!(proveheim.states().await, ["\"declined\""]);
        let (_, text) = proveheim.last_note().await;
        assert!(text.contains("slått sammen"), "{text}");

        // Offered anew, it is offered with all of it, and may be taken.
        fjellvik.service.clock.advance(MINUTE);
        let stood = all(&fjellvik).await;
        let stood = stood.iter().find(|one| state(one) == "owned").unwrap();
        let form = [("to", PROVEHEIM), ("note", "Igjen")];
        taken(&fjellvik, stood, "hand-over", &form).await;
        fjellvik.tells(&proveheim).await;
        let there = proveheim.task().await;
        let named = rests_on(&proveheim, &there).await;
        assert_eq!(named.len(), rests_on(&fjellvik, stood).await.len());
        let accepted = proveheim.step(&ola(), "accept", &[]).await;
        assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
        assert_eq!(proveheim.tells(&fjellvik).await, 1);
        assert_eq!(fjellvik.states().await, ["\"handed-over\"", "\"joined\""]);
    }
}

/// The second is offered and taken back too: now no alert of hers is the one that what is found joins.
async fn both_taken_back() -> (Side, Side) {
    let (fjellvik, proveheim) = taken_back().await;
    let second = all(&fjellvik).await.remove(1);
    let form = [("to", PROVEHEIM), ("note", "Igjen")];
    let second = taken(&fjellvik, &second, "hand-over", &form).await;
    taken(&fjellvik, &second, "own", &[("note", "Venter ikke")]).await;
    (fjellvik, proveheim)
}

#[tokio::test]
async fn two_that_were_taken_back_are_one_and_what_is_found_later_joins_it() {
    let (fjellvik, _proveheim) = both_taken_back().await;
    let tasks = all(&fjellvik).await;
    let joined = joins(&fjellvik, &tasks[0], &tasks[1]).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.json);
    red(&fjellvik, "later", "79").await;
    assert_eq!(states(&all(&fjellvik).await), ["owned", "joined"]);
}

#[tokio::test]
async fn where_a_third_is_what_later_findings_join_the_two_are_joined_with_that() {
    let (fjellvik, _proveheim) = both_taken_back().await;
    red(&fjellvik, "third", "79").await;
    let tasks = all(&fjellvik).await;
    assert_eq!(states(&tasks), ["owned", "owned", "raised"]);
    let refused = joins(&fjellvik, &tasks[0], &tasks[1]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.json);
    assert!(diagnostics(&refused).contains("own it"), "{}", refused.json);
    assert_eq!(all(&fjellvik).await, tasks);
    taken(&fjellvik, &tasks[2], "own", &[]).await;
    for other in [2, 1] {
        let tasks = all(&fjellvik).await;
        let joined = joins(&fjellvik, &tasks[0], &tasks[other]).await;
        assert_eq!(joined.status, StatusCode::OK, "{}", joined.json);
    }
    assert_eq!(states(&all(&fjellvik).await), ["owned", "joined", "joined"]);
}

/// Who is not who owns both, what is not what both are, and what was not seen: each is said, and nothing is written.
#[tokio::test]
async fn what_is_not_to_be_joined_stays_two() {
    let (fjellvik, _proveheim) = taken_back().await;
    let service = &fjellvik.service;
    service
        .created(&crate::assess::plan(
            arne(),
            "2",
            ("2026-11-01", None),
            "84",
        ))
        .await;
    let now = service.clock.now().to_string();
    service.created(&reading(arne(), "his", &now, "80")).await;
    let mut expecting = crate::alert::expecting();
    expecting["identifier"][0]["value"] = "expecting".into();
    expecting["period"]["start"] = "2026-11-20".into();
    service.created(&expecting).await;
    service.state.assess_waiting().await.unwrap();
    service
        .clock
        .set("2026-11-21T12:00:00+01:00".parse().unwrap());
    service.state.watch_due().await.unwrap();
    let tasks = all(&fjellvik).await;
    assert_eq!(states(&tasks), ["owned", "owned", "raised"]);
    taken(&fjellvik, &tasks[2], "own", &[]).await;
    let form = [("patient.identifier", &*number(arne()))];
    let his = service
        .search(&service.record_system(FJELLVIK), "Task", &form)
        .await;
    let his = seen(his.matches()[0]);

    let tasks = all(&fjellvik).await;
    let [one, two, missing] = &tasks[..] else {
        panic!("three: {tasks:?}")
    };
    let nobody = "Task/00000000-0000-4000-8000-0000000000aa/_history/1";
    let (itself, of_missing, with) = (seen(one), seen(missing), seen(two));
    let ahead = format!("{with}0");
    let unversioned = with.split("/_history").next().unwrap();
    let note = ("note", "Samme sak");
    for (form, status, expected) in [
        (vec![note], 400, "value @ with"),
        (vec![note, ("with", unversioned)], 400, "value @ with"),
        (
            vec![note, ("with", &with), ("with", &of_missing)],
            400,
            "value @ with",
        ),
        (
            vec![note, ("with", "Observation/1/_history/1")],
            400,
            "value @ with",
        ),
        (vec![("with", &with)], 400, "required @ note"),
        (
            vec![note, note, ("with", &with)],
            400,
            "not-supported @ note",
        ),
        (
            vec![note, ("with", &with), ("shared", "true")],
            400,
            "not-supported @ note",
        ),
        (vec![note, ("with", &itself)], 400, "business-rule @ with"),
        // Another patient's looks like what was never there.
        (vec![note, ("with", &his)], 400, "business-rule @ with"),
        (vec![note, ("with", nobody)], 400, "business-rule @ with"),
        (vec![note, ("with", &of_missing)], 409, "conflict @ with"),
        (vec![note, ("with", &ahead)], 412, "conflict @ with"),
    ] {
        let reply = step(&fjellvik, &kari(), one, "join", &form).await;
        assert_eq!(reply.status.as_u16(), status, "{form:?}: {}", reply.json);
        assert_eq!(issues(&reply.json), [expected], "{form:?}");
    }
    let form = [note, ("with", &*with)];
    let path = format!("/Task/{}/$join", one["id"].as_str().unwrap());
    let bare = service.door.knock(http::Method::POST, &path);
    let bare = bare
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form));
    let bare = bare
        .by(&fjellvik.who(&kari()), service.clock.now())
        .send()
        .await;
    assert_eq!(bare.status, StatusCode::PRECONDITION_REQUIRED);
    let mut ahead = one.clone();
    ahead["meta"]["versionId"] = "99".into();
    let ahead = step(&fjellvik, &kari(), &ahead, "join", &form).await;
    assert_eq!(ahead.status, StatusCode::PRECONDITION_FAILED);
    let theirs = json!({"id": his.split('/').nth(1).unwrap(), "meta": {"versionId": "1"}});
    let theirs = step(&fjellvik, &kari(), &theirs, "join", &form).await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let other = step(&fjellvik, &ola(), one, "join", &form).await;
    assert_eq!(other.status, StatusCode::CONFLICT);
    assert!(diagnostics(&other).contains("owned by Kari Prøve"));
    assert_eq!(all(&fjellvik).await, tasks);
}

/// What the other is decides as much as what this one is.
#[tokio::test]
async fn what_another_has_or_is_offered_or_has_ended_is_not_joined() {
    for (who, what, form, words) in [
        (
            ola(),
            "own",
            vec![("note", "Tar over")],
            "owned by Ola Prøve",
        ),
        (
            kari(),
            "hand-over",
            vec![("to", PROVEHEIM), ("note", "x")],
            "it is offered to another organisation",
        ),
        (
            kari(),
            "resolve",
            vec![("note", "Bedre")],
            "the alert is closed",
        ),
    ] {
        let (fjellvik, _proveheim) = taken_back().await;
        let two = all(&fjellvik).await;
        let reply = step(&fjellvik, &who, &two[1], what, &form).await;
        assert_eq!(reply.status, StatusCode::OK, "{what}: {}", reply.json);
        let tasks = all(&fjellvik).await;
        for (stays, ends, place) in [
            (0, 1, vec!["conflict @ with"]),
            (1, 0, vec!["conflict @ -"]),
        ] {
            let reply = joins(&fjellvik, &tasks[stays], &tasks[ends]).await;
            assert_eq!(reply.status, StatusCode::CONFLICT, "{what}");
            assert!(diagnostics(&reply).contains(words), "{}", reply.json);
            assert_eq!(issues(&reply.json), place, "{what}");
        }
        assert_eq!(all(&fjellvik).await, tasks);
    }
    // Nobody has it yet.
    let (fjellvik, _proveheim) = taken_back().await;
    let two = all(&fjellvik).await;
    let form = [("to", PROVEHEIM), ("note", "x")];
    taken(&fjellvik, &two[1], "hand-over", &form).await;
    red(&fjellvik, "third", "79").await;
    let tasks = all(&fjellvik).await;
    let reply = joins(&fjellvik, &tasks[0], &tasks[2]).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(diagnostics(&reply).contains("nobody owns it"));
    assert_eq!(all(&fjellvik).await, tasks);
}

/// The one that stays was looked into; the other has passed a deadline and is somebody else's by role since. The note is filed once, with
/// what both rest on.
#[tokio::test]
async fn what_was_waited_for_is_waited_for_still_and_the_note_is_filed_once() {
    let (clock, issuer) = morning().await;
    let role = "Ansvarshavende sykepleier";
    let (fjellvik, _proveheim) = both_by(&clock, &issuer, true, |config, _| {
        let assessment = config.assessment.as_mut().unwrap();
        assessment.escalate_to = vec![role.to_owned()];
        config.files_notes = Some("http://127.0.0.1:9/hub".parse().unwrap());
    })
    .await;
    owned(&fjellvik).await;
    let first = all(&fjellvik).await.remove(0);
    let form = [("to", PROVEHEIM), ("note", "x")];
    let first = taken(&fjellvik, &first, "hand-over", &form).await;
    taken(&fjellvik, &first, "own", &[("note", "Venter ikke")]).await;
    red(&fjellvik, "meanwhile", "80").await;
    let tasks = all(&fjellvik).await;
    taken(&fjellvik, &tasks[0], "acknowledge", &[]).await;
    taken(&fjellvik, &tasks[1], "own", &[]).await;
    fjellvik.service.clock.advance(16 * MINUTE);
    assert_eq!(fjellvik.service.state.watch_due().await.unwrap(), 1);
    let tasks = all(&fjellvik).await;
    assert_eq!(states(&tasks), ["acknowledged", "owned"]);
    let joined = joins(&fjellvik, &tasks[0], &tasks[1]).await;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.json);
    let stood = &joined.json;
    assert_eq!(state(stood), "owned");
    assert_eq!(stood["restriction"], tasks[1]["restriction"]);
    assert_eq!(stood["performerType"], json!([{"text": role}]));
    let escalation = |task: &Value| {
        let all = task["extension"].as_array().unwrap().iter();
        let url = |one: &&Value| one["url"].as_str().unwrap().ends_with("/alert-escalation");
        all.filter(url).cloned().collect::<Vec<_>>()
    };
    assert_eq!(escalation(stood), escalation(&tasks[1]));

    let (store, now) = (fjellvik.service.state.store(), fjellvik.service.clock.now());
    let waiting = store.outbox_due("hub", now, 100).await.unwrap();
    let said = waiting
        .iter()
        .map(|one| serde_json::from_slice::<Value>(&one.body).unwrap());
    let said = said.filter(|one| one.to_string().contains("Samme sak"));
    let said: Vec<_> = said.collect();
    let [document] = &said[..] else {
        panic!("one document: {said:?}")
    };
    let version = stood["meta"]["versionId"].as_str().unwrap();
    let name = format!("{}/{version}", stood["id"].as_str().unwrap());
    assert_eq!(document["identifier"]["value"], name);
    let named = &document["entry"][1]["resource"]["implicated"];
    let rests = rests_on(&fjellvik, stood).await;
    assert_eq!(named.as_array().unwrap().len(), rests.len());
}

/// A list that is gone with a reading that was erased brings nothing, and takes what the other's brings.
#[tokio::test]
async fn what_is_left_of_what_was_erased_is_joined_too() {
    for stays_erased in [true, false] {
        let (fjellvik, _proveheim) = taken_back().await;
        let tasks = all(&fjellvik).await;
        let (of_first, of_second) = (
            rests_on(&fjellvik, &tasks[0]).await,
            rests_on(&fjellvik, &tasks[1]).await,
        );
        let mut own = of_first.iter().filter(|one| !of_second.contains(one));
        crate::alert::erased(&fjellvik.service, own.next_back().unwrap()).await;
        let (stays, ends) = match stays_erased {
            true => (&tasks[0], &tasks[1]),
            false => (&tasks[1], &tasks[0]),
        };
        let joined = joins(&fjellvik, stays, ends).await;
        assert_eq!(joined.status, StatusCode::OK, "{}", joined.json);
        assert_eq!(joined.json["focus"] == stays["focus"], !stays_erased);
        assert_eq!(rests_on(&fjellvik, &joined.json).await, of_second);
    }
}
