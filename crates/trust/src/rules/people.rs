//! Callers and facts for the rules' tables: Prøveheim's physician asks Fjellvik's service about the story's patient.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use crate::attest::{
    Attestation, AttestedPatient, Attester, CareRelationship, Code, DecisionRef, Id,
};
use crate::caller::{Agreement, Caller, ClientUse, Delegation, Person};
use crate::decide::{Ask, Decision, Facts, Party, Permit, decide};
use crate::interaction::Interaction;
use crate::organisation::Register;
use crate::scope::Scopes;
use crate::wish::{Closed, Source, Wish};
use fhir::ids::{OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::resource::{InformationService, ResourceType};
use fhir::systems;
use fhir::time::Instant;
use std::sync::Arc;

pub(crate) const PROVEHEIM: &str = "310001074";
pub(crate) const FJELLVIK: &str = "310001007";
pub(crate) const OTHER: &str = "310001147";
pub(crate) const PATIENT: &str = "14835210260";
/// A synthetic number with right control digits that is nobody else here.
pub(crate) const PHYSICIAN: &str = "13888410278";

pub(crate) fn org(number: &str) -> OrganisationNumber {
    OrganisationNumber::parse(number).unwrap()
}

pub(crate) fn person(number: &str) -> PersonIdentifier {
    PersonIdentifier::guess(number, PersonNumbers::Lenient).unwrap()
}

pub(crate) fn service(name: &str) -> InformationService {
    InformationService::parse(name).unwrap()
}

/// One question, ready to be spoiled.
pub(crate) struct Case {
    pub(crate) ask: Ask,
    pub(crate) caller: Caller,
    pub(crate) facts: Facts,
}

fn id(system: &str, value: &str) -> Id {
    Id {
        id: value.into(),
        name: None,
        system: system.into(),
        authority: None,
    }
}

fn code(code: &str, system: &str) -> Option<Code> {
    Some(Code {
        code: code.into(),
        text: None,
        system: system.into(),
        assigner: None,
    })
}

const NOW: i64 = 1_800_000_000;

impl Case {
    fn of(person_: Person, use_: ClientUse, organisation: Option<&str>, scopes: &str) -> Case {
        let mut register = Register::default();
        for (number, name) in [
            (PROVEHEIM, "Prøveheim"),
            (FJELLVIK, "Fjellvik"),
            (OTHER, "Prøvebakken"),
        ] {
            register.add(org(number), name);
        }
        let patient = (!matches!(person_, Person::System)).then(|| person(PATIENT));
        let audience = "https://fjellvik.example/fhir";
        Case {
            ask: Ask::of(Interaction::Search, ResourceType::OBSERVATION),
            caller: Caller {
                client_id: "client".into(),
                use_,
                organisation: organisation.map(org),
                scopes: Scopes::parse(scopes).unwrap(),
                person: person_,
                patient,
                patient_id: None,
                represented_by: Vec::new(),
                gateway: None,
                agreement: None,
                delegation: None,
                audience: audience.into(),
                token_id: "t".into(),
                jkt: "k".into(),
                token_hash: [0; 32],
                issued: Instant::from_seconds(NOW - 10),
                expires: Instant::from_seconds(NOW + 290),
            },
            facts: Facts {
                party: Party::Sharing,
                owner: org(FJELLVIK),
                members: [].into(),
                audience: audience.into(),
                register: Arc::new(register),
                wishes: [].into(),
                known: Default::default(),
                now: Instant::from_seconds(NOW),
            },
        }
    }

    pub(crate) fn practitioner() -> Case {
        let attestation = Attestation {
            toa: NOW - 60,
            practitioner: Attester {
                identifier: id(systems::FNR, PHYSICIAN),
                hpr_nr: Some(id(systems::HPR, "9144900")),
                authorization: code("LE", "urn:oid:2.16.578.1.12.4.1.1.9060"),
                legal_entity: Some(id(systems::ORGNR, PROVEHEIM)),
                point_of_care: Some(id(systems::ORGNR, PROVEHEIM)),
                department: None,
            },
            care_relationship: CareRelationship {
                healthcare_service: None,
                purpose_of_use: code("TREAT", systems::PURPOSE_OF_USE),
                purpose_of_use_details: code(
                    "VURDHENV",
                    "https://terminology.dips.com/decisiontemplate",
                ),
                decision_ref: Some(DecisionRef {
                    id: "decision-1".into(),
                    description: Some("Vurdering av henvisning".into()),
                    user_selected: true,
                }),
                reason: None,
            },
            patients: vec![AttestedPatient {
                identifier: id(systems::FNR, PATIENT),
                point_of_care: None,
                department: None,
            }],
        };
        let person_ = Person::Practitioner {
            identifier: person(PHYSICIAN),
            name: Some("Lege Syntetisk".into()),
            hpr: fhir::ids::HprNumber::parse("9144900").ok(),
            pseudonym: None,
            security_level: 4,
            attestation: Some(Box::new(attestation)),
        };
        let mut case = Case::of(person_, ClientUse::Test, Some(PROVEHEIM), "user/*.rs");
        case.agreement(&["IT01", "IT03", "IT08", "IT12", "IT17"]);
        case
    }

    pub(crate) fn citizen() -> Case {
        let person_ = Person::Citizen {
            identifier: person(PATIENT),
            name: Some("Ragnhild Testmo".into()),
            security_level: 4,
            represents: None,
        };
        Case::of(person_, ClientUse::Portal, None, "patient/*.rs")
    }

    pub(crate) fn system(use_: ClientUse, organisation: &str) -> Case {
        Case::of(Person::System, use_, Some(organisation), "system/*.cruds")
    }

    pub(crate) fn attest(&mut self, change: impl FnOnce(&mut Attestation)) {
        if let Person::Practitioner {
            attestation: Some(attest),
            ..
        } = &mut self.caller.person
        {
            change(attest);
        }
    }

    pub(crate) fn agreement(&mut self, services: &[&str]) {
        let services = services.iter().map(|name| service(name)).collect();
        self.caller.agreement = Some(Agreement {
            id: "a-1".into(),
            version: 1,
            services,
        });
    }

    /// The practitioner works at this organisation.
    pub(crate) fn from(&mut self, number: &str) {
        self.caller.organisation = Some(org(number));
        self.attest(|attest| {
            if let Some(entity) = &mut attest.practitioner.legal_entity {
                entity.id = number.into();
            }
        });
    }

    pub(crate) fn purpose(&mut self, code: &str, reason: Option<&str>) {
        self.attest(|attest| {
            let relation = &mut attest.care_relationship;
            if let Some(purpose) = &mut relation.purpose_of_use {
                purpose.code = code.into();
            }
            relation.reason = reason.map(str::to_owned);
        });
    }

    /// The patient wished this an hour ago.
    pub(crate) fn wish(&mut self, closed: Closed) {
        self.facts.wishes = [Wish {
            id: "w-1".into(),
            closed,
            since: self.facts.now.plus_seconds(-3600),
            until: None,
            source: Source::Here,
        }]
        .into();
    }

    /// The wishes were made at Helsenorge.
    pub(crate) fn elsewhere(&mut self) {
        let moved = self.facts.wishes.iter().map(|wish| Wish {
            source: Source::Personvernkomponenten,
            ..wish.clone()
        });
        self.facts.wishes = moved.collect();
    }

    /// The wishes end then.
    pub(crate) fn until(&mut self, end: Instant) {
        let ended = self.facts.wishes.iter().map(|wish| Wish {
            until: Some(end),
            ..wish.clone()
        });
        self.facts.wishes = ended.collect();
    }

    pub(crate) fn delegate(&mut self, from: &str) {
        self.caller.delegation = Some(Delegation {
            id: "d-1".into(),
            version: 1,
            from: org(from),
        });
    }
}

/// The rule and code of the refusal, of either kind.
pub(crate) fn refused_by(case: &Case) -> Option<(&'static str, &'static str)> {
    decide(&case.ask, &case.caller, &case.facts)
        .permit()
        .err()
        .map(|refusal| (refusal.rule, refusal.code))
}

pub(crate) fn permit(case: &Case) -> Permit {
    match decide(&case.ask, &case.caller, &case.facts) {
        Decision::Permit(permit) => permit,
        other => panic!("{other:?}"),
    }
}
