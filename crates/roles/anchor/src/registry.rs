//! The register in the form the token routes ask it: which client, which audience, which agreement or delegation is in
//! force at this moment.

use crate::config::{
    Agreement, Audience, AudienceKind, Client, Config, Consumer, Delegation, Grant, IDENTITY_SCOPES,
};
use crate::operate::Book;
use fhir::ids::OrganisationNumber;
use fhir::time::{Instant, LATEST, Range, Zone, parse_date};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use trust::organisation::Register;
use wire::contract::demo::is_sample;
use wire::contract::operate::{Kind, OPERATE};

/// Why a configuration cannot be used. Names the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// A day is not `yyyy-mm-dd`, or the last lies before the first.
    #[error("{0}: the days are not yyyy-mm-dd, or the last lies before the first")]
    Days(String),
    /// Two entries have the same id.
    #[error("{0} stands twice")]
    Twice(String),
    /// An entry names an organisation that does not take part.
    #[error("{0}: the organisation {1} is no participant")]
    Stranger(String, OrganisationNumber),
    /// A gateway without the audience that subject tokens must have.
    #[error("client {0}: a gateway needs its own audience")]
    NoOwnAudience(String),
    /// A client for people who sign in, without a usable place to send codes to.
    #[error(
        "client {0}: redirect_uris and post_logout_redirect_uris must be absolute https URLs (http on loopback only) without user or fragment, one at least with the grant authorization_code"
    )]
    Redirect(String),
    /// A grant that this client cannot have.
    #[error(
        "client {0}: token exchange is for gateways, refresh tokens come with authorization_code"
    )]
    Grant(String),
    /// A scope that is neither SMART's nor one of [`crate::config::IDENTITY_SCOPES`].
    #[error("client {0}: an identity scope is unknown")]
    Identity(String),
    /// A key whose private part others have.
    #[error(
        "client {0}: the key is the demo's or a standard's example; make one with `delt client-key`"
    )]
    Sample(String),
    /// A new key would sign before every service has it.
    #[error("publish_key_seconds: services keep the key set for up to 60 seconds, so never less")]
    Published,
    /// A client with use `operator` that is not the anchor's operator alone.
    #[error(
        "client {0}: an operator belongs to the organisation that the anchor names as operator, has client_credentials alone and no audience but the anchor's operation"
    )]
    Operator(String),
}

/// The register.
pub(crate) struct Registry {
    clients: HashMap<String, Client>,
    audiences: HashMap<String, Audience>,
    agreements: Vec<(Agreement, Range)>,
    delegations: Vec<(Delegation, Range)>,
    /// Ids of the other papers that are published.
    papers: HashSet<(Kind, String)>,
    /// Participants and their sub-units.
    pub(crate) organisations: Arc<Register>,
    /// What is suspended or ended.
    pub(crate) book: Arc<Book>,
}

fn days(entry: &str, from: &str, to: Option<&str>, zone: &Zone) -> Result<Range, RegistryError> {
    let wrong = || RegistryError::Days(entry.to_owned());
    let day = |text: &str| {
        (text.len() == 10)
            .then(|| parse_date(text, zone).ok())
            .flatten()
            .ok_or_else(wrong)
    };
    let lo = day(from)?.lo;
    let hi = to.map(day).transpose()?.map_or(LATEST, |last| last.hi);
    if lo < hi {
        Ok(Range { lo, hi })
    } else {
        Err(wrong())
    }
}

