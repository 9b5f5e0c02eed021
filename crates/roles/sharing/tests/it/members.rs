//! A register that several organisations share: each thing names the member whose it is, all members read it as their own,
//! and none changes another's.

use crate::entries::{asks, batch, patching, sending, told, with};
use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use trust::ClientUse;
use trust::audit::Outcome;

const WHEN: &str = "2026-11-20T08:00:00+01:00";
/// A sub-unit of Sørlia.
const SORLIA_UNIT: &str = "310001953";

fn tag(number: &str) -> Value {
    json!({ "system": fhir::systems::ORGNR, "code": number })
}

#[tokio::test]
async fn a_members_write_names_the_member_and_every_member_reads_it() {
    let service = Service::kystregionen().await;
    for (writer, member, key) in [
        (SORLIA, SORLIA, "s"),
        (ASDAL, ASDAL, "a"),
        (SORLIA_UNIT, SORLIA, "u"),
        (KYSTREGIONEN, KYSTREGIONEN, "k"),
    ] {
        let created = service
            .post(
                &service.record_system(writer),
                "/Observation",
                &reading(ragnhild(), key, WHEN, "91"),
            )
            .await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.json);
        assert_eq!(
            created.json["meta"]["tag"],
            json!([tag(member)]),
            "{writer}"
        );
        let id = created.json["id"].as_str().unwrap();
        for reader in [SORLIA, ASDAL, KYSTREGIONEN] {
            let read = service
                .get(
                    &service.record_system(reader),
                    &format!("/Observation/{id}"),
                )
                .await;
            assert_eq!(
                (read.status, &read.json["meta"]["tag"]),
                (StatusCode::OK, &json!([tag(member)]))
            );
        }
    }
    // A member's people need no agreement; others do.
    for (orgnr, status) in [(SORLIA, 200), (ASDAL, 200), (PROVEHEIM, 403)] {
        let who = service.held(|jkt| {
            service
                .issuer
                .practitioner_claims(physician(), orgnr, ragnhild(), &service.base, jkt, NOW)
                .unwrap()
        });
        assert_eq!(
            service
                .search(&who, "Observation", &[])
                .await
                .status
                .as_u16(),
            status,
            "{orgnr}"
        );
    }
    assert_eq!(
        service
            .search(&service.record_system(FJELLVIK), "Observation", &[])
            .await
            .status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_tag_the_sender_gave_stands_once_and_is_never_anothers() {
    let service = Service::kystregionen().await;
    let sorlia = service.record_system(SORLIA);
    let with_tag = |key: &str, number: &str| {
        let mut body = reading(ragnhild(), key, WHEN, "91");
        body["meta"] = json!({ "tag": [tag(number)] });
        body
    };
    let own = service
        .post(&sorlia, "/Observation", &with_tag("r-1", SORLIA))
        .await;
    assert_eq!(
        (own.status, &own.json["meta"]["tag"]),
        (StatusCode::CREATED, &json!([tag(SORLIA)]))
    );
    for foreign in [ASDAL, KYSTREGIONEN, FJELLVIK, "12"] {
        let refused = service
            .post(&sorlia, "/Observation", &with_tag("r-2", foreign))
            .await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{foreign}"
        );
        let mut sent = bundle("batch", &[reading(ragnhild(), "r-3", WHEN, "91")]);
        sent["meta"] = json!({ "tag": [tag(foreign)] });
        let reply = service.post(&sorlia, "/", &sent).await;
        assert_eq!(
            reply.json["entry"][0]["response"]["status"], "422 Unprocessable Entity",
            "{foreign}"
        );
    }
    // The owner runs the register and may write for the member it names.
    let owner = service
        .post(
            &service.record_system(KYSTREGIONEN),
            "/Observation",
            &with_tag("r-4", ASDAL),
        )
        .await;
    assert_eq!(
        (owner.status, &owner.json["meta"]["tag"]),
        (StatusCode::CREATED, &json!([tag(ASDAL)]))
    );
}

