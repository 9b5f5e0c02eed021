//! The search oracle: slow, in memory, and plain to see. It holds every resource that there is, and answers by looking at
//! each. Leaves are the grammar's own evaluator; what joins, orders and counts is written again here, on JSON values and a
//! table of member names, so that the store is not compared with itself.

use fhir::ids::{LogicalId, PersonIdentifier};
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use fhir::search::{Link, PatientParam, Query, Sort, matches};
use serde_json::Value;
use std::cmp::Ordering;

/// One resource of the store.
pub struct Held {
    pub kind: ResourceType,
    pub id: LogicalId,
    /// Whom it is about; `None`: nobody.
    pub person: Option<PersonIdentifier>,
    pub body: String,
}

impl Held {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// All there is, and who is who.
pub struct Oracle {
    pub all: Vec<Held>,
    pub people: Vec<(LogicalId, PersonIdentifier)>,
}

/// Where a type's reference parameters stand.
const REFERENCES: &[(&str, &str, &[&str])] = &[
    ("Observation", "encounter", &["encounter"]),
    ("Observation", "subject", &["subject"]),
    ("Observation", "patient", &["subject"]),
    ("Observation", "derived-from", &["derivedFrom"]),
    ("Encounter", "subject", &["subject"]),
    ("Encounter", "patient", &["subject"]),
    ("Encounter", "part-of", &["partOf"]),
    ("Condition", "encounter", &["encounter"]),
    ("Condition", "subject", &["subject"]),
    ("MedicationStatement", "subject", &["subject"]),
    (
        "MedicationStatement",
        "medication",
        &["medicationReference"],
    ),
];

/// What a parameter sorts by: a number or a text that orders as the value does.
fn key(kind: &str, parameter: &str, body: &Value, descending: bool) -> Option<(i64, String)> {
    let text = |value: &Value| {
        value
            .as_str()
            .map(|text| (0, text.to_lowercase().replace('å', "a")))
    };
    match (kind, parameter) {
        (_, "_id") => text(&body["id"]),
        (_, "_lastUpdated") => text(&body["meta"]["lastUpdated"]),
        (_, "status") => text(&body["status"]),
        ("Patient", "gender") => text(&body["gender"]),
        ("Patient", "birthdate") => text(&body["birthDate"]),
        ("Patient", "family") => text(&body["name"][0]["family"]),
        ("Encounter", "date") => {
            let end = if descending { "end" } else { "start" };
            text(&body["period"][end])
        }
        ("MedicationStatement", "effective") => text(&body["effectiveDateTime"]),
        ("Observation", "value-quantity") => {
            let value = body["valueQuantity"]["value"].as_f64()?;
            Some(((value * 1000.0).round() as i64, String::new()))
        }
        ("Observation", "code") => text(&body["code"]["coding"][0]["code"]),
        other => panic!("the oracle does not sort by {other:?}"),
    }
}

impl Oracle {
    /// The ids that answer a query, in order, as far as somebody may see: `who` is a patient, or `None` for the organisation
    /// itself.
    pub fn answer(&self, query: &Query, who: Option<&PersonIdentifier>) -> Vec<LogicalId> {
        let mut found: Vec<&Held> = self
            .all
            .iter()
            .filter(|one| self.matches(one, query, who))
            .collect();
        found.sort_by(|a, b| self.order(query, a, b));
        found.into_iter().map(|one| one.id).collect()
    }

    /// As [`Oracle::answer`], of several types in one order; the queries differ in type alone.
    pub fn answer_types(
        &self,
        queries: &[Query],
        who: Option<&PersonIdentifier>,
    ) -> Vec<LogicalId> {
        let meets = |one: &&Held| queries.iter().any(|query| self.matches(one, query, who));
        let mut found: Vec<&Held> = self.all.iter().filter(meets).collect();
        found.sort_by(|a, b| self.order(&queries[0], a, b));
        found.into_iter().map(|one| one.id).collect()
    }

    fn matches(&self, one: &Held, query: &Query, who: Option<&PersonIdentifier>) -> bool {
        let seen =
            one.kind == query.resource && who.is_none_or(|who| one.person.as_ref() == Some(who));
        if !seen {
            return false;
        }
        let mut leaves = query.clone();
        // A patient is meant by id as by number.
        if let Some(asked) = leaves.patient.take()
            && one.person != self.person(&asked)
        {
            return false;
        }
        leaves
            .people(|asked| Ok::<_, ()>(self.person(asked).and_then(|p| self.known(&p))))
            .unwrap();
        let json = Json::parse(one.body.clone(), Limits::RESOURCE).unwrap();
        matches(json.root(), &leaves, None)
            && query.links.iter().all(|link| self.joins(one, link, who))
    }

    fn joins(&self, one: &Held, link: &Link, who: Option<&PersonIdentifier>) -> bool {
        self.all.iter().any(|other| {
            let (from, to) = if link.reverse {
                (other, one)
            } else {
                (one, other)
            };
            self.matches(other, &link.query, who) && self.points(from, link.reference.name, to)
        })
    }

    fn points(&self, from: &Held, parameter: &str, to: &Held) -> bool {
        let (_, _, path) = REFERENCES
            .iter()
            .find(|(kind, name, _)| (*kind, *name) == (from.kind.as_str(), parameter))
            .unwrap_or_else(|| panic!("the oracle does not follow {} {parameter}", from.kind));
        let mut value = from.json();
        for member in *path {
            value = value[*member].take();
        }
        let all = match value {
            Value::Array(all) => all,
            one => vec![one],
        };
        all.iter().any(|reference| {
            let literal =
                reference["reference"].as_str() == Some(&format!("{}/{}", to.kind, to.id));
            let number = reference["identifier"]["value"].as_str();
            let named = to.kind == ResourceType::PATIENT
                && number.is_some_and(|number| {
                    to.person
                        .as_ref()
                        .is_some_and(|person| person.value().expose() == number)
                });
            literal || named
        })
    }

    fn person(&self, asked: &PatientParam) -> Option<PersonIdentifier> {
        match asked {
            PatientParam::Identifier(person) => Some(person.clone()),
            PatientParam::Local(id) => self
                .people
                .iter()
                .find(|(known, _)| known == id)
                .map(|(_, person)| person.clone()),
        }
    }

    fn known(&self, person: &PersonIdentifier) -> Option<(LogicalId, PersonIdentifier)> {
        self.people.iter().find(|(_, one)| one == person).cloned()
    }

    fn order(&self, query: &Query, a: &Held, b: &Held) -> Ordering {
        let (a_json, b_json) = (a.json(), b.json());
        for one in &query.keys {
            let of = |body| {
                let name = one.parameter.name;
                key(query.resource.as_str(), name, body, one.descending)
            };
            let order = last(of(&a_json), of(&b_json), one.descending);
            if order != Ordering::Equal {
                return order;
            }
        }
        if query.keys.is_empty() {
            let start = |body: &Value| {
                let when = &body["effectiveDateTime"];
                let when = if when.is_null() {
                    &body["period"]["start"]
                } else {
                    when
                };
                when.as_str().map(str::to_owned)
            };
            let order = last(start(&a_json), start(&b_json), query.sort == Sort::DateDesc);
            if order != Ordering::Equal {
                return order;
            }
        }
        a.id.to_string().cmp(&b.id.to_string())
    }
}

/// What is missing comes last either way.
fn last<T: Ord>(a: Option<T>, b: Option<T>, descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}
