//! Versions: an entry whose content is another than at the last start gets the next number and the time of this start.

use serde_json::json;
use store::{Change, Expect, LedgerEntry, LedgerWrite, Store, StoreError};

use crate::entry::Entry;

/// Ledger of entries: key `Type/id`, value the resource without `meta`. The ledger's own version is the entry's.
const LEDGER: &str = "entry";

/// Writes what changed, in one commit, and gives every entry its `meta`.
pub async fn stamp(store: &Store, entries: &mut [Entry]) -> Result<(), StoreError> {
    let mut ledger = Vec::new();
    for entry in &*entries {
        let value = entry.resource.to_string().into_bytes();
        let held = held(store, entry).await?;
        if held.as_ref().is_none_or(|held| held.value != value) {
            ledger.push(LedgerWrite {
                ledger: LEDGER,
                key: key(entry),
                value: Some(value),
                expect: held.map_or(Expect::Absent, |held| Expect::Version(held.version)),
            });
        }
    }
    if !ledger.is_empty() {
        let change = Change {
            ledger,
            ..Change::default()
        };
        store.commit(change).await?;
    }
    for entry in entries {
        let held = held(store, entry)
            .await?
            .ok_or(StoreError::Damaged("an entry just written is not there"))?;
        entry.version = held.version;
        entry.set(
            "meta",
            json!({"versionId": held.version.to_string(), "lastUpdated": held.updated}),
        );
    }
    Ok(())
}

async fn held(store: &Store, entry: &Entry) -> Result<Option<LedgerEntry>, StoreError> {
    store.ledger_get(LEDGER, &key(entry)).await
}

fn key(entry: &Entry) -> Vec<u8> {
    format!("{}/{}", entry.resource_type, entry.id).into_bytes()
}
