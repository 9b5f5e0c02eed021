//! Minimisation by element: whoever sees less sees it on every path, marked; no answer tells of what was left out; it is on
//! record and explained; and a part is never written back as the whole.

use crate::house::*;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::{Held, Knock};
use trust::{Detail, Representation};

const WHEN: &str = "2026-11-20T08:00:00+01:00";
/// Stands in everything that is left out, and nowhere else.
const HIDDEN: &str = "hidden-from-some";

fn narrative() -> Value {
    json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{HIDDEN}</div>") })
}

/// A reading with notes of every kind.
fn noted(key: &str) -> Value {
    let mut body = reading(ragnhild(), key, WHEN, "91");
    body["text"] = narrative();
    body["contained"] =
        json!([{ "resourceType": "Practitioner", "id": "p", "name": [{ "text": HIDDEN }] }]);
    body["note"] = json!([{ "text": HIDDEN, "authorReference": { "reference": "#p" } }]);
    body["extension"] = json!([{ "url": "urn:x", "valueAnnotation": { "text": HIDDEN } }]);
    body["interpretation"] = json!([{ "text": "low" }]);
    body
}

fn plan() -> Value {
    json!({
        "resourceType": "CarePlan",
        "text": narrative(),
        "contained": [{
            "resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": { "text": "SpO2" },
            "subject": { "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } },
            "note": [{ "text": HIDDEN }],
        }],
        "status": "active", "intent": "plan",
        "subject": { "identifier": { "system": fhir::systems::FNR, "value": ragnhild().number } },
        "period": { "start": "2026-11-01" },
        "goal": [{ "reference": "#g" }],
        "activity": [
            { "progress": [{ "text": HIDDEN }], "detail": { "status": "in-progress" } },
            { "progress": [{ "text": HIDDEN }] },
        ],
        "note": [{ "text": HIDDEN }],
    })
}

fn person() -> Value {
    json!({
        "resourceType": "Patient",
        "text": narrative(),
        "identifier": [{ "system": fhir::systems::FNR, "value": ragnhild().number }],
        "name": [{ "family": "Testmo", "given": ["Ragnhild"] }],
        "telecom": [{ "system": "phone", "value": HIDDEN }],
        "address": [{ "city": HIDDEN }],
        "maritalStatus": { "text": HIDDEN },
        "contact": [{ "name": { "text": HIDDEN } }],
    })
}

/// Fjellvik with Ragnhild, two readings and a plan; ids of Patient, first reading, plan.
async fn world() -> (Service, [String; 3]) {
    let service = Service::fjellvik().await;
    let patient = service.created(&person()).await;
    let first = service.created(&noted("r-1")).await;
    service.created(&noted("r-2")).await;
    let plan = service.created(&plan()).await;
    (service, [patient, first, plan])
}

fn purpose(service: &Service, code: &str) -> Held {
    service.physician_but(ragnhild(), |claims| {
        let attest = claims.attest.as_mut().unwrap();
        attest
            .care_relationship
            .purpose_of_use
            .as_mut()
            .unwrap()
            .code = code.into();
    })
}

fn secretary(service: &Service) -> Held {
    service.physician_but(ragnhild(), |claims| {
        let attest = claims.attest.as_mut().unwrap();
        attest.practitioner.authorization.as_mut().unwrap().code = "HE".into();
    })
}

/// Her husband: plan and curves.
pub fn husband(service: &Service, notes: bool) -> Held {
    let services =
        ["IT08", "IT17"].map(|name| fhir::resource::InformationService::parse(name).unwrap());
    service.held(|jkt| {
        let mut claims =
            service
                .issuer
                .citizen_claims(arne(), &service.base, jkt, service.clock.now());
        claims.patient = Some(identifier(ragnhild()));
        claims.represents = Some(Representation {
            id: "r-1".into(),
            services: services.to_vec(),
            log: false,
            notes,
        });
        claims
    })
}

fn form<'a>(service: &'a Service, path: &str, form: &[(&str, &str)]) -> Knock<'a> {
    service
        .door
        .knock(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()))
}

