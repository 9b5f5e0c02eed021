//! A record system compares what it holds of a series with the copy at its sharing service, narrows down to what differs,
//! and repairs it by its ordinary feed (docs/guide/record-system.md).

use super::{Feed, Place, scope};
use crate::home_system::{SendError, patiently, refused};
use fhir::ids::PersonIdentifier;
use fhir::index;
use fhir::json::{Json, Limits};
use fhir::resource::ResourceType;
use fhir::time::{Instant, Zone};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::Tally;
use wire::client::Request;
use wire::contract::sharing::{Agreement, COPY_STATE, RECONCILE, UNDATED};

/// A series as the record system has it.
pub struct Series {
    /// Whose.
    pub patient: PersonIdentifier,
    /// Of which type.
    pub resource_type: ResourceType,
    /// Carrying this code.
    pub code: (String, String),
    /// Every resource of it, each with a business identifier.
    pub held: Vec<bytes::Bytes>,
}

/// One resource that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How.
    pub state: Agreement,
    /// Which of the series' resources; `None` for one that only the copy has.
    pub held: Option<usize>,
    /// Where it is at the service, if it is or was.
    pub place: Option<Place>,
}

/// What the comparison needs of one resource.
struct Digested {
    digest: [u8; 16],
    month: String,
    identifier: Value,
}

impl Feed {
    /// Everything in which the copy of `series` differs from it; nothing when they agree. `zone` is the service's.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn reconcile(
        &self,
        series: &Series,
        zone: &Zone,
    ) -> Result<Vec<Difference>, SendError> {
        let held: Vec<Digested> = series
            .held
            .iter()
            .map(|body| digested(body, series.resource_type, zone))
            .collect::<Option<_>>()
            .ok_or(SendError::Unaccounted)?;
        let patient = json!({"name": "patient", "valueIdentifier": {"system": series.patient.system(), "value": series.patient.value().expose()}});
        let all: Vec<&Digested> = held.iter().collect();
        let mut whole = vec![patient.clone()];
        whole.extend(tally(&all));
        let rows = self
            .compare(series, vec![json!({"name": "series", "part": whole})])
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut months: BTreeMap<&str, Vec<&Digested>> = BTreeMap::new();
        for one in &held {
            months.entry(&one.month).or_default().push(one);
        }
        // Who holds nothing says so of some month: the copy's own months are told then.
        months.entry(UNDATED).or_default();
        let mut question = vec![patient.clone()];
        for (month, of_it) in &months {
            let mut parts = vec![json!({"name": "month", "valueString": month})];
            parts.extend(tally(of_it));
            question.push(json!({"name": "bucket", "part": parts}));
        }
        let mut differences = Vec::new();
        for row in self.compare(series, question).await? {
            let month = text(&row, "month").ok_or(SendError::Unaccounted)?;
            let mut question = vec![
                patient.clone(),
                json!({"name": "month", "valueString": month}),
            ];
            for one in months.get(month.as_str()).into_iter().flatten() {
                question.push(json!({"name": "entry", "part": [
                    {"name": "digest", "valueString": hex(&one.digest)},
                    {"name": "identifier", "valueIdentifier": one.identifier},
                ]}));
            }
            for row in self.compare(series, question).await? {
                differences.push(difference(&row, &held).ok_or(SendError::Unaccounted)?);
            }
        }
        Ok(differences)
    }

    /// Repairs what differs by the ordinary feed: sends what is missing, corrects what is other, withdraws what is not in
    /// the record. What was withdrawn stays so.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn repair(
        &self,
        series: &Series,
        differences: &[Difference],
    ) -> Result<(), SendError> {
        let kind = series.resource_type.as_str();
        for one in differences {
            let body = one.held.and_then(|at| series.held.get(at));
            let answer = match (one.state, body, &one.place) {
                (Agreement::Missing, Some(body), _) => {
                    self.create(kind, body.clone()).await?;
                    continue;
                }
                (Agreement::Differs, Some(body), Some(place)) => {
                    self.correct(kind, place, body).await?
                }
                (Agreement::Extra, None, Some(place)) => self.withdraw(kind, place).await?,
                _ => continue,
            };
            if !answer.status.is_success() {
                return Err(refused(&answer));
            }
        }
        Ok(())
    }

    /// Says that everything of the record up to `as_of` is at the service; gives the state that it answers.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn say_as_of(&self, as_of: Instant) -> Result<String, SendError> {
        let body = json!({"resourceType": "Parameters", "parameter": [{"name": "as_of", "valueInstant": as_of.to_string()}]});
        let request = Request::post_fhir(format!("{}{COPY_STATE}", self.base), body.to_string());
        let answer = patiently(
            &self.party,
            &self.base,
            &scope("Observation", 'c'),
            &request,
        )
        .await?;
        if !answer.status.is_success() {
            return Err(refused(&answer));
        }
        let answer: Value =
            serde_json::from_slice(&answer.body).map_err(|_| SendError::Unaccounted)?;
        let state = answer["parameter"][0]["valueCode"].as_str();
        state.map(str::to_owned).ok_or(SendError::Unaccounted)
    }

    /// Asks one question; the rows that do not agree.
    async fn compare(
        &self,
        series: &Series,
        question: Vec<Value>,
    ) -> Result<Vec<Value>, SendError> {
        let (system, code) = &series.code;
        let mut parameters = vec![
            json!({"name": "type", "valueCode": series.resource_type.as_str()}),
            json!({"name": "code", "valueCoding": {"system": system, "code": code}}),
        ];
        parameters.extend(question);
        let body = json!({"resourceType": "Parameters", "parameter": parameters});
        let request = Request::post_fhir(format!("{}{RECONCILE}", self.base), body.to_string());
        let scope = format!("system/{}.rs", series.resource_type);
        let answer = patiently(&self.party, &self.base, &scope, &request).await?;
        if !answer.status.is_success() {
            return Err(refused(&answer));
        }
        let mut answer: Value =
            serde_json::from_slice(&answer.body).map_err(|_| SendError::Unaccounted)?;
        let Value::Array(mut rows) = answer["parameter"].take() else {
            return Err(SendError::Unaccounted);
        };
        rows.retain(|row| row["name"] != "agree");
        Ok(rows)
    }
}

