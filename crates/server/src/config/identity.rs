//! `[[anchor.identity_provider]]`: the OpenID providers at which people sign in, in the operator's words.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An OpenID provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// Plain id, part of the redirect URI.
    pub id: String,
    /// Name on the sign-in page.
    pub name: String,
    /// Whose ways it has; says what the settings below are if left out.
    pub profile: LoginProfile,
    /// The issuer, exactly as in its discovery document.
    pub issuer: String,
    /// Client file with our id and key there.
    pub client_file: PathBuf,
    /// Who signs in there.
    pub people: Option<People>,
    /// Scopes, divided by spaces.
    pub scope: Option<String>,
    /// Levels to ask for.
    pub acr_values: Option<String>,
    /// How its ID tokens may be signed, by JOSE names.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// Its token endpoint wants DPoP proofs.
    #[serde(default)]
    pub dpop: bool,
    /// A sign-out at the anchor goes on to it. It must know `{issuer}/signed-out` as an address after a sign-out.
    #[serde(default)]
    pub sign_out: bool,
    /// Values of the level's claim that are high.
    #[serde(default)]
    pub high: Vec<String>,
    /// Its names of claims: pid, level, name, hpr_number.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

/// Providers whose ways are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginProfile {
    /// HelseID, for health personnel.
    Helseid,
    /// ID-porten, for citizens.
    IdPorten,
    /// Any other, such as Keycloak.
    Openid,
}

/// Who signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum People {
    /// Health personnel.
    Practitioners,
    /// Citizens.
    Citizens,
}
