//! The agreement point in operation: what is suspended, resumed or ended, and which key signs. Every change is one entry of
//! a list that only grows, each with the hash of the one before, durable in one commit with its audit record; what counts
//! now is read off that list, at start and after each change, and asked of at every token request.

mod admit;
mod ring;
mod standings;

pub(crate) use admit::{Operator, admit};
pub(crate) use ring::Ring;
pub(crate) use standings::Standings;

use crate::State;
use fhir::time::Instant;
use std::sync::{Arc, PoisonError, RwLock};
use store::{Change, Expect, LedgerWrite, Store, StoreError};
use trust::Category;
use trust::audit::Record;
use trust::jws;
use trust::keys::KeyError;
use wire::contract::operate::{Action, CHANGE_TYP, ChangeDocument, Changes, Kind, PAGE};
use wire::outcome::Problem;

/// The list's name in the store.
const LEDGER: &str = "change";

/// What one change is to be, before it has its place in the list.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) action: Action,
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) kid: Option<String>,
    pub(crate) from: Option<i64>,
    pub(crate) reason: String,
    /// Whose signatures stand on a registered document.
    pub(crate) signed_by: Vec<String>,
    /// The order as its operator signed it; empty: it is not for the list.
    pub(crate) order: String,
    /// What is kept beside the list, in the same commit.
    pub(crate) beside: Option<Beside>,
}

/// What is kept beside the list: the ledger, the key in it, and the value.
#[derive(Clone)]
pub(crate) struct Beside {
    pub(crate) ledger: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Wanted {
    /// A change that holds no document.
    pub(crate) fn plain(action: Action, kind: Kind, id: &str, reason: &str, order: &str) -> Wanted {
        Wanted {
            action,
            kind,
            id: id.to_owned(),
            kid: None,
            from: None,
            reason: reason.to_owned(),
            signed_by: Vec::new(),
            order: order.to_owned(),
            beside: None,
        }
    }
}

/// The change that follows the list as it stands.
pub(crate) fn document(
    state: &State,
    operator: &Operator,
    standings: &Standings,
    one: Wanted,
) -> ChangeDocument {
    ChangeDocument {
        iss: state.config.issuer.clone(),
        iat: operator.now.seconds(),
        sequence: standings.count() + 1,
        previous: standings.hash().map(str::to_owned),
        action: one.action,
        kind: one.kind,
        id: one.id,
        kid: one.kid,
        from: one.from,
        signed_by: one.signed_by,
        order: Some(one.order).filter(|order| !order.is_empty()),
        reason: one.reason,
        client_id: operator.caller.client_id.clone(),
        request_id: operator.ids.ours.to_string(),
    }
}

/// The list and what it comes to now.
#[derive(Default)]
pub(crate) struct Book {
    standings: RwLock<Arc<Standings>>,
    /// Held from the look at what stands until the change is durable.
    writing: tokio::sync::Mutex<()>,
}

impl Book {
    /// Reads the whole list.
    ///
    /// # Errors
    /// Input/output, damage, and an entry that is not one of ours.
    pub(crate) async fn open(store: &Store) -> Result<(Book, Vec<ChangeDocument>), StoreError> {
        let mut standings = Standings::default();
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let page = entries(store, after).await?;
            let full = page.len() == PAGE;
            for (change, payload) in page {
                after = change.sequence;
                standings.apply(&change, &payload);
                all.push(change);
            }
            if !full {
                break;
            }
        }
        let book = Book {
            standings: RwLock::new(Arc::new(standings)),
            writing: tokio::sync::Mutex::default(),
        };
        Ok((book, all))
    }

