//! `POST /test-token` (CONTRACT section 3): in demo mode only, a token for a synthetic person, as HelseID's test-token
//! service gives them. Unknown fields and values are refused; `defect` makes the token wrong in exactly one way.

use super::token::invalid;
use crate::config::{Audience, AudienceKind, Demo, DemoPerson};
use crate::login::AUTHORISATION;
use crate::{State, issue};
use axum::body::Body;
use axum::extract;
use axum::response::{IntoResponse, Response};
use fhir::ids::{HprNumber, OrganisationNumber, PersonIdentifier, PersonNumbers};
use fhir::systems;
use fhir::time::Instant;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use store::Change;
use trust::attest::{
    Attestation, AttestedPatient, Attester, CareRelationship, Code, DecisionRef, Id,
    LIFETIME_SECONDS,
};
use trust::audit::Record;
use trust::encoding::is_sha256_base64url;
use trust::keys::{KeyError, SigningKey};
use trust::scope::Scopes;
use trust::token::{Claims, Confirmation, Kind};
use trust::{ClientUse, Interaction};
use wire::body;
use wire::contract::demo::{
    As, Defect, TEST_CLIENT, TEST_TOKEN_MAX_SECONDS, TestTokenAnswer, TestTokenRequest,
};
use wire::contract::work_list::WORK_LIST_SCOPE;
use wire::oauth_error::{OAuthCode, OAuthError};
use wire::request_id::RequestIds;

/// A request is never longer than this.
const LONGEST: usize = 16 * 1024;
/// A text of a request is never longer than this.
const LONGEST_TEXT: usize = 256;

/// Code systems that test attests use.
const HEALTHCARE_SERVICE: &str = "urn:oid:2.16.578.1.12.4.1.1.8655";
const DECISION_TEMPLATE: &str = "https://terminology.dips.com/decisiontemplate";
/// Details of the purpose when the request gives neither these nor a health service: the one who treats (behandler).
const DEFAULT_DETAILS: &str = "BEHANDLER";

/// The test-token route.
pub(crate) async fn test_token(
    extract::State(state): extract::State<Arc<State>>,
    ids: RequestIds,
    headers: HeaderMap,
    sent: Body,
) -> Response {
    match answer(&state, &ids, &headers, sent).await {
        Ok(answer) => wire::outcome::json_response(StatusCode::OK, &answer),
        Err(error) => error.into_response(),
    }
}

async fn answer(
    state: &State,
    ids: &RequestIds,
    headers: &HeaderMap,
    sent: Body,
) -> Result<TestTokenAnswer, OAuthError> {
    let demo = state
        .config
        .demo
        .as_ref()
        .ok_or_else(|| invalid("not offered"))?;
    if !body::media_type_is(headers, &["application/json"]) {
        return Err(invalid("expected application/json"));
    }
    let bytes = body::limited(headers, sent, LONGEST)
        .await
        .map_err(|fault| invalid(&fault.to_string()))?;
    // Strict first, so that a member that stands twice anywhere is refused; the words name no value that was sent.
    let value = trust::json::parse(&bytes).map_err(|error| invalid(&error.to_string()))?;
    let request: TestTokenRequest = serde_json::from_value(value).map_err(|_| {
        invalid("a field is missing, unknown, or has an unknown value (CONTRACT section 3)")
    })?;
    let now = (state.house.clock)();
    let order = Order::read(state, demo, &request, now)?;
    let claims = order.claims();
    let token = order
        .sign(&claims)
        .map_err(|_| OAuthError::new(OAuthCode::TemporarilyUnavailable, "try again"))?;
    let asked = format!(
        "test-token&resource={}&scope={}",
        order.audience.url, order.scopes
    );
    let mut record = Record::new(now, ids.ours, Interaction::Token, &asked)
        .caller_request_id(ids.callers.clone());
    record.client = Some(TEST_CLIENT.to_owned());
    record.client_use = Some(ClientUse::Test);
    record.organisation = order.organisation;
    record.patient = order.patient.clone();
    let change = Change {
        audit: Some(record),
        ..Change::default()
    };
    state
        .store
        .commit(change)
        .await
        .map_err(|error| issue::unavailable(&error))?;
    Ok(TestTokenAnswer {
        access_token: token.into(),
        token_type: "DPoP".to_owned(),
        expires_in: order.expires_in,
    })
}

