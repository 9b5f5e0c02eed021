//! Where people prove who they are in operation: OpenID providers that the configuration names (HelseID for health
//! personnel, ID-porten for citizens, Keycloak for either). Decision 0036.
//!
//! A sign-in's way: `api/authorize.rs` → `api/upstream.rs::begin` (request pushed to the provider, browser sent there) →
//! `api/upstream.rs::back` (answer bound to the browser, used once, ID token verified) → `person` (who it is, at which level) →
//! `api/authorize.rs::complete`, as after any sign-in.

pub(crate) mod person;

use crate::config::{Config, IdentityProvider};
use crate::request::Pushed;
use trust::token::Kind;
use wire::House;
use wire::client::{Registration, RelyingParty};
use wire::contract::demo::is_sample;

/// Why the identity providers of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The id stands in addresses.
    #[error("identity provider {0}: the id is not plain; use a-z, 0-9 and -")]
    Id(String),
    /// Two with the same id.
    #[error("identity provider {0} stands twice")]
    Twice(String),
    /// Nobody, or nobody that signs in.
    #[error("identity provider {0}: people are practitioners or citizens")]
    People(String),
    /// No value of the level's claim counts as high, or an algorithm is missing.
    #[error(
        "identity provider {0}: say which values of the level's claim are high, and which algorithms sign"
    )]
    Level(String),
    /// A key whose private part others have.
    #[error(
        "identity provider {0}: the key is the demo's or a standard's example; make one with `delt client-key`"
    )]
    Sample(String),
    /// No randomness.
    #[error("identity provider {0}: {1}")]
    Key(String, trust::keys::KeyError),
}

/// One provider.
pub(crate) struct Provider {
    pub(crate) config: IdentityProvider,
    pub(crate) party: RelyingParty,
}

/// All providers, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Providers(Vec<Provider>);

impl Providers {
    /// Checks the configuration. Nothing is fetched yet, so that parts may start in any order.
    pub(crate) fn open(config: &Config, house: &House) -> Result<Providers, ProviderError> {
        let mut found: Vec<Provider> = Vec::new();
        for one in &config.identity_providers {
            let id = || one.id.clone();
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if one.id.is_empty() || !one.id.bytes().all(plain) {
                return Err(ProviderError::Id(id()));
            }
            if found.iter().any(|had| had.config.id == one.id) {
                return Err(ProviderError::Twice(id()));
            }
            if one.people == Kind::System {
                return Err(ProviderError::People(id()));
            }
            if one.high.is_empty() || one.algorithms.is_empty() {
                return Err(ProviderError::Level(id()));
            }
            if config.demo.is_none() && is_sample(one.key.public()) {
                return Err(ProviderError::Sample(id()));
            }
            let registration = Registration {
                issuer: one.issuer.clone(),
                client_id: one.client_id.clone(),
                key: one.key.clone(),
                algorithms: one.algorithms.clone(),
                dpop: one.dpop,
            };
            let party = RelyingParty::new(
                registration,
                house.http.clone(),
                house.clock.clone(),
                house.ids.clone(),
            )
            .map_err(|error| ProviderError::Key(id(), error))?;
            found.push(Provider {
                config: one.clone(),
                party,
            });
        }
        Ok(Providers(found))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those at which the person of this request can sign in.
    pub(crate) fn for_request(&self, request: &Pushed) -> Vec<&Provider> {
        let fits = |one: &&Provider| request.is_for(one.config.people);
        self.0.iter().filter(fits).collect()
    }

    pub(crate) fn named(&self, id: &str) -> Option<&Provider> {
        self.0.iter().find(|one| one.config.id == id)
    }
}
