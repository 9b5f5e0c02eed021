//! `$stats` gives one patient's series in numbers, in one unit, and says what it left out.

use super::call;
use crate::house::*;
use http::StatusCode;
use serde_json::{Value, json};
use testkit::clients::Reply;
use testkit::people::Patient;
use trust::audit::Outcome;

const PATH: &str = "/Observation/$stats";
const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const UCUM: &str = "http://unitsofmeasure.org";

/// A measurement of any kind.
pub(super) fn measured(
    of: &Patient,
    key: &str,
    when: &str,
    code: (&str, &str),
    value: &str,
    unit: &str,
) -> Value {
    let mut body = reading(of, key, when, value);
    body["code"] = json!({"coding": [{"system": code.0, "code": code.1}]});
    body["valueQuantity"]["unit"] = unit.into();
    body["valueQuantity"]["code"] = unit.into();
    body
}

fn pressure(key: &str, when: &str, high: u32, low: u32) -> Value {
    let part = |code: &str, value: u32| {
        json!({
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "valueQuantity": {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"},
        })
    };
    let mut body = measured(ragnhild(), key, when, (LOINC, "85354-9"), "1", "x");
    body.as_object_mut().unwrap().remove("valueQuantity");
    body["component"] = json!([part("8480-6", high), part("8462-4", low)]);
    body
}

pub(super) async fn with(list: &[Value]) -> Service {
    let service = Service::fjellvik().await;
    for part in list.chunks(500) {
        let owner = service.record_system(FJELLVIK);
        let reply = service.post(&owner, "/", &bundle("batch", part)).await;
        for entry in reply.json["entry"].as_array().unwrap() {
            assert!(
                entry["response"]["status"]
                    .as_str()
                    .unwrap()
                    .starts_with("201"),
                "{entry}"
            );
        }
    }
    service
}

pub(super) async fn asked(service: &Service, form: &[(&str, &str)]) -> Reply {
    let reply = call(service, &service.physician(ragnhild()), PATH, form).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    assert_eq!(reply.json["resourceType"], "Parameters");
    reply
}

pub(super) fn named<'a>(reply: &'a Reply, name: &str) -> Vec<&'a Value> {
    let list = reply.json["parameter"].as_array().unwrap();
    list.iter().filter(|p| p["name"] == name).collect()
}

/// Each series as `code: statistic=value unit, …`.
fn series(reply: &Reply) -> Vec<String> {
    let shown = |component: &Value| {
        let code = component["code"]["coding"][0]["code"].as_str().unwrap();
        let value = match (&component["valueInteger"], &component["valueQuantity"]) {
            (Value::Number(count), _) => count.to_string(),
            (_, Value::Object(q)) => {
                format!("{} {}", q["value"], q["code"].as_str().unwrap_or("-"))
            }
            _ => "none".to_owned(),
        };
        format!("{code}={value}")
    };
    let line = |parameter: &&Value| {
        let resource = &parameter["resource"];
        let parts: Vec<String> = resource["component"]
            .as_array()
            .unwrap()
            .iter()
            .map(shown)
            .collect();
        format!(
            "{}: {}",
            resource["code"]["coding"][0]["code"].as_str().unwrap(),
            parts.join(", ")
        )
    };
    named(reply, "statistics").iter().map(line).collect()
}

/// What was said to be left out.
pub(super) fn said(reply: &Reply) -> Vec<String> {
    let issues = |p: &Value| p["resource"]["issue"].as_array().unwrap().clone();
    let outcomes = named(reply, "outcome");
    outcomes
        .iter()
        .flat_map(|p| issues(p))
        .map(|i| i["diagnostics"].as_str().unwrap().to_owned())
        .collect()
}

fn day(n: u32) -> String {
    format!("2026-11-{n:02}T08:00:00+01:00")
}

