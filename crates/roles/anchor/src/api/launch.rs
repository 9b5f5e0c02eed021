//! `POST /launch`: a record system that proved itself deposits what it will open an app for (SMART App Launch 2.2, "EHR launch"):
//! which app, which of its people, which patient, why. It gets a handle for the browser to carry; nothing else goes that way.

use crate::authenticate::{self, Known};
use crate::kept::{self, Ledger};
use crate::launch::{Deposit, LIFETIME_SECONDS};
use crate::{State, issue};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::Expect;
use trust::audit::Record;
use wire::contract::launch::{LAUNCH, Launch};
use wire::form;
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// The endpoint for deposits.
pub(crate) async fn launch(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut response = match answer(&state, &ids, &headers, body).await {
        Ok(answer) => wire::outcome::json_response(StatusCode::CREATED, &answer),
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .extend(authenticate::nonce_header(&state));
    response
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    body: Body,
) -> Result<Launch, OAuthError> {
    let form = form::read(headers, body).await?.once()?;
    let Known {
        client,
        assertion,
        details,
    } = match authenticate::client(state, headers, &form) {
        Ok(known) => known,
        Err(refused) => {
            return Err(authenticate::on_record(state, ids, refused, "launch").await);
        }
    };
    let proof = match authenticate::proof(state, headers, LAUNCH) {
        Ok(proof) => proof,
        Err(error) => {
            let refused = (error, Some((client, assertion)));
            return Err(authenticate::on_record(state, ids, refused, "launch").await);
        }
    };
    let until = (state.house.clock)().seconds() + i64::from(LIFETIME_SECONDS);
    let read = || {
        if !details.is_empty() {
            return Err(OAuthError::new(
                OAuthCode::InvalidAuthorizationDetails,
                "a launch carries authorization_details, not assertion_details",
            ));
        }
        let deposit = Deposit::read(state, client, &form, until)?;
        let (handle, place) = kept::secret(state, Ledger::Launch, until);
        let write = kept::put(state, &place, &deposit, Expect::Absent)
            .map_err(|_| OAuthError::new(OAuthCode::InvalidRequest, "the launch is too long"))?;
        Ok((deposit, handle, write))
    };
    let replays = vec![assertion, proof.replay];
    match read() {
        Ok((deposit, handle, write)) => {
            let asked = format!("launch&app={}", deposit.app);
            let record = about(issue::record(state, ids, client, &asked), &deposit);
            issue::spend_once(state, replays, record, vec![write]).await?;
            Ok(Launch {
                launch: handle.into(),
                expires_in: LIFETIME_SECONDS,
            })
        }
        Err(error) => {
            let mut record = issue::record(state, ids, client, "launch");
            record.outcome = issue::refused("launch", error.code);
            issue::spend_once(state, replays, record, Vec::new()).await?;
            Err(error)
        }
    }
}

/// What the record system says of the need. Who it named has not signed in yet, and stands in no record as one who did.
fn about(mut record: Record, deposit: &Deposit) -> Record {
    let statement = &deposit.statement;
    let care = &statement.care_relationship;
    record.patient = statement
        .patients
        .first()
        .and_then(|one| one.identifier.person());
    record.purpose.clone_from(&care.purpose_of_use);
    record
        .purpose_details
        .clone_from(&care.purpose_of_use_details);
    record.decision_ref.clone_from(&care.decision_ref);
    record.reason.clone_from(&care.reason);
    record.toa = Some(statement.toa);
    record
}
