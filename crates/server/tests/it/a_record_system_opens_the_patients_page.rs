//! Day 2 of the story: the patient rings her GP, who looks up from her own record system. The record system opens the portal with the
//! patient in context (SMART App Launch 2.2), as `docs/guide/launch.md` tells it to; she signs in once. And what does not open.

use crate::kit::{region, stores};
use http::Method;
use serde_json::{Value, json};
use testkit::browser::{Browser, Page};
use testkit::record_system::desk::{Desk, Need};
use testkit::region::Region;
use wire::client::{PeerError, Request};
use wire::contract::demo::{ClientUse, DemoPatient, DemoPractitioner, Purpose};
use wire::contract::launch::Launch;

const GP_OFFICE: &str = "310001147";
const GP: &str = "Tone Prøvelege";
const APP: &str = "delt-portal";

fn practitioner<'a>(region: &'a Region, name: &str) -> &'a DemoPractitioner {
    let mut all = region.ready.practitioners.iter();
    all.find(|one| one.name.expose() == name)
        .unwrap_or_else(|| panic!("{name} is not in the demo"))
}

fn need<'a>(gp: &'a DemoPractitioner, patient: &'a DemoPatient, decision: &'a str) -> Need<'a> {
    Need {
        practitioner: gp,
        patient,
        purpose: Purpose::Treat,
        grounds: "BEHANDLER",
        decision,
    }
}

fn desk(region: &Region, orgnr: &str) -> Desk {
    Desk::of(region.party(ClientUse::RecordSystem, Some(orgnr)).unwrap()).unwrap()
}

fn address(region: &Region, launch: &Launch) -> String {
    Desk::address(&region.ready.portal, &region.gateway(), launch)
}

/// The anchor's sign-in page answered by the person of this name.
async fn sign_in(browser: &mut Browser, page: &Page, name: &str) -> Page {
    let ticket = page.field("ticket").expect("the sign-in page").to_owned();
    let person = page.person(name).expect("a person to choose").to_owned();
    let form = [("ticket", ticket.as_str()), ("person", person.as_str())];
    browser.send(page, "/anchor/sign-in", &form).await.unwrap()
}

/// Opens the patient for the GP, who is signed in.
async fn opened(
    region: &Region,
    browser: &mut Browser,
    patient: &DemoPatient,
    decision: &str,
) -> Page {
    let gp = practitioner(region, GP);
    let attest = need(gp, patient, decision).attest(GP_OFFICE);
    let launch = desk(region, GP_OFFICE).deposit(APP, &attest).await.unwrap();
    browser.open(&address(region, &launch)).await.unwrap()
}

fn grouped(patient: &DemoPatient) -> String {
    let (day, number) = patient.fnr.expose().split_at(6);
    format!("{day} {number}")
}

