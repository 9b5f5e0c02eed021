//! One patient's newest readings of one kind, asked again and again; the answer is learnt once, resource by resource, and
//! every later one must have the same entries byte for byte.

use super::drive::Client;
use super::ground::{Bearer, Target};
use super::http::{Answer, Connection};
use anyhow::{Context, bail, ensure};
use fhir::ids::{PersonIdentifier, PersonNumbers};
use serde_json::Value;
use std::sync::Arc;
use testkit::kinds::Kind;

/// How many readings are asked for.
pub const NEWEST: usize = 50;

/// A question with its token and the answer it must get.
pub struct Question {
    /// Whose; national identity number (synthetic).
    pub patient: String,
    /// Of which kind.
    pub kind: Kind,
    form: String,
    bearer: Bearer,
    /// From the first entry on: what comes before holds links that are sealed anew each time.
    entries: Vec<u8>,
    /// The whole answer, once learnt.
    pub whole: Vec<u8>,
}

impl Question {
    /// The newest readings of a kind, asked with a token. `patient` is a number of a load: sound and synthetic.
    pub fn new(patient: &str, kind: Kind, bearer: Bearer) -> anyhow::Result<Question> {
        let code = kind.codes().loinc.map_or_else(String::new, |(code, _)| {
            format!("{}|{code}", fhir::systems::LOINC)
        });
        let person = identifier(patient)?;
        let count = NEWEST.to_string();
        let form = wire::form::write([
            ("patient.identifier", person.as_str()),
            ("code", code.as_str()),
            ("_count", count.as_str()),
        ]);
        Ok(Question {
            patient: patient.to_owned(),
            kind,
            form,
            bearer,
            entries: Vec::new(),
            whole: Vec::new(),
        })
    }

    /// The same question with another token.
    pub fn with(&self, bearer: Bearer) -> Question {
        Question {
            bearer,
            patient: self.patient.clone(),
            form: self.form.clone(),
            entries: self.entries.clone(),
            whole: Vec::new(),
            ..*self
        }
    }

    /// The same question with the same token.
    pub fn again(&self) -> Question {
        self.with(self.bearer.clone())
    }

    /// Writes the request.
    pub fn write(&self, out: &mut Vec<u8>, to: &Target) -> bool {
        self.bearer.search(out, to, &self.form)
    }

