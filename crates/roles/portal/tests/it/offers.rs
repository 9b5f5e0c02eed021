//! The page of what the catalogue lists: each entry with whose word it is, whether it counts and what was seen; text from members
//! is text and nothing else.

use http::StatusCode;
use serde_json::{Value, json};
use testkit::people::Directory;
use wire::contract::catalogue::{
    Endpoint, EndpointStatus, HealthcareService, OrganizationAffiliation,
};
use wire::contract::statement::{PROBE, STANDING, STATEMENT, TERMS};

use crate::Portal;

const HOSTILE: &str = "<script>alert(1)</script><a href=javascript:alert(2)>\"'";

/// An entry of its own organisation, Kystregionen's, by this name.
fn endpoint(id: &str, name: &str, extensions: Vec<Value>) -> Value {
    let managing = Directory::demo().orgnr("kystregionen").to_owned();
    let endpoint = Endpoint {
        id: id.to_owned(),
        service: id.to_owned(),
        status: EndpointStatus::Active,
        name: name.to_owned(),
        address: format!("https://{id}.example/fhir"),
        managing,
        managing_name: Some(name.to_owned()),
        payload_kinds: vec!["IT17".to_owned(), "IT99".to_owned()],
        concept: Some("shared-supplier".to_owned()),
        supplier: Some("310001287".to_owned()),
    };
    let mut resource = endpoint.to_json();
    let all = resource["extension"].as_array_mut().unwrap();
    all.extend(extensions);
    resource
}

fn probe(parts: &[(&str, &str, Value)]) -> Value {
    let parts = parts
        .iter()
        .map(|(name, kind, value)| json!({"url": name, *kind: value}));
    json!({"url": PROBE, "extension": parts.collect::<Vec<_>>()})
}

/// The page with these entries besides the demo's.
async fn page(portal: &mut Portal, entries: Vec<Value>) -> String {
    *portal.fake.listed.lock().unwrap() = Some(entries);
    let page = portal.get("/offers").await;
    assert_eq!(page.status, StatusCode::OK);
    page.body
}

/// The row of the entry at this address.
fn row<'a>(page: &'a str, id: &str) -> &'a str {
    let address = format!("https://{id}.example/fhir");
    let mut rows = page.split("<tr>").filter(|row| row.contains(&address));
    rows.next()
        .unwrap_or_else(|| panic!("{id} is not in {page}"))
}

#[tokio::test]
async fn each_entry_is_there_with_whether_it_counts_and_what_was_seen() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let answers = |days: i64, owner: &str, missing: u64| {
        probe(&[
            ("at", "valueInstant", "2026-03-05T07:15:00Z".into()),
            ("reachable", "valueBoolean", true.into()),
            ("capability", "valueBoolean", true.into()),
            ("owner", "valueCode", owner.into()),
            ("missingProfiles", "valueUnsignedInt", missing.into()),
            ("missingKinds", "valueUnsignedInt", missing.into()),
            ("fhirVersion", "valueString", "4.0.1".into()),
            ("certificateDays", "valueInteger", days.into()),
        ])
    };
    let silent = probe(&[
        ("at", "valueInstant", "2026-03-05T07:15:00Z".into()),
        ("reachable", "valueBoolean", false.into()),
        ("capability", "valueBoolean", false.into()),
        ("owner", "valueCode", "unsaid".into()),
    ]);
    let lapsed = json!({"url": STANDING, "valueCode": "lapsed"});
    let forged = json!({"url": STATEMENT, "valueString": "e30.e30.e30"});
    let mut taken_over = endpoint("taken", "Overtatt", vec![answers(3, "other", 2)]);
    taken_over["status"] = "error".into();
    let mut service = HealthcareService {
        id: "h".to_owned(),
        name: "Oppfølging".to_owned(),
        provided_by: "310001708".to_owned(),
        endpoint: "well".to_owned(),
        active: true,
    }
    .to_json();
    service["telecom"] = json!([{"system": "phone", "value": "22 00 00 00"}]);
    service["extension"] = json!([{"url": TERMS, "valueUrl": "https://kyst.example/terms"}]);
    let member = |id: &str, number: &str, active: bool| {
        let affiliation = OrganizationAffiliation {
            id: id.to_owned(),
            organization: "310001708".to_owned(),
            participating: number.to_owned(),
            role: wire::contract::catalogue::AffiliationRole::Member,
            endpoint: "well".to_owned(),
            active,
        };
        affiliation.to_json()
    };
    let (mut strangers, mut intruder) = (service.clone(), member("m3", "310001848", true));
    strangers["id"] = "h2".into();
    strangers["providedBy"]["identifier"]["value"] = "310001635".into();
    strangers["telecom"][0]["value"] = "99 99 99 99".into();
    intruder["organization"]["identifier"]["value"] = "310001848".into();
    let page = page(
        &mut portal,
        vec![
            endpoint("well", "Kyst", vec![answers(31, "same", 0)]),
            endpoint("late", "Kyst lapsed", vec![lapsed, silent]),
            endpoint("forged", "Kyst forged", vec![forged]),
            taken_over,
            json!({"resourceType": "Endpoint", "id": "broken"}),
            service,
            member("m1", "310001422", true),
            member("m2", "310001562", false),
            strangers,
            intruder,
        ],
    )
    .await;
    for (id, said, warned) in [
        (
            "well",
            &[
                "kan brukes",
                "svarte (FHIR 4.0.1)",
                "varer i 31 dager",
                "05.03.2026 08:15",
                "IT17 målinger og funn, IT99",
                "felles register hos en leverandør",
                "310001287",
                "Telefon: 22 00 00 00",
                "href=\"https://kyst.example/terms\"",
                "310001422",
            ][..],
            &["310001562 (gjelder ikke nå)"][..],
        ),
        (
            "late",
            &["lagt inn av den som drifter katalogen"],
            &["utløpt", "svarte ikke"],
        ),
        (
            "forged",
            &["ikke sett etter ennå"],
            &["signaturen kan ikke bekreftes"],
        ),
        (
            "taken",
            &[],
            &[
                "brukes ikke: meldt som feil",
                "en annen virksomhet svarer der",
                "2 oppgitte typer opplysninger har den ikke",
                "2 lovede profiler mangler",
                "varer i 3 dager",
            ],
        ),
    ] {
        let row = row(&page, id);
        for words in said {
            assert!(row.contains(words), "{id}: {words}: {row}");
        }
        for words in warned {
            let tagged = row.split("class=\"tag\">").skip(1);
            let mut tagged = tagged.map(|rest| rest.split("</span>").next().unwrap());
            assert!(
                tagged.any(|tag| tag.contains(words)),
                "{id}: {words}: {row}"
            );
        }
    }
    assert!(!row(&page, "well").contains("class=\"tag\">svarte"));
    assert!(!row(&page, "forged").contains("kan brukes"));
    // What a stranger says of this address stands nowhere.
    assert!(!page.contains("99 99 99 99") && !page.contains("310001848"));
    assert!(page.contains("1 oppføringer kan ikke leses"));
    // The demo's own are there too, by name.
    for service in Directory::demo().demo_services(|_| String::new()) {
        assert!(page.contains(&service.name), "{}", service.name);
    }
}