/// Whether a code may ever be sent to this address (RFC 8252 section 7.3 and RFC 9700 section 2.1).
fn is_redirect(uri: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else {
        return false;
    };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    (url.scheme() == "https" || url.scheme() == "http" && loopback)
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

fn in_force(range: &Range, now: Instant) -> bool {
    range.lo <= now.0 && now.0 < range.hi
}

impl Registry {
    pub(crate) fn new(config: &Config, book: Arc<Book>) -> Result<Registry, RegistryError> {
        let mut organisations = Register::default();
        // A number is one organisation's or unit's alone: whoever claimed another's would have its access.
        let mut seen = HashSet::new();
        let mut alone = |number: String| match seen.insert(number.clone()) {
            true => Ok(()),
            false => Err(RegistryError::Twice(number)),
        };
        for participant in &config.participants {
            alone(participant.orgnr.to_string())?;
            // Whoever has the private part signs agreements in the participant's name.
            if config.demo.is_none() && participant.keys.keys().iter().any(is_sample) {
                return Err(RegistryError::Sample(participant.orgnr.to_string()));
            }
            organisations.add(participant.orgnr, &participant.name);
            for unit in &participant.units {
                unit.resh
                    .iter()
                    .try_for_each(|resh| alone(format!("RESH {resh}")))?;
                if let Some(orgnr) = unit.orgnr {
                    alone(orgnr.to_string())?;
                    organisations.add_unit(orgnr, &participant.orgnr, &unit.name);
                }
                if let Some(resh) = &unit.resh {
                    organisations.add_resh(resh, &participant.orgnr, &unit.name);
                }
            }
        }
        let known = |entry: &str, orgnr: OrganisationNumber| match organisations.controller(&orgnr)
        {
            Some(_) => Ok(()),
            None => Err(RegistryError::Stranger(entry.to_owned(), orgnr)),
        };
        let operation = format!("{}{OPERATE}", config.issuer);
        if config.publish_key_seconds < 60 {
            return Err(RegistryError::Published);
        }
        if let Some(operator) = config.operator {
            known("operator", operator)?;
        }
        let mut clients = HashMap::new();
        for client in &config.clients {
            let entry = format!("client {}", client.client_id);
            known(&entry, client.orgnr)?;
            if client.use_ == trust::ClientUse::Gateway && client.own_audience.is_none() {
                return Err(RegistryError::NoOwnAudience(client.client_id.clone()));
            }
            let granted = |one| client.grants.contains(&one);
            if granted(Grant::TokenExchange) && client.use_ != trust::ClientUse::Gateway
                || granted(Grant::RefreshToken) && !granted(Grant::AuthorizationCode)
            {
                return Err(RegistryError::Grant(client.client_id.clone()));
            }
            if granted(Grant::AuthorizationCode) && client.redirect_uris.is_empty()
                || !client
                    .redirect_uris
                    .iter()
                    .chain(&client.post_logout_redirect_uris)
                    .all(|uri| is_redirect(uri))
            {
                return Err(RegistryError::Redirect(client.client_id.clone()));
            }
            let known = |scope: &String| IDENTITY_SCOPES.contains(&scope.as_str());
            if !client.identity.iter().all(known) {
                return Err(RegistryError::Identity(client.client_id.clone()));
            }
            if config.demo.is_none() && client.keys.keys().iter().any(is_sample) {
                return Err(RegistryError::Sample(client.client_id.clone()));
            }
            let alone = config.operator.is_some_and(|operator| {
                organisations.controller(&client.orgnr) == organisations.controller(&operator)
            }) && client.grants == [Grant::ClientCredentials]
                && client.audiences == [operation.clone()];
            let operates = client.use_ == trust::ClientUse::Operator;
            if operates != client.audiences.contains(&operation) || operates && !alone {
                return Err(RegistryError::Operator(client.client_id.clone()));
            }
            if clients
                .insert(client.client_id.clone(), client.clone())
                .is_some()
            {
                return Err(RegistryError::Twice(entry));
            }
        }
        let mut audiences = HashMap::new();
        for audience in &config.audiences {
            let entry = format!("audience {}", audience.url);
            audience
                .owner
                .iter()
                .chain(&audience.members)
                .try_for_each(|orgnr| known(&entry, *orgnr))?;
            if audiences
                .insert(audience.url.clone(), audience.clone())
                .is_some()
            {
                return Err(RegistryError::Twice(entry));
            }
        }
        if config.operator.is_some() {
            let audience = Audience {
                url: operation.clone(),
                owner: None,
                members: Vec::new(),
                kind: AudienceKind::Operation,
            };
            if audiences.insert(operation.clone(), audience).is_some() {
                return Err(RegistryError::Twice(format!("audience {operation}")));
            }
        }
        let mut agreements = Vec::new();
        for one in &config.agreements {
            let entry = format!("agreement {}", one.id);
            known(&entry, one.provider)?;
            if let Consumer::Organisation(consumer) = one.consumer {
                known(&entry, consumer)?;
            }
            agreements.push((
                one.clone(),
                days(&entry, &one.from, one.to.as_deref(), &config.zone)?,
            ));
        }
        let mut delegations = Vec::new();
        for one in &config.delegations {
            let entry = format!("delegation {}", one.id);
            known(&entry, one.from)?;
            known(&entry, one.to)?;
            delegations.push((
                one.clone(),
                days(&entry, &one.from_day, one.to_day.as_deref(), &config.zone)?,
            ));
        }
        for paper in &config.papers {
            days(
                &format!("paper {}", paper.id),
                &paper.from,
                paper.until.as_deref(),
                &config.zone,
            )?;
        }
        Ok(Registry {
            clients,
            audiences,
            agreements,
            delegations,
            papers: config
                .papers
                .iter()
                .map(|paper| (paper.operated_as(), paper.id.clone()))
                .collect(),
            organisations: Arc::new(organisations),
            book,
        })
    }

    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.get(id)
    }

    pub(crate) fn has_agreement(&self, id: &str) -> bool {
        self.agreements.iter().any(|(one, _)| one.id == id)
    }

    pub(crate) fn has_delegation(&self, id: &str) -> bool {
        self.delegations.iter().any(|(one, _)| one.id == id)
    }

    /// Is there such a data processing agreement, or such a collaboration?
    pub(crate) fn has_paper(&self, kind: Kind, id: &str) -> bool {
        self.papers.contains(&(kind, id.to_owned()))
    }

    /// Is the organisation, or the one it is a unit of, suspended?
    pub(crate) fn is_suspended(&self, orgnr: &OrganisationNumber) -> bool {
        let controller = self.organisations.main_unit(*orgnr);
        let standings = self.book.standings();
        !standings.counts(Kind::Participant, &controller.to_string())
    }

    pub(crate) fn audience(&self, url: &str) -> Option<&Audience> {
        self.audiences.get(url)
    }

    /// The main unit of an organisation number, if it takes part.
    pub(crate) fn controller(&self, orgnr: &OrganisationNumber) -> Option<OrganisationNumber> {
        self.organisations.controller(orgnr)
    }

    /// Is this organisation the owner of what is behind the audience, or a member of the shared register?
    pub(crate) fn is_own(&self, orgnr: &OrganisationNumber, audience: &Audience) -> bool {
        let controller = self.organisations.main_unit(*orgnr);
        audience.owner == Some(controller) || audience.members.contains(&controller)
    }

    /// The agreement by which `consumer` reads at `audience` now. One that names the consumer comes before one for all
    /// members; the newest version before older ones, the last by id of those alike: as [`wire::members::Members::readers`]
    /// reads it from what is published.
    pub(crate) fn agreement(
        &self,
        consumer: &OrganisationNumber,
        audience: &Audience,
        now: Instant,
    ) -> Option<trust::Agreement> {
        let consumer = self.controller(consumer)?;
        let standings = self.book.standings();
        let fits = |(one, range): &&(Agreement, Range)| {
            let named = match one.consumer {
                Consumer::Organisation(named) => self.controller(&named) == Some(consumer),
                Consumer::Members => true,
            };
            named
                && one.signed
                && audience.owner == Some(one.provider)
                && in_force(range, now)
                && standings.counts(Kind::Agreement, &one.id)
                && !self.is_suspended(&consumer)
                && !self.is_suspended(&one.provider)
        };
        let version =
            |one: &Agreement| one.version + standings.of(Kind::Agreement, &one.id, None).changes;
        let fitting = self.agreements.iter().filter(fits).map(|(one, _)| one);
        let best =
            fitting.max_by_key(|one| (one.consumer != Consumer::Members, version(one), &one.id));
        best.map(|one| trust::Agreement {
            id: one.id.clone(),
            version: version(one),
            services: one.services.clone(),
        })
    }

    /// The delegation by which a client of `actor` writes at `audience` now: from the owner, else from a member.
    pub(crate) fn delegation(
        &self,
        actor: &OrganisationNumber,
        audience: &Audience,
        now: Instant,
    ) -> Option<trust::Delegation> {
        self.delegated(actor, now, |one| {
            self.is_own(&one.from, audience)
                .then_some((audience.owner == Some(one.from), one.version))
        })
    }

    /// The delegation by which a client of `actor` serves the people of `from` now.
    pub(crate) fn delegation_of(
        &self,
        from: &OrganisationNumber,
        actor: &OrganisationNumber,
        now: Instant,
    ) -> Option<trust::Delegation> {
        let from = self.controller(from)?;
        self.delegated(actor, now, |one| {
            (self.controller(&one.from) == Some(from)).then_some(one.version)
        })
    }

    /// The delegation to `actor` in force now that fits best, by the order that `fit` gives to those that fit at all.
    fn delegated<O: Ord>(
        &self,
        actor: &OrganisationNumber,
        now: Instant,
        fit: impl Fn(&Delegation) -> Option<O>,
    ) -> Option<trust::Delegation> {
        let actor = self.controller(actor)?;
        let standings = self.book.standings();
        let fits = |(one, range): &&(Delegation, Range)| {
            one.signed
                && self.controller(&one.to) == Some(actor)
                && in_force(range, now)
                && standings.counts(Kind::Delegation, &one.id)
        };
        let best = self
            .delegations
            .iter()
            .filter(fits)
            .filter_map(|found| Some((fit(&found.0)?, found)))
            .max_by(|one, other| one.0.cmp(&other.0))
            .map(|(_, found)| found);
        best.map(|(one, _)| trust::Delegation {
            id: one.id.clone(),
            version: one.version + standings.of(Kind::Delegation, &one.id, None).changes,
            from: one.from,
        })
    }
}

impl Audience {
    /// Does it hold an organisation's patients' data?
    pub(crate) fn holds_patients(&self) -> bool {
        matches!(
            self.kind,
            AudienceKind::Service | AudienceKind::RecordSystem
        )
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
