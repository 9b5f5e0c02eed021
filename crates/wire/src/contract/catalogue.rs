//! The catalogue's words: mCSD-style FHIR R4 (IHE mCSD 4.0: Organization, HealthcareService, Endpoint,
//! OrganizationAffiliation), as small builders and readers of the elements that Delt uses. Nothing about a patient.

use serde_json::{Value, json};

use super::{
    CANONICAL, ContractError, INFORMATION_SERVICE_SYSTEM, ORGANISATION_NUMBER_SYSTEM,
    SERVICE_ID_SYSTEM,
};

/// The FHIR base under the catalogue; its audience is `{catalogue}/fhir`.
pub const FHIR: &str = "/fhir";
/// Search by GET or by POST `_search`.
pub const TYPE: &str = "/fhir/{type}";
/// Search by POST.
pub const SEARCH: &str = "/fhir/{type}/_search";
/// Read.
pub const INSTANCE: &str = "/fhir/{type}/{id}";
/// Resource types served.
pub const TYPES: [&str; 4] = [
    "Organization",
    "HealthcareService",
    "Endpoint",
    "OrganizationAffiliation",
];
/// Scope with which a gateway reads.
pub const READ_SCOPE: &str = "system/Organization.rs system/HealthcareService.rs system/Endpoint.rs system/OrganizationAffiliation.rs";
/// Search parameter on Endpoint and HealthcareService: the organisation's identifier, `system|value`, comma for or.
/// Finds what the organisation manages and what it takes part in by an OrganizationAffiliation.
pub const BY_ORGANISATION: &str = "organization.identifier";
/// Search parameter on OrganizationAffiliation: the identifier of the organisation that is responsible, `system|value`.
pub const BY_PRIMARY: &str = "primary-organization.identifier";
/// Search parameter on OrganizationAffiliation: the identifier of the member or supplier, `system|value`.
pub const BY_PARTICIPATING: &str = "participating-organization.identifier";
/// Search parameter on Endpoint: the information service, `system|code`.
pub const BY_PAYLOAD: &str = "payload-type";
/// Search parameter on every type: the business identifier, `system|value`.
pub const BY_IDENTIFIER: &str = "identifier";

const CONNECTION_TYPE: &str = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type";
const CONCEPT: &str = "https://delt.example/fhir/StructureDefinition/concept";
const SUPPLIER: &str = "https://delt.example/fhir/StructureDefinition/supplier";

/// A search value that names an organisation: `system|number`.
pub fn organisation_token(orgnr: &str) -> String {
    format!("{ORGANISATION_NUMBER_SYSTEM}|{orgnr}")
}

/// A search value that names an information service: `system|IT17`.
pub fn payload_token(kind: &str) -> String {
    format!("{INFORMATION_SERVICE_SYSTEM}|{kind}")
}

/// A logical reference to an organisation, with its name for people.
fn organisation_reference(orgnr: &str, name: Option<&str>) -> Value {
    let mut reference =
        json!({"identifier": {"system": ORGANISATION_NUMBER_SYSTEM, "value": orgnr}});
    if let (Some(name), Some(members)) = (name, reference.as_object_mut()) {
        members.insert("display".to_owned(), Value::from(name));
    }
    reference
}

