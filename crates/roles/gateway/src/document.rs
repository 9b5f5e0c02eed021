//! The document that is filed: a Composition first (FHIR R4 documents.html; vkp-Composition: category, subject, section codes),
//! then the resources byte for byte as their holders have them, then the receipt. A pure function.

use crate::merge::Given;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::time::Instant;
use fhir::{json, systems};
use serde_json::{Value, json};
use trust::{Caller, Person};
use uuid::Uuid;
use wire::contract::{CANONICAL, ORGANISATION_NUMBER_SYSTEM};

/// What a document is made of.
pub struct Document<'a> {
    /// Its id.
    pub id: Uuid,
    /// Now.
    pub now: Instant,
    /// Whom it is about.
    pub patient: &'a PersonIdentifier,
    /// Who files it.
    pub caller: &'a Caller,
    /// In whose record.
    pub organisation: OrganisationNumber,
    /// What they thought; may be empty.
    pub assessment: &'a str,
    /// What they relied on.
    pub readings: &'a [&'a Given],
    /// The receipt of the look-up: its id, and the OperationOutcome as it was signed.
    pub receipt: (Uuid, &'a str),
}

/// The Bundle.
pub fn document(of: &Document<'_>) -> Vec<u8> {
    let mut out = format!(
        r#"{{"resourceType":"Bundle","type":"document","identifier":{{"system":"urn:ietf:rfc:3986","value":"urn:uuid:{id}"}},"timestamp":"{now}","entry":[{{"fullUrl":"{CANONICAL}/Composition/{id}","resource":{composition}}}"#,
        id = of.id,
        now = of.now,
        composition = composition(of),
    )
    .into_bytes();
    let mut entry = |url: &str, resource: &[u8]| {
        out.extend_from_slice(b",{\"fullUrl\":");
        json::write_string(&mut out, url);
        out.extend_from_slice(b",\"resource\":");
        out.extend_from_slice(resource);
        out.push(b'}');
    };
    for one in of.readings {
        entry(&one.route.full_url, &one.body);
    }
    entry(
        &format!("urn:uuid:{}", of.receipt.0),
        of.receipt.1.as_bytes(),
    );
    out.extend_from_slice(b"]}");
    out
}

fn composition(of: &Document<'_>) -> Value {
    let number = |person: &PersonIdentifier| json!({"identifier": {"system": person.system(), "value": person.value().expose()}});
    let author = match &of.caller.person {
        Person::Practitioner { hpr: Some(hpr), .. } => {
            json!({"type": "Practitioner", "identifier": {"system": systems::HPR, "value": hpr.to_string()}})
        }
        Person::Practitioner { identifier, .. } | Person::Citizen { identifier, .. } => {
            number(identifier)
        }
        Person::System => json!({"display": of.caller.client_id}),
    };
    let organisation = json!({"type": "Organization", "identifier": {"system": ORGANISATION_NUMBER_SYSTEM, "value": of.organisation.to_string()}});
    let code = |code: &str| json!({"coding": [{"system": format!("{CANONICAL}/CodeSystem/composition-section"), "code": code}]});
    let mut sections = Vec::new();
    if !of.assessment.is_empty() {
        sections.push(
            json!({"title": "Vurdering", "code": code("1"), "text": narrative(of.assessment)}),
        );
    }
    if !of.readings.is_empty() {
        let entries = of.readings.iter();
        let entries: Vec<Value> = entries
            .map(|one| json!({"reference": one.route.full_url}))
            .collect();
        sections.push(json!({"title": "Grunnlag", "code": code("2"), "entry": entries}));
    }
    sections.push(json!({
        "title": "Kvittering for oppslaget", "code": code("2"),
        "entry": [{"reference": format!("urn:uuid:{}", of.receipt.0)}],
    }));
    json!({
        "resourceType": "Composition",
        "id": of.id.to_string(),
        "status": "final",
        "type": {"coding": [{"system": systems::LOINC, "code": "11506-3", "display": "Progress note"}]},
        "category": [{"coding": [{"system": format!("{CANONICAL}/CodeSystem/composition-category"), "code": "2"}]}],
        "subject": number(of.patient),
        "date": of.now.to_string(),
        "author": [author],
        "custodian": organisation,
        "title": "Grunnlag for vurdering, med kvittering",
        "section": sections,
    })
}

/// Words as XHTML: nothing of them is markup.
fn narrative(words: &str) -> Value {
    let mut div = String::from("<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>");
    for c in words.chars() {
        match c {
            '&' => div.push_str("&amp;"),
            '<' => div.push_str("&lt;"),
            '>' => div.push_str("&gt;"),
            '"' => div.push_str("&quot;"),
            '\n' => div.push_str("<br/>"),
            c if c.is_control() => div.push(' '),
            c => div.push(c),
        }
    }
    div.push_str("</p></div>");
    json!({"status": "additional", "div": div})
}
