//! `$publish`: an organisation states its own entries. Each statement is verified by the anchor's documents, judged, and kept;
//! all of a request, or none.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use http::StatusCode;
use http::request::Parts;
use trust::audit::Disclosed;
use trust::{Ask, Category, Interaction, Refusal};
use wire::contract::statement::{self, MAX_STATEMENTS, Statements, Taken};
use wire::members::{Believed, Members, StatementError};
use wire::outcome::{Problem, json_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

use crate::State;
use crate::accept::{self, Bench};
use crate::record;

/// Largest body, in bytes: a region's largest shared register has some tens of members.
const BODY: usize = 512 * 1024;

/// Whose signature it is cannot be told, or it is not the owner's.
const UNSIGNED: Refusal = Refusal {
    rule: "catalogue-signature",
    category: Category::Forbidden,
    code: "not_signed_by_owner",
    message: "a statement is not signed by a key of the owner, or of a supplier that processes for the owner",
};

/// The caller belongs to no organisation.
const NOBODY: Refusal = Refusal {
    rule: "catalogue-owner",
    category: Category::Forbidden,
    code: "not_owner",
    message: "the caller belongs to no organisation",
};

/// `POST {base}/fhir/$publish`: 200 and the entries with their versions.
pub async fn publish(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let mut visit = state
        .desk
        .receive(&parts, ids, Interaction::Publish)
        .await?;
    let answered = take(&state, &mut visit, &parts, body).await;
    record::finish(visit, answered).await
}

async fn take(
    state: &State,
    visit: &mut Visit<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Response, End> {
    let permit = visit.permit(&Ask::of(Interaction::Publish, ResourceType::ENDPOINT))?;
    let caller = visit.caller().organisation;
    let bringer = caller.ok_or(End::Refused(NOBODY))?;
    let bringer = state.register().main_unit(bringer);
    let brought: Statements = wire::body::json(&parts.headers, body, BODY).await?;
    let count = brought.statements.len();
    visit.asked(&format!("statements={count}"));
    accept::countable(count, MAX_STATEMENTS)?;
    let (members, believed) = verified(state, visit, &brought.statements).await?;

    let _turn = state.turn.lock().await;
    let shelf = state.shelf();
    let bench = Bench {
        members: &members,
        shelf: &shelf,
        policy: state.house.http.policy(),
        now: visit.now,
        bringer,
    };
    let mut seen = HashSet::new();
    let mut about = Vec::with_capacity(count);
    let mut changed = Vec::new();
    for (jws, believed) in brought.statements.iter().zip(&believed) {
        let (resource_type, id, kept) = accept::judge(jws, believed, &bench)?;
        if !seen.insert((resource_type, id.clone())) {
            let words = "two statements about one entry";
            return Err(Problem::invalid(IssueCode::Duplicate, "statements", words).into());
        }
        about.push((resource_type, id));
        changed.extend(kept);
    }
    let mut planned = shelf.plan(changed)?;
    let written = planned.entries.iter().map(|entry| Disclosed {
        resource: entry.resource_type.as_str().to_owned(),
        id: entry.id.clone(),
        version: entry.version,
    });
    let record = visit
        .record()
        .permitted(&permit)
        .disclosing(written.collect());
    let mut change = visit.change(record::without_patient(record));
    change.ledger.append(&mut planned.ledger);
    visit.commit(change).await?;
    let after = shelf.after(planned, visit.store()).await?;
    let taken = about.iter().map(|(resource_type, id)| statement::Entry {
        resource: format!("{resource_type}/{id}"),
        version: after
            .get(*resource_type, id)
            .map_or(0, |entry| entry.version),
    });
    let taken = Taken {
        taken: taken.collect(),
    };
    state.lay(after);
    Ok(json_response(StatusCode::OK, &taken))
}

/// Every statement verified; once more with fresh documents where a signer was not known.
async fn verified(
    state: &State,
    visit: &Visit<'_>,
    statements: &[String],
) -> Result<(Arc<Members>, Vec<Believed>), End> {
    let unknown = || Problem::unavailable(10, "the anchor's documents are not at hand; try again");
    let verify = |members: &Members| {
        let each = statements.iter().map(|jws| members.verify(jws, visit.now));
        each.collect::<Result<Vec<_>, _>>()
    };
    let mut members = state.members.current().await.ok_or_else(unknown)?;
    let mut believed = verify(&members);
    if believed == Err(StatementError::Signer) {
        members = state.members.renewed().await.ok_or_else(unknown)?;
        believed = verify(&members);
    }
    match believed {
        Ok(believed) => Ok((members, believed)),
        Err(StatementError::Signer) => Err(End::Refused(UNSIGNED)),
        Err(error) => {
            let words = error.to_string();
            Err(Problem::invalid(IssueCode::Value, "statements", words).into())
        }
    }
}