/// Reads a logical reference to an organisation.
fn referenced_organisation(reference: Option<&Value>) -> Option<String> {
    let identifier = reference?.get("identifier")?;
    (identifier.get("system")?.as_str()? == ORGANISATION_NUMBER_SYSTEM)
        .then(|| {
            identifier
                .get("value")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .flatten()
}

/// Whose an entry is by what it says itself: the organisation that manages, provides or answers for it; of a unit, the main unit.
pub fn owner_of(resource: &Value) -> Option<String> {
    let member = match resource.get("resourceType")?.as_str()? {
        "Organization" => {
            let main = referenced_organisation(resource.get("partOf"));
            return main.or_else(|| identifier_of(resource, ORGANISATION_NUMBER_SYSTEM));
        }
        "HealthcareService" => "providedBy",
        "Endpoint" => "managingOrganization",
        "OrganizationAffiliation" => "organization",
        _ => return None,
    };
    referenced_organisation(resource.get(member))
}

fn identifier_of(resource: &Value, system: &str) -> Option<String> {
    resource
        .get("identifier")?
        .as_array()?
        .iter()
        .find_map(|identifier| {
            (identifier.get("system")?.as_str()? == system)
                .then(|| {
                    identifier
                        .get("value")
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                })
                .flatten()
        })
}

fn text(resource: &Value, member: &str) -> Option<String> {
    resource
        .get(member)
        .and_then(Value::as_str)
        .map(str::to_owned)
}

fn extension_text(resource: &Value, url: &str, value: &str) -> Option<String> {
    resource
        .get("extension")?
        .as_array()?
        .iter()
        .find_map(|extension| {
            (extension.get("url")?.as_str()? == url)
                .then(|| {
                    extension
                        .get(value)
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                })
                .flatten()
        })
}

fn expect(resource: &Value, document: &'static str) -> Result<(), ContractError> {
    if resource.get("resourceType").and_then(Value::as_str) == Some(document) {
        Ok(())
    } else {
        Err(ContractError {
            document,
            fault: "resourceType is another",
        })
    }
}

fn fault(document: &'static str, fault: &'static str) -> ContractError {
    ContractError { document, fault }
}

/// An organisation that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Logical id in the catalogue.
    pub id: String,
    /// Organisation number.
    pub orgnr: String,
    /// Name for people.
    pub name: String,
    /// The organisation it is a unit of.
    pub part_of: Option<String>,
    /// Whether it takes part now.
    pub active: bool,
}

impl Organization {
    /// As a FHIR resource.
    pub fn to_json(&self) -> Value {
        let mut resource = json!({
            "resourceType": "Organization",
            "id": self.id,
            "identifier": [{"system": ORGANISATION_NUMBER_SYSTEM, "value": self.orgnr}],
            "active": self.active,
            "name": self.name,
        });
        if let (Some(parent), Some(members)) = (&self.part_of, resource.as_object_mut()) {
            members.insert("partOf".to_owned(), organisation_reference(parent, None));
        }
        resource
    }

    /// From a FHIR resource.
    ///
    /// # Errors
    /// When the type, the organisation number or the name is missing.
    pub fn from_json(resource: &Value) -> Result<Self, ContractError> {
        const TYPE: &str = "Organization";
        expect(resource, TYPE)?;
        Ok(Self {
            id: text(resource, "id").ok_or(fault(TYPE, "id is missing"))?,
            orgnr: identifier_of(resource, ORGANISATION_NUMBER_SYSTEM)
                .ok_or(fault(TYPE, "identifier holds no organisation number"))?,
            name: text(resource, "name").ok_or(fault(TYPE, "name is missing"))?,
            part_of: referenced_organisation(resource.get("partOf")),
            active: resource
                .get("active")
                .and_then(Value::as_bool)
                .unwrap_or(true),
        })
    }
}

/// State of an endpoint (FHIR `endpoint-status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the FHIR codes say it")]
pub enum EndpointStatus {
    Active,
    Suspended,
    Error,
    Off,
    EnteredInError,
    Test,
}

impl EndpointStatus {
    const ALL: [Self; 6] = [
        Self::Active,
        Self::Suspended,
        Self::Error,
        Self::Off,
        Self::EnteredInError,
        Self::Test,
    ];

    /// The FHIR code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Error => "error",
            Self::Off => "off",
            Self::EnteredInError => "entered-in-error",
            Self::Test => "test",
        }
    }

    /// From the FHIR code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == code)
    }
}

/// Where one sharing service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Logical id in the catalogue.
    pub id: String,
    /// Service id, for example `fjellvik`.
    pub service: String,
    /// State.
    pub status: EndpointStatus,
    /// Name for people.
    pub name: String,
    /// The whole FHIR base, which is also the audience.
    pub address: String,
    /// Organisation number of the responsible organisation.
    pub managing: String,
    /// Its name.
    pub managing_name: Option<String>,
    /// Information services offered, `IT17`.
    pub payload_kinds: Vec<String>,
    /// `own`, `supplier`, `shared` or `shared-supplier`.
    pub concept: Option<String>,
    /// Organisation number of the supplier.
    pub supplier: Option<String>,
}

