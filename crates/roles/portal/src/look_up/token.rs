//! The token of somebody chosen in the demo: a clinician's for one patient and one purpose, or a citizen's own, by `test-token` (CONTRACT
//! section 3), which exists in demo mode only. Who signed in has tokens of her own (`launch/tokens.rs`).

use trust::keys::SigningKey;
use wire::client::Request;
use wire::contract::Hidden;
use wire::contract::demo::{
    As, DemoPractitioner, Purpose, TEST_TOKEN, TestTokenAnswer, TestTokenRequest,
};
use wire::contract::gateway::FHIR;
use wire::contract::work_list::WORK_LIST_SCOPE;

use super::LookUpError;
use crate::State;
use crate::session::Chosen;

/// With what steps of alerts are taken at the organisation's own service.
pub const STEPS: &str = "user/*.rs user/Task.u";

/// Asks for a token bound to this session's key. It lives five minutes at most, which is longer than a look-up takes.
///
/// # Errors
/// [`LookUpError::NotAllowed`] when the anchor refuses, [`LookUpError::Anchor`] when it does not answer as it should.
pub async fn for_view(
    state: &State,
    person: &DemoPractitioner,
    key: &SigningKey,
    view: &Chosen,
) -> Result<TestTokenAnswer, LookUpError> {
    let demo = state.config.demo.as_ref().ok_or(LookUpError::NoSignIn)?;
    ask(state, &demo.issuer, &of_view(state, person, key, view)).await
}

/// A token for the same patient, purpose and decision at the organisation's own service, with which steps of alerts may be taken.
///
/// # Errors
/// As [`for_view`].
pub async fn for_steps(
    state: &State,
    person: &DemoPractitioner,
    key: &SigningKey,
    view: &Chosen,
    service: &str,
) -> Result<TestTokenAnswer, LookUpError> {
    let demo = state.config.demo.as_ref().ok_or(LookUpError::NoSignIn)?;
    let body = TestTokenRequest {
        audience: service.to_owned(),
        scope: STEPS.to_owned(),
        ..of_view(state, person, key, view)
    };
    ask(state, &demo.issuer, &body).await
}

/// A token for the list of the organisation's own patients, which names none of them.
///
/// # Errors
/// As [`for_view`].
pub async fn for_list(
    state: &State,
    person: &DemoPractitioner,
    key: &SigningKey,
    service: &str,
) -> Result<TestTokenAnswer, LookUpError> {
    let demo = state.config.demo.as_ref().ok_or(LookUpError::NoSignIn)?;
    let body = TestTokenRequest {
        patient: None,
        audience: service.to_owned(),
        scope: WORK_LIST_SCOPE.to_owned(),
        ..of_practitioner(state, person, key, None)
    };
    ask(state, &demo.issuer, &body).await
}

fn of_view(
    state: &State,
    person: &DemoPractitioner,
    key: &SigningKey,
    view: &Chosen,
) -> TestTokenRequest {
    TestTokenRequest {
        purpose: view.purpose,
        reason: view.reason.clone(),
        decision_ref: Some(view.decision.clone()),
        ..of_practitioner(state, person, key, Some(&view.number))
    }
}

fn of_practitioner(
    state: &State,
    person: &DemoPractitioner,
    key: &SigningKey,
    patient: Option<&Hidden>,
) -> TestTokenRequest {
    TestTokenRequest {
        hpr: Some(person.hpr.clone()).filter(|hpr| !hpr.expose().is_empty()),
        orgnr: Some(person.orgnr.clone()),
        scope: "user/*.rs".to_owned(),
        ..bare(state, As::Practitioner, &person.fnr, patient, key)
    }
}

/// A citizen's own token, with which she may also write her wishes.
///
/// # Errors
/// As [`for_view`].
pub async fn for_citizen(
    state: &State,
    number: &Hidden,
    key: &SigningKey,
) -> Result<TestTokenAnswer, LookUpError> {
    let demo = state.config.demo.as_ref().ok_or(LookUpError::NoSignIn)?;
    let body = bare(state, As::Citizen, number, Some(number), key);
    ask(state, &demo.issuer, &body).await
}

/// What both have in common; the scope is a citizen's.
fn bare(
    state: &State,
    as_: As,
    fnr: &Hidden,
    patient: Option<&Hidden>,
    key: &SigningKey,
) -> TestTokenRequest {
    TestTokenRequest {
        as_,
        fnr: fnr.clone(),
        hpr: None,
        orgnr: None,
        patient: patient.cloned(),
        purpose: Purpose::Treat,
        reason: None,
        point_of_care: None,
        department: None,
        healthcare_service: None,
        purpose_details: None,
        decision_ref: None,
        audience: format!("{}{FHIR}", state.config.gateway),
        scope: "patient/*.rs patient/Consent.cds".to_owned(),
        jkt: key.thumbprint().to_owned(),
        expires_in: Some(300),
        defect: None,
    }
}

async fn ask(
    state: &State,
    issuer: &str,
    body: &TestTokenRequest,
) -> Result<TestTokenAnswer, LookUpError> {
    let request = Request::post_json(format!("{}{TEST_TOKEN}", issuer), body)
        .map_err(|_| LookUpError::Anchor)?;
    let answer = state.house.http.send(&request).await.map_err(|error| {
        tracing::warn!(%error, "the trust anchor gave no answer");
        LookUpError::Anchor
    })?;
    if answer.status.is_client_error() {
        tracing::warn!(
            status = answer.status.as_u16(),
            "the trust anchor refused a test token"
        );
        return Err(LookUpError::NotAllowed);
    }
    answer.json().map_err(|_| LookUpError::Anchor)
}