#[tokio::test]
async fn the_gp_looks_up_from_her_own_record_system() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let gp = practitioner(region, GP);
    let ragnhild = region.story_patient().unwrap().clone();
    let other = region.ready.patients[1].clone();
    let mut browser = Browser::new().unwrap();

    // The record system deposits the need by its own call, and the browser carries the handle alone.
    let attest = need(gp, &ragnhild, "konsultasjon-2").attest(GP_OFFICE);
    let launch = desk(region, GP_OFFICE).deposit(APP, &attest).await.unwrap();
    let url = address(region, &launch);
    let page = browser.open(&url).await.unwrap();
    // She signs in once, at the anchor, in the name of her own office.
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.html.contains("Prøvebakken legesenter"));
    let page = sign_in(&mut browser, &page, GP).await;

    // One page: who it is about, why, what there is, and which sources answered.
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.url.contains("/views/"), "{}", page.url);
    for said in [
        "Ragnhild Testmo",
        &grouped(&ragnhild),
        GP,
        "konsultasjon-2",
        "BEHANDLER",
        "Prøvebakken legesenter",
        "Fjellvik kommune",
        "Prøveheim Diakonale Sykehus",
        "id=\"curve-spo2\"",
        "id=\"medicines\"",
        "id=\"plan\"",
        "id=\"receipt\"",
    ] {
        assert!(page.html.contains(said), "the page does not say {said}");
    }
    let first = page.url.clone();
    assert_eq!(browser.go(&first).await.unwrap().status, 200);

    // The next patient rings: she is not asked again, and neither page shows the other patient.
    let page = opened(region, &mut browser, &other, "konsultasjon-3").await;
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.html.contains(&grouped(&other)) && page.html.contains("konsultasjon-3"));
    assert!(!page.html.contains(&grouped(&ragnhild)) && !page.html.contains("konsultasjon-2"));
    let earlier = browser.go(&first).await.unwrap();
    assert_eq!(earlier.status, 404);
    assert!(!earlier.html.contains(&grouped(&ragnhild)));

    // A handle works once; nobody's number stood in any address.
    let again = browser.open(&url).await.unwrap();
    assert_eq!(again.status, 400);
    assert!(again.html.contains("Pasienten ble ikke åpnet"));
    let numbers = [&ragnhild.fnr, &other.fnr, &gp.fnr];
    for address in &browser.history {
        assert!(
            !numbers.iter().any(|one| address.contains(one.expose())),
            "{address}"
        );
    }
    // The sign-out ends it.
    let form = page.field("form").unwrap().to_owned();
    let left = browser
        .send(&page, "/session/end", &[("form", &form)])
        .await
        .unwrap();
    assert!(left.html.contains("Velg person"), "{}", left.url);
    assert_eq!(browser.go(&page.url).await.unwrap().url, left.url);

    // Audit on both sides, by the record system's own reference of the decision.
    let data = region.data().to_owned();
    own.region.stop().await.unwrap();
    let consumer = format!("gateway/{GP_OFFICE}");
    for (folder, owner) in [
        ("anchor", "anchor"),
        (consumer.as_str(), GP_OFFICE),
        ("sharing/fjellvik", "fjellvik"),
        ("sharing/proveheim", "proveheim"),
        ("sharing/provebakken", "provebakken"),
    ] {
        let records = stores::decided(&data, folder, owner, "konsultasjon-2").await;
        assert!(!records.is_empty(), "{folder}");
        for record in records {
            let organisation = record.organisation.map(|one| one.to_string());
            assert_eq!(organisation.as_deref(), Some(GP_OFFICE), "{folder}");
            let patient = record.patient.map(|one| one.value().expose().to_owned());
            assert_eq!(patient.as_deref(), Some(ragnhild.fnr.expose()), "{folder}");
        }
    }
    stores::all_trails_are_whole(&data).await;
}

#[tokio::test]
async fn what_was_not_opened_for_her_does_not_open() {
    let region = region::shared().await;
    let gp = practitioner(region, GP);
    let ragnhild = region.story_patient().unwrap();
    let sound = need(gp, ragnhild, "d-1").attest(GP_OFFICE);
    let gps = desk(region, GP_OFFICE);

    // Another person signs in than the one whom the record system named.
    let launch = gps.deposit(APP, &sound).await.unwrap();
    let mut browser = Browser::new().unwrap();
    let page = browser.open(&address(region, &launch)).await.unwrap();
    let page = sign_in(&mut browser, &page, "Berit Testnabo").await;
    assert_eq!(page.status, 403, "{}", page.url);
    assert!(!page.html.contains(ragnhild.fnr.expose()) && !page.html.contains(&grouped(ragnhild)));

    // Another organisation's record system in the GP office's name; a need without a patient; an app that is none.
    let fjellviks = desk(region, "310001007");
    let mut nobody = sound.clone();
    nobody["patients"] = json!([]);
    for (desk, app, attest, code) in [
        (&fjellviks, APP, &sound, "invalid_authorization_details"),
        (&gps, APP, &nobody, "invalid_authorization_details"),
        (&gps, "delt-hub", &sound, "invalid_target"),
    ] {
        let refused = desk.deposit(app, attest).await.unwrap_err();
        assert_eq!(refused, PeerError::Token(code), "{app}");
    }

    // Another server's name, no handle, a made-up handle, two handles; and nothing in a frame.
    let launch = gps.deposit(APP, &sound).await.unwrap();
    let portal = &region.ready.portal;
    let sound = address(region, &launch);
    let handle = launch.launch.expose();
    let gateway = region.gateway();
    for url in [
        format!("{portal}/launch"),
        format!("{portal}/launch?launch={handle}"),
        format!("{portal}/launch?iss=https://evil.example/fhir&launch={handle}"),
        format!("{portal}/launch?iss={gateway}/&launch={handle}"),
        format!("{portal}/launch?iss={gateway}"),
        format!("{portal}/launch?iss={gateway}&launch=x"),
        format!("{sound}&launch={handle}"),
        format!("{portal}/callback"),
        format!(
            "{portal}/callback?code=x&state=y&iss={}",
            region.ready.issuer
        ),
        format!("{portal}/callback?error=access_denied&state=y"),
    ] {
        let page = browser.open(&url).await.unwrap();
        assert_eq!(page.status, 400, "{url}");
        assert!(page.html.contains("Pasienten ble ikke åpnet"), "{url}");
    }
    let framed = Request::new(Method::GET, &sound).header(
        http::HeaderName::from_static("sec-fetch-dest"),
        http::HeaderValue::from_static("iframe"),
    );
    assert_eq!(browser.step(framed, true).await.unwrap().status, 400);
    // None of it used the handle up.
    let mut hers = Browser::new().unwrap();
    let page = hers.open(&sound).await.unwrap();

    // Whoever gets hold of an answer cannot bring it in another browser.
    let before = hers.history.len();
    let page = sign_in(&mut hers, &page, GP).await;
    assert_eq!(page.status, 200);
    let callback = hers.history[before..]
        .iter()
        .find(|url| url.contains("/callback?"))
        .unwrap()
        .clone();
    let stolen = browser.open(&callback).await.unwrap();
    assert_eq!(stolen.status, 400);
    assert!(!stolen.html.contains(&grouped(ragnhild)));
}