/// Every resource in an answer, at any depth of bundles.
fn resources(of: &Value) -> Vec<&Value> {
    if !["Bundle", "Parameters"].contains(&of["resourceType"].as_str().unwrap_or_default()) {
        return vec![of];
    }
    let list = |name: &str| of[name].as_array().into_iter().flatten();
    list("entry")
        .chain(list("parameter"))
        .map(|one| &one["resource"])
        .filter(|one| !one.is_null())
        .flat_map(resources)
        .collect()
}

fn marked(of: &Value) -> bool {
    let tags = of["meta"]["tag"].as_array();
    tags.into_iter()
        .flatten()
        .any(|tag| tag["code"] == fhir::subset::SUBSETTED)
}

/// Every way to a reading, a plan and the patient.
fn ways<'a>(
    service: &'a Service,
    [patient, reading, plan]: &[String; 3],
) -> Vec<(String, Knock<'a>)> {
    let door = &service.door;
    let number = number(ragnhild());
    let mut ways: Vec<(String, Knock<'a>)> = Vec::new();
    for url in [
        format!("/Observation/{reading}"),
        format!("/Observation/{reading}?_summary=text"),
        format!("/Observation/{reading}/_history/1"),
        format!("/Observation/{reading}/_history"),
        "/Observation/_history".to_owned(),
        "/Observation".to_owned(),
        "/Observation?_elements=note,text,contained".to_owned(),
        "/Observation?_summary=data".to_owned(),
        "/?_type=Observation,CarePlan".to_owned(),
        "/Observation?_include=*&_total=accurate&_sort=-date".to_owned(),
        format!("/Patient/{patient}/Observation"),
        format!("/Patient/{patient}/$everything"),
        format!("/CarePlan/{plan}"),
        format!("/CarePlan/{plan}/_history"),
        "/CarePlan?_elements=activity,goal,note".to_owned(),
    ] {
        ways.push((format!("GET {url}"), door.get(&url)));
    }
    // A bundle that only reads is anybody's who may read.
    let urls = [
        format!("Observation/{reading}"),
        format!("Observation/{reading}/_history/1"),
        format!("Observation/{reading}/_history"),
        "Observation?_sort=date".to_owned(),
        format!("Patient/{patient}/CarePlan"),
    ];
    for kind in ["batch", "transaction"] {
        let entry = |url: &String| json!({"request": {"method": "GET", "url": url}});
        let entries: Vec<Value> = urls.iter().map(entry).collect();
        let body = json!({"resourceType": "Bundle", "type": kind, "entry": entries});
        ways.push((kind.to_owned(), door.post("/", body.to_string())));
    }
    ways.push((
        "search".to_owned(),
        door.search(
            "Observation",
            &[
                ("patient.identifier", &number),
                ("_include", "Observation:subject"),
            ],
        ),
    ));
    let types = [
        ("_type", "Observation,CarePlan"),
        ("patient.identifier", &number),
    ];
    ways.push(("several".to_owned(), form(service, "/_search", &types)));
    ways.push((
        "$lastn".to_owned(),
        form(
            service,
            "/Observation/$lastn",
            &[("patient.identifier", &number), ("max", "2")],
        ),
    ));
    ways.push((
        "$stats".to_owned(),
        form(
            service,
            "/Observation/$stats",
            &[
                ("patient.identifier", &number),
                ("code", "59408-5"),
                ("statistic", "count"),
                ("include", "true"),
            ],
        ),
    ));
    ways.push((
        "$everything".to_owned(),
        form(service, &format!("/Patient/{patient}/$everything"), &[]),
    ));
    ways
}

async fn sent(service: &Service, who: &Held, knock: Knock<'_>) -> Reply {
    knock.by(who, service.clock.now()).send().await
}

#[tokio::test]
async fn on_no_way_does_anybody_see_what_is_left_out_for_them() {
    let (service, ids) = world().await;
    let physician = service.physician(ragnhild());
    for n in 0..ways(&service, &ids).len() {
        let mut all = Vec::new();
        for (who, held) in [
            ("physician", physician.clone()),
            ("coordinator", purpose(&service, "COC")),
            ("secretary", secretary(&service)),
            ("husband", husband(&service, false)),
        ] {
            let (way, knock) = ways(&service, &ids).swap_remove(n);
            let reply = sent(&service, &held, knock).await;
            if who == "husband"
                && reply.status == StatusCode::NOT_FOUND
                && way.contains("$everything")
            {
                // It begins with the Patient, which he was not given.
                continue;
            }
            assert_eq!(reply.status, StatusCode::OK, "{who} {way}: {}", reply.json);
            let given = resources(&reply.json);
            assert!(
                !given.is_empty(),
                "{who} {way} gave nothing: {}",
                reply.json
            );
            all.push((who, way, reply));
        }
        for (who, way, reply) in &all {
            let hidden = reply.json.to_string().contains(HIDDEN);
            let given = resources(&reply.json);
            if *who == "physician" {
                assert!(
                    hidden,
                    "{way} shows nothing that could be hidden: {}",
                    reply.json
                );
                continue;
            }
            for one in given {
                // A secretary may need to call.
                let calls = *who == "secretary" && one["resourceType"] == "Patient";
                assert!(
                    !one.to_string().contains(HIDDEN) || calls,
                    "{who} {way}: {one}"
                );
                // What the service itself counted is whole.
                let counted = one.get("id").is_none();
                assert!(marked(one) || counted, "{who} {way}: {one}");
                assert!(
                    one.get("text").is_none() && one.get("note").is_none(),
                    "{who} {way}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_left_is_the_reading_itself() {
    let (service, [patient, reading, _]) = world().await;
    let reply = service
        .get(&secretary(&service), &format!("/Observation/{reading}"))
        .await;
    assert_eq!(reply.header("etag"), "W/\"1\"");
    let mut names: Vec<&String> = reply.json.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "category",
            "code",
            "effectiveDateTime",
            "id",
            "identifier",
            "interpretation",
            "meta",
            "resourceType",
            "status",
            "subject",
            "valueQuantity"
        ]
    );
    // Who the patient is stays for coordination, where she lives does not.
    let known = service
        .get(&purpose(&service, "COC"), &format!("/Patient/{patient}"))
        .await;
    assert_eq!(known.json["name"][0]["family"], "Testmo");
    for gone in ["telecom", "address", "maritalStatus", "contact", "text"] {
        assert!(known.json.get(gone).is_none(), "{gone}");
    }
    let calls = service
        .get(&secretary(&service), &format!("/Patient/{patient}"))
        .await;
    assert_eq!(calls.json["telecom"][0]["value"], HIDDEN);
}

#[tokio::test]
async fn the_notes_are_the_patients_to_open() {
    let (service, [_, reading, plan]) = world().await;
    for path in [
        format!("/Observation/{reading}"),
        format!("/CarePlan/{plan}"),
    ] {
        let closed = service.get(&husband(&service, false), &path).await;
        assert!(marked(&closed.json) && !closed.json.to_string().contains(HIDDEN));
        for who in [husband(&service, true), service.citizen(ragnhild())] {
            let open = service.get(&who, &path).await;
            assert!(!marked(&open.json) && open.json.to_string().contains(HIDDEN));
        }
    }
}

#[tokio::test]
async fn pages_are_reduced_to_the_last() {
    let (service, _) = world().await;
    let who = secretary(&service);
    let first = service
        .search(&who, "Observation", &[("_count", "1")])
        .await;
    let second = service.get(&who, first.next().unwrap()).await;
    for page in [&first, &second] {
        assert_eq!(found(page).len(), 1);
        assert!(resources(&page.json).iter().all(|one| marked(one)));
        assert!(!page.json.to_string().contains(HIDDEN));
    }
}

#[tokio::test]
async fn a_search_by_what_is_left_out_is_refused_and_on_record() {
    let (service, _) = world().await;
    let who = purpose(&service, "COC");
    for (resource, asked) in [
        ("Patient", ("phone", HIDDEN)),
        ("Patient", ("phone:missing", "true")),
        ("Patient", ("address-city:contains", "x")),
        ("Patient", ("_sort", "-address-city")),
        ("Observation", ("subject:Patient.telecom", HIDDEN)),
        (
            "Observation",
            (
                "_has:Observation:derived-from:subject:Patient.phone",
                HIDDEN,
            ),
        ),
    ] {
        let refused = service.search(&who, resource, &[asked]).await;
        assert_eq!(
            refused.status,
            StatusCode::FORBIDDEN,
            "{asked:?}: {}",
            refused.json
        );
        assert!(!refused.json.to_string().contains(HIDDEN));
        let outcome = service.last_record().await.outcome;
        let expected = trust::audit::Outcome::Refused {
            rule: "minimisation".into(),
            code: "detail_closed".into(),
        };
        assert_eq!(outcome, expected, "{asked:?}");
        // Treatment opens it.
        let open = service
            .search(&service.physician(ragnhild()), resource, &[asked])
            .await;
        assert_eq!(open.status, StatusCode::OK, "{asked:?}: {}", open.json);
    }
}

#[tokio::test]
async fn nor_does_a_search_of_several_types_ask_about_it() {
    let (service, _) = world().await;
    let asked = [("_type", "Patient,RelatedPerson"), ("phone", HIDDEN)];
    let coordinator = purpose(&service, "COC");
    let refused = sent(&service, &coordinator, form(&service, "/_search", &asked)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.json);
    let physician = service.physician(ragnhild());
    let open = sent(&service, &physician, form(&service, "/_search", &asked)).await;
    assert_eq!(found(&open).len(), 1);
}

/// What a caller is answered to a question by every parameter of a type, in each of these ways.
async fn asked_all(
    service: &Service,
    who: &Held,
    resource: &str,
) -> Vec<(String, u16, Vec<String>)> {
    let kind = fhir::resource::ResourceType::parse(resource).unwrap();
    let mut answers = Vec::new();
    for parameter in fhir::search::served(kind) {
        let missing = format!("{}:missing", parameter.name);
        for (name, value) in [
            (missing.as_str(), "true"),
            (missing.as_str(), "false"),
            ("_sort", parameter.name),
        ] {
            let reply = service
                .search(who, resource, &[(name, value), ("_total", "accurate")])
                .await;
            let ids = match reply.status {
                StatusCode::OK => found(&reply),
                _ => Vec::new(),
            };
            let total = reply.json["total"].as_u64();
            answers.push((
                format!("{name}={value} {total:?}"),
                reply.status.as_u16(),
                ids,
            ));
        }
    }
    answers
}

#[tokio::test]
async fn no_search_tells_whether_there_is_anything_to_leave_out() {
    let (service, [patient, reading, plan]) = world().await;
    let owner = service.record_system(FJELLVIK);
    let coordinator = purpose(&service, "COC");
    let secretary = secretary(&service);
    let questions = [
        (&coordinator, "Patient"),
        (&secretary, "Observation"),
        (&secretary, "CarePlan"),
    ];
    let mut before = Vec::new();
    for (who, resource) in questions {
        before.push(asked_all(&service, who, resource).await);
    }
    let answered = before
        .iter()
        .flatten()
        .filter(|(_, status, _)| *status == 200)
        .count();
    assert!(answered > 150, "only {answered} questions were answered");
    // Everything that is left out for somebody goes from the store.
    for (resource, id, body) in [
        ("Patient", patient, person()),
        ("Observation", reading, noted("r-1")),
        ("CarePlan", plan, self::plan()),
    ] {
        let mut less = body;
        less["id"] = id.as_str().into();
        let members = less.as_object_mut().unwrap();
        for name in [
            "text",
            "note",
            "telecom",
            "address",
            "maritalStatus",
            "contact",
        ] {
            members.remove(name);
        }
        if resource == "Observation" {
            less["status"] = "amended".into();
            let members = less.as_object_mut().unwrap();
            members.remove("contained");
            members.remove("extension");
        }
        let put = service
            .put(&owner, &format!("/{resource}/{id}"), Some("W/\"1\""), &less)
            .await;
        assert_eq!(put.status, StatusCode::OK, "{}", put.json);
    }
    let mut after = Vec::new();
    for (who, resource) in questions {
        after.push(asked_all(&service, who, resource).await);
    }
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        // Versions and times of versions are what they are; an order by status is an order by status.
        let own = ["_lastUpdated", "status"]
            .iter()
            .any(|name| before.0.contains(name));
        assert!(before == after || own, "{before:?} became {after:?}");
    }
}

#[tokio::test]
async fn it_is_on_record_and_explained_to_whom_it_concerns() {
    let (service, [_, reading, _]) = world().await;
    let who = purpose(&service, "COC");
    let read = service.get(&who, &format!("/Observation/{reading}")).await;
    let record = service.last_record().await;
    assert_eq!(record.disclosed.len(), 1);
    assert_eq!(
        record.reduced,
        [("minimisation".to_owned(), Detail::ALL.to_vec())]
    );
    let request = read.header("x-request-id").to_owned();
    // The patient sees in her log that it was less than everything.
    let log = service
        .search(&service.citizen(ragnhild()), "AuditEvent", &[])
        .await;
    let seen = log.json.to_string();
    assert!(
        seen.contains(r#""valueString":"narrative notes contact background""#),
        "{seen}"
    );
    for asker in [
        &who,
        &service.citizen(ragnhild()),
        &service.record_system(FJELLVIK),
    ] {
        let asked = json!({"resourceType": "Parameters", "parameter": [{"name": "request", "valueString": request}]});
        let why = service.post(asker, "/$explain-access", &asked).await;
        assert_eq!(why.status, StatusCode::OK, "{}", why.json);
        let text = why.json.to_string();
        for words in [
            "notater i fri tekst",
            "free-text notes",
            "adresse, telefon og pårørende",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    // Where nothing was left out, nothing is said.
    service
        .get(
            &service.physician(ragnhild()),
            &format!("/Observation/{reading}"),
        )
        .await;
    assert_eq!(service.last_record().await.reduced, []);
}

#[tokio::test]
async fn a_part_is_never_written_back_as_the_whole() {
    let (service, [_, id, _]) = world().await;
    let owner = service.record_system(FJELLVIK);
    let part = service
        .get(&secretary(&service), &format!("/Observation/{id}"))
        .await;
    let elements = service
        .get(
            &owner,
            &format!("/Observation/{id}?_elements=status,code,subject,identifier"),
        )
        .await;
    for part in [part.json, elements.json] {
        let mut amended = part.clone();
        amended["status"] = "amended".into();
        let by_put = service
            .put(
                &owner,
                &format!("/Observation/{id}"),
                Some("W/\"1\""),
                &amended,
            )
            .await;
        let by_post = service.post(&owner, "/Observation", &amended).await;
        let checked = service
            .post(&owner, "/Observation/$validate", &amended)
            .await;
        assert_eq!(checked.status, StatusCode::OK);
        for reply in [&by_put, &by_post] {
            assert_eq!(
                reply.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{}",
                reply.json
            );
        }
        for reply in [by_put, by_post, checked] {
            assert!(
                issues(&reply.json).contains(&"business-rule @ Observation.meta.tag[0]".to_owned()),
                "{}",
                reply.json
            );
        }
    }
    // A patch is made of what rests, not of what was seen; who sees less makes none.
    let patch = |who: &Held| {
        service
            .door
            .knock(Method::PATCH, &format!("/Observation/{id}"))
            .header("content-type", "application/json-patch+json")
            .header("if-match", "\"1\"")
            .body(r#"[{"op":"replace","path":"/status","value":"amended"}]"#)
            .by(who, service.clock.now())
            .send()
    };
    assert_eq!(
        patch(&secretary(&service)).await.status,
        StatusCode::FORBIDDEN
    );
    let patched = patch(&owner).await;
    assert_eq!(patched.status, StatusCode::OK);
    assert!(patched.json.to_string().contains(HIDDEN));
}

#[tokio::test]
async fn a_reader_that_holds_the_version_is_told_so_and_given_nothing() {
    let (service, [_, id, _]) = world().await;
    let who = secretary(&service);
    let unchanged = service
        .door
        .get(&format!("/Observation/{id}"))
        .header("if-none-match", "W/\"1\"")
        .by(&who, service.clock.now())
        .send()
        .await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.json, Value::Null);
}
