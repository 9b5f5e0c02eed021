//! Why an earlier request was refused, or what was left out of what was given (`$explain-access`), as a service tells it and as
//! the gateway and the patient's page read it: FHIR R4 Parameters (parameters.html). One shape for all three.

use crate::parts::{named, read_all};
use fhir::ids::{LogicalId, OrganisationNumber};
use fhir::outcome::IssueCode;
use serde_json::{Value, json};
use trust::audit::{Outcome, Record};
use trust::explain::{self, Words};

use crate::contract::ORGANISATION_NUMBER_SYSTEM;
use crate::outcome::Problem;

/// Most parts of one kind that are read of an answer; who tells more is not believed.
const MOST: usize = 1_000;
/// Longest text that is read, in bytes.
const LONGEST: usize = 2_000;

/// The same in each language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Norwegian (bokmål).
    pub nb: String,
    /// Norwegian (nynorsk).
    pub nn: String,
    /// English.
    pub en: String,
}

/// One reason, by the rule that had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule.
    pub rule: String,
    /// In plain words.
    pub words: Texts,
    /// Kinds that were left out, as `IT17`.
    pub withheld: Vec<String>,
    /// Details that were left out of everything that was given: code and words.
    pub left_out: Vec<(String, Texts)>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When, RFC 3339 in UTC.
    pub when: String,
    /// `allowed`, `refused`, `unauthenticated` or `failed`.
    pub outcome: String,
    /// The rules that were asked with their versions, as `block/5`, divided by spaces; empty where none were.
    pub rules: String,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What else it rested on, by kind; told to the controller's own systems alone.
    pub inputs: Vec<(String, String)>,
}

/// What one party told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who decided.
    pub organisation: OrganisationNumber,
    /// What.
    pub decisions: Vec<Decision>,
}

/// What every party told, and who did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everywhere {
    /// Those that know of the request.
    pub holders: Vec<Told>,
    /// The receipt.
    pub receipt: Value,
}

/// The request that is asked about: the one parameter, the `X-Request-Id` of an answer.
///
/// # Errors
/// In words, what is wrong with it.
pub fn request_named(input: &[(String, String)]) -> Result<LogicalId, Problem> {
    let [(name, value)] = input else {
        let words = "one parameter is expected: request, the X-Request-Id of the answer";
        return Err(Problem::invalid(IssueCode::Required, "request", words));
    };
    if name != "request" {
        let words = "this parameter is not known; expected: request";
        return Err(Problem::invalid(IssueCode::NotSupported, name, words));
    }
    LogicalId::parse(value).map_err(|_| {
        let words = "expected the X-Request-Id of an answer";
        Problem::invalid(IssueCode::Value, "request", words)
    })
}

impl Decision {
    /// What a record says of a decision, as it may be told to these; without what else it rested on.
    pub fn of(record: &Record, told: explain::Told) -> Decision {
        let outcome = match &record.outcome {
            Outcome::Allowed => "allowed",
            Outcome::Refused { .. } => "refused",
            Outcome::Unauthenticated { .. } => "unauthenticated",
            Outcome::Failed { .. } => "failed",
        };
        let rules: Vec<String> = record
            .rules
            .iter()
            .map(|(name, version)| format!("{name}/{version}"))
            .collect();
        let reasons = explain::explain(record, told);
        Decision {
            when: record.when.to_string(),
            outcome: outcome.to_owned(),
            rules: rules.join(" "),
            reasons: reasons
                .into_iter()
                .map(|one| Reason {
                    rule: one.rule,
                    words: one.words.into(),
                    withheld: one.withheld.iter().map(ToString::to_string).collect(),
                    left_out: one
                        .left_out
                        .iter()
                        .map(|detail| (detail.code().to_owned(), detail.words().into()))
                        .collect(),
                })
                .collect(),
            inputs: Vec::new(),
        }
    }

