//! Asking: who may, what is told, and that nobody can tell the unknown from the hidden.

use http::StatusCode;
use locator::Budget;
use serde_json::{Value, json};
use testkit::people::Directory;
use trust::Category;
use trust::audit::Outcome;
use trust::token::Claims;
use wire::contract::locator::LocateAnswer;

use crate::world::{
    FJELLVIK, KYSTREGIONEN, PROVEBAKKEN, PROVEHEIM, World, entry, org, other_patient, patient,
};

#[tokio::test]
async fn holders_and_members_are_told_in_the_contracts_shape() {
    let world = World::new().await;
    world
        .announce(
            json!([
                entry(patient(), "IT17", "present", 1),
                entry(patient(), "IT03", "present", 2)
            ]),
            2,
        )
        .await;
    let reply = world.locate(patient(), &["IT03", "IT17", "IT08"]).await;
    let answer: LocateAnswer = serde_json::from_value(reply.json.clone()).unwrap();
    assert_eq!(answer.members, [FJELLVIK, PROVEHEIM, PROVEBAKKEN].map(org));
    assert_eq!(
        reply.json["holders"],
        json!([{"service": "fjellvik", "orgnr": FJELLVIK, "kinds": ["IT03", "IT17"], "as_of": "2027-01-15T08:00:00Z"}])
    );
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(world.told(patient(), &["IT08"]).await, [""; 0]);
}

#[tokio::test]
async fn unknown_absent_hidden_and_other_kinds_look_the_same() {
    let world = World::new().await;
    let unknown = world.locate(other_patient(), &["IT17"]).await;
    assert_eq!(unknown.status, StatusCode::OK);
    assert_eq!(unknown.json["holders"], json!([]));
    // Absent now, and never anything else; absent after it was present.
    let third = &Directory::demo().patients[2];
    world
        .announce(
            json!([
                entry(patient(), "IT17", "absent", 1),
                entry(third, "IT17", "present", 2)
            ]),
            2,
        )
        .await;
    world
        .announce(json!([entry(third, "IT17", "absent", 3)]), 3)
        .await;
    assert_eq!(
        world.locate(patient(), &["IT17"]).await.visible(),
        unknown.visible()
    );
    assert_eq!(
        world.locate(third, &["IT17"]).await.visible(),
        unknown.visible()
    );
    // Something is held, but of another kind, or of a kind that coordination (COC) does not open.
    world
        .announce(json!([entry(patient(), "IT03", "present", 4)]), 4)
        .await;
    assert_eq!(
        world.locate(patient(), &["IT17"]).await.visible(),
        unknown.visible()
    );
    let mut coordinating = world.physician_claims(PROVEHEIM, patient());
    let relation = &mut coordinating.attest.as_mut().unwrap().care_relationship;
    relation.purpose_of_use.as_mut().unwrap().code = "COC".into();
    let hidden = world
        .send(&coordinating, "/locate", &json!({"kinds": ["IT03"]}))
        .await;
    assert_eq!(hidden.visible(), unknown.visible());
    assert_eq!(world.told(patient(), &["IT03"]).await.len(), 1);
}

