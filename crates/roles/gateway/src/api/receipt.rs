//! A receipt again, as it was signed and answered (CONTRACT section 7), and the key that it was signed with.
//!
//! It is told to whoever may have had it: for the same patient, to personnel of the organisation that looked up, or to the
//! citizen who did. To everybody else no such receipt is there.

use super::received;
use crate::State;
use crate::answer::{RECEIPT_OF, RECEIPTS, receipt_of};
use axum::extract::{self, Path, Request};
use axum::response::{IntoResponse, Response};
use fhir::resource::ResourceType;
use http::{StatusCode, header};
use std::sync::Arc;
use trust::audit::Disclosed;
use trust::{Ask, Interaction};
use uuid::Uuid;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;

/// `GET {gateway}/fhir/OperationOutcome/{id}`; the id is that of the receipt, which is its answer's `X-Request-Id`.
pub async fn read(
    extract::State(state): extract::State<Arc<State>>,
    Path(id): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    received(state, parts, ids, Interaction::Read, move |_, visit, _| {
        Box::pin(async move {
            let ask = Ask::of(Interaction::Read, ResourceType::OPERATION_OUTCOME);
            let permit = visit.permit(&ask)?;
            let key = id.parse::<Uuid>().map_err(|_| Problem::not_found())?;
            let store = visit.store();
            let theirs = store.ledger_get(RECEIPT_OF, key.as_bytes()).await?;
            let theirs = theirs.is_some_and(|row| row.value[..] == receipt_of(visit)[..]);
            let kept = match theirs {
                true => store.ledger_get(RECEIPTS, key.as_bytes()).await?,
                false => None,
            };
            let Some(kept) = kept else {
                return Err(Problem::not_found().into());
            };
            let told = Disclosed {
                resource: ResourceType::OPERATION_OUTCOME.as_str().to_owned(),
                id: key.to_string(),
                version: 1,
            };
            let record = visit.record().permitted(&permit).disclosing(vec![told]);
            visit.write(record).await?;
            Ok(fhir_response(StatusCode::OK, kept.value.clone()))
        })
    })
    .await
}

/// `GET {gateway}/jwks`: the key that signs receipts, as a key set (RFC 7517).
pub async fn keys(extract::State(state): extract::State<Arc<State>>) -> Response {
    let keys = state.party.public_keys().to_string();
    ([(header::CONTENT_TYPE, "application/jwk-set+json")], keys).into_response()
}
