//! How much a record system gets of the readings and in what form, by rules that its organisation states as data: everything, what the
//! source itself marked, the newest of each day, or nothing of a kind of measurement; each as it was sent, or together as a note. The sharing
//! service always gets everything as it was sent, and so does a record system where there is none.
//!
//! The hub interprets nothing: marked is what carries an `interpretation` other than normal (HL7 ObservationInterpretation, N). A correction
//! always goes, for the earlier reading may be there; of one that still waits for its day (`held.rs`), it takes the place. What was left
//! out is known by its entry in ledger `left-out`, and counted.

use crate::State;
use crate::tally::Tally;
use fhir::json::Node;
use fhir::measurement::Kind;
use fhir::time::Instant;
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
    /// In what form.
    pub form: Form,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Each.
    All,
    /// Those that the source marked as other than normal.
    Marked,
    /// Of each kind the newest of each calendar day.
    NewestOfDay,
    /// None.
    Nothing,
}

/// In what form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Each as it was sent.
    #[default]
    Reading,
    /// A patient's of a day as one text note.
    Note,
}

/// What a receiver is to get of a reading, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it was sent, at once.
    AtOnce,
    /// Nothing.
    LeftOut,
    /// What its day decides, when that is over.
    Waits(Wait),
}

/// What is decided when the day is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Whether only the newest of its kind goes.
    pub newest: bool,
    /// Whether it goes as a line of the day's note.
    pub note: bool,
}

/// What rules ask of a reading.
pub struct Measured {
    /// Its kind.
    pub kind: Option<&'static Kind>,
    /// Whether its source marked it.
    pub marked: bool,
    /// When it was measured.
    pub at: Instant,
    /// Whether it takes back an earlier one (`entered-in-error`).
    pub taken_back: bool,
}

impl Measured {
    /// Of an Observation of this kind, measured then.
    pub fn of(node: Node<'_>, kind: Option<&'static Kind>, at: Instant) -> Self {
        let components = node.get("component").into_iter().flat_map(Node::items);
        let all = std::iter::once(node).chain(components);
        let mut marks =
            all.flat_map(|one| one.get("interpretation").into_iter().flat_map(Node::items));
        Self {
            kind,
            marked: marks.any(is_other_than_normal),
            at,
            taken_back: node.text("status").as_deref() == Some("entered-in-error"),
        }
    }
}

/// Whether a source's mark says other than normal.
pub fn is_other_than_normal(mark: Node<'_>) -> bool {
    let mut codings = mark.get("coding").into_iter().flat_map(Node::items);
    let normal = |coding: Node<'_>| {
        coding
            .text("system")
            .is_some_and(|system| system == INTERPRETATION)
            && coding.text("code").is_some_and(|code| code == "N")
    };
    !codings.any(normal)
}

/// What a receiver with these rules gets of a reading: the first rule that speaks of its kind says so. `corrects`: of an earlier one, which
/// may be there already.
pub fn way(rules: &[Rule], measured: &Measured, corrects: bool) -> Way {
    let id = measured.kind.map(|kind| kind.id.as_str());
    let speaks =
        |rule: &&Rule| rule.of.is_empty() || rule.of.iter().any(|of| Some(of.as_str()) == id);
    let Some(rule) = rules.iter().find(speaks) else {
        return Way::AtOnce;
    };
    let goes = match rule.send {
        Amount::All | Amount::NewestOfDay => true,
        Amount::Marked => corrects || measured.marked,
        Amount::Nothing if corrects => return Way::AtOnce,
        Amount::Nothing => false,
    };
    let wait = Wait {
        // Of what is no kind that is known here, none is newer than another.
        newest: rule.send == Amount::NewestOfDay && !corrects && id.is_some(),
        note: rule.form == Form::Note,
    };
    match (goes, wait.newest || wait.note) {
        (false, _) => Way::LeftOut,
        (true, true) => Way::Waits(wait),
        (true, false) => Way::AtOnce,
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

/// What is to be counted of an entry once it is durable: receivers.
#[derive(Default)]
pub struct Counts {
    /// That are not to get it, or what it takes the place of.
    pub left_out: Vec<String>,
    /// For which it waits.
    pub held: Vec<String>,
    /// For which what it takes the place of waits no more.
    pub released: Vec<String>,
}

impl Counts {
    /// Counts them.
    pub fn count(&self, state: &State) {
        for receiver in &self.left_out {
            state.left_out.add(receiver.as_bytes(), 0);
        }
        for receiver in &self.held {
            state.held.add(receiver.as_bytes(), 0);
        }
        for receiver in &self.released {
            state.held.subtract(receiver.as_bytes(), 0);
        }
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
