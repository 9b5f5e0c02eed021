//! The region's facts: organisations, services and their papers, clients, delegations, agreements. Written once, whatever this process
//! runs of them.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

use super::{Collaboration, Pvk};

/// An organisation of the region.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Organisation number.
    pub orgnr: String,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: OrganisationKind,
    /// HER-id of its communication party, shown in the catalogue.
    pub her_id: Option<String>,
    /// Sub-units (underenhet) that resolve to it.
    #[serde(default)]
    pub sub_unit: Vec<SubUnit>,
    /// Its record system (EPJ), if the hub delivers to it.
    pub record_system: Option<RecordSystem>,
}

/// Kinds of organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrganisationKind {
    /// Kommune.
    Municipality,
    /// Legekontor.
    GpOffice,
    /// Sykehus.
    Hospital,
    /// Databehandler.
    Supplier,
    /// A collaboration that keeps a shared register.
    Collaboration,
}

impl OrganisationKind {
    /// Its code.
    pub fn word(self) -> &'static str {
        match self {
            OrganisationKind::Municipality => "municipality",
            OrganisationKind::GpOffice => "gp-office",
            OrganisationKind::Hospital => "hospital",
            OrganisationKind::Supplier => "supplier",
            OrganisationKind::Collaboration => "collaboration",
        }
    }
}

/// A sub-unit by organisation number or RESH id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubUnit {
    /// Organisation number.
    pub orgnr: Option<String>,
    /// RESH id.
    pub resh: Option<String>,
    /// Name.
    pub name: String,
}

/// A record system as receiver of the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSystem {
    /// Its base; `/fhir` is appended.
    pub base: Url,
    /// Information services it receives (`IT17` …).
    #[serde(default = "measurements")]
    pub kinds: Vec<String>,
    /// How much of the readings it gets and in what form; the first rule that speaks of a kind of measurement decides, and without one each goes.
    #[serde(default)]
    pub rule: Vec<DeliveryRule>,
}

/// How much of some kinds of measurement a record system gets, and in what form.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryRule {
    /// Ids of `spec/measurements`; none means all.
    #[serde(default)]
    pub of: Vec<String>,
    /// How much.
    pub send: Amount,
    /// In what form.
    #[serde(default)]
    pub form: Form,
}

/// In what form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Each as it was sent.
    #[default]
    Reading,
    /// A patient's of a day as one text note.
    Note,
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// Each.
    All,
    /// Those that the home system marked as other than normal.
    Marked,
    /// Of each kind the newest of each calendar day.
    NewestOfDay,
    /// None.
    None,
}

/// How an organisation realises its sharing service (DESIGN section 2). The last two are known so that they can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concept {
    /// The organisation runs its own.
    Own,
    /// A data processor runs it.
    Supplier,
    /// A shared treatment register of several organisations.
    Shared,
    /// Such a register, run by a data processor.
    SharedSupplier,
    /// A regional copy store kept besides the members' own records: not lawful today.
    RegionalCopy,
    /// A national joined store: not lawful today.
    National,
}

impl Concept {
    /// The word used in configuration and in the demo's JSON.
    pub fn word(self) -> &'static str {
        match self {
            Concept::Own => "own",
            Concept::Supplier => "supplier",
            Concept::Shared => "shared",
            Concept::SharedSupplier => "shared-supplier",
            Concept::RegionalCopy => "regional-copy",
            Concept::National => "national",
        }
    }
    /// The concept as it is run and shown; `None` for those that current law does not allow.
    pub fn lawful(self) -> Option<wire::contract::demo::Concept> {
        use wire::contract::demo::Concept as Word;
        match self {
            Concept::Own => Some(Word::Own),
            Concept::Supplier => Some(Word::Supplier),
            Concept::Shared => Some(Word::Shared),
            Concept::SharedSupplier => Some(Word::SharedSupplier),
            Concept::RegionalCopy | Concept::National => None,
        }
    }
    /// Whether members share one register.
    pub fn is_shared(self) -> bool {
        matches!(self, Concept::Shared | Concept::SharedSupplier)
    }
    /// Whether a data processor runs it.
    pub fn is_supplied(self) -> bool {
        matches!(self, Concept::Supplier | Concept::SharedSupplier)
    }
}

