//! The trust anchor's words: discovery (RFC 8414), the token endpoint's forms (RFC 6749, RFC 8693, RFC 9449) and the
//! signed documents about participants and agreements.

use serde::{Deserialize, Serialize};

use super::Hidden;
use super::operate::Standing;

/// Discovery document under the issuer.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Key set under the issuer.
pub const JWKS: &str = "/jwks";
/// Token endpoint under the issuer.
pub const TOKEN: &str = "/token";
/// Pushed authorization requests (RFC 9126) under the issuer.
pub const PAR: &str = "/par";
/// Authorization endpoint under the issuer.
pub const AUTHORIZE: &str = "/authorize";
/// Token revocation (RFC 7009) under the issuer.
pub const REVOKE: &str = "/revoke";
/// Sign-in under the issuer: who is signed in, and the form of the page.
pub const SIGN_IN: &str = "/sign-in";
/// To an identity provider, from the sign-in page, under the issuer.
pub const SIGN_IN_AT: &str = "/sign-in/{provider}";
/// Where an identity provider sends people back, under the issuer.
pub const SIGN_IN_BACK: &str = "/sign-in/{provider}/callback";
/// Sign-out under the issuer.
pub const SIGN_OUT: &str = "/sign-out";
/// Where a client sends the browser to sign out (OpenID Connect RP-Initiated Logout 1.0), under the issuer.
pub const END_SESSION: &str = "/end-session";
/// Where an identity provider sends the browser back after a sign-out there, under the issuer.
pub const SIGNED_OUT: &str = "/signed-out";
/// Styles of the sign-in page under the issuer.
pub const SIGN_IN_STYLE: &str = "/sign-in.css";
/// Signed participant documents, `SignedDocuments`.
pub const PARTICIPANTS: &str = "/participants";
/// Signed agreement documents, `SignedDocuments`.
pub const AGREEMENTS: &str = "/agreements";

/// Grant type of a client acting for itself.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// Grant type of token exchange.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Grant type of a code.
pub const AUTHORIZATION_CODE: &str = "authorization_code";
/// Grant type of a refresh token.
pub const REFRESH_TOKEN: &str = "refresh_token";
/// What a `request_uri` starts with (RFC 9126 section 2.2).
pub const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";
/// Token type of an access token in a token exchange.
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Client authentication by a signed assertion.
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// JOSE `typ` of a participant document.
pub const PARTICIPANT_TYP: &str = "delt-participant+jwt";
/// JOSE `typ` of an agreement document.
pub const AGREEMENT_TYP: &str = "delt-agreement+jwt";

/// The discovery document; members a foreign issuer adds are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    /// Exactly the issuer's URL.
    pub issuer: String,
    /// Key set URL.
    pub jwks_uri: String,
    /// Token endpoint URL.
    pub token_endpoint: String,
    /// Grants offered.
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// `private_key_jwt` only.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions.
    #[serde(default)]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Algorithms of proofs.
    #[serde(default)]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Scopes offered.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// What only an issuer with sign-in has.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignInDiscovery>,
    /// Where participants are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participants_endpoint: Option<String>,
    /// Where agreements are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreements_endpoint: Option<String>,
}

/// Members of the discovery document of an issuer where people sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInDiscovery {
    /// Authorization endpoint URL.
    pub authorization_endpoint: String,
    /// Endpoint for pushed requests.
    pub pushed_authorization_request_endpoint: String,
    /// No other requests are taken.
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// Where a record system deposits what it opens an app for ([`super::launch`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_context_endpoint: Option<String>,
    /// Revocation endpoint URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// Where a browser is sent to sign out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<String>,
    /// `private_key_jwt` only.
    #[serde(default)]
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions there.
    #[serde(default)]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// `code` only.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    /// `query` only.
    #[serde(default)]
    pub response_modes_supported: Vec<String>,
    /// `S256` only.
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// `iss` stands in every authorization response (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Types of `authorization_details` (RFC 9396).
    #[serde(default)]
    pub authorization_details_types_supported: Vec<String>,
    /// Values of `prompt`.
    #[serde(default)]
    pub prompt_values_supported: Vec<String>,
    /// `public`: a person has one subject for all clients.
    #[serde(default)]
    pub subject_types_supported: Vec<String>,
    /// Algorithms of ID tokens.
    #[serde(default)]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Claims of ID tokens.
    #[serde(default)]
    pub claims_supported: Vec<String>,
    /// `claims` is not taken.
    #[serde(default)]
    pub claims_parameter_supported: bool,
    /// `request` is not taken.
    #[serde(default)]
    pub request_parameter_supported: bool,
}

/// The answer to a pushed request (RFC 9126 section 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedAnswer {
    /// To be brought to the authorization endpoint, once.
    pub request_uri: Hidden,
    /// Seconds until it must be there.
    pub expires_in: u32,
}

