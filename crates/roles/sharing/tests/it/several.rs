//! Several types searched at once, and the members of a List: one order, one moment, and nothing that could not be read alone.

use crate::house::*;
use fhir::definitions::Types;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::door::Held;
use testkit::people::Patient;
use trust::audit::Outcome;

fn day(n: u32) -> String {
    format!("2026-11-{n:02}T08:00:00+01:00")
}

fn about(of: &Patient, mut body: Value) -> Value {
    body["subject"] = json!({"identifier": {"system": fhir::systems::FNR, "value": of.number}});
    body
}

fn plan(of: &Patient, n: u32) -> Value {
    about(
        of,
        json!({"resourceType": "CarePlan", "status": "active", "intent": "plan", "period": {"start": day(n)}}),
    )
}

fn medicine(of: &Patient, n: u32) -> Value {
    about(
        of,
        json!({"resourceType": "MedicationStatement", "status": "active", "medicationCodeableConcept": {"text": "x"}, "effectiveDateTime": day(n)}),
    )
}

async fn ask(service: &Service, who: &Held, form: &[(&str, &str)]) -> Reply {
    service
        .door
        .knock(Method::POST, "/_search")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()))
        .by(who, service.clock.now())
        .send()
        .await
}

/// Three readings, two plans and a medicine of one patient, on days of their own; a reading and a plan of another. Ids by day.
async fn filled(service: &Service) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 1..=6 {
        let body = match n {
            1 | 3 | 6 => reading(ragnhild(), &format!("r-{n}"), &day(n), "91"),
            2 | 5 => plan(ragnhild(), n),
            _ => medicine(ragnhild(), n),
        };
        ids.push(service.created(&body).await);
    }
    service
        .created(&reading(arne(), "a-1", &day(7), "97"))
        .await;
    service.created(&plan(arne(), 8)).await;
    ids
}

/// Follows the pages to the end, with `between` done after each.
async fn pages(
    service: &Service,
    who: &Held,
    form: &[(&str, &str)],
    between: impl AsyncFn(usize),
) -> Vec<String> {
    let mut reply = ask(service, who, form).await;
    let mut all = found(&reply);
    let mut count = 0;
    while let Some(next) = reply.next().map(str::to_owned) {
        assert!(!next.contains(&ragnhild().number));
        between(count).await;
        count += 1;
        reply = service.get(who, &next).await;
        all.extend(found(&reply));
        assert!(count < 30, "the pages do not end");
    }
    all
}

#[tokio::test]
async fn several_types_are_one_list_newest_first_of_one_moment() {
    let service = Service::fjellvik().await;
    let mut ids = filled(&service).await;
    ids.reverse();
    let who = service.physician(ragnhild());
    let types = "Observation,CarePlan,MedicationStatement";
    let whole = ask(&service, &who, &[("_type", types)]).await;
    assert_eq!(found(&whole), ids);
    assert_eq!(whole.json["total"], 6);
    let own = whole.link("self").unwrap();
    assert!(own.starts_with(&format!("{}?", service.base)), "{own}");
    let record = service.last_record().await;
    assert_eq!(
        (record.outcome, record.disclosed.len()),
        (Outcome::Allowed, 6)
    );
    // By GET the same; types given one by one the same.
    let by_get = service.get(&who, &format!("/?_type={types}")).await;
    assert_eq!(found(&by_get), ids);
    let repeated = [
        ("_type", "Observation,CarePlan"),
        ("_type", "MedicationStatement"),
    ];
    assert_eq!(found(&ask(&service, &who, &repeated).await), ids);
    for count in ["1", "2", "4", "5"] {
        let form = [("_type", types), ("_count", count), ("_total", "accurate")];
        // What comes between is of another moment.
        let between = async |n: usize| {
            let key = format!("late-{count}-{n}");
            service
                .created(&reading(ragnhild(), &key, &day(9), "90"))
                .await;
        };
        let before = found(&ask(&service, &who, &[("_type", types), ("_count", "200")]).await);
        assert_eq!(pages(&service, &who, &form, between).await, before);
    }
    // Parameters that the types share.
    for (form, expected) in [
        (&[("_type", types), ("status", "active")][..], 3),
        (
            &[("_type", "Observation,CarePlan"), ("date", "le2026-11-03")],
            3,
        ),
        (
            &[
                ("_type", "CarePlan,MedicationStatement"),
                ("_summary", "count"),
            ],
            3,
        ),
    ] {
        let reply = ask(&service, &who, form).await;
        assert_eq!(reply.json["total"], expected, "{form:?} {}", reply.json);
    }
    let mut sorted = found(
        &ask(
            &service,
            &who,
            &[("_type", types), ("_sort", "_id"), ("_count", "200")],
        )
        .await,
    );
    assert!(sorted.is_sorted());
    let paged = [("_type", types), ("_sort", "-_id"), ("_count", "3")];
    sorted.reverse();
    assert_eq!(pages(&service, &who, &paged, async |_| {}).await, sorted);
    // One type is a search of that type.
    let one = ask(&service, &who, &[("_type", "CarePlan")]).await;
    assert_eq!(found(&one).len(), 2);
    assert!(one.link("self").unwrap().contains("/CarePlan"));
}

