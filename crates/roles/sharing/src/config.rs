//! What one sharing service needs to know, and why it cannot be opened.

use crate::{Assessment, Listing, Promise, Subscriber, pvk};
use fhir::check::profile::Demands;
use fhir::definitions::Types;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::time::Zone;
use std::path::PathBuf;
use trust::organisation::Register;
use url::Url;

/// What one sharing service needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Service id, for example `fjellvik`.
    pub id: String,
    /// The name that its store was made under, where it is not the id: it was taken over from another service.
    pub store_of: Option<String>,
    /// Whole FHIR base URL; also the audience of its tokens.
    pub base: Url,
    /// The responsible organisation.
    pub owner: OrganisationNumber,
    /// Its name, for the CapabilityStatement.
    pub name: String,
    /// Members of a shared register; empty otherwise.
    pub members: Vec<OrganisationNumber>,
    /// Issuer of tokens.
    pub issuer: String,
    /// Whether people sign in at the issuer, for the SMART configuration.
    pub sign_in: bool,
    /// The locator's base, if the organisation is bound by its agreement.
    pub locator: Option<Url>,
    /// What it tells the catalogue of itself; without it, nothing.
    pub listing: Option<Listing>,
    /// The client file it speaks to the locator and the catalogue with.
    pub client_file: Option<PathBuf>,
    /// Whether unknown patients are made with their first reading; else such a reading is refused.
    pub enrol: bool,
    /// Demo: numbers not marked synthetic are refused.
    pub synthetic_only: bool,
    /// Organisations and their sub-units.
    pub register: Register,
    /// Zone in which a date without time counts.
    pub zone: Zone,
    /// How strictly person numbers are checked.
    pub person_numbers: PersonNumbers,
    /// Clients whose software cannot send `If-Match`: they may update without it.
    pub if_match_optional: Vec<String>,
    /// The types that are written, read and searched here.
    pub types: Types,
    /// Which profiles are demanded, and how firmly.
    pub profiles: Demands,
    /// What others than the organisation itself see, and what the locator hears of.
    pub publish: store::Publishing,
    /// How old the copy may be.
    pub copy: Promise,
    /// What is assessed, and who answers for it; `None`: nothing is.
    pub assessment: Option<Assessment>,
    /// Whom alerts are handed over to, and taken from.
    pub hand_over: Vec<Partner>,
    /// The hub's base, through which what people say of alerts is filed in the organisation's record system; none: it is filed nowhere.
    pub files_notes: Option<Url>,
    /// Who may subscribe, and where each may be told; none: subscriptions are not offered.
    pub subscribers: Vec<Subscriber>,
    /// Where citizens' settings for this organisation are replicated from; none: only those made here count.
    pub pvk: Option<pvk::Pvk>,
}

/// Another organisation with which alerts change hands.
#[derive(Clone, Debug)]
pub struct Partner {
    /// The organisation.
    pub organisation: OrganisationNumber,
    /// Its name.
    pub name: String,
    /// Whole FHIR base URL of its service.
    pub base: Url,
}

impl Partner {
    /// The base as its tokens' audience has it.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// Why a service cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its store.
    #[error("the store: {0}")]
    Store(#[from] store::StoreError),
    /// Its client file for the locator, or for citizens' settings.
    #[error("the client file: {0}")]
    Client(#[from] wire::client::PartyError),
    /// A locator without a client file.
    #[error("a locator is configured, but no client_file to speak to it with")]
    NoClient,
    /// Subscribers without a client file.
    #[error("subscribers are configured, but no client_file whose key signs what they are told")]
    NoSigner,
}
