//! The identity providers of the configuration as the anchor takes them: each profile's own ways, and what the operator says
//! otherwise. Sources: HelseID's and ID-porten's public pages on scopes, claims and levels.

use super::Setting;
use crate::config::{IdentityProvider, LoginProfile, People};
use ::anchor::config::LoginClaims;
use anyhow::{Context, anyhow, ensure};
use trust::keys::{Algorithm, SigningKey};
use trust::token::Kind;
use wire::client::Party;

/// What a provider's settings come to, apart from its key file.
pub(crate) struct Agreed {
    people: Kind,
    scope: String,
    acr_values: Option<String>,
    algorithms: Vec<Algorithm>,
    high: Vec<String>,
    claims: LoginClaims,
}

impl Agreed {
    /// Whether health personnel signs in there.
    pub(crate) fn is_for_personnel(&self) -> bool {
        self.people == Kind::Practitioner
    }
}

/// The ways of a profile.
struct Ways {
    people: Option<People>,
    scope: &'static str,
    acr_values: Option<&'static str>,
    algorithms: &'static [Algorithm],
    high: &'static [&'static str],
    pid: &'static str,
    level: &'static str,
    hpr_number: Option<&'static str>,
}

const HELSEID: Ways = Ways {
    people: Some(People::Practitioners),
    scope: "openid profile helseid://scopes/identity/pid helseid://scopes/identity/security_level helseid://scopes/hpr/hpr_number",
    acr_values: None,
    algorithms: &ALL,
    high: &["4"],
    pid: "helseid://claims/identity/pid",
    level: "helseid://claims/identity/security_level",
    hpr_number: Some("helseid://claims/hpr/hpr_number"),
};

const ID_PORTEN: Ways = Ways {
    people: Some(People::Citizens),
    scope: "openid profile",
    acr_values: Some("idporten-loa-high"),
    algorithms: &ALL,
    high: &["idporten-loa-high"],
    pid: "pid",
    level: "acr",
    hpr_number: None,
};

/// Nothing is guessed about a provider that is not known.
const OPENID: Ways = Ways {
    people: None,
    scope: "openid profile",
    acr_values: None,
    algorithms: &Algorithm::ALL,
    high: &[],
    pid: "",
    level: "",
    hpr_number: None,
};

const ALL: [Algorithm; 4] = [
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Rs256,
];

/// Completes a provider's settings from its profile, or says which is missing or not understood.
pub(crate) fn agreed(one: &IdentityProvider) -> anyhow::Result<Agreed> {
    let ways = match one.profile {
        LoginProfile::Helseid => HELSEID,
        LoginProfile::IdPorten => ID_PORTEN,
        LoginProfile::Openid => OPENID,
    };
    let mut claims = LoginClaims {
        pid: ways.pid.to_owned(),
        name: "name".to_owned(),
        hpr_number: ways.hpr_number.map(str::to_owned),
        level: ways.level.to_owned(),
    };
    for (claim, name) in &one.claims {
        ensure!(!name.is_empty(), "claims.{claim} is empty");
        match claim.as_str() {
            "pid" => claims.pid.clone_from(name),
            "name" => claims.name.clone_from(name),
            "level" => claims.level.clone_from(name),
            "hpr_number" => claims.hpr_number = Some(name.clone()),
            other => return Err(anyhow!("claims.{other} is no claim that is read")),
        }
    }
    ensure!(
        !claims.pid.is_empty() && !claims.level.is_empty(),
        "claims.pid and claims.level must be said for profile openid"
    );
    let high = match one.high.as_slice() {
        [] => ways.high.iter().map(|value| (*value).to_owned()).collect(),
        said => said.to_vec(),
    };
    ensure!(!high.is_empty(), "high must be said for profile openid");
    let scope = one.scope.as_deref().unwrap_or(ways.scope);
    ensure!(
        scope.split(' ').any(|word| word == "openid"),
        "scope lacks openid"
    );
    let algorithms = match one.algorithms.as_slice() {
        [] => ways.algorithms.to_vec(),
        said => said
            .iter()
            .map(|name| {
                Algorithm::parse(name)
                    .ok_or_else(|| anyhow!("algorithm `{name}` is not one that is taken"))
            })
            .collect::<anyhow::Result<_>>()?,
    };
    let people = one
        .people
        .or(ways.people)
        .context("people must be said for profile openid")?;
    Ok(Agreed {
        people: match people {
            People::Practitioners => Kind::Practitioner,
            People::Citizens => Kind::Citizen,
        },
        scope: scope.to_owned(),
        acr_values: one
            .acr_values
            .clone()
            .or_else(|| ways.acr_values.map(str::to_owned)),
        algorithms,
        high,
        claims,
    })
}

/// The providers, each with our key there.
pub(super) fn of(setting: &Setting<'_>) -> anyhow::Result<Vec<::anchor::config::IdentityProvider>> {
    let read = |one: &IdentityProvider| {
        let at = || format!("anchor.identity_provider {}", one.id);
        let agreed = agreed(one).with_context(at)?;
        let file = Party::read(&one.client_file).with_context(at)?;
        ensure!(
            file.issuer == one.issuer,
            "{}: the client file is for another issuer, {}",
            at(),
            file.issuer
        );
        Ok(::anchor::config::IdentityProvider {
            id: one.id.clone(),
            name: one.name.clone(),
            people: agreed.people,
            issuer: one.issuer.clone(),
            client_id: file.client_id,
            key: SigningKey::from_jwk(&file.jwk.0.to_string()).with_context(at)?,
            algorithms: agreed.algorithms,
            dpop: one.dpop,
            scope: agreed.scope,
            acr_values: agreed.acr_values,
            claims: agreed.claims,
            high: agreed.high,
            person_numbers: setting.person_numbers(),
            sign_out: one.sign_out,
        })
    };
    let all = setting.config.anchor.identity_provider.iter();
    all.map(read).collect()
}
