//! The trust anchor's words: discovery (RFC 8414), the token endpoint's forms (RFC 6749, RFC 8693, RFC 9449) and the
//! signed documents about participants and agreements.

use serde::{Deserialize, Serialize};

use super::Hidden;

/// Discovery document under the issuer.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Key set under the issuer.
pub const JWKS: &str = "/jwks";
/// Token endpoint under the issuer.
pub const TOKEN: &str = "/token";
/// Signed participant documents, `SignedDocuments`.
pub const PARTICIPANTS: &str = "/participants";
/// Signed agreement documents, `SignedDocuments`.
pub const AGREEMENTS: &str = "/agreements";

/// Grant type of a client acting for itself.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// Grant type of token exchange.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
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
    /// Where participants are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participants_endpoint: Option<String>,
    /// Where agreements are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreements_endpoint: Option<String>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Sub-units (organisation numbers) for which this organisation is the controller.
    #[serde(default)]
    pub units: Vec<String>,
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
    /// What it is about.
    pub kind: AgreementKind,
    /// Organisation numbers of those bound.
    pub parties: Vec<String>,
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
