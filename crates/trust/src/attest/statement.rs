//! What a client states about the need, before the issuer has completed it: the object of type
//! `nhn:tillitsrammeverk:parameters` in `authorization_details` (RFC 9396; flow 1, by PAR) or in a client assertion's
//! `assertion_details` (flow 2). The practitioner's identity and HPR number come from the login; a client that names them
//! too must name the same.

use super::{
    AttestedPatient, Attester, CLAIM, CareRelationship, Code, Id, LIFETIME_SECONDS, Purpose,
};
use crate::LEEWAY_SECONDS;
use fhir::ids::{PersonIdentifier, PersonNumbers};
use fhir::systems;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A text of a statement is never longer than this, in bytes.
const LONGEST_TEXT: usize = 256;

/// Why a statement was not taken. Holds no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Another `type`, or none.
    #[error("authorization details of a type that is not offered")]
    Type,
    /// Two statements.
    #[error("more than one attest")]
    Twice,
    /// A member is missing, unknown, or of the wrong type or length.
    #[error("the attest has a member that is missing, unknown, or of the wrong type or length")]
    Shape,
    /// `toa` is more than 60 minutes ago (ATT-58).
    #[error("attestation_has_expired: the attest is older than 60 minutes")]
    Expired,
    /// `toa` is in the future.
    #[error("attestation_not_yet_valid: the attest is from the future")]
    Future,
    /// No purpose, or none of the four.
    #[error("purpose_missing: the attest states no purpose of use that opens data")]
    Purpose,
    /// More than one patient; a token is bound to one.
    #[error("the attest names more than one patient; make one for each")]
    Patients,
    /// A patient that is not named by a well-formed FNR, DNR or FHN.
    #[error("the attest's patient is not named by a national identity number")]
    Patient,
    /// Another practitioner than the one who is logged in (ATT-11).
    #[error("attestation_practitioner: the attest is made by another practitioner")]
    Practitioner,
}

/// The practitioner as the client states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedPractitioner {
    /// FNR or DNR; normally left to the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Id>,
    /// HPR number; normally left to the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hpr_nr: Option<Id>,
    /// Authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Code>,
    /// Main unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_entity: Option<Id>,
    /// Where care is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_care: Option<Id>,
    /// Department.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<Id>,
}

/// A client's statement of need. Debug shows no number and no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Time of attestation, Unix seconds; set to the time of reading where the client left it out.
    #[serde(default)]
    pub toa: i64,
    /// Who attests.
    pub practitioner: StatedPractitioner,
    /// Why.
    pub care_relationship: CareRelationship,
    /// About whom; at most one.
    #[serde(default)]
    pub patients: Vec<AttestedPatient>,
}

impl Statement {
    /// Reads a list of details: nothing in it, or exactly one attest, strictly. `now` is Unix seconds.
    pub fn of(details: &[Value], now: i64) -> Result<Option<Statement>, StatementError> {
        match details {
            [] => Ok(None),
            [one] => Statement::read(one, now).map(Some),
            [first, ..] if first["type"] == CLAIM => Err(StatementError::Twice),
            _ => Err(StatementError::Type),
        }
    }

    fn read(detail: &Value, now: i64) -> Result<Statement, StatementError> {
        let mut members = detail.as_object().ok_or(StatementError::Shape)?.clone();
        if members.remove("type") != Some(CLAIM.into()) {
            return Err(StatementError::Type);
        }
        if let Some(relation) = members.remove("care_relation")
            && members
                .insert("care_relationship".to_owned(), relation)
                .is_some()
        {
            return Err(StatementError::Shape);
        }
        let sent = Value::Object(members);
        let mut read: Statement =
            serde_json::from_value(sent.clone()).map_err(|_| StatementError::Shape)?;
        // What is not understood, at any depth, is refused: nobody attests what nobody read.
        let understood = serde_json::to_value(&read).map_err(|_| StatementError::Shape)?;
        if !within(&sent, &understood) {
            return Err(StatementError::Shape);
        }
        if sent.get("toa").is_none() {
            read.toa = now;
        }
        read.check(now).map(|()| read)
    }

    fn check(&self, now: i64) -> Result<(), StatementError> {
        if self.toa.saturating_add(LIFETIME_SECONDS) < now {
            return Err(StatementError::Expired);
        }
        if self.toa > now.saturating_add(LEEWAY_SECONDS) {
            return Err(StatementError::Future);
        }
        let purpose = self.care_relationship.purpose_of_use.as_ref();
        if purpose
            .and_then(|code| Purpose::parse(&code.code))
            .is_none()
        {
            return Err(StatementError::Purpose);
        }
        match self.patients.as_slice() {
            [] => Ok(()),
            [only] => {
                let Id { id, system, .. } = &only.identifier;
                PersonIdentifier::parse(system, id, PersonNumbers::Strict)
                    .map(|_| ())
                    .map_err(|_| StatementError::Patient)
            }
            _ => Err(StatementError::Patients),
        }
    }

