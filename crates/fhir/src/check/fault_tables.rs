//! More broken resources: Observations by profile, invariant and reference target, and other types by what each demands.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::tests::{errors, pressure, pulse, remove, rules, run, set};
use serde_json::{Value, json};

/// Pointers with new JSON (`-`: taken away), expression and code of the finding.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

fn try_all(name: &str, base: &Value, cases: &[Case]) {
    assert!(
        run(base, &rules()).is_ok(),
        "{name}: {:#?}",
        run(base, &rules()).err()
    );
    for (edits, expression, code) in cases {
        let mut value = base.clone();
        for (pointer, new) in *edits {
            match *new {
                "-" => remove(&mut value, pointer),
                new => set(&mut value, pointer, serde_json::from_str(new).unwrap()),
            }
        }
        let issues = run(&value, &rules()).err();
        let issues = issues.unwrap_or_else(|| panic!("{name}: {edits:?} was taken"));
        let found = errors(&issues);
        let one = found.iter().find(|i| i.expression == [*expression]);
        let one = one.unwrap_or_else(|| panic!("{name}: {edits:?}: {found:#?}"));
        assert_eq!(one.code.code(), *code, "{name}: {edits:?}: {found:#?}");
        assert!(
            found.len() <= 3,
            "{name}: {edits:?} is one mistake: {found:#?}"
        );
        assert!(
            one.diagnostics.len() > 10,
            "{name}: {edits:?}: {}",
            one.diagnostics
        );
    }
}

const VKP: &str = "http://hl7.no/fhir/vkpobservation/StructureDefinition/";
const VITAL: &str =
    "http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/no-domain-VitalSigns-Observation-";

fn claiming(mut value: Value, profile: String) -> Value {
    set(&mut value, "/meta", json!({"profile": [profile]}));
    value
}