/// The hospital here treats one illness only, and lets the municipality know.
#[tokio::test]
async fn a_holder_whose_name_tells_the_illness_is_told_of_to_those_entitled_alone() {
    let world = World::with(|config| {
        let named = Some(vec![org(FJELLVIK)]);
        config.holders[0].known_to = named;
    })
    .await;
    let present = json!([entry(patient(), "IT17", "present", 1)]);
    let body = json!({"holder": "proveheim", "entries": present, "high_water": 1});
    let reply = world.register(PROVEHEIM, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let kinds = json!({"kinds": ["IT17"]});
    let asked = async |claims: &Claims| world.send(claims, "/locate", &kinds).await;
    let unknown = asked(&world.physician_claims(PROVEBAKKEN, other_patient())).await;
    assert_eq!(unknown.json["holders"], json!([]));

    let outsider = world.physician_claims(PROVEBAKKEN, patient());
    assert_eq!(asked(&outsider).await.visible(), unknown.visible());
    let mut relative = world.citizen_claims(other_patient());
    relative.patient = world.citizen_claims(patient()).patient;
    relative.represents = Some(trust::Representation {
        id: "fullmakt-1".into(),
        services: vec![fhir::resource::InformationService::MEASUREMENTS],
        log: true,
        notes: true,
    });
    assert_eq!(asked(&relative).await.visible(), unknown.visible());

    let mut breaking = outsider;
    let relation = &mut breaking.attest.as_mut().unwrap().care_relationship;
    relation.purpose_of_use.as_mut().unwrap().code = "BTG".into();
    assert_eq!(
        asked(&breaking).await.json["holders"],
        json!([]),
        "no reason"
    );
    let relation = &mut breaking.attest.as_mut().unwrap().care_relationship;
    relation.reason = Some("bevisstløs ved ankomst".into());
    for (who, entitled) in [
        ("named", world.physician_claims(FJELLVIK, patient())),
        (
            "the holder's own",
            world.physician_claims(PROVEHEIM, patient()),
        ),
        (
            "a clinic of its own",
            world.physician_claims("310001929", patient()),
        ),
        ("the patient", world.citizen_claims(patient())),
        ("who breaks the glass", breaking),
    ] {
        let reply = asked(&entitled).await;
        assert_eq!(reply.json["holders"][0]["service"], "proveheim", "{who}");
    }
}

/// What she has closed of her measurements at Fjellvik, as its `sequence`th turn.
async fn closed(world: &World, sequence: u64, closed: Value) {
    let mut turn = entry(patient(), "IT17", "present", sequence);
    turn["closed"] = closed;
    world.announce(json!([turn]), sequence).await;
}

#[tokio::test]
async fn what_she_has_closed_is_as_the_unknown_to_whom_it_is_closed_and_opens_again() {
    let mut world = World::new().await;
    let kinds = json!({"kinds": ["IT17"]});
    let unknown = {
        let claims = world.physician_claims(PROVEBAKKEN, other_patient());
        let reply = world.send(&claims, "/locate", &kinds).await;
        assert_eq!(reply.json["holders"], json!([]));
        reply.visible()
    };
    let sees = async |world: &World, claims: &Claims| {
        let reply = world.send(claims, "/locate", &kinds).await;
        assert_eq!(reply.status, StatusCode::OK);
        let told = reply.json["holders"][0]["service"] == "fjellvik";
        assert!(told || reply.visible() == unknown, "{}", reply.json);
        told
    };
    let breaking = |world: &World, reason: Option<&str>| {
        let mut breaking = world.physician_claims(PROVEBAKKEN, patient());
        let relation = &mut breaking.attest.as_mut().unwrap().care_relationship;
        relation.purpose_of_use.as_mut().unwrap().code = "BTG".into();
        relation.reason = reason.map(str::to_owned);
        breaking
    };
    let relative = |world: &World| {
        let mut relative = world.citizen_claims(other_patient());
        relative.patient = world.citizen_claims(patient()).patient;
        relative.represents = Some(trust::Representation {
            id: "fullmakt-1".into(),
            services: vec![fhir::resource::InformationService::MEASUREMENTS],
            log: true,
            notes: true,
        });
        relative
    };
    // To all health personnel.
    closed(&world, 1, json!([{}])).await;
    for restarted in [false, true] {
        if restarted {
            world = world.reopen(|_| {}).await;
        }
        for (who, entitled, told) in [
            (
                "another",
                world.physician_claims(PROVEBAKKEN, patient()),
                false,
            ),
            (
                "who breaks the glass without a word",
                breaking(&world, None),
                false,
            ),
            (
                "who breaks the glass",
                breaking(&world, Some("bevisstløs ved ankomst")),
                true,
            ),
            (
                "the holder's own",
                world.physician_claims(FJELLVIK, patient()),
                true,
            ),
            ("she herself", world.citizen_claims(patient()), true),
            ("who represents her", relative(&world), true),
        ] {
            assert_eq!(sees(&world, &entitled).await, told, "{who}");
        }
    }
    // Another kind is not closed with it.
    let other = entry(patient(), "IT03", "present", 2);
    world.announce(json!([other]), 2).await;
    let both = world.locate(patient(), &["IT17", "IT03"]).await;
    assert_eq!(both.json["holders"][0]["kinds"], json!(["IT03"]));
    // To one organisation, its clinics with it, and to nobody else.
    closed(&world, 3, json!([{"to": PROVEHEIM}])).await;
    for (orgnr, told) in [
        (PROVEHEIM, false),
        ("310001929", false),
        (PROVEBAKKEN, true),
    ] {
        let claims = world.physician_claims(orgnr, patient());
        assert_eq!(sees(&world, &claims).await, told, "{orgnr}");
    }
    // An older turn that comes late opens nothing.
    closed(&world, 2, json!([])).await;
    assert!(!sees(&world, &world.physician_claims(PROVEHEIM, patient())).await);
    // Until a moment, and not in it.
    closed(&world, 4, json!([{"until": "2027-01-15T08:01:00Z"}])).await;
    world.clock.advance(59_999_999);
    assert!(!sees(&world, &world.physician_claims(PROVEHEIM, patient())).await);
    world.clock.advance(1);
    assert!(sees(&world, &world.physician_claims(PROVEHEIM, patient())).await);
    // Taken back.
    closed(&world, 5, json!([{}])).await;
    assert!(!sees(&world, &world.physician_claims(PROVEHEIM, patient())).await);
    closed(&world, 6, json!([])).await;
    assert!(sees(&world, &world.physician_claims(PROVEHEIM, patient())).await);
    // A list without end is refused.
    let mut turn = entry(patient(), "IT17", "present", 7);
    turn["closed"] = vec![json!({"to": PROVEHEIM}); 201].into();
    for (path, body) in [
        (
            "/register",
            json!({"holder": "fjellvik", "entries": [turn], "high_water": 7}),
        ),
        ("/repair", json!({"holder": "fjellvik", "entries": [turn]})),
    ] {
        let claims = world.service_claims(trust::ClientUse::Service, FJELLVIK);
        let reply = world.send(&claims, path, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn the_callers_organisation_must_be_bound_by_the_agreement() {
    let world = World::new().await;
    world
        .announce(json!([entry(patient(), "IT17", "present", 1)]), 1)
        .await;
    for (orgnr, status) in [
        (PROVEHEIM, StatusCode::OK),
        (FJELLVIK, StatusCode::OK),
        // A clinic is its hospital.
        ("310001929", StatusCode::OK),
        (KYSTREGIONEN, StatusCode::FORBIDDEN),
        ("310001287", StatusCode::FORBIDDEN),
    ] {
        let claims = world.physician_claims(orgnr, patient());
        let reply = world
            .send(&claims, "/locate", &json!({"kinds": ["IT17"]}))
            .await;
        assert_eq!(reply.status, status, "{orgnr}");
        if status == StatusCode::FORBIDDEN {
            assert_eq!(
                reply.json["issue"][0]["details"]["coding"][0]["code"],
                "not_a_member"
            );
        }
    }
}

#[tokio::test]
async fn a_refusal_says_in_its_answer_all_the_reason_that_is_on_record() {
    let world = World::new().await;
    let ours = world.physician_claims(PROVEHEIM, patient());
    let mut about_another = ours.clone();
    about_another.patient = world.citizen_claims(other_patient()).patient;
    let mut about_nobody = ours.clone();
    about_nobody.attest.as_mut().unwrap().patients.clear();
    about_nobody.patient = None;
    let mut small = ours.clone();
    small.scope = "user/Observation.rs".into();
    let elsewhere = world.physician_claims(KYSTREGIONEN, patient());
    let mut codes = std::collections::BTreeSet::new();
    for claims in [about_another, about_nobody, small, elsewhere] {
        let reply = world
            .send(&claims, "/locate", &json!({"kinds": ["IT17"]}))
            .await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
        let record = world.trail().await.pop().unwrap().record;
        let trust::audit::Outcome::Refused { rule, code } = &record.outcome else {
            panic!("{:?}", record.outcome)
        };
        let details = &reply.json["issue"][0]["details"];
        assert_eq!(details["coding"][0]["code"], code.as_str());
        assert_eq!(details["text"], rule.as_str());
        // Nothing was left out besides, nor is it on record what would have been.
        assert!(record.narrowed.is_empty() && record.disclosed.is_empty());
        codes.insert(code.clone());
    }
    assert!(codes.len() > 2, "{codes:?}");
}

#[tokio::test]
async fn a_citizen_asks_about_herself_and_a_system_about_nobody() {
    let world = World::new().await;
    world
        .announce(json!([entry(patient(), "IT17", "present", 1)]), 1)
        .await;
    let kinds = json!({"kinds": ["IT17"]});
    let own = world
        .send(&world.citizen_claims(patient()), "/locate", &kinds)
        .await;
    assert_eq!(
        (own.status, own.json["holders"].as_array().unwrap().len()),
        (StatusCode::OK, 1)
    );
    let mut another = world.citizen_claims(patient());
    another.patient = world.citizen_claims(other_patient()).patient;
    assert_eq!(
        world.send(&another, "/locate", &kinds).await.status,
        StatusCode::FORBIDDEN
    );
    for use_ in [
        trust::ClientUse::Service,
        trust::ClientUse::Gateway,
        trust::ClientUse::RecordSystem,
    ] {
        let mut system = world.service_claims(use_, PROVEHEIM);
        system.scope = "system/Pointer.cr".into();
        assert_eq!(
            world.send(&system, "/locate", &kinds).await.status,
            StatusCode::FORBIDDEN,
            "{use_:?}"
        );
    }
    let mut unbound = world.physician_claims(PROVEHEIM, patient());
    unbound.attest.as_mut().unwrap().patients.clear();
    unbound.patient = None;
    assert_eq!(
        world.send(&unbound, "/locate", &kinds).await.status,
        StatusCode::FORBIDDEN
    );
    let mut small = world.physician_claims(PROVEHEIM, patient());
    small.scope = "user/Observation.rs".into();
    assert_eq!(
        world.send(&small, "/locate", &kinds).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn what_is_not_a_question_is_refused() {
    let world = World::new().await;
    for body in [
        json!({}),
        json!({"kinds": []}),
        json!({"kinds": ["*"]}),
        json!({"kinds": vec!["IT17"; 12]}),
        json!({"kinds": ["IT17"], "patient": patient().number}),
        json!([]),
    ] {
        let claims = world.physician_claims(PROVEHEIM, patient());
        let reply = world.send(&claims, "/locate", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!reply.json.to_string().contains(&patient().number));
    }
    assert_eq!(
        world.door.get("/locate").send().await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        world.door.get("/pointers").send().await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn every_question_leaves_one_record_and_says_who_was_told_of() {
    let world = World::new().await;
    world
        .announce(json!([entry(patient(), "IT17", "present", 7)]), 7)
        .await;
    world.locate(patient(), &["IT17", "IT08"]).await;
    world.locate(patient(), &[]).await;
    let outside = world.physician_claims(KYSTREGIONEN, patient());
    world
        .send(&outside, "/locate", &json!({"kinds": ["IT17"]}))
        .await;
    let trail = world.trail().await;
    let refused = Outcome::Refused {
        rule: "locator-agreement".into(),
        code: "not_a_member".into(),
    };
    let outcomes: Vec<_> = trail[1..]
        .iter()
        .map(|e| e.record.outcome.clone())
        .collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Allowed,
            Outcome::Failed {
                category: Category::Invalid
            },
            refused
        ]
    );
    let record = &trail[1].record;
    assert!(
        record
            .asked
            .starts_with("POST /locate kinds=IT17,IT08 patient="),
        "{}",
        record.asked
    );
    assert_eq!(
        serde_json::to_value(&record.disclosed).unwrap(),
        json!(["Pointer/fjellvik/7"])
    );
    assert_eq!(record.agreement, Some(("LOK-2026-1".into(), 1)));
    assert_eq!(
        (record.gateway.as_deref(), record.organisation),
        (Some("gateway"), Some(org(PROVEHEIM)))
    );
    assert_eq!(record.purpose.as_ref().unwrap().code, "TREAT");
    assert!(
        world
            .state
            .store()
            .verify_audit(None)
            .await
            .unwrap()
            .is_sound()
    );
}

#[tokio::test]
async fn a_budget_of_distinct_patients_ends_in_429() {
    let budget = Budget {
        person: 2,
        ..Budget::default()
    };
    let world = World::with(|config| config.budget = budget).await;
    let people = &Directory::demo().patients;
    for known in [&people[0], &people[1], &people[0]] {
        assert_eq!(world.locate(known, &["IT17"]).await.status, StatusCode::OK);
    }
    let over = world.locate(&people[2], &["IT17"]).await;
    assert_eq!(
        (over.status, over.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "3600")
    );
    assert_eq!(
        world.locate(&people[1], &["IT17"]).await.status,
        StatusCode::OK
    );
    world.clock.advance(3_600_000_000);
    assert_eq!(
        world.locate(&people[2], &["IT17"]).await.status,
        StatusCode::OK
    );
    let busy = world.trail().await.into_iter().filter(|e| {
        e.record.outcome
            == Outcome::Failed {
                category: Category::Busy,
            }
    });
    assert_eq!(busy.count(), 1);
    assert_eq!(world.state.budgets_exceeded(), 1, "the alarm's figure");
}

#[tokio::test]
async fn a_holder_that_left_is_no_longer_told_of_and_pointers_outlive_a_restart() {
    let world = World::new().await;
    world
        .announce(json!([entry(patient(), "IT17", "present", 1)]), 1)
        .await;
    let before = world.told(patient(), &["IT17"]).await;
    let world = world.reopen(|_| {}).await;
    assert_eq!(world.told(patient(), &["IT17"]).await, before);
    let world = world
        .reopen(|config| config.members.retain(|one| *one != org(FJELLVIK)))
        .await;
    assert!(world.told(patient(), &["IT17"]).await.is_empty());
    let world = world
        .reopen(|config| config.holders.retain(|one| one.service != "fjellvik"))
        .await;
    assert!(world.told(patient(), &["IT17"]).await.is_empty());
}
