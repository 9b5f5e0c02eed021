//! Somebody who signed in for the list of her organisation's own patients (decision 0053): who she is, where the list is, and her tokens,
//! which name no patient. A patient of the list is opened by a further request to the anchor, in which that patient is named.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use trust::attest::Attestation;
use trust::id_token::IdToken;

use super::{Opened, Tokens, citizen};
use crate::session::{Chosen, Key};

/// Health personnel with the list of the organisation's own patients.
pub struct Working {
    /// Her name; empty where the anchor does not know it.
    pub name: String,
    /// Organisation number of her legal entity.
    pub organisation: String,
    /// Base of the organisation's own sharing service.
    pub service: String,
    /// Her tokens for the list, and for nothing else.
    pub tokens: Arc<Tokens>,
    /// Who she is at the anchor.
    subject: String,
    /// Id of her newest sign-in there, to be ended with the session.
    sid: Mutex<Option<String>>,
}

/// A patient of a list on her way to being opened.
pub struct Row {
    /// The session whose list it is.
    pub session: Key,
    /// Who works in it.
    pub working: Arc<Working>,
    /// The patient's address in that session.
    pub id: String,
    /// The patient.
    pub patient: Chosen,
    /// Where it leads.
    pub on: String,
}

fn subject(token: &IdToken) -> Option<&str> {
    token.claims.get("sub").and_then(Value::as_str)
}

impl Working {
    /// Reads what the anchor granted. `None` when it names a patient, or not who it is.
    pub fn of(
        attest: &Attestation,
        token: &IdToken,
        service: String,
        tokens: Arc<Tokens>,
    ) -> Option<Working> {
        let practitioner = &attest.practitioner;
        if !attest.patients.is_empty() {
            return None;
        }
        Some(Working {
            name: practitioner.identifier.name.clone().unwrap_or_default(),
            organisation: practitioner.legal_entity.as_ref()?.id.clone(),
            service,
            tokens,
            subject: subject(token)?.to_owned(),
            sid: Mutex::new(citizen::sid(token)),
        })
    }

    /// The sign-in that ends with the session.
    pub fn sid(&self) -> Option<String> {
        let sid = self.sid.lock().unwrap_or_else(PoisonError::into_inner);
        sid.clone()
    }
}

impl Row {
    /// Whether what was granted is this patient, to the one whose list it is.
    pub fn is(&self, opened: &Opened, token: &IdToken) -> bool {
        subject(token) == Some(&self.working.subject)
            && opened.organisation == self.working.organisation
            && opened.number == self.patient.number
    }

    /// The opened patient as the session shows her; the sign-in that she was opened by is the one to be ended.
    pub fn opened(&self, opened: Opened) -> Opened {
        let mut sid = self
            .working
            .sid
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if opened.sid.is_some() {
            sid.clone_from(&opened.sid);
        }
        Opened {
            patient: self.patient.name.clone(),
            service: Some(self.working.service.clone()),
            ..opened
        }
    }
}
