//! What a launch opened: whose data, for whom, why, as the anchor attested it, and the tokens for it. The page shows these and looks up
//! with these; nothing of it comes from the browser.

use std::sync::Arc;

use trust::attest::Attestation;
use wire::contract::Hidden;

use super::Tokens;

/// One patient opened by one practitioner for one need.
pub struct Opened {
    /// Address of its page: a random word of the session's.
    pub view: String,
    /// The practitioner's name; empty where the anchor does not know it.
    pub name: String,
    /// Organisation number of the practitioner's legal entity.
    pub organisation: String,
    /// The patient's number.
    pub number: Hidden,
    /// The patient's name, where the record system gave it.
    pub patient: Option<String>,
    /// Code of the purpose, such as `TREAT`.
    pub purpose: String,
    /// Finer grounds in words, or their code.
    pub grounds: Option<String>,
    /// Reference of the decision that the look-up rests on.
    pub decision: String,
    /// The reason in somebody's own words.
    pub reason: Option<String>,
    /// Whether a record system opened it.
    pub by_record_system: bool,
    /// Organisation numbers chosen besides.
    pub organisations: Vec<String>,
    /// The organisation's own sharing service, where steps of her alerts may be taken: for a patient of the list.
    pub service: Option<String>,
    /// Its tokens.
    pub tokens: Arc<Tokens>,
    /// Id of the sign-in at the anchor, to be ended with the session; none where a record system's own sign-in was used.
    pub sid: Option<String>,
}

impl Opened {
    /// Reads what the anchor granted. `None` when it is not about exactly one patient, for a purpose and a decision.
    pub fn of(
        view: String,
        attest: &Attestation,
        tokens: Arc<Tokens>,
        sid: Option<String>,
        by_record_system: bool,
        organisations: Vec<String>,
    ) -> Option<Opened> {
        let care = &attest.care_relationship;
        let words = |code: &trust::attest::Code| code.text.clone().unwrap_or(code.code.clone());
        let grounds = care.purpose_of_use_details.as_ref();
        Some(Opened {
            view,
            name: attest
                .practitioner
                .identifier
                .name
                .clone()
                .unwrap_or_default(),
            organisation: attest.practitioner.legal_entity.as_ref()?.id.clone(),
            number: attest.only_patient()?.value().expose().into(),
            patient: attest.patients.first()?.identifier.name.clone(),
            purpose: attest.purpose()?.code().to_owned(),
            grounds: grounds.or(care.healthcare_service.as_ref()).map(words),
            decision: care.decision_ref.as_ref()?.id.clone(),
            reason: care.reason.clone(),
            by_record_system,
            organisations,
            service: None,
            tokens,
            sid,
        })
    }
}
