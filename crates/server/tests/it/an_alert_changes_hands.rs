//! The story's day 3 against the running region: a red reading, a nurse who owns the alert and hands it over, a clinic that
//! accepts while the municipality's service has fallen, and both sides' own Task (issue 6, item 4; threats-and-faults 12).

use crate::kit::lookup::Screen;
use crate::kit::{region, wait};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use testkit::clients::{Reply, now};
use testkit::feed::Feed;
use testkit::region::Region;
use wire::client::Request;
use wire::contract::demo::{ClientUse, DemoPatient, Fault};

const PROVEHEIM: &str = "310001074";
const FJELLVIK: &str = "310001007";

/// Somebody of an organisation at her own service.
struct Side<'a> {
    region: &'a Region,
    patient: &'a DemoPatient,
    orgnr: &'static str,
    base: String,
}

impl Side<'_> {
    async fn screen(&self) -> Screen {
        let all = &self.region.ready.practitioners;
        let who = all.iter().find(|one| one.orgnr == self.orgnr).unwrap();
        Screen::with(self.region, &self.base, |caller| {
            let mut request = caller.as_practitioner(who, self.patient, &self.base);
            request.scope = "user/*.rs user/Task.u".into();
            request
        })
        .await
    }

    /// The newest alert that is in one of these states.
    async fn alert(&self, states: &[&str]) -> Option<Value> {
        let form = [("_sort", "-_lastUpdated")];
        let reply = self
            .screen()
            .await
            .search_for(self.patient, "Task", &form)
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        let all = reply.matches().into_iter();
        let mut own = all.filter(|one| states.contains(&state(one)));
        own.next().cloned()
    }

    async fn step(&self, task: &Value, step: &str, form: &[(&str, &str)]) -> Reply {
        let url = format!(
            "{}/Task/{}/${step}",
            self.base,
            task["id"].as_str().unwrap()
        );
        let version = format!("W/\"{}\"", task["meta"]["versionId"].as_str().unwrap());
        let body = wire::form::write(form.iter().copied());
        let request = Request::post(url, "application/x-www-form-urlencoded", body)
            .header(header::IF_MATCH, HeaderValue::try_from(version).unwrap());
        self.screen().await.send(request).await
    }
}

fn state(task: &Value) -> &str {
    let code = &task["businessStatus"]["coding"][0]["code"];
    code.as_str().unwrap_or_default()
}

#[tokio::test]
async fn day_3_a_red_alert_is_handed_over_and_stands_though_the_senders_service_falls() {
    let own = region::own(&[]).await;
    let region = &own.region;
    let patient = &region.ready.patients[0];
    let side = |orgnr: &'static str, id: &str| Side {
        region,
        patient,
        orgnr,
        base: region.service(id).unwrap().fhir.clone(),
    };
    let (fjellvik, proveheim) = (side(FJELLVIK, "fjellvik"), side(PROVEHEIM, "proveheim"));
    let client = region
        .party(ClientUse::RecordSystem, Some(FJELLVIK))
        .unwrap();
    let feed = Feed::new(client, "fjellvik", &fjellvik.base);
    let red = json!({
        "resourceType": "Observation",
        "identifier": [{"system": "urn:example:epj", "value": "red"}],
        "status": "final",
        "category": [{"coding": [{"system": fhir::systems::OBSERVATION_CATEGORY, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": fhir::systems::LOINC, "code": "59408-5"}]},
        "subject": {"identifier": {"system": fhir::systems::FNR, "value": patient.fnr.expose()}},
        "effectiveDateTime": now().to_string(),
        "valueQuantity": {"value": 80, "unit": "%", "system": fhir::systems::UCUM, "code": "%"},
    });
    feed.create("Observation", red.to_string()).await.unwrap();
    // What is found meanwhile joins it: then the step is taken from the newer version.
    let step = async |from: &str, step: &str, form: &[(&str, &str)]| {
        wait::until(step, async || {
            let task = fjellvik.alert(&[from]).await?;
            let reply = fjellvik.step(&task, step, form).await;
            let fits = [StatusCode::OK, StatusCode::PRECONDITION_FAILED];
            assert!(fits.contains(&reply.status), "{}", reply.json);
            (reply.status == StatusCode::OK).then_some(reply.json)
        })
        .await
    };
    let raised = step("raised", "own", &[]).await;
    let note = "Respirasjon 24, våken, på luft";
    step("owned", "hand-over", &[("to", PROVEHEIM), ("note", note)]).await;
    let offered = wait::until("the offer", async || proveheim.alert(&["offered"]).await).await;
    assert_eq!(offered["requester"]["display"], "Fjellvik kommune");

    region.fault("fjellvik", Fault::Dead, None).await.unwrap();
    let accepted = proveheim.step(&offered, "accept", &[]).await;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.json);
    assert_eq!(state(&accepted.json), "owned");
    region.fault("fjellvik", Fault::None, None).await.unwrap();
    let handed = wait::until("the answer", async || {
        fjellvik.alert(&["handed-over"]).await
    })
    .await;
    assert_eq!(handed["id"], raised["id"]);
    let stands = proveheim.alert(&["owned"]).await.unwrap();
    assert_eq!(stands["id"], offered["id"]);
}
