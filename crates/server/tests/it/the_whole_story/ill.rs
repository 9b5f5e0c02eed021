//! Days 1 to 3: yellow, red, handed over, and looked up while servers fall.

use super::{FJELLVIK, OPEN, PROVEBAKKEN, PROVEHEIM, READINGS, Story, zone};
use crate::kit::lookup::source;
use crate::kit::side::state;
use crate::kit::wait::until;
use crate::the_gp_is_told_and_reads_it_by_his_own_right::Gp;
use crate::the_gp_looks_up_files_and_later_reads_what_changed::filed_in_record;
use serde_json::Value;
use wire::contract::demo::{Fault, Purpose};
use wire::contract::gateway::CHANGES_RELATION;
use wire::receipt::SourceState;

const NEWS2: &str = "http://snomed.info/sct|1104051000000101";

/// 87 twice within 20 minutes, pulse 96: yellow by the second, and not by the first.
pub async fn day_1_is_yellow_and_the_nurse_owns_it(story: &Story<'_>) {
    story.at(1, "08:30").await;
    assert_eq!(story.zones(1, 0, 1).await, ["green"]);
    assert!(story.alerts(READINGS, OPEN).await.is_empty());
    story.at(1, "08:47").await;
    let raised = story.alert(READINGS).await;
    assert_eq!(state(&raised), "raised");
    story.at(1, "09:10").await;
    story.fjellvik.takes("raised", "own", &[]).await;
    story.at(1, "09:40").await;
    let note = "Ringt. Plantrinn gult er tatt; måler to ganger daglig.";
    story
        .fjellvik
        .takes("owned", "acknowledge", &[("note", note)])
        .await;
    let record = story.region.data().join("stores/record-systems/fjellvik");
    let record = record.join(testkit::record_system::DOCUMENTS);
    until("her note in the municipality's record system", async || {
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        text.contains(note).then_some(())
    })
    .await;
}