    /// The attest, completed from the login: `identifier`, `hpr_nr` and `authorization` as the issuer knows them;
    /// `legal_entity` is the client's organisation, used where the client names none. Whose organisation the others are is
    /// the issuer's to check.
    ///
    /// # Errors
    /// [`StatementError::Practitioner`] when the client named another person, HPR number or authorisation.
    pub fn complete(
        self,
        identifier: Id,
        hpr_nr: Option<Id>,
        authorization: Option<Code>,
        legal_entity: Id,
    ) -> Result<super::Attestation, StatementError> {
        let stated = self.practitioner;
        let same = |stated: &Option<Id>, known: Option<&Id>| {
            stated.as_ref().is_none_or(|stated| {
                known.is_some_and(|known| {
                    systems::canonical(&stated.system) == systems::canonical(&known.system)
                        && stated.id == known.id
                })
            })
        };
        let same_code = match (&stated.authorization, &authorization) {
            (Some(stated), Some(known)) => stated.code == known.code,
            _ => true,
        };
        if !same(&stated.identifier, Some(&identifier))
            || !same(&stated.hpr_nr, hpr_nr.as_ref())
            || !same_code
        {
            return Err(StatementError::Practitioner);
        }
        Ok(super::Attestation {
            toa: self.toa,
            practitioner: Attester {
                identifier,
                hpr_nr,
                authorization: authorization.or(stated.authorization),
                legal_entity: Some(stated.legal_entity.unwrap_or(legal_entity)),
                point_of_care: stated.point_of_care,
                department: stated.department,
            },
            care_relationship: self.care_relationship,
            patients: self.patients,
        })
    }
}

/// Whether everything that was sent was understood, and every text is a sound one.
fn within(sent: &Value, read: &Value) -> bool {
    match (sent, read) {
        (Value::Object(sent), Value::Object(read)) => sent
            .iter()
            .all(|(name, value)| read.get(name).is_some_and(|known| within(value, known))),
        (Value::Array(sent), Value::Array(read)) => {
            sent.len() == read.len() && sent.iter().zip(read).all(|(one, other)| within(one, other))
        }
        (Value::String(text), _) => sent == read && sound(text),
        _ => sent == read,
    }
}

