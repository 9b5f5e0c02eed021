//! How much a record system gets of the readings, by its organisation's rules; the sharing service gets everything, and what is left out
//! is seen.

use crate::house::*;
use hub::{Amount, Form, Rule};
use serde_json::{Value, json};

const SHARING: &str = "310001007/sharing";
const RECORD_SYSTEM: &str = "310001007/record-system";
const EPJ: &str = "http://127.0.0.1:9/epj";

fn rule(of: &[&str], send: Amount) -> Rule {
    Rule {
        of: of.iter().map(|id| (*id).to_owned()).collect(),
        send,
        form: Form::Reading,
    }
}

async fn with(rules: Vec<Rule>, sharing: Option<&str>) -> Hub {
    let mut one = receiver(FJELLVIK, Some(EPJ), sharing);
    one.record_system_rules = rules;
    Hub::with(vec![one]).await
}

/// An oxygen saturation that its source marked.
fn marked(key: &str, code: &str) -> Value {
    let mut body = reading(ragnhild(), key, 84);
    let system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
    body["interpretation"] = json!([{"coding": [{"system": system, "code": code}]}]);
    body
}

async fn names(hub: &Hub, receiver: &str) -> Vec<String> {
    let name = |(_, body): (String, String)| {
        let body: Value = serde_json::from_str(&body).unwrap();
        let named = &body["identifier"];
        named.get(0).unwrap_or(named)["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    hub.waiting(receiver).await.into_iter().map(name).collect()
}

#[tokio::test]
async fn what_the_source_marked_and_corrections_go_and_the_rest_is_left_out_and_counted() {
    let hub = with(
        vec![rule(&["oxygen-saturation"], Amount::Marked)],
        Some("http://127.0.0.1:9/f/fhir"),
    )
    .await;
    let home = hub.home(FJELLVIK);
    let mut corrected = reading(ragnhild(), "r-plain", 92);
    corrected["status"] = json!("corrected");
    let mut pulse = reading(ragnhild(), "r-pulse", 78);
    pulse["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "8867-4"}]});
    pulse["valueQuantity"] =
        json!({"value": 78, "system": "http://unitsofmeasure.org", "code": "/min", "unit": "/min"});
    let plain = hub.sent(&reading(ragnhild(), "r-plain", 91)).await;
    let sent = [
        marked("r-normal", "N"),
        marked("r-low", "L"),
        corrected,
        pulse,
        answers(ragnhild(), "q-1"),
    ];
    let reply = hub.post(&home, "/fhir", &bundle("batch", &sent)).await;
    assert_eq!(statuses(&reply), [201; 5], "{}", reply.json);
    // Sent again it is neither delivered nor counted again.
    hub.post(&home, "/fhir/Observation", &marked("r-normal", "N"))
        .await;
    assert_eq!(
        names(&hub, RECORD_SYSTEM).await,
        ["r-low", "r-plain", "r-pulse", "q-1"]
    );
    assert_eq!(
        names(&hub, SHARING).await,
        ["r-plain", "r-normal", "r-low", "r-plain", "r-pulse", "q-1"]
    );
    let count = async |hub: &Hub| {
        let reply = hub.get(&hub.home(FJELLVIK), "/deliveries").await;
        let all = reply.json["receivers"].as_array().unwrap();
        all.iter()
            .map(|one| one["left_out"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(count(&hub).await, [2, 0]);
    let reply = hub.get(&home, &format!("/deliveries/{plain}")).await;
    let states: Vec<_> = reply.json["receivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["receiver"].as_str().unwrap(),
                one["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(
        states.contains(&(RECORD_SYSTEM, "left-out")) && states.contains(&(SHARING, "pending")),
        "{states:?}"
    );
    let hub = hub.restarted().await;
    assert_eq!(count(&hub).await, [2, 0], "counted anew");
}

#[tokio::test]
async fn the_first_rule_that_speaks_of_a_kind_decides_and_nothing_is_left_out_that_nobody_else_has()
{
    let rules = vec![
        rule(&["oxygen-saturation"], Amount::All),
        rule(&[], Amount::Nothing),
    ];
    let hub = with(rules.clone(), Some("http://127.0.0.1:9/f/fhir")).await;
    let mut weight = reading(ragnhild(), "r-weight", 61);
    weight["code"] = json!({"coding": [{"system": "http://loinc.org", "code": "29463-7"}]});
    weight["valueQuantity"] =
        json!({"value": 61, "system": "http://unitsofmeasure.org", "code": "kg", "unit": "kg"});
    hub.sent(&reading(ragnhild(), "r-1", 91)).await;
    hub.sent(&weight).await;
    assert_eq!(names(&hub, RECORD_SYSTEM).await, ["r-1"]);
    assert_eq!(names(&hub, SHARING).await, ["r-1", "r-weight"]);
    let hub = with(rules, None).await;
    hub.sent(&weight).await;
    assert_eq!(names(&hub, RECORD_SYSTEM).await, ["r-weight"]);
}