fn digested(body: &[u8], resource_type: ResourceType, zone: &Zone) -> Option<Digested> {
    let json = Json::parse(body.to_vec(), Limits::RESOURCE).ok()?;
    let root = json.root();
    let numbers = fhir::ids::PersonNumbers::Lenient;
    let when = index::of(root, resource_type, zone, numbers).ok()?.when;
    let identifier = *root.all(&["identifier"]).first()?;
    Some(Digested {
        digest: fhir::identity::content(root)[..16].try_into().ok()?,
        month: when.map_or_else(
            || UNDATED.to_owned(),
            |when| {
                let (year, month, _) = zone.day_of(Instant(when.lo));
                format!("{year:04}-{month:02}")
            },
        ),
        identifier: json!({"system": identifier.text("system")?, "value": identifier.text("value")?}),
    })
}

fn tally(of: &[&Digested]) -> [Value; 2] {
    let tally = Tally::of(of.iter().map(|one| one.digest).collect());
    [
        json!({"name": "count", "valueUnsignedInt": tally.count}),
        json!({"name": "digest", "valueString": hex(&tally.digest)}),
    ]
}

fn difference(row: &Value, held: &[Digested]) -> Option<Difference> {
    let state = Agreement::parse(part(row, "state")?["valueCode"].as_str()?)?;
    let digest = text(row, "digest")?;
    let reference = part(row, "resource").and_then(|one| {
        let reference = one["valueReference"]["reference"].as_str()?;
        Some(reference.rsplit('/').next()?.to_owned())
    });
    Some(Difference {
        state,
        held: held
            .iter()
            .position(|one| hex(&one.digest) == digest)
            .filter(|_| state != Agreement::Extra),
        place: reference.map(|id| Place {
            id,
            version: text(row, "version").unwrap_or_default(),
        }),
    })
}

fn part<'a>(row: &'a Value, name: &str) -> Option<&'a Value> {
    row["part"]
        .as_array()?
        .iter()
        .find(|one| one["name"] == name)
}

fn text(row: &Value, name: &str) -> Option<String> {
    Some(part(row, name)?["valueString"].as_str()?.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