impl Endpoint {
    /// As a FHIR resource.
    pub fn to_json(&self) -> Value {
        let mut resource = json!({
            "resourceType": "Endpoint",
            "id": self.id,
            "identifier": [{"system": SERVICE_ID_SYSTEM, "value": self.service}],
            "status": self.status.as_str(),
            "connectionType": {"system": CONNECTION_TYPE, "code": "hl7-fhir-rest"},
            "name": self.name,
            "managingOrganization": organisation_reference(&self.managing, self.managing_name.as_deref()),
            "payloadType": self.payload_kinds.iter()
                .map(|kind| json!({"coding": [{"system": INFORMATION_SERVICE_SYSTEM, "code": kind}]}))
                .collect::<Vec<_>>(),
            "payloadMimeType": ["application/fhir+json"],
            "address": self.address,
        });
        let mut extensions = Vec::new();
        if let Some(concept) = &self.concept {
            extensions.push(json!({"url": CONCEPT, "valueCode": concept}));
        }
        if let Some(supplier) = &self.supplier {
            extensions.push(json!({"url": SUPPLIER, "valueString": supplier}));
        }
        if let (false, Some(members)) = (extensions.is_empty(), resource.as_object_mut()) {
            members.insert("extension".to_owned(), Value::from(extensions));
        }
        resource
    }

    /// From a FHIR resource.
    ///
    /// # Errors
    /// When type, id, service id, status, address or managing organisation is missing or not what the contract says.
    pub fn from_json(resource: &Value) -> Result<Self, ContractError> {
        const TYPE: &str = "Endpoint";
        expect(resource, TYPE)?;
        let payload_kinds = resource
            .get("payloadType")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|concept| concept.get("coding")?.as_array())
            .flatten()
            .filter(|coding| {
                coding.get("system").and_then(Value::as_str) == Some(INFORMATION_SERVICE_SYSTEM)
            })
            .filter_map(|coding| text(coding, "code"))
            .collect();
        Ok(Self {
            id: text(resource, "id").ok_or(fault(TYPE, "id is missing"))?,
            service: identifier_of(resource, SERVICE_ID_SYSTEM)
                .ok_or(fault(TYPE, "identifier holds no service id"))?,
            status: text(resource, "status")
                .and_then(|code| EndpointStatus::parse(&code))
                .ok_or(fault(TYPE, "status is not an endpoint-status"))?,
            name: text(resource, "name").unwrap_or_default(),
            address: text(resource, "address").ok_or(fault(TYPE, "address is missing"))?,
            managing: referenced_organisation(resource.get("managingOrganization")).ok_or(
                fault(TYPE, "managingOrganization names no organisation number"),
            )?,
            managing_name: resource
                .get("managingOrganization")
                .and_then(|reference| text(reference, "display")),
            payload_kinds,
            concept: extension_text(resource, CONCEPT, "valueCode"),
            supplier: extension_text(resource, SUPPLIER, "valueString"),
        })
    }
}

/// What an organisation offers, in people's words, with the endpoint by which it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthcareService {
    /// Logical id in the catalogue.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Organisation number of the provider.
    pub provided_by: String,
    /// Logical id of the Endpoint.
    pub endpoint: String,
    /// Whether it is offered now.
    pub active: bool,
}

impl HealthcareService {
    /// As a FHIR resource.
    pub fn to_json(&self) -> Value {
        json!({
            "resourceType": "HealthcareService",
            "id": self.id,
            "active": self.active,
            "providedBy": organisation_reference(&self.provided_by, None),
            "name": self.name,
            "endpoint": [{"reference": format!("Endpoint/{}", self.endpoint)}],
        })
    }

