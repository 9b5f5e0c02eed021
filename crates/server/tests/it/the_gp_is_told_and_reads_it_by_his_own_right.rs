//! The story's day 3, 16:30, against the running region: the GP's record system has subscribed at the hospital's service. It shakes
//! hands, hears by id of a reading and a plan, and reads what they say by the GP's own right; while it is away the count goes on, and
//! it fetches what it missed without a gap (issue 6, item 6; threats-and-faults 8).

use crate::kit::lookup::{Screen, person};
use crate::kit::region;
use crate::kit::wait::until;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::path::PathBuf;
use testkit::clients::now;
use testkit::feed::Feed;
use testkit::record_system::{ADDRESS, AWAY, NOTIFIED, Noted};
use testkit::region::Region;
use wire::client::{Party, Request};
use wire::contract::demo::{ClientUse, DemoPatient};
use wire::contract::sharing::FOLLOW_SCOPE;

const PROVEHEIM: &str = "310001074";
const PROVEBAKKEN: &str = "310001147";
const BACKPORT: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition";

/// The GP's record system, and the GP, at the hospital's service.
pub struct Gp<'a> {
    region: &'a Region,
    patient: &'a DemoPatient,
    /// The hospital's service.
    pub base: String,
    /// Where the GP's record system keeps its files.
    files: PathBuf,
    /// The record system by itself.
    system: Party,
}

impl<'a> Gp<'a> {
    pub fn of(region: &'a Region) -> Gp<'a> {
        Gp {
            region,
            patient: &region.ready.patients[0],
            base: region.service("proveheim").unwrap().fhir.clone(),
            files: region.data().join("stores/record-systems/provebakken"),
            system: region
                .party(ClientUse::RecordSystem, Some(PROVEBAKKEN))
                .unwrap(),
        }
    }

    /// The GP at the hospital's service.
    async fn screen(&self) -> Screen {
        let all = &self.region.ready.practitioners;
        let who = all.iter().find(|one| one.orgnr == PROVEBAKKEN).unwrap();
        Screen::with(self.region, &self.base, |caller| {
            let mut request = caller.as_practitioner(who, self.patient, &self.base);
            request.scope = "user/*.rs user/Subscription.crd".into();
            request
        })
        .await
    }

    fn wanted(&self, topic: &str, patient: &str) -> Value {
        let address = std::fs::read_to_string(self.files.join(ADDRESS)).unwrap();
        json!({
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "Fastlegen følger med",
            "criteria": format!("https://delt.example/fhir/SubscriptionTopic/{topic}"),
            "_criteria": {"extension": [{"url": format!("{BACKPORT}/backport-filter-criteria"), "valueString": format!("patient=Patient/{patient}")}]},
            "channel": {
                "type": "rest-hook",
                "endpoint": format!("{address}/notified"),
                "payload": "application/fhir+json",
                "_payload": {"extension": [{"url": format!("{BACKPORT}/backport-payload-content"), "valueCode": "id-only"}]},
            },
        })
    }

    /// What the record system was told of a subscription.
    fn noted(&self, subscription: &str) -> Vec<Noted> {
        let text = std::fs::read_to_string(self.files.join(NOTIFIED)).unwrap_or_default();
        let all = text
            .lines()
            .map(|line| serde_json::from_str::<Noted>(line).unwrap());
        all.filter(|one| one.subscription == subscription).collect()
    }

    /// Subscribes to a topic about the patient, whom the service knows by this id; gives the subscription, which has shaken hands.
    pub async fn subscribes(&self, topic: &str, patient: &str) -> String {
        let body = self.wanted(topic, patient).to_string();
        let request = Request::post_fhir(format!("{}/Subscription", self.base), body);
        let reply = self.screen().await.send(request).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.json);
        let made = reply.header("location").to_owned();
        until("the handshake", async || {
            (self.stands(&made).await.0 == "active").then_some(())
        })
        .await;
        made
    }

    /// The id by which the service knows the patient.
    pub async fn patient_id(&self) -> String {
        let number = person(self.patient);
        let form = [("identifier", number.as_str())];
        let found = self.screen().await.search("Patient", &form).await;
        assert_eq!(found.status, StatusCode::OK, "{}", found.json);
        found.matches()[0]["id"].as_str().unwrap().to_owned()
    }

    /// Number and focus of each event that it was told of.
    pub fn events(&self, subscription: &str) -> Vec<(u64, String)> {
        let noted = self.noted(subscription).into_iter();
        noted
            .filter_map(|one| Some((one.number?, one.focus?)))
            .collect()
    }