#[tokio::test]
async fn without_types_it_is_what_the_caller_may_see() {
    let service = Service::fjellvik().await;
    filled(&service).await;
    let citizen = service.citizen(ragnhild());
    // Six, and the Patient.
    assert_eq!(found(&ask(&service, &citizen, &[]).await).len(), 7);
    assert_eq!(found(&service.get(&citizen, "/").await).len(), 7);
    let owner = service.record_system(FJELLVIK);
    assert_eq!(found(&ask(&service, &owner, &[]).await).len(), 10);
    // A token of fewer types sees fewer, and a named type that it does not cover is refused.
    let narrow = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/CarePlan.rs user/Patient.rs".into();
    });
    assert_eq!(found(&ask(&service, &narrow, &[]).await).len(), 3);
    let refused = ask(&service, &narrow, &[("_type", "CarePlan,Observation")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let nothing = ask(&service, &service.hub(FJELLVIK), &[]).await;
    assert_eq!(nothing.status, StatusCode::FORBIDDEN);
    let outcome = service.last_record().await.outcome;
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
    // Another patient than the token's is nobody.
    let his = number(arne());
    let other = [
        ("_type", "Observation,CarePlan"),
        ("patient.identifier", his.as_str()),
    ];
    let none = ask(&service, &citizen, &other).await;
    assert_eq!((none.status, found(&none).len()), (StatusCode::OK, 0));
    let found_by_owner = ask(&service, &owner, &other).await;
    assert_eq!(found(&found_by_owner).len(), 2);
    let own = found_by_owner.link("self").unwrap();
    assert!(
        own.contains("patient=Patient%2F") && !own.contains(&arne().number),
        "{own}"
    );
}

#[tokio::test]
async fn what_the_types_do_not_share_is_refused_by_name() {
    let service = Service::fjellvik().await;
    let who = service.physician(ragnhild());
    for (form, issue) in [
        (&[("_type", "Observation,Foo")][..], "not-supported @ _type"),
        (
            &[("_type", "Observation,AuditEvent")],
            "not-supported @ _type",
        ),
        (&[("_type", "")], "not-supported @ _type"),
        (
            &[("_type", "Observation,CarePlan"), ("value-quantity", "1")],
            "not-supported @ value-quantity",
        ),
        (&[("status", "active")], "not-supported @ status"),
        (
            &[
                ("_type", "Observation,CarePlan"),
                ("_include", "Observation:subject"),
            ],
            "not-supported @ _include",
        ),
        (
            &[("_type", "Observation,CarePlan"), ("_sort", "date")],
            "not-supported @ _sort",
        ),
        (&[("_list", "1")], "not-supported @ _list"),
        (&[("_text", "x")], "not-supported @ _text"),
        (&[("_content", "x")], "not-supported @ _content"),
        (&[("_filter", "x eq y")], "not-supported @ _filter"),
        (&[("_query", "x")], "not-supported @ _query"),
    ] {
        let reply = ask(&service, &who, form).await;
        assert_eq!(
            (reply.status, issues(&reply.json)),
            (StatusCode::BAD_REQUEST, vec![issue.to_owned()]),
            "{form:?}"
        );
    }
    let in_url = format!(
        "/?_type=Observation,CarePlan&patient.identifier={}",
        number(ragnhild())
    );
    let reply = service.get(&who, &in_url).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(
        !service
            .last_record()
            .await
            .asked
            .contains(&ragnhild().number)
    );
}

fn list(of: &Patient, entries: &[(&str, bool)]) -> Value {
    let entry: Vec<Value> = entries
        .iter()
        .map(|(to, deleted)| json!({"item": {"reference": to}, "deleted": deleted}))
        .collect();
    about(
        of,
        json!({"resourceType": "List", "status": "current", "mode": "changes", "entry": entry}),
    )
}

#[tokio::test]
async fn a_list_narrows_to_its_members_for_who_sees_the_list() {
    let types = Types::named(&["default", "List"]).unwrap();
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| config.types = types).await;
    let ids = filled(&service).await;
    let [first, second, third] = [&ids[0], &ids[1], &ids[2]];
    let members = [
        (format!("Observation/{first}"), false),
        (format!("CarePlan/{second}/_history/1"), false),
        (format!("Observation/{third}"), true),
    ];
    let entries: Vec<(&str, bool)> = members
        .iter()
        .map(|(to, gone)| (to.as_str(), *gone))
        .collect();
    let listed = service.created(&list(ragnhild(), &entries)).await;
    let who = service.physician(ragnhild());
    let of =
        async |kind: &str, id: &str| found(&service.search(&who, kind, &[("_list", id)]).await);
    assert_eq!(of("Observation", &listed).await, [first.as_str()]);
    assert_eq!(
        of("Observation", &format!("List/{listed}")).await,
        [first.as_str()]
    );
    assert_eq!(of("CarePlan", &listed).await, [second.as_str()]);
    assert_eq!(of("MedicationStatement", &listed).await.len(), 0);
    let by_get = service
        .get(&who, &format!("/Observation?_list={listed}"))
        .await;
    assert_eq!(found(&by_get), [first.as_str()]);
    let both = [
        ("_type", "Observation,CarePlan"),
        ("_list", listed.as_str()),
    ];
    assert_eq!(
        found(&ask(&service, &who, &both).await),
        [second.as_str(), first]
    );
    // With another condition, and with ids.
    let form = [("_list", listed.as_str()), ("_id", third.as_str())];
    assert_eq!(
        found(&service.search(&who, "Observation", &form).await).len(),
        0
    );
    let form = [("_list", listed.as_str()), ("date", "ge2026-11-02")];
    assert_eq!(
        found(&service.search(&who, "Observation", &form).await).len(),
        0
    );
    // Pages have the members of the first page's List.
    let reply = ask(&service, &who, &[both[0], both[1], ("_count", "1")]).await;
    let owner = service.record_system(FJELLVIK);
    let mut emptied = list(ragnhild(), &[]);
    emptied["id"] = listed.as_str().into();
    emptied["mode"] = "working".into();
    emptied.as_object_mut().unwrap().remove("entry");
    let path = format!("/List/{listed}");
    let put = service.put(&owner, &path, Some("W/\"1\""), &emptied).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.json);
    let next = service.get(&who, reply.next().unwrap()).await;
    assert_eq!(found(&next), [first.as_str()]);
    assert_eq!(of("Observation", &listed).await.len(), 0);
    // A List of another patient has no members, whatever stands in it.
    let foreign = service.created(&list(arne(), &entries)).await;
    assert_eq!(of("Observation", &foreign).await.len(), 0);
    assert_eq!(
        of("Observation", "00000000-0000-4000-8000-00000000ffff")
            .await
            .len(),
        0
    );
    let refused = service
        .search(&who, "Observation", &[("_list", "$current-problems")])
        .await;
    assert_eq!(issues(&refused.json), ["not-supported @ _list"]);
    let statement = service.get(&who, "/metadata").await.json;
    let named = statement["rest"][0]["searchParam"].to_string();
    assert!(named.contains("_list"));
}
