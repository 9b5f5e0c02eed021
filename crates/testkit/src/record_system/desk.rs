//! A user's desk at a record system: it opens an app for one of its own people and one patient (SMART App Launch 2.2, "EHR launch"), as
//! `docs/guide/launch.md` tells a supplier to.

use fhir::systems;
use serde_json::{Value, json};
use trust::attest::CLAIM;
use trust::keys::SigningKey;
use wire::client::{Party, PeerError};
use wire::contract::demo::{DemoPatient, DemoPractitioner, Purpose};
use wire::contract::launch::{LAUNCH, Launch, OPEN};

/// Code system of the grounds.
const DECISION_TEMPLATE: &str = "https://terminology.dips.com/decisiontemplate";

/// Why a practitioner needs a patient's data now.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Which of the record system's people.
    pub practitioner: &'a DemoPractitioner,
    /// Whose data.
    pub patient: &'a DemoPatient,
    /// What for.
    pub purpose: Purpose,
    /// Grounds, of the decision templates: `BEHANDLER`, `VURDHENV`.
    pub grounds: &'a str,
    /// The record system's own reference of the decision.
    pub decision: &'a str,
}

impl Need<'_> {
    /// As the attest that the record system states, in the name of `orgnr`.
    pub fn attest(&self, orgnr: &str) -> Value {
        let place = json!({"id": orgnr, "system": systems::ORGNR});
        json!({
            "type": CLAIM,
            "practitioner": {
                "identifier": {"id": self.practitioner.fnr.expose(), "system": systems::FNR},
                "legal_entity": place,
                "point_of_care": place,
            },
            "care_relationship": {
                "purpose_of_use": {"code": self.purpose.as_str(), "system": systems::PURPOSE_OF_USE},
                "purpose_of_use_details": {"code": self.grounds, "system": DECISION_TEMPLATE},
                "decision_ref": {"id": self.decision, "user_selected": true},
            },
            "patients": [{"identifier": {
                "id": self.patient.fnr.expose(), "system": systems::FNR, "name": self.patient.name.expose(),
            }}],
        })
    }
}

/// A record system's client with the key that its deposits are proved by.
#[derive(Debug)]
pub struct Desk {
    /// The record system.
    pub party: Party,
    key: SigningKey,
}

impl Desk {
    /// A desk at this record system.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn of(party: Party) -> Result<Desk, trust::keys::KeyError> {
        Ok(Desk {
            party,
            key: SigningKey::generate()?,
        })
    }

    /// Deposits what `app` is opened for; gives the handle.
    ///
    /// # Errors
    /// [`PeerError::Token`] with the anchor's word when it is refused.
    pub async fn deposit(&self, app: &str, attest: &Value) -> Result<Launch, PeerError> {
        let endpoint = format!("{}{LAUNCH}", self.party.issuer());
        let details = json!([attest]).to_string();
        let form = [("app", app), ("authorization_details", &details)];
        self.party.post_as_client(&endpoint, &form, &self.key).await
    }

    /// The address that opens the portal at `base` with a handle; `iss` is the FHIR server that the portal looks up at.
    pub fn address(base: &str, iss: &str, launch: &Launch) -> String {
        let query = wire::form::write([("iss", iss), ("launch", launch.launch.expose())]);
        format!("{base}{OPEN}?{query}")
    }
}