/// NEWS2 is partial, 2 so far, and says what is missing. The GP looks up; gives the link to what will have changed.
pub async fn day_2_the_score_says_what_it_lacks_and_the_gp_looks_up(story: &Story<'_>) -> String {
    story.at(2, "08:40").await;
    let score = until("the score of the morning", async || {
        let score = story.news2(2, 6).await;
        let temperature = score.to_string().contains("Temperatur");
        temperature.then_some(score)
    })
    .await;
    assert!(score["valueQuantity"].is_null() && score["dataAbsentReason"].is_object());
    let parts = score["component"].as_array().unwrap();
    let missing: Vec<&str> = parts
        .iter()
        .filter(|part| part["dataAbsentReason"].is_object())
        .map(|part| part["code"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        missing,
        ["Respirasjonsfrekvens", "Systolisk blodtrykk", "Bevissthet"]
    );
    let so_far = parts
        .iter()
        .filter_map(|part| part["valueQuantity"]["value"].as_i64());
    assert_eq!(
        so_far.sum::<i64>(),
        2,
        "saturation 1, pulse 1, temperature 0, air 0"
    );

    story.at(2, "11:15").await;
    let gp = story.screen(story.who(PROVEBAKKEN), Purpose::Treat).await;
    let since = format!("ge{}", story.moment(-28, 0));
    let form = [("date", since.as_str()), ("_count", "200")];
    let (readings, account) = story
        .looks_up_whole(&gp, "Observation", &form, &[FJELLVIK])
        .await;
    assert!(readings.matches().len() > 20 && source(&account, FJELLVIK).count > 20);
    let (plan, _) = story.looks_up(&gp, "CarePlan", &[]).await;
    assert!(plan.json.to_string().contains("versjon 1"));
    let (medicines, account) = story.looks_up(&gp, "MedicationStatement", &[]).await;
    assert!(!medicines.matches().is_empty() && source(&account, PROVEHEIM).count > 0);
    let links = readings.json["link"].as_array().unwrap();
    let link = links.iter().find(|one| one["relation"] == CHANGES_RELATION);
    link.unwrap()["url"].as_str().unwrap().to_owned()
}

/// 84: red. On video NEWS2 is 6, and scale 1 would say 7. Handed over, accepted.
pub async fn day_3_is_red_and_handed_over(story: &Story<'_>) {
    story.at(3, "08:30").await;
    let red = until("red", async || {
        let all = story.since(3, 0, true).await;
        all.into_iter().find(|one| zone(one) == Some("red"))
    })
    .await;
    assert!(red.to_string().contains("plan-version"), "{red}");
    let urgent = until("the alert is red", async || {
        let open = story.alert(READINGS).await;
        (open["priority"] == "stat").then_some(open)
    })
    .await;
    assert!(
        ["owned", "acknowledged"].contains(&state(&urgent)),
        "it joins: {urgent}"
    );

    story.at(3, "09:05").await;
    let score = until("the whole score", async || {
        let score = story.news2(3, 6).await;
        score["valueQuantity"].is_object().then_some(score)
    })
    .await;
    assert_eq!(score["valueQuantity"]["value"], 6);
    let note = score["note"].to_string();
    assert!(note.contains('7'), "by scale 1: {note}");

    story.at(3, "09:15").await;
    let stands = state(&story.alert(READINGS).await).to_owned();
    let note = "Respirasjon 24, våken, på luft. NEWS2 6.";
    let to = [("to", PROVEHEIM), ("note", note)];
    story.fjellvik.takes(&stands, "hand-over", &to).await;
    until("the offer", async || {
        story.proveheim.alert(&["offered"]).await
    })
    .await;
    story.at(3, "09:18").await;
    let taken = story.proveheim.takes("offered", "accept", &[]).await;
    assert_eq!(state(&taken), "owned");
    until("both sides have it", async || {
        story.fjellvik.alert(&["handed-over"]).await
    })
    .await;
}

/// The municipality's servers are away; the physician's look-up is whole but for the one that is late, and the alert stays where it is.
pub async fn day_3_the_physician_looks_up_though_servers_fell(story: &Story<'_>) {
    let fjordregionen = story.region.service("fjordregionen").unwrap();
    let slow = story
        .region
        .fault("fjordregionen", Fault::Slow, Some(4_000))
        .await;
    slow.unwrap();
    story.at(3, "09:30").await;
    let physician = story.region.physician().unwrap();
    let screen = story.screen(physician, Purpose::Treat).await;
    let form = [
        ("organization", fjordregionen.orgnr.as_str()),
        ("_count", "200"),
    ];
    let holders = [FJELLVIK, PROVEBAKKEN, PROVEHEIM];
    let (readings, account) = story
        .looks_up_whole(&screen, "Observation", &form, &holders)
        .await;
    let late = source(&account, &fjordregionen.orgnr);
    assert_eq!(late.state, SourceState::Late);
    assert!(
        source(&account, FJELLVIK).as_of.is_some(),
        "how old the copy is"
    );
    assert!(readings.json.to_string().contains("\"value\":84"));
    assert!(story.proveheim.alert(&["owned"]).await.is_some());
    story
        .region
        .fault("fjordregionen", Fault::None, None)
        .await
        .unwrap();
}

/// The clinic measures; the plan gets new limits; both medication lists are shown, not merged. In the afternoon it hands back.
pub async fn day_3_the_clinic_makes_plan_v2_and_hands_back(
    story: &Story<'_>,
    subscribed: &[String],
) {
    story.at(3, "13:05").await;
    let plan = until("plan v2", async || {
        let all = story
            .fjellvik
            .found("CarePlan", &[("status", "active")])
            .await;
        let mut all = all.into_iter();
        all.find(|one| {
            one["title"]
                .as_str()
                .is_some_and(|title| title.contains("versjon 2"))
        })
    })
    .await;
    assert!(plan.to_string().contains("85"));
    // By the hospital's own order for the day: SpO2 86 by scale 2.
    let since = format!("ge{}", story.moment(3, 12));
    let form = [("code", NEWS2), ("date", since.as_str())];
    let score = until("the clinic's score", async || {
        let all = story.proveheim.found("Observation", &form).await;
        let mut whole = all.into_iter();
        whole.find(|one| one["valueQuantity"].is_object())
    })
    .await;
    assert_eq!(score["valueQuantity"]["value"], 4);
    let physician = story.region.physician().unwrap();
    let screen = story.screen(physician, Purpose::Treat).await;
    let (medicines, _) = story
        .looks_up(&screen, "MedicationStatement", &[("_count", "200")])
        .await;
    let prednisolone = medicines.matches().into_iter().filter(|one| {
        let text = one.to_string();
        text.contains("H02AB06") && one["status"] == "active"
    });
    let doses: Vec<&Value> = prednisolone.collect();
    assert_eq!(
        doses.len(),
        2,
        "30 mg at the GP's and 40 mg at the hospital's"
    );
    let form = [("date", since.as_str()), ("_count", "200")];
    let (readings, _) = story
        .looks_up_whole(&screen, "Observation", &form, &[PROVEHEIM])
        .await;
    let words = "Målt ved poliklinikken kl. 13. Plan v2.";
    let filed = filed_in_record(story.region, &screen, "proveheim", (&readings, 2), words).await;
    assert_eq!(
        filed["entry"].as_array().unwrap().len(),
        4,
        "the receipt too"
    );

    story.at(3, "16:30").await;
    let to = [
        ("to", FJELLVIK),
        (
            "note",
            "Hjem. NEWS2 4 kl. 13. Plan v2, måler to ganger daglig i sju dager.",
        ),
    ];
    story.proveheim.takes("owned", "hand-over", &to).await;
    until("offered back", async || {
        story.fjellvik.alert(&["offered"]).await
    })
    .await;
    let back = story.fjellvik.takes("offered", "accept", &[]).await;
    assert_eq!(state(&back), "owned");
    let gp = Gp::of(story.region);
    for heard in subscribed {
        let events = until("the GP's record system hears, by id", async || {
            let events = gp.events(heard);
            (!events.is_empty()).then_some(events)
        })
        .await;
        assert!(events[0].1.starts_with(&gp.base), "{events:?}");
    }
}

/// Day 2: the GP's record system subscribes at the hospital's service: what is measured, and plans.
pub async fn day_2_the_gps_record_system_subscribes(story: &Story<'_>) -> [String; 2] {
    let gp = Gp::of(story.region);
    let patient = gp.patient_id().await;
    let readings = gp.subscribes("new-reading", &patient).await;
    [readings, gp.subscribes("plan-change", &patient).await]
}