/// A request whose every field has been read.
struct Order<'a> {
    state: &'a State,
    request: &'a TestTokenRequest,
    now: Instant,
    person: PersonIdentifier,
    known: Option<&'a DemoPerson>,
    /// A number that is not the person's, for the defect `other_practitioner`.
    other: PersonIdentifier,
    hpr: Option<HprNumber>,
    /// `None`: for the list of the organisation's own patients.
    patient: Option<PersonIdentifier>,
    represents: Option<&'a trust::Representation>,
    organisation: Option<OrganisationNumber>,
    point_of_care: Option<OrganisationNumber>,
    audience: &'a Audience,
    scopes: Scopes,
    expires_in: u32,
}

fn person(field: &str, number: &str) -> Result<PersonIdentifier, OAuthError> {
    let person = PersonIdentifier::guess(number, PersonNumbers::Strict)
        .map_err(|_| invalid(&format!("{field} is not a national identity number")))?;
    // Whoever may be alive is never spoken for by a test token.
    if person.is_synthetic() {
        Ok(person)
    } else {
        Err(invalid(&format!("{field} is not marked synthetic")))
    }
}

fn text(field: &str, value: Option<&String>) -> Result<(), OAuthError> {
    let sound = |text: &String| {
        !text.trim().is_empty() && text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control)
    };
    if value.is_none_or(sound) {
        Ok(())
    } else {
        Err(invalid(&format!(
            "{field} is empty, too long, or holds control characters"
        )))
    }
}

