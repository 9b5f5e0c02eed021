//! Somebody of an organisation at her own service, with its alerts: what is open, and the steps that people take.

use super::lookup::Screen;
use super::wait;
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use testkit::clients::Reply;
use testkit::region::Region;
use wire::client::Request;
use wire::contract::demo::DemoPatient;

/// Somebody of an organisation, about a patient, at a service.
pub struct Side<'a> {
    region: &'a Region,
    patient: &'a DemoPatient,
    orgnr: String,
    /// The service's base.
    pub base: String,
}

/// Where an alert stands.
pub fn state(task: &Value) -> &str {
    let code = &task["businessStatus"]["coding"][0]["code"];
    code.as_str().unwrap_or_default()
}

impl<'a> Side<'a> {
    /// The first of the organisation's people, at its own service.
    pub fn own(region: &'a Region, patient: &'a DemoPatient, service: &str) -> Side<'a> {
        let service = region.service(service).unwrap();
        Side {
            region,
            patient,
            orgnr: service.orgnr.clone(),
            base: service.fhir.clone(),
        }
    }

    /// Her screen.
    pub async fn screen(&self) -> Screen {
        let all = &self.region.ready.practitioners;
        let who = all.iter().find(|one| one.orgnr == self.orgnr).unwrap();
        Screen::with(self.region, &self.base, |caller| {
            let mut request = caller.as_practitioner(who, self.patient, &self.base);
            request.scope = "user/*.rs user/Task.u".into();
            request
        })
        .await
    }

    /// What is found about the patient, the newest first.
    pub async fn found(&self, kind: &str, form: &[(&str, &str)]) -> Vec<Value> {
        let screen = self.screen().await;
        let reply = screen.search_for(self.patient, kind, form).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
        reply.matches().into_iter().cloned().collect()
    }

    /// The newest alert that is in one of these states.
    pub async fn alert(&self, states: &[&str]) -> Option<Value> {
        let all = self.found("Task", &[("_sort", "-_lastUpdated")]).await;
        all.into_iter().find(|one| states.contains(&state(one)))
    }

    /// A step by `If-Match` of this version.
    pub async fn step(&self, task: &Value, step: &str, form: &[(&str, &str)]) -> Reply {
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

    /// The same from the newest alert in `from`, as often as another's step comes between; gives the Task as it stands then.
    pub async fn takes(&self, from: &str, step: &str, form: &[(&str, &str)]) -> Value {
        self.as_often(step, form, async || self.alert(&[from]).await)
            .await
    }

    /// The same of this alert, wherever it stands.
    pub async fn takes_of(&self, task: &Value, step: &str, form: &[(&str, &str)]) -> Value {
        let newest = async || {
            let all = self.found("Task", &[("_count", "200")]).await;
            all.into_iter().find(|one| one["id"] == task["id"])
        };
        self.as_often(step, form, newest).await
    }

    async fn as_often(
        &self,
        step: &str,
        form: &[(&str, &str)],
        newest: impl AsyncFn() -> Option<Value>,
    ) -> Value {
        wait::until(step, async || {
            let task = newest().await?;
            let reply = self.step(&task, step, form).await;
            let fits = [StatusCode::OK, StatusCode::PRECONDITION_FAILED];
            assert!(fits.contains(&reply.status), "{step}: {}", reply.json);
            (reply.status == StatusCode::OK).then_some(reply.json)
        })
        .await
    }
}