fn sound(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failing unwrap is a failing test
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn detail() -> Value {
        json!({
            "type": CLAIM,
            "practitioner": {
                "legal_entity": {"id": "310001074", "system": systems::ORGNR},
                "point_of_care": {"id": "310001074", "system": systems::ORGNR, "name": "Sengepost"},
            },
            "care_relationship": {
                "purpose_of_use": {"code": "TREAT", "system": systems::PURPOSE_OF_USE},
                "purpose_of_use_details": {"code": "BEHANDLER", "system": "https://terminology.dips.com/decisiontemplate"},
                "decision_ref": {"id": "d-1", "user_selected": true},
            },
            "patients": [{"identifier": {"id": "14835210260", "system": systems::FNR}}],
        })
    }

    fn id(id: &str, system: &str) -> Id {
        Id {
            id: id.into(),
            name: None,
            system: system.into(),
            authority: None,
        }
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<Option<Statement>, StatementError> {
        let mut detail = detail();
        change(&mut detail);
        Statement::of(&[detail], NOW)
    }

    #[test]
    fn the_time_of_attestation_is_now_unless_stated() {
        assert_eq!(read(|_| {}).unwrap().unwrap().toa, NOW);
        assert_eq!(
            read(|d| d["toa"] = (NOW - 3600).into())
                .unwrap()
                .unwrap()
                .toa,
            NOW - 3600
        );
        assert_eq!(
            read(|d| d["toa"] = (NOW - 3601).into()),
            Err(StatementError::Expired)
        );
        assert!(read(|d| d["toa"] = (NOW + 10).into()).is_ok());
        assert_eq!(
            read(|d| d["toa"] = (NOW + 11).into()),
            Err(StatementError::Future)
        );
        assert_eq!(
            read(|d| d["toa"] = NOW.to_string().into()),
            Err(StatementError::Shape)
        );
        assert_eq!(read(|d| d["toa"] = Value::Null), Err(StatementError::Shape));
    }

    #[test]
    fn both_names_of_the_relation_but_not_both_at_once() {
        let older = |d: &mut Value| {
            let members = d.as_object_mut().unwrap();
            let relation = members.remove("care_relationship").unwrap();
            members.insert("care_relation".into(), relation);
        };
        assert_eq!(read(older), read(|_| {}));
        assert_eq!(
            read(|d| d["care_relation"] = d["care_relationship"].clone()),
            Err(StatementError::Shape)
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_at_any_depth() {
        type Change = fn(&mut Value);
        let cases: [(Change, StatementError); 16] = [
            (|d| d["type"] = "other".into(), StatementError::Type),
            (|d| d["more"] = 1.into(), StatementError::Shape),
            (
                |d| d["practitioner"]["role"] = "x".into(),
                StatementError::Shape,
            ),
            (
                |d| d["practitioner"]["point_of_care"]["x"] = 1.into(),
                StatementError::Shape,
            ),
            (
                |d| d["practitioner"]["department"] = Value::Null,
                StatementError::Shape,
            ),
            (|d| d["practitioner"] = "me".into(), StatementError::Shape),
            (|d| d["patients"] = json!({}), StatementError::Shape),
            (
                |d| d["patients"][0]["identifier"]["id"] = 1.into(),
                StatementError::Shape,
            ),
            (
                |d| d["patients"][0]["identifier"]["id"] = "14835210261".into(),
                StatementError::Patient,
            ),
            (
                |d| d["patients"] = json!([d["patients"][0], d["patients"][0]]),
                StatementError::Patients,
            ),
            (
                |d| d["care_relationship"]["purpose_of_use"]["code"] = "HMARKT".into(),
                StatementError::Purpose,
            ),
            (
                |d| d["patients"][0]["name"] = "x".into(),
                StatementError::Shape,
            ),
            (
                |d| {
                    d["patients"][0]["department"] =
                        json!({"id": "4001234", "system": systems::RESH, "name": "a\nb"});
                },
                StatementError::Shape,
            ),
            (
                |d| d["care_relationship"]["decision_ref"]["id"] = "a\nb".into(),
                StatementError::Shape,
            ),
            (
                |d| d["care_relationship"]["reason"] = "  ".into(),
                StatementError::Shape,
            ),
            (
                |d| d["care_relationship"]["reason"] = "x".repeat(257).into(),
                StatementError::Shape,
            ),
        ];
        for (i, (change, expected)) in cases.into_iter().enumerate() {
            assert_eq!(read(change), Err(expected), "{i}");
        }
        let longest = "x".repeat(LONGEST_TEXT);
        assert!(read(|d| d["care_relationship"]["reason"] = longest.into()).is_ok());
        assert_eq!(Statement::of(&[], NOW), Ok(None));
        assert_eq!(
            Statement::of(&[detail(), detail()], NOW),
            Err(StatementError::Twice)
        );
        assert_eq!(
            Statement::of(&[json!({"type": "other"}), detail()], NOW),
            Err(StatementError::Type)
        );
        assert_eq!(
            Statement::of(&[json!("x")], NOW),
            Err(StatementError::Shape)
        );
    }

    #[test]
    fn a_statement_about_nobody_is_read_and_opens_nobodys_data() {
        let read = read(|d| d["patients"] = json!([])).unwrap().unwrap();
        assert!(read.patients.is_empty());
    }

    #[test]
    fn an_authorisation_that_is_stated_is_the_logins() {
        let code = |code: &str| Code {
            code: code.into(),
            text: None,
            system: "urn:oid:2.16.578.1.12.4.1.1.9060".into(),
            assigner: None,
        };
        for (stated, fits) in [("LE", true), ("SP", false)] {
            let read = read(|d| {
                d["practitioner"]["authorization"] =
                    json!({"code": stated, "system": "urn:oid:2.16.578.1.12.4.1.1.9060"});
            });
            let attest = read.unwrap().unwrap().complete(
                id("13888410009", systems::FNR),
                None,
                Some(code("LE")),
                id("310001007", systems::ORGNR),
            );
            assert_eq!(attest.is_ok(), fits, "{stated}");
        }
    }

    #[test]
    fn a_client_gives_nobody_a_number() {
        let number = json!({"id": "9144900", "system": systems::HPR});
        let stated = read(|d| d["practitioner"]["hpr_nr"] = number).unwrap();
        let attest = stated.unwrap().complete(
            id("13888410009", systems::FNR),
            None,
            None,
            id("310001007", systems::ORGNR),
        );
        assert_eq!(attest.err(), Some(StatementError::Practitioner));
    }

    #[test]
    fn the_login_says_who_attests() {
        let complete = |stated: Statement| {
            stated.complete(
                id("13888410009", systems::FNR),
                Some(id("9144900", systems::HPR)),
                None,
                id("310001007", systems::ORGNR),
            )
        };
        let attest = complete(read(|_| {}).unwrap().unwrap()).unwrap();
        assert_eq!(attest.practitioner.identifier.id, "13888410009");
        assert_eq!(attest.practitioner.hpr_nr.unwrap().id, "9144900");
        assert_eq!(attest.practitioner.legal_entity.unwrap().id, "310001074");
        for (member, number, system, fits) in [
            ("identifier", "13888410009", systems::FNR, true),
            ("identifier", "14835210260", systems::FNR, false),
            ("hpr_nr", "9144900", systems::HPR, true),
            ("hpr_nr", "9144901", systems::HPR, false),
            ("hpr_nr", "9144900", systems::FNR, false),
        ] {
            let stated =
                read(|d| d["practitioner"][member] = json!({"id": number, "system": system}));
            let attest = complete(stated.unwrap().unwrap());
            assert_eq!(attest.is_ok(), fits, "{member} {number}");
        }
    }
}