#[rustfmt::skip]
const BY_PROFILE: &[Case] = &[
    (&[("/meta/profile/0", "\"http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-Bodytemp\"")], "Observation.code", "required"),
    (&[("/meta/profile/0", "\"http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-NEWS2score|0.5.2\"")], "Observation.code", "required"),
    (&[("/meta/profile/0", "\"http://hl7.no/fhir/vkpobservation/StructureDefinition/vkp-Observation-CFSscore\"")], "Observation.code", "required"),
    (&[("/meta/profile/0", "\"http://hl7.org/fhir/StructureDefinition/bmi\"")], "Observation.code", "required"),
    (&[("/meta/profile/0", "\"http://hl7.no/fhir/StructureDefinition/no-basis-Patient\"")], "Observation.meta.profile[0]", "invalid"),
    (&[("/meta/profile/0", "\"http://ehelse.no/fhir/StructureDefinition/vkp-Observation-Heartrate-v090\""), ("/category", "-")], "Observation.category", "required"),
    (&[("/category/0/coding/0/code", "\"survey\"")], "Observation.category", "required"),
    (&[("/code/coding/0", "{\"system\":\"http://snomed.info/sct\",\"code\":\"364075005\"}")], "Observation.code", "required"),
    (&[("/meta/profile/-", "\"http://hl7.org/fhir/StructureDefinition/bp\"")], "Observation.code", "required"),
    // Invariants.
    (&[("/component", "[{\"code\":{\"coding\":[{\"system\":\"http://loinc.org\",\"code\":\"8867-4\"}]},\"valueString\":\"x\"}]")], "Observation", "invariant"),
    (&[("/contained", "[{\"resourceType\":\"Device\",\"id\":\"a\"}]")], "Observation.contained[0]", "invariant"),
    (&[("/contained", "[{\"resourceType\":\"Device\",\"id\":\"a\",\"meta\":{\"versionId\":\"1\"}}]"), ("/device", "{\"reference\":\"#a\"}")], "Observation", "invariant"),
    (&[("/contained", "[{\"resourceType\":\"Device\",\"id\":\"a\",\"meta\":{\"security\":[{\"code\":\"R\"}]}}]"), ("/device", "{\"reference\":\"#a\"}")], "Observation", "invariant"),
    (&[("/effectiveDateTime", "-"), ("/effectivePeriod", "{\"start\":\"2026-03-02\",\"end\":\"2026-03-01\"}")], "Observation.effectivePeriod.end", "invariant"),
    (&[("/referenceRange", "[{\"text\":\"x\",\"age\":{\"low\":{\"value\":9},\"high\":{\"value\":5}}}]")], "Observation.referenceRange[0].age", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueRatio\":{\"numerator\":{\"value\":1}}}]")], "Observation.extension[0].valueRatio", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueContactPoint\":{\"value\":\"1\"}}]")], "Observation.extension[0].valueContactPoint.system", "required"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueAttachment\":{\"data\":\"aGVp\"}}]")], "Observation.extension[0].valueAttachment.contentType", "required"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueTiming\":{\"repeat\":{\"duration\":1}}}]")], "Observation.extension[0].valueTiming.repeat", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueTiming\":{\"repeat\":{\"period\":-1,\"periodUnit\":\"d\"}}}]")], "Observation.extension[0].valueTiming.repeat", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueTiming\":{\"repeat\":{\"timeOfDay\":[\"08:00:00\"],\"when\":[\"MORN\"]}}}]")], "Observation.extension[0].valueTiming.repeat", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueAge\":{\"value\":-1,\"code\":\"a\",\"system\":\"http://unitsofmeasure.org\"}}]")], "Observation.extension[0].valueAge", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueCount\":{\"value\":1.5,\"code\":\"1\",\"system\":\"http://unitsofmeasure.org\"}}]")], "Observation.extension[0].valueCount", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueDistance\":{\"value\":1}}]")], "Observation.extension[0].valueDistance", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueExpression\":{\"language\":\"text/fhirpath\"}}]")], "Observation.extension[0].valueExpression", "invariant"),
    (&[("/extension", "[{\"url\":\"http://x\",\"valueDataRequirement\":{\"type\":\"Patient\",\"codeFilter\":[{\"valueSet\":\"http://x\"}]}}]")], "Observation.extension[0].valueDataRequirement.codeFilter[0]", "invariant"),
    // What a reference may point to.
    (&[("/specimen", "{\"reference\":\"Patient/1\"}")], "Observation.specimen.reference", "value"),
    (&[("/basedOn", "[{\"reference\":\"Observation/1\"}]")], "Observation.basedOn[0].reference", "value"),
    (&[("/partOf", "[{\"reference\":\"Patient/1\"}]")], "Observation.partOf[0].reference", "value"),
    (&[("/hasMember", "[{\"reference\":\"Device/1\"}]")], "Observation.hasMember[0].reference", "value"),
    (&[("/derivedFrom", "[{\"type\":\"Organization\",\"display\":\"x\"}]")], "Observation.derivedFrom[0].type", "value"),
    (&[("/contained", "[{\"resourceType\":\"Location\",\"id\":\"p\"}]"), ("/device", "{\"reference\":\"#p\"}")], "Observation.device.reference", "value"),
    (&[("/note", "[{\"text\":\"x\",\"authorReference\":{\"reference\":\"Device/1\"}}]")], "Observation.note[0].authorReference.reference", "value"),
];

#[rustfmt::skip]
const GENERAL: &[Case] = &[
    (&[("/performer/0/identifier/system", "\"urn:oid:2.16.578.1.12.4.1.2\"")], "Observation.performer[0].identifier.system", "code-invalid"),
    (&[("/performer/0/identifier/system", "\"http://hl7.no/fhir/NamingSystem/HPR\"")], "Observation.performer[0].identifier.system", "code-invalid"),
    (&[("/subject/identifier/system", "\"HNR\"")], "Observation.subject.identifier.system", "code-invalid"),
];

#[rustfmt::skip]
const PRESSURE: &[Case] = &[
    (&[("/bodySite", "{\"coding\":[{\"system\":\"http://snomed.info/sct\",\"code\":\"80891009\"}]}")], "Observation.bodySite", "code-invalid"),
    (&[("/bodySite", "{\"coding\":[{\"code\":\"368209003\"}]}")], "Observation.bodySite", "code-invalid"),
    (&[("/referenceRange", "[{\"text\":\"a\"},{\"text\":\"b\"}]")], "Observation.referenceRange[1]", "structure"),
    (&[("/extension", "[{\"url\":\"http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/NoDomainVitalSignsCuffSizeExtension\",\"valueString\":\"a\"},{\"url\":\"http://hl7.no/fhir/no-domain/vitalsigns/StructureDefinition/NoDomainVitalSignsCuffSizeExtension\",\"valueString\":\"b\"}]")], "Observation.extension[1]", "structure"),
    (&[("/component/1/code/coding/0/code", "\"8478-0\"")], "Observation.component", "required"),
    (&[("/category", "-")], "Observation.category", "required"),
];

