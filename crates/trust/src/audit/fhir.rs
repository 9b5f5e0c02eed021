//! An audit record as a FHIR R4 AuditEvent with the content of `hl7.fhir.no.domain.auditevent` 0.9.8
//! (`no-domain-Trustframework-Auditevent`).
//!
//! Everything referenced is contained, because the data holder has the token's contents only. All codings stand in one
//! `purposeOfEvent`, and numbers in `identifier.value`: the published examples do otherwise and break their own profile
//! (audit.md section 1, traps 1 and 2). The patient's view ([`View::Patient`]) leaves out every staff number, the
//! decision reference and the query, and is marked REDACTED (ATT-8, ATT-46); why something was refused is told in plain words.

use super::{Outcome, Record};
use crate::attest::{Code, Id, Purpose};
use crate::caller::Person;
use crate::detail::{self, Detail};
use crate::explain;
use crate::organisation::Register;
use crate::wish::PSEUDONYM;
use ::fhir::ids::{OrganisationNumber, PersonIdentifier};
use ::fhir::resource::ResourceType;
use ::fhir::systems;
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Canonical of the profile.
pub const PROFILE: &str =
    "http://hl7.no/fhir/StructureDefinition/no-domain-Trustframework-Auditevent";
const EXTENSIONS: &str = "http://hl7.no/fhir/StructureDefinition/auditevent-";
/// Type of the detail that names the request, shared by every party that took part in it.
pub const REQUEST_ID: &str = "request-id";
const CLIENT_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/client-id";
const SERVICE_SYSTEM: &str = "https://delt.example/fhir/NamingSystem/service-id";

/// Who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The controller: everything.
    Controller,
    /// The patient: who (by name), where, when, why and what kinds; no staff numbers.
    Patient,
    /// Somebody who acts for the patient: as she, but not by which rule something was refused, for whom she has shut out is
    /// hers alone to know.
    Representative,
}

impl View {
    /// How much of a trail that is read at a service this caller sees: never more than the patient.
    pub fn of(person: &Person) -> View {
        match person {
            Person::Citizen {
                represents: Some(_),
                ..
            } => View::Representative,
            _ => View::Patient,
        }
    }
}

/// Whose audit trail it is.
#[derive(Debug, Clone, Copy)]
pub struct Observer<'a> {
    /// The organisation that kept the record.
    pub organisation: &'a OrganisationNumber,
    /// Its service id or base.
    pub service: &'a str,
    /// Names of organisations.
    pub register: &'a Register,
}

/// Renders a record under the logical id that the store gave it.
pub fn render(record: &Record, id: &str, observer: Observer<'_>, view: View) -> Value {
    let mut draft = Draft {
        record,
        observer,
        view,
        contained: Vec::new(),
    };
    let patient = draft.patient();
    let encounter = draft.encounter();
    let who = draft.who();
    let site = draft.organisation_of("observer", observer.organisation, None);
    let mut extensions = Vec::new();
    if let Some(patient) = patient {
        extensions.push(
            json!({"url": format!("{EXTENSIONS}patient-extension"), "valueReference": patient}),
        );
    }
    if let Some(encounter) = encounter {
        extensions.push(
            json!({"url": format!("{EXTENSIONS}encounter-extension"), "valueReference": encounter}),
        );
    }
    extensions.extend(draft.care_relation());
    let mut meta = json!({});
    // The profile is about one patient, and somebody with a role who has a purpose; what else is on record makes no claim to it.
    let in_role = record.person.as_ref().is_some_and(|one| one.practitioner);
    if record.patient.is_some() && in_role && record.purpose.is_some() {
        meta["profile"] = json!([PROFILE]);
    }
    meta["lastUpdated"] = json!(record.when.to_string());
    if view != View::Controller {
        meta["security"] = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "REDACTED"}]);
    }
    let (outcome, mut description) = outcome(&record.outcome, view);
    if let Some(erasure) = &record.erasure {
        // For the patient too: that it was erased, and who decided it, is what is left.
        description.push_str(&format!(
            "; erased ({}): {} resources, {} versions, {} patients; ground {}, order {}, decision {}",
            erasure.scope,
            erasure.resources,
            erasure.versions,
            erasure.patients,
            erasure.ground,
            erasure.order,
            erasure.decision
        ));
    }
    let mut agents = vec![agent(who, draft.asker_name(), true)];
    if view == View::Controller {
        agents.extend(draft.clients());
    }
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| {
        // An empty list is not FHIR; it is left out.
        if !value.as_array().is_some_and(Vec::is_empty) && !value.is_null() {
            event.insert(name.to_owned(), value);
        }
    };
    put("resourceType", json!("AuditEvent"));
    put("id", json!(id));
    put("meta", meta);
    put("contained", json!(draft.contained));
    put("extension", json!(extensions));
    put(
        "type",
        json!({"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110110", "display": "Patient Record"}),
    );
    put(
        "subtype",
        json!([{"system": "http://hl7.org/fhir/restful-interaction", "code": record.interaction.restful()}]),
    );
    put("action", json!(record.interaction.action()));
    put("recorded", json!(record.when.to_string()));
    put("outcome", json!(outcome));
    put("outcomeDesc", json!(description));
    put("purposeOfEvent", draft.purpose());
    put("agent", json!(agents));
    put(
        "source",
        json!({
            "site": observer.service,
            "observer": site,
            "type": [{"system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4", "display": "Application Server"}],
        }),
    );
    put("entity", json!(draft.entities()));
    Value::Object(event)
}

