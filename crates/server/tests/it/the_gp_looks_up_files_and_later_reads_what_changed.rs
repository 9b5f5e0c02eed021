//! STORY.md, days 2 and 14: the GP looks up 30 days, plan and medicines at all who hold something and files what she relied on,
//! with the receipt, in her own record system; later she reads one page of what has changed since. Day 3: so does the hospital.

use crate::kit::lookup::{FNR, Screen, WEIGHT, find, found, identifier, receipt, source};
use crate::kit::reading::Weight;
use crate::kit::region;
use crate::kit::wait::until;
use fhir::time::parse_instant;
use http::{HeaderValue, Method, header};
use serde_json::Value;
use testkit::clients::{Caller, Reply, now};
use testkit::region::Region;
use trust::keys::KeySet;
use wire::client::Request;
use wire::contract::demo::{ClientUse, DemoPractitioner};
use wire::contract::gateway::{CHANGE_EXTENSION, CHANGES_RELATION};
use wire::contract::hub::WRITE_SCOPE;

const PROVEHEIM: &str = "310001074";
const FJELLVIK: &str = "310001007";
const PROVEBAKKEN: &str = "310001147";

/// The GP of the story's office.
fn gp(region: &Region) -> &DemoPractitioner {
    let mut practitioners = region.ready.practitioners.iter();
    practitioners
        .find(|one| one.orgnr == PROVEBAKKEN)
        .expect("a GP")
}

/// She at her screen, about the story's patient, for treatment.
async fn screen(region: &Region) -> Screen {
    let patient = region.story_patient().unwrap();
    Screen::of(region, gp(region), patient, &region.gateway()).await
}

/// Looks up; every one of `holders` gave something, and nobody who was asked is missing.
async fn look_up(
    region: &Region,
    screen: &Screen,
    kind: &str,
    form: &[(&str, &str)],
    holders: &[&str],
) -> Reply {
    let patient = region.story_patient().unwrap();
    let reply = screen.search_for(patient, kind, form).await;
    assert_eq!(reply.status, 200, "{}", reply.json);
    let account = receipt(&reply);
    assert!(account.is_whole(), "{kind}: {:?}", account.sources);
    for holder in holders {
        let theirs = source(&account, holder);
        assert!(theirs.count > 0, "{kind}: {theirs:?}");
    }
    reply
}

#[tokio::test]
async fn day_2_thirty_days_plan_and_medicines_are_filed_with_the_receipt_in_her_own_record() {
    let region = region::shared().await;
    let screen = screen(region).await;
    let since = format!("ge{}", now().plus_seconds(-30 * 24 * 3600));
    let form = [("date", since.as_str()), ("_count", "200")];
    let readings = look_up(region, &screen, "Observation", &form, &[FJELLVIK]).await;
    assert!(
        readings.matches().len() > 20,
        "{}",
        readings.matches().len()
    );
    look_up(region, &screen, "CarePlan", &[], &[FJELLVIK]).await;
    let form = [("_count", "200")];
    let holders = [PROVEHEIM, PROVEBAKKEN];
    look_up(region, &screen, "MedicationStatement", &form, &holders).await;

    // The receipt again from the gateway: as it was given, signed with the key that it publishes.
    let id = receipt(&readings).id.expect("an id");
    let url = format!("{}/OperationOutcome/{id}", region.gateway());
    let kept = screen.get(&url).await;
    assert_eq!(kept.status, 200, "{}", kept.json);
    let entries = readings.json["entry"].as_array().unwrap();
    let given = entries.iter().find(|e| e["resource"]["id"] == id.as_str());
    assert_eq!(kept.json, given.unwrap()["resource"]);

    let chosen = &found(&readings)[..3];
    let words = "SpO2 faller, puls stiger: prednisolon 30 mg og amoxicillin.";
    let filed = filed_in_record(region, &screen, "provebakken", (&readings, 3), words).await;
    let entries = filed["entry"].as_array().unwrap();
    assert_eq!(entries.len(), 5);
    for (entry, one) in entries[1..4].iter().zip(chosen) {
        let wanted: Value = serde_json::from_str(&one.text).unwrap();
        assert_eq!(entry["resource"], wanted);
    }
    let composition = &entries[0]["resource"];
    assert_eq!(composition["custodian"]["identifier"]["value"], PROVEBAKKEN);
    let author = &composition["author"][0]["identifier"]["value"];
    assert_eq!(*author, *gp(region).hpr.expose());
    assert!(composition.to_string().contains("prednisolon 30 mg"));
    assert_eq!(entries[4]["resource"], kept.json);
    verified(&region.gateway(), &entries[4]["resource"]).await;
}

