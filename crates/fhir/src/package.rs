//! A FHIR package for measurements (information service IT17) that others can build against: a CapabilityStatement of kind
//! `requirements` and the SearchParameters it names, from the tables that this service itself answers by.
//!
//! Standard: FHIR R4 CapabilityStatement and SearchParameter; FHIR NPM Package Specification. What is in it and how it
//! departs from the Norwegian drafts is told in `docs/it17.md`. Pure: files as names and JSON; `cargo xtask package` writes them.

use crate::definitions::Definitions;
use crate::definitions::search::{Path, SearchParameter};
use crate::resource::{InformationService, ResourceType};
use crate::search::{Feeds, Parameter, ParameterType, supported};
use crate::systems::DELT;
use serde_json::{Value, json};

/// The package's name.
pub const NAME: &str = "example.delt.it17";
/// Its version, which changes when what it asks for changes.
pub const VERSION: &str = "0.1.0";
/// The day on which that last happened.
const DATE: &str = "2026-11-22";
const PUBLISHER: &str = "Delt";

/// Every file of the package: its name in the folder, and its content.
#[must_use]
pub fn it17() -> Vec<(String, Value)> {
    let resources = resources();
    let name = |resource: &Value| {
        let text = |member: &str| resource[member].as_str().unwrap_or_default().to_owned();
        (text("resourceType"), text("id"))
    };
    let listed: Vec<Value> = resources
        .iter()
        .map(|resource| {
            let (resource_type, id) = name(resource);
            let mut row = json!({
                "filename": format!("{resource_type}-{id}.json"),
                "resourceType": resource_type,
                "id": id,
                "url": resource["url"],
                "version": VERSION,
            });
            for member in ["kind", "type"] {
                if resource[member].is_string() {
                    row[member] = resource[member].clone();
                }
            }
            row
        })
        .collect();
    let mut files = vec![
        ("package.json".to_owned(), manifest()),
        (
            ".index.json".to_owned(),
            json!({"index-version": 2, "files": listed}),
        ),
    ];
    files.extend(resources.into_iter().map(|resource| {
        let (resource_type, id) = name(&resource);
        (format!("{resource_type}-{id}.json"), resource)
    }));
    files
}

fn manifest() -> Value {
    json!({
        "name": NAME,
        "version": VERSION,
        "title": "Measurements (IT17): what a data-sharing service answers",
        "description": "CapabilityStatement of kind requirements and SearchParameters for sharing measurements in Norwegian health care by look-up. A proposal from the Delt project; not endorsed by HL7 Norway or the Directorate of Health.",
        "canonical": DELT,
        "url": DELT,
        "type": "Conformance",
        "license": "Apache-2.0",
        "author": PUBLISHER,
        "fhirVersions": ["4.0.1"],
        "dependencies": {"hl7.fhir.r4.core": "4.0.1"},
    })
}

/// The types of the information service that can be searched by a table of their own.
fn types() -> Vec<ResourceType> {
    let measurements = InformationService::parse("IT17");
    Definitions::get()
        .enabled()
        .filter(|row| Some(row.service) == measurements && supported(row.resource).is_some())
        .map(|row| row.resource)
        .collect()
}

/// The parameters of a type that are asked for. Control parameters have no SearchParameter, and neither has another name that
/// we take for one of a type's own (`date` for the time of answers).
fn asked(resource: ResourceType) -> impl Iterator<Item = &'static Parameter> {
    let ours = move |parameter: &Parameter| {
        parameter.name == "date"
            && Definitions::get()
                .search_parameter(resource, parameter.name)
                .is_none()
    };
    supported(resource)
        .map_or(&[][..], |row| row.parameters)
        .iter()
        .filter(move |parameter| parameter.kind.code().is_some() && !ours(parameter))
}

fn resources() -> Vec<Value> {
    let types = types();
    let parameters = types.iter().flat_map(|resource| {
        asked(*resource).map(|parameter| search_parameter(*resource, parameter))
    });
    std::iter::once(statement(&types))
        .chain(parameters)
        .collect()
}

