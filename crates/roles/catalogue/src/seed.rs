//! From configuration to entries, for organisations that do not state their own (IHE mCSD 4.0: an Endpoint is managed by an
//! Organization; a shared register reaches its members by OrganizationAffiliation). Contradictions are refused here, at start.

use fhir::ids::OrganisationNumber;
use fhir::resource::ResourceType;
use serde_json::Value;
use trust::organisation::Register;
use url::Url;
use wire::contract::catalogue::{AffiliationRole, Endpoint, EndpointStatus};
use wire::contract::statement::{Offer, affiliation, id_of};
use wire::inert::unfit;

use crate::accept::is_link;
use crate::entry::{Entry, Kept};
use crate::shelf::Shelf;
use crate::{Config, OpenError, Organisation, Service};

/// The organisations with their sub-units, so that either form of a number finds the controller (CONTRACT section 5).
pub fn register(organisations: &[Organisation]) -> Register {
    let mut register = Register::default();
    for organisation in organisations {
        register.add(organisation.orgnr, &organisation.name);
        for unit in &organisation.sub_units {
            if let Some(orgnr) = unit.orgnr {
                register.add_unit(orgnr, &organisation.orgnr, &unit.name);
            }
            if let Some(resh) = &unit.resh {
                register.add_resh(resh.as_str(), &organisation.orgnr, &unit.name);
            }
        }
    }
    register
}

/// Every entry, by type in the contract's order, then in the configuration's.
pub fn entries(config: &Config) -> Result<Vec<Entry>, OpenError> {
    let mut found = Vec::new();
    for organisation in &config.organisations {
        text(organisation.orgnr.as_str(), &organisation.name)?;
        text(organisation.orgnr.as_str(), &organisation.kind)?;
        for unit in &organisation.sub_units {
            text(organisation.orgnr.as_str(), &unit.name)?;
        }
        let units = organisation.units().map(|(_, unit)| unit);
        let all = std::iter::once(organisation.resource()).chain(units);
        found.extend(
            all.filter_map(|one| configured(ResourceType::ORGANIZATION, organisation.orgnr, one)),
        );
    }
    for service in &config.services {
        sound(config, service)?;
    }
    let services = config.services.iter();
    found.extend(services.clone().filter_map(offer));
    found.extend(services.clone().filter_map(|one| endpoint(config, one)));
    found.extend(services.flat_map(affiliations));
    unique(&found)?;
    Ok(found)
}

/// What the configuration changes of what is held: entries that are new or say something else, and those that are configured
/// no more. What an organisation has stated of itself, or withdrawn, is its own: the configuration says nothing of it.
pub fn changes(configured: &[Entry], shelf: &Shelf) -> Vec<Kept> {
    let mut changed: Vec<Kept> = configured
        .iter()
        .filter(|entry| match shelf.get(entry.resource_type, &entry.id) {
            None => true,
            Some(held) => held.kept.stated.is_none() && held.kept != entry.kept,
        })
        .map(|entry| entry.kept.clone())
        .collect();
    let gone = shelf.entries().iter().filter(|held| {
        held.kept.stated.is_none()
            && !held.kept.withdrawn
            && !configured
                .iter()
                .any(|one| one.reference() == held.reference())
    });
    changed.extend(gone.map(|held| Kept {
        withdrawn: true,
        ..held.kept.clone()
    }));
    changed
}

/// An entry that rests on the configuration.
fn configured(
    resource_type: ResourceType,
    owner: OrganisationNumber,
    resource: Value,
) -> Option<Entry> {
    let kept = Kept {
        owner,
        resource,
        withdrawn: false,
        stated: None,
    };
    Entry::of(resource_type, kept)
}

fn offer(service: &Service) -> Option<Entry> {
    let offer = Offer {
        service: &service.id,
        owner: service.orgnr,
        name: &service.name,
        telephone: service.telephone.as_deref(),
        terms: service.terms.as_ref().map(Url::as_str),
        kinds: &service.services,
        profiles: &[],
    };
    configured(
        ResourceType::HEALTHCARE_SERVICE,
        service.orgnr,
        offer.resource(),
    )
}

fn endpoint(config: &Config, service: &Service) -> Option<Entry> {
    let responsible = config
        .organisations
        .iter()
        .find(|one| one.orgnr == service.orgnr);
    let resource = Endpoint {
        id: id_of("Endpoint", &service.id),
        service: service.id.clone(),
        status: EndpointStatus::Active,
        name: service.name.clone(),
        address: service.fhir.as_str().trim_end_matches('/').to_owned(),
        managing: service.orgnr.to_string(),
        managing_name: responsible.map(|one| one.name.clone()),
        payload_kinds: service.services.iter().map(ToString::to_string).collect(),
        concept: Some(service.concept.as_str().to_owned()),
        supplier: service.supplier.map(|orgnr| orgnr.to_string()),
    };
    configured(ResourceType::ENDPOINT, service.orgnr, resource.to_json())
}

fn affiliations(service: &Service) -> Vec<Entry> {
    let members = service.members.iter();
    let members = members.map(|member| (*member, AffiliationRole::Member));
    let supplier = service.supplier.into_iter();
    let all = members.chain(supplier.map(|supplier| (supplier, AffiliationRole::Supplier)));
    let one = |(participating, role)| {
        let resource = affiliation(&service.id, service.orgnr, participating, role);
        configured(
            ResourceType::ORGANIZATION_AFFILIATION,
            service.orgnr,
            resource,
        )
    };
    all.filter_map(one).collect()
}

/// The one in charge and those who take part.
fn concerned(service: &Service) -> Vec<OrganisationNumber> {
    let all = std::iter::once(service.orgnr).chain(service.members.iter().copied());
    all.collect()
}

fn sound(config: &Config, service: &Service) -> Result<(), OpenError> {
    let named = concerned(service).into_iter().chain(service.supplier);
    for orgnr in named {
        if !config.organisations.iter().any(|one| one.orgnr == orgnr) {
            let service = service.id.clone();
            return Err(OpenError::Unknown { service, orgnr });
        }
    }
    text(&service.id, &service.id)?;
    text(&service.id, &service.name)?;
    if let Some(telephone) = &service.telephone {
        text(&service.id, telephone)?;
    }
    if service
        .terms
        .as_ref()
        .is_some_and(|terms| !is_link(terms.as_str(), &["https"]))
    {
        return Err(OpenError::Terms(service.id.clone()));
    }
    let url = &service.fhir;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") {
        return Err(OpenError::Address(service.id.clone()));
    }
    Ok(())
}

/// Text from members is text and nothing else: pages escape it, and nothing in it can move a cursor or turn a line.
fn text(whose: &str, value: &str) -> Result<(), OpenError> {
    if value.trim().is_empty() || value.chars().any(unfit) {
        return Err(OpenError::Text(whose.escape_default().to_string()));
    }
    Ok(())
}

fn unique(entries: &[Entry]) -> Result<(), OpenError> {
    let mut seen = std::collections::HashSet::new();
    for entry in entries {
        if !seen.insert((entry.resource_type, &entry.id)) {
            let what = entry.identifiers.first().map(|one| one.code.as_str());
            return Err(OpenError::Twice(what.unwrap_or(&entry.id).to_owned()));
        }
    }
    Ok(())
}