#[tokio::test]
async fn day_3_the_hospital_files_in_its_own_record_system() {
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    let screen = Screen::physician(region, patient).await;
    let form = [("code", WEIGHT), ("_count", "2")];
    let reply = screen.search_for(patient, "Observation", &form).await;
    let words = "NEWS2 6: innleggelse vurdert.";
    let filed = filed_in_record(region, &screen, "proveheim", (&reply, 2), words).await;
    assert_eq!(filed["entry"].as_array().unwrap().len(), 4);
    let composition = &filed["entry"][0]["resource"];
    assert_eq!(composition["custodian"]["identifier"]["value"], PROVEHEIM);
    verified(&region.gateway(), &filed["entry"][3]["resource"]).await;
}

/// Files the first readings of an answer, and waits until the document is in that record system.
pub async fn filed_in_record(
    region: &Region,
    screen: &Screen,
    system: &str,
    chosen: (&Reply, usize),
    words: &str,
) -> Value {
    let document = files(screen, chosen, words).await;
    let line = until("the document is in the record", async || {
        documents(region, system, &document).into_iter().next()
    })
    .await;
    let filed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(filed["identifier"]["value"], *document);
    filed
}

/// Files the first readings of an answer, and gives the document's identifier.
pub async fn files(screen: &Screen, (reply, count): (&Reply, usize), words: &str) -> String {
    let id = receipt(reply).id.unwrap();
    let mut form = vec![("receipt", id.as_str()), ("assessment", words)];
    let entries = reply.json["entry"].as_array().unwrap().iter();
    let matches = entries.filter(|entry| entry["search"]["mode"] == "match");
    let urls = matches.map(|entry| ("reading", entry["fullUrl"].as_str().unwrap()));
    form.extend(urls.take(count));
    assert_eq!(form.len(), 2 + count);
    let file = Request::post_form(format!("{}/$file", screen.base), form);
    let reply = screen.send(file).await;
    assert_eq!(reply.status, 202, "{}", reply.json);
    let document = reply.json["parameter"][0]["valueUri"].as_str();
    document.unwrap().to_owned()
}

/// Each time that a document came to a record system.
pub fn documents(region: &Region, system: &str, document: &str) -> Vec<String> {
    let stores = region.data().join("stores/record-systems");
    let documents = stores.join(system).join(testkit::record_system::DOCUMENTS);
    let text = std::fs::read_to_string(documents).unwrap_or_default();
    let lines = text.lines().map(str::to_owned);
    lines.filter(|line| line.contains(document)).collect()
}

/// A receipt holds against the keys that the gateway publishes.
pub async fn verified(gateway: &str, outcome: &Value) {
    let keys = gateway.replace("/fhir", "/jwks");
    let caller = Caller::new().unwrap();
    let keys = caller.send_bare(Request::get(keys)).await.unwrap();
    wire::receipt::verify(outcome, &KeySet::parse(&keys.body).unwrap()).unwrap();
}