/// A sharing service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Short id, part of its address.
    pub id: String,
    /// Responsible organisation.
    pub orgnr: String,
    /// Name.
    pub name: String,
    /// Concept.
    pub concept: Concept,
    /// Whole FHIR base URL.
    pub fhir: Url,
    /// Client file it speaks as (to the locator); needed only where it runs.
    pub client_file: Option<PathBuf>,
    /// Whose store it goes on with, where that was taken over from a service with another id.
    pub store_of: Option<String>,
    /// Data processor, for the supplier concepts.
    pub supplier: Option<String>,
    /// Members, for the shared concepts.
    #[serde(default)]
    pub members: Vec<String>,
    /// What to do with patients not known: `enrol` or `quarantine`.
    #[serde(default)]
    pub unknown_patients: UnknownPatients,
    /// Telephone to the follow-up service, shown in the catalogue.
    pub telephone: Option<String>,
    /// Where the terms of use stand, an https URL, shown in the catalogue.
    pub terms: Option<Url>,
    /// Data processing agreement with the supplier.
    pub processing_agreement: Option<Paper>,
    /// Registered delegation to the supplier.
    pub delegation: Option<Paper>,
    /// The § 9 agreement, for the shared concepts.
    pub collaboration: Option<Collaboration>,
    /// Clients whose software cannot send `If-Match`; all others' updates without it are refused (428).
    #[serde(default)]
    pub if_match_optional: Vec<String>,
    /// Resource types that are written, read and searched; `default` stands for those of `spec/enabled-types.txt`.
    #[serde(default = "default_types")]
    pub types: Vec<String>,
    /// How firmly profiles are demanded; one that is not named is demanded of those who claim it.
    #[serde(default)]
    pub profile: Vec<Profile>,
    /// What others than the organisation itself see (tilpasse datamengde); none: everything.
    #[serde(default)]
    pub publish: Vec<Publish>,
    /// How old the copy that is shared may be, in minutes; none: its age is told, not judged.
    pub max_lag_minutes: Option<u32>,
    /// Client ids of the feeds that must keep to it; none: every record system that ever wrote.
    #[serde(default)]
    pub feeds: Vec<String>,
    /// Feeds that are expected to say something at least so often; a silence that is longer raises an alarm.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// Organisations that alerts are handed over to, and taken from; each has a service in this file that names this one's
    /// organisation too.
    #[serde(default)]
    pub hand_over: Vec<String>,
    /// Where being known to this organisation tells what somebody is ill with: the members of the locator's agreement that hear
    /// of it, besides its own people, the patient and who breaks the glass; none: all of them.
    pub known_to: Option<Vec<String>>,
    /// Organisations that may subscribe, and where each may be told; none: subscriptions are not offered.
    #[serde(default)]
    pub subscriber: Vec<Subscriber>,
    /// Where citizens' settings for this organisation are replicated from (Personvernkomponenten).
    pub pvk: Option<Pvk>,
}

/// A feed that is expected to say something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Its client id.
    pub client: String,
    /// What people call it, on the list of patients too; none: the client id.
    pub name: Option<String>,
    /// How long it may be silent, in minutes.
    pub quiet_minutes: u32,
}

/// A home system that is expected to send to the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectSender {
    /// Its client id.
    pub sender: String,
    /// The organisation that it sends for.
    pub orgnr: String,
    /// What people call it, on the list of patients too; none: the client id.
    pub name: Option<String>,
    /// How long it may be silent, in minutes.
    pub quiet_minutes: u32,
}

/// An organisation that may subscribe at a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscriber {
    /// Organisation number.
    pub orgnr: String,
    /// Addresses of its own: notifications go to one of them, or below it.
    pub endpoints: Vec<Url>,
    /// How many subscriptions it may have at once.
    #[serde(default = "a_hundred")]
    pub most: u32,
}

fn a_hundred() -> u32 {
    100
}

/// What a service says of one profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The profile's canonical, one of `spec/profiles`.
    pub canonical: String,
    /// The profile's type, if every resource of it must meet the profile, whether it claims it or not.
    pub r#type: Option<String>,
    /// `refuse`, `warn` or `off`.
    pub mode: fhir::check::profile::Mode,
}

/// One part of a publishing policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Information services (`IT17`), resource types (`CarePlan`) or measurement kinds (`oxygen-saturation`); none: all.
    pub kinds: Option<Vec<String>>,
    /// How many days back; none: all time.
    pub days: Option<u32>,
    /// Status codes; none: all.
    pub status: Option<Vec<String>>,
}

/// A signed paper.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Its reference.
    pub id: String,
    /// Day signed, `yyyy-mm-dd`.
    pub date: String,
}

/// What happens with a reading about an unknown patient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownPatients {
    /// The patient is made in the same commit, with identifier and no name.
    Enrol,
    /// The reading is refused with a reason.
    #[default]
    Quarantine,
}

/// A registered client, with its public key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Client id.
    pub client_id: String,
    /// Organisation it belongs to; for a home system, the one it sends for.
    pub orgnr: String,
    /// `home-system`, `record-system`, `gateway`, `hub`, `service`, `portal`.
    #[serde(rename = "use")]
    pub use_: String,
    /// Public JWK, as JSON text.
    pub jwk: String,
    /// Scopes it may ask for.
    pub scopes: Vec<String>,
    /// Audiences it may ask for.
    pub audiences: Vec<String>,
    /// Ways to a token, by their OAuth names; none: those of its use.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Where codes may be sent when people sign in through it, each exactly as it is asked for.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where browsers may be sent after a sign-out, each exactly as it is asked for.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
}

/// One organisation lets another's clients act for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    /// Its reference.
    pub id: String,
    /// Version of its terms.
    pub version: u32,
    /// Who delegates.
    pub from: String,
    /// Whose clients act.
    pub to: String,
    /// First day in force, `yyyy-mm-dd`.
    pub from_day: String,
    /// Last day in force, if limited.
    pub to_day: Option<String>,
}

/// A sharing agreement in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Its reference.
    pub id: String,
    /// Version of its terms.
    pub version: u32,
    /// Consuming organisation.
    pub consumer: String,
    /// Providing organisation (responsible for the sharing service).
    pub provider: String,
    /// Information services it covers.
    pub services: Vec<String>,
    /// First day in force.
    pub from: String,
    /// Last day in force, if limited.
    pub to: Option<String>,
}

fn default_types() -> Vec<String> {
    vec!["default".into()]
}

fn measurements() -> Vec<String> {
    vec!["IT17".into()]
}