    /// The parameter `decision`.
    pub fn part(&self) -> Value {
        let mut parts = vec![
            json!({"name": "when", "valueInstant": self.when}),
            json!({"name": "outcome", "valueCode": self.outcome}),
        ];
        if !self.rules.is_empty() {
            parts.push(json!({"name": "rules", "valueString": self.rules}));
        }
        parts.extend(self.reasons.iter().map(Reason::part));
        parts.extend(self.inputs.iter().map(|(kind, value)| {
            json!({"name": "input", "part": [
                {"name": "kind", "valueCode": kind},
                {"name": "value", "valueString": value},
            ]})
        }));
        json!({"name": "decision", "part": parts})
    }

    fn read(part: &Value) -> Option<Decision> {
        let parts = part["part"].as_array()?;
        let one = |name| named(parts, name).next();
        Some(Decision {
            when: text(one("when")?, "valueInstant")?,
            outcome: text(one("outcome")?, "valueCode")?,
            rules: one("rules").map_or(Some(String::new()), |rules| text(rules, "valueString"))?,
            reasons: read_all(parts, "reason", MOST, Reason::read)?,
            inputs: read_all(parts, "input", MOST, |input| {
                let parts = input["part"].as_array()?;
                let kind = text(named(parts, "kind").next()?, "valueCode")?;
                Some((kind, text(named(parts, "value").next()?, "valueString")?))
            })?,
        })
    }
}

impl Reason {
    fn part(&self) -> Value {
        let mut parts = vec![json!({"name": "rule", "valueCode": self.rule})];
        parts.extend(self.words.parts());
        let withheld = self.withheld.iter();
        parts.extend(withheld.map(|kind| json!({"name": "withheld", "valueCode": kind})));
        parts.extend(self.left_out.iter().map(|(code, words)| {
            let mut parts = vec![json!({"name": "detail", "valueCode": code})];
            parts.extend(words.parts());
            json!({"name": "left-out", "part": parts})
        }));
        json!({"name": "reason", "part": parts})
    }

    fn read(part: &Value) -> Option<Reason> {
        let parts = part["part"].as_array()?;
        Some(Reason {
            rule: text(named(parts, "rule").next()?, "valueCode")?,
            words: Texts::read(parts)?,
            withheld: read_all(parts, "withheld", MOST, |one| text(one, "valueCode"))?,
            left_out: read_all(parts, "left-out", MOST, |one| {
                let parts = one["part"].as_array()?;
                let code = text(named(parts, "detail").next()?, "valueCode")?;
                Some((code, Texts::read(parts)?))
            })?,
        })
    }
}

impl From<Words> for Texts {
    fn from(words: Words) -> Texts {
        Texts {
            nb: words.nb.to_owned(),
            nn: words.nn.to_owned(),
            en: words.en.to_owned(),
        }
    }
}

impl Texts {
    fn parts(&self) -> [Value; 3] {
        [("nb", &self.nb), ("nn", &self.nn), ("en", &self.en)].map(|(language, words)| {
            json!({"name": "text", "part": [
                {"name": "language", "valueCode": language},
                {"name": "value", "valueString": words},
            ]})
        })
    }

    fn read(parts: &[Value]) -> Option<Texts> {
        let of = |language: &str| {
            named(parts, "text").find_map(|one| {
                let parts = one["part"].as_array()?;
                let said = named(parts, "language").next()?["valueCode"].as_str()?;
                let value = named(parts, "value").next()?;
                (said == language).then(|| text(value, "valueString"))?
            })
        };
        Some(Texts {
            nb: of("nb")?,
            nn: of("nn")?,
            en: of("en")?,
        })
    }
}

/// Decisions as one service answers.
pub fn answer(decisions: &[Decision]) -> Value {
    let parts: Vec<Value> = decisions.iter().map(Decision::part).collect();
    json!({"resourceType": "Parameters", "parameter": parts})
}

/// Reads what one service answered; `None` for anything else.
pub fn read(answer: &Value) -> Option<Vec<Decision>> {
    read_all(parameters(answer)?, "decision", MOST, Decision::read)
}

impl Everywhere {
    /// As the gateway answers.
    pub fn to_json(&self) -> Value {
        let holder = |told: &Told| {
            let mut parts = vec![json!({"name": "organization", "valueIdentifier": {
                "system": ORGANISATION_NUMBER_SYSTEM, "value": told.organisation.to_string(),
            }})];
            parts.extend(told.decisions.iter().map(Decision::part));
            json!({"name": "holder", "part": parts})
        };
        let mut parts: Vec<Value> = self.holders.iter().map(holder).collect();
        parts.push(json!({"name": "receipt", "resource": self.receipt}));
        json!({"resourceType": "Parameters", "parameter": parts})
    }