#[tokio::test]
async fn day_14_one_page_tells_what_is_new_what_was_corrected_and_what_was_taken_away() {
    let region = region::shared().await;
    let screen = screen(region).await;
    let patient = region.story_patient().unwrap();
    let weight = || Weight::of(patient.fnr.expose());
    // Before she looks: four readings are there, and their second is over, for what changed in it would be told again.
    let (stays, corrected, mistaken, withdrawn) = (weight(), weight(), weight(), weight());
    for one in [&stays, &corrected, &mistaken, &withdrawn] {
        send(region, one).await;
    }
    let form = [("code", WEIGHT), ("_count", "200")];
    let first = until("all four are there, and a second has passed", async || {
        let reply = look_up(region, &screen, "Observation", &form, &[FJELLVIK]).await;
        let sent = [&stays, &corrected, &mistaken, &withdrawn];
        let there = sent.map(|one| find(&reply, &one.identifier));
        let there: Option<Vec<_>> = there.into_iter().collect();
        let written = there?.into_iter().map(|one| {
            let resource: Value = serde_json::from_str(&one.text).unwrap();
            parse_instant(resource["meta"]["lastUpdated"].as_str().unwrap()).unwrap()
        });
        let last = written.max()?;
        (now().0 - last.0 > 2_000_000).then_some(reply)
    })
    .await;

    // Between her looks: a new one; one corrected and one said to be mistaken at home; one taken back by its owner.
    let new = weight();
    send(region, &new).await;
    let said = |value, status, of: &Weight| Weight {
        value,
        status,
        ..of.clone()
    };
    send(region, &said("61.90", "corrected", &corrected)).await;
    send(region, &said("61.40", "entered-in-error", &mistaken)).await;
    let url = withdraw(region, &first, &withdrawn).await;

    let link = changes(&first);
    assert!(!link.contains(patient.fnr.expose()) && !link.contains(FNR));
    let wanted = [
        (new.identifier.as_str(), "new"),
        (&corrected.identifier, "corrected"),
        (&mistaken.identifier, "withdrawn"),
        (&url, "withdrawn"),
    ];
    let told = until("every change is told", async || {
        let reply = screen.get(&link).await;
        assert_eq!(reply.status, 200, "{}", reply.json);
        let all = wanted
            .iter()
            .all(|(one, change)| told_of(&reply, one).as_deref() == Some(*change));
        all.then_some(reply)
    })
    .await;
    assert_eq!(told_of(&told, &stays.identifier), None, "it did not change");
    assert_eq!(find(&told, &new.identifier).unwrap().routes, [FJELLVIK]);
    let text = find(&told, &corrected.identifier).unwrap().text;
    assert!(text.contains("61.90"), "{text}");
    // What was there when she looked and is as it was then is not told again; other stories may correct meanwhile.
    for one in first.matches() {
        let change = told_of(&told, identifier(one));
        assert_ne!(change.as_deref(), Some("new"), "{}", identifier(one));
    }
    assert!(receipt(&told).is_whole());
    // The link is hers: the hospital's physician cannot use it.
    let hospital = Screen::physician(region, patient).await;
    assert_eq!(hospital.get(&link).await.status, 404);
}

/// A reading is sent from home; Fjellvik owns it.
async fn send(region: &Region, reading: &Weight) {
    let home = region.party(ClientUse::HomeSystem, None).unwrap();
    let hub = region.hub();
    let request = Request::post_fhir(format!("{hub}/Observation"), reading.json());
    let sent = home.send(&hub, WRITE_SCOPE, request).await.unwrap();
    assert!(sent.status.is_success(), "{}", sent.status);
}

/// Fjellvik's record system takes a reading back, by the owner's API; gives its address.
async fn withdraw(region: &Region, shown: &Reply, reading: &Weight) -> String {
    let entries = shown.json["entry"].as_array().unwrap().iter();
    let mut entries = entries.filter(|one| identifier(&one["resource"]) == reading.identifier);
    let entry = entries.next().expect("it is shown");
    let url = entry["fullUrl"].as_str().unwrap().to_owned();
    let version = entry["resource"]["meta"]["versionId"].as_str().unwrap();
    let version = HeaderValue::try_from(format!("W/\"{version}\"")).unwrap();
    let owner = region
        .party(ClientUse::RecordSystem, Some(FJELLVIK))
        .unwrap();
    let base = &region.service("fjellvik").unwrap().fhir;
    let request = Request::new(Method::DELETE, &url).header(header::IF_MATCH, version);
    let answer = owner
        .send(base, "system/Observation.d", request)
        .await
        .unwrap();
    assert_eq!(answer.status, 204);
    url
}

/// The link to what will have changed.
fn changes(reply: &Reply) -> String {
    let links = reply.json["link"].as_array().unwrap();
    let link = links.iter().find(|one| one["relation"] == CHANGES_RELATION);
    let url = &link.expect("a link to changes")["url"];
    url.as_str().unwrap().to_owned()
}

/// How something changed, by its business identifier or its address, if it is told.
fn told_of(reply: &Reply, wanted: &str) -> Option<String> {
    let mut entries = reply.json["entry"].as_array()?.iter();
    let entry = entries.find(|entry| {
        identifier(&entry["resource"]) == wanted || entry["fullUrl"].as_str() == Some(wanted)
    })?;
    let mut extensions = entry["extension"].as_array()?.iter();
    let change = extensions.find(|one| one["url"] == CHANGE_EXTENSION)?;
    Some(change["valueCode"].as_str()?.to_owned())
}
