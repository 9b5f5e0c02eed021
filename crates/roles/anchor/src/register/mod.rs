//! The register as operators change it: documents on top of the configuration, each signed by whom it binds. What counts is
//! read off the list of changes; here it is put together with the configuration, by the same checks that the configuration
//! itself passes, the law's included.

mod document;
mod merge;
mod order;
mod representation;

pub(crate) use document::{Document, Held};
pub(crate) use merge::merged;
pub(crate) use order::{register, registered};
pub(crate) use representation::{is_known, unseal};

use fhir::ids::OrganisationNumber;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trust::encoding::{from_base64url, sha256};
use trust::keys::KeySet;
use wire::contract::operate::{Action, ChangeDocument, Kind, RegisterOrder, Signed};
use wire::contract::register::Registered;

/// A question to the law about what is registered, together with the configuration; the answer is what it refuses, in words.
pub type Question = dyn Fn(&Registered) -> Vec<String> + Send + Sync;

/// The law, as the anchor is given it.
#[derive(Clone)]
pub struct Law(pub Arc<Question>);

impl std::fmt::Debug for Law {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Law")
    }
}

/// Everything that was registered by orders: the newest document of each, with its signatures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    held: BTreeMap<(u8, String), Held>,
    /// Hashes of texts that another has taken the place of. Signatures over them still verify, and count no more.
    replaced: BTreeSet<((u8, String), [u8; 32])>,
    /// How many registrations there were.
    edition: u64,
}

fn place(kind: Kind, id: &str) -> (u8, String) {
    (kind as u8, id.to_owned())
}

impl Book {
    /// Takes the next change in; what is no registration passes by.
    pub(crate) fn apply(&mut self, change: &ChangeDocument) {
        let order = change
            .order
            .as_deref()
            .filter(|_| change.action == Action::Register);
        let Some(order) = order.and_then(order_in) else {
            return;
        };
        // What does not read was not let in.
        let Ok(document) = Document::parse(change.kind, &order.document) else {
            return;
        };
        self.edition += 1;
        let key = place(change.kind, &change.id);
        let before = self.held.remove(&key);
        if let Some(other) = before.as_ref().filter(|held| held.text != order.document) {
            let hash = sha256(other.text.as_bytes());
            self.replaced.insert((key.clone(), hash));
        }
        let before = before.filter(|held| held.text == order.document);
        let mut signatures = before.map(|held| held.signatures).unwrap_or_default();
        for one in order.signatures {
            if !signatures.contains(&one) {
                signatures.push(one);
            }
        }
        let held = Held {
            kind: change.kind,
            id: change.id.clone(),
            text: order.document,
            signatures,
            signed_by: change.signed_by.clone(),
            document,
        };
        self.held.insert(key, held);
    }

    /// Takes in one that lay sealed beside the list.
    fn put(&mut self, held: Held) {
        self.held.insert(place(held.kind, &held.id), held);
    }

    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<&Held> {
        self.held.get(&place(kind, id))
    }

    /// Whether another text has taken this one's place.
    pub(crate) fn was_replaced(&self, kind: Kind, id: &str, text: &str) -> bool {
        let hash = sha256(text.as_bytes());
        self.replaced.contains(&(place(kind, id), hash))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(crate) fn edition(&self) -> u64 {
        self.edition
    }
}

/// What a kept order says; it was verified before it was kept.
fn order_in(compact: &str) -> Option<RegisterOrder> {
    let payload = from_base64url(compact.split('.').nth(1)?)?;
    let signed: Signed<RegisterOrder> = serde_json::from_slice(&payload).ok()?;
    Some(signed.order)
}

/// The keys by which an organisation signs documents.
pub(crate) fn keys_of<'a>(
    config: &'a crate::Config,
    orgnr: &OrganisationNumber,
) -> Option<&'a KeySet> {
    let mut all = config.participants.iter();
    all.find(|one| one.orgnr == *orgnr).map(|one| &one.keys)
}
