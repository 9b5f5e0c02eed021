//! The versions of one reading that were taken in: which answer each got, and which is the newest.
//!
//! A version is known by the digest of its content, and gets its first answer at every repeat, also after a correction. Corrections
//! are in the order that their sender states (FHIR R4: `issued`, "this version was made available", or of answers `authored`; where
//! not both versions have it, `meta.lastUpdated`), else in the order in which they come. One that is older than what is known is not
//! delivered over it, but kept aside. What is taken back (`entered-in-error`) always goes: it says that something was never so.
//!
//! Ledger `superseded`, by the key of a version that was taken in: the key of the one that came after. A dead letter of the former is
//! not delivered any more. It is forgotten with the deliveries.

use fhir::json::Node;
use fhir::time::{Instant, parse_instant};
use serde::{Deserialize, Serialize};
use store::{Change, Expect, LedgerWrite, Store, StoreError};

const SUPERSEDED: &str = "superseded";
/// Earlier versions of a reading that are known at most; a repeat of one that came before those is judged by its time.
const EARLIER: usize = 32;
/// How far a sender's clock may be ahead, in microseconds.
const LEEWAY: i64 = 10_000_000;
/// Entries looked at in one step of forgetting.
const PAGE: usize = 1_000;

/// What the ledger remembers of a reading: nothing clinical.
#[derive(Serialize, Deserialize)]
pub struct Known {
    /// The newest version's key.
    pub key: String,
    /// Of its content.
    digest: [u8; 32],
    /// When it was made, as its sender says.
    #[serde(default)]
    said: Said,
    /// What came before it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Earlier>,
}

#[derive(Serialize, Deserialize)]
struct Earlier {
    key: String,
    digest: [u8; 32],
}

/// When a version was made, as its sender says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// `issued`, or `authored`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued: Option<Instant>,
    /// `meta.lastUpdated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<Instant>,
    /// Whether it takes back what was said before.
    #[serde(default, skip_serializing_if = "is_false")]
    taken_back: bool,
}

fn is_false(one: &bool) -> bool {
    !one
}

impl Said {
    /// Of a resource as it was sent. A time that is none says nothing; nor does one that is not yet, or a clock that is ahead would
    /// keep every later correction out.
    pub fn of(resource: Node<'_>, now: Instant) -> Self {
        let latest = now.0.saturating_add(LEEWAY);
        let time = |node: Option<Node<'_>>| {
            let at = parse_instant(&node?.str()?).ok()?;
            (at.0 <= latest).then_some(at)
        };
        Self {
            issued: time(resource.get("issued").or_else(|| resource.get("authored"))),
            updated: time(resource.path(&["meta", "lastUpdated"])),
            taken_back: resource.text("status").as_deref() == Some("entered-in-error"),
        }
    }

    /// Whether it was made before `other`, where both say when in the same words.
    fn before(&self, other: &Said) -> Option<bool> {
        let both = |one: Option<Instant>, other: Option<Instant>| Some(one? < other?);
        both(self.issued, other.issued).or_else(|| both(self.updated, other.updated))
    }
}

impl Known {
    /// Of one that is new.
    pub fn new(key: String, digest: [u8; 32], said: Said) -> Self {
        Self {
            key,
            digest,
            said,
            earlier: Vec::new(),
        }
    }

    /// As it was kept.
    ///
    /// # Errors
    /// Damaged.
    pub fn read(value: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(value).map_err(|_| StoreError::Damaged("a known reading"))
    }

    /// The key of the version with this content.
    pub fn answered(&self, digest: &[u8; 32]) -> Option<&str> {
        let newest = (self.digest == *digest).then_some(self.key.as_str());
        let mut earlier = self.earlier.iter().rev();
        newest.or_else(|| Some(earlier.find(|one| one.digest == *digest)?.key.as_str()))
    }

    /// Whether a correction that says this is older than the newest version, which was taken in at `taken`. `came`: since when the
    /// correction lay aside, if it did.
    pub fn is_after(&self, said: &Said, came: Option<Instant>, taken: Instant) -> bool {
        let older = said.before(&self.said);
        !said.taken_back && older.unwrap_or_else(|| came.is_some_and(|came| came < taken))
    }

