//! Each detail against the published tables: it exists and may go, no answer depends on it, and nobody who sees less writes.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing test

use super::*;
use crate::attest::Purpose;
use crate::caller::{ClientUse, Person, Representation};
use crate::decide::{Party, decide};
use crate::interaction::Interaction;
use crate::rules::people::{Case, FJELLVIK, PHYSICIAN, permit, person};
use fhir::definitions::Definitions;
use fhir::definitions::elements::Table;
use fhir::definitions::extract::{Found, extract};
use fhir::ids::PersonNumbers;
use fhir::json::{Json, Limits};
use fhir::resource::{InformationService, ResourceType};
use fhir::search::{Grammar, Query, Via};
use fhir::subset::{closes, without};
use fhir::time::Zone;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What computing and safety need, whatever the role.
const NEEDED: &[&str] = &[
    "id",
    "meta",
    "identifier",
    "status",
    "intent",
    "code",
    "category",
    "subject",
    "patient",
    "value[x]",
    "effective[x]",
    "issued",
    "dataAbsentReason",
    "interpretation",
    "referenceRange",
    "component",
    "performer",
    "device",
    "method",
    "bodySite",
    "name",
    "birthDate",
    "gender",
    "deceased[x]",
    "period",
    "activity",
    "goal",
    "addresses",
    "target",
    "medication[x]",
    "dosage",
    "reasonCode",
];

#[test]
fn every_detail_may_go() {
    for withheld in Detail::ALL.into_iter().flat_map(Detail::elements) {
        let Withheld::Element(of, name) = withheld else {
            assert_eq!(*withheld, Withheld::Datatype("Annotation"));
            assert!(Definitions::get().elements("Annotation").is_some());
            continue;
        };
        let of = if *of == ANY { "DomainResource" } else { of };
        let table = Definitions::get().elements(of).unwrap();
        let element = table.elements.iter().find(|one| one.name == *name);
        let element = element.unwrap_or_else(|| panic!("{of} has no {name}"));
        assert!(!element.required && !element.modifier, "{of}.{name}");
        assert!(!NEEDED.contains(name), "{of}.{name}");
    }
    // Of the datatype that is left out, nothing that must be there is made.
    for name in Definitions::get().resource_types() {
        let table = Definitions::get().elements(name).unwrap();
        for element in &table.elements {
            let note = element.uses.iter().any(|used| used.name == "Annotation");
            let free = !element.required && !element.modifier;
            let own = element.uses.len() > 1 || !NEEDED.contains(&element.name);
            assert!(!note || free && own, "{name}.{}", element.name);
        }
    }
}

/// A value of a type; `None` where it goes too deep, or the tables do not say.
fn value(table: &Table, member: &str, depth: usize) -> Option<Value> {
    let (_, element, used) = table.find(member)?;
    let backbone = format!("{}.{}", table.name, element.name);
    let inside = match used.name {
        "BackboneElement" => Definitions::get().elements(&backbone),
        name => Definitions::get().elements(name),
    };
    let one = match (used.name, inside) {
        ("ContactPoint", _) => {
            let all = ["phone", "email"].map(|system| json!({"system": system, "value": "1"}));
            return Some(if element.many {
                json!(all)
            } else {
                all[0].clone()
            });
        }
        ("Reference", _) => {
            json!({"reference": format!("{}/1", used.targets.first().unwrap_or(&"Patient"))})
        }
        ("Extension" | "Resource", _) | ("BackboneElement", None) => return None,
        (_, Some(inside)) if depth > 0 => {
            // Nothing in FHIR is empty.
            let one = filled(inside, depth - 1);
            one.as_object().filter(|members| !members.is_empty())?;
            one
        }
        (_, Some(_)) => return None,
        ("boolean", _) => json!(true),
        ("decimal" | "integer" | "positiveInt" | "unsignedInt", _) => json!(1),
        ("date" | "dateTime" | "instant", _) => json!("2026-01-01T00:00:00Z"),
        _ => json!("x"),
    };
    Some(if element.many { json!([one]) } else { one })
}

