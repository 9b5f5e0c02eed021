//! A patient's wish as the FHIR resource for it: Consent (R4 consent.html), scope `patient-privacy`, that denies.
//!
//! The shape follows the Norwegian draft (HL7Norway/Consent, 2022): category LOINC 59284-0, a `policyRule`, a provision of type
//! `deny`. What it closes: `provision.actor` names an organisation or a practitioner; `provision.class` names kinds of
//! information (our service codes, or resource types); an `action` `disclose` alone reserves against sharing with other
//! organisations; none of these closes everything. A part that is not understood is refused, never ignored: what the
//! patient wanted closed must not stand open.

use fhir::ids::{HprNumber, LogicalId, OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::json::Node;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{InformationService, ResourceType};
use fhir::systems;
use fhir::time::{Instant, Zone, parse_date};
use serde_json::{Value, json};
use trust::wish::{Closed, Named, PSEUDONYM, Source, Wish};

const SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
const ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
const RESOURCE_TYPES: &str = "http://hl7.org/fhir/resource-types";
/// Code system of the information services, as `IT17`.
pub const SERVICES: &str = "https://delt.example/fhir/CodeSystem/information-service";
const POLICY: &str = "http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis";
/// Patient- and user-rights act § 5-3: the patient opposes.
const OPPOSED: &str = "PBRL5-3";
const PRIVACY_CONSENT: &str = "59284-0";
/// `meta.source` of a wish that was made at Helsenorge.
pub const PERSONVERNKOMPONENTEN: &str = "https://delt.example/fhir/source/personvernkomponenten";

/// What a client sent.
pub struct Sent {
    /// What is to be closed.
    pub closed: Closed,
    /// Until when.
    pub until: Option<Instant>,
    /// For whom, by number.
    pub patient: Option<PersonIdentifier>,
    /// For whom, by `Patient/{id}`.
    pub local: Option<LogicalId>,
}

/// Reads a Consent that has passed the published R4 rules.
///
/// # Errors
/// Every finding, with its place.
pub fn read(root: Node<'_>, zone: &Zone, numbers: PersonNumbers) -> Result<Sent, Vec<Issue>> {
    let mut findings = Vec::new();
    strangers(
        root,
        "Consent",
        &[
            "resourceType",
            "meta",
            "text",
            "language",
            "status",
            "scope",
            "category",
            "patient",
            "dateTime",
            "performer",
            "policyRule",
            "provision",
        ],
        &mut findings,
    );
    expect(
        root.text("status").as_deref() == Some("active"),
        "Consent.status",
        "a wish is made as active",
        &mut findings,
    );
    expect(
        coded(root.get("scope"), SCOPE, "patient-privacy"),
        "Consent.scope",
        "expected patient-privacy",
        &mut findings,
    );
    let (mut patient, mut local) = (None, None);
    if let Some(named) = root.get("patient") {
        if let Some(identifier) = named.get("identifier") {
            patient = PersonIdentifier::read(identifier, numbers);
        }
        local = named
            .text("reference")
            .and_then(|text| LogicalId::parse(text.strip_prefix("Patient/")?).ok());
    }
    expect(
        patient.is_some() || local.is_some(),
        "Consent.patient",
        "expected the patient by national identity number or as Patient/[id]",
        &mut findings,
    );
    let (mut closed, mut until) = (Closed::Everything, None);
    match root.get("provision") {
        None => findings.push(Issue::error(
            IssueCode::Required,
            "Consent.provision",
            "a wish that closes something has a provision of type deny",
        )),
        Some(provision) => {
            until = ends(provision, zone, &mut findings);
            if let Some(what) = what(provision, &mut findings) {
                closed = what;
            }
        }
    }
    if findings.is_empty() {
        Ok(Sent {
            closed,
            until,
            patient,
            local,
        })
    } else {
        Err(findings)
    }
}

fn expect(holds: bool, place: &str, words: &str, findings: &mut Vec<Issue>) {
    if !holds {
        findings.push(Issue::error(IssueCode::Value, place, words));
    }
}

/// Members that would change the meaning and are not understood.
fn strangers(node: Node<'_>, place: &str, known: &[&str], findings: &mut Vec<Issue>) {
    for (name, _) in node.members() {
        if !known.contains(&name.as_ref()) {
            findings.push(Issue::error(
                IssueCode::NotSupported,
                format!("{place}.{name}"),
                "this is not understood here, and could change what the wish means",
            ));
        }
    }
}

fn coded(concept: Option<Node<'_>>, system: &str, code: &str) -> bool {
    let codings = concept.and_then(|node| node.get("coding"));
    codings.into_iter().flat_map(Node::items).any(|coding| {
        coding.text("system").as_deref() == Some(system)
            && coding.text("code").as_deref() == Some(code)
    })
}

fn ends(provision: Node<'_>, zone: &Zone, findings: &mut Vec<Issue>) -> Option<Instant> {
    let period = provision.get("period")?;
    if period.get("start").is_some() {
        findings.push(Issue::error(
            IssueCode::NotSupported,
            "Consent.provision.period.start",
            "a wish holds from the moment it is made",
        ));
    }
    let end = period.text("end")?;
    let range = parse_date(&end, zone).ok();
    expect(
        range.is_some(),
        "Consent.provision.period.end",
        "expected a date",
        findings,
    );
    range.map(|range| Instant(range.hi))
}

fn what(provision: Node<'_>, findings: &mut Vec<Issue>) -> Option<Closed> {
    let place = "Consent.provision";
    strangers(
        provision,
        place,
        &["type", "period", "actor", "action", "class"],
        findings,
    );
    expect(
        provision.text("type").as_deref() == Some("deny"),
        "Consent.provision.type",
        "expected deny: what is not closed is open by law, not by consent",
        findings,
    );
    let list = |name| {
        provision
            .get(name)
            .into_iter()
            .flat_map(Node::items)
            .collect::<Vec<_>>()
    };
    let (actors, actions, classes) = (list("actor"), list("action"), list("class"));
    match (actors.as_slice(), actions.as_slice(), classes.as_slice()) {
        ([], [], []) => Some(Closed::Everything),
        ([actor], [], []) => {
            let found = actor.path(&["reference", "identifier"]).and_then(whom);
            expect(
                found.is_some(),
                "Consent.provision.actor[0].reference.identifier",
                "expected an organisation number, an HPR number, or the pseudonym of somebody in the log",
                findings,
            );
            found
        }
        ([], [action], []) => {
            expect(
                coded(Some(*action), ACTION, "disclose"),
                "Consent.provision.action[0]",
                "expected disclose: a reservation against sharing with other organisations",
                findings,
            );
            Some(Closed::Sharing)
        }
        ([], [], classes) => Some(Closed::Services {
            services: kinds(classes, findings),
        }),
        _ => {
            findings.push(Issue::error(
                IssueCode::NotSupported,
                place,
                "one actor, one action, or kinds: several wishes are several Consents",
            ));
            None
        }
    }
}

fn whom(identifier: Node<'_>) -> Option<Closed> {
    let (system, value) = (identifier.text("system")?, identifier.text("value")?);
    let named = |who| Some(Closed::Practitioner { who });
    match systems::canonical(&system) {
        systems::ORGNR => Some(Closed::Organisation {
            organisation: OrganisationNumber::parse(&value).ok()?,
        }),
        systems::HPR => named(Named {
            pseudonym: None,
            hpr: Some(HprNumber::parse(&value).ok()?),
            number: None,
        }),
        PSEUDONYM if !value.is_empty() && value.len() <= 64 => named(Named {
            pseudonym: Some(value.into_owned()),
            hpr: None,
            number: None,
        }),
        _ => None,
    }
}

fn kinds(classes: &[Node<'_>], findings: &mut Vec<Issue>) -> Vec<InformationService> {
    let mut services = Vec::new();
    for (at, class) in classes.iter().enumerate() {
        let code = class.text("code").unwrap_or_default();
        let found = match class.text("system").as_deref() {
            Some(SERVICES) => InformationService::parse(&code),
            Some(RESOURCE_TYPES) => {
                ResourceType::parse(&code).and_then(ResourceType::information_service)
            }
            _ => None,
        };
        match found {
            Some(service) if services.contains(&service) => {}
            Some(service) => services.push(service),
            None => findings.push(Issue::error(
                IssueCode::Value,
                format!("Consent.provision.class[{at}]"),
                "expected a kind of information: IT17 in our code system, or a resource type that belongs to one",
            )),
        }
    }
    services
}

/// The Consent of a wish.
pub fn render(wish: &Wish, patient: &PersonIdentifier) -> Value {
    let mut provision = json!({"type": "deny"});
    if let Some(until) = wish.until {
        provision["period"] = json!({"end": until.to_string()});
    }
    let actor = |system: &str, value: &str| {
        json!([{
            "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
            "reference": {"identifier": {"system": system, "value": value}},
        }])
    };
    match &wish.closed {
        Closed::Everything => {}
        Closed::Sharing => {
            provision["action"] = json!([{"coding": [{"system": ACTION, "code": "disclose"}]}]);
        }
        Closed::Services { services } => {
            let codes = services.iter();
            provision["class"] = codes
                .map(|one| json!({"system": SERVICES, "code": one.to_string()}))
                .collect();
        }
        Closed::Organisation { organisation } => {
            provision["actor"] = actor(systems::ORGNR, organisation.as_str());
        }
        Closed::Practitioner { who } => {
            if let Some(pseudonym) = &who.pseudonym {
                provision["actor"] = actor(PSEUDONYM, pseudonym);
            } else if let Some(hpr) = &who.hpr {
                provision["actor"] = actor(systems::HPR, hpr.as_str());
            }
        }
    }
    let mut told = json!({
        "resourceType": "Consent",
        "id": wish.id,
        "meta": {"versionId": "1", "lastUpdated": wish.since.to_string()},
        "status": "active",
        "scope": {"coding": [{"system": SCOPE, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": systems::LOINC, "code": PRIVACY_CONSENT}]}],
        "patient": {"identifier": {"system": patient.system(), "value": patient.value().expose()}},
        "dateTime": wish.since.to_string(),
        "policyRule": {"coding": [{"system": POLICY, "code": OPPOSED}]},
        "provision": provision,
    });
    if wish.source == Source::Personvernkomponenten {
        told["meta"]["source"] = json!(PERSONVERNKOMPONENTEN);
        told["sourceReference"] = json!({"display": "Helsenorge (Personvernkomponenten)"});
    }
    told
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use fhir::json::{Json, Limits};

    fn patient() -> PersonIdentifier {
        PersonIdentifier::guess("14835210260", PersonNumbers::Strict).unwrap()
    }

    fn every_wish() -> Vec<Wish> {
        let named = |pseudonym: Option<&str>, hpr: Option<&str>| Closed::Practitioner {
            who: Named {
                pseudonym: pseudonym.map(str::to_owned),
                hpr: hpr.map(|text| HprNumber::parse(text).unwrap()),
                number: None,
            },
        };
        [
            Closed::Everything,
            Closed::Sharing,
            Closed::Services {
                services: vec![InformationService::PLANS, InformationService::MEDICATION],
            },
            Closed::Organisation {
                organisation: OrganisationNumber::parse("310001074").unwrap(),
            },
            named(Some("p-1"), None),
            named(None, Some("9144900")),
        ]
        .into_iter()
        .map(|closed| Wish {
            id: "6f1f0f4e-6b0c-4a43-9a57-111111111111".into(),
            closed,
            since: Instant::from_seconds(1_800_000_000),
            until: None,
            source: Source::Here,
        })
        .collect()
    }

    fn take(value: &Value) -> Result<Sent, Vec<Issue>> {
        let json = Json::parse(value.to_string().into_bytes(), Limits::RESOURCE).unwrap();
        read(json.root(), &Zone::default(), PersonNumbers::Strict)
    }

    #[test]
    fn what_is_told_is_what_was_meant() {
        for wish in every_wish() {
            let mut told = render(&wish, &patient());
            told.as_object_mut().unwrap().remove("id");
            let sent = take(&told).unwrap_or_else(|issues| panic!("{issues:?}"));
            assert!(sent.closed == wish.closed && sent.patient == Some(patient()));
        }
    }

    #[test]
    fn whatever_could_mean_something_else_is_refused_at_its_place() {
        let sound = || {
            let mut told = render(&every_wish()[3], &patient());
            told.as_object_mut().unwrap().remove("id");
            told
        };
        type Change = (&'static str, fn(&mut Value));
        let changes: [Change; 12] = [
            ("Consent.status", |one| one["status"] = json!("inactive")),
            ("Consent.scope", |one| {
                one["scope"] = json!({"text": "privacy"})
            }),
            ("Consent.patient", |one| {
                one["patient"] = json!({"display": "me"})
            }),
            ("Consent.provision", |one| {
                one.as_object_mut().unwrap().remove("provision");
            }),
            ("Consent.provision.type", |one| {
                one["provision"]["type"] = json!("permit")
            }),
            ("Consent.provision.provision", |one| {
                one["provision"]["provision"] = json!([{"type": "permit"}]);
            }),
            ("Consent.provision.purpose", |one| {
                one["provision"]["purpose"] = json!([{"code": "TREAT"}])
            }),
            ("Consent.provision", |one| {
                one["provision"]["class"] = json!([{"system": SERVICES, "code": "IT17"}]);
            }),
            ("Consent.provision.actor[0].reference.identifier", |one| {
                one["provision"]["actor"][0]["reference"]["identifier"]["value"] =
                    json!("310001075");
            }),
            ("Consent.provision.period.end", |one| {
                one["provision"]["period"] = json!({"end": "soon"})
            }),
            ("Consent.provision.period.start", |one| {
                one["provision"]["period"] = json!({"start": "2030-01-01"});
            }),
            ("Consent.verification", |one| {
                one["verification"] = json!([{"verified": false}])
            }),
        ];
        for (place, change) in changes {
            let mut broken = sound();
            change(&mut broken);
            let issues = take(&broken).err().unwrap_or_default();
            assert!(
                issues
                    .iter()
                    .any(|issue| issue.expression.iter().any(|one| one == place)),
                "{place}: {issues:?}"
            );
        }
        assert!(take(&sound()).is_ok());
    }

    #[test]
    fn kinds_are_named_by_service_or_by_type() {
        let mut told = render(&every_wish()[2], &patient());
        told.as_object_mut().unwrap().remove("id");
        told["provision"]["class"] = json!([
            {"system": RESOURCE_TYPES, "code": "CarePlan"},
            {"system": SERVICES, "code": "IT08"},
        ]);
        assert!(
            take(&told).unwrap().closed
                == Closed::Services {
                    services: vec![InformationService::PLANS]
                }
        );
        told["provision"]["class"] = json!([{"system": RESOURCE_TYPES, "code": "Nonsense"}]);
        assert!(take(&told).is_err());
    }
}
