//! What a resource is found by: subject, codings, time, status, category, organisations, device.
//!
//! Standard: FHIR R4 search parameters `patient`, `code`, `category`, `date`/`effective`, `status`; which
//! element feeds which is a table (`SHAPES`), not code. CONTRACT section 5 (subject resolves through the
//! index; dates are ranges).

use crate::definitions::Definitions;
use crate::definitions::search::{SearchParameter, Step};
use crate::ids::{LogicalId, PersonIdentifier, PersonNumbers};
use crate::json::{self, Kind, Node};
use crate::outcome::{Issue, IssueCode};
use crate::resource::ResourceType;
use crate::systems;
use crate::time::{self, Range, Zone};
use serde::{Deserialize, Serialize};

/// A code in a system. `system` is `None` where the resource gives none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Coding {
    /// The code system.
    pub system: Option<String>,
    /// The code; never empty.
    pub code: String,
}

impl Coding {
    /// A code in a system.
    pub fn new(system: impl Into<String>, code: impl Into<String>) -> Self {
        Self {
            system: Some(system.into()),
            code: code.into(),
        }
    }

    /// Reads a FHIR Coding; `None` if it carries no code.
    #[must_use]
    pub fn read(node: Node<'_>) -> Option<Self> {
        let code = node
            .text("code")
            .filter(|code| !code.is_empty())?
            .into_owned();
        Some(Self {
            system: node.text("system").map(|system| system.into_owned()),
            code,
        })
    }

    /// Writes a FHIR Coding.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(system) = &self.system {
            out.extend_from_slice(b"\"system\":");
            json::write_string(out, system);
            out.push(b',');
        }
        out.extend_from_slice(b"\"code\":");
        json::write_string(out, &self.code);
        out.push(b'}');
    }
}

/// Whom a resource is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// By national number: a logical reference, or a Patient's own identifier.
    Person(PersonIdentifier),
    /// By a Patient in the same store: `Patient/{id}`.
    Local(LogicalId),
}

/// What a resource is found by. `Debug` shows no person's number (see [`PersonIdentifier`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    /// Whom it is about; `None` if it names nobody, or in a way Delt does not resolve.
    pub subject: Option<Subject>,
    /// What `code` finds (for a CarePlan its categories, for a MedicationStatement its medicine), in the order
    /// sent, without repeats.
    pub codings: Vec<Coding>,
    /// When it is about; an open period runs to the end of time.
    pub when: Option<Range>,
    /// The status code.
    pub status: Option<String>,
    /// What `category` finds.
    pub categories: Vec<Coding>,
    /// Identifiers (system in OID form, value) of the organisations among the performers.
    pub organisations: Vec<(String, String)>,
    /// The device, as `system|value`, its reference, or its display.
    pub device: Option<String>,
}

/// Which elements of a type feed the index. Paths are member names with dots; arrays are gone into.
struct Shape {
    /// The type, or `*` for all others.
    resource_type: &'static str,
    /// References to the patient; `.` means that the resource is the patient.
    subject: &'static [&'static str],
    /// CodeableConcepts.
    codings: &'static [&'static str],
    /// References to contained Medications whose `code` also counts.
    contained: &'static [&'static str],
    /// Dates and periods; the first that is there counts.
    when: &'static [&'static str],
    /// CodeableConcepts.
    categories: &'static [&'static str],
    /// References.
    performers: &'static [&'static str],
    /// Reference.
    device: &'static str,
}