/// Every member of a type, choices in each of their forms.
fn filled(table: &Table, depth: usize) -> Value {
    let mut all = Map::new();
    for member in table.members() {
        if ![
            "id",
            "extension",
            "modifierExtension",
            "contained",
            "implicitRules",
        ]
        .contains(&member)
            && let Some(value) = value(table, member, depth)
        {
            all.insert(member.to_owned(), value);
        }
    }
    Value::Object(all)
}

/// What a resource has for a parameter, as text.
fn found(resource: &Json, parameter: &fhir::definitions::search::SearchParameter) -> Vec<String> {
    match extract(resource.root(), parameter) {
        Found::Values(values) => values.iter().map(|one| one.node.raw().to_owned()).collect(),
        Found::Present(present) => vec![present.to_string()],
        Found::Composites(bases) => bases
            .iter()
            .flatten()
            .flatten()
            .map(|one| one.node.raw().to_owned())
            .collect(),
    }
}

fn whole(resource: ResourceType) -> Json {
    let table = Definitions::get().elements(resource.as_str()).unwrap();
    let mut body = filled(table, 3);
    body["resourceType"] = json!(resource.as_str());
    body["meta"] = json!({"tag": [{"system": "urn:x", "code": "own"}]});
    body["extension"] = json!([{"url": "urn:x", "valueAnnotation": {"text": "n"}}]);
    Json::parse(body.to_string().into_bytes(), Limits::BUNDLE).unwrap()
}

#[test]
fn no_answer_depends_on_what_is_left_out() {
    let mut text = String::new();
    for detail in Detail::ALL {
        let _ = writeln!(text, "{}: {}", detail.code(), detail.words().en);
        for withheld in detail.elements() {
            let _ = match withheld {
                Withheld::Datatype(name) => writeln!(text, "  every {name}"),
                Withheld::Element(of, name) => writeln!(text, "  {of}.{name}"),
            };
        }
        for name in Definitions::get().resource_types() {
            let resource = ResourceType::parse(name).unwrap();
            let before = whole(resource);
            let bytes = without(before.root(), resource, detail.elements());
            let after = Json::parse(bytes, Limits::BUNDLE).unwrap();
            let mut closed = Vec::new();
            for parameter in Definitions::get().search_parameters(resource) {
                let same = parameter.name == "_tag"
                    || found(&before, parameter) == found(&after, parameter);
                let shut = closes(detail.elements(), resource, parameter);
                // Closed just where the answer would change: not open to what is left out, and nothing else shut.
                assert_eq!(shut, !same, "{detail:?}: {name}?{}", parameter.name);
                if shut {
                    closed.push(parameter.name);
                }
            }
            if !closed.is_empty() {
                let _ = writeln!(text, "  closes {name}?{}", closed.join(" "));
            }
            // Nor does what the store's own tables find it by, or what makes it one thing with another.
            let index = |json: &Json| {
                fhir::index::of(
                    json.root(),
                    resource,
                    &Zone::default(),
                    PersonNumbers::Lenient,
                )
                .ok()
            };
            assert_eq!(index(&before), index(&after), "{detail:?}: {name}");
            // A Patient is whom its number names, and none does here.
            if let Some(index) = index(&before)
                && before.root().get("identifier").is_some()
                && resource != ResourceType::PATIENT
            {
                let key = |json: &Json| fhir::identity::of(json.root(), resource, &index).key;
                assert_eq!(key(&before), key(&after), "{detail:?}: {name}");
            }
        }
    }
    insta::assert_snapshot!(text);
}

fn query(resource: ResourceType, form: &[(&str, &str)]) -> Query {
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let types = fhir::definitions::Types::default();
    fhir::search::parse(
        resource,
        &form,
        Via::Post,
        &Zone::default(),
        PersonNumbers::Lenient,
        Grammar::Whole(&types),
    )
    .unwrap()
}

/// Type, parameters, and whether they ask about an address or a telephone in any way.
type Asked = (&'static str, &'static [(&'static str, &'static str)], bool);