impl<'a> Order<'a> {
    fn read(
        state: &'a State,
        demo: &'a Demo,
        request: &'a TestTokenRequest,
        now: Instant,
    ) -> Result<Order<'a>, OAuthError> {
        for (field, value) in [
            ("reason", &request.reason),
            ("department", &request.department),
            ("healthcare_service", &request.healthcare_service),
            ("purpose_details", &request.purpose_details),
            ("decision_ref", &request.decision_ref),
        ] {
            text(field, value.as_ref())?;
        }
        let who = person("fnr", request.fnr.expose())?;
        let patient = request.patient.as_ref();
        let patient = patient
            .map(|number| person("patient", number.expose()))
            .transpose()?;
        let of_a_list = request.as_ == As::Practitioner && request.scope == WORK_LIST_SCOPE;
        if patient.is_none() && !of_a_list {
            return Err(invalid(
                "patient is missing; without one a practitioner is given a token for her organisation's own list alone, by the scope user/Task.s",
            ));
        }
        let known = demo.people.iter().find(|one| one.number == who);
        let hpr = match (&request.hpr, known.and_then(|one| one.hpr.as_ref())) {
            (Some(given), _) => Some(
                HprNumber::parse(given.expose())
                    .map_err(|_| invalid("hpr is not an HPR number"))?,
            ),
            (None, known) => known.and_then(|number| HprNumber::parse(number).ok()),
        };
        let represents = match request.as_ {
            As::Practitioner => None,
            As::Citizen if patient.as_ref() == Some(&who) => None,
            As::Citizen => {
                let held = patient
                    .as_ref()
                    .and_then(|patient| demo.representation(&who, patient));
                Some(held.ok_or_else(|| {
                    invalid("patient is neither the citizen nor a person the citizen represents")
                })?)
            }
        };
        let (organisation, point_of_care) = organisations(state, request)?;
        let audience = state
            .registry
            .audience(&request.audience)
            .ok_or_else(|| invalid("audience is unknown"))?;
        let scopes = Scopes::parse(&request.scope)
            .ok()
            .filter(|scopes| !scopes.is_empty());
        let scopes = scopes.ok_or_else(|| invalid("scope is not a list of SMART v2 scopes"))?;
        if !is_sha256_base64url(&request.jkt) {
            return Err(invalid("jkt is not the SHA-256 thumbprint of a key"));
        }
        let expires_in = request.expires_in.unwrap_or(TEST_TOKEN_MAX_SECONDS);
        if !(1..=TEST_TOKEN_MAX_SECONDS).contains(&expires_in) {
            return Err(invalid("expires_in is not 1 to 300"));
        }
        if request.as_ == As::Citizen && request.defect.is_some_and(of_the_attest) {
            return Err(invalid(
                "a citizen's token has no attest that could have this defect",
            ));
        }
        let other = demo
            .people
            .iter()
            .map(|one| &one.number)
            .chain(&patient)
            .find(|number| **number != who);
        let other = match (other, request.defect) {
            (None, Some(Defect::OtherPractitioner)) => {
                return Err(invalid("there is no other person for this defect"));
            }
            (other, _) => other.unwrap_or(&who).clone(),
        };
        Ok(Order {
            state,
            request,
            now,
            known,
            other,
            hpr,
            represents,
            organisation,
            point_of_care,
            audience,
            scopes,
            expires_in,
            person: who,
            patient,
        })
    }

    fn is(&self, defect: Defect) -> bool {
        self.request.defect == Some(defect)
    }

    /// The patient that the token is bound to.
    fn bound(&self) -> Option<&PersonIdentifier> {
        self.patient
            .as_ref()
            .filter(|_| !self.is(Defect::NoPatient))
    }

    fn claims(&self) -> Claims {
        let state = self.state;
        let practitioner = self.request.as_ == As::Practitioner;
        let life = i64::from(self.expires_in);
        // Far enough outside the leeway that nobody's clock makes it sound.
        let begins = self.now.seconds()
            + match self.request.defect {
                Some(Defect::Expired) => -life - 300,
                Some(Defect::NotYetValid) => 300,
                _ => 0,
            };
        let agreement = self.organisation.filter(|one| {
            let elsewhere = !state.registry.is_own(one, self.audience);
            practitioner && self.audience.holds_patients() && elsewhere
        });
        Claims {
            iss: self.or_wrong(Defect::WrongIssuer, &state.config.issuer),
            aud: self.or_wrong(Defect::WrongAudience, &self.audience.url),
            // The same person is the same subject, and the subject tells nobody who.
            sub: crate::login::subject(state, &self.person),
            client_id: TEST_CLIENT.to_owned(),
            iat: begins,
            nbf: begins,
            exp: begins + life,
            jti: (state.house.ids)().to_string(),
            scope: self.scopes.to_string(),
            cnf: (!self.is(Defect::NoCnf)).then(|| Confirmation {
                jkt: self.request.jkt.clone(),
            }),
            act: None,
            name: Some(self.name()),
            pid: Some(self.person.value().expose().to_owned()),
            security_level: Some("4".to_owned()),
            hpr_number: self
                .hpr
                .as_ref()
                .filter(|_| practitioner)
                .map(ToString::to_string),
            orgnr_parent: self.organisation,
            attest: (practitioner && !self.is(Defect::NoAttest)).then(|| self.attestation()),
            authorization_details: Vec::new(),
            grant: None,
            patient: self.bound().cloned(),
            patient_id: None,
            agreement: agreement
                .and_then(|consumer| state.registry.agreement(&consumer, self.audience, self.now)),
            delegation: None,
            use_: ClientUse::Test,
            kind: if practitioner {
                Kind::Practitioner
            } else {
                Kind::Citizen
            },
            represents: self.represents.cloned(),
            represented_by: self.represented_by(),
            // Under the issuer's own key: the same at every party, and nobody's number.
            pseudonym: practitioner.then(|| issue::pseudonym(state, &self.person)),
        }
    }

    /// Who acts for a citizen who asks about herself, at the gateway.
    fn represented_by(&self) -> Vec<trust::RepresentedBy> {
        let herself = self.request.as_ == As::Citizen && self.represents.is_none();
        let demo = self.state.config.demo.as_ref();
        let demo = demo.filter(|_| herself && self.audience.kind == AudienceKind::Gateway);
        demo.map(|demo| demo.represented_by(&self.person))
            .unwrap_or_default()
    }

    fn or_wrong(&self, defect: Defect, right: &str) -> String {
        if self.is(defect) {
            "https://wrong.example".to_owned()
        } else {
            right.to_owned()
        }
    }

    fn name(&self) -> String {
        self.known
            .map_or_else(|| "Syntetisk person".to_owned(), |one| one.name.clone())
    }

    fn attestation(&self) -> Attestation {
        let request = self.request;
        let names = &self.state.registry.organisations;
        let organisation = |orgnr: &OrganisationNumber| Id {
            id: orgnr.to_string(),
            name: names.name(orgnr).map(str::to_owned),
            system: systems::ORGNR.to_owned(),
            authority: None,
        };
        let number = |person: &PersonIdentifier, name: Option<String>| Id {
            id: person.value().expose().to_owned(),
            name,
            system: person.system().to_owned(),
            authority: None,
        };
        let code = |code: &str, text: Option<&str>, system: &str| Code {
            code: code.to_owned(),
            text: text.map(str::to_owned),
            system: system.to_owned(),
            assigner: None,
        };
        let neither = request.healthcare_service.is_none() && request.purpose_details.is_none();
        let details = request
            .purpose_details
            .as_deref()
            .or(neither.then_some(DEFAULT_DETAILS));
        let decision = request
            .decision_ref
            .clone()
            .unwrap_or_else(|| (self.state.house.ids)().to_string());
        let attester = if self.is(Defect::OtherPractitioner) {
            &self.other
        } else {
            &self.person
        };
        Attestation {
            toa: self.now.seconds()
                - if self.is(Defect::StaleAttest) {
                    LIFETIME_SECONDS + 60
                } else {
                    0
                },
            practitioner: Attester {
                identifier: number(attester, Some(self.name())),
                hpr_nr: self.hpr.as_ref().map(|hpr| Id {
                    id: hpr.to_string(),
                    name: None,
                    system: systems::HPR.to_owned(),
                    authority: None,
                }),
                authorization: self
                    .known
                    .and_then(|one| one.authorization.as_ref())
                    .map(|(code_, text)| code(code_, Some(text), AUTHORISATION)),
                legal_entity: self.organisation.as_ref().map(organisation),
                point_of_care: self.point_of_care.as_ref().map(organisation),
                department: request
                    .department
                    .as_deref()
                    .map(|unit| self.department(unit)),
            },
            care_relationship: CareRelationship {
                healthcare_service: request
                    .healthcare_service
                    .as_deref()
                    .map(|one| code(one, None, HEALTHCARE_SERVICE)),
                purpose_of_use: (!self.is(Defect::NoPurpose))
                    .then(|| code(request.purpose.as_str(), None, systems::PURPOSE_OF_USE)),
                purpose_of_use_details: details.map(|one| code(one, None, DECISION_TEMPLATE)),
                decision_ref: (!self.is(Defect::NoDecisionRef)).then(|| DecisionRef {
                    id: decision,
                    description: Some(
                        details
                            .or(request.healthcare_service.as_deref())
                            .unwrap_or_default()
                            .to_owned(),
                    ),
                    user_selected: true,
                }),
                reason: request.reason.clone(),
            },
            patients: self
                .bound()
                .map(|patient| AttestedPatient {
                    identifier: number(patient, None),
                    point_of_care: None,
                    department: None,
                })
                .into_iter()
                .collect(),
        }
    }

    /// An organisation number or a RESH id.
    fn department(&self, unit: &str) -> Id {
        let system = if OrganisationNumber::parse(unit).is_ok() {
            systems::ORGNR
        } else {
            systems::RESH
        };
        let name = self
            .state
            .registry
            .organisations
            .name_of(system, unit)
            .map(str::to_owned);
        Id {
            id: unit.to_owned(),
            name,
            system: system.to_owned(),
            authority: None,
        }
    }

    fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let key = &self.state.key();
        match self.request.defect {
            Some(Defect::WrongTyp) => trust::token::issue_as("JWT", claims, key),
            Some(Defect::WrongSignature) => trust::token::issue(claims, &impostor(key)?),
            _ => trust::token::issue(claims, key),
        }
    }
}

