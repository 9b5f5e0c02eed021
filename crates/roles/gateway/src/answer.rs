//! The last step before bytes leave: look-up and receipt are on record, durably, and only then there is an answer.

use crate::State;
use crate::account;
use crate::locate::Source;
use crate::merge::{Merged, Route};
use crate::question::Question;
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::json;
use http::StatusCode;
use store::{Expect, LedgerWrite};
use trust::audit::Disclosed;
use trust::{Category, Permit};
use wire::contract::gateway::ROUTE_EXTENSION;
use wire::contract::{CANONICAL, ORGANISATION_NUMBER_SYSTEM};
use wire::outcome::{Problem, fhir_response};
use wire::receipt::Receipt;
use wire::visit::{End, Visit};

/// Ledger of receipts by request id, in the consuming organisation's store.
pub const RECEIPTS: &str = "receipt";

/// One page as it is to leave.
pub struct Page {
    /// Entries, in order.
    pub shown: Vec<Merged>,
    /// How many there are in all, where this page holds them all.
    pub total: Option<u64>,
    /// The next page's address.
    pub next: Option<String>,
}

/// Signs the receipt, records the look-up, and answers.
///
/// # Errors
/// When it cannot be recorded.
pub async fn give(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    question: &Question,
    sources: &[Source],
    receipt: Receipt,
    page: Page,
) -> Result<Response, End> {
    let receipt = state
        .party
        .sign_receipt(receipt)
        .map_err(|_| Problem::bug("a receipt cannot be signed"))?;
    let outcome = receipt.to_json().to_string();
    let mut record = visit.record().permitted(permit);
    let failure = account::failure(&receipt);
    record = match failure {
        Some(_) => record.failed(Category::Unavailable),
        None => record.disclosing(
            page.shown
                .iter()
                .filter_map(|entry| disclosed(question, entry))
                .collect(),
        ),
    };
    let mut change = visit.change(record.with_peers(account::peers(sources, &receipt)));
    change.ledger.push(LedgerWrite {
        ledger: RECEIPTS,
        key: visit.ids().ours.as_bytes().to_vec(),
        value: Some(outcome.clone().into_bytes()),
        expect: Expect::Any,
    });
    let committed = visit.commit(change).await?;
    let Some(_on_record) = committed.receipt else {
        return Err(Problem::bug("a commit with an audit record gave no receipt").into());
    };
    Ok(match failure {
        Some(status) => fhir_response(status, outcome),
        None => fhir_response(
            StatusCode::OK,
            searchset(state, question, &page, outcome.as_bytes()),
        ),
    })
}

/// The copy that is shown, as its holder knows it.
fn disclosed(question: &Question, entry: &Merged) -> Option<Disclosed> {
    let route = entry.routes.first()?;
    Some(Disclosed {
        resource: question.resource.as_str().to_owned(),
        id: route.id.clone(),
        version: route.version,
    })
}

fn searchset(state: &State, question: &Question, page: &Page, outcome: &[u8]) -> Vec<u8> {
    let own = wire::paging::self_link(
        &state.fhir,
        question.resource.as_str(),
        &question.own_link(),
    );
    let mut links = vec![("self", own.as_str())];
    links.extend(page.next.as_deref().map(|url| ("next", url)));
    let mut writer = SearchsetWriter::new(page.total, &links);
    for entry in &page.shown {
        let url = entry.routes.first().map(|route| route.full_url.as_str());
        writer.extended_entry(
            Some(&extensions(entry)),
            url,
            &entry.body,
            SearchMode::Match,
        );
    }
    writer.entry(None, outcome, SearchMode::Outcome);
    writer.finish()
}

/// The entry's extensions: one for each road it came by, and whether another entry says otherwise.
fn extensions(entry: &Merged) -> Vec<u8> {
    let mut out = vec![b'['];
    for Route {
        orgnr, full_url, ..
    } in &entry.routes
    {
        let parts = [
            ("{\"url\":", ROUTE_EXTENSION),
            (
                ",\"extension\":[{\"url\":\"organisation\",\"valueIdentifier\":{\"system\":",
                ORGANISATION_NUMBER_SYSTEM,
            ),
            (",\"value\":", orgnr),
            ("}},{\"url\":\"fullUrl\",\"valueUrl\":", full_url),
        ];
        for (name, value) in parts {
            out.extend_from_slice(name.as_bytes());
            json::write_string(&mut out, value);
        }
        out.extend_from_slice(b"}]},");
    }
    if entry.disagrees {
        out.extend_from_slice(b"{\"url\":");
        json::write_string(
            &mut out,
            &format!("{CANONICAL}/StructureDefinition/disagrees"),
        );
        out.extend_from_slice(b",\"valueBoolean\":true},");
    }
    out.pop();
    out.push(b']');
    out
}