/// A resource: what every one of the package has, then its own members.
fn about(own: Value, resource_type: &str, id: &str, description: &str) -> Value {
    let mut resource = json!({
        "resourceType": resource_type,
        "id": id,
        "url": format!("{DELT}/{resource_type}/{id}"),
        "version": VERSION,
        "status": "draft",
        "experimental": false,
        "date": DATE,
        "publisher": PUBLISHER,
        "description": description,
        "jurisdiction": [{"coding": [{"system": "urn:iso:std:iso:3166", "code": "NO"}]}],
    });
    if let (Some(all), Value::Object(own)) = (resource.as_object_mut(), own) {
        all.extend(own);
    }
    resource
}

/// How firmly something is asked for (`capabilitystatement-expectation`).
fn expected(mut part: Value, word: &str) -> Value {
    part["extension"] = json!([{
        "url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-expectation",
        "valueCode": word,
    }]);
    part
}

fn statement(types: &[ResourceType]) -> Value {
    let resources: Vec<Value> = types
        .iter()
        .map(|resource| {
            let parameters: Vec<Value> = asked(*resource)
                .map(|parameter| {
                    let part = json!({
                        "name": parameter.name,
                        "definition": canonical(*resource, parameter),
                        "type": parameter.kind.code(),
                        "documentation": parameter.documentation,
                    });
                    expected(part, "SHALL")
                })
                .collect();
            let row = json!({
                "type": resource.as_str(),
                "interaction": [
                    expected(json!({"code": "read"}), "SHALL"),
                    expected(json!({"code": "search-type", "documentation": "by POST [type]/_search"}), "SHALL"),
                ],
                "searchParam": parameters,
            });
            expected(row, "SHALL")
        })
        .collect();
    let rest = json!({
        "mode": "server",
        "documentation": "A search is asked by POST [type]/_search; a person's number never stands in a URL. A parameter that is not known is refused, never ignored. Answers come in pages of _count (1 to 200, by default 50), newest first or by _sort=date, with next links that hold no person's number.",
        "security": {
            "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}]}],
            "description": "DPoP-bound access tokens (RFC 9449, RFC 9068) with the service's base as audience and SMART v2 scopes; people's access carries the attest of the Norwegian trust framework (tillitsrammeverket).",
        },
        "resource": resources,
    });
    about(
        json!({
            "name": "MeasurementsDataSharing",
            "title": "A data-sharing service for measurements (IT17)",
            "kind": "requirements",
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "rest": [rest],
        }),
        "CapabilityStatement",
        "it17",
        "What a consumer of measurements in Norwegian health care may count on at every data-sharing service: the search parameters that are lawful to ask by, and how they are asked.",
    )
}

/// The name without chain and modifier, the chain, and the modifier: `patient.identifier`, `subject:identifier`.
fn parts(name: &'static str) -> (&'static str, Option<&'static str>, Option<&'static str>) {
    if let Some((code, chain)) = name.split_once('.') {
        return (code, Some(chain), None);
    }
    match name.split_once(':') {
        Some((code, modifier)) => (code, None, Some(modifier)),
        None => (name, None, None),
    }
}

fn id_of(resource: ResourceType, parameter: &Parameter) -> String {
    let name: String = parameter
        .name
        .chars()
        .filter(|c| *c != '_')
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("it17-{}-{name}", resource.as_str().to_lowercase())
}

fn canonical(resource: ResourceType, parameter: &Parameter) -> String {
    format!("{DELT}/SearchParameter/{}", id_of(resource, parameter))
}

/// `valueQuantity` found as a Quantity is FHIRPath's `value`.
fn fhirpath(resource: ResourceType, path: &Path) -> String {
    let mut members: Vec<String> = path
        .steps
        .iter()
        .map(|step| step.member.to_owned())
        .collect();
    if let Some(last) = members.last_mut() {
        let mut used = path.used.chars();
        let ending: String = used
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .chain(used)
            .collect();
        if let Some(short) = last.strip_suffix(&ending).filter(|short| !short.is_empty()) {
            *last = short.to_owned();
        }
    }
    let mut all = vec![resource.as_str().to_owned()];
    all.append(&mut members);
    all.join(".")
}

fn expression(resource: ResourceType, published: &SearchParameter) -> String {
    let mut all: Vec<String> = published
        .paths
        .iter()
        .map(|path| fhirpath(resource, path))
        .collect();
    all.dedup();
    all.join(" | ")
}

