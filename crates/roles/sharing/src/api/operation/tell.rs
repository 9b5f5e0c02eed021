//! `POST {base}/Task/$tell`: another organisation's service offers an alert, or answers an offer. Heard of organisations that
//! the configuration names alone, each for itself: its token, and its signature on the message.

use crate::State;
use crate::alert::Heard;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use trust::{Ask, Category, Interaction, Refusal};
use wire::contract::alert::{MOST_BYTES, Told, Word};
use wire::members::StatementError;
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

const NO_PARTNER: Refusal = Refusal {
    rule: "hand-over",
    category: Category::Forbidden,
    code: "no_partner",
    message: "alerts are not handed over between this service and the organisation that asks",
};

/// Seconds until what cannot be judged now may be said again.
const AGAIN: u32 = 5;

/// Takes one message. 200 for what was heard, also before.
pub async fn tell(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| taken(&state, visit, &parts, body).await;
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::AlertTold, work).await
}

async fn taken(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::AlertTold, ResourceType::TASK))?;
    let caller = visit.caller().organisation;
    let partners = state.config.hand_over.iter();
    let own = |one: &&crate::Partner| {
        caller.is_some_and(|number| state.config.register.main_unit(number) == one.organisation)
    };
    let mut partners = partners.filter(|_| state.config.assessment.is_some());
    let Some(from) = partners.find(own) else {
        return Err(End::Refused(NO_PARTNER));
    };
    if !wire::body::media_type_is(&parts.headers, &["application/json"]) {
        return Err(Problem::unsupported_media_type("application/json").into());
    }
    let bytes = wire::body::limited(&parts.headers, body, MOST_BYTES)
        .await
        .map_err(|_| Problem::too_large(MOST_BYTES))?;
    let refused = |place: &str, words: &str| {
        Problem::unprocessable(vec![Issue::error(IssueCode::BusinessRule, place, words)])
    };
    let told: Told = serde_json::from_slice(&bytes)
        .map_err(|_| refused("message", "one signed message was expected"))?;
    let members = state.members.current().await;
    let mut verified = members.map(|all| all.verify_message(&told.message, visit.now));
    if !matches!(verified, Some(Ok(_))) {
        // A key may be new.
        let members = state.members.renewed().await;
        verified = members.map(|all| all.verify_message(&told.message, visit.now));
    }
    let Some(verified) = verified else {
        let words = "the anchor's documents cannot be had";
        return Err(Problem::unavailable(AGAIN, words).into());
    };
    let message = verified.map_err(|why| match why {
        // What is known of its signer here may be old, or a clock wrong: to be said again, not lost.
        StatementError::Signer | StatementError::Times => {
            Problem::unavailable(AGAIN, why.to_string())
        }
        _ => refused("message", &why.to_string()),
    })?;
    visit.asked(&format!("{} {}", message.said.code(), message.offer));
    if message.iss != from.organisation.to_string() || message.aud != state.base {
        return Err(refused("message", "it is not its sender's, or not for this service").into());
    }
    for text in std::iter::once(&message.by).chain(&message.note) {
        if let Some(words) = super::alert::text_fault(text) {
            return Err(refused("message", words).into());
        }
    }
    let (heard, about) = state.hear(from, &message).await?;
    let record = visit.record().about(about);
    match heard {
        Heard::Change(change, queue) => {
            let own = visit.change(record.permitted(&permit));
            let change = store::Change {
                audit: own.audit,
                replays: own.replays,
                ..*change
            };
            visit.commit(change).await?;
            state.raised(queue);
        }
        Heard::Known => {
            visit.write(record.permitted(&permit)).await?;
        }
        Heard::Not(why) => {
            visit.write(record.failed(Category::Invalid)).await?;
            return Err(End::Audited(refused("message", why)));
        }
    }
    if message.said == Word::Offer {
        state.wait_for(message.offer).await?;
    }
    let heard = crate::api::written::told("heard");
    Ok(fhir_response(StatusCode::OK, heard.to_json()))
}
