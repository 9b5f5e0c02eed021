//! From configuration to entries (IHE mCSD 4.0: an Endpoint is managed by an Organization; a shared register reaches its
//! members by OrganizationAffiliation). Contradictions are refused here, at start.

use fhir::ids::OrganisationNumber;
use fhir::index::Coding;
use fhir::resource::ResourceType;
use fhir::systems;
use serde_json::json;
use trust::organisation::Register;
use uuid::Uuid;
use wire::contract::catalogue::{
    Endpoint, EndpointStatus, HealthcareService, Organization, OrganizationAffiliation,
};
use wire::contract::{CANONICAL, INFORMATION_SERVICE_SYSTEM, SERVICE_ID_SYSTEM};

use crate::entry::Entry;
use crate::{Config, OpenError, Organisation, Service, SubUnit};

/// Naming system of affiliations: `{service id}.{organisation number of the member}`.
const AFFILIATION_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/affiliation";

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
        found.extend(main_unit(organisation));
        for unit in &organisation.sub_units {
            text(organisation.orgnr.as_str(), &unit.name)?;
            found.extend(sub_unit(unit, &organisation.orgnr));
        }
    }
    let of = |make: fn(&Config, &Service) -> Vec<Entry>| {
        config
            .services
            .iter()
            .flat_map(|service| make(config, service))
            .collect::<Vec<_>>()
    };
    for service in &config.services {
        sound(config, service)?;
    }
    found.extend(of(offer));
    found.extend(of(endpoint));
    found.extend(of(affiliations));
    unique(&found)?;
    Ok(found)
}

/// A logical id that is the same at every start and in every catalogue of the same facts (RFC 9562, version 5).
fn id_of(resource_type: ResourceType, key: &str) -> String {
    let name = format!("{CANONICAL}/{resource_type}/{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

fn main_unit(organisation: &Organisation) -> Option<Entry> {
    let resource = Organization {
        id: id_of(ResourceType::ORGANIZATION, organisation.orgnr.as_str()),
        orgnr: organisation.orgnr.to_string(),
        name: organisation.name.clone(),
        part_of: None,
        active: true,
    };
    let number = Coding::new(systems::ORGNR, organisation.orgnr.as_str());
    let mut entry = Entry::of(ResourceType::ORGANIZATION, resource.to_json(), vec![number])?;
    let kind = json!({"system": format!("{CANONICAL}/CodeSystem/organisation-kind"), "code": organisation.kind});
    entry.set("type", json!([{"coding": [kind]}]));
    Some(entry)
}

fn sub_unit(unit: &SubUnit, parent: &OrganisationNumber) -> Option<Entry> {
    let orgnr = unit.orgnr?;
    let resource = Organization {
        id: id_of(ResourceType::ORGANIZATION, orgnr.as_str()),
        orgnr: orgnr.to_string(),
        name: unit.name.clone(),
        part_of: Some(parent.to_string()),
        active: true,
    };
    let number = Coding::new(systems::ORGNR, orgnr.as_str());
    let resh = unit
        .resh
        .iter()
        .map(|resh| Coding::new(systems::RESH, resh.as_str()));
    let identifiers = std::iter::once(number).chain(resh).collect();
    let mut entry = Entry::of(ResourceType::ORGANIZATION, resource.to_json(), identifiers)?;
    entry.write_identifiers();
    Some(entry)
}

fn offer(_: &Config, service: &Service) -> Vec<Entry> {
    let resource = HealthcareService {
        id: id_of(ResourceType::HEALTHCARE_SERVICE, &service.id),
        name: service.name.clone(),
        provided_by: service.orgnr.to_string(),
        endpoint: id_of(ResourceType::ENDPOINT, &service.id),
        active: true,
    };
    let identifiers = vec![Coding::new(SERVICE_ID_SYSTEM, service.id.as_str())];
    let entry = Entry::of(
        ResourceType::HEALTHCARE_SERVICE,
        resource.to_json(),
        identifiers,
    );
    let fill = |mut entry: Entry| {
        entry.write_identifiers();
        entry.organisations = concerned(service);
        if let Some(telephone) = &service.telephone {
            entry.set("telecom", json!([{"system": "phone", "value": telephone}]));
        }
        entry
    };
    entry.map(fill).into_iter().collect()
}

fn endpoint(config: &Config, service: &Service) -> Vec<Entry> {
    let name = config
        .organisations
        .iter()
        .find(|one| one.orgnr == service.orgnr)
        .map(|one| one.name.clone());
    let resource = Endpoint {
        id: id_of(ResourceType::ENDPOINT, &service.id),
        service: service.id.clone(),
        status: EndpointStatus::Active,
        name: service.name.clone(),
        address: service.fhir.as_str().trim_end_matches('/').to_owned(),
        managing: service.orgnr.to_string(),
        managing_name: name,
        payload_kinds: service.services.iter().map(ToString::to_string).collect(),
        concept: Some(service.concept.as_str().to_owned()),
        supplier: service.supplier.map(|orgnr| orgnr.to_string()),
    };
    let identifiers = vec![Coding::new(SERVICE_ID_SYSTEM, service.id.as_str())];
    let entry = Entry::of(ResourceType::ENDPOINT, resource.to_json(), identifiers);
    let fill = |mut entry: Entry| {
        entry.organisations = concerned(service);
        let kinds = service.services.iter();
        entry.payloads = kinds
            .map(|kind| Coding::new(INFORMATION_SERVICE_SYSTEM, kind.to_string()))
            .collect();
        entry
    };
    entry.map(fill).into_iter().collect()
}

fn affiliations(_: &Config, service: &Service) -> Vec<Entry> {
    let one = |member: &OrganisationNumber| {
        let key = format!("{}.{member}", service.id);
        let resource = OrganizationAffiliation {
            id: id_of(ResourceType::ORGANIZATION_AFFILIATION, &key),
            organization: service.orgnr.to_string(),
            participating: member.to_string(),
            endpoint: id_of(ResourceType::ENDPOINT, &service.id),
            active: true,
        };
        let mut entry = Entry::of(
            ResourceType::ORGANIZATION_AFFILIATION,
            resource.to_json(),
            vec![Coding::new(AFFILIATION_SYSTEM, key)],
        )?;
        entry.write_identifiers();
        Some(entry)
    };
    service.members.iter().filter_map(one).collect()
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

/// Text from members is text and nothing else: pages escape it, and nothing in it can move a cursor.
fn text(whose: &str, value: &str) -> Result<(), OpenError> {
    if value.trim().is_empty() || value.chars().any(char::is_control) {
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
