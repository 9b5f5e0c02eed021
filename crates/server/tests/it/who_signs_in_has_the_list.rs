//! A hospital physician signs in at the trust anchor for the list of his organisation's patients, opens the worst from it, takes her alert,
//! and signs out of both (decision 0053).

use crate::kit::{reading, region, wait};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::measurement::Decimal;
use fhir::plan::{Criterion, PlanLimits, Zone, plan_to_json};
use testkit::browser::{Browser, Page};
use testkit::feed::Feed;
use wire::contract::demo::{ClientUse, DemoPatient};

const PROVEHEIM: &str = "310001074";
/// The story's physician, of the hospital that runs the portal.
const HE: &str = "Sigurd Testlege";

/// The address of the first patient on the list.
fn first(page: &Page) -> Option<String> {
    let (_, rest) = page.html.split_once("href=\"/views/")?;
    let id = rest.split(['"', '/']).next()?;
    Some(format!("/views/{id}"))
}

/// A plan at the hospital too, by which 85 is red.
fn plan(patient: &DemoPatient) -> String {
    let red = Criterion {
        kind: "oxygen-saturation".into(),
        part: None,
        zone: Zone::Red,
        low: None,
        high: Decimal::parse("85"),
        unit: "%".into(),
        repeated: None,
        baseline: None,
    };
    let number = PersonIdentifier::guess(patient.fnr.expose(), PersonNumbers::Strict);
    let limits = PlanLimits {
        title: "Egenbehandlingsplan (syntetisk)".into(),
        version: Some("1".into()),
        status: "active".into(),
        identifier: Some(("urn:example:plans".into(), "1".into())),
        start: Some("2020-01-01".into()),
        patient: number.ok(),
        criteria: vec![red],
        ..PlanLimits::default()
    };
    String::from_utf8(plan_to_json(&limits)).unwrap()
}

#[tokio::test]
async fn a_physician_signs_in_for_the_hospitals_list_and_takes_an_alert_from_it() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let portal = &region.ready.portal;
    let patient = &region.ready.patients[0];
    let client = region.party(ClientUse::RecordSystem, Some(PROVEHEIM));
    let base = &region.service("proveheim").unwrap().fhir;
    let feed = Feed::new(client.unwrap(), "proveheim", base);
    feed.create("CarePlan", plan(patient)).await.unwrap();
    let red = reading::red(patient, "red");
    feed.create("Observation", red).await.unwrap();

    // He says who he is, and names nobody.
    let mut browser = Browser::new().unwrap();
    let start = browser.open(&format!("{portal}/sign-in")).await.unwrap();
    let form = start.field("form").unwrap().to_owned();
    let form = [("form", form.as_str())];
    let page = browser.send(&start, "/sign-in/list", &form).await.unwrap();
    assert!(page.html.contains("<h1>Logg inn</h1>"), "{}", page.html);
    let ticket = page.field("ticket").unwrap().to_owned();
    let person = page.person(HE).expect("he can sign in").to_owned();
    let form = [("ticket", ticket.as_str()), ("person", person.as_str())];
    let list = browser.send(&page, "/anchor/sign-in", &form).await.unwrap();
    assert_eq!(list.status, 200, "{}", list.html);
    assert!(list.url.ends_with("/list"), "{}", list.url);
    for said in ["<h1>Mine pasienter i dag</h1>", HE, "Prøveheim"] {
        assert!(list.html.contains(said), "{said}: {}", list.html);
    }
    let rows = browser.go(&format!("{portal}/list/rows")).await.unwrap();
    assert_eq!(rows.status, 200, "{}", rows.html);

    // Whoever is on it is one click away, signed in as he is: her page, and her alert.
    let address = wait::until("somebody is on the list", async || {
        let list = browser.go(&format!("{portal}/list")).await.unwrap();
        first(&list)
    })
    .await;
    let page = browser.go(&format!("{portal}{address}")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.url.ends_with(&address), "{}", page.url);
    let (day, rest) = patient.fnr.expose().split_at(6);
    assert!(
        page.html.contains(&format!("{day} {rest}")),
        "{}",
        page.html
    );
    let alerts = format!("{address}/alerts");
    let page = browser.go(&format!("{portal}{alerts}")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.html);
    let value = |name| page.field(name).unwrap().to_owned();
    let (form, task, version) = (value("form"), value("task"), value("version"));
    let step = [
        ("form", form.as_str()),
        ("task", task.as_str()),
        ("version", version.as_str()),
        ("step", "own"),
    ];
    let taken = browser.send(&page, &alerts, &step).await.unwrap();
    assert_eq!(taken.status, 200, "{}", taken.html);
    assert!(taken.html.contains(HE), "{}", taken.html);

    // Out of both, and nobody's number in an address.
    let form = [("form", form.as_str())];
    browser.send(&taken, "/session/end", &form).await.unwrap();
    let history = &browser.history;
    assert!(
        history
            .iter()
            .any(|one| one.contains("/anchor/end-session?"))
    );
    assert!(!history.iter().any(|one| one.contains(patient.fnr.expose())));
    let list = browser.go(&format!("{portal}/list")).await.unwrap();
    assert!(!list.html.contains("<h1>Mine pasienter"), "{}", list.url);
}
