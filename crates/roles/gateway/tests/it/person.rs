//! Who asks: a practitioner or a citizen with a token for the gateway and a key of their own.

use crate::world::{PATIENT, World};
use fhir::systems;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use trust::dpop;
use trust::keys::SigningKey;
use trust::token::Claims;
use wire::client::Request;

pub const PHYSICIAN: &str = "13888410278";

#[derive(Clone)]
pub struct Person<'a> {
    world: &'a World,
    key: SigningKey,
    pub claims: Claims,
}

/// What came back.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Reply {
    fn entries(&self, mode: &str) -> Vec<&Value> {
        let all = self.json["entry"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        all.iter()
            .filter(|entry| entry["search"]["mode"] == mode)
            .collect()
    }

    pub fn matches(&self) -> Vec<&Value> {
        self.entries("match")
    }

    /// The ids of the matches, in order.
    pub fn ids(&self) -> Vec<&str> {
        self.matches()
            .iter()
            .map(|entry| entry["resource"]["id"].as_str().unwrap())
            .collect()
    }

    /// The completeness receipt: in a searchset, or the answer itself.
    pub fn receipt(&self) -> &Value {
        match self.json["resourceType"].as_str().unwrap() {
            "OperationOutcome" => &self.json,
            "Parameters" => {
                let last = self.json["parameter"].as_array().unwrap().last().unwrap();
                assert_eq!(last["name"], "receipt");
                &last["resource"]
            }
            _ => {
                // What was withdrawn has an address; the receipt is about the answer.
                let mut outcomes = self.entries("outcome");
                outcomes.retain(|entry| entry.get("fullUrl").is_none());
                assert_eq!(outcomes.len(), 1);
                &outcomes[0]["resource"]
            }
        }
    }

    pub fn link(&self, relation: &str) -> Option<&str> {
        let links = self.json["link"].as_array()?;
        links.iter().find(|link| link["relation"] == relation)?["url"].as_str()
    }
}

impl<'a> Person<'a> {
    /// Health personnel of an organisation, about the patient.
    pub fn practitioner(world: &'a World, orgnr: &str) -> Person<'a> {
        let now = world.now().seconds();
        let id = |system: &str, value: &str| json!({"id": value, "system": system});
        Person::new(
            world,
            json!({
                "scope": "user/*.rs", "name": "Lege Syntetisk", "helseid://claims/identity/pid": PHYSICIAN,
                "helseid://claims/identity/security_level": "4", "helseid://claims/hpr/hpr_number": "9144900",
                "helseid://claims/client/claims/orgnr_parent": orgnr, "https://delt.example/claims/kind": "practitioner",
                "nhn:tillitsrammeverk:parameters": {
                    "toa": now - 60,
                    "practitioner": {
                        "identifier": id(systems::FNR, PHYSICIAN), "hpr_nr": id(systems::HPR, "9144900"),
                        "authorization": {"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
                        "legal_entity": id(systems::ORGNR, orgnr), "point_of_care": id(systems::ORGNR, orgnr),
                    },
                    "care_relationship": {
                        "purpose_of_use": {"code": "TREAT", "system": systems::PURPOSE_OF_USE},
                        "purpose_of_use_details": {"code": "VURDHENV", "system": "https://terminology.dips.com/decisiontemplate"},
                        "decision_ref": {"id": "decision-1", "description": "Vurdering av henvisning", "user_selected": true},
                    },
                    "patients": [{"identifier": id(systems::FNR, PATIENT)}],
                },
            }),
        )
    }

    /// The patient herself.
    pub fn citizen(world: &'a World) -> Person<'a> {
        Person::new(
            world,
            json!({
                "scope": "patient/*.rs", "name": "Ragnhild Testmo", "helseid://claims/identity/pid": PATIENT,
                "helseid://claims/identity/security_level": "4", "https://delt.example/claims/kind": "citizen",
            }),
        )
    }

    fn new(world: &'a World, more: Value) -> Person<'a> {
        let key = SigningKey::generate().unwrap();
        let now = world.now().seconds();
        let mut claims = json!({
            "iss": world.anchor.issuer, "aud": world.fhir(), "sub": "user-1", "client_id": "delt-test",
            "iat": now, "nbf": now, "exp": now + 300, "jti": uuid::Uuid::new_v4(),
            "cnf": {"jkt": key.thumbprint()}, "https://delt.example/claims/use": "test",
            "https://delt.example/claims/patient": {"system": systems::FNR, "value": PATIENT},
        });
        claims
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Person {
            world,
            key,
            claims: serde_json::from_value(claims).unwrap(),
        }
    }

    /// The same about somebody else.
    pub fn about(mut self, patient: &str) -> Person<'a> {
        let text = serde_json::to_string(&self.claims).unwrap();
        self.claims = serde_json::from_str(&text.replace(PATIENT, patient)).unwrap();
        self
    }

    /// Searches for the patient, with these parameters besides.
    pub async fn search(&self, type_name: &str, more: &[(&str, &str)]) -> Reply {
        let person = format!("{}|{PATIENT}", systems::FNR);
        let name = if type_name == "Patient" {
            "identifier"
        } else {
            "patient.identifier"
        };
        let form: Vec<(&str, &str)> = [(name, person.as_str())]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        self.send(self.question(type_name, &form)).await
    }

    /// Sends exactly this form.
    pub fn question(&self, type_name: &str, form: &[(&str, &str)]) -> Request {
        Request::post_form(
            format!("{}/{type_name}/_search", self.world.fhir()),
            form.iter().copied(),
        )
    }

    /// POSTs a form to a path below the gateway's base.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let url = format!("{}/{path}", self.world.fhir());
        self.send(Request::post_form(url, form.iter().copied()))
            .await
    }

    pub async fn get(&self, url: &str) -> Reply {
        self.send(Request::get(url)).await
    }

    pub fn prove(&self, request: &Request) -> (String, String) {
        self.prove_with(request, self.world.anchor.sign(&self.claims))
    }

    pub fn prove_with(&self, request: &Request, token: String) -> (String, String) {
        let (ath, jti) = (dpop::ath(&token), uuid::Uuid::new_v4().to_string());
        let now = self.world.now().seconds();
        let proof = dpop::prove(
            &self.key,
            request.method.as_str(),
            &request.url,
            Some(&ath),
            now,
            &jti,
        )
        .unwrap();
        (token, proof)
    }

    pub async fn send(&self, request: Request) -> Reply {
        let credentials = self.prove(&request);
        self.send_with(request, &credentials).await
    }

    pub async fn send_with(&self, request: Request, (token, proof): &(String, String)) -> Reply {
        let request = request
            .header(
                AUTHORIZATION,
                HeaderValue::try_from(format!("DPoP {token}")).unwrap(),
            )
            .header(
                HeaderName::from_static("dpop"),
                HeaderValue::try_from(proof).unwrap(),
            )
            .deadline(std::time::Duration::from_secs(120));
        let answer = self.world.house.http.send(&request).await.unwrap();
        let json = serde_json::from_slice(&answer.body).unwrap_or_default();
        Reply {
            status: answer.status,
            headers: answer.headers,
            json,
        }
    }
}