    /// From a FHIR resource.
    ///
    /// # Errors
    /// When type, id, provider or endpoint is missing.
    pub fn from_json(resource: &Value) -> Result<Self, ContractError> {
        const TYPE: &str = "HealthcareService";
        expect(resource, TYPE)?;
        Ok(Self {
            id: text(resource, "id").ok_or(fault(TYPE, "id is missing"))?,
            name: text(resource, "name").unwrap_or_default(),
            provided_by: referenced_organisation(resource.get("providedBy"))
                .ok_or(fault(TYPE, "providedBy names no organisation number"))?,
            endpoint: first_endpoint(resource).ok_or(fault(TYPE, "endpoint is missing"))?,
            active: resource
                .get("active")
                .and_then(Value::as_bool)
                .unwrap_or(true),
        })
    }
}

/// How an organisation takes part in what another is responsible for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AffiliationRole {
    /// A member of a shared register (pasientjournalloven § 9): its data is reached there.
    Member,
    /// Runs the service for its owner, as its data processor. None of its own data is reached there.
    Supplier,
}

impl AffiliationRole {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Supplier => "supplier",
        }
    }

    /// From the code.
    pub fn parse(code: &str) -> Option<Self> {
        let all = [Self::Member, Self::Supplier];
        all.into_iter().find(|role| role.as_str() == code)
    }
}

/// Code system of [`AffiliationRole`].
fn affiliation_system() -> String {
    format!("{CANONICAL}/CodeSystem/affiliation")
}

/// Membership of an organisation in a shared register, or that it runs a service for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationAffiliation {
    /// Logical id in the catalogue.
    pub id: String,
    /// Organisation number of the organisation that is responsible for the register or service.
    pub organization: String,
    /// Organisation number of the member or supplier.
    pub participating: String,
    /// Which of the two.
    pub role: AffiliationRole,
    /// Logical id of the Endpoint that it is about.
    pub endpoint: String,
    /// Whether it is in force.
    pub active: bool,
}

impl OrganizationAffiliation {
    /// As a FHIR resource.
    pub fn to_json(&self) -> Value {
        json!({
            "resourceType": "OrganizationAffiliation",
            "id": self.id,
            "active": self.active,
            "organization": organisation_reference(&self.organization, None),
            "participatingOrganization": organisation_reference(&self.participating, None),
            "code": [{"coding": [{"system": affiliation_system(), "code": self.role.as_str()}]}],
            "endpoint": [{"reference": format!("Endpoint/{}", self.endpoint)}],
        })
    }

    /// From a FHIR resource.
    ///
    /// # Errors
    /// When type, id, either organisation, the role or the endpoint is missing.
    pub fn from_json(resource: &Value) -> Result<Self, ContractError> {
        const TYPE: &str = "OrganizationAffiliation";
        expect(resource, TYPE)?;
        Ok(Self {
            id: text(resource, "id").ok_or(fault(TYPE, "id is missing"))?,
            organization: referenced_organisation(resource.get("organization"))
                .ok_or(fault(TYPE, "organization names no organisation number"))?,
            participating: referenced_organisation(resource.get("participatingOrganization"))
                .ok_or(fault(
                    TYPE,
                    "participatingOrganization names no organisation number",
                ))?,
            role: affiliation_role(resource)
                .ok_or(fault(TYPE, "code is neither member nor supplier"))?,
            endpoint: first_endpoint(resource).ok_or(fault(TYPE, "endpoint is missing"))?,
            active: resource
                .get("active")
                .and_then(Value::as_bool)
                .unwrap_or(true),
        })
    }
}

/// The role that an OrganizationAffiliation is about, from its one code.
fn affiliation_role(resource: &Value) -> Option<AffiliationRole> {
    let coding = resource.pointer("/code/0/coding/0")?;
    let ours = coding.get("system")?.as_str()? == affiliation_system();
    AffiliationRole::parse(coding.get("code")?.as_str()?).filter(|_| ours)
}

fn first_endpoint(resource: &Value) -> Option<String> {
    let reference = resource
        .get("endpoint")?
        .as_array()?
        .first()?
        .get("reference")?
        .as_str()?;
    reference.strip_prefix("Endpoint/").map(str::to_owned)
}

