//! What the anchor is told at start: who takes part, what they agreed, who acts for whom, which clients there are. All
//! values are parsed before they come here; days are checked when the anchor is opened.

pub use crate::register::Law;
use bytes::Bytes;
use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::resource::InformationService;
use fhir::time::Zone;
use std::path::PathBuf;
use trust::ClientUse;
use trust::keys::{Algorithm, KeySet, SigningKey};
use trust::scope::Scopes;
use trust::token::Kind;
pub use wire::contract::anchor::AgreementKind;
use wire::contract::anchor::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN, TOKEN_EXCHANGE,
};
use wire::contract::launch::{CHOOSE_PATIENT, IN_CONTEXT};
pub use wire::contract::register::Contact;

/// The anchor's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The issuer's URL, no slash at the end; all routes stand under it.
    pub issuer: String,
    /// Zone in which the days of agreements count.
    pub zone: Zone,
    /// Organisations that take part.
    pub participants: Vec<Participant>,
    /// Who may look up what at whom.
    pub agreements: Vec<Agreement>,
    /// Other signed papers that are published: § 9 collaborations, data processing agreements.
    pub papers: Vec<Paper>,
    /// Who may act for whom.
    pub delegations: Vec<Delegation>,
    /// Registered clients.
    pub clients: Vec<Client>,
    /// Everything a token can be for.
    pub audiences: Vec<Audience>,
    /// Must proofs at the token endpoint carry a nonce of ours (RFC 9449 section 8)?
    pub dpop_nonce: bool,
    /// The organisation that runs the anchor: its clients with use `operator` may suspend and resume. `None`: nobody may.
    pub operator: Option<OrganisationNumber>,
    /// How long a new signing key is published before it signs, in seconds: longer than any service keeps the key set.
    pub publish_key_seconds: i64,
    /// Styles of the sign-in page; without them it is plain.
    pub stylesheet: Option<Bytes>,
    /// The register of health personnel, where authorisations are looked up; `None`: they are what the sign-in says.
    pub hpr: Option<Hpr>,
    /// Where people prove who they are outside the demo.
    pub identity_providers: Vec<IdentityProvider>,
    /// The law, asked before anything is registered by an order.
    pub law: Option<Law>,
    /// Demo mode: test tokens for synthetic people, and sign-in by choosing one. `None`: neither exists.
    pub demo: Option<Demo>,
}

/// The register of health personnel (HPR), as it is asked.
#[derive(Clone, Debug)]
pub struct Hpr {
    /// Its FHIR base, without a slash at the end.
    pub url: String,
    /// Whom it is asked as (HelseID's or the anchor's own client); `None` in a closed network that asks nobody.
    pub client_file: Option<PathBuf>,
    /// The audience of that client's tokens.
    pub audience: String,
    /// Their scope.
    pub scope: String,
    /// How long an answer is used, in seconds; a withdrawn authorisation gives tokens no longer than that.
    pub keep_seconds: i64,
}

/// An organisation that takes part.
#[derive(Clone, Debug)]
pub struct Participant {
    /// Organisation number of the main unit.
    pub orgnr: OrganisationNumber,
    /// Name.
    pub name: String,
    /// Version of its document; counts 1, 2, …
    pub version: u64,
    /// Sub-units for which it is the controller.
    pub units: Vec<Unit>,
    /// Public keys by which it signs documents.
    pub keys: KeySet,
    /// Functions to be reached.
    pub contacts: Vec<Contact>,
}

/// A sub-unit.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Organisation number, if it has one.
    pub orgnr: Option<OrganisationNumber>,
    /// RESH id, if it has one.
    pub resh: Option<String>,
    /// Name.
    pub name: String,
}

/// Who consumes under an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// One organisation.
    Organisation(OrganisationNumber),
    /// Every participant (`*members`).
    Members,
}

/// An agreement that opens a provider's data to a consumer.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// Its id.
    pub id: String,
    /// Its version; counts 1, 2, …
    pub version: u32,
    /// Who reads.
    pub consumer: Consumer,
    /// Who answers: the organisation responsible for the sharing service.
    pub provider: OrganisationNumber,
    /// What is opened.
    pub services: Vec<InformationService>,
    /// First day in force, `yyyy-mm-dd`.
    pub from: String,
    /// Last day in force; open-ended if missing.
    pub to: Option<String>,
    /// Has everybody signed whom it binds? The configuration's own stand by the operator's word. Without, it opens nothing.
    pub signed: bool,
}

/// A signed paper between organisations that no token depends on.
#[derive(Clone, Debug)]
pub struct Paper {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// What it is about.
    pub kind: AgreementKind,
    /// Who is bound.
    pub parties: Vec<OrganisationNumber>,
    /// The supplier, for a data processing agreement.
    pub processor: Option<OrganisationNumber>,
    /// Information services it covers.
    pub services: Vec<InformationService>,
    /// First day in force, `yyyy-mm-dd`.
    pub from: String,
    /// Last day in force; open-ended if missing.
    pub until: Option<String>,
    /// As in [`Agreement::signed`].
    pub signed: bool,
}

