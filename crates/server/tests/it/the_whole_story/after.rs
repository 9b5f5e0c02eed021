//! Days 4 to 14: everything is delivered, the alert is closed, and she sees who looked.

use super::{FJELLVIK, MISSING, OPEN, PROVEHEIM, READINGS, SERVERS, Story, zone};
use crate::a_patient_sees_who_looked_and_closes_the_door::{
    HUSBAND, block_of, by, citizen, contained, practitioner,
};
use crate::kit::lookup::{Screen, receipt, source, states};
use crate::kit::side::state;
use crate::kit::wait::until;
use crate::the_gp_looks_up_files_and_later_reads_what_changed::documents;
use serde_json::Value;
use std::collections::HashSet;
use trust::wish::PSEUDONYM;
use wire::client::Request;
use wire::contract::demo::{Fault, Purpose};
use wire::receipt::SourceState;

const SORLIA: &str = "310001422";

/// What the hub has delivered to the municipality's record system.
fn lines(story: &Story<'_>) -> String {
    let file = story.region.data().join("stores/record-systems/fjellvik");
    std::fs::read_to_string(file.join(testkit::record_system::FILE)).unwrap()
}

/// The last reading of day 3, which waits for the record system.
const EVENING: &str = "home-better/3/20:32/spo2";

/// The municipality's servers come back: the record system first, and what waited at the hub comes; what waited at its own gateway only
/// when that is back too.
pub async fn day_4_the_servers_return(story: &Story<'_>, filed: &str) {
    story.at(4, "07:59").await;
    let evening = named(EVENING);
    assert!(!lines(story).contains(&evening));
    let [record_system, gateway] = SERVERS;
    let back = async |server| story.region.fault(server, Fault::None, None).await.unwrap();
    back(record_system).await;
    story.at(4, "08:00").await;
    until("the evening is in the record", async || {
        lines(story).contains(&evening).then_some(())
    })
    .await;
    assert!(documents(story.region, "fjellvik", filed).is_empty());
    back(gateway).await;
}

/// Everything that waited is there, once, in order.
pub async fn day_4_the_record_system_has_everything_once(story: &Story<'_>) {
    let (evening, morning) = (named(EVENING), named("home-better/4/08:44/pulse"));
    story.at(4, "08:50").await;
    let text = until(
        "what waited, and the morning, is in the record",
        async || {
            let text = lines(story);
            (text.contains(&evening) && text.contains(&morning)).then_some(text)
        },
    )
    .await;
    let received: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let once: HashSet<&str> = received
        .iter()
        .map(|one| one["identity"].as_str().unwrap())
        .collect();
    assert_eq!(once.len(), received.len(), "nothing twice");
    let place = |name: &str| text.lines().position(|line| line.contains(name)).unwrap();
    assert!(place(&evening) < place(&morning));

    // 87 twice, pulse 100: yellow, by the new plan.
    let yellow = until("yellow", async || {
        let all = story.since(4, 0, true).await;
        all.into_iter().find(|one| zone(one) == Some("yellow"))
    })
    .await;
    assert_eq!(plan_version(&yellow), "2");
}

/// The business identifier of a reading of the story.
fn named(key: &str) -> String {
    testkit::observation::identifier(&format!("kols/{key}")).1
}

