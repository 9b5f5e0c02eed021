//! Devices that are assigned: a reading is bound by the assignment at the time at which it was made, whenever it arrives.

use crate::house::*;
use fhir::systems;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;

const PATH: &str = "/assignments";
const T: [&str; 4] = [
    "2026-11-01T00:00:00Z",
    "2026-11-10T12:00:00Z",
    "2026-11-10T12:00:01Z",
    "2026-11-20T12:00:00Z",
];

async fn send(hub: &Hub, who: &Held, body: &Value) -> u16 {
    hub.post(who, "/fhir/Observation", body)
        .await
        .status
        .as_u16()
}

async fn assigned(hub: &Hub, orgnr: &str, body: &Value) -> Reply {
    let reply = hub.state(&hub.record_system(orgnr), PATH, body).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    reply
}

fn reasons(aside: Vec<(String, Option<String>)>) -> Vec<String> {
    aside.into_iter().map(|(reason, _)| reason).collect()
}

#[tokio::test]
async fn what_a_device_measures_of_somebody_else_is_kept_aside_and_replayed_when_that_is_mended() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let (her, him) = (ragnhild(), patient("arne"));
    let early = measured(him, "r-early", "X", T[3]);
    assert_eq!(
        send(&hub, &home, &early).await,
        201,
        "nobody has assigned it yet"
    );
    assigned(&hub, FJELLVIK, &assignment("X", her, T[0])).await;
    assert_eq!(
        send(&hub, &home, &measured(her, "r-1", "X", T[3])).await,
        201
    );
    assert_eq!(
        send(&hub, &home, &measured(him, "r-2", "X", T[3])).await,
        422
    );
    assert_eq!(
        send(&hub, &home, &measured(him, "r-3", "Y", T[3])).await,
        201,
        "another device"
    );
    assert_eq!(
        send(&hub, &home, &reading(him, "r-4", 90)).await,
        201,
        "no device at all"
    );
    assert_eq!(
        send(&hub, &home, &early).await,
        200,
        "what is known gets its first answer again"
    );
    let reply = hub.get(&home, "/quarantine").await;
    let entry = &reply.json["entries"][0];
    assert_eq!(entry["reason"], "assigned-otherwise");
    assert_eq!(
        entry["outcome"]["issue"][0]["expression"][0],
        "Observation.device"
    );
    let replay = format!("/quarantine/{}/replay", entry["id"].as_str().unwrap());
    assert_eq!(
        hub.post_text(&home, &replay, "").await.status.as_u16(),
        422,
        "the cause stands"
    );

    // She gave it back before; the record system says so now.
    let end = json!({"device": device("X"), "until": T[1]});
    let reply = hub
        .state(&hub.record_system(FJELLVIK), "/assignments/end", &end)
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(
        hub.post_text(&home, &replay, "").await.status,
        StatusCode::CREATED
    );
    assert!(hub.aside(&home).await.is_empty());
    let records = hub.audit().await;
    assert!(
        records
            .iter()
            .any(|one| one.record.interaction == trust::Interaction::Assign)
    );
    let aside = records.iter().map(|one| &one.record);
    let mut aside = aside.filter(|one| one.asked.ends_with(": assigned-otherwise"));
    let record = aside.next().expect("a record of what was kept aside");
    assert_eq!(
        record.patient.as_ref().unwrap().value().expose(),
        him.number
    );
    assert_eq!(aside.count(), 0);
}

#[tokio::test]
async fn a_backlog_across_a_change_is_judged_by_each_readings_own_time_also_after_a_restart() {
    let hub = Hub::new().await;
    let (her, him) = (ragnhild(), patient("arne"));
    let mut first = assignment("X", her, T[0]);
    first["until"] = json!(T[1]);
    assigned(&hub, FJELLVIK, &assignment("X", him, T[1])).await;
    assigned(&hub, FJELLVIK, &first).await;
    let hub = hub.restarted().await;
    // The last moment of hers, the first of his, and both the other way round; a day counts from its beginning in Norway.
    let sent = [
        (him, T[3], 201),
        (her, "2026-11-10T11:59:59Z", 201),
        (her, T[1], 422),
        (him, "2026-11-10T11:59:59Z", 422),
        (him, T[1], 201),
        (her, T[0], 201),
        (him, "2026-11-10", 422),
        (her, "2026-11-10", 201),
        (her, "2026-10-31T23:59:59Z", 201),
    ];
    let readings: Vec<Value> = sent
        .iter()
        .enumerate()
        .map(|(n, (of, when, _))| measured(of, &format!("r-{n}"), "X", when))
        .collect();
    let home = hub.home(FJELLVIK);
    let reply = hub.post(&home, "/fhir", &bundle("batch", &readings)).await;
    assert_eq!(
        statuses(&reply),
        sent.map(|(.., status)| status),
        "{}",
        reply.json
    );
    assert_eq!(reasons(hub.aside(&home).await), ["assigned-otherwise"; 3]);
}