#[tokio::test]
async fn one_kind_is_counted_in_one_unit_whatever_its_codes() {
    let weight = (LOINC, "29463-7");
    let mut wrong = measured(ragnhild(), "w-9", &day(9), weight, "20", "kg");
    wrong["status"] = "entered-in-error".into();
    let mut bound = measured(ragnhild(), "w-8", &day(8), weight, "150", "kg");
    bound["valueQuantity"]["comparator"] = ">".into();
    let mut absent = measured(ragnhild(), "w-7", &day(7), weight, "1", "kg");
    absent.as_object_mut().unwrap().remove("valueQuantity");
    absent["dataAbsentReason"] = json!({"text": "ikke veid"});
    let service = with(&[
        measured(ragnhild(), "w-1", &day(1), weight, "80.50", "kg"),
        measured(
            ragnhild(),
            "w-2",
            &day(2),
            (SNOMED, "27113001"),
            "81253",
            "g",
        ),
        measured(ragnhild(), "w-3", &day(3), weight, "180", "[lb_av]"),
        wrong,
        bound,
        absent,
        measured(
            ragnhild(),
            "t-1",
            &day(1),
            (LOINC, "8310-5"),
            "98.6",
            "[degF]",
        ),
        measured(ragnhild(), "t-2", &day(2), (LOINC, "8310-5"), "36.9", "Cel"),
        measured(arne(), "a-1", &day(1), weight, "120", "kg"),
    ])
    .await;
    let statistics =
        "count,total-count,minimum,maximum,average,median,sum,std-dev,variance,regression";
    let reply = asked(
        &service,
        &[("code", "29463-7,8310-5"), ("statistic", statistics)],
    )
    .await;
    insta::assert_json_snapshot!((series(&reply), said(&reply)));
    let record = service.last_record().await;
    assert_eq!(record.outcome, Outcome::Allowed);
    let counted: Vec<(&str, u64)> = record
        .counted
        .iter()
        .map(|c| (c.what.as_str(), c.count))
        .collect();
    assert_eq!(
        counted,
        [
            ("http://loinc.org|29463-7", 3),
            ("http://loinc.org|8310-5", 2)
        ]
    );
    assert!(record.disclosed.is_empty() && record.asked.contains("29463-7"));
    // One code of the kind means the kind; the whole answer, once.
    let by_snomed = asked(
        &service,
        &[
            ("coding", &format!("{SNOMED}|27113001")),
            ("statistic", "count"),
        ],
    )
    .await;
    let mut whole = by_snomed.json.clone();
    whole["parameter"][0]["resource"]["subject"] = "…".into();
    insta::assert_json_snapshot!(whole);
}

#[tokio::test]
async fn the_parts_of_a_blood_pressure_are_series_of_their_own() {
    let service = with(&[
        pressure("b-1", &day(1), 120, 80),
        pressure("b-2", &day(2), 135, 85),
        pressure("b-3", &day(3), 150, 90),
    ])
    .await;
    let statistics = ("statistic", "count,median,4-lower,4-upper");
    let reply = asked(&service, &[("code", "85354-9"), statistics]).await;
    let both = [
        "8480-6: count=3, median=135 mm[Hg], 4-lower=127.5 mm[Hg], 4-upper=142.5 mm[Hg]",
        "8462-4: count=3, median=85 mm[Hg], 4-lower=82.5 mm[Hg], 4-upper=87.5 mm[Hg]",
    ];
    assert_eq!(series(&reply), both);
    let reply = asked(
        &service,
        &[("code", "8480-6"), ("system", LOINC), statistics],
    )
    .await;
    assert_eq!(series(&reply), both[..1]);
    // A part that nobody measured is not there, unless it is asked for by name.
    let reply = asked(
        &service,
        &[("code", "8478-0"), ("statistic", "count,average")],
    )
    .await;
    assert_eq!(series(&reply), ["8478-0: count=0, average=none"]);
}

#[tokio::test]
async fn a_code_that_no_kind_has_is_counted_in_its_newest_unit() {
    let own = ("urn:house", "steps");
    let mut unitless = measured(ragnhild(), "x-4", &day(4), own, "7", "x");
    unitless["valueQuantity"] = json!({"value": 7});
    let service = with(&[
        measured(ragnhild(), "x-1", &day(1), own, "5", "{steps}"),
        measured(ragnhild(), "x-2", &day(2), own, "9", "km"),
        measured(ragnhild(), "x-3", &day(3), own, "6", "{steps}"),
        unitless,
    ])
    .await;
    let reply = asked(&service, &[("code", "steps"), ("statistic", "count,sum")]).await;
    assert_eq!(series(&reply), ["steps: count=2, sum=11 {steps}"]);
    assert_eq!(
        said(&reply),
        [
            "steps: 1 without a UCUM unit are left out; counted in {steps}",
            "steps: 1 in km are left out; this unit cannot be brought to {steps}",
        ]
    );
}