    async fn asked(&self, url: String) -> Value {
        let answer = self
            .system
            .send(&self.base, FOLLOW_SCOPE, Request::get(url))
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// How it stands: status and count.
    async fn stands(&self, subscription: &str) -> (String, String) {
        let told = self.asked(format!("{subscription}/$status")).await;
        let all = told["entry"][0]["resource"]["parameter"]
            .as_array()
            .unwrap();
        let value = |name: &str, member: &str| {
            let one = all.iter().find(|one| one["name"] == name).unwrap();
            one[member].as_str().unwrap().to_owned()
        };
        (
            value("status", "valueCode"),
            value("events-since-subscription-start", "valueString"),
        )
    }
}

fn weight(patient: &DemoPatient, key: &str, value: f64) -> String {
    json!({
        "resourceType": "Observation",
        "identifier": [{"system": "urn:example:epj:story", "value": key}],
        "status": "final",
        "category": [{"coding": [{"system": fhir::systems::OBSERVATION_CATEGORY, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": fhir::systems::LOINC, "code": "29463-7"}]},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": patient.fnr.expose()}},
        "effectiveDateTime": now().to_string(),
        "valueQuantity": {"value": value, "unit": "kg", "system": fhir::systems::UCUM, "code": "kg"},
    })
    .to_string()
}

#[tokio::test]
async fn day_3_the_gps_record_system_hears_by_id_and_misses_nothing_while_it_is_away() {
    let own = region::own(&[]).await;
    let gp = Gp::of(&own.region);
    let patient = gp.patient_id().await;
    let readings = &gp.subscribes("new-reading", &patient).await;
    let plans = &gp.subscribes("plan-change", &patient).await;
    let first = &gp.noted(readings)[0];
    assert_eq!(
        (first.kind.as_str(), first.by.as_str()),
        ("handshake", PROVEHEIM)
    );

    // 16:30: a weight and a plan at the hospital.
    let client = gp
        .region
        .party(ClientUse::RecordSystem, Some(PROVEHEIM))
        .unwrap();
    let feed = Feed::new(client, "proveheim", &gp.base);
    feed.create("Observation", weight(gp.patient, "w-1", 61.2))
        .await
        .unwrap();
    let goal = json!({
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "Trygg hjemme"},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": gp.patient.fnr.expose()}},
    });
    feed.create("Goal", goal.to_string()).await.unwrap();
    let told = until("the events", async || {
        let (readings, plans) = (gp.events(readings), gp.events(plans));
        (readings.len() == 1 && plans.len() == 1).then_some((readings, plans))
    })
    .await;
    let (number, focus) = &told.0[0];
    assert_eq!(*number, 1);
    assert!(
        told.1[0].1.starts_with(&format!("{}/Goal/", gp.base)),
        "{}",
        told.1[0].1
    );
    // Ids alone: what it says is read by the GP's own right.
    let text = std::fs::read_to_string(gp.files.join(NOTIFIED)).unwrap();
    assert!(!text.contains(gp.patient.fnr.expose()) && !text.contains("61.2"));
    let read = gp.screen().await.get(focus).await;
    assert_eq!(read.status, StatusCode::OK, "{}", read.json);
    assert_eq!(read.json["valueQuantity"]["value"], 61.2);

    // The record system falls. What comes meanwhile has its numbers, and is fetched without a gap by the system itself.
    std::fs::write(gp.files.join(AWAY), "").unwrap();
    for (key, value) in [("w-2", 61.3), ("w-3", 61.4), ("w-4", 61.5)] {
        feed.create("Observation", weight(gp.patient, key, value))
            .await
            .unwrap();
    }
    until("the count", async || {
        (gp.stands(readings).await.1 == "4").then_some(())
    })
    .await;
    let missed = gp
        .asked(format!("{readings}/$events?eventsSinceNumber=2"))
        .await;
    let all = missed["entry"][0]["resource"]["parameter"]
        .as_array()
        .unwrap();
    let numbers = all.iter().filter(|one| one["name"] == "notification-event");
    let numbers: Vec<_> = numbers
        .map(|one| one["part"][0]["valueString"].as_str().unwrap())
        .collect();
    assert_eq!(numbers, ["2", "3", "4"]);
    assert_eq!(gp.events(readings).len(), 1);
    // It returns, and is told the same numbers; each stands once.
    std::fs::remove_file(gp.files.join(AWAY)).unwrap();
    let now = gp.screen().await.get(readings).await.json;
    let version = format!("W/\"{}\"", now["meta"]["versionId"].as_str().unwrap());
    let mut body = gp.wanted("new-reading", &patient);
    body["id"] = now["id"].clone();
    let mut request = Request::new(http::Method::PUT, readings.clone())
        .header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/fhir+json"),
        )
        .header(header::IF_MATCH, HeaderValue::try_from(version).unwrap());
    request.body = body.to_string().into_bytes().into();
    let reply = gp.screen().await.send(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    let all = until("what was missed", async || {
        let events = gp.events(readings);
        (events.len() == 4).then_some(events)
    })
    .await;
    let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    // Nobody else is shown it: the municipality's own record system asks with the same scope.
    let other = gp
        .region
        .party(ClientUse::RecordSystem, Some("310001007"))
        .unwrap();
    let answer = other
        .send(&gp.base, FOLLOW_SCOPE, Request::get(readings.clone()))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    // A record system's right there goes no further than what its organisation subscribes to.
    assert!(
        gp.system
            .token(&gp.base, "system/Observation.rs")
            .await
            .is_err()
    );
}