#[tokio::test]
async fn where_it_is_required_a_device_that_nobody_assigned_then_brings_nothing_in() {
    let hub = Hub::requiring().await;
    let home = hub.home(FJELLVIK);
    let her = ragnhild();
    assigned(&hub, FJELLVIK, &assignment("X", her, T[1])).await;
    for (body, status) in [
        (measured(her, "r-1", "X", T[3]), 201),
        (measured(her, "r-2", "X", T[0]), 422),
        (measured(her, "r-3", "Y", T[3]), 422),
        (reading(her, "r-4", 90), 422),
    ] {
        assert_eq!(send(&hub, &home, &body).await, status, "{body}");
    }
    assert_eq!(reasons(hub.aside(&home).await), ["unassigned"; 3]);
    let reply = hub
        .post(&home, "/fhir/QuestionnaireResponse", &answers(her, "q-1"))
        .await;
    assert_eq!(reply.status, StatusCode::CREATED, "answers are no device's");
}

#[tokio::test]
async fn a_document_with_a_reading_of_somebody_elses_device_is_kept_aside_whole() {
    let hub = Hub::new().await;
    let home = hub.home(FJELLVIK);
    let sent = |key: &str| {
        let mut document = crate::document::alert(ragnhild(), key);
        document["entry"][2]["resource"]["device"] = json!({"identifier": device("X")});
        document
    };
    assert_eq!(
        hub.post(&home, "/fhir", &sent("d-1")).await.status,
        StatusCode::CREATED
    );
    assigned(&hub, FJELLVIK, &assignment("X", patient("arne"), T[0])).await;
    assert_eq!(
        hub.post(&home, "/fhir", &sent("d-1")).await.status,
        StatusCode::OK,
        "known"
    );
    let reply = hub.post(&home, "/fhir", &sent("d-2")).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let place = &reply.json["issue"][0]["expression"][0];
    assert_eq!(place, "Bundle.entry[2].resource.device");
    assert_eq!(reasons(hub.aside(&home).await), ["assigned-otherwise"]);
}

#[tokio::test]
async fn a_wrong_reading_can_be_corrected_and_taken_back_after_its_assignment_is_mended() {
    let hub = Hub::requiring().await;
    let home = hub.home(FJELLVIK);
    let (her, him) = (ragnhild(), patient("arne"));
    assigned(&hub, FJELLVIK, &assignment("X", her, T[0])).await;
    let mut first = measured(her, "r-1", "X", T[3]);
    assert_eq!(send(&hub, &home, &first).await, 201);
    // She had given it back before: it was not she who was measured.
    let end = json!({"device": device("X"), "until": T[1]});
    let record_system = hub.record_system(FJELLVIK);
    let reply = hub.state(&record_system, "/assignments/end", &end).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    first["status"] = json!("corrected");
    assert_eq!(send(&hub, &home, &first).await, 201, "nobody's then");
    assigned(&hub, FJELLVIK, &assignment("X", him, T[1])).await;
    first["status"] = json!("entered-in-error");
    assert_eq!(send(&hub, &home, &first).await, 201, "somebody else's then");
    assert_eq!(send(&hub, &home, &first).await, 200, "once");
    for receiver in ["310001007/record-system", "310001007/sharing"] {
        let waiting = hub.waiting(receiver).await;
        assert_eq!(waiting.len(), 3, "{receiver}");
        assert!(waiting[2].1.contains("entered-in-error"), "{receiver}");
    }
    // What corrects nothing that is known here is judged as new.
    let mut unknown = measured(her, "r-2", "X", T[3]);
    unknown["status"] = json!("corrected");
    assert_eq!(send(&hub, &home, &unknown).await, 422);
    assert_eq!(reasons(hub.aside(&home).await), ["assigned-otherwise"]);
}