/// A searchset of catalogue resources, with `fullUrl`s under `base` (`{catalogue}/fhir`).
pub fn searchset(base: &str, resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let kind = resource.get("resourceType").and_then(Value::as_str).unwrap_or_default();
            let id = resource.get("id").and_then(Value::as_str).unwrap_or_default();
            json!({"fullUrl": format!("{base}/{kind}/{id}"), "resource": resource, "search": {"mode": "match"}})
        })
        .collect();
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "total": entries.len()});
    if let (false, Some(members)) = (entries.is_empty(), bundle.as_object_mut()) {
        members.insert("entry".to_owned(), Value::from(entries));
    }
    bundle
}

/// The resources of a searchset, matches only.
///
/// # Errors
/// When it is not a searchset Bundle.
pub fn matches(bundle: &Value) -> Result<Vec<&Value>, ContractError> {
    expect(bundle, "Bundle")?;
    if bundle.get("type").and_then(Value::as_str) != Some("searchset") {
        return Err(fault("Bundle", "type is not searchset"));
    }
    let mode = |entry: &Value| {
        entry
            .pointer("/search/mode")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    Ok(bundle
        .get("entry")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|entry| mode(entry).is_none_or(|mode| mode == "match"))
        .filter_map(|entry| entry.get("resource"))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint {
            id: "fjellvik".into(),
            service: "fjellvik".into(),
            status: EndpointStatus::Active,
            name: "Fjellvik kommune".into(),
            address: "https://norddrift.example/fjellvik/fhir".into(),
            managing: "310001007".into(),
            managing_name: Some("Fjellvik kommune".into()),
            payload_kinds: vec!["IT17".into(), "IT03".into()],
            concept: Some("supplier".into()),
            supplier: Some("310001287".into()),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(
            Endpoint::from_json(&endpoint().to_json()).unwrap(),
            endpoint()
        );
        let organisation = Organization {
            id: "o".into(),
            orgnr: "310001007".into(),
            name: "Fjellvik kommune".into(),
            part_of: Some("310001708".into()),
            active: false,
        };
        assert_eq!(
            Organization::from_json(&organisation.to_json()).unwrap(),
            organisation
        );
        let service = HealthcareService {
            id: "h".into(),
            name: "n".into(),
            provided_by: "310001007".into(),
            endpoint: "fjellvik".into(),
            active: true,
        };
        assert_eq!(
            HealthcareService::from_json(&service.to_json()).unwrap(),
            service
        );
        for role in [AffiliationRole::Member, AffiliationRole::Supplier] {
            let affiliation = OrganizationAffiliation {
                id: "a".into(),
                organization: "310001708".into(),
                participating: "310001422".into(),
                role,
                endpoint: "kystregionen".into(),
                active: true,
            };
            let mut resource = affiliation.to_json();
            assert_eq!(
                OrganizationAffiliation::from_json(&resource).unwrap(),
                affiliation
            );
            resource["code"][0]["coding"][0]["code"] = "owner".into();
            assert!(OrganizationAffiliation::from_json(&resource).is_err());
        }
    }

    #[test]
    fn an_endpoint_without_address_or_with_a_strange_status_is_refused() {
        let mut resource = endpoint().to_json();
        resource.as_object_mut().unwrap().remove("address");
        assert_eq!(
            Endpoint::from_json(&resource).unwrap_err().fault,
            "address is missing"
        );
        let mut resource = endpoint().to_json();
        resource["status"] = "sometimes".into();
        assert!(Endpoint::from_json(&resource).is_err());
    }

    #[test]
    fn only_matches_of_a_searchset_are_read() {
        let set = searchset("https://k.example/fhir", &[endpoint().to_json()]);
        assert_eq!(matches(&set).unwrap().len(), 1);
        assert_eq!(
            set["entry"][0]["fullUrl"],
            "https://k.example/fhir/Endpoint/fjellvik"
        );
        assert!(
            matches(&searchset("https://k.example/fhir", &[]))
                .unwrap()
                .is_empty()
        );
        assert!(matches(&json!({"resourceType": "Bundle", "type": "batch"})).is_err());
    }
}