/// The table. The last row serves every type that has none of its own.
const SHAPES: &[Shape] = &[
    Shape {
        resource_type: "Observation",
        subject: &["subject"],
        codings: &["code"],
        contained: &[],
        when: &[
            "effectiveDateTime",
            "effectivePeriod",
            "effectiveInstant",
            "effectiveTiming",
        ],
        categories: &["category"],
        performers: &["performer"],
        device: "device",
    },
    Shape {
        resource_type: "CarePlan",
        subject: &["subject"],
        codings: &["category"],
        contained: &[],
        when: &["period"],
        categories: &["category"],
        performers: &["author", "contributor"],
        device: "",
    },
    Shape {
        resource_type: "MedicationStatement",
        subject: &["subject"],
        codings: &["medicationCodeableConcept"],
        contained: &["medicationReference"],
        when: &["effectiveDateTime", "effectivePeriod"],
        categories: &["category"],
        performers: &["informationSource"],
        device: "",
    },
    Shape {
        resource_type: "Patient",
        subject: &["."],
        codings: &[],
        contained: &[],
        when: &[],
        categories: &[],
        performers: &["managingOrganization"],
        device: "",
    },
    Shape {
        resource_type: "Appointment",
        subject: &["participant.actor"],
        codings: &[],
        contained: &[],
        when: &["start"],
        categories: &[],
        performers: &[],
        device: "",
    },
    Shape {
        resource_type: "Person",
        subject: &["link.target", "."],
        codings: &[],
        contained: &[],
        when: &[],
        categories: &[],
        performers: &["managingOrganization"],
        device: "",
    },
    Shape {
        resource_type: "Task",
        subject: &["for"],
        codings: &["code"],
        contained: &[],
        when: &["executionPeriod", "authoredOn"],
        categories: &[],
        performers: &["requester", "owner"],
        device: "",
    },
    Shape {
        resource_type: "Binary",
        subject: &["securityContext"],
        codings: &[],
        contained: &[],
        when: &[],
        categories: &[],
        performers: &[],
        device: "",
    },
    Shape {
        resource_type: "*",
        subject: &["subject", "patient"],
        codings: &["code"],
        contained: &[],
        when: &[
            "effectiveDateTime",
            "effectivePeriod",
            "performedDateTime",
            "performedPeriod",
            "occurrenceDateTime",
            "occurrencePeriod",
            "identifiedDateTime",
            "identifiedPeriod",
            "period",
            "sent",
            "date",
            "created",
            "authored",
            "authoredOn",
        ],
        categories: &["category"],
        performers: &["performer", "author"],
        device: "device",
    },
];

fn steps(path: &str) -> Vec<&str> {
    path.split('.').filter(|step| !step.is_empty()).collect()
}

/// Finds what `resource` is found by.
///
/// # Errors
/// An issue for each person's number and each date that is there but cannot be read.
pub fn of(
    resource: Node<'_>,
    resource_type: ResourceType,
    zone: &Zone,
    numbers: PersonNumbers,
) -> Result<Index, Vec<Issue>> {
    let name = resource_type.as_str();
    let shape = SHAPES
        .iter()
        .find(|shape| shape.resource_type == name)
        .or(SHAPES.last())
        .ok_or_else(Vec::new)?;
    let mut issues = Vec::new();
    let mut index = Index {
        status: resource.text("status").map(|status| status.into_owned()),
        ..Index::default()
    };
    index.subject = subject(resource, name, shape, numbers, &mut issues);
    for path in shape.codings {
        concepts(resource, path, &mut index.codings);
    }
    for path in shape.contained {
        contained(resource, path, &mut index.codings);
    }
    for path in shape.categories {
        concepts(resource, path, &mut index.categories);
    }
    index.when = shape.when.iter().find_map(|path| {
        let node = resource.path(&steps(path))?;
        when(node, zone, name, path, &mut issues)
    });
    for node in shape
        .performers
        .iter()
        .flat_map(|path| resource.all(&steps(path)))
    {
        let found = node.get("identifier").and_then(organisation);
        if let Some(found) = found.filter(|found| !index.organisations.contains(found)) {
            index.organisations.push(found);
        }
    }
    index.device = resource.get(shape.device).and_then(device);
    if issues.is_empty() {
        Ok(index)
    } else {
        Err(issues)
    }
}

fn concepts(resource: Node<'_>, path: &str, out: &mut Vec<Coding>) {
    for coding in resource
        .all(&steps(path))
        .into_iter()
        .flat_map(|concept| concept.all(&["coding"]))
    {
        if let Some(coding) = Coding::read(coding).filter(|coding| !out.contains(coding)) {
            out.push(coding);
        }
    }
}