    /// Reads a gateway's answer; `None` for anything else.
    pub fn read(answer: &Value) -> Option<Everywhere> {
        let parts = parameters(answer)?;
        let holder = |part: &Value| {
            let parts = part["part"].as_array()?;
            let who = &named(parts, "organization").next()?["valueIdentifier"];
            Some(Told {
                organisation: OrganisationNumber::parse(who["value"].as_str()?).ok()?,
                decisions: read_all(parts, "decision", MOST, Decision::read)?,
            })
        };
        Some(Everywhere {
            holders: read_all(parts, "holder", MOST, holder)?,
            receipt: named(parts, "receipt").next()?["resource"].clone(),
        })
    }
}

fn parameters(answer: &Value) -> Option<&[Value]> {
    let parts = answer["parameter"].as_array()?;
    (answer["resourceType"] == "Parameters").then_some(parts.as_slice())
}

fn text(part: &Value, value: &str) -> Option<String> {
    let text = part[value].as_str().filter(|text| text.len() <= LONGEST);
    text.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn decision() -> Decision {
        let words = |code| Texts::from(explain::of(code));
        Decision {
            when: "2026-11-30T08:00:00Z".into(),
            outcome: "refused".into(),
            rules: "audience/1 block/5".into(),
            reasons: vec![
                Reason {
                    rule: "block".into(),
                    words: words("blocked"),
                    withheld: vec!["IT17".into()],
                    left_out: vec![("notes".into(), words("detail:notes"))],
                },
                Reason {
                    rule: "agreement".into(),
                    words: words("agreement_missing"),
                    withheld: vec![],
                    left_out: vec![],
                },
            ],
            inputs: vec![("scope".into(), "user/*.rs".into())],
        }
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        let bare = Decision {
            rules: String::new(),
            reasons: vec![],
            inputs: vec![],
            ..decision()
        };
        let all = [decision(), bare];
        assert_eq!(read(&answer(&all)).unwrap(), all);
        let everywhere = Everywhere {
            holders: vec![Told {
                organisation: OrganisationNumber::parse("310001007").unwrap(),
                decisions: all.to_vec(),
            }],
            receipt: json!({"resourceType": "OperationOutcome"}),
        };
        assert_eq!(Everywhere::read(&everywhere.to_json()).unwrap(), everywhere);
    }

    #[test]
    fn what_has_another_shape_is_not_believed() {
        let good = answer(&[decision()]);
        for (place, wrong) in [
            ("/resourceType", json!("Bundle")),
            ("/parameter", json!({})),
            ("/parameter/0/part/0/valueInstant", json!(7)),
            ("/parameter/0/part/1/name", json!("result")),
            ("/parameter/0/part/3/part/0/valueCode", json!(null)),
            ("/parameter/0/part/3/part/1/part/0/valueCode", json!("sv")),
            (
                "/parameter/0/part/3/part/2/part/1/valueString",
                json!("x".repeat(LONGEST + 1)),
            ),
        ] {
            let mut spoilt = good.clone();
            *spoilt.pointer_mut(place).unwrap() = wrong;
            assert_eq!(read(&spoilt), None, "{place}");
        }
        let many = vec![decision(); MOST + 1];
        assert_eq!(read(&answer(&many)), None);
        assert_eq!(read(&answer(&many[1..])).unwrap().len(), MOST);
        assert_eq!(Everywhere::read(&good), None, "there is no receipt");
    }

    #[test]
    fn one_request_is_named_and_nothing_else() {
        let one = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
        let id = "00000000-0000-4000-8000-000000000000";
        assert_eq!(request_named(&one("request", id)).unwrap().to_string(), id);
        assert!(request_named(&one("request", "yesterday")).is_err());
        assert!(request_named(&one("requests", id)).is_err());
        assert!(request_named(&[]).is_err());
        assert!(request_named(&[one("request", id), one("request", id)].concat()).is_err());
    }
}
