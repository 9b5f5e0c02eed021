//! What each search parameter finds, and that nothing else is taken for one.

use http::{Method, StatusCode};
use testkit::door::Held;

use crate::world::{BASE, FJELLVIK, KYSTREGIONEN, NORDDRIFT, PROVEHEIM, SORLIA, World};

const ORGNR: &str = "urn:oid:2.16.578.1.12.4.1.4.101";
const RESH: &str = "urn:oid:2.16.578.1.12.4.1.4.102";
const SERVICE: &str = "https://delt.example/fhir/NamingSystem/service-id";
const KIND: &str = "https://delt.example/fhir/CodeSystem/information-service";

#[tokio::test]
async fn each_parameter_finds_what_it_should() {
    let world = World::new().await;
    let by = |parameter: &str, value: String| format!("{parameter}={value}");
    let org = |number: &str| by("organization.identifier", format!("{ORGNR}|{number}"));
    let cases: &[(&str, String, &[&str])] = &[
        (
            "Endpoint",
            String::new(),
            &["proveheim", "fjellvik", "kystregionen"],
        ),
        ("Endpoint", org(FJELLVIK), &["fjellvik"]),
        // A member of a shared register is reached by the register.
        ("Endpoint", org(SORLIA), &["kystregionen"]),
        ("HealthcareService", org(SORLIA), &["kystregionen"]),
        ("Endpoint", org(KYSTREGIONEN), &["kystregionen"]),
        (
            "Endpoint",
            format!("{},{ORGNR}|{FJELLVIK}", org(SORLIA)),
            &["fjellvik", "kystregionen"],
        ),
        // Sub-units resolve to their controller, by either number, with or without the system.
        ("Endpoint", org("310001929"), &["proveheim"]),
        (
            "Endpoint",
            by("organization.identifier", format!("{RESH}|4990003")),
            &["proveheim"],
        ),
        (
            "Endpoint",
            by("organization.identifier", "4990001".into()),
            &["proveheim"],
        ),
        (
            "Endpoint",
            by("organization.identifier", PROVEHEIM.into()),
            &["proveheim"],
        ),
        (
            "Endpoint",
            by(
                "organization.identifier",
                format!("http://data.brreg.no/begrep/28155|{PROVEHEIM}"),
            ),
            &["proveheim"],
        ),
        // A supplier offers nothing of its own; a stranger is nobody; a person's system is none of ours.
        ("Endpoint", org(NORDDRIFT), &[]),
        ("Endpoint", org("310001147"), &[]),
        (
            "Endpoint",
            by(
                "organization.identifier",
                format!("urn:oid:2.16.578.1.12.4.1.4.1|{PROVEHEIM}"),
            ),
            &[],
        ),
        (
            "Endpoint",
            by("payload-type", format!("{KIND}|IT03")),
            &["proveheim"],
        ),
        (
            "Endpoint",
            by("payload-type", "IT08,IT03".into()),
            &["proveheim", "fjellvik"],
        ),
        (
            "Endpoint",
            format!("{}&{}", by("payload-type", "IT17".into()), org(SORLIA)),
            &["kystregionen"],
        ),
        (
            "Endpoint",
            by("identifier", format!("{SERVICE}|fjellvik")),
            &["fjellvik"],
        ),
        (
            "HealthcareService",
            by("identifier", "fjellvik".into()),
            &["fjellvik"],
        ),
        (
            "Organization",
            by("identifier", format!("{ORGNR}|{SORLIA}")),
            &[SORLIA],
        ),
        (
            "Organization",
            by("identifier", format!("{RESH}|4990001")),
            &["310001929"],
        ),
        (
            "Organization",
            by("identifier", format!("{SERVICE}|{SORLIA}")),
            &[],
        ),
        (
            "OrganizationAffiliation",
            String::new(),
            &[
                "fjellvik.310001287.supplier",
                "kystregionen.310001422",
                "kystregionen.310001562",
            ],
        ),
        // Who runs what for whom, and who is in what.
        (
            "OrganizationAffiliation",
            by(
                "participating-organization.identifier",
                format!("{ORGNR}|{NORDDRIFT}"),
            ),
            &["fjellvik.310001287.supplier"],
        ),
        (
            "OrganizationAffiliation",
            by("participating-organization.identifier", SORLIA.into()),
            &["kystregionen.310001422"],
        ),
        (
            "OrganizationAffiliation",
            by("primary-organization.identifier", KYSTREGIONEN.into()),
            &["kystregionen.310001422", "kystregionen.310001562"],
        ),
        (
            "OrganizationAffiliation",
            by("primary-organization.identifier", NORDDRIFT.into()),
            &[],
        ),
        (
            "OrganizationAffiliation",
            by("identifier", "kystregionen.310001422".into()),
            &["kystregionen.310001422"],
        ),
    ];
    for (resource, query, expected) in cases {
        let query = query.replace('|', "%7C");
        let found = world.found(&format!("/fhir/{resource}?{query}")).await;
        assert_eq!(found, *expected, "{resource}?{query}");
    }
}

#[tokio::test]
async fn get_and_post_answer_the_same_with_a_self_link() {
    let world = World::new().await;
    let form = format!("organization.identifier={ORGNR}%7C{SORLIA}&payload-type=IT17");
    let get = world.get(&format!("/fhir/Endpoint?{form}")).await;
    let post = world
        .send_as(
            &world.claims(),
            Method::POST,
            "/fhir/Endpoint/_search",
            &form,
        )
        .await;
    assert_eq!((get.status, post.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(get.json, post.json);
    assert_eq!(get.json["total"], 1);
    let own = get.json["link"][0]["url"].as_str().unwrap();
    assert!(own.starts_with(&format!(
        "{BASE}/fhir/Endpoint?organization.identifier=urn%3Aoid"
    )));
    assert_eq!(get.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn an_unknown_or_malformed_question_is_refused_and_never_widens() {
    let world = World::new().await;
    for query in [
        "name=Fjellvik",
        "_count=1",
        "identifier:not=fjellvik",
        "organization=310001007",
        "patient.identifier=14835210260",
        "identifier=",
        "identifier",
        "organization.identifier=,",
        "identifier=a%7Cb%7Cc",
        "identifier=%zz",
    ] {
        let reply = world.get(&format!("/fhir/Endpoint?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(reply.json["resourceType"], "OperationOutcome", "{query}");
        assert!(!reply.json.to_string().contains("14835210260"));
    }
    // A parameter of another type is unknown here.
    for path in [
        "/fhir/Organization?payload-type=IT17",
        "/fhir/OrganizationAffiliation?organization.identifier=1",
    ] {
        assert_eq!(
            world.get(path).await.status,
            StatusCode::BAD_REQUEST,
            "{path}"
        );
    }
    let both = world
        .send_as(
            &world.claims(),
            Method::POST,
            "/fhir/Endpoint/_search?identifier=x",
            "identifier=x",
        )
        .await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST);
    let json = world.door.post("/fhir/Endpoint/_search", "{}");
    let held = Held::of(&world.issuer, &world.key, &world.claims()).unwrap();
    let json = json.by(&held, world.clock.now()).send().await;
    assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for path in [
        "/fhir/Patient",
        "/fhir/endpoint",
        "/fhir/Endpoint/nobody",
        "/fhir/Patient/1",
    ] {
        assert_eq!(
            world.get(path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