#[tokio::test]
async fn a_sender_learns_nothing_of_whom_another_organisation_lent_a_device() {
    let hub = Hub::new().await;
    let (ours, home) = (hub.record_system(FJELLVIK), hub.home(FJELLVIK));
    let (her, him) = (ragnhild(), patient("arne"));
    assigned(&hub, PROVEHEIM, &assignment("X", her, T[0])).await;
    assigned(&hub, FJELLVIK, &assignment("Y", her, T[0])).await;
    // Lent by the other to her, lent by the other to somebody else, lent by ourselves to somebody else.
    let mut told = Vec::new();
    for (of, key, serial) in [(her, "r-1", "X"), (him, "r-2", "X"), (him, "r-3", "Y")] {
        let body = measured(of, key, serial, T[3]);
        let reply = hub.post(&home, "/fhir/Observation", &body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
        let mut document = crate::document::alert(of, &format!("d-{key}"));
        document["entry"][2]["resource"]["device"] = json!({"identifier": device(serial)});
        let whole = hub.post(&home, "/fhir", &document).await;
        assert_eq!(whole.status, StatusCode::UNPROCESSABLE_ENTITY);
        told.push((reply.json["issue"].clone(), whole.json["issue"].clone()));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
    assert_eq!(reasons(hub.aside(&home).await), ["assigned-otherwise"; 6]);
    // Nor does our record system learn who lends it.
    let mut taken = Vec::new();
    for serial in ["X", "Y"] {
        let reply = hub.state(&ours, PATH, &assignment(serial, him, T[1])).await;
        assert_eq!(reply.status, StatusCode::CONFLICT);
        let words = reply.json["issue"][0]["diagnostics"].as_str().unwrap();
        assert_eq!(words, "the device is lent out in that time");
        taken.push(reply.json["issue"].clone());
    }
    assert_eq!(taken[0], taken[1]);
    let theirs = measured(her, "r-1", "X", T[3]);
    assert_eq!(send(&hub, &hub.home(PROVEHEIM), &theirs).await, 201);
}

#[tokio::test]
async fn an_organisation_states_and_ends_its_own_alone_and_no_two_overlap() {
    let hub = Hub::new().await;
    let (ours, theirs) = (hub.record_system(FJELLVIK), hub.record_system(PROVEHEIM));
    let mut first = assignment("X", ragnhild(), T[1]);
    first["until"] = json!(T[3]);
    let told = assigned(&hub, FJELLVIK, &first).await;
    assert!(!told.visible().contains(&ragnhild().number));
    // Touching is not overlapping; and it is the same for whoever asks.
    for (from, until, status) in [
        (T[1], T[2], 409),
        (T[0], T[2], 409),
        (T[0], "2026-12-31T00:00:00Z", 409),
        (T[0], T[1], 201),
        (T[3], "2026-12-31T00:00:00Z", 201),
    ] {
        let mut new = assignment("X", patient("arne"), from);
        new["until"] = json!(until);
        let reply = hub.state(&theirs, PATH, &new).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{from} {until}: {}",
            reply.json
        );
    }
    // The other's does not end ours, nor is ours shown there.
    let end = |until: &str| json!({"device": device("X"), "until": until});
    assert_eq!(
        hub.state(&theirs, "/assignments/end", &end(T[2]))
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    for (who, count) in [(&ours, 1), (&theirs, 2)] {
        let reply = hub.get(who, PATH).await;
        assert_eq!(
            reply.json["assignments"].as_array().unwrap().len(),
            count,
            "{}",
            reply.json
        );
        assert!(!reply.visible().contains(&ragnhild().number));
    }
    assert_eq!(
        hub.state(&ours, "/assignments/end", &end(T[2]))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        hub.state(&ours, "/assignments/end", &end(T[2]))
            .await
            .status,
        StatusCode::OK,
        "once more"
    );
    assert_eq!(
        hub.state(&ours, "/assignments/end", &end(T[1]))
            .await
            .status,
        StatusCode::NOT_FOUND,
        "before it began"
    );

    // Whoever takes nothing from this hub assigns nothing here; what is no assignment is refused in words.
    let stranger = hub
        .state(
            &hub.record_system(PROVEBAKKEN),
            PATH,
            &assignment("Z", ragnhild(), T[0]),
        )
        .await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    let living = json!({"system": systems::FNR, "value": "13116900216"});
    for (member, value) in [
        (
            "patient",
            json!({"system": systems::FNR, "value": "14835210261"}),
        ),
        ("patient", json!({"system": "urn:example", "value": "1"})),
        ("patient", living),
        ("device", json!({"system": "", "value": "X"})),
        ("device", json!({"system": "urn:d", "value": "a\nb"})),
        (
            "device",
            json!({"system": "urn:d", "value": "x".repeat(256)}),
        ),
        ("until", json!(T[0])),
        ("from", json!("yesterday")),
        ("to", json!(T[3])),
    ] {
        let mut wrong = assignment("Z", ragnhild(), T[0]);
        wrong[member] = value;
        let reply = hub.state(&ours, PATH, &wrong).await;
        assert!(
            matches!(reply.status.as_u16(), 400 | 422),
            "{wrong}: {}",
            reply.status
        );
        assert!(
            !reply.json["issue"][0]["diagnostics"]
                .as_str()
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn two_who_assign_one_device_at_once_are_one() {
    let hub = Hub::new().await;
    let (ours, theirs) = (hub.record_system(FJELLVIK), hub.record_system(PROVEHEIM));
    let new = assignment("X", ragnhild(), T[0]);
    let both =
        futures::future::join(hub.state(&ours, PATH, &new), hub.state(&theirs, PATH, &new)).await;
    let mut told = [both.0.status.as_u16(), both.1.status.as_u16()];
    told.sort_unstable();
    assert_eq!(told, [201, 409]);
}

#[tokio::test]
async fn the_audit_trail_tells_which_device_was_lent_to_whom_and_until_when_without_naming_either()
{
    let hub = Hub::new().await;
    let ours = hub.record_system(FJELLVIK);
    assigned(&hub, FJELLVIK, &assignment("SN-1", ragnhild(), T[0])).await;
    let end = async |serial: &str, until: &str| {
        let body = json!({"device": device(serial), "until": until});
        let reply = hub.state(&ours, "/assignments/end", &body).await;
        reply.status.as_u16()
    };
    assert_eq!(end("SN-1", T[3]).await, 200);
    assert_eq!(end("SN-1", T[1]).await, 200);
    assert_eq!(end("SN-2", T[1]).await, 404);
    let mut asked: Vec<String> = Vec::new();
    for one in hub.audit().await.into_iter().rev() {
        assert_eq!(one.record.interaction, trust::Interaction::Assign);
        assert!(!one.record.asked.contains("SN-1"), "{}", one.record.asked);
        assert!(!one.record.asked.contains(&ragnhild().number));
        asked.push(one.record.asked);
    }
    let word = |n: usize, after: &str| {
        let mut words = asked[n].split(' ').skip_while(|word| *word != after);
        words.nth(1).unwrap_or_default().to_owned()
    };
    let (name, patient) = (word(0, "device"), word(0, "patient"));
    assert_eq!((name.len(), patient.len()), (32, 32), "{asked:?}");
    assert_ne!(word(3, "device"), name, "another device");
    let time = |text: &str| fhir::time::parse_instant(text).unwrap().to_string();
    let [from, first, last] = [T[0], T[1], T[3]].map(time);
    assert_eq!(
        asked[..3],
        [
            format!("POST /assignments device {name} from {from} until open patient {patient}"),
            format!(
                "POST /assignments/end device {name} until {last} formerly until open patient {patient}"
            ),
            format!(
                "POST /assignments/end device {name} until {first} formerly until {last} patient {patient}"
            ),
        ]
    );
}

#[tokio::test]
async fn a_record_system_states_at_the_pace_of_a_sender() {
    let bounds = hub::Bounds {
        sender: hub::Rate {
            per_minute: 60,
            at_once: 2,
        },
        ..hub::Bounds::default()
    };
    let hub = Hub::bounded(bounds).await;
    let ours = hub.record_system(FJELLVIK);
    let end = json!({"device": device("X"), "until": T[1]});
    for (path, body, status) in [
        (PATH, assignment("X", ragnhild(), T[0]), 201),
        ("/assignments/end", end, 200),
        (PATH, assignment("Y", ragnhild(), T[0]), 429),
    ] {
        let reply = hub.state(&ours, path, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.json);
    }
    assert_eq!(hub.get(&ours, PATH).await.status.as_u16(), 429);
    // Others are not touched, nor is our home system.
    assigned(&hub, PROVEHEIM, &assignment("Y", ragnhild(), T[0])).await;
    let body = measured(ragnhild(), "r-1", "Z", T[3]);
    assert_eq!(send(&hub, &hub.home(FJELLVIK), &body).await, 201);
}

#[tokio::test]
async fn the_list_comes_in_pages_of_the_callers_own_alone() {
    let hub = Hub::new().await;
    for serial in ["A", "B", "C"] {
        assigned(&hub, FJELLVIK, &assignment(serial, ragnhild(), T[1])).await;
        let mut theirs = assignment(serial, patient("arne"), T[0]);
        theirs["until"] = json!(T[1]);
        assigned(&hub, PROVEHEIM, &theirs).await;
    }
    let hub = hub.restarted().await;
    let ours = hub.record_system(FJELLVIK);
    let mut path = format!("{PATH}?count=2");
    let (mut sizes, mut shown) = (Vec::new(), Vec::new());
    loop {
        let reply = hub.get(&ours, &path).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let page = reply.json["assignments"].as_array().unwrap().clone();
        sizes.push(page.len());
        for one in page {
            assert!(
                one["from"]
                    .as_str()
                    .unwrap()
                    .starts_with("2026-11-10T12:00:00")
            );
            shown.push(one["device"]["value"].as_str().unwrap().to_owned());
        }
        let Some(next) = reply.json["next"].as_str() else {
            break;
        };
        path = next.strip_prefix(BASE).unwrap().to_owned();
    }
    shown.sort_unstable();
    assert_eq!(
        (sizes, shown),
        (vec![2, 1], ["A", "B", "C"].map(str::to_owned).to_vec())
    );
    for wrong in [
        "count=0",
        "count=x",
        "after=1",
        "count=1&count=2",
        "of=310001074",
    ] {
        let reply = hub.get(&ours, &format!("{PATH}?{wrong}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn an_organisation_has_its_share_and_what_was_refused_takes_none_of_it() {
    let bounds = hub::Bounds {
        assigned_devices: 2,
        ..hub::Bounds::default()
    };
    let hub = Hub::bounded(bounds).await;
    let ours = hub.record_system(FJELLVIK);
    let state = async |serial: &str, from: &str| {
        let body = assignment(serial, ragnhild(), from);
        hub.state(&ours, PATH, &body).await.status.as_u16()
    };
    assigned(&hub, PROVEHEIM, &assignment("X", ragnhild(), T[0])).await;
    assert_eq!(state("X", T[1]).await, 409);
    let body = assignment("A", ragnhild(), T[0]);
    let (one, same) =
        futures::future::join(hub.state(&ours, PATH, &body), hub.state(&ours, PATH, &body)).await;
    let mut told = [one.status.as_u16(), same.status.as_u16()];
    told.sort_unstable();
    assert_eq!(told, [201, 409]);
    assert_eq!(state("B", T[0]).await, 201, "two are its share");
    assert_eq!(state("C", T[0]).await, 422);
    let end = json!({"device": device("A"), "until": T[1]});
    hub.state(&ours, "/assignments/end", &end).await;
    assert_eq!(state("A", T[1]).await, 201, "no other device");
    assigned(&hub, PROVEHEIM, &assignment("Y", ragnhild(), T[0])).await;
    let hub = hub.restarted().await;
    let full = assignment("C", ragnhild(), T[0]);
    let reply = hub.state(&hub.record_system(FJELLVIK), PATH, &full).await;
    assert_eq!(reply.status.as_u16(), 422, "counted anew");
}

#[tokio::test]
async fn who_claims_a_whole_model_is_seen_and_the_operator_ends_it() {
    let hub = Hub::new().await;
    let from = assignment("MODEL-3", ragnhild(), T[0]);
    assigned(&hub, FJELLVIK, &from).await;
    let home = hub.home(PROVEHEIM);
    for (n, of) in ["arne", "ragnhild"].into_iter().enumerate() {
        let body = measured(patient(of), &format!("m-{n}"), "MODEL-3", T[3]);
        assert_eq!(send(&hub, &home, &body).await, 422);
    }
    let own = measured(patient("arne"), "own", "MODEL-3", T[3]);
    assert_eq!(send(&hub, &hub.home(FJELLVIK), &own).await, 422);
    assert_eq!(hub.state.held_for_others(), [(org(FJELLVIK), 2)]);
    // Named as a model it is nobody's: what waits is replayed, what comes is taken, and no claim is.
    let mut hub = hub;
    let named = device("MODEL-3");
    let text = |member: &str| named[member].as_str().unwrap().to_owned();
    hub.config.models = vec![format!("{}|{}", text("system"), text("value"))];
    let hub = hub.restarted().await;
    let home = hub.home(PROVEHEIM);
    let list = hub.get(&home, "/quarantine").await;
    for one in list.json["entries"].as_array().unwrap() {
        let path = format!("/quarantine/{}/replay", one["id"].as_str().unwrap());
        let reply = hub.post_text(&home, &path, "").await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
    }
    let body = measured(patient("arne"), "m-9", "MODEL-3", T[3]);
    assert_eq!(send(&hub, &home, &body).await, 201);
    let ours = hub.record_system(PROVEHEIM);
    let mut again = from.clone();
    again["from"] = json!(T[1]);
    let reply = hub.state(&ours, PATH, &again).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let body = measured(ragnhild(), "m-10", "OTHER", T[3]);
    assert_eq!(send(&hub, &home, &body).await, 201);
}