    /// The same with a newer version.
    pub fn corrected(mut self, key: String, digest: [u8; 32], said: Said) -> Self {
        let (former, of) = (std::mem::replace(&mut self.key, key), self.digest);
        self.earlier.push(Earlier {
            key: former,
            digest: of,
        });
        let over = self.earlier.len().saturating_sub(EARLIER);
        self.earlier.drain(..over);
        self.digest = digest;
        self.said = said;
        self
    }

    /// The keys of all versions.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let earlier = self.earlier.iter().map(|one| one.key.as_str());
        std::iter::once(self.key.as_str()).chain(earlier)
    }
}

/// What remembers that `later` came after `former`.
pub fn superseded(former: &str, later: &str) -> LedgerWrite {
    LedgerWrite {
        ledger: SUPERSEDED,
        key: former.as_bytes().to_vec(),
        value: Some(later.as_bytes().to_vec()),
        expect: Expect::Any,
    }
}

/// The key of the version that came after `key`, if one did.
///
/// # Errors
/// Of the store.
pub async fn later(store: &Store, key: &str) -> Result<Option<String>, StoreError> {
    let entry = store.ledger_get(SUPERSEDED, key.as_bytes()).await?;
    Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
}

/// Forgets it with the deliveries of the former.
///
/// # Errors
/// Of the store.
pub async fn forget(store: &Store) -> Result<(), StoreError> {
    let mut pages = store.ledger_pages(SUPERSEDED, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page {
            let key = String::from_utf8_lossy(&entry.key);
            if !store.outbox_by_key(&key).await?.is_empty() {
                continue;
            }
            let gone = LedgerWrite {
                ledger: SUPERSEDED,
                key: entry.key,
                value: None,
                expect: Expect::Any,
            };
            let change = Change {
                ledger: vec![gone],
                ..Change::default()
            };
            store.commit(change).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(issued: Option<i64>, updated: Option<i64>) -> Said {
        Said {
            issued: issued.map(Instant),
            updated: updated.map(Instant),
            taken_back: false,
        }
    }

    #[test]
    fn what_is_said_in_the_same_words_orders_versions_and_else_their_coming() {
        let taken = Instant(100);
        for (known, new, came, older) in [
            // `issued` decides before `lastUpdated`; the same moment is not older.
            ((Some(5), Some(9)), (Some(4), Some(99)), None, true),
            ((Some(5), None), (Some(5), None), None, false),
            ((Some(5), None), (Some(6), None), Some(50), false),
            // Where not both have `issued`, `lastUpdated`.
            ((None, Some(9)), (Some(1), Some(8)), None, true),
            ((Some(1), Some(9)), (None, Some(9)), None, false),
            // Nothing to compare: as they came, and what lay aside came when it was put there.
            ((Some(5), None), (None, Some(1)), None, false),
            ((None, None), (None, None), Some(99), true),
            ((None, None), (None, None), Some(100), false),
        ] {
            let known = Known::new("a".into(), [1; 32], said(known.0, known.1));
            let new = said(new.0, new.1);
            let came = came.map(Instant);
            assert_eq!(known.is_after(&new, came, taken), older, "{new:?}");
            let back = Said {
                taken_back: true,
                ..new
            };
            assert!(!known.is_after(&back, came, taken), "taken back");
        }
    }

    #[test]
    fn each_of_so_many_versions_keeps_its_answer() {
        let digest = |n: usize| [u8::try_from(n).unwrap_or_default(); 32];
        let mut known = Known::new("0".into(), digest(0), Said::default());
        for n in 1..40 {
            known = known.corrected(n.to_string(), digest(n), Said::default());
        }
        for n in 0..40 {
            let there = (39 - EARLIER..40).contains(&n).then(|| n.to_string());
            assert_eq!(known.answered(&digest(n)), there.as_deref(), "{n}");
        }
        assert_eq!(known.keys().count(), EARLIER + 1);
    }
}