#[tokio::test]
async fn the_hub_writes_for_the_member_that_its_bundle_names() {
    let service = Service::kystregionen().await;
    let hub = service.hub(KYSTREGIONEN);
    let sent = |key: &str, number: Option<&str>| {
        let mut sent = bundle("batch", &[reading(ragnhild(), key, WHEN, "91")]);
        if let Some(number) = number {
            sent["meta"] = json!({ "tag": [tag(number)] });
        }
        sent
    };
    for (key, named, status, member) in [
        ("h-1", Some(SORLIA), "201 Created", Some(SORLIA)),
        ("h-2", Some(ASDAL), "201 Created", Some(ASDAL)),
        ("h-3", Some(SORLIA_UNIT), "201 Created", Some(SORLIA)),
        ("h-4", Some(FJELLVIK), "422 Unprocessable Entity", None),
        ("h-5", None, "422 Unprocessable Entity", None),
    ] {
        let reply = service.post(&hub, "/", &sent(key, named)).await;
        assert_eq!(
            reply.json["entry"][0]["response"]["status"], status,
            "{key}: {}",
            reply.json
        );
        if let Some(member) = member {
            let location = reply.json["entry"][0]["response"]["location"]
                .as_str()
                .unwrap();
            let path = format!("/{}", location.split("/_history").next().unwrap());
            let read = service.get(&service.record_system(ASDAL), &path).await;
            assert_eq!(read.json["meta"]["tag"], json!([tag(member)]));
        }
    }
    // Delegated by one member, it writes for that one alone.
    let for_sorlia = service.hub(SORLIA);
    for (key, named, status) in [
        ("h-6", None, "201 Created"),
        ("h-7", Some(SORLIA), "201 Created"),
        ("h-8", Some(ASDAL), "422 Unprocessable Entity"),
    ] {
        let reply = service.post(&for_sorlia, "/", &sent(key, named)).await;
        assert_eq!(
            reply.json["entry"][0]["response"]["status"], status,
            "{key}"
        );
    }
    // Delegated by nobody here, nothing at all.
    for who in [
        service.hub(FJELLVIK),
        service.system(ClientUse::Service, NORDDRIFT, "system/Observation.c"),
    ] {
        assert_eq!(
            service
                .post(&who, "/", &sent("h-9", Some(SORLIA)))
                .await
                .status,
            StatusCode::FORBIDDEN
        );
    }
}

#[tokio::test]
async fn a_member_changes_and_withdraws_only_its_own() {
    let service = Service::kystregionen().await;
    let (sorlia, asdal) = (service.record_system(SORLIA), service.record_system(ASDAL));
    let mut body = reading(ragnhild(), "s-1", WHEN, "91");
    let created = service.post(&sorlia, "/Observation", &body).await;
    let id = created.json["id"].as_str().unwrap().to_owned();
    let path = format!("/Observation/{id}");
    body["id"] = id.as_str().into();
    body["status"] = "amended".into();
    for refused in [
        service.put(&asdal, &path, Some("\"1\""), &body).await,
        service.delete(&asdal, &path, None).await,
    ] {
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.json);
        assert_eq!(
            service.last_record().await.outcome,
            Outcome::Refused {
                rule: "member".into(),
                code: "other_member".into()
            }
        );
    }
    let updated = service.put(&sorlia, &path, Some("\"1\""), &body).await;
    assert_eq!(
        (updated.status, &updated.json["meta"]["tag"]),
        (StatusCode::OK, &json!([tag(SORLIA)])),
        "{}",
        updated.json
    );
    assert_eq!(
        service
            .delete(&service.record_system(KYSTREGIONEN), &path, None)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
}