/// The defects that only an attest can have.
fn of_the_attest(defect: Defect) -> bool {
    matches!(
        defect,
        Defect::NoAttest
            | Defect::StaleAttest
            | Defect::OtherPractitioner
            | Defect::NoPurpose
            | Defect::NoDecisionRef
    )
}

/// The practitioner's legal entity (main unit) and point of care; both must take part.
fn organisations(
    state: &State,
    request: &TestTokenRequest,
) -> Result<(Option<OrganisationNumber>, Option<OrganisationNumber>), OAuthError> {
    let read = |field: &str, number: &str| {
        let orgnr = OrganisationNumber::parse(number)
            .map_err(|_| invalid(&format!("{field} is not an organisation number")))?;
        let controller = state.registry.controller(&orgnr);
        controller
            .filter(|main| !state.registry.is_suspended(main))
            .map(|main| (main, orgnr))
            .ok_or_else(|| invalid(&format!("{field} is no participant")))
    };
    let given = request
        .orgnr
        .as_deref()
        .map(|number| read("orgnr", number))
        .transpose()?;
    let point_of_care = request
        .point_of_care
        .as_deref()
        .map(|number| read("point_of_care", number))
        .transpose()?;
    match (request.as_, given) {
        (As::Practitioner, None) => Err(invalid("orgnr is missing")),
        (As::Practitioner, Some((main, orgnr))) => Ok((
            Some(main),
            Some(point_of_care.map_or(orgnr, |(_, unit)| unit)),
        )),
        (As::Citizen, _) => Ok((None, None)),
    }
}

/// Another key that calls itself ours.
fn impostor(key: &SigningKey) -> Result<SigningKey, KeyError> {
    SigningKey::generate()?.named(key.kid())
}
