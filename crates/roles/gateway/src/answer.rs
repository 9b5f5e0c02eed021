//! The last step before bytes leave: look-up and receipt are on record, durably, and only then there is an answer.

use crate::State;
use crate::account;
use crate::locate::Source;
use crate::merge::{Change, Kin, Merged, Route};
use axum::response::Response;
use fhir::bundle::{SearchMode, SearchsetWriter};
use fhir::time::Instant;
use fhir::{json, systems};
use http::StatusCode;
use serde_json::json;
use store::{Expect, LedgerWrite, OutboxEntry};
use trust::audit::{Counted, Disclosed};
use trust::{Category, Permit};
use wire::contract::ORGANISATION_NUMBER_SYSTEM;
use wire::contract::gateway::{
    CHANGE_EXTENSION, CHANGES_RELATION, DISAGREES_EXTENSION, ROUTE_EXTENSION, SUBSTANCE_EXTENSION,
};
use wire::outcome::{Problem, fhir_response};
use wire::receipt::Receipt;
use wire::visit::{End, Visit};

/// Ledger of receipts by request id, in the consuming organisation's store.
pub const RECEIPTS: &str = "receipt";
/// Ledger beside it: to whom a receipt may be told again ([`receipt_of`]).
pub const RECEIPT_OF: &str = "receipt-of";

/// Stands for whom a look-up of this caller was about and, of a citizen, who looked: personnel of one organisation share a
/// store and may read one another's receipts about the patient they ask about.
pub fn receipt_of(visit: &Visit<'_>) -> [u8; 16] {
    let caller = visit.caller();
    let number = |person: &fhir::ids::PersonIdentifier| {
        format!("{}|{}", person.system(), person.value().expose())
    };
    let patient = caller.patient.as_ref().map(number).unwrap_or_default();
    let who = match &caller.person {
        trust::Person::Citizen { identifier, .. } => number(identifier),
        _ => String::new(),
    };
    visit
        .store()
        .keyed(RECEIPT_OF, format!("{patient} {who}").as_bytes())
}

/// One page as it is to leave.
pub struct Page<'a> {
    /// What was asked, below the gateway's FHIR base.
    pub path: &'a str,
    /// With which parameters, without the person.
    pub parameters: &'a [(String, String)],
    /// Entries, in order.
    pub shown: Vec<Merged>,
    /// Addresses of what was taken back since the caller last looked, with the holder's organisation number.
    pub withdrawn: Vec<(String, String)>,
    /// How many there are in all, where this page holds them all.
    pub total: Option<u64>,
    /// The next page's address.
    pub next: Option<String>,
    /// The address of what will have changed since this answer.
    pub changes: Option<String>,
}

/// A receipt as it was signed and recorded.
pub struct Signed {
    /// The OperationOutcome.
    pub outcome: String,
    /// The status of an answer that holds nothing but the receipt, where nobody answered.
    pub failure: Option<StatusCode>,
}

/// What a look-up gives out, for its record.
#[derive(Default)]
pub struct Gives {
    /// Resources.
    pub disclosed: Vec<Disclosed>,
    /// Series that were counted.
    pub counted: Vec<Counted>,
    /// What is to be delivered besides, durable with the record.
    pub outbox: Vec<OutboxEntry>,
    /// What is to be remembered besides.
    pub ledger: Vec<LedgerWrite>,
}

impl Gives {
    /// The copies that are shown.
    pub fn of(shown: &[Merged]) -> Gives {
        Gives {
            disclosed: shown.iter().filter_map(disclosed).collect(),
            ..Gives::default()
        }
    }
}

