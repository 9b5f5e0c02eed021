//! What was not acknowledged but is kept aside, with the reason its sender can read.
//!
//! Ledger `quarantine`: key = the sender's client id, a zero byte, and a hash of the entry, so that a resend is not kept
//! twice and a sender reads only its own. The value is the description as one JSON line and then the bytes as sent.

use crate::State;
use crate::intake::Refused;
use fhir::json::Node;
use store::{Expect, LedgerWrite};
use wire::contract::hub::{Quarantine, QuarantineEntry};
use wire::visit::Visit;

const LEDGER: &str = "quarantine";
/// Entries shown in one answer.
const SHOWN: usize = 500;

fn prefix(client: &str) -> Vec<u8> {
    [client.as_bytes(), b"\0"].concat()
}

/// Keeps an entry aside; `None` when it is not one to keep.
pub fn keep(state: &State, visit: &Visit<'_>, refused: &Refused, node: Node<'_>) -> Option<LedgerWrite> {
    let reason = refused.quarantine?;
    let hash = state.desk.store.keyed(LEDGER, node.raw().as_bytes());
    let key = [prefix(&visit.caller().client_id), hash.to_vec()].concat();
    let identifier = node.get("identifier").and_then(|list| {
        let first = list.items().next()?;
        Some(format!("{}|{}", first.text("system").unwrap_or_default(), first.text("value")?))
    });
    let entry = QuarantineEntry {
        id: hash.iter().map(|b| format!("{b:02x}")).collect(),
        received: visit.now,
        reason: reason.to_owned(),
        identifier,
        request_id: Some(visit.ids().ours.to_string()),
        outcome: serde_json::from_slice(&refused.problem.to_json()).ok()?,
    };
    let mut value = serde_json::to_vec(&entry).ok()?;
    value.push(b'\n');
    value.extend_from_slice(node.raw().as_bytes());
    Some(LedgerWrite { ledger: LEDGER, key, value: Some(value), expect: Expect::Any })
}

/// A sender's own entries, newest first.
pub async fn of(state: &State, client: &str) -> Result<Quarantine, store::StoreError> {
    let kept = state.desk.store.ledger_scan(LEDGER, &prefix(client), None, SHOWN).await?;
    let described = |value: &[u8]| {
        let line = value.split(|b| *b == b'\n').next()?;
        serde_json::from_slice::<QuarantineEntry>(line).ok()
    };
    let mut entries: Vec<QuarantineEntry> = kept.iter().filter_map(|entry| described(&entry.value)).collect();
    entries.sort_by(|a, b| b.received.cmp(&a.received));
    Ok(Quarantine { entries })
}
