//! Bundles posted to the base (CONTRACT section 6; FHIR R4 http.html#transaction): `collection` and `batch`, each entry
//! alone and answered in order (`batch`), and `transaction`, all or nothing ([`super::transaction`]).
//!
//! An entry that asks for something is understood in `asked`, carried out as if it had come alone in `alone`, and answered
//! in `answer`.

pub(super) mod alone;
pub(super) mod answer;
pub(super) mod asked;
mod batch;

use crate::State;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::bundle::{BundleType, Entry};
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// `POST {base}`.
pub async fn bundle(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| take(&state, visit, &parts, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Batch, work)
        .await
}

async fn take(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Batch, ResourceType::BUNDLE));
    let bytes = wire::body::fhir_json(&parts.headers, body, Limits::BUNDLE.bytes).await?;
    let json = Json::parse(bytes, Limits::BUNDLE)?;
    let root = json.root();
    let kind = BundleType::of(root).map_err(|issue| Problem::invalid_all(vec![issue]));
    let permit = match permit {
        Ok(permit) => Some(permit),
        // Whoever may not write here may still read: then each entry is asked for on its own.
        Err(_) if kind.is_ok() && only_reads(&json) => None,
        Err(end) => return Err(end),
    };
    match kind? {
        BundleType::Collection | BundleType::Batch => {
            batch::carry_out(state, visit, parts, &json, permit.as_ref()).await
        }
        BundleType::Transaction => {
            super::transaction::carry_out(state, visit, parts, &json, permit.as_ref()).await
        }
        other => {
            let words = format!(
                "a {} is not taken here; send collection, batch or transaction",
                other.code()
            );
            Err(Problem::not_supported("Bundle.type", words).into())
        }
    }
}

/// Whether every entry asks to read, and there is one.
fn only_reads(json: &Json) -> bool {
    let mut entries = fhir::bundle::entries(json.root()).peekable();
    entries.peek().is_some()
        && entries.all(|entry: Entry<'_>| entry.method().as_deref() == Some("GET"))
}
