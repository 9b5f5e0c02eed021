//! What the anchor remembers between the steps of a sign-in, durably and sealed: launches, pushed requests, codes and grants. Each
//! is found by a secret that only its holder knows; the store holds the secret's hash, and in front of it the second after
//! which the entry is forgotten, so that what is old stands first.

use crate::State;
use fhir::time::Instant;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Change, Expect, LedgerWrite, StoreError};
use trust::encoding::{base64url, from_base64url, sha256};

/// A kind of entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ledger {
    /// What a record system opens an app for, until the app brought its handle.
    Launch,
    /// A pushed authorization request, until its response was sent.
    Pushed,
    /// A code; kept for a while after its use, so that a second use is noticed.
    Code,
    /// What a person's sign-in gave a client; its end is the end of every token behind it.
    Grant,
}

impl Ledger {
    const ALL: [Ledger; 4] = [Ledger::Launch, Ledger::Pushed, Ledger::Code, Ledger::Grant];

    fn name(self) -> &'static str {
        match self {
            Ledger::Launch => "launch",
            Ledger::Pushed => "pushed",
            Ledger::Code => "code",
            Ledger::Grant => "grant",
        }
    }

    /// Longest content of an entry, in bytes. What comes of a pushed request has room for who signed in.
    fn longest(self) -> usize {
        match self {
            Ledger::Launch => 7 * 1024,
            Ledger::Pushed => 9 * 1024,
            Ledger::Code | Ledger::Grant => 11 * 1024,
        }
    }
}

/// Bytes of the time in front of a key, and of a grant's id after it.
const TIME: usize = 8;
const ID: usize = 16;
/// Bytes of randomness in a secret.
const RANDOM: usize = 32;
/// Entries forgotten in one go.
const SWEPT: usize = 500;

/// Where an entry stands, and the version that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) ledger: Ledger,
    pub(crate) key: Vec<u8>,
}

/// 244 random bits.
pub(crate) fn random(state: &State) -> [u8; RANDOM] {
    let mut bytes = [0; RANDOM];
    bytes[..16].copy_from_slice((state.house.ids)().as_bytes());
    bytes[16..].copy_from_slice((state.house.ids)().as_bytes());
    bytes
}

/// A new secret, and the place of what it opens; forgotten at `until` (Unix seconds).
pub(crate) fn secret(state: &State, ledger: Ledger, until: i64) -> (String, Place) {
    let text = base64url(&[&until.to_be_bytes()[..], &random(state)].concat());
    let key = [&until.to_be_bytes()[..], &sha256(text.as_bytes())].concat();
    (text, Place { ledger, key })
}

/// The place that a secret opens, if it has the form of one.
pub(crate) fn place_of(ledger: Ledger, text: &str) -> Option<Place> {
    let bytes = from_base64url(text).filter(|bytes| bytes.len() == TIME + RANDOM)?;
    let key = [&bytes[..TIME], &sha256(text.as_bytes())].concat();
    Some(Place { ledger, key })
}

/// A new grant's place; forgotten at `until` (Unix seconds).
pub(crate) fn new_grant(state: &State, until: i64) -> Place {
    let key = [&until.to_be_bytes()[..], (state.house.ids)().as_bytes()].concat();
    Place {
        ledger: Ledger::Grant,
        key,
    }
}

/// A grant's name in tokens, and back.
pub(crate) fn grant_name(place: &Place) -> String {
    base64url(&place.key)
}

/// The place of a grant by its name.
pub(crate) fn grant_named(name: &str) -> Option<Place> {
    let key = from_base64url(name).filter(|key| key.len() == TIME + ID)?;
    Some(Place {
        ledger: Ledger::Grant,
        key,
    })
}

/// A new refresh token of a grant: it names the grant, and its hash is to be kept there.
pub(crate) fn refresh_token(state: &State, grant: &Place) -> String {
    base64url(&[&grant.key[..], &random(state)].concat())
}

/// The grant that a refresh token names, if it has the form of one.
pub(crate) fn grant_of(refresh_token: &str) -> Option<Place> {
    let bytes = from_base64url(refresh_token)?;
    (bytes.len() == TIME + ID + RANDOM).then(|| Place {
        ledger: Ledger::Grant,
        key: bytes[..TIME + ID].to_vec(),
    })
}

/// What stands at a place, with its version. An entry that cannot be read is as good as none: it opens nothing.
pub(crate) async fn get<T: DeserializeOwned>(
    state: &State,
    place: &Place,
) -> Result<Option<(T, u64)>, StoreError> {
    let entry = state
        .store
        .ledger_get(place.ledger.name(), &place.key)
        .await?;
    Ok(entry.and_then(|entry| {
        let plain = state
            .store
            .unseal(std::str::from_utf8(&entry.value).ok()?)?;
        Some((serde_json::from_slice(&plain).ok()?, entry.version))
    }))
}

/// Content that is too long to keep.
#[derive(Debug)]
pub(crate) struct TooLong;

/// A write of new content.
pub(crate) fn put<T: Serialize>(
    state: &State,
    place: &Place,
    content: &T,
    expect: Expect,
) -> Result<LedgerWrite, TooLong> {
    let plain = serde_json::to_vec(content).map_err(|_| TooLong)?;
    if plain.len() > place.ledger.longest() {
        return Err(TooLong);
    }
    let sealed = state.store.seal(&plain).map_err(|_| TooLong)?;
    Ok(LedgerWrite {
        ledger: place.ledger.name(),
        key: place.key.clone(),
        value: Some(sealed.into_bytes()),
        expect,
    })
}

/// A write that ends an entry.
pub(crate) fn end(place: &Place, expect: Expect) -> LedgerWrite {
    LedgerWrite {
        ledger: place.ledger.name(),
        key: place.key.clone(),
        value: None,
        expect,
    }
}

/// Forgets what is past its time; gives how many entries that were.
pub(crate) async fn sweep(state: &State, now: Instant) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    for ledger in Ledger::ALL {
        loop {
            let found = state
                .store
                .ledger_scan(ledger.name(), &[], None, SWEPT)
                .await?;
            let writes: Vec<LedgerWrite> = found
                .into_iter()
                .map(|entry| entry.key)
                .take_while(|key| is_past(key, now))
                .map(|key| end(&Place { ledger, key }, Expect::Any))
                .collect();
            let many = writes.len();
            if many == 0 {
                break;
            }
            let change = Change {
                ledger: writes,
                ..Change::default()
            };
            state.store.commit(change).await?;
            forgotten += many;
        }
    }
    Ok(forgotten)
}

fn is_past(key: &[u8], now: Instant) -> bool {
    let time = key
        .first_chunk::<TIME>()
        .map(|time| i64::from_be_bytes(*time));
    time.is_none_or(|time| time < now.seconds())
}