/// One organisation lets another act for it.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Who delegates.
    pub from: OrganisationNumber,
    /// Whose clients act.
    pub to: OrganisationNumber,
    /// First day in force, `yyyy-mm-dd`.
    pub from_day: String,
    /// Last day in force; open-ended if missing.
    pub to_day: Option<String>,
    /// As in [`Agreement::signed`].
    pub signed: bool,
}

/// A registered client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub client_id: String,
    /// The organisation it belongs to or is registered to send for.
    pub orgnr: OrganisationNumber,
    /// What for. Only a [`ClientUse::Gateway`] may exchange tokens.
    pub use_: ClientUse,
    /// Its public keys.
    pub keys: KeySet,
    /// Scopes it may ask for.
    pub scopes: Scopes,
    /// What it may learn of who signs in, of [`IDENTITY_SCOPES`].
    pub identity: Vec<String>,
    /// How it may come by tokens.
    pub grants: Vec<Grant>,
    /// Where codes may be sent, each exactly as it is asked for.
    pub redirect_uris: Vec<String>,
    /// Where browsers may be sent after a sign-out, each exactly as it is asked for.
    pub post_logout_redirect_uris: Vec<String>,
    /// Audiences it may ask for.
    pub audiences: Vec<String>,
    /// The audience that is the client itself (a gateway's base): subject tokens of an exchange must be for it.
    pub own_audience: Option<String>,
}

impl Client {
    /// A client as it is registered, with its own audience ([`gateway_of`]) for one that is a gateway. Ways to a token
    /// are, where none is named, those of its use.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn read(
        said: &wire::contract::register::Client,
        gateway: Option<String>,
    ) -> Result<Client, String> {
        let use_: ClientUse = serde_json::from_value(said.use_.clone().into())
            .map_err(|_| "the use is unknown".to_owned())?;
        let (identity, smart): (Vec<String>, Vec<String>) = said
            .scopes
            .iter()
            .cloned()
            .partition(|scope| IDENTITY_SCOPES.contains(&scope.as_str()));
        let grants = match (said.grants.is_empty(), use_) {
            (true, ClientUse::Gateway) => vec![Grant::ClientCredentials, Grant::TokenExchange],
            (true, _) => vec![Grant::ClientCredentials],
            (false, _) => {
                let read = |name: &String| {
                    Grant::parse(name).ok_or_else(|| "a grant is unknown".to_owned())
                };
                said.grants.iter().map(read).collect::<Result<_, _>>()?
            }
        };
        Ok(Client {
            client_id: said.client_id.clone(),
            orgnr: OrganisationNumber::parse(&said.orgnr)
                .map_err(|_| "orgnr is no organisation number".to_owned())?,
            use_,
            keys: KeySet::from_value(&serde_json::json!({ "keys": said.keys }))
                .map_err(|error| format!("keys: {error}"))?,
            scopes: Scopes::parse(&smart.join(" ")).map_err(|error| format!("scopes: {error}"))?,
            identity,
            grants,
            redirect_uris: said.redirect_uris.clone(),
            post_logout_redirect_uris: said.post_logout_redirect_uris.clone(),
            audiences: said.audiences.clone(),
            own_audience: gateway.filter(|_| use_ == ClientUse::Gateway),
        })
    }
}

/// Ways to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// For itself (RFC 6749 section 4.4).
    ClientCredentials,
    /// For somebody who signs in (RFC 6749 section 4.1, with RFC 9126 and RFC 7636).
    AuthorizationCode,
    /// Again for somebody who signed in, with scope `offline_access` (RFC 6749 section 6).
    RefreshToken,
    /// For the user of another's token (RFC 8693); gateways only.
    TokenExchange,
}

impl Grant {
    /// All of them.
    pub const ALL: [Grant; 4] = [
        Grant::ClientCredentials,
        Grant::AuthorizationCode,
        Grant::RefreshToken,
        Grant::TokenExchange,
    ];