    /// Asks once and looks at every resource of the answer.
    pub fn learn(&mut self, connection: &mut Connection, to: &Target) -> anyhow::Result<()> {
        let mut request = Vec::new();
        ensure!(self.write(&mut request, to), "a request cannot be signed");
        let answer = connection.exchange(&request)?;
        ensure!(
            answer.status == 200,
            "a lookup was answered {}: {}",
            answer.status,
            first_words(answer.body)
        );
        let bundle: Value = serde_json::from_slice(answer.body)?;
        let matches: Vec<&Value> = bundle["entry"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .filter(|e| e["search"]["mode"] == "match")
            .map(|e| &e["resource"])
            .collect();
        ensure!(
            matches.len() == NEWEST,
            "{} readings instead of {NEWEST}",
            matches.len()
        );
        let mut newest: Option<jiff::Timestamp> = None;
        for reading in matches {
            ensure!(
                reading["resourceType"] == "Observation",
                "something else than an Observation"
            );
            ensure!(
                reading["subject"]["identifier"]["value"] == self.patient.as_str(),
                "another patient's reading"
            );
            let codings = reading["code"]["coding"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let wanted = self.kind.codes().loinc.map_or("", |(code, _)| code);
            ensure!(
                codings.iter().any(|c| c["code"] == wanted),
                "a reading of another kind"
            );
            let taken: jiff::Timestamp = reading["effectiveDateTime"]
                .as_str()
                .context("a reading without time")?
                .parse()?;
            ensure!(
                newest.is_none_or(|before| taken <= before),
                "the newest do not come first"
            );
            newest = Some(taken);
        }
        self.whole = answer.body.to_vec();
        self.entries = self.whole[entries_at(&self.whole).context("no entries")?..].to_vec();
        Ok(())
    }

    /// Whether an answer is the learnt one.
    pub fn check(&self, answer: Answer<'_>) -> Result<(), String> {
        if answer.status != 200 {
            return Err(format!(
                "status {}: {}",
                answer.status,
                first_words(answer.body)
            ));
        }
        match entries_at(answer.body).map(|at| &answer.body[at..]) {
            Some(entries) if entries == self.entries.as_slice() => Ok(()),
            _ => Err("the answer is not the one that was learnt".to_owned()),
        }
    }
}

/// `system|value` of a load's patient.
pub fn identifier(patient: &str) -> anyhow::Result<String> {
    let person = PersonIdentifier::guess(patient, PersonNumbers::Strict)
        .ok()
        .context("a number of the load is none")?;
    Ok(format!("{}|{patient}", person.system()))
}

/// Where a searchset's entries begin.
fn entries_at(body: &[u8]) -> Option<usize> {
    body.windows(8).position(|w| w == b"\"entry\":")
}

/// What an OperationOutcome says first; our servers' words hold no person.
pub fn first_words(body: &[u8]) -> String {
    let outcome: Value = serde_json::from_slice(body).unwrap_or_default();
    let issue = &outcome["issue"][0];
    let words = issue["diagnostics"]
        .as_str()
        .or_else(|| issue["code"].as_str())
        .unwrap_or("no words");
    words.chars().take(200).collect()
}

/// A client that asks its questions by turns.
pub struct Asking {
    questions: Arc<Vec<Question>>,
    to: Arc<Target>,
    turn: usize,
    step: usize,
}

impl Asking {
    /// `count` clients over the same questions, each in an order of its own.
    pub fn clients(
        questions: &Arc<Vec<Question>>,
        to: &Target,
        count: usize,
    ) -> Vec<Box<dyn Client>> {
        let to = Arc::new(to.clone());
        let client = |n: usize| Asking {
            questions: questions.clone(),
            to: to.clone(),
            turn: n.wrapping_mul(7919),
            step: step(n, questions.len()),
        };
        (0..count)
            .map(|n| Box::new(client(n)) as Box<dyn Client>)
            .collect()
    }

    fn question(&self) -> &Question {
        &self.questions[self.turn % self.questions.len()]
    }
}

/// A stride that meets every question: odd, and prime to what we have by trying.
fn step(n: usize, count: usize) -> usize {
    let prime_to = |a: usize, b: usize| {
        let (mut a, mut b) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    (0..)
        .map(|k| 31 + 2 * n + k)
        .find(|s| prime_to(*s, count))
        .unwrap_or(1)
}

impl Client for Asking {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.turn = self.turn.wrapping_add(self.step);
        self.question().write(out, &self.to)
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        self.question().check(answer).map(|()| 1)
    }
}

/// Clients that ask each of their questions once.
pub struct Once {
    questions: std::vec::IntoIter<Question>,
    asked: Option<Question>,
    to: Arc<Target>,
}

impl Once {
    /// One client for all of them.
    pub fn client(questions: Vec<Question>, to: &Target) -> Vec<Box<dyn Client>> {
        vec![Box::new(Once {
            questions: questions.into_iter(),
            asked: None,
            to: Arc::new(to.clone()),
        })]
    }
}

impl Client for Once {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        self.asked = self.questions.next();
        self.asked
            .as_ref()
            .is_some_and(|question| question.write(out, &self.to))
    }

    fn check(&mut self, answer: Answer<'_>) -> Result<u64, String> {
        self.asked
            .as_ref()
            .ok_or("nothing was asked")?
            .check(answer)
            .map(|()| 1)
    }
}

/// Learns every question's answer, one after the other. Blocks; run it on a thread that may.
pub fn learn_all(questions: &mut [Question], to: &Target) -> anyhow::Result<()> {
    if questions.is_empty() {
        bail!("there is nothing to ask");
    }
    let mut connection = Connection::to(to.address);
    questions
        .iter_mut()
        .try_for_each(|question| question.learn(&mut connection, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stride_meets_every_question() {
        for count in [1, 2, 5, 100, 500, 501, 1000] {
            for n in 0..20 {
                let stride = step(n, count);
                let met: std::collections::HashSet<usize> =
                    (0..count).map(|k| k * stride % count).collect();
                assert_eq!(met.len(), count, "{n} of {count}");
            }
        }
    }

    #[test]
    fn entries_are_found_behind_the_links() {
        assert_eq!(entries_at(br#"{"link":[],"entry":[]}"#), Some(11));
        assert_eq!(entries_at(br#"{"total":0}"#), None);
    }
}
