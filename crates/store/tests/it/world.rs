//! A clock that is set by hand, ids that count, synthetic people, checked resources and real permits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use fhir::check::{Rules, UnknownCodes, check};
use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::json::{Json, Limits};
use fhir::resource::{Checked, ResourceType};
use fhir::search::{Query, Via};
use fhir::systems;
use fhir::time::{Instant, Zone};
use store::{Change, Options, Put, Store, Surroundings};
use trust::attest::{
    Attestation, AttestedPatient, Attester, CareRelationship, Code, DecisionRef, Id,
};
use trust::audit::Record;
use trust::organisation::Register;
use trust::scope::Scopes;
use trust::{Ask, Caller, ClientUse, Decision, Facts, Interaction, Party, Permit, Person, decide};

pub const OWNER: &str = "310001007";
pub const GURI: &str = "14835210260";
pub const HENRIK: &str = "13717404089";
pub const AUDIENCE: &str = "https://fjellvik.example/fhir";

/// 2026-03-01T12:00:00Z.
pub const START: i64 = 1_772_366_400;

pub struct World {
    pub folder: tempfile::TempDir,
    pub micros: Arc<AtomicI64>,
    made: Arc<AtomicU64>,
}

impl World {
    pub fn new() -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
            micros: Arc::new(AtomicI64::new(START * 1_000_000)),
            made: Arc::default(),
        }
    }

    pub fn surroundings(&self) -> Surroundings {
        let (micros, made) = (self.micros.clone(), self.made.clone());
        Surroundings {
            clock: Arc::new(move || Instant(micros.load(Ordering::SeqCst))),
            ids: Arc::new(move || {
                let n = made.fetch_add(1, Ordering::SeqCst);
                // Scattered like random ones, so that order by id is not order of making.
                uuid::Builder::from_random_bytes(
                    u128::from(n)
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                        .to_be_bytes(),
                )
                .into_uuid()
            }),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> Store {
        Store::open(self.path(), OWNER, self.surroundings()).unwrap()
    }

    pub fn announcing(&self) -> Store {
        let options = Options {
            announce: Some("locator".to_owned()),
            ..Options::default()
        };
        Store::open_with(self.path(), OWNER, self.surroundings(), options).unwrap()
    }

    pub fn now(&self) -> Instant {
        Instant(self.micros.load(Ordering::SeqCst))
    }

    pub fn pass(&self, seconds: i64) {
        self.micros.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

pub fn person(number: &str) -> PersonIdentifier {
    PersonIdentifier::guess(number, PersonNumbers::Lenient).unwrap()
}

pub fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

pub fn checked(json: &str) -> Checked {
    let json = Json::parse(json.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
    let rules = Rules {
        unknown_codes: UnknownCodes::Accept,
        ..Rules::default()
    };
    check(&json, json.root(), &rules).unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// A pulse, as a home system sends it. `id` is the sender's own.
pub struct Pulse<'a> {
    pub of: &'a str,
    pub id: &'a str,
    pub at: &'a str,
    pub value: &'a str,
    pub status: &'a str,
    pub loinc: &'a str,
}

impl Default for Pulse<'_> {
    fn default() -> Self {
        Pulse {
            of: GURI,
            id: "r1",
            at: "2026-02-28T08:00:00+01:00",
            value: "72.0",
            status: "final",
            loinc: "8867-4",
        }
    }
}

impl Pulse<'_> {
    pub fn json(&self) -> String {
        let unit = match self.loinc {
            "59408-5" => "%",
            "29463-7" => "kg",
            _ => "/min",
        };
        format!(
            r#"{{"resourceType":"Observation","identifier":[{{"system":"urn:home","value":"{}"}}],"status":"{}","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{}"}}]}},"subject":{{"identifier":{{"system":"{}","value":"{}"}}}},"effectiveDateTime":"{}","valueQuantity":{{"value":{},"unit":"{}","system":"http://unitsofmeasure.org","code":"{}"}}}}"#,
            self.id,
            self.status,
            self.loinc,
            systems::FNR,
            self.of,
            self.at,
            self.value,
            unit,
            unit
        )
    }

    pub fn create(&self) -> Change {
        create(checked(&self.json()))
    }
}

pub fn create(resource: Checked) -> Change {
    Change {
        puts: vec![Put::Create {
            resource,
            written_by: None,
            enrol: true,
        }],
        ..Change::default()
    }
}

pub fn query(resource: ResourceType, parameters: &[(&str, &str)]) -> Query {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    fhir::search::parse(
        resource,
        &parameters,
        Via::Post,
        &Zone::default(),
        PersonNumbers::Strict,
        fhir::search::Grammar::Shared,
    )
    .unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// Any search parameter.
pub fn any(resource: ResourceType, parameters: &[(&str, &str)]) -> Query {
    parse_any(resource, parameters).unwrap_or_else(|issues| panic!("{issues:?}"))
}

/// Any search parameter; `None` for what is not understood.
pub fn try_any(resource: ResourceType, parameters: &[(&str, &str)]) -> Option<Query> {
    parse_any(resource, parameters).ok()
}

fn parse_any(
    resource: ResourceType,
    parameters: &[(&str, &str)],
) -> Result<Query, Vec<fhir::outcome::Issue>> {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    fhir::search::parse(
        resource,
        &parameters,
        Via::Post,
        &Zone::default(),
        PersonNumbers::Strict,
        fhir::search::Grammar::Whole(&fhir::definitions::Types::default()),
    )
}

pub fn observations(parameters: &[(&str, &str)]) -> Query {
    query(ResourceType::OBSERVATION, parameters)
}

pub fn caller(person: Person, use_: ClientUse, scopes: &str) -> Caller {
    let patient = person.identifier().cloned();
    Caller {
        client_id: "test".to_owned(),
        use_,
        organisation: Some(org(OWNER)),
        scopes: Scopes::parse(scopes).unwrap(),
        person,
        patient,
        patient_id: None,
        represented_by: Vec::new(),
        gateway: None,
        agreement: None,
        delegation: None,
        audience: AUDIENCE.to_owned(),
        token_id: "t".to_owned(),
        jkt: "k".to_owned(),
        token_hash: [0; 32],
        issued: Instant::from_seconds(START - 10),
        expires: Instant::from_seconds(START + 290),
    }
}

pub fn facts() -> Facts {
    let mut register = Register::default();
    register.add(org(OWNER), "Fjellvik");
    Facts {
        party: Party::Sharing,
        owner: org(OWNER),
        members: [].into(),
        audience: AUDIENCE.into(),
        register: Arc::new(register),
        wishes: [].into(),
        known: Default::default(),
        now: Instant::from_seconds(START),
    }
}

pub fn permit(caller: &Caller, resource: ResourceType) -> Permit {
    match decide(&Ask::of(Interaction::Search, resource), caller, &facts()) {
        Decision::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}

/// A citizen's permit: her own data, all kinds and times.
pub fn own(number: &str) -> Permit {
    let citizen = Person::Citizen {
        identifier: person(number),
        name: None,
        security_level: 4,
        represents: None,
    };
    permit(
        &caller(citizen, ClientUse::Portal, "patient/*.rs user/*.rs"),
        ResourceType::OBSERVATION,
    )
}

/// The record system's permit: the whole store.
pub fn whole() -> Permit {
    permit(
        &caller(Person::System, ClientUse::RecordSystem, "system/*.cruds"),
        ResourceType::OBSERVATION,
    )
}

/// A permit to coordinate (COC): the last year, no medicines.
pub fn coordinator() -> Permit {
    let id = |system: &str, value: &str| Id {
        id: value.into(),
        name: None,
        system: system.into(),
        authority: None,
    };
    let code = |code: &str, system: &str| Code {
        code: code.into(),
        text: None,
        system: system.into(),
        assigner: None,
    };
    let nurse = "13888410278";
    let attestation = Attestation {
        toa: START - 60,
        practitioner: Attester {
            identifier: id(systems::FNR, nurse),
            hpr_nr: Some(id(systems::HPR, "9144900")),
            authorization: Some(code("SP", "urn:oid:2.16.578.1.12.4.1.1.9060")),
            legal_entity: Some(id(systems::ORGNR, OWNER)),
            point_of_care: Some(id(systems::ORGNR, OWNER)),
            department: None,
        },
        care_relationship: CareRelationship {
            healthcare_service: None,
            purpose_of_use: Some(code("COC", systems::PURPOSE_OF_USE)),
            purpose_of_use_details: Some(code(
                "x",
                "https://terminology.dips.com/decisiontemplate",
            )),
            decision_ref: Some(DecisionRef {
                id: "d".into(),
                description: Some("d".into()),
                user_selected: true,
            }),
            reason: None,
        },
        patients: vec![AttestedPatient {
            identifier: id(systems::FNR, GURI),
            point_of_care: None,
            department: None,
        }],
    };
    let practitioner = Person::Practitioner {
        identifier: person(nurse),
        name: Some("Syntetisk Sykepleier".to_owned()),
        hpr: fhir::ids::HprNumber::parse("9144900").ok(),
        pseudonym: None,
        security_level: 4,
        attestation: Some(Box::new(attestation)),
    };
    let mut caller = caller(practitioner, ClientUse::Test, "user/*.rs");
    caller.patient = Some(person(GURI));
    permit(&caller, ResourceType::OBSERVATION)
}

pub fn record(request: &str, about: Option<&str>, now: Instant) -> Record {
    Record::new(now, request, Interaction::Search, "code=8867-4").about(about.map(person))
}