#[tokio::test]
async fn whom_the_patient_shut_out_sees_nothing_by_a_launch_either() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let gp = practitioner(region, GP);
    let ragnhild = region.story_patient().unwrap().clone();
    let gateway = region.gateway();
    let her = crate::kit::lookup::Screen::with(region, &gateway, |caller| {
        let mut request = caller.as_citizen(&ragnhild, &gateway);
        request.scope = "patient/*.rs patient/Consent.cds".to_owned();
        request
    })
    .await;
    let made = her
        .send(Request::post_fhir(
            format!("{gateway}/Consent"),
            closed(&ragnhild).to_string().into_bytes(),
        ))
        .await;
    assert_eq!(made.status, 201, "{}", made.json);

    let mut browser = Browser::new().unwrap();
    let attest = need(gp, &ragnhild, "konsultasjon-9").attest(GP_OFFICE);
    let launch = desk(region, GP_OFFICE).deposit(APP, &attest).await.unwrap();
    let page = browser.open(&address(region, &launch)).await.unwrap();
    let page = sign_in(&mut browser, &page, GP).await;
    // Every source refused, and the page says so; of what they hold it shows nothing. What she is called her GP knew.
    assert!(
        page.html.contains("avslo"),
        "{}: {}",
        page.status,
        page.html
    );
    for hidden in ["H02AB06", "Prednisolon", "data-of=", "14. mars 1952"] {
        assert!(!page.html.contains(hidden), "{hidden}");
    }
}

/// Her wish that nobody sees anything.
fn closed(patient: &DemoPatient) -> Value {
    let code = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    json!({
        "resourceType": "Consent", "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code("http://loinc.org", "59284-0")],
        "patient": {"identifier": {"system": crate::kit::lookup::FNR, "value": patient.fnr.expose()}},
        "policyRule": code("http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis", "PBRL5-3"),
        "provision": {"type": "deny"},
    })
}

#[tokio::test]
async fn without_a_record_system_the_hospitals_own_say_why_and_name_the_patient() {
    let region = region::shared().await;
    let ragnhild = region.story_patient().unwrap();
    let physician = region.physician().unwrap().name.expose();
    let start = format!("{}/sign-in", region.ready.portal);
    for (who, status) in [(GP, 403), (physician, 200)] {
        let mut browser = Browser::new().unwrap();
        let page = browser.go(&start).await.unwrap();
        let form = page.field("form").unwrap().to_owned();
        let why = [("form", form.as_str()), ("purpose", "TREAT")];
        let page = browser.send(&page, "/sign-in", &why).await.unwrap();
        let page = sign_in(&mut browser, &page, who).await;
        assert!(
            page.html.contains("Hvilken pasient gjelder det?"),
            "{}",
            page.html
        );
        let ticket = page.field("ticket").unwrap().to_owned();
        let named = [
            ("ticket", ticket.as_str()),
            ("number", ragnhild.fnr.expose()),
        ];
        let to = "/anchor/sign-in/patient";
        let page = browser.send(&page, to, &named).await.unwrap();
        assert_eq!(page.status, status, "{who}: {}", page.html);
        let shown = page.html.contains(&grouped(ragnhild)) && page.html.contains("curve-spo2");
        assert_eq!(shown, status == 200, "{who}");
        let number = ragnhild.fnr.expose();
        assert!(!browser.history.iter().any(|one| one.contains(number)));
    }
}
