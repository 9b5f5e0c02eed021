//! `$purge`: erasure for good, on the controller's order (pasientjournalloven § 25; personvernforordningen art. 17 and 28
//! no. 3 g). Not a withdrawal: nothing is left but the record that it was done, on what ground and on whose order.
//!
//! Parameters: `ground` (`deletion-decision`, `copy-withdrawn`, `end-of-processing`), `order` and `decision` (the
//! controller's references), `scope` (`resource`, `patient`, `store`), and with it `resource` (a reference) or `patient` (an
//! Identifier). Only a record system of the controller itself may ask; a supplier cannot start it.

use crate::State;
use crate::api::id_of;
use crate::feed;
use axum::body::Body;
use axum::extract::{self, Request};
use axum::response::Response;
use fhir::ids::PersonIdentifier;
use fhir::operation;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::SUPPORTED;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use std::sync::Arc;
use store::Purge;
use trust::audit::Erasure;
use trust::{Ask, Category, Interaction, Permit, Refusal};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::{End, Visit};

/// Grounds on which health law lets something be erased.
const GROUNDS: [&str; 3] = ["deletion-decision", "copy-withdrawn", "end-of-processing"];
/// Longest reference to an order or a decision.
const LONGEST: usize = 100;

/// In a shared register one member speaks for itself alone.
const WHOLE_REGISTER: Refusal = Refusal {
    rule: "member",
    category: Category::Forbidden,
    code: "other_member",
    message: "a member erases what it wrote itself; a patient or the whole register is for its controller to erase",
};

/// `POST {base}/$purge`.
pub async fn purge(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| erase(&state, visit, &parts.headers, body).await;
    state
        .desk
        .serve(&parts, ids, Interaction::Purge, work)
        .await
}

/// An order that can be carried out.
struct Order {
    erasure: Erasure,
    purge: Purge,
}

