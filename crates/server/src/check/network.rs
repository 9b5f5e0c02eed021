//! Our own rules for a safe start: addresses, plain http, and names that must be known.

use super::Refusal;
use crate::config::Config;
use std::collections::HashSet;
use url::Url;
use wire::client::Network;

/// Every base is an absolute http(s) URL without a slash at its end; http only where the network is allowed by name.
pub fn addresses(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let mut bases: Vec<(String, &Url)> = vec![("anchor.base".into(), &config.anchor.base)];
    let roles = [
        ("catalogue.base", config.catalogue.as_ref().map(|p| &p.base)),
        ("locator.base", config.locator.as_ref().map(|p| &p.base)),
        ("hub.base", config.hub.as_ref().map(|p| &p.base)),
        ("gateway.base", config.gateway.as_ref().map(|p| &p.base)),
        ("portal.base", config.portal.as_ref().map(|p| &p.base)),
    ];
    bases.extend(
        roles
            .into_iter()
            .filter_map(|(n, u)| Some((n.to_owned(), u?))),
    );
    bases.extend(
        config
            .service
            .iter()
            .map(|s| (format!("service.{}.fhir", s.id), &s.fhir)),
    );
    let others = config.other_gateway.iter();
    bases.extend(others.map(|one| (format!("other_gateway.{}.base", one.orgnr), &one.base)));
    for o in &config.organisation {
        bases.extend(o.record_system.as_ref().map(|r| {
            (
                format!("organisation.{}.record_system.base", o.orgnr),
                &r.base,
            )
        }));
    }
    let hpr = config.anchor.hpr.as_ref();
    bases.extend(hpr.map(|hpr| ("anchor.hpr.url".to_owned(), &hpr.url)));
    bases.extend(config.service.iter().filter_map(|s| {
        let pvk = s.pvk.as_ref()?;
        Some((format!("service.{}.pvk.url", s.id), &pvk.url))
    }));
    for s in &config.service {
        let endpoints = s.subscriber.iter().flat_map(|one| &one.endpoints);
        bases.extend(endpoints.map(|url| (format!("service.{}.subscriber.endpoints", s.id), url)));
    }
    for (setting, url) in bases {
        if url.path().len() > 1 && url.path().ends_with('/') {
            found.push(Refusal::ours(
                setting.clone(),
                "the URL ends in a slash".into(),
                "remove it",
            ));
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            found.push(Refusal::ours(
                setting.clone(),
                "the URL carries a user, a query or a fragment".into(),
                "give scheme, host, port and path only",
            ));
        }
        match url.scheme() {
            "https" => {}
            "http" if allowed(config, url) => {}
            "http" => found.push(Refusal::ours(
                setting,
                "plain http outside an allowed network".into(),
                "use https, or allow the network by name in [network] allow (for example \"127.0.0.0/8\")",
            )),
            other => found.push(Refusal::ours(setting, format!("scheme {other} is not http(s)"), "use https")),
        }
    }
}

/// Proxies whose word counts are networks, and not everybody.
pub fn proxies(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    for one in &config.listen.trusted_proxies {
        let (wrong, instead) = match Network::parse(one) {
            None => (
                "is no network in CIDR notation",
                "write it as 10.1.2.0/24, or one address",
            ),
            Some(network) if network.is_everybody() => (
                "is everybody: whoever connects could say that she comes from anywhere",
                "name the proxies in front alone",
            ),
            Some(_) => continue,
        };
        found.push(Refusal::ours(
            "listen.trusted_proxies".into(),
            format!("{one} {wrong}"),
            instead,
        ));
    }
}

pub(super) fn allowed(config: &Config, url: &Url) -> bool {
    let address = match url.host() {
        Some(url::Host::Ipv4(a)) => std::net::IpAddr::V4(a),
        Some(url::Host::Ipv6(a)) => std::net::IpAddr::V6(a),
        _ => return false,
    };
    config
        .network
        .allow
        .iter()
        .any(|n| wire::client::network_contains(n, address))
}

/// Organisations, services and clients refer to each other by names that exist once.
pub fn names_are_known(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let mut seen = HashSet::new();
    for s in &config.service {
        if !seen.insert(&s.id) {
            found.push(Refusal::ours(
                format!("service.{}", s.id),
                "two services have this id".into(),
                "give each its own id",
            ));
        }
        let plain = !s.id.is_empty()
            && s.id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !plain {
            found.push(Refusal::ours(
                format!("service.{}", s.id),
                "the id is not plain".into(),
                "use a-z, 0-9 and -",
            ));
        }
    }
    let known: HashSet<&str> = config
        .organisation
        .iter()
        .map(|o| o.orgnr.as_str())
        .collect();
    let mut named: Vec<(String, &str)> = Vec::new();
    for s in &config.service {
        named.push((format!("service.{}.orgnr", s.id), &s.orgnr));
        named.extend(
            s.supplier
                .as_deref()
                .map(|o| (format!("service.{}.supplier", s.id), o)),
        );
        named.extend(
            s.members
                .iter()
                .map(|o| (format!("service.{}.members", s.id), o.as_str())),
        );
    }
    for c in &config.client {
        named.push((format!("client.{}.orgnr", c.client_id), &c.orgnr));
    }
    for one in &config.other_gateway {
        named.push((format!("other_gateway.{}.orgnr", one.orgnr), &one.orgnr));
    }
    for (setting, orgnr) in named {
        if fhir::ids::OrganisationNumber::parse(orgnr).is_err() {
            found.push(Refusal::ours(
                setting,
                format!("{orgnr} is not an organisation number"),
                "nine digits with a right control digit",
            ));
        } else if !known.contains(orgnr) {
            found.push(Refusal::ours(
                setting,
                format!("organisation {orgnr} is not described"),
                "add an [[organisation]] for it",
            ));
        }
    }
    for role in &config.roles {
        let known = crate::roles::NAMES.contains(&role.as_str())
            || role
                .strip_prefix("sharing:")
                .is_some_and(|id| config.service.iter().any(|s| s.id == id));
        if !known {
            found.push(Refusal::ours(
                "roles".into(),
                format!("`{role}` is no role of this program or no service of this file"),
                "choose among anchor, catalogue, locator, hub, sharing, sharing:ID, gateway, portal",
            ));
        }
    }
}

/// A user's token is for one gateway, and an organisation's client is one: no two share an address, and none has two of its own.
pub fn gateways_are_told_apart(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    let (mut bases, mut owners) = (HashSet::new(), HashSet::new());
    bases.extend(config.gateway.iter().map(|one| &one.base));
    for one in &config.other_gateway {
        if !bases.insert(&one.base) {
            found.push(Refusal::ours(
                format!("other_gateway.{}.base", one.orgnr),
                "another gateway has this address: a token for one would open the other".into(),
                "give each its own address; the one of [gateway] is not listed again",
            ));
        }
        if !owners.insert(&one.orgnr) {
            found.push(Refusal::ours(
                format!("other_gateway.{}", one.orgnr),
                "the organisation has two: which of them its client is could not be told".into(),
                "name one; it may run on several machines behind one address",
            ));
        }
    }
}

/// Test tokens and sample keys are the demo's alone; `delt demo` never reads a configuration file.
pub fn no_test_tokens(config: &Config, _day: &str, found: &mut Vec<Refusal>) {
    if config.anchor.test_tokens {
        found.push(Refusal::ours(
            "anchor.test_tokens".into(),
            "test tokens open patient data to anyone who asks".into(),
            "set it to false; `delt demo` is the place for them",
        ));
    }
}