/// R4 `AuditEvent.outcome`: 0 success, 4 minor failure (refused), 8 serious failure (ours).
fn outcome(outcome: &Outcome, view: View) -> (&'static str, String) {
    match outcome {
        Outcome::Allowed => ("0", "allowed".to_owned()),
        Outcome::Refused { code, .. } if view == View::Patient => {
            ("4", explain::of(code).nb.to_owned())
        }
        Outcome::Refused { .. } if view == View::Representative => ("4", "refused".to_owned()),
        Outcome::Refused { rule, code } => ("4", format!("refused by {rule}: {code}")),
        Outcome::Unauthenticated { code } => ("4", format!("unauthenticated: {code}")),
        Outcome::Failed { category } => ("8", format!("failed: {category:?}").to_lowercase()),
    }
}

/// A text, where there is one.
fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn agent(who: Value, name: Option<&str>, requestor: bool) -> Value {
    let mut agent = json!({"who": who, "requestor": requestor});
    if let Some(name) = name {
        agent["name"] = json!(name);
    }
    agent
}

fn coding(code: &Code, display: Option<&str>) -> Value {
    let mut coding = json!({"system": code.system, "code": code.code});
    if let Some(text) = code.text.as_deref().or(display) {
        coding["display"] = json!(text);
    }
    coding
}

struct Draft<'a> {
    record: &'a Record,
    observer: Observer<'a>,
    view: View,
    contained: Vec<Value>,
}