async fn erase(
    state: &State,
    visit: &mut Visit<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, End> {
    // Whoever may not, is told so whatever the order says.
    visit.permit(&Ask::of(Interaction::Purge, ResourceType::OBSERVATION))?;
    let form = wire::operation::read(headers, body).await?;
    let order = Order::read(state, &form).map_err(Problem::invalid_all)?;
    visit.asked(&format!("scope={}", order.erasure.scope));
    let (permit, person) = allowed(state, visit, &order.purge).await?;
    let mut record = visit.record().permitted(&permit).about(person);
    record.erasure = Some(order.erasure);
    let mut change = visit.change(record);
    change.purge = Some(order.purge);
    let committed = visit.commit(change).await?;
    let purged = committed
        .purged
        .ok_or_else(|| Problem::bug("a purge gave no counts"))?;
    let count = |name: &str, value: u64| json!({"name": name, "valueDecimal": value});
    let answer = json!({
        "resourceType": "Parameters",
        "parameter": [
            count("resources", purged.resources),
            count("versions", purged.versions),
            count("patients", purged.patients),
            count("parcels", purged.parcels),
        ],
    });
    Ok(fhir_response(
        StatusCode::OK,
        answer.to_string().into_bytes(),
    ))
}

/// Asks the rules about everything that would go.
async fn allowed(
    state: &State,
    visit: &Visit<'_>,
    purge: &Purge,
) -> Result<(Permit, Option<PersonIdentifier>), End> {
    match purge {
        Purge::Resource { resource_type, id } => {
            let permit = visit.permit(&Ask::of(Interaction::Purge, *resource_type))?;
            feed::own_only(state, visit, &permit, *resource_type, *id).await?;
            let person = state.desk.store.patient_of(*id).await?;
            Ok((permit, person))
        }
        Purge::Patient(_) | Purge::Store => {
            let mut permit = visit.permit(&Ask::of(Interaction::Purge, ResourceType::PATIENT))?;
            for row in SUPPORTED {
                permit = visit.permit(&Ask::of(Interaction::Purge, row.resource))?;
            }
            let register = &state.config.register;
            let speaks = visit
                .caller()
                .organisation
                .map(|number| register.main_unit(number));
            if speaks != Some(state.config.owner) {
                return Err(End::Refused(WHOLE_REGISTER));
            }
            let person = match purge {
                Purge::Patient(person) => Some(person.clone()),
                _ => None,
            };
            Ok((permit, person))
        }
    }
}

impl Order {
    fn read(state: &State, form: &operation::Input) -> Result<Order, Vec<Issue>> {
        let names = [
            "ground", "order", "decision", "scope", "resource", "patient",
        ];
        let mut issues = operation::unknown(form, &names.map(|name| (name, false)));
        let value = |name: &str| {
            form.iter()
                .find(|(one, _)| one == name)
                .map(|(_, value)| value.as_str())
        };
        let mut needed = |name: &'static str, fits: &dyn Fn(&str) -> bool, words: &str| {
            let found = value(name);
            match found {
                None => issues.push(Issue::error(IssueCode::Required, name, words)),
                Some(text) if !fits(text) => {
                    issues.push(Issue::error(IssueCode::Value, name, words))
                }
                Some(_) => {}
            }
            found.unwrap_or_default().to_owned()
        };
        let ground = needed(
            "ground",
            &|text| GROUNDS.contains(&text),
            "expected deletion-decision, copy-withdrawn or end-of-processing",
        );
        let words = "the controller's own reference was expected, at most 100 characters and no person's number";
        let order = needed("order", &is_reference, words);
        let decision = needed("decision", &is_reference, words);
        let scope = needed(
            "scope",
            &|text| ["resource", "patient", "store"].contains(&text),
            "expected resource, patient or store",
        );
        // What the scope does not need must not be there: an order that can be read in two ways is none.
        for (name, of) in [("resource", "resource"), ("patient", "patient")] {
            let there = value(name).is_some();
            if there != (scope == of) {
                let words = format!("scope {of} goes with {name}, and no other scope does");
                issues.push(Issue::error(IssueCode::Invalid, name, words));
            }
        }
        let purge = match scope.as_str() {
            "resource" => value("resource").and_then(|text| resource(state, text)),
            "patient" => value("patient")
                .and_then(|text| text.split_once('|'))
                .and_then(|(system, number)| {
                    PersonIdentifier::parse(system, number, state.config.person_numbers).ok()
                })
                .map(Purge::Patient),
            _ => Some(Purge::Store),
        };
        match purge {
            Some(purge) if issues.is_empty() => Ok(Order {
                erasure: Erasure {
                    ground,
                    order,
                    decision,
                    scope,
                    ..Erasure::default()
                },
                purge,
            }),
            _ => {
                if issues.is_empty() {
                    let words = "a reference such as Observation/{id}, or a person's Identifier, was expected; a Patient goes with scope patient";
                    issues.push(Issue::error(IssueCode::Value, scope, words));
                }
                Err(issues)
            }
        }
    }
}

/// `Observation/{id}`: a type that is written here, but for the Patient, with whom all that is theirs would stay behind.
fn resource(state: &State, reference: &str) -> Option<Purge> {
    let (name, id) = reference.split_once('/')?;
    let resource_type = crate::api::writable(state, name).ok()?;
    let id = id_of(id).ok()?;
    (resource_type != ResourceType::PATIENT).then_some(Purge::Resource { resource_type, id })
}

/// A reference goes on record for good: it is short, in plain letters, and holds nobody's number.
fn is_reference(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || " -_./:".contains(c);
    let mut digits = 0;
    let holds_number = text.chars().any(|c| {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        digits >= 11
    });
    !text.trim().is_empty()
        && text.chars().count() <= LONGEST
        && text.chars().all(plain)
        && !holds_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_short_plain_and_nobodys_number() {
        for (text, fits) in [
            ("2026/117-3", true),
            ("", false),
            (" ", false),
            ("1234567890", true),
            ("12345678901", false),
            ("sak 12345678901 b", false),
            ("a\nb", false),
        ] {
            assert_eq!(is_reference(text), fits, "{text}");
        }
        assert!(is_reference(&"a".repeat(LONGEST)));
        assert!(!is_reference(&"a".repeat(LONGEST + 1)));
    }
}