    /// What counts now.
    pub(crate) fn standings(&self) -> Arc<Standings> {
        let held = self.standings.read();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Up to [`PAGE`] entries after a sequence number, each with its payload as it was hashed.
async fn entries(store: &Store, after: u64) -> Result<Vec<(ChangeDocument, Vec<u8>)>, StoreError> {
    let found = store
        .ledger_scan(LEDGER, &[], Some(&after.to_be_bytes()), PAGE)
        .await?;
    let read = |payload: Vec<u8>| match serde_json::from_slice(&payload) {
        Ok(change) => Ok((change, payload)),
        Err(_) => Err(StoreError::Damaged("an entry of the list of changes")),
    };
    found.into_iter().map(|entry| read(entry.value)).collect()
}

/// Makes changes durable, all or none, if `check` allows them as things stand; gives them signed. A refusal is recorded.
pub(crate) async fn change(
    state: &State,
    operator: &Operator,
    asked: &str,
    check: impl FnOnce(&Standings) -> Result<Vec<Wanted>, Problem>,
) -> Result<Changes, Problem> {
    change_and(state, operator, asked, check, || {}).await
}

/// As [`change`]; once durable, and before anybody else's change, `then` makes it count.
pub(crate) async fn change_and(
    state: &State,
    operator: &Operator,
    asked: &str,
    check: impl FnOnce(&Standings) -> Result<Vec<Wanted>, Problem>,
    then: impl FnOnce(),
) -> Result<Changes, Problem> {
    let book = &state.registry.book;
    let _one_at_a_time = book.writing.lock().await;
    let before = book.standings();
    let wanted = match check(&before) {
        Ok(wanted) => wanted,
        Err(problem) => return Err(operator.failed(state, asked, problem).await),
    };
    let mut after = Standings::clone(&before);
    let mut ledger = Vec::new();
    let mut made = Vec::new();
    for mut one in wanted {
        ledger.extend(one.beside.take().map(|beside| LedgerWrite {
            ledger: beside.ledger,
            key: beside.key,
            value: Some(beside.value),
            expect: Expect::Any,
        }));
        let document = document(state, operator, &after, one);
        let payload = payload(&document).map_err(|_| unsigned())?;
        after.apply(&document, &payload);
        ledger.push(LedgerWrite {
            ledger: LEDGER,
            key: document.sequence.to_be_bytes().to_vec(),
            value: Some(payload),
            expect: Expect::Absent,
        });
        made.push(document);
    }
    let change = Change {
        audit: Some(operator.record(asked)),
        replays: operator.replay.into_iter().collect(),
        ledger,
        ..Change::default()
    };
    if let Err(error) = state.store.commit(change).await {
        return Err(operator.uncommitted(state, asked, error).await);
    }
    *book
        .standings
        .write()
        .unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
    then();
    for one in &made {
        tracing::warn!(action = ?one.action, kind = ?one.kind, id = one.id, by = one.client_id, "the register was changed");
    }
    state.ring.apply(&made, operator.now.seconds());
    signed(state, &made, operator.now)
}

/// The list after a sequence number, signed with the key of now; the reading is on record.
pub(crate) async fn list(
    state: &State,
    operator: &Operator,
    asked: &str,
    after: u64,
) -> Result<Changes, Problem> {
    let found = entries(&state.store, after).await.map_err(Problem::from)?;
    on_record(state, operator, asked).await?;
    let found: Vec<_> = found.into_iter().map(|(change, _)| change).collect();
    signed(state, &found, operator.now)
}

/// A reading of the list or the register is on record, and its proof used up.
pub(crate) async fn on_record(
    state: &State,
    operator: &Operator,
    asked: &str,
) -> Result<(), Problem> {
    let change = Change {
        audit: Some(operator.record(asked)),
        replays: operator.replay.into_iter().collect(),
        ..Change::default()
    };
    match state.store.commit(change).await {
        Ok(_) => Ok(()),
        Err(error) => Err(operator.uncommitted(state, asked, error).await),
    }
}

/// The bytes that are hashed and signed.
fn payload(document: &ChangeDocument) -> Result<Vec<u8>, serde_json::Error> {
    Ok(serde_json::to_value(document)?.to_string().into_bytes())
}

fn signed(state: &State, list: &[ChangeDocument], now: Instant) -> Result<Changes, Problem> {
    let key = state.ring.signer(now.seconds());
    let one = |document| {
        let claims = serde_json::to_value(document).map_err(|_| KeyError::Malformed)?;
        jws::sign(CHANGE_TYP, &claims, &key)
    };
    let all: Result<_, KeyError> = list.iter().map(one).collect();
    all.map(Changes).map_err(|_| unsigned())
}

fn unsigned() -> Problem {
    Problem::category(
        Category::Unavailable,
        "signing failed; ask for the list of changes",
    )
}

impl Operator {
    /// The record of what an operator asked; `asked` names no person.
    fn record(&self, asked: &str) -> Record {
        Record::new(self.now, self.ids.ours, trust::Interaction::Operate, asked)
            .caller_request_id(self.ids.callers.clone())
            .by(&self.caller)
    }
}