const ASKED: &[Asked] = &[
    ("Patient", &[], false),
    ("Patient", &[("name", "a"), ("_sort", "birthdate")], false),
    ("Patient", &[("phone", "1")], true),
    ("Patient", &[("phone:missing", "true")], true),
    ("Patient", &[("address-city:exact", "x")], true),
    ("Patient", &[("_sort", "family,-address-city")], true),
    ("Patient", &[("_has:Observation:patient:code", "x")], false),
    (
        "Patient",
        &[("_has:RelatedPerson:patient:phone", "1")],
        true,
    ),
    (
        "Patient",
        &[("_revinclude", "RelatedPerson:patient")],
        false,
    ),
    ("Observation", &[("subject:Patient.name", "a")], false),
    ("Observation", &[("subject:Patient.email", "a")], true),
    (
        "Observation",
        &[("encounter:Encounter.subject:Patient.telecom", "a")],
        true,
    ),
    (
        "Observation",
        &[("_include", "Observation:subject"), ("_include", "*")],
        false,
    ),
    ("RelatedPerson", &[("address", "a")], true),
    ("Person", &[("telecom", "1")], true),
];

#[test]
fn a_search_by_what_is_left_out_is_refused_however_it_asks() {
    let mut reduced = Case::practitioner();
    reduced.purpose("COC", None);
    let (reduced, whole) = (permit(&reduced), permit(&Case::practitioner()));
    for (resource, form, closed) in ASKED {
        let query = query(ResourceType::parse(resource).unwrap(), form);
        assert_eq!(whole.may_ask(&query), Ok(()), "{form:?}");
        let said = reduced.may_ask(&query).err();
        let expected = closed.then_some(("minimisation", "detail_closed"));
        assert_eq!(said.map(|one| (one.rule, one.code)), expected, "{form:?}");
    }
}

#[test]
fn who_sees_less_writes_nothing() {
    let husband = || {
        let mut case = Case::citizen();
        if let Person::Citizen {
            identifier,
            represents,
            ..
        } = &mut case.caller.person
        {
            *identifier = person(PHYSICIAN);
            *represents = Some(Representation {
                id: "r-1".into(),
                services: InformationService::ALL.to_vec(),
                log: true,
                notes: false,
            });
        }
        case
    };
    let secretary = || {
        let mut case = Case::practitioner();
        case.attest(|attest| {
            if let Some(authorization) = &mut attest.practitioner.authorization {
                authorization.code = "HE".into();
            }
        });
        case
    };
    let record_system = || Case::system(ClientUse::RecordSystem, FJELLVIK);
    let mut reduced = 0;
    for make in [husband, secretary, Case::practitioner, record_system] as [fn() -> Case; 4] {
        for interaction in Interaction::all() {
            for purpose in Purpose::ALL {
                let mut case = make();
                case.purpose(purpose.code(), Some("unconscious"));
                case.facts.party = Party::Sharing;
                case.ask.interaction = interaction;
                case.caller.scopes =
                    crate::scope::Scopes::parse("user/*.cruds patient/*.cruds system/*.cruds")
                        .unwrap();
                let Ok(permit) = decide(&case.ask, &case.caller, &case.facts).permit() else {
                    continue;
                };
                if !permit.withheld().is_empty() {
                    reduced += 1;
                    // A subscription is nobody's data: it names what may be read, and is told with what is left out.
                    let writes_nothing = [
                        Interaction::Validate,
                        Interaction::Subscribe,
                        Interaction::Unsubscribe,
                    ];
                    assert!(
                        interaction.reads() || writes_nothing.contains(&interaction),
                        "{interaction:?}"
                    );
                }
            }
        }
    }
    assert!(reduced > 20);
}

#[test]
fn the_trail_of_accesses_is_whole() {
    let mut case = Case::practitioner();
    case.purpose("COC", None);
    assert!(!permit(&case).withheld().is_empty());
    case.ask = crate::decide::Ask::of(Interaction::Explain, ResourceType::AUDIT_EVENT);
    assert_eq!(permit(&case).reduced(), []);
}

#[test]
fn codes_are_those_that_rest_in_the_trail() {
    for detail in Detail::ALL {
        assert_eq!(serde_json::to_value(detail).unwrap(), json!(detail.code()));
    }
    assert_eq!(codes(&Detail::ALL), "narrative notes contact background");
}