fn search_parameter(resource: ResourceType, parameter: &Parameter) -> Value {
    let (code, chain, modifier) = parts(parameter.name);
    let published = Definitions::get().search_parameter(resource, code);
    // What a chain or a modifier makes a token of is by itself the reference before it.
    let kind = match (published, parameter.kind.code()) {
        (Some(published), _) => published.kind.code(),
        (None, kind) => kind.unwrap_or_default(),
    };
    let mut body = json!({
        "name": name_of(resource, parameter),
        "code": code,
        "base": [resource.as_str()],
        "type": kind,
        "multipleOr": parameter.kind == ParameterType::Token && parameter.feeds != Feeds::Person,
        "multipleAnd": parameter.feeds == Feeds::Date,
    });
    if let Some(published) = published {
        body["derivedFrom"] = published.definition().into();
        body["expression"] = expression(resource, published).into();
        if kind == "reference" {
            body["target"] = json!(["Patient"]);
        }
    }
    if parameter.feeds == Feeds::Date {
        body["comparator"] = json!(["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb"]);
    }
    if let Some(chain) = chain {
        body["chain"] = json!([chain]);
    }
    if let Some(modifier) = modifier {
        body["modifier"] = json!([modifier]);
    }
    about(
        body,
        "SearchParameter",
        &id_of(resource, parameter),
        &format!("{}: {}", parameter.name, parameter.documentation),
    )
}

/// A name that a program can use: `ObservationPatientIdentifier`.
fn name_of(resource: ResourceType, parameter: &Parameter) -> String {
    let words = parameter
        .name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    std::iter::once(resource.as_str().to_owned())
        .chain(words.map(capital))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::check::{Rules, check};
    use crate::json::{Json, Limits};

    fn of_type(name: &str) -> Vec<Value> {
        it17()
            .into_iter()
            .map(|(_, content)| content)
            .filter(|content| content["resourceType"] == name)
            .collect()
    }

    #[test]
    fn every_resource_is_fhir() {
        let mut checked = 0;
        for (name, content) in it17() {
            if content["resourceType"].is_string() {
                let json = Json::parse(content.to_string(), Limits::RESOURCE).unwrap();
                let found = check(&json, json.root(), &Rules::default());
                assert!(found.is_ok(), "{name}: {:?}", found.err());
                checked += 1;
            }
        }
        assert!(checked > 5);
        // The check does see what is wrong with one.
        let mut broken = of_type("SearchParameter").remove(0);
        broken["type"] = "text".into();
        let json = Json::parse(broken.to_string(), Limits::RESOURCE).unwrap();
        assert!(check(&json, json.root(), &Rules::default()).is_err());
    }

    #[test]
    fn the_statement_names_exactly_the_parameters_that_are_in_the_package() {
        let statement = of_type("CapabilityStatement").remove(0);
        let mut named: Vec<String> = Vec::new();
        for row in statement["rest"][0]["resource"].as_array().unwrap() {
            for parameter in row["searchParam"].as_array().unwrap() {
                named.push(parameter["definition"].as_str().unwrap().to_owned());
            }
        }
        let mut there: Vec<String> = of_type("SearchParameter")
            .iter()
            .map(|one| one["url"].as_str().unwrap().to_owned())
            .collect();
        named.sort();
        there.sort();
        assert_eq!(named, there);
        there.dedup();
        assert_eq!(named.len(), there.len(), "two have one address");
    }

    #[test]
    fn parameters_keep_fhirs_own_meaning() {
        for one in of_type("SearchParameter") {
            let code = one["code"].as_str().unwrap();
            let of = ResourceType::parse(one["base"][0].as_str().unwrap()).unwrap();
            let published = Definitions::get().search_parameter(of, code).unwrap();
            assert_eq!(one["derivedFrom"], published.definition(), "{code}");
            assert_eq!(one["type"], published.kind.code(), "{code}");
            // spd-2: only a reference has a chain.
            assert!(
                one["chain"].is_null() || one["type"] == "reference",
                "{code}"
            );
        }
        let date = of_type("SearchParameter")
            .into_iter()
            .find(|one| one["code"] == "date")
            .unwrap();
        assert_eq!(date["expression"], "Observation.effective");
    }

    #[test]
    fn the_page_about_it_names_every_parameter() {
        let page = include_str!("../../../docs/it17.md");
        for resource in types() {
            for parameter in supported(resource).unwrap().parameters {
                let name = format!("`{}`", parameter.name);
                assert!(page.contains(&name), "docs/it17.md says nothing of {name}");
            }
        }
    }
}