#[tokio::test]
async fn text_from_members_is_text_and_only_https_terms_are_a_link() {
    let mut portal = Portal::start().await;
    portal.sign_in("0").await;
    let mut entries = vec![endpoint("hostile", HOSTILE, Vec::new())];
    entries[0]["address"] = format!("https://hostile.example/fhir{HOSTILE}").into();
    entries[0]["payloadType"][0]["coding"][0]["code"] = HOSTILE.into();
    for (n, terms) in [
        "javascript:alert(1)",
        "http://hostile.example/terms",
        "data:text/html,x",
        "https://hostile.example/\"onclick=alert(1)",
    ]
    .into_iter()
    .enumerate()
    {
        let mut service = HealthcareService {
            id: format!("h{n}"),
            name: HOSTILE.to_owned(),
            provided_by: "310001708".to_owned(),
            endpoint: "hostile".to_owned(),
            active: true,
        }
        .to_json();
        service["telecom"] = json!([{"system": "phone", "value": HOSTILE}]);
        service["extension"] = json!([{"url": TERMS, "valueUrl": terms}]);
        entries.push(service);
        let page = page(&mut portal, entries.clone()).await;
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<a href=javascript"), "{page}");
        assert!(!page.contains("href=\"javascript"), "{terms}");
        assert!(!page.contains("\"onclick"), "{terms}");
        let row = row(&page, "hostile");
        assert!(row.contains("&#60;script&#62;"), "{row}");
        let linked = terms.starts_with("https://");
        assert_eq!(row.contains("href=\""), linked, "{terms}: {row}");
    }
}

#[tokio::test]
async fn it_is_said_when_the_catalogue_is_silent_and_in_three_languages() {
    let mut portal = Portal::start().await;
    assert_eq!(portal.get("/offers").await.location(), "/");
    portal.sign_in("0").await;
    for (language, title) in [
        ("nb", "API-katalogen svarer ikke nå."),
        ("nn", "API-katalogen svarar ikkje no."),
        ("en", "The API catalogue does not answer now."),
    ] {
        *portal.fake.listed.lock().unwrap() = Some(Vec::new());
        let form = portal.get("/offers").await.form();
        let fields = [
            ("form", form.as_str()),
            ("language", language),
            ("back", "/offers"),
        ];
        let answer = portal.post("/language", &fields).await;
        assert_eq!(answer.location(), "/offers");
        *portal.fake.listed.lock().unwrap() = None;
        let page = portal.get("/offers").await;
        assert_eq!(page.status, StatusCode::BAD_GATEWAY, "{language}");
        assert!(page.body.contains(title), "{language}: {}", page.body);
    }
}