    /// As a request and the discovery document name it.
    pub fn name(self) -> &'static str {
        match self {
            Grant::ClientCredentials => CLIENT_CREDENTIALS,
            Grant::AuthorizationCode => AUTHORIZATION_CODE,
            Grant::RefreshToken => REFRESH_TOKEN,
            Grant::TokenExchange => TOKEN_EXCHANGE,
        }
    }

    /// Reads the name exactly.
    pub fn parse(name: &str) -> Option<Grant> {
        Grant::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Scopes without a resource: what a client may learn of who signs in (OpenID Connect Core section 5.4; HelseID's names), and
/// that it is launched with a patient (SMART App Launch 2.2).
pub const IDENTITY_SCOPES: [&str; 9] = [
    IN_CONTEXT,
    CHOOSE_PATIENT,
    "openid",
    "profile",
    "offline_access",
    "helseid://scopes/identity/pid",
    "helseid://scopes/identity/security_level",
    "helseid://scopes/identity/assurance_level",
    "helseid://scopes/hpr/hpr_number",
];

/// An OpenID provider at which people sign in.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    /// Plain id; part of its redirect URI, `{issuer}/sign-in/{id}/callback`.
    pub id: String,
    /// Name on the sign-in page.
    pub name: String,
    /// Who signs in there: practitioners or citizens.
    pub people: Kind,
    /// The issuer, exactly as in its discovery document.
    pub issuer: String,
    /// We there.
    pub client_id: String,
    /// Signs our assertions there.
    pub key: SigningKey,
    /// How its ID tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Whether its token endpoint wants DPoP proofs.
    pub dpop: bool,
    /// Scopes, divided by spaces.
    pub scope: String,
    /// Levels to ask for, where it takes them so.
    pub acr_values: Option<String>,
    /// Its names of claims.
    pub claims: LoginClaims,
    /// Values of the level's claim that mean high (4). Nobody is let in at another level.
    pub high: Vec<String>,
    /// How strictly its national identity numbers are read.
    pub person_numbers: PersonNumbers,
    /// Whether a sign-out here goes on to it. It must know `{issuer}/signed-out` as our address after a sign-out.
    pub sign_out: bool,
}

/// A provider's names of the claims that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginClaims {
    /// National identity number.
    pub pid: String,
    /// Whole name; else given_name, middle_name and family_name.
    pub name: String,
    /// HPR number, if it tells any.
    pub hpr_number: Option<String>,
    /// Level of the sign-in.
    pub level: String,
}

/// What kind of party an audience is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceKind {
    /// A sharing service.
    Service,
    /// A record system that the hub delivers to.
    RecordSystem,
    /// The hub.
    Hub,
    /// A gateway.
    Gateway,
    /// The catalogue.
    Catalogue,
    /// The locator.
    Locator,
    /// This anchor's own operation.
    Operation,
}

impl Paper {
    /// As what an operator names it.
    pub(crate) fn operated_as(&self) -> wire::contract::operate::Kind {
        use wire::contract::operate::Kind;
        match self.kind {
            AgreementKind::DataProcessing => Kind::ProcessingAgreement,
            _ => Kind::Collaboration,
        }
    }
}

/// Something a token can be for.
#[derive(Clone, Debug)]
pub struct Audience {
    /// The audience exactly as tokens name it.
    pub url: String,
    /// The organisation responsible for patients' data behind it, or that runs it for its own people; `None` where it is nobody's in
    /// particular.
    pub owner: Option<OrganisationNumber>,
    /// Members of a shared register; they count as its owner.
    pub members: Vec<OrganisationNumber>,
    /// What it is.
    pub kind: AudienceKind,
}

/// The gateway that a client of this organisation (its main unit) is: the organisation's own, else the one that is nobody's in particular.
pub fn gateway_of(audiences: &[Audience], organisation: OrganisationNumber) -> Option<String> {
    let gateways = |owner| {
        let mut all = audiences.iter();
        all.find(move |one| one.kind == AudienceKind::Gateway && one.owner == owner)
    };
    let found = gateways(Some(organisation)).or_else(|| gateways(None));
    found.map(|one| one.url.clone())
}

/// People that test tokens may speak for by name; anybody synthetic may be spoken for.
#[derive(Clone, Default)]
pub struct Demo {
    /// Known people.
    pub people: Vec<DemoPerson>,
    /// Who may act for whom.
    pub represents: Vec<Represents>,
}

impl Demo {
    /// What the citizen may see of the patient's, if they may act for them at all.
    pub(crate) fn representation(
        &self,
        citizen: &PersonIdentifier,
        patient: &PersonIdentifier,
    ) -> Option<&trust::Representation> {
        let mut known = self.represents.iter();
        known
            .find(|one| one.citizen == *citizen && one.patient == *patient)
            .map(|one| &one.representation)
    }

    /// Who may act for a patient, and for what.
    pub(crate) fn represented_by(&self, patient: &PersonIdentifier) -> Vec<trust::RepresentedBy> {
        let known = self.represents.iter();
        let acting = known.filter(|one| one.patient == *patient);
        let name = |citizen: &PersonIdentifier| {
            let mut people = self.people.iter();
            people
                .find(|one| one.number == *citizen)
                .map(|one| one.name.clone())
        };
        acting
            .map(|one| trust::RepresentedBy {
                name: name(&one.citizen),
                by: one.representation.clone(),
            })
            .collect()
    }
}

/// A citizen who acts for a patient.
#[derive(Clone)]
pub struct Represents {
    /// Who acts.
    pub citizen: PersonIdentifier,
    /// For whom.
    pub patient: PersonIdentifier,
    /// By which representation, and what it covers.
    pub representation: trust::Representation,
}

impl std::fmt::Debug for Demo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Demo({} people)", self.people.len())
    }
}

/// A synthetic person.
#[derive(Clone)]
pub struct DemoPerson {
    /// National identity number.
    pub number: PersonIdentifier,
    /// Name.
    pub name: String,
    /// HPR number, for practitioners.
    pub hpr: Option<String>,
    /// Code of OID 2.16.578.1.12.4.1.1.9060 with its words, for practitioners.
    pub authorization: Option<(String, String)>,
}