/// The version of the plan that a result was judged by.
fn plan_version(result: &Value) -> &str {
    let all = result["extension"].as_array().unwrap().iter();
    let mut of_plan = all.filter(|one| {
        one["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("plan-version"))
    });
    of_plan.next().unwrap()["valueString"].as_str().unwrap()
}

/// Better each day: the alert is closed with a note that both can read, and what day 3 was judged by has not changed.
pub async fn day_6_the_alert_is_closed_and_day_3_still_shows_plan_v1(story: &Story<'_>) {
    story.at(5, "09:00").await;
    assert!(
        story
            .zones(5, 0, 2)
            .await
            .iter()
            .all(|zone| zone == "green")
    );
    story.at(6, "09:00").await;
    let note = "SpO2 88, 89; puls 90. Avsluttes, følges videre etter plan v2.";
    // The one that came back, and those of what was found and missing meanwhile: each is somebody's to close.
    for topic in [READINGS, MISSING] {
        for open in story.alerts(topic, OPEN).await {
            if state(&open) == "raised" {
                story.fjellvik.takes_of(&open, "own", &[]).await;
            }
            let note = [("note", note)];
            let closed = story.fjellvik.takes_of(&open, "resolve", &note).await;
            assert_eq!(state(&closed), "resolved");
        }
        assert!(story.alerts(topic, OPEN).await.is_empty());
    }
    let physician = story.region.physician().unwrap();
    let base = &story.fjellvik.base;
    let screen = Screen::of(story.region, physician, story.patient, base).await;
    let seen = screen.search_for(story.patient, "Task", &[]).await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    assert!(
        seen.json.to_string().contains(note),
        "the hospital reads it too"
    );
    let own = story.fjellvik.found("Task", &[]).await;
    assert!(own.iter().any(|one| one.to_string().contains(note)));

    let all = story.since(3, 0, true).await;
    let red = all.iter().find(|one| zone(one) == Some("red")).unwrap();
    assert_eq!(plan_version(red), "1");
    assert!(red["referenceRange"].to_string().contains("84"));
}

/// She reads who looked, and shuts a neighbour out; on day 8 that nurse is refused, with BTG too, and both sides log it.
pub async fn day_7_she_sees_who_looked_and_closes_the_door(story: &Story<'_>) {
    story.at(7, "10:00").await;
    let (region, patient) = (story.region, story.patient);
    let neighbour = practitioner(region, "Berit Testnabo");
    let looked = story.screen(neighbour, Purpose::Treat).await;
    let (seen, _) = story.looks_up(&looked, "Observation", &[]).await;
    assert!(!seen.matches().is_empty());
    let gateway = region.gateway();
    let her = citizen(region, patient.fnr.expose(), patient, &gateway).await;
    let trail = her.search("AuditEvent", &[("_count", "200")]).await;
    let physician = region.physician().unwrap();
    assert!(!by(&trail, physician.name.expose()).is_empty(), "day 3");
    let events = by(&trail, neighbour.name.expose());
    let identifiers = &contained(events[0], "Practitioner")["identifier"];
    assert_eq!(identifiers[0]["system"], PSEUDONYM);
    let wish = block_of(patient, identifiers[0]["value"].as_str().unwrap());
    let url = format!("{gateway}/Consent");
    let made = her.send(Request::post_fhir(url, wish)).await;
    assert_eq!(made.status, 201, "{}", made.json);

    story.at(8, "10:00").await;
    for purpose in [Purpose::Treat, Purpose::Btg] {
        let reply = crate::a_patient_sees_who_looked_and_closes_the_door::looks(
            region, neighbour, patient, &gateway, purpose,
        )
        .await;
        assert!(reply.matches().is_empty(), "{purpose:?}: {}", reply.json);
        let account = receipt(&reply);
        assert!(
            states(&account)
                .iter()
                .all(|(_, state)| *state == SourceState::Refused)
        );
    }
    // At the hospital, where she asked, and at each holder that refused her.
    let her = citizen(region, patient.fnr.expose(), patient, &gateway).await;
    let trail = her.search("AuditEvent", &[("_count", "200")]).await;
    let refused = by(&trail, neighbour.name.expose()).into_iter();
    let refused = refused.filter(|event| event["outcome"] != "0");
    let logged: HashSet<String> = refused
        .map(|event| {
            let mut all = event["contained"].as_array().unwrap().iter();
            all.find(|one| one["id"] == "observer").unwrap().to_string()
        })
        .collect();
    assert!(logged.len() > 1, "{logged:?}");
}

/// A physician whose ground is quality work is refused; her husband sees plan and curves, and no notes.
pub async fn day_9_who_has_no_part_in_it_and_her_husband(story: &Story<'_>) {
    story.at(9, "10:00").await;
    let (region, patient, gateway) = (story.region, story.patient, story.region.gateway());
    let stranger = practitioner(region, "Geir Prøveheimli");
    let screen = Screen::with(region, &gateway, |caller| {
        let mut request = caller.as_practitioner(stranger, patient, &gateway);
        request.purpose_details = Some("KVAL".to_owned());
        request
    })
    .await;
    let reply = screen.search_for(patient, "Observation", &[]).await;
    assert_eq!(reply.status, 403, "{}", reply.json);

    let husband = citizen(region, HUSBAND, patient, &gateway).await;
    for kind in ["CarePlan", "Observation"] {
        let reply = husband
            .search_for(patient, kind, &[("_count", "200")])
            .await;
        assert_eq!(reply.status, 200, "{kind}: {}", reply.json);
        let found = reply.matches();
        assert!(!found.is_empty() && found.iter().all(|one| one.get("note").is_none()));
    }
}

/// The emergency clinic at Sørlia chooses Fjellvik from the catalogue: outside the locator, and the receipt says so.
pub async fn day_12_breathless_at_sorlia(story: &Story<'_>) {
    story.at(12, "21:40").await;
    let screen = story.screen(story.who(SORLIA), Purpose::Etreat).await;
    let form = [("organization", FJELLVIK), ("_count", "200")];
    let (readings, account) = story
        .looks_up_whole(&screen, "Observation", &form, &[FJELLVIK])
        .await;
    assert_eq!(source(&account, "locator").state, SourceState::NotAsked);
    assert!(!readings.matches().is_empty());
    assert!(
        account
            .sources
            .iter()
            .all(|one| one.organisation != PROVEHEIM)
    );
}

/// The GP reads one page of what has changed since day 2; CAT 19 is green.
pub async fn day_14_one_page_of_what_changed(story: &Story<'_>, changes: &str) {
    story.at(14, "10:00").await;
    let zones = story.zones(14, 0, 3).await;
    assert!(zones.iter().all(|zone| zone == "green"), "{zones:?}");
    let gp = story
        .screen(story.who(super::PROVEBAKKEN), Purpose::Treat)
        .await;
    let page = gp.get(changes).await;
    assert_eq!(page.status, 200, "{}", page.json);
    assert!(receipt(&page).is_whole());
    let text = page.json.to_string();
    for kind in ["spo2", "cat"] {
        let key = named(&format!("home-better/14/08:31/{kind}"));
        assert!(text.contains(&key), "what came today is on it: {kind}");
    }
    assert!(
        !text.contains(&named("home-green/-10/08:37/spo2")),
        "what she had seen is not"
    );
}
