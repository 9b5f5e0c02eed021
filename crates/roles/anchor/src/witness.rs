//! The anchor as witness of others' audit trails: of each it keeps number and hash of the ends it was told of, each the first
//! time it was told, and says so under its own key. Whoever cuts or rewrites a trail afterwards cannot have them back
//! (threats-and-faults section 11). Nothing of what a trail holds comes here.

use crate::State;
use crate::authenticate::is_stopped;
use crate::config::Client;
use fhir::time::Instant;
use serde::de::DeserializeOwned;
use store::{Change, Expect, LedgerWrite, StoreError};
use trust::audit::{Outcome, Record};
use trust::jws::{self, Embedded};
use trust::keys::{KeyError, KeySet};
use trust::{Category, Interaction, LEEWAY_SECONDS};
use wire::contract::witness::{
    FRESH_SECONDS, HEAD_TYP, HEADS_QUESTION_TYP, HeadStatement, HeadsQuestion, LONGEST_OWNER, PAGE,
    WITNESSED_TYP, WitnessedHead, WitnessedHeads,
};
use wire::outcome::{Challenge, Problem};
use wire::request_id::RequestIds;

/// Every head that was told; key: client, owner, sequence.
const TOLD: &str = "witnessed";
/// The newest of each trail; key: client, owner.
const NEWEST: &str = "witnessed-newest";

/// A head as it is kept.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    sequence: u64,
    hash: String,
    iat: i64,
}

/// What was stated, and by whom, once its signature stands.
pub(crate) struct Stated<'a, T> {
    client: &'a Client,
    said: T,
}

fn nobody() -> Problem {
    Problem::unauthenticated(
        Challenge::Plain,
        "a fresh statement for this anchor, signed by a registered client's key, is needed",
    )
}

/// A statement about one's own trail.
trait Statement: DeserializeOwned {
    const TYP: &'static str;
    fn parts(&self) -> (Option<&str>, &str, i64, &str);
}

impl Statement for HeadStatement {
    const TYP: &'static str = HEAD_TYP;
    fn parts(&self) -> (Option<&str>, &str, i64, &str) {
        (self.iss.as_deref(), &self.aud, self.iat, &self.owner)
    }
}

impl Statement for HeadsQuestion {
    const TYP: &'static str = HEADS_QUESTION_TYP;
    fn parts(&self) -> (Option<&str>, &str, i64, &str) {
        (Some(&self.iss), &self.aud, self.iat, &self.owner)
    }
}

/// Verifies a statement: a registered client's signature, this anchor, now. Whatever is wrong, the words are the same, and so
/// are the steps whether the client exists or not.
fn stated<'a, T: Statement>(state: &'a State, text: &str) -> Result<Stated<'a, T>, Problem> {
    let compact = jws::parse(text, Embedded::Refused).map_err(|_| nobody())?;
    compact.require_typ(T::TYP).map_err(|_| nobody())?;
    let claimed = compact.claimed("iss").unwrap_or_default();
    let found = state.registry.client(&claimed);
    let keys: &KeySet = found.map_or(&state.decoy, |client| &client.keys);
    let key = keys.find(compact.header.kid.as_deref());
    let verified = compact.verify(key.ok_or_else(nobody)?);
    let payload = verified.map_err(|_| nobody())?;
    jws::claims(payload).map_err(|_| nobody())?;
    let said: T = serde_json::from_slice(payload).map_err(|_| nobody())?;
    let client = found.ok_or_else(nobody)?;
    let (iss, aud, iat, owner) = said.parts();
    let now = (state.house.clock)().seconds();
    let fresh = now.saturating_sub(iat) <= FRESH_SECONDS + LEEWAY_SECONDS
        && iat <= now.saturating_add(LEEWAY_SECONDS);
    let named = !owner.is_empty()
        && owner.len() <= LONGEST_OWNER
        && owner
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let ours = iss == Some(&client.client_id) && aud == state.config.issuer;
    if !fresh || !named || !ours || is_stopped(state, client, key) {
        return Err(nobody());
    }
    Ok(Stated { client, said })
}

fn key_of(client: &Client, owner: &str) -> Vec<u8> {
    [client.client_id.as_bytes(), &[0], owner.as_bytes(), &[0]].concat()
}

fn read(value: &[u8]) -> Result<Told, StoreError> {
    serde_json::from_slice(value).map_err(|_| StoreError::Damaged("a witnessed head"))
}