/// Codings of the contained resource that a `#id` reference at `path` points to.
fn contained(resource: Node<'_>, path: &str, out: &mut Vec<Coding>) {
    for reference in resource.all(&steps(path)) {
        let Some(text) = reference.text("reference") else {
            continue;
        };
        let Some(id) = text.strip_prefix('#') else {
            continue;
        };
        for inner in resource.all(&["contained"]) {
            if inner.text("id").is_some_and(|inner_id| inner_id == id) {
                concepts(inner, "code", out);
            }
        }
    }
}

fn subject(
    resource: Node<'_>,
    name: &str,
    shape: &Shape,
    numbers: PersonNumbers,
    issues: &mut Vec<Issue>,
) -> Option<Subject> {
    for path in shape.subject {
        if *path == "." {
            // A Patient (or Person): its first identifier from a national series.
            let at = format!("{name}.identifier");
            return resource
                .all(&["identifier"])
                .into_iter()
                .find_map(|identifier| person(identifier, &at, numbers, issues))
                .map(Subject::Person);
        }
        let references = resource.all(&steps(path));
        let alone = references.len() == 1;
        for reference in references {
            if let Some(identifier) = reference.get("identifier") {
                let at = format!("{name}.{path}.identifier");
                if let Some(person) = person(identifier, &at, numbers, issues) {
                    return Some(Subject::Person(person));
                }
            }
            if let Some(text) = reference.text("reference") {
                match local_patient(&text) {
                    Some(id) => return Some(Subject::Local(id)),
                    // Among several actors the patient may come later; one subject that is somebody else settles it.
                    None if alone && !path.contains('.') => return None,
                    None => {}
                }
            }
        }
    }
    None
}

/// Whether this reference of a type says whom its resources are about, and nothing else does: what refers to a Patient by
/// it is then what that patient's index holds of the type.
#[must_use]
pub fn is_about(resource_type: ResourceType, parameter: &SearchParameter) -> bool {
    let name = resource_type.as_str();
    let own = SHAPES.iter().find(|shape| shape.resource_type == name);
    let (Some(shape), Some(table)) = (own.or(SHAPES.last()), Definitions::get().elements(name))
    else {
        return false;
    };
    let mut read = shape.subject.iter().filter_map(|path| table.find(path));
    match (read.next(), read.next()) {
        (Some((_, element, _)), None) => {
            let is = |steps: &[Step]| matches!(steps, [step] if step.member == element.name);
            !element.many && parameter.paths.iter().all(|path| is(&path.steps))
        }
        _ => false,
    }
}

/// The id in `Patient/{id}`, also with a version; no other form points into a store of ours.
pub(crate) fn local_patient(reference: &str) -> Option<LogicalId> {
    let id = reference.strip_prefix("Patient/")?;
    let id = id.split_once("/_history/").map_or(id, |(id, _)| id);
    LogicalId::parse(id).ok()
}

fn person(
    identifier: Node<'_>,
    at: &str,
    numbers: PersonNumbers,
    issues: &mut Vec<Issue>,
) -> Option<PersonIdentifier> {
    let value = identifier.text("value")?;
    let system = identifier.text("system").unwrap_or_default();
    if system.is_empty() {
        // Published examples carry bare values; what does not look like a person's number is somebody's own.
        return PersonIdentifier::guess(&value, numbers).ok();
    }
    crate::ids::PersonSystem::parse(&system)?;
    match PersonIdentifier::parse(&system, &value, numbers) {
        Ok(person) => Some(person),
        Err(error) => {
            issues.push(Issue::error(
                IssueCode::Value,
                format!("{at}.value"),
                error.to_string(),
            ));
            None
        }
    }
}

/// An organisation's identifier in the form Delt writes: system in OID form; HelseID's `NO:ORGNR:parent:child`
/// becomes the child's (or else the parent's) organisation number. `None` for other systems.
#[must_use]
pub fn organisation(identifier: Node<'_>) -> Option<(String, String)> {
    let value = identifier.text("value")?.replace(' ', "");
    let system = identifier.text("system")?;
    let system = systems::canonical(&system);
    match system {
        systems::ORGNR | systems::RESH => Some((system.to_owned(), value)),
        systems::ISO6523 => {
            let rest = value.strip_prefix("NO:ORGNR:")?;
            let (parent, child) = rest.split_once(':').unwrap_or((rest, ""));
            let number = if child.is_empty() { parent } else { child };
            (!number.is_empty()).then(|| (systems::ORGNR.to_owned(), number.to_owned()))
        }
        _ => None,
    }
}