#[test]
fn observations_that_break_a_profile_an_invariant_or_a_reference() {
    try_all("pulse", &pulse(), BY_PROFILE);
    try_all(
        "general",
        &claiming(pulse(), format!("{VKP}vkp-Observation")),
        GENERAL,
    );
    try_all(
        "pressure",
        &claiming(pressure(), format!("{VITAL}bloodpressure")),
        PRESSURE,
    );
    assert!(run(&json!({}), &rules()).is_err());
    let issues = run(&json!({"resourceType": "Observation"}), &rules()).unwrap_err();
    let places: Vec<_> = issues.iter().flat_map(|i| i.expression.clone()).collect();
    for place in [
        "Observation.status",
        "Observation.code",
        "Observation.subject",
        "Observation.effective[x]",
    ] {
        assert!(
            places.iter().any(|found| found == place),
            "{place}: {places:?}"
        );
    }
}

fn subject() -> Value {
    json!({"identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "14835210260"}})
}

/// A resource of a type, about the patient by the member `about`.
fn of(kind: &str, about: &str, rest: Value) -> Value {
    let mut value = rest;
    value["resourceType"] = kind.into();
    if !about.is_empty() {
        value[about] = subject();
    }
    value
}

#[rustfmt::skip]
#[test]
fn other_types_that_break_what_each_demands() {
    let patient = json!({"resourceType": "Patient", "identifier": [subject()["identifier"]],
        "meta": {"profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-Patient"]}});
    try_all("Patient", &patient, &[
        (&[("/contact", "[{\"gender\":\"female\"}]")], "Patient.contact[0]", "invariant"),
        (&[("/identifier/-", "{\"system\":\"urn:oid:2.16.578.1.12.4.1.4.3\"}")], "Patient.identifier[1].value", "required"),
        (&[("/identifier/-", "{\"system\":\"HNR\",\"value\":\"1\"}")], "Patient.identifier[1].assigner", "required"),
        (&[("/managingOrganization", "{\"reference\":\"Patient/1\"}")], "Patient.managingOrganization.reference", "value"),
        (&[("/birthDate", "\"1952-13-01\"")], "Patient.birthDate", "value"),
        (&[("/telecom", "[{\"system\":\"letter\",\"value\":\"x\"}]")], "Patient.telecom[0].system", "code-invalid"),
        (&[("/telecom", "[{\"value\":\"x\"}]")], "Patient.telecom[0].system", "required"),
        (&[("/deceasedBoolean", "true"), ("/deceasedDateTime", "\"2026-01-01\"")], "Patient.deceased[x]", "structure"),
        (&[("/link", "[{\"other\":{\"reference\":\"Device/1\"},\"type\":\"seealso\"}]")], "Patient.link[0].other.reference", "value"),
    ]);
    let ext = |name: &str, value: Value| {
        let mut extension = json!({"url": format!("http://hl7.no/fhir/StructureDefinition/no-basis-{name}")});
        extension.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        extension
    };
    let municipality = json!({"valueCoding": {"system": "https://register.geonorge.no/subregister/sosi-kodelister/kartverket/kommunenummer-alle", "code": "0301"}});
    let property = json!({"extension": [{"url": "cadastralUnitNumber", "valueInteger": 1},
        {"url": "municipality", "valueCoding": {"system": "urn:oid:2.16.578.1.12.4.1.1.3402", "code": "0301"}}]});
    let mut named = patient.clone();
    set(&mut named, "/name", json!([{"family": "Testmo", "extension": [ext("middlename", json!({"valueString": "x"}))]}]));
    set(&mut named, "/address", json!([{"district": "Oslo", "_district": {"extension": [ext("municipalitycode", municipality)]},
        "extension": [ext("address-official", json!({"valueBoolean": true})), ext("propertyinformation", property),
            ext("urban-district", json!({"valueCoding": {"system": "urn:oid:2.16.578.1.12.4.1.1.3403", "code": "030101"}}))]}]));
    let contact = json!([{"name": named["name"][0], "address": named["address"][0]}]);
    set(&mut named, "/contact", contact);
    try_all("Patient's name and address", &named, &[
        (&[("/name/0/extension/0", "{\"url\":\"http://hl7.no/fhir/StructureDefinition/no-basis-middlename\",\"valueCode\":\"x\"}")], "Patient.name[0].extension[0].valueString", "required"),
        (&[("/contact/0/name/extension/0", "{\"url\":\"http://hl7.no/fhir/StructureDefinition/no-basis-middlename\",\"valueCode\":\"x\"}")], "Patient.contact[0].name.extension[0].valueString", "required"),
        (&[("/address/0/extension/0", "{\"url\":\"http://hl7.no/fhir/StructureDefinition/no-basis-address-official\",\"valueString\":\"true\"}")], "Patient.address[0].extension[0].valueBoolean", "required"),
        (&[("/address/0/extension/2/valueCoding/system", "\"urn:oid:2.16.578.1.12.4.1.1.3402\"")], "Patient.address[0].extension[2].valueCoding.system", "code-invalid"),
        (&[("/address/0/extension/2/valueCoding/code", "-")], "Patient.address[0].extension[2].valueCoding.code", "required"),
        (&[("/address/0/extension/-", "{\"url\":\"http://hl7.no/fhir/StructureDefinition/no-basis-urban-district\",\"valueCoding\":{\"system\":\"urn:oid:2.16.578.1.12.4.1.1.3403\",\"code\":\"1\"}}")], "Patient.address[0].extension[3]", "structure"),
        (&[("/address/0/extension/1/extension/0", "{\"url\":\"cadastralUnitNumber\",\"valueString\":\"1\"}")], "Patient.address[0].extension[1].extension[0].valueInteger", "required"),
        (&[("/address/0/extension/1/extension/-", "{\"url\":\"cadastralUnitNumber\",\"valueInteger\":2}")], "Patient.address[0].extension[1].extension[2]", "structure"),
        (&[("/address/0/extension/1/extension/1/valueCoding/system", "\"urn:x\"")], "Patient.address[0].extension[1].extension[1].valueCoding.system", "code-invalid"),
        (&[("/contact/0/address/extension/1/extension/1/valueCoding/system", "-")], "Patient.contact[0].address.extension[1].extension[1].valueCoding.system", "required"),
        (&[("/address/0/_district/extension/0/valueCoding/system", "\"urn:oid:2.16.578.1.12.4.1.1.3403\"")], "Patient.address[0]._district.extension[0].valueCoding.system", "code-invalid"),
        (&[("/address/0/_district/extension/0", "{\"url\":\"http://hl7.no/fhir/StructureDefinition/no-basis-municipalitycode\",\"valueString\":\"0301\"}")], "Patient.address[0]._district.extension[0].valueCoding", "required"),
    ]);
    let epicrisis = json!({"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.9602", "code": "A03-2"}]});
    for (kind, rest) in [
        ("DocumentReference", json!({"status": "current", "content": [{"attachment": {"url": "Binary/1"}}]})),
        ("Composition", json!({"status": "final", "date": "2026", "title": "x", "author": [{"display": "x"}]})),
    ] {
        let mut document = of(kind, "subject", rest);
        set(&mut document, "/type", epicrisis.clone());
        set(&mut document, "/meta", json!({"profile": [format!("http://hl7.no/fhir/StructureDefinition/no-basis-{kind}")]}));
        assert!(run(&document, &rules()).is_ok(), "{kind}: {:#?}", run(&document, &rules()).err());
        for (pointer, new) in [("/type/coding/0/code", "A99-9"), ("/type/coding/0/system", "http://loinc.org")] {
            let mut broken = document.clone();
            set(&mut broken, pointer, json!(new));
            let issues = run(&broken, &rules()).err().unwrap();
            let found = errors(&issues);
            assert_eq!(found[0].expression, [format!("{kind}.type")], "{found:#?}");
            assert_eq!(found[0].code.code(), "code-invalid");
        }
    }
    let condition = of("Condition", "subject", json!({"clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}}));
    try_all("Condition", &condition, &[
        (&[("/abatementDateTime", "\"2026-01-01\"")], "Condition", "invariant"),
        (&[("/verificationStatus", "{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/condition-ver-status\",\"code\":\"entered-in-error\"}]}")], "Condition", "invariant"),
        (&[("/stage", "[{\"type\":{\"text\":\"x\"}}]")], "Condition.stage[0]", "invariant"),
        (&[("/evidence", "[{\"id\":\"x\"}]")], "Condition.evidence[0]", "invariant"),
        (&[("/subject", "-")], "Condition.subject", "required"),
    ]);
    let appointment = json!({"resourceType": "Appointment", "status": "proposed", "participant": [{"actor": subject(), "status": "accepted"}]});
    try_all("Appointment", &appointment, &[
        (&[("/status", "\"booked\"")], "Appointment", "invariant"),
        (&[("/start", "\"2026-03-02T08:00:00Z\"")], "Appointment", "invariant"),
        (&[("/cancelationReason", "{\"text\":\"x\"}")], "Appointment", "invariant"),
        (&[("/participant/-", "{\"status\":\"accepted\"}")], "Appointment.participant[1]", "invariant"),
    ]);
    let plan = of("CarePlan", "subject", json!({"status": "active", "intent": "plan", "category": [{"coding": [{"code": "2"}]}], "meta": {"profile": ["http://ehelse.no/fhir/StructureDefinition/vkp-CarePlan-v090"]}}));
    try_all("CarePlan", &plan, &[
        (&[("/activity", "[{\"reference\":{\"reference\":\"Task/1\"},\"detail\":{\"status\":\"scheduled\"}}]")], "CarePlan.activity[0]", "invariant"),
        (&[("/category", "-")], "CarePlan.category", "required"),
        (&[("/category/0/coding/0/code", "\"9\"")], "CarePlan.category[0].coding[0].code", "code-invalid"),
        (&[("/intent", "\"wish\"")], "CarePlan.intent", "code-invalid"),
    ]);
    let goal = of("Goal", "subject", json!({"lifecycleStatus": "active", "description": {"text": "x"}}));
    try_all("Goal", &goal, &[
        (&[("/target", "[{\"detailString\":\"x\"}]")], "Goal.target[0].measure", "required"),
        (&[("/description", "-")], "Goal.description", "required"),
    ]);
    let statement = of("MedicationStatement", "subject", json!({"status": "active", "medicationCodeableConcept": {"text": "x"}, "identifier": [{"type": {"text": "PLL"}, "value": "1"}],
        "meta": {"profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-MedicationStatement"]}}));
    try_all("MedicationStatement", &statement, &[
        (&[("/identifier/-", "{\"type\":{\"text\":\"PLL\"},\"value\":\"2\"}")], "MedicationStatement.identifier[1]", "structure"),
        (&[("/reasonCode", "[{\"coding\":[{\"system\":\"urn:oid:2.16.578.1.12.4.1.1.7170\",\"display\":\"x\"}]}]")], "MedicationStatement.reasonCode[0].coding[0].code", "required"),
        (&[("/dosage", "[{\"timing\":{\"repeat\":{\"offset\":10}}}]")], "MedicationStatement.dosage[0].timing.repeat", "invariant"),
        (&[("/dosage", "[{\"doseAndRate\":[{\"doseRange\":{\"low\":{\"value\":3},\"high\":{\"value\":2}}}]}]")], "MedicationStatement.dosage[0].doseAndRate[0].doseRange", "invariant"),
        (&[("/medicationCodeableConcept", "-")], "MedicationStatement.medication[x]", "required"),
    ]);
    let medicine = json!({"resourceType": "Medication", "meta": {"profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-Medication"]},
        "code": {"coding": [{"system": "http://ehelse.no/fhir/CodeSystem/FEST", "code": "1", "display": "x"}]}, "form": {"coding": [{"system": "urn:oid:2.16.578.1.12.4.1.1.7448", "code": "1", "display": "x"}]}});
    try_all("Medication", &medicine, &[
        (&[("/code/coding/0/system", "\"http://www.whocc.no/atc\"")], "Medication.code", "required"),
        (&[("/code/coding/0/display", "-")], "Medication.code.coding[0].display", "required"),
        (&[("/form", "-")], "Medication.form", "required"),
        (&[("/ingredient", "[{\"strength\":{\"numerator\":{\"value\":1}},\"itemCodeableConcept\":{\"text\":\"x\"}}]")], "Medication.ingredient[0].strength", "invariant"),
    ]);
    let dispense = of("MedicationDispense", "subject", json!({"status": "completed", "medicationCodeableConcept": {"text": "x"}}));
    try_all("MedicationDispense", &dispense, &[
        (&[("/whenPrepared", "\"2026-03-02\""), ("/whenHandedOver", "\"2026-03-01\"")], "MedicationDispense", "invariant"),
        (&[("/performer", "[{\"function\":{\"text\":\"x\"}}]")], "MedicationDispense.performer[0].actor", "required"),
    ]);
    let vaccine = of("Immunization", "patient", json!({"status": "completed", "vaccineCode": {"text": "x"}, "occurrenceDateTime": "2026-01-01"}));
    try_all("Immunization", &vaccine, &[
        (&[("/education", "[{\"publicationDate\":\"2026-01-01\"}]")], "Immunization.education[0]", "invariant"),
        (&[("/occurrenceString", "\"x\"")], "Immunization.occurrence[x]", "structure"),
    ]);
    let note = of("Composition", "subject", json!({"status": "final", "type": {"text": "x"}, "date": "2026-01-01", "title": "x", "author": [{"reference": "Practitioner/1"}], "category": [{"coding": [{"code": "2"}]}],
        "meta": {"profile": ["http://ehelse.no/fhir/StructureDefinition/vkp-Composition-v090"]}}));
    try_all("Composition", &note, &[
        (&[("/section", "[{\"title\":\"x\"}]")], "Composition.section[0]", "invariant"),
        (&[("/section", "[{\"emptyReason\":{\"text\":\"x\"},\"entry\":[{\"reference\":\"Observation/1\"}]}]")], "Composition.section[0]", "invariant"),
        (&[("/category/0/coding/0/code", "\"7\"")], "Composition.category[0].coding[0].code", "code-invalid"),
        (&[("/event", "[{\"code\":[{\"coding\":[{\"code\":\"2\"}]}]}]")], "Composition.event[0].code[0].coding[0].code", "code-invalid"),
    ]);
    let alert = of("DetectedIssue", "patient", json!({"status": "final", "code": {"text": "5.1"}, "meta": {"profile": ["http://ehelse.no/fhir/StructureDefinition/vkp-DetectedIssue-v090"]}}));
    try_all("DetectedIssue", &alert, &[
        (&[("/code", "-")], "DetectedIssue.code", "required"),
        (&[("/severity", "\"gul\"")], "DetectedIssue.severity", "code-invalid"),
    ]);
    let answers = of("QuestionnaireResponse", "subject", json!({"status": "completed", "item": [{"linkId": "1"}], "meta": {"profile": ["http://ehelse.no/fhir/StructureDefinition/vkp-QuestionnaireReponse-v090"]}}));
    try_all("QuestionnaireResponse", &answers, &[
        (&[("/item/0/answer", "[{\"valueString\":\"x\"}]"), ("/item/0/item", "[{\"linkId\":\"2\"}]")], "QuestionnaireResponse.item[0]", "invariant"),
        (&[("/item/0/linkId", "-")], "QuestionnaireResponse.item[0].linkId", "required"),
    ]);
    try_all("ServiceRequest", &of("ServiceRequest", "subject", json!({"status": "active", "intent": "order"})), &[
        (&[("/orderDetail", "[{\"text\":\"x\"}]")], "ServiceRequest", "invariant"),
        (&[("/priority", "\"soon\"")], "ServiceRequest.priority", "code-invalid"),
    ]);
    let allergy = of("AllergyIntolerance", "patient", json!({"clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}]}}));
    try_all("AllergyIntolerance", &allergy, &[
        (&[("/clinicalStatus", "-")], "AllergyIntolerance", "invariant"),
    ]);
    let form = json!({"resourceType": "Questionnaire", "status": "active", "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "string"}]}]});
    try_all("Questionnaire", &form, &[
        (&[("/item/0/item/0/linkId", "\"1\"")], "Questionnaire", "invariant"),
        (&[("/item/0/item/0/type", "\"group\"")], "Questionnaire.item[0].item[0]", "invariant"),
        (&[("/item/0/type", "\"display\"")], "Questionnaire.item[0]", "invariant"),
    ]);
    let organisation = json!({"resourceType": "Organization", "name": "x", "meta": {"profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-Organization"]}});
    try_all("Organization", &organisation, &[
        (&[("/name", "-"), ("/active", "true")], "Organization", "invariant"),
        (&[("/address", "[{\"use\":\"work\"},{\"use\":\"home\"}]")], "Organization.address[1]", "invariant"),
        (&[("/identifier", "[{\"system\":\"http://data.brreg.no/begrep/28155\"}]")], "Organization.identifier[0].value", "required"),
    ]);
    let entry = json!({"fullUrl": "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e", "request": {"method": "POST", "url": "Observation"}, "resource": pulse()});
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry], "meta": {"profile": ["http://hl7.no/fhir/vkpobservation/StructureDefinition/pmd-Bundle-Observation"]}});
    try_all("Bundle", &batch, &[
        (&[("/type", "\"transaction\"")], "Bundle.type", "code-invalid"),
        (&[("/entry/0/fullUrl", "-")], "Bundle.entry[0].fullUrl", "required"),
        (&[("/entry/0/request", "-")], "Bundle.entry[0].request", "required"),
        (&[("/entry/0/request/method", "\"DELETE\"")], "Bundle.entry[0].request.method", "code-invalid"),
        (&[("/entry/0/resource", "{\"resourceType\":\"Location\",\"name\":\"x\"}")], "Bundle.entry[0].resource", "structure"),
        (&[("/total", "1")], "Bundle", "invariant"),
        (&[("/entry/0/fullUrl", "\"http://x/Observation/1/_history/2\"")], "Bundle.entry[0]", "invariant"),
        (&[("/entry/0/search", "{\"mode\":\"match\"}")], "Bundle", "invariant"),
        (&[("/type", "\"document\""), ("/meta", "-"), ("/timestamp", "\"2026-03-02T08:00:00Z\""), ("/entry/0/request", "-")], "Bundle", "invariant"),
    ]);
}

const TRAIL: &str = "http://hl7.no/fhir/StructureDefinition/no-domain-Trustframework-Auditevent";
const CARE: &str =
    "http://hl7.no/fhir/StructureDefinition/auditevent-carerelation-metadata-extension";

#[rustfmt::skip]
#[test]
fn the_log_of_a_look_up_by_the_norwegian_profile() {
    let event = json!({"resourceType": "AuditEvent", "meta": {"profile": [TRAIL]},
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110110"}, "recorded": "2026-03-02T08:00:00Z",
        "purposeOfEvent": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]}],
        "agent": [{"requestor": true, "who": {"reference": "#who"}}], "source": {"observer": {"display": "x"}},
        "contained": [{"resourceType": "PractitionerRole", "id": "who"}],
        "extension": [
            {"url": "http://hl7.no/fhir/StructureDefinition/auditevent-patient-extension", "valueReference": subject()},
            {"url": CARE, "extension": [{"url": "decision-ref-id", "valueString": "1"}, {"url": "decision-ref-description", "valueString": "x"},
                {"url": "decision-ref-user-selected", "valueBoolean": true}, {"url": "toa", "valueUnsignedInt": 1}]}]});
    try_all("AuditEvent", &event, &[
        (&[("/extension/0/valueReference/type", "\"Device\"")], "AuditEvent.extension[0].valueReference", "value"),
        (&[("/extension/1/extension/3/url", "\"tob\"")], "AuditEvent.extension[1].extension", "required"),
        (&[("/purposeOfEvent/0/coding/0/system", "\"http://x\"")], "AuditEvent.purposeOfEvent", "required"),
        (&[("/agent/0/who", "-"), ("/contained", "-")], "AuditEvent.agent[0].who", "required"),
        (&[("/contained/0/resourceType", "\"Practitioner\"")], "AuditEvent.agent[0].who", "value"),
        (&[("/entity", "[{\"name\":\"x\",\"query\":\"eA==\"}]")], "AuditEvent.entity[0]", "invariant"),
    ]);
}