/// Keeps a head and gives the anchor's word for it. One that lies before the newest known, or says otherwise about the same
/// place, is refused, and the refusal is on record.
pub(crate) async fn take(
    state: &State,
    ids: &RequestIds,
    text: &str,
) -> Result<WitnessedHeads, Problem> {
    let Stated { client, said } = stated::<HeadStatement>(state, text)?;
    let now = (state.house.clock)();
    if !trust::encoding::is_sha256_base64url(&said.hash) || said.sequence == 0 {
        return Err(nobody());
    }
    let key = key_of(client, &said.owner);
    let newest = state
        .store
        .ledger_get(NEWEST, &key)
        .await
        .map_err(Problem::from)?;
    let mut expect = Expect::Absent;
    if let Some(entry) = newest {
        let known = read(&entry.value).map_err(Problem::from)?;
        if known.sequence == said.sequence && known.hash == said.hash {
            return signed(state, client, &said.owner, &[known]).map_err(|_| unsigned());
        }
        if said.sequence <= known.sequence {
            tracing::error!(
                client = client.client_id,
                owner = said.owner,
                "an audit trail is shorter than it was, or another: it was cut or rewritten"
            );
            let asked = format!(
                "POST /audit-heads {} {} after {}",
                said.owner, said.sequence, known.sequence
            );
            let mut record = recorded(now, ids, client, &asked);
            record.outcome = Outcome::Failed {
                category: Category::Conflict,
            };
            record_only(state, record).await?;
            return Err(Problem::conflict(format!(
                "record {} of this trail was witnessed with another hash or a later one was: the trail was cut or rewritten",
                known.sequence
            )));
        }
        expect = Expect::Version(entry.version);
    }
    let told = Told {
        sequence: said.sequence,
        hash: said.hash,
        iat: now.seconds(),
    };
    let value = serde_json::to_vec(&told).map_err(|_| Problem::bug("a head has no JSON form"))?;
    let place = [&key[..], &told.sequence.to_be_bytes()].concat();
    let asked = format!("POST /audit-heads {} {}", said.owner, told.sequence);
    let write = |ledger, key, expect| LedgerWrite {
        ledger,
        key,
        value: Some(value.clone()),
        expect,
    };
    let change = Change {
        audit: Some(recorded(now, ids, client, &asked)),
        ledger: vec![
            write(NEWEST, key, expect),
            write(TOLD, place, Expect::Absent),
        ],
        ..Change::default()
    };
    state.store.commit(change).await.map_err(Problem::from)?;
    signed(state, client, &said.owner, &[told]).map_err(|_| unsigned())
}

/// What is known of one's own trail.
pub(crate) async fn list(
    state: &State,
    ids: &RequestIds,
    text: &str,
) -> Result<WitnessedHeads, Problem> {
    let Stated { client, said } = stated::<HeadsQuestion>(state, text)?;
    let key = key_of(client, &said.owner);
    let after = [&key[..], &said.after.to_be_bytes()].concat();
    let found = state
        .store
        .ledger_scan(TOLD, &key, Some(&after), PAGE)
        .await;
    let told: Result<Vec<Told>, _> = found
        .map_err(Problem::from)?
        .iter()
        .map(|entry| read(&entry.value))
        .collect();
    let told = told.map_err(Problem::from)?;
    let asked = format!("POST /audit-heads/list {}", said.owner);
    record_only(state, recorded((state.house.clock)(), ids, client, &asked)).await?;
    signed(state, client, &said.owner, &told).map_err(|_| unsigned())
}

fn recorded(now: Instant, ids: &RequestIds, client: &Client, asked: &str) -> Record {
    let mut record = Record::new(now, ids.ours, Interaction::Witness, asked);
    record.caller_request_id = ids.callers.clone();
    record.client = Some(client.client_id.clone());
    record.client_use = Some(client.use_);
    record.organisation = Some(client.orgnr);
    record
}

async fn record_only(state: &State, record: Record) -> Result<(), Problem> {
    let change = Change {
        audit: Some(record),
        ..Change::default()
    };
    state
        .store
        .commit(change)
        .await
        .map(|_| ())
        .map_err(|error| {
            tracing::error!(%error, "a statement about an audit trail could not be recorded");
            Problem::from(error)
        })
}

fn signed(
    state: &State,
    client: &Client,
    owner: &str,
    told: &[Told],
) -> Result<WitnessedHeads, KeyError> {
    let key = state.key();
    let one = |told: &Told| {
        let head = WitnessedHead {
            iss: state.config.issuer.clone(),
            sub: client.client_id.clone(),
            iat: told.iat,
            owner: owner.to_owned(),
            sequence: told.sequence,
            hash: told.hash.clone(),
        };
        let claims = serde_json::to_value(head).map_err(|_| KeyError::Malformed)?;
        jws::sign(WITNESSED_TYP, &claims, &key)
    };
    told.iter()
        .map(one)
        .collect::<Result<_, _>>()
        .map(WitnessedHeads)
}

fn unsigned() -> Problem {
    Problem::category(Category::Unavailable, "signing failed; say it again")
}