impl Draft<'_> {
    /// Adds a contained resource and gives the reference to it.
    fn contain(&mut self, id: &str, mut resource: Value) -> Value {
        resource["id"] = json!(id);
        self.contained.push(resource);
        json!({"reference": format!("#{id}")})
    }

    fn person(identifier: &PersonIdentifier) -> Value {
        json!([{"system": identifier.system(), "value": identifier.value().expose()}])
    }

    fn patient(&mut self) -> Option<Value> {
        let identifier = self.record.patient.as_ref()?;
        let resource = json!({"resourceType": "Patient", "identifier": Draft::person(identifier)});
        Some(self.contain("patient", resource))
    }

    fn organisation_of(
        &mut self,
        id: &str,
        number: &OrganisationNumber,
        name: Option<&str>,
    ) -> Value {
        let named = name
            .or_else(|| self.observer.register.name(number))
            .map(str::to_owned);
        self.organisation(id, systems::ORGNR, number.as_str(), named, None)
    }

    fn organisation(
        &mut self,
        id: &str,
        system: &str,
        value: &str,
        name: Option<String>,
        part_of: Option<Value>,
    ) -> Value {
        let mut resource = json!({"resourceType": "Organization", "identifier": [{"system": system, "value": value}]});
        if let Some(name) = name {
            resource["name"] = json!(name);
        }
        if let Some(part_of) = part_of {
            resource["partOf"] = part_of;
        }
        self.contain(id, resource)
    }

    fn unit(&mut self, id: &str, unit: &Id, part_of: Option<Value>) -> Value {
        let register = self.observer.register;
        let name = unit
            .name
            .as_deref()
            .or_else(|| register.name_of(&unit.system, &unit.id))
            .map(str::to_owned);
        self.organisation(
            id,
            systems::canonical(&unit.system),
            &unit.id,
            name,
            part_of,
        )
    }

    /// Who asked: a role with practitioner, organisation and location; a citizen; or an organisation.
    fn who(&mut self) -> Value {
        let record = self.record;
        let Some(person) = &record.person else {
            return match record.organisation {
                Some(number) => self.organisation_of("organisation", &number, None),
                None => json!({"display": record.client.as_deref().unwrap_or("unknown")}),
            };
        };
        let controller = self.view == View::Controller;
        if !person.practitioner {
            let mut citizen = json!({"resourceType": if person.represents { "RelatedPerson" } else { "Patient" }});
            if controller {
                citizen["identifier"] = Draft::person(&person.identifier);
            }
            if let Some(name) = &person.name {
                citizen["name"] = json!([{"text": name}]);
            }
            if person.represents {
                citizen["patient"] = json!({"reference": "#patient"});
            }
            return self.contain("citizen", citizen);
        }
        let mut practitioner = json!({"resourceType": "Practitioner"});
        if controller {
            let mut identifiers = Draft::person(&person.identifier);
            if let (Some(list), Some(hpr)) = (identifiers.as_array_mut(), &person.hpr) {
                list.push(json!({"system": systems::HPR, "value": hpr.as_str()}));
            }
            practitioner["identifier"] = identifiers;
        } else if let Some(pseudonym) = &person.pseudonym {
            practitioner["identifier"] = json!([{"system": PSEUDONYM, "value": pseudonym}]);
        }
        if let Some(name) = &person.name {
            practitioner["name"] = json!([{"text": name}]);
        }
        if let Some(code) = &person.authorization {
            practitioner["qualification"] = json!([{"code": {"coding": [coding(code, None)]}}]);
        }
        let practitioner = self.contain("practitioner", practitioner);
        let mut role = json!({"resourceType": "PractitionerRole", "practitioner": practitioner});
        let mut organisation = record
            .legal_entity
            .as_ref()
            .map(|unit| self.unit("legal-entity", unit, None));
        if let Some(department) = &record.department {
            organisation = Some(self.unit("department", department, organisation));
        }
        if let Some(organisation) = organisation {
            role["organization"] = organisation;
        }
        if let Some(unit) = &record.point_of_care {
            let managing = self.unit("point-of-care", unit, None);
            let location = json!({"resourceType": "Location", "managingOrganization": managing});
            role["location"] = json!([self.contain("location", location)]);
        }
        self.contain("role", role)
    }

    fn encounter(&mut self) -> Option<Value> {
        let service = self.record.healthcare_service.as_ref()?;
        // Status and class are not known at the data holder (audit.md section 1, trap 4).
        let encounter = json!({
            "resourceType": "Encounter",
            "status": "unknown",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK"},
            "serviceType": {"coding": [coding(service, None)]},
        });
        Some(self.contain("encounter", encounter))
    }

    /// The extension with decision reference and time of attestation; all four parts, or not there.
    fn care_relation(&self) -> Option<Value> {
        let (decision, toa) = (self.record.decision_ref.as_ref()?, self.record.toa?);
        if self.view != View::Controller || toa < 0 || toa > i64::from(i32::MAX) {
            return None;
        }
        let description = decision
            .description
            .as_deref()
            .filter(|text| !text.trim().is_empty());
        Some(json!({
            "url": format!("{EXTENSIONS}carerelation-metadata-extension"),
            "extension": [
                {"url": "decision-ref-id", "valueString": decision.id},
                {"url": "decision-ref-description", "valueString": description.unwrap_or("not stated")},
                {"url": "decision-ref-user-selected", "valueBoolean": decision.user_selected},
                {"url": "toa", "valueUnsignedInt": toa},
            ],
        }))
    }

    fn purpose(&self) -> Value {
        let Some(purpose) = &self.record.purpose else {
            return Value::Null;
        };
        let display = Purpose::parse(&purpose.code).map(Purpose::display);
        let mut codings = vec![coding(
            &Code {
                system: systems::PURPOSE_OF_USE.into(),
                ..purpose.clone()
            },
            display,
        )];
        codings.extend(
            self.record
                .purpose_details
                .iter()
                .map(|details| coding(details, None)),
        );
        let mut concept = json!({"coding": codings});
        if let Some(reason) = &self.record.reason {
            concept["text"] = json!(reason);
        }
        json!([concept])
    }

    fn asker_name(&self) -> Option<&str> {
        self.record
            .person
            .as_ref()
            .and_then(|person| person.name.as_deref())
    }

    /// The client and the gateway, as application agents.
    fn clients(&self) -> Vec<Value> {
        let application = |id: &String| {
            json!({
                "type": {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110150", "display": "Application"}]},
                "who": {"identifier": {"system": CLIENT_SYSTEM, "value": id}},
                "requestor": false,
            })
        };
        let gateway = self
            .record
            .gateway
            .iter()
            .filter(|gateway| Some(*gateway) != self.record.client.as_ref());
        self.record
            .client
            .iter()
            .chain(gateway)
            .map(application)
            .collect()
    }

    fn entities(&self) -> Vec<Value> {
        if self.view == View::Controller {
            return self.details();
        }
        let mut entities = self.kinds();
        // By it the patient asks why ($explain-access); her representative hears of their own requests alone.
        if self.view == View::Patient {
            entities.push(json!({
                "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "4", "display": "Other"},
                "detail": [{"type": REQUEST_ID, "valueString": self.record.request_id}],
            }));
        }
        entities
    }

    /// For the patient: what kinds (`name` is the information service, such as `IT17`), how many, and what was left out of
    /// each; not which.
    fn kinds(&self) -> Vec<Value> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for one in &self.record.disclosed {
            *counts.entry(&one.resource).or_default() += 1;
        }
        for one in &self.record.counted {
            *counts.entry(&one.resource).or_default() += one.count;
        }
        let out = |detail: &Detail| {
            self.record
                .reduced
                .iter()
                .any(|(_, one)| one.contains(detail))
        };
        let reduced: Vec<Detail> = Detail::ALL.into_iter().filter(out).collect();
        let reduced = (!reduced.is_empty()).then(|| detail::codes(&reduced));
        let kind = |(resource, count): (&str, u64)| {
            let mut entity = json!({
                "type": {"system": "http://hl7.org/fhir/resource-types", "code": resource},
                "detail": [{"type": "count", "valueString": count.to_string()}],
            });
            if let Some(service) =
                ResourceType::parse(resource).and_then(ResourceType::information_service)
            {
                entity["name"] = json!(service.to_string());
            }
            if let (Some(reduced), Some(details)) = (&reduced, entity["detail"].as_array_mut()) {
                details.push(json!({"type": "reduced", "valueString": reduced}));
            }
            entity
        };
        counts.into_iter().map(kind).collect()
    }

    /// For the controller: the query as received, every resource with its version, the other parties, the request ids.
    fn details(&self) -> Vec<Value> {
        let record = self.record;
        let mut details = vec![json!({"type": REQUEST_ID, "valueString": record.request_id})];
        let mut also = |kind: &str, text: Option<String>| {
            details.extend(text.map(|text| json!({"type": kind, "valueString": text})));
        };
        also("caller-request-id", record.caller_request_id.clone());
        also(
            "agreement",
            record
                .agreement
                .as_ref()
                .map(|(id, version)| format!("{id}/{version}")),
        );
        let rules: Vec<String> = record
            .rules
            .iter()
            .map(|(name, version)| format!("{name}/{version}"))
            .collect();
        also("rules", (!rules.is_empty()).then(|| rules.join(" ")));
        let reduced: Vec<String> = record
            .reduced
            .iter()
            .map(|(rule, out)| format!("{rule}: {}", detail::codes(out)))
            .collect();
        also("reduced", (!reduced.is_empty()).then(|| reduced.join("; ")));
        let inputs = &record.inputs;
        also("scope", some(inputs.scope.clone()));
        let level = inputs.security_level.map(|level| level.to_string());
        also("security-level", level);
        let agreed = inputs.agreed.iter().map(ToString::to_string);
        also("agreed", some(agreed.collect::<Vec<_>>().join(" ")));
        also("wishes", some(inputs.wishes.join(" ")));
        let as_of = inputs.settings_as_of.map(|as_of| as_of.to_string());
        also("settings-as-of", as_of);
        also("token-sha256", record.token_hash.clone());
        let query = base64::engine::general_purpose::STANDARD.encode(&record.asked);
        let mut entities = vec![json!({
            "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "2", "display": "System Object"},
            "role": {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "24", "display": "Query"},
            "query": query,
            "detail": details,
        })];
        entities.extend(record.disclosed.iter().map(|one| {
            json!({
                "what": {"reference": format!("{}/{}/_history/{}", one.resource, one.id, one.version)},
                "type": {"system": "http://hl7.org/fhir/resource-types", "code": one.resource},
            })
        }));
        entities.extend(record.counted.iter().map(|one| {
            json!({
                "type": {"system": "http://hl7.org/fhir/resource-types", "code": one.resource},
                "name": one.what,
                "detail": [{"type": "count", "valueString": one.count.to_string()}],
            })
        }));
        entities.extend(record.peers.iter().map(|peer| {
            json!({
                "what": {"identifier": {"system": SERVICE_SYSTEM, "value": peer.service}},
                "name": peer.service,
                "detail": [
                    {"type": "organisation", "valueString": peer.organisation},
                    {"type": "state", "valueString": peer.state},
                    {"type": "count", "valueString": peer.count.to_string()},
                ],
            })
        }));
        entities
    }
}

#[cfg(test)]
#[path = "fhir_tests.rs"]
mod tests;