/// Signs the receipt and records the look-up: after this, and only then, something may leave.
///
/// # Errors
/// When it cannot be recorded.
pub async fn record(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    sources: &[Source],
    receipt: Receipt,
    gives: Gives,
) -> Result<Signed, End> {
    let mut notices = state.directory.notices();
    notices.extend(state.members.old().map(|at| {
        let at = Instant::from_seconds(at.seconds());
        format!("the trust anchor gives no usable answer: keys, members and agreements are those of {at}")
    }));
    let receipt = receipt.with(visit.ids().ours.to_string(), notices);
    let receipt = state
        .party
        .sign_receipt(receipt)
        .map_err(|_| Problem::bug("a receipt cannot be signed"))?;
    let outcome = receipt.to_json().to_string();
    let mut record = visit.record().permitted(permit);
    let failure = account::failure(&receipt);
    record = match failure {
        Some(_) => record.failed(Category::Unavailable),
        None => record.disclosing(gives.disclosed).counting(gives.counted),
    };
    let mut change = visit.change(record.with_peers(account::peers(sources, &receipt)));
    change.outbox = gives.outbox;
    change.ledger.extend(gives.ledger);
    let key = visit.ids().ours.as_bytes().to_vec();
    for (ledger, value) in [
        (RECEIPTS, outcome.clone().into_bytes()),
        (RECEIPT_OF, receipt_of(visit).to_vec()),
    ] {
        change.ledger.push(LedgerWrite {
            ledger,
            key: key.clone(),
            value: Some(value),
            expect: Expect::Any,
        });
    }
    let committed = visit.commit(change).await?;
    let Some(_on_record) = committed.receipt else {
        return Err(Problem::bug("a commit with an audit record gave no receipt").into());
    };
    Ok(Signed { outcome, failure })
}

/// Signs the receipt, records the look-up, and answers.
///
/// # Errors
/// When it cannot be recorded.
pub async fn give(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    sources: &[Source],
    receipt: Receipt,
    page: Page<'_>,
) -> Result<Response, End> {
    let gives = Gives::of(&page.shown);
    let signed = record(state, visit, permit, sources, receipt, gives).await?;
    Ok(match signed.failure {
        Some(status) => fhir_response(status, signed.outcome),
        None => fhir_response(
            StatusCode::OK,
            searchset(state, &page, signed.outcome.as_bytes()),
        ),
    })
}

/// The copy that is shown, as its holder knows it.
fn disclosed(entry: &Merged) -> Option<Disclosed> {
    let route = entry.routes.first()?;
    Some(Disclosed {
        resource: entry.resource.as_str().to_owned(),
        id: route.id.clone(),
        version: route.version,
    })
}

fn searchset(state: &State, page: &Page<'_>, outcome: &[u8]) -> Vec<u8> {
    let own = wire::paging::self_link(&state.fhir, page.path, page.parameters);
    let mut links = vec![("self", own.as_str())];
    links.extend(page.next.as_deref().map(|url| ("next", url)));
    links.extend(page.changes.as_deref().map(|url| (CHANGES_RELATION, url)));
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
    for (orgnr, url) in &page.withdrawn {
        writer.extended_entry(
            Some(&withdrawn(orgnr, url)),
            Some(url),
            WITHDRAWN.as_bytes(),
            SearchMode::Outcome,
        );
    }
    writer.entry(None, outcome, SearchMode::Outcome);
    writer.finish()
}

/// What stands in the place of a resource that is not there any more.
const WITHDRAWN: &str = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"deleted","diagnostics":"its holder took it back"}]}"#;

fn withdrawn(orgnr: &str, url: &str) -> Vec<u8> {
    json!([
        {"url": ROUTE_EXTENSION, "extension": [
            {"url": "organisation", "valueIdentifier": {"system": ORGANISATION_NUMBER_SYSTEM, "value": orgnr}},
            {"url": "fullUrl", "valueUrl": url},
        ]},
        {"url": CHANGE_EXTENSION, "valueCode": Change::Withdrawn.as_str()},
    ])
    .to_string()
    .into_bytes()
}

/// The lines of other organisations with the same substance, and how the doses stand to each other.
fn same_substance(kin: &Kin) -> Vec<u8> {
    let mut parts = vec![
        json!({"url": "code", "valueCoding": {"system": systems::ATC, "code": kin.atc}}),
        json!({"url": "dose", "valueCode": kin.dose.as_str()}),
    ];
    let others = kin.others.iter();
    parts.extend(others.map(|line| json!({"url": "line", "valueUrl": line})));
    json!({"url": SUBSTANCE_EXTENSION, "extension": parts})
        .to_string()
        .into_bytes()
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
        json::write_string(&mut out, DISAGREES_EXTENSION);
        out.extend_from_slice(b",\"valueBoolean\":true},");
    }
    if let Some(change) = entry.change {
        let change = json!({"url": CHANGE_EXTENSION, "valueCode": change.as_str()});
        out.extend_from_slice(change.to_string().as_bytes());
        out.push(b',');
    }
    if let Some(kin) = &entry.kin {
        out.extend_from_slice(&same_substance(kin));
        out.push(b',');
    }
    out.pop();
    out.push(b']');
    out
}
