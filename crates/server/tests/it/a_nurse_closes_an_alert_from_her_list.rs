//! The nurse's morning against the running region: her list has the story's patient on top, red; she takes the alert, looks into it and
//! closes it with a note that others may look up; the note is in the municipality's record system, brought there by the hub, once, the hospital's
//! physician finds it, and the patient sees who saw.

use crate::kit::lookup::Screen;
use crate::kit::work_list::list;
use crate::kit::{region, wait};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;
use testkit::browser::Browser;
use testkit::record_system::DOCUMENTS;
use testkit::region::Region;
use wire::client::{Http, Policy, Request};
use wire::contract::work_list::Row;
use wire::members::MemberBook;
use wire::signed::{self, Worth};

const FJELLVIK: &str = "310001007";
const NOTE: &str = "Ringte 09:40. Planens trinn er tatt";

/// The page of the story's patient in the portal, as the hospital's physician sees it.
async fn patients_page(region: &Region) -> String {
    let physician = region.physician().unwrap();
    let mut all = region.ready.practitioners.iter();
    let person = all.position(|one| one.hpr == physician.hpr).unwrap();
    let mut browser = Browser::new().unwrap();
    let start = browser.open(&region.ready.portal).await.unwrap();
    let form = start.field("form").unwrap();
    let person = person.to_string();
    let fields = [("form", form), ("person", &person)];
    let signed_in = browser.send(&start, "/session", &fields).await.unwrap();
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.html);
    let patients = format!("{}/patients", region.ready.portal);
    let patients = browser.go(&patients).await.unwrap();
    let field = |name| patients.field(name).unwrap();
    let fields = [("form", field("form")), ("patient", field("patient"))];
    let open = Request::post_form(format!("{}/views", region.ready.portal), fields).header(
        HeaderName::from_static("sec-fetch-site"),
        HeaderValue::from_static("same-origin"),
    );
    let opened = browser.step(open, false).await.unwrap();
    let page = browser.go(&opened.on.unwrap()).await.unwrap();
    assert_eq!(page.status, StatusCode::OK, "{}", page.html);
    page.html
}

/// The municipality's nurse at her own service, about the story's patient.
async fn nurse(region: &Region) -> Screen {
    let base = &region.service("fjellvik").unwrap().fhir;
    let mut all = region.ready.practitioners.iter();
    let who = all.find(|one| one.orgnr == FJELLVIK).unwrap();
    let patient = &region.ready.patients[0];
    Screen::with(region, base, |caller| {
        let mut request = caller.as_practitioner(who, patient, base);
        request.scope = "user/*.rs user/Task.u".into();
        request
    })
    .await
}

/// The story's patient on the list, if she has an alert.
async fn top(region: &Region) -> Option<Row> {
    let row = list(region).await.rows.into_iter().next()?;
    let number = region.ready.patients[0].fnr.expose();
    (row.patient.value().expose() == number && !row.alerts.is_empty()).then_some(row)
}

#[tokio::test]
async fn she_finds_her_on_top_and_closes_with_a_note_that_the_record_gets() {
    let own = region::own(&[]).await;
    let region = &own.region;
    // Taken from the list, by the version that it shows; what joins meanwhile is seen first.
    let step = async |step: &'static str, form: &[(&'static str, &'static str)]| {
        wait::until(step, async || {
            let row = top(region).await?;
            let alert = &row.alerts[0];
            let screen = nurse(region).await;
            let url = format!("{}/Task/{}/${step}", screen.base, alert.task);
            let version = format!("W/\"{}\"", alert.version);
            let note = form.iter().find(|(name, _)| *name == "note");
            let signed = note.map(|(_, note)| screen.says((&alert.task, alert.version), note));
            let signed = signed.as_deref().map(|signed| ("signature", signed));
            let body = wire::form::write(form.iter().copied().chain(signed));
            let request = Request::post(url, "application/x-www-form-urlencoded", body)
                .header(header::IF_MATCH, HeaderValue::try_from(version).unwrap());
            let reply = screen.send(request).await;
            let fits = [StatusCode::OK, StatusCode::PRECONDITION_FAILED];
            assert!(fits.contains(&reply.status), "{}", reply.json);
            (reply.status == StatusCode::OK).then_some(row)
        })
        .await
    };
    let seen = step("own", &[]).await;
    assert_eq!(seen.zone, Some(fhir::plan::Zone::Red));
    assert!(seen.news2.is_some() && seen.newest.is_some());
    let owned = step("acknowledge", &[]).await;
    let owner = owned.alerts[0].owner.clone().unwrap();
    assert!(owner.contains("Fjellvik kommune"), "{owner}");
    let said = [("note", NOTE), ("shared", "true")];
    let task = step("resolve", &said).await.alerts[0].task.clone();
    let after = list(region).await.rows;
    let open = after.iter().flat_map(|row| &row.alerts);
    assert!(open.into_iter().all(|alert| alert.task != task));

    let kept = region
        .data()
        .join("stores/record-systems/fjellvik")
        .join(DOCUMENTS);
    let filed = || {
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        let all = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = |one: &Value| one.to_string().contains(NOTE);
        all.filter(ours).collect::<Vec<_>>()
    };
    let filed = wait::until("the note in the record", async || {
        let filed = filed();
        (!filed.is_empty()).then_some(filed)
    })
    .await;
    assert_eq!(filed.len(), 1);
    assert!(filed[0].to_string().contains(&owner));

    // She let others look it up: the hospital's physician finds it at the gateway.
    let patient = &region.ready.patients[0];
    let screen = Screen::physician(region, patient).await;
    let code = format!("{}|person", fhir::systems::ASSESSMENT);
    let form = [("code", code.as_str())];
    let found = screen.search_for(patient, "Observation", &form).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.json);
    let assessed = found.matches();
    assert_eq!(assessed.len(), 1, "{}", found.json);
    assert_eq!(assessed[0]["note"][0]["text"], NOTE);
    assert_eq!(assessed[0]["performer"][0]["display"], owner.as_str());
    // Signed by her, with what the anchor publishes of her organisation, though the copy came over the gateway.
    let http = Http::new(Policy::loopback()).unwrap();
    let clock: store::Clock = Arc::new(testkit::clients::now);
    let members = MemberBook::new(&region.ready.issuer, http, clock);
    let members = members.current().await.unwrap();
    let worth = |one: &Value| signed::worth(one, &members, testkit::clients::now());
    assert_eq!(worth(assessed[0]), Worth::Stands, "{}", assessed[0]);
    let mut other = assessed[0].clone();
    other["note"][0]["text"] = "Noe annet".into();
    assert_eq!(worth(&other), Worth::Fails);
    let page = patients_page(region).await;
    let row = page
        .split_once(NOTE)
        .map(|(_, row)| row)
        .unwrap_or_default();
    let row = row.split_once("</tr>").map(|(row, _)| row);
    let signed = "signert av forfatteren, signaturen er kontrollert";
    assert!(row.is_some_and(|row| row.contains(signed)), "{row:?}");

    let citizen = Screen::citizen(
        region,
        &region.ready.patients[0],
        &region.service("fjellvik").unwrap().fhir,
    );
    let log = citizen
        .await
        .search("AuditEvent", &[("_count", "200")])
        .await;
    assert_eq!(log.status, StatusCode::OK, "{}", log.json);
    // She was shown on the list before the steps, and at each look after.
    let shown = log.matches().into_iter().filter(|event| {
        let name = event["agent"][0]["name"].as_str().unwrap_or_default();
        event["action"] == "R" && owner.starts_with(name) && !name.is_empty()
    });
    assert!(shown.count() >= 3);
}
