//! The patient information locator (pasientinformasjonslokalisator, PIL): which services hold which kind of data about a
//! patient, within one agreement under pasientjournalloven § 9 with named members. No look-up requires it.
//!
//! It must never hold a clinical value, a name or a readable national identity number. A person's number, from a token or
//! a registration, is used in memory: pointers stand under a keyed pseudonym (`key.rs`), and so does everybody in the
//! locator's own audit trail (`reception.rs`).
//!
//! A question's way: `api/locate.rs` → `reception.rs` (verified caller) → `trust::decide` → `locate.rs` → audit → answer.
//! An announcement's: `api/register.rs` → `reception.rs` → `trust::decide` → `register.rs`. A comparison's: `api/compare.rs`
//! → `leaves.rs`. Keys change in `rotate.rs` (decision 0045).

mod api;
mod budget;
mod discretion;
mod key;
mod leaves;
mod locate;
mod pointer;
mod reception;
mod register;
mod rotate;

use std::sync::Arc;

use axum::Router;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::time::Instant;
use store::Store;
use trust::organisation::Register;
use trust::{Caller, Facts, Party};
use url::Url;
use wire::contract::locator::Closing;
use wire::protect::GuardConfig;
use wire::route::{Access, RouteRow, Routes};
use wire::{House, Worker};

pub use budget::Budget;
pub use key::KeyError;
use pointer::Roll;
use reception::Reception;
pub use rotate::Standing as KeyStanding;

/// What the locator needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL, also the audience of its tokens.
    pub base: Url,
    /// Issuer of tokens.
    pub issuer: String,
    /// The § 9 agreement that it works under: the reference and version that audit records name.
    pub agreement: (String, u32),
    /// The organisations bound by that agreement, two at least.
    pub members: Vec<OrganisationNumber>,
    /// Sharing services that may announce. One whose organisation is no member is refused when it does.
    pub holders: Vec<Holder>,
    /// Organisations and their sub-units.
    pub register: Register,
    /// How many patients one client and one person may ask about.
    pub budget: Budget,
    /// After how many days a new pointer key takes the old one's place.
    pub key_days: u32,
}

/// A sharing service that may announce.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Service id, for example `fjellvik`.
    pub service: String,
    /// The responsible organisation.
    pub orgnr: OrganisationNumber,
    /// Where being known here tells what somebody is ill with: the organisations that hear of it, besides the holder itself.
    /// `None`: every member.
    pub known_to: Option<Vec<OrganisationNumber>>,
}

/// Why the locator cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its store.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// Its key file.
    #[error("the key file: {0}")]
    Key(#[from] KeyError),
    /// A locator outside an agreement of named members has no legal basis (pasientjournalloven § 9).
    #[error("the agreement names fewer than two members")]
    Members,
    /// Two holders with one service id.
    #[error("holder {0} is there twice")]
    Twice(String),
}

/// The opened locator.
pub struct State {
    base: String,
    house: House,
    reception: Reception,
    members: Vec<OrganisationNumber>,
    roll: Roll,
    spent: budget::Spent,
    key_days: u32,
}

impl State {
    /// How often a budget of distinct patients was used up since the start.
    pub fn budgets_exceeded(&self) -> u64 {
        self.spent.exceeded()
    }

    /// Its store: pointers under pseudonyms, and the audit trail.
    pub fn store(&self) -> &Store {
        self.reception.store()
    }

    /// The controller of an organisation or sub-unit.
    fn controller(&self, organisation: OrganisationNumber) -> OrganisationNumber {
        self.reception.facts().register.main_unit(organisation)
    }

    /// Its rules of discretion meet `seat`: may this caller hear that `patient` is known there?
    fn is_told(&self, seat: &pointer::Seat, caller: &Caller, patient: &PersonIdentifier) -> bool {
        let same = |a: OrganisationNumber, b| self.controller(a) == self.controller(b);
        seat.known_to
            .as_ref()
            .is_none_or(|named| discretion::told(named, seat.orgnr, same, caller, patient))
    }

    /// Whether what a patient has closed of a pointer at `seat` lets this caller hear of it at `now`.
    fn is_open(
        &self,
        seat: &pointer::Seat,
        closed: &[Closing],
        now: Instant,
        (caller, patient): (&Caller, &PersonIdentifier),
    ) -> bool {
        let same = |a: OrganisationNumber, b| self.controller(a) == self.controller(b);
        discretion::open(closed, now, caller, same)
            || discretion::told(&[], seat.orgnr, same, caller, patient)
    }

    /// Is it bound by the agreement, itself or by its controller?
    fn is_member(&self, organisation: OrganisationNumber) -> bool {
        self.members.contains(&self.controller(organisation))
    }
}

/// The locator's routes, relative to its base.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "POST",
        path: wire::contract::locator::REGISTER,
        access: Access::Token {
            scope: wire::contract::locator::REGISTER_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: wire::contract::locator::COMPARE,
        access: Access::Token {
            scope: wire::contract::locator::REGISTER_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: wire::contract::locator::REPAIR,
        access: Access::Token {
            scope: wire::contract::locator::REGISTER_SCOPE,
        },
    },
    RouteRow {
        method: "POST",
        path: wire::contract::locator::LOCATE,
        access: Access::Token {
            scope: "user/Pointer.r or patient/Pointer.r",
        },
    },
    RouteRow {
        method: "GET",
        path: wire::contract::OPENAPI,
        access: Access::Public,
    },
];

/// Opens key and store, and reads when each holder was last heard.
///
/// # Errors
/// [`OpenError`]. A key file that is gone while pointers are there is never replaced: nobody could be found again.
pub async fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    if config.members.len() < 2 {
        return Err(OpenError::Members);
    }
    let keys = key::Keys::open(&house.data)?;
    let store = Store::open(&house.data, "locator", house.surroundings())?;
    let roll = Roll::open(&config.holders, &store).await?;
    let base = config.base.as_str().trim_end_matches('/').to_owned();
    let guard = GuardConfig {
        issuer: config.issuer.clone(),
        jwks_url: format!("{}{}", config.issuer, wire::contract::anchor::JWKS),
        audience: base.clone(),
        base: base.clone(),
    };
    let facts = Facts {
        party: Party::Locator,
        // The members run it together; no rule at the locator asks whose it is.
        owner: config.members[0],
        members: [].into(),
        audience: base.as_str().into(),
        wishes: [].into(),
        known: Default::default(),
        register: Arc::new(config.register),
        now: (house.clock)(),
    };
    let reception = Reception::new(guard, facts, store, &house, keys, config.agreement);
    let state = State {
        base,
        house,
        reception,
        members: config.members,
        roll,
        spent: budget::Spent::new(config.budget),
        key_days: config.key_days,
    };
    rotate::resume(&state).await?;
    Ok(Arc::new(state))
}

/// Every route of the table with its handler.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    Routes::of(ROUTES)
        .on(
            "POST",
            wire::contract::locator::REGISTER,
            api::register::register,
        )
        .on(
            "POST",
            wire::contract::locator::COMPARE,
            api::compare::compare,
        )
        .on("POST", wire::contract::locator::REPAIR, api::repair::repair)
        .on("POST", wire::contract::locator::LOCATE, api::locate::locate)
        .on("GET", wire::contract::OPENAPI, api::openapi::openapi)
        .build(state, wire::request_id::Join::Behind, ids)
}

/// Background work: the pointer keys. Holders announce, the locator listens.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    vec![rotate::worker(state)]
}
