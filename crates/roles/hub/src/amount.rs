//! How much a record system gets of the readings, by rules that its organisation states as data: everything, what the source itself
//! marked, or nothing of a kind of measurement. The sharing service always gets everything, and so does a record system where there is none.
//!
//! The hub interprets nothing: marked is what carries an `interpretation` other than normal (HL7 ObservationInterpretation, N). A correction
//! always goes, for the earlier reading may be there. What was left out is known by its entry in ledger `left-out`, and counted.

use crate::State;
use crate::tally::Tally;
use fhir::json::Node;
use fhir::measurement::Kind;
use store::{Change, Expect, LedgerWrite, Store, StoreError};

const LEDGER: &str = "left-out";
/// Entries looked at in one step.
const PAGE: usize = 1_000;
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";

/// How much of some kinds of measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Ids of `spec/measurements`; none means all.
    pub of: Vec<String>,
    /// How much of them.
    pub send: Amount,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Each.
    All,
    /// Those that the source marked as other than normal.
    Marked,
    /// None.
    Nothing,
}

/// What rules ask of a reading.
pub struct Measured {
    /// Its kind.
    pub kind: Option<&'static Kind>,
    /// Whether its source marked it.
    pub marked: bool,
}

impl Measured {
    /// Of an Observation of this kind.
    pub fn of(node: Node<'_>, kind: Option<&'static Kind>) -> Self {
        let components = node.get("component").into_iter().flat_map(Node::items);
        let all = std::iter::once(node).chain(components);
        let mut marks =
            all.flat_map(|one| one.get("interpretation").into_iter().flat_map(Node::items));
        Self {
            kind,
            marked: marks.any(is_other_than_normal),
        }
    }
}

fn is_other_than_normal(mark: Node<'_>) -> bool {
    let mut codings = mark.get("coding").into_iter().flat_map(Node::items);
    let normal = |coding: Node<'_>| {
        coding
            .text("system")
            .is_some_and(|system| system == INTERPRETATION)
            && coding.text("code").is_some_and(|code| code == "N")
    };
    !codings.any(normal)
}

/// Whether a receiver with these rules gets a reading: the first rule that speaks of its kind says so.
pub fn wants(rules: &[Rule], measured: &Measured) -> bool {
    let id = measured.kind.map(|kind| kind.id.as_str());
    let speaks =
        |rule: &&Rule| rule.of.is_empty() || rule.of.iter().any(|of| Some(of.as_str()) == id);
    match rules.iter().find(speaks).map(|rule| rule.send) {
        None | Some(Amount::All) => true,
        Some(Amount::Marked) => measured.marked,
        Some(Amount::Nothing) => false,
    }
}

/// What remembers that the entry `key` was not for these receivers; nothing when it was for all.
pub fn left_out(key: &str, receivers: &[String]) -> Result<Option<LedgerWrite>, serde_json::Error> {
    if receivers.is_empty() {
        return Ok(None);
    }
    Ok(Some(LedgerWrite {
        ledger: LEDGER,
        key: key.as_bytes().to_vec(),
        value: Some(serde_json::to_vec(receivers)?),
        expect: Expect::Absent,
    }))
}

/// The receivers for which an entry was not.
pub async fn of(store: &Store, key: &str) -> Result<Vec<String>, StoreError> {
    let entry = store.ledger_get(LEDGER, key.as_bytes()).await?;
    entry.map_or_else(|| Ok(Vec::new()), |entry| read(&entry.value))
}

fn read(value: &[u8]) -> Result<Vec<String>, StoreError> {
    serde_json::from_slice(value).map_err(|_| StoreError::Damaged("what was left out"))
}

/// Counts an entry that was not for these receivers.
pub fn count(state: &State, receivers: &[String]) {
    for receiver in receivers {
        state.left_out.add(receiver.as_bytes(), 0);
    }
}

/// Counts what a store remembers, by receiver.
pub async fn counted(store: &Store) -> Result<Tally, StoreError> {
    let tally = Tally::default();
    let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            for receiver in read(&entry.value)? {
                tally.add(receiver.as_bytes(), 0);
            }
        }
    }
    Ok(tally)
}

/// Forgets it with the entry's deliveries, and counts anew.
pub async fn forget(state: &State) -> Result<(), StoreError> {
    let store = &state.desk.store;
    let mut pages = store.ledger_pages(LEDGER, b"", PAGE);
    while let Some(page) = pages.next().await? {
        for entry in page {
            let key = String::from_utf8_lossy(&entry.key);
            if store.outbox_by_key(&key).await?.is_empty() {
                let gone = LedgerWrite {
                    ledger: LEDGER,
                    key: entry.key,
                    value: None,
                    expect: Expect::Any,
                };
                store
                    .commit(Change {
                        ledger: vec![gone],
                        ..Change::default()
                    })
                    .await?;
            }
        }
    }
    state.left_out.set(counted(store).await?);
    Ok(())
}