#[tokio::test]
async fn time_is_a_period_or_a_duration() {
    let list: Vec<Value> = (1..=20)
        .map(|n| pulse(ragnhild(), &format!("p-{n}"), &day(n)))
        .collect();
    let service = with(&list).await;
    let count = async |more: &[(&str, &str)]| {
        let mut form = vec![("code", "8867-4"), ("statistic", "count")];
        form.extend_from_slice(more);
        series(&asked(&service, &form).await).remove(0)
    };
    assert_eq!(count(&[]).await, "8867-4: count=20");
    assert_eq!(count(&[("start", "2026-11-10")]).await, "8867-4: count=11");
    // The last day is in it; a moment is not after itself.
    assert_eq!(
        count(&[("start", "2026-11-10"), ("end", "2026-11-12")]).await,
        "8867-4: count=3"
    );
    assert_eq!(
        count(&[("end", "2026-11-02T08:00:00+01:00")]).await,
        "8867-4: count=2"
    );
    assert_eq!(
        count(&[
            ("start", "2026-11-02T08:00:01+01:00"),
            ("end", "2026-11-03")
        ])
        .await,
        "8867-4: count=1"
    );
    // Now is the 21st at ten in Norway.
    assert_eq!(count(&[("duration", "26")]).await, "8867-4: count=1");
    assert_eq!(count(&[("duration", "25.9")]).await, "8867-4: count=0");
    let period = json!({"resourceType": "Parameters", "parameter": [
        {"name": "code", "valueString": "8867-4"}, {"name": "system", "valueUri": LOINC},
        {"name": "period", "valuePeriod": {"start": "2026-11-10", "end": "2026-11-12"}},
        {"name": "statistic", "valueCode": "count"}, {"name": "statistic", "valueCode": "5-percent"},
    ]});
    let reply = service
        .post(&service.citizen(ragnhild()), PATH, &period)
        .await;
    assert_eq!(series(&reply), ["8867-4: count=3, 5-percent=72 /min"]);
    let resource = &named(&reply, "statistics")[0]["resource"];
    assert_eq!(
        resource["effectivePeriod"],
        json!({"start": "2026-11-09T23:00:00Z", "end": "2026-11-12T22:59:59.999999Z"})
    );
}

#[tokio::test]
async fn a_curve_of_years_is_one_small_answer() {
    // Three years of three readings a day.
    let mut list = Vec::new();
    for n in 0..3_000_i64 {
        let when = fhir::time::Instant(NOW.0 - (n + 1) * 8 * 3_600_000_000);
        let value = 50 + n % 40;
        let body = measured(
            ragnhild(),
            &format!("p-{n}"),
            &when.to_string(),
            (LOINC, "8867-4"),
            &value.to_string(),
            "/min",
        );
        list.push(body);
    }
    let service = with(&list).await;
    let reply = asked(&service, &[("code", "8867-4"), ("bucket", "month")]).await;
    assert!(named(&reply, "statistics").is_empty());
    let parts = named(&reply, "curve")[0]["part"]
        .as_array()
        .unwrap()
        .clone();
    let buckets: Vec<&Value> = parts.iter().filter(|p| p["name"] == "bucket").collect();
    assert_eq!(buckets.len(), 34);
    let number = |bucket: &Value, name: &str| {
        let part = bucket["part"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["name"] == name)
            .unwrap()
            .clone();
        part["valueInteger"]
            .as_u64()
            .or(part["valueDecimal"].as_u64())
            .unwrap()
    };
    assert_eq!(
        buckets.iter().map(|b| number(b, "count")).sum::<u64>(),
        3_000
    );
    insta::assert_json_snapshot!(buckets[1]);
    assert!(reply.body.len() < 20_000, "{} bytes", reply.body.len());
    let parts = asked(
        &service,
        &[
            ("code", "8867-4"),
            ("bucket", "12"),
            ("start", "2026"),
            ("end", "2026"),
        ],
    )
    .await;
    let buckets = named(&parts, "curve")[0]["part"].as_array().unwrap().len() - 2;
    assert_eq!(buckets, 11, "December has no readings yet");
    assert_eq!(service.last_record().await.counted.len(), 1);
}