/// Whatever way a change takes, a member changes nothing that another wrote.
#[tokio::test]
async fn no_way_of_writing_changes_what_another_member_wrote() {
    let service = Service::kystregionen().await;
    let (sorlia, asdal) = (service.record_system(SORLIA), service.record_system(ASDAL));
    let created = service
        .post(
            &sorlia,
            "/Observation",
            &reading(ragnhild(), "s-1", WHEN, "91"),
        )
        .await;
    let id = created.json["id"].as_str().unwrap().to_owned();
    let url = format!("Observation/{id}");
    let by = "Observation?identifier=urn:example:readings|s-1";
    let mut correction = reading(ragnhild(), "s-1", WHEN, "19");
    correction["status"] = "corrected".into();
    let mut update = correction.clone();
    update["id"] = id.clone().into();
    let amend = json!([{ "op": "replace", "path": "/status", "value": "amended" }]);
    let v1 = |entry: Value| with(entry, "ifMatch", "W/\"1\"");
    let unchanged = async || {
        let read = service.get(&sorlia, &format!("/{url}")).await;
        assert_eq!(
            (read.header("etag"), &read.json["valueQuantity"]["value"]),
            ("W/\"1\"", &json!(91))
        );
    };
    // Alone.
    for reply in [
        service.post(&asdal, "/Observation", &correction).await,
        service
            .put(&asdal, &format!("/{url}"), Some("\"1\""), &update)
            .await,
        service
            .put(&asdal, &format!("/{by}"), Some("\"1\""), &correction)
            .await,
        service.delete(&asdal, &format!("/{url}"), None).await,
        service.delete(&asdal, &format!("/{by}"), None).await,
        service
            .door
            .knock(http::Method::PATCH, &format!("/{url}"))
            .header("content-type", "application/json-patch+json")
            .header("if-match", "\"1\"")
            .body(amend.to_string())
            .by(&asdal, NOW)
            .send()
            .await,
    ] {
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.json);
        unchanged().await;
    }
    let refusals = service.audit().await;
    let refusals = refusals.iter().filter(|entry| {
        entry.record.outcome
            == Outcome::Refused {
                rule: "member".into(),
                code: "other_member".into(),
            }
    });
    assert_eq!(refusals.count(), 6);
    // As an entry.
    for entry in [
        sending("POST", "Observation", &correction),
        v1(sending("PUT", &url, &update)),
        v1(sending("PUT", by, &correction)),
        v1(patching(&url, &amend)),
        v1(patching(by, &amend)),
        asks("DELETE", &url),
        asks("DELETE", by),
    ] {
        for kind in ["batch", "transaction"] {
            let mut sent = batch(std::slice::from_ref(&entry));
            sent["type"] = kind.into();
            let reply = service.post(&asdal, "/", &sent).await;
            let status = match kind {
                "batch" => told(&reply)[0].to_owned(),
                _ => reply.status.as_u16().to_string(),
            };
            assert_eq!(status, "403", "{kind} {entry}: {}", reply.json);
            unchanged().await;
        }
    }
    let collection = bundle("collection", std::slice::from_ref(&correction));
    let reply = service.post(&asdal, "/", &collection).await;
    assert_eq!(told(&reply), ["403"]);
    unchanged().await;
    // A whole series is nobody's to replace here.
    let replaced = service
        .post(
            &asdal,
            "/$replace-series",
            &json!({ "resourceType": "Parameters" }),
        )
        .await;
    assert_eq!(replaced.status, StatusCode::BAD_REQUEST);
    unchanged().await;
    // Its writer corrects it, by a create too.
    let own = service.post(&sorlia, "/Observation", &correction).await;
    assert_eq!(
        (own.status, own.header("etag")),
        (StatusCode::CREATED, "W/\"2\"")
    );
}

#[tokio::test]
async fn what_carries_a_sub_units_tag_is_its_controllers_to_change_and_no_other_members() {
    let service = Service::kystregionen().await;
    let (sorlia, asdal) = (service.record_system(SORLIA), service.record_system(ASDAL));
    let mut sent = reading(ragnhild(), "r-1", WHEN, "91");
    sent["meta"] = json!({ "tag": [tag(SORLIA_UNIT)] });
    let created = service.post(&sorlia, "/Observation", &sent).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.json);
    let id = created.json["id"].as_str().unwrap();
    let path = format!("/Observation/{id}");
    let mut amended = reading(ragnhild(), "r-1", WHEN, "91");
    amended["id"] = id.into();
    amended["status"] = "amended".into();
    for (who, put, deleted) in [(&asdal, 403, 403), (&sorlia, 200, 204)] {
        let reply = service.put(who, &path, Some("W/\"1\""), &amended).await;
        assert_eq!(reply.status.as_u16(), put, "{}", reply.json);
        let reply = service.delete(who, &path, None).await;
        assert_eq!(reply.status.as_u16(), deleted, "{}", reply.json);
    }
}
