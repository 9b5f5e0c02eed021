//! What was not acknowledged but is kept aside, with the reason its sender can read.
//!
//! Key = the sender's client id, a zero byte, and a hash of the entry, so that a resend is not kept twice and a sender reads
//! only its own. Ledger `quarantine` holds the description as JSON, ledger `quarantine-body` the bytes as sent: a list of
//! what is kept does not load it.

use crate::State;
use crate::intake::Refused;
use fhir::json::Node;
use store::{Expect, LedgerWrite};
use wire::contract::hub::{Quarantine, QuarantineEntry};
use wire::visit::Visit;

const LEDGER: &str = "quarantine";
const BODIES: &str = "quarantine-body";
/// Entries shown in one answer.
const SHOWN: usize = 500;
/// Descriptions looked at for one answer: they lie by hash, not by time.
const LOOKED_AT: usize = 10_000;

fn prefix(client: &str) -> Vec<u8> {
    [client.as_bytes(), b"\0"].concat()
}

/// What keeps an entry aside; nothing when it is not one to keep.
pub fn keep(
    state: &State,
    visit: &Visit<'_>,
    refused: &Refused,
    node: Node<'_>,
) -> Vec<LedgerWrite> {
    let Some(reason) = refused.quarantine else {
        return Vec::new();
    };
    let hash = state.desk.store.keyed(LEDGER, node.raw().as_bytes());
    let key = [prefix(&visit.caller().client_id), hash.to_vec()].concat();
    let identifier = node.get("identifier").and_then(|list| {
        let first = list.items().next()?;
        Some(format!(
            "{}|{}",
            first.text("system").unwrap_or_default(),
            first.text("value")?
        ))
    });
    let entry = QuarantineEntry {
        id: hash.iter().map(|b| format!("{b:02x}")).collect(),
        received: visit.now,
        reason: reason.to_owned(),
        identifier,
        request_id: Some(visit.ids().ours.to_string()),
        outcome: serde_json::from_slice(&refused.problem.to_json()).unwrap_or_default(),
    };
    let Ok(description) = serde_json::to_vec(&entry) else {
        return Vec::new();
    };
    let write = |ledger, key, value| LedgerWrite {
        ledger,
        key,
        value: Some(value),
        expect: Expect::Any,
    };
    vec![
        write(LEDGER, key.clone(), description),
        write(BODIES, key, node.raw().as_bytes().to_vec()),
    ]
}

/// A sender's own entries, newest first.
pub async fn of(state: &State, client: &str) -> Result<Quarantine, store::StoreError> {
    let kept = state
        .desk
        .store
        .ledger_scan(LEDGER, &prefix(client), None, LOOKED_AT)
        .await?;
    let mut entries: Vec<QuarantineEntry> = kept
        .iter()
        .filter_map(|entry| serde_json::from_slice(&entry.value).ok())
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.received));
    entries.truncate(SHOWN);
    Ok(Quarantine { entries })
}