#[tokio::test]
async fn one_patient_only_within_the_permit() {
    let service = with(&[
        pulse(ragnhild(), "p-1", &day(1)),
        pulse(arne(), "a-1", &day(1)),
    ])
    .await;
    let base = [("code", "8867-4"), ("statistic", "count")];
    let owner = service.record_system(FJELLVIK);
    let of = |more: (&'static str, String)| {
        let mut form: Vec<(&str, String)> =
            base.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        form.push(more);
        form
    };
    let other = service
        .search(&owner, "Patient", &[("identifier", &number(arne()))])
        .await;
    let other = format!("Patient/{}", found(&other)[0]);
    // Another patient: nothing at all, and on record as refused.
    for form in [
        of(("patient.identifier", arne().number.clone())),
        of(("subject", other.clone())),
    ] {
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let reply = asked(&service, &form).await;
        assert_eq!(reply.json["parameter"], json!([]));
        assert!(matches!(
            service.last_record().await.outcome,
            Outcome::Refused { .. }
        ));
        let reply = call(&service, &owner, PATH, &form).await;
        assert_eq!(series(&reply), ["8867-4: count=1"]);
        assert_eq!(
            named(&reply, "statistics")[0]["resource"]["subject"]["reference"],
            other
        );
        assert_eq!(
            service.last_record().await.patient,
            Some(identifier(arne()))
        );
    }
    let reply = call(&service, &owner, PATH, &base).await;
    assert_eq!(issues(&reply.json), ["required @ subject"]);
    // Who may not see the kind counts nothing.
    let narrow = service.physician_but(ragnhild(), |claims| {
        let plans = fhir::resource::ResourceType::CARE_PLAN.information_service();
        claims.agreement.as_mut().unwrap().services = plans.into_iter().collect();
    });
    assert_eq!(
        series(&call(&service, &narrow, PATH, &base).await),
        ["8867-4: count=0"]
    );
    let scope = service.physician_but(ragnhild(), |claims| {
        claims.scope = "user/CarePlan.rs".into()
    });
    assert_eq!(
        call(&service, &scope, PATH, &base).await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() {
    let service = with(&[]).await;
    let who = service.physician(ragnhild());
    let reply = call(
        &service,
        &who,
        PATH,
        &[("codes", "8867-4"), ("bucket", "hour")],
    )
    .await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        issues(&reply.json),
        ["not-supported @ codes", "required @ code", "value @ bucket"]
    );
    let reply = call(
        &service,
        &who,
        PATH,
        &[("code", "8867-4"), ("statistic", "kurtosis")],
    )
    .await;
    assert_eq!(issues(&reply.json), ["not-supported @ statistic"]);
    let bad = json!({"resourceType": "Parameters", "parameter": [{"name": "code", "valueQuantity": {"value": 1}}]});
    let reply = service.post(&who, PATH, &bad).await;
    assert_eq!(
        (reply.status, issues(&reply.json)),
        (
            StatusCode::BAD_REQUEST,
            vec!["invalid @ Parameters.parameter[0]".to_owned()]
        )
    );
    assert_eq!(
        service.get(&who, PATH).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn the_readings_behind_the_numbers_are_given_when_asked_and_on_record() {
    let mut wrong = measured(ragnhild(), "w-4", &day(4), (LOINC, "29463-7"), "20", "kg");
    wrong["status"] = "entered-in-error".into();
    let weight = |n: u32, unit| {
        measured(
            ragnhild(),
            &format!("w-{n}"),
            &day(n),
            (LOINC, "29463-7"),
            "80",
            unit,
        )
    };
    let mut bound = weight(5, "kg");
    bound["valueQuantity"]["comparator"] = ">".into();
    let service = with(&[
        weight(1, "kg"),
        weight(2, "kg"),
        weight(3, "kg"),
        wrong,
        bound,
        pressure("b-1", &day(1), 120, 80),
        measured(arne(), "a-1", &day(1), (LOINC, "29463-7"), "120", "kg"),
    ])
    .await;
    let sources = |reply: &Reply| -> Vec<String> {
        let key = |p: &&Value| {
            p["resource"]["identifier"][0]["value"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        named(reply, "source").iter().map(key).collect()
    };
    let base = [
        ("code", "29463-7,85354-9"),
        ("statistic", "count"),
        ("include", "true"),
    ];
    let reply = asked(&service, &base).await;
    // What gave no value is no source; newest first, then by id.
    let all = sources(&reply);
    assert_eq!(all[..2], ["w-3", "w-2"]);
    let mut last = all[2..].to_vec();
    last.sort();
    assert_eq!(last, ["b-1", "w-1"]);
    // As a search gives them, byte for byte, and each of them on record beside the counts.
    let one = &named(&reply, "source")[0]["resource"];
    let searched = service
        .search(
            &service.record_system(FJELLVIK),
            "Observation",
            &[("_id", one["id"].as_str().unwrap())],
        )
        .await;
    assert_eq!(one, searched.matches()[0]);
    let trail = service.audit().await;
    let record = &trail
        .iter()
        .find(|e| e.record.asked.contains("$stats"))
        .unwrap()
        .record;
    assert_eq!(record.disclosed.len(), 4);
    assert_eq!(
        record.counted.iter().map(|c| c.count).collect::<Vec<_>>(),
        [3, 1, 1]
    );
    let limited = [base.as_slice(), &[("limit", "1")]].concat();
    assert_eq!(sources(&asked(&service, &limited).await), ["w-3"]);
    assert_eq!(service.last_record().await.disclosed.len(), 1);
    // A limit without include says nothing (R4).
    let reply = asked(&service, &[base[0], base[1], ("limit", "1")]).await;
    assert!(sources(&reply).is_empty());
    assert_eq!(service.last_record().await.disclosed.len(), 0);
}

#[tokio::test]
async fn what_would_be_too_much_is_refused_and_never_cut() {
    let list: Vec<Value> = (0..1_001_i64)
        .map(|n| {
            pulse(
                ragnhild(),
                &format!("p-{n}"),
                &fhir::time::Instant(NOW.0 - n * 1_000_000).to_string(),
            )
        })
        .collect();
    let service = with(&list).await;
    let who = service.physician(ragnhild());
    let form = [
        ("code", "8867-4"),
        ("statistic", "count"),
        ("include", "true"),
    ];
    let reply = call(&service, &who, PATH, &form).await;
    assert_eq!(
        (reply.status, issues(&reply.json)),
        (
            StatusCode::BAD_REQUEST,
            vec!["too-costly @ include".to_owned()]
        )
    );
    let record = service.last_record().await;
    assert!(record.disclosed.is_empty() && record.counted.is_empty());
    let limited = [form.as_slice(), &[("limit", "1000")]].concat();
    assert_eq!(
        named(&asked(&service, &limited).await, "source").len(),
        1_000
    );
}

#[tokio::test]
async fn only_what_is_published_is_counted_for_others() {
    let share = store::Share {
        kinds: vec![store::Published::parse("heart-rate").unwrap()],
        status: vec!["final".into()],
        ..store::Share::default()
    };
    let service = Service::with("fjellvik", FJELLVIK, &[], |config| {
        config.publish.shares = vec![share]
    })
    .await;
    let mut early = pulse(ragnhild(), "p-2", &day(2));
    early["status"] = "preliminary".into();
    for body in [
        pulse(ragnhild(), "p-1", &day(1)),
        early,
        reading(ragnhild(), "s-1", &day(1), "95"),
    ] {
        service.created(&body).await;
    }
    let form = [
        ("code", "8867-4,59408-5"),
        ("statistic", "count"),
        ("include", "true"),
    ];
    let reply = asked(&service, &form).await;
    assert_eq!(series(&reply), ["8867-4: count=1", "2708-6: count=0"]);
    assert_eq!(named(&reply, "source").len(), 1);
    let whose = number(ragnhild());
    let own = [form.as_slice(), &[("patient.identifier", &whose)]].concat();
    let reply = call(&service, &service.record_system(FJELLVIK), PATH, &own).await;
    assert_eq!(series(&reply), ["8867-4: count=2", "2708-6: count=1"]);
}