fn device(reference: Node<'_>) -> Option<String> {
    let identifier = reference.get("identifier").and_then(|identifier| {
        let value = identifier.text("value")?;
        Some(format!(
            "{}|{value}",
            identifier.text("system").unwrap_or_default()
        ))
    });
    identifier.or_else(|| {
        reference
            .text("reference")
            .or_else(|| reference.text("display"))
            .map(|t| t.into_owned())
    })
}

/// The time of a FHIR date, dateTime, instant, Period or Timing; `None` where it cannot be read.
pub(crate) fn time_of(node: Node<'_>, zone: &Zone) -> Option<Range> {
    when(node, zone, "", "", &mut Vec::new())
}

fn when(
    node: Node<'_>,
    zone: &Zone,
    name: &str,
    path: &str,
    issues: &mut Vec<Issue>,
) -> Option<Range> {
    let at = format!("{name}.{path}");
    let mut read = |node: Node<'_>, at: String| match time::parse_date(&node.str()?, zone) {
        Ok(range) => Some(range),
        Err(error) => {
            issues.push(Issue::error(IssueCode::Value, at, error.to_string()));
            None
        }
    };
    if node.kind() == Kind::String {
        return read(node, at);
    }
    let mut period = |node: Node<'_>, at: &str| {
        let start = node
            .get("start")
            .map(|start| read(start, format!("{at}.start")));
        let end = node.get("end").map(|end| read(end, format!("{at}.end")));
        if start.is_none() && end.is_none() {
            return None;
        }
        let lo = start.map_or(Some(time::EARLIEST), |range| range.map(|range| range.lo))?;
        let hi = end.map_or(Some(time::LATEST), |range| range.map(|range| range.hi))?;
        Some((lo, hi, format!("{at}.end")))
    };
    let timing = node.get("event").is_some() || node.get("repeat").is_some();
    let found = if timing {
        node.path(&["repeat", "boundsPeriod"])
            .and_then(|bounds| period(bounds, &format!("{at}.repeat.boundsPeriod")))
    } else {
        period(node, &at)
    };
    if let Some((lo, hi, end)) = found {
        if lo >= hi {
            issues.push(Issue::error(
                IssueCode::Value,
                end,
                "the period ends before it starts",
            ));
            return None;
        }
        return Some(Range { lo, hi });
    }
    let events: Vec<Range> = node
        .all(&["event"])
        .into_iter()
        .enumerate()
        .filter_map(|(i, event)| read(event, format!("{at}.event[{i}]")))
        .collect();
    Some(Range {
        lo: events.iter().map(|e| e.lo).min()?,
        hi: events.iter().map(|e| e.hi).max()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::json::{Json, Limits};
    use crate::time::Instant;

    const PERSON: &str =
        r#"{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}}"#;

    fn index(body: &str) -> Result<Index, Vec<Issue>> {
        let json = Json::parse(body.as_bytes().to_vec(), Limits::RESOURCE).unwrap();
        let resource_type = ResourceType::of(json.root()).unwrap();
        of(
            json.root(),
            resource_type,
            &Zone::default(),
            PersonNumbers::Strict,
        )
    }

    fn observation(members: &str) -> Result<Index, Vec<Issue>> {
        index(&format!(r#"{{"resourceType":"Observation",{members}}}"#))
    }

    #[test]
    fn an_observation() {
        let index = observation(&format!(
            r#""status":"final","subject":{PERSON},
            "category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],
            "code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4"}},{{"system":"http://snomed.info/sct","code":"364075005"}},{{"system":"http://loinc.org","code":"8867-4"}},{{"display":"none"}}]}},
            "effectiveDateTime":"2026-03-01T08:00:00+01:00",
            "performer":[{{"identifier":{{"system":"urn:oid:2.16.578.1.12.4.1.4.101","value":"310 001 007"}}}},
              {{"identifier":{{"system":"urn:oid:1.0.6523","value":"NO:ORGNR:310001074:"}}}},
              {{"identifier":{{"system":"urn:oid:1.0.6523","value":"NO:ORGNR:310001074:310001147"}}}},
              {{"identifier":{{"system":"http://hl7.no/fhir/NamingSystem/RESHid","value":"705592"}}}},
              {{"identifier":{{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}}}}],
            "device":{{"identifier":{{"system":"urn:d","value":"7"}},"display":"cuff"}}"#
        ))
        .unwrap();
        assert!(
            matches!(&index.subject, Some(Subject::Person(p)) if p.value().expose() == "14835210260")
        );
        assert_eq!(
            index.codings,
            [
                Coding::new(systems::LOINC, "8867-4"),
                Coding::new(systems::SNOMED, "364075005")
            ]
        );
        assert_eq!(
            index.categories,
            [Coding::new(systems::OBSERVATION_CATEGORY, "vital-signs")]
        );
        assert_eq!(
            Instant(index.when.unwrap().lo).to_string(),
            "2026-03-01T07:00:00Z"
        );
        assert_eq!(index.status.as_deref(), Some("final"));
        assert_eq!(index.device.as_deref(), Some("urn:d|7"));
        let organisations: Vec<_> = index
            .organisations
            .iter()
            .map(|(s, v)| (s.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            organisations,
            [
                (systems::ORGNR, "310001007"),
                (systems::ORGNR, "310001074"),
                (systems::ORGNR, "310001147"),
                (systems::RESH, "705592")
            ]
        );
    }

    #[test]
    fn subjects_in_other_forms() {
        let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let local = Some(Subject::Local(LogicalId::parse(id).unwrap()));
        for (reference, subject) in [
            (format!("Patient/{id}"), local.clone()),
            (format!("Patient/{id}/_history/2"), local.clone()),
            (format!("https://elsewhere/Patient/{id}"), None),
            (format!("Group/{id}"), None),
            ("#p".to_owned(), None),
        ] {
            assert_eq!(
                observation(&format!(r#""subject":{{"reference":"{reference}"}}"#))
                    .unwrap()
                    .subject,
                subject
            );
        }
        // An identifier says more than a reference; a bare number is recognised; a stranger's system is nobody.
        let both = format!(
            r#""subject":{{"reference":"Patient/{id}","identifier":{{"value":"14835210260"}}}}"#
        );
        assert!(matches!(
            observation(&both).unwrap().subject,
            Some(Subject::Person(_))
        ));
        let stranger = r#""subject":{"identifier":{"system":"HNR","value":"1"}}"#;
        assert_eq!(observation(stranger).unwrap().subject, None);
    }

    #[test]
    fn what_cannot_be_read_is_a_finding_and_tells_no_number() {
        let issues = observation(
            r#""subject":{"identifier":{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210261"}},"effectiveDateTime":"2026-02-30""#,
        )
        .unwrap_err();
        let places: Vec<_> = issues
            .iter()
            .map(|issue| issue.expression[0].as_str())
            .collect();
        assert_eq!(
            places,
            [
                "Observation.subject.identifier.value",
                "Observation.effectiveDateTime"
            ]
        );
        assert!(!format!("{issues:?}").contains("14835"));
    }

    #[test]
    fn which_references_say_whom_it_is_about() {
        for (name, parameter, expected) in [
            ("Observation", "subject", true),
            ("Observation", "patient", true),
            ("Observation", "performer", false),
            ("Immunization", "patient", true),
            ("Device", "patient", true),
            ("Appointment", "patient", false),
            ("Person", "patient", false),
            ("Patient", "link", false),
            ("Communication", "recipient", false),
            ("Composition", "subject", true),
            ("Task", "patient", true),
            ("Task", "owner", false),
        ] {
            let resource = ResourceType::parse(name).unwrap();
            let parameter = Definitions::get()
                .search_parameter(resource, parameter)
                .unwrap();
            assert_eq!(is_about(resource, parameter), expected, "{name}");
        }
    }

    #[test]
    fn times_of_all_kinds() {
        let when = |members: &str| {
            let range = observation(members).unwrap().when.unwrap();
            (Instant(range.lo).to_string(), Instant(range.hi).to_string())
        };
        let at = |lo: &str, hi: &str| (lo.to_owned(), hi.to_owned());
        assert_eq!(
            when(r#""effectivePeriod":{"start":"2026-01-01","end":"2026-01-02"}"#),
            at("2025-12-31T23:00:00Z", "2026-01-02T23:00:00Z")
        );
        assert_eq!(
            when(r#""effectiveInstant":"2026-01-01T00:00:00.5Z""#),
            at("2026-01-01T00:00:00.500Z", "2026-01-01T00:00:00.600Z")
        );
        assert_eq!(
            when(r#""effectiveTiming":{"event":["2026-01-03T00:00:00Z","2026-01-01T00:00:00Z"]}"#),
            at("2026-01-01T00:00:00Z", "2026-01-03T00:00:01Z")
        );
        let open = observation(r#""effectivePeriod":{"start":"2026-01-01"}"#)
            .unwrap()
            .when
            .unwrap();
        assert_eq!(open.hi, time::LATEST);
        let open = observation(r#""effectivePeriod":{"end":"2026-01-01"}"#)
            .unwrap()
            .when
            .unwrap();
        assert_eq!(open.lo, time::EARLIEST);
        assert_eq!(observation(r#""effectivePeriod":{}"#).unwrap().when, None);
        let issues = observation(r#""effectivePeriod":{"start":"2026-01-02","end":"2026-01-01"}"#)
            .unwrap_err();
        assert_eq!(issues[0].expression, ["Observation.effectivePeriod.end"]);
        assert!(observation(r#""effectivePeriod":{"start":"x"}"#).is_err());
        assert!(observation(r#""effectiveTiming":{"event":["2026-01-01","x"]}"#).is_err());
    }

    #[test]
    fn plans_medicines_patients_and_the_rest() {
        let plan = index(&format!(
            r#"{{"resourceType":"CarePlan","status":"active","subject":{PERSON},"category":[{{"coding":[{{"system":"urn:c","code":"2"}}]}}],"period":{{"start":"2026-01-01"}}}}"#
        ))
        .unwrap();
        assert_eq!(plan.codings, [Coding::new("urn:c", "2")]);
        assert_eq!(plan.when.unwrap().hi, time::LATEST);
        let medicine = index(&format!(
            r##"{{"resourceType":"MedicationStatement","status":"active","subject":{PERSON},"contained":[{{"resourceType":"Medication","id":"x","code":{{"coding":[{{"code":"no"}}]}}}},{{"resourceType":"Medication","id":"medication","code":{{"coding":[{{"system":"{}","code":"123"}},{{"system":"{}","code":"R03AC02"}}]}}}}],"medicationReference":{{"reference":"#medication"}},"effectiveDateTime":"2026"}}"##,
            systems::FEST, systems::ATC
        ))
        .unwrap();
        assert_eq!(
            medicine.codings,
            [
                Coding::new(systems::FEST, "123"),
                Coding::new(systems::ATC, "R03AC02")
            ]
        );
        let inline = index(r#"{"resourceType":"MedicationStatement","medicationCodeableConcept":{"coding":[{"code":"a"}]}}"#).unwrap();
        assert_eq!(
            inline.codings,
            [Coding {
                system: None,
                code: "a".into()
            }]
        );
        let patient = index(r#"{"resourceType":"Patient","identifier":[{"system":"HNR","value":"1"},{"system":"urn:oid:2.16.578.1.12.4.1.4.1","value":"14835210260"}]}"#).unwrap();
        assert!(matches!(patient.subject, Some(Subject::Person(_))));
        let other = index(&format!(r#"{{"resourceType":"AllergyIntolerance","patient":{PERSON},"code":{{"coding":[{{"code":"a"}}]}}}}"#)).unwrap();
        assert!(matches!(other.subject, Some(Subject::Person(_))));
        assert_eq!(other.codings.len(), 1);
    }
}