/// Form of a client credentials request. The client is named by the assertion alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentialsForm {
    /// Compact JWS of the client assertion.
    pub client_assertion: Hidden,
    /// One audience, sent as `resource` (RFC 8707); `audience` is accepted too.
    pub resource: String,
    /// Space-separated scopes.
    pub scope: String,
}

impl ClientCredentialsForm {
    /// As form parameters, in the order they are sent.
    pub fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("grant_type", CLIENT_CREDENTIALS),
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", self.client_assertion.expose()),
            ("resource", &self.resource),
            ("scope", &self.scope),
        ]
    }
}

/// Form of a token exchange (RFC 8693 section 2.1), for gateways only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenExchangeForm {
    /// Compact JWS of the client assertion.
    pub client_assertion: Hidden,
    /// The user's token, whose audience is this gateway.
    pub subject_token: Hidden,
    /// The one provider that the new token is for.
    pub resource: String,
    /// Space-separated scopes, no wider than the subject token's.
    pub scope: String,
}

impl TokenExchangeForm {
    /// As form parameters, in the order they are sent.
    pub fn pairs(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("grant_type", TOKEN_EXCHANGE),
            ("client_assertion_type", CLIENT_ASSERTION_TYPE),
            ("client_assertion", self.client_assertion.expose()),
            ("subject_token", self.subject_token.expose()),
            ("subject_token_type", ACCESS_TOKEN_TYPE),
            ("requested_token_type", ACCESS_TOKEN_TYPE),
            ("resource", &self.resource),
            ("scope", &self.scope),
        ]
    }
}

/// The token endpoint's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// The compact JWS.
    pub access_token: Hidden,
    /// Always `DPoP`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u32,
    /// What was granted, when it differs from what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// For token exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
    /// For the next token, once; in its place comes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Hidden>,
    /// Seconds until the refresh token and those after it end (HelseID's name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rt_expires_in: Option<u32>,
    /// Who signed in, for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<Hidden>,
    /// The attest as granted, when it came with the authorization request (RFC 9396 section 7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<Details>,
    /// The patient in context (SMART App Launch 2.2): an id of the anchor's, the same for the same person; nobody's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// Whether the app must show who the patient is (SMART).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need_patient_banner: Option<bool>,
}

/// Authorization details; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(pub Vec<serde_json::Value>);

impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[details]")
    }
}

/// The answer of `/participants` and `/agreements`: compact JWS documents signed by the anchor, one a version in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedDocuments(pub Vec<String>);

/// Claims of a participant document (`typ` [`PARTICIPANT_TYP`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// The issuer that vouches.
    pub iss: String,
    /// The organisation number.
    pub sub: String,
    /// Unix seconds of issue.
    pub iat: i64,
    /// The organisation's name.
    pub name: String,
    /// Counts 1, 2, …; an older version is never accepted as newer.
    pub version: u64,
    /// Whether its access stands; a member that does not know the word reads what it always read.
    #[serde(default)]
    pub state: Standing,
    /// Sub-units (organisation numbers) for which this organisation is the controller.
    #[serde(default)]
    pub units: Vec<String>,
    /// Public keys (JWK) with which it signs what others verify: its own, for agreements, and those of its services and gateways,
    /// for catalogue entries and receipts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<serde_json::Value>,
    /// Functions to be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<super::register::Contact>,
}

/// What an agreement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgreementKind {
    /// Members of a shared register (pasientjournalloven § 9).
    SharedRegister,
    /// Members that use a locator (pasientjournalloven § 9).
    Locator,
    /// Data processing agreement (databehandleravtale) between a controller and its supplier.
    DataProcessing,
    /// Access to each other's data for health care (pasientjournalloven § 19).
    DataSharing,
}

/// The consumer of an agreement that every participant may read by.
pub const EVERY_MEMBER: &str = "*members";

/// Documents of before the word was there stood by the operator's.
fn signed() -> bool {
    true
}

/// Claims of an agreement document (`typ` [`AGREEMENT_TYP`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementDocument {
    /// The issuer that vouches.
    pub iss: String,
    /// The agreement's id.
    pub sub: String,
    /// Unix seconds of issue.
    pub iat: i64,
    /// Counts 1, 2, …
    pub version: u64,
    /// Whether it opens anything now, within its days.
    #[serde(default)]
    pub state: Standing,
    /// Whether everybody it binds has signed; without, it opens nothing.
    #[serde(default = "signed")]
    pub signed: bool,
    /// What it is about.
    pub kind: AgreementKind,
    /// Organisation numbers of those bound.
    pub parties: Vec<String>,
    /// Who reads, for an agreement on sharing: an organisation number, or [`EVERY_MEMBER`]; `parties` alone do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Whose data, for an agreement on sharing: an organisation number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The supplier, for a data processing agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Information services (`IT17`) it covers.
    #[serde(default)]
    pub services: Vec<String>,
    /// First day in force, `YYYY-MM-DD`.
    pub from: String,
    /// Last day in force, `YYYY-MM-DD`; open-ended if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}
