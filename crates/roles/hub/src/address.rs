//! Whose reading is it? (CONTRACT section 5, "Owner of a reading")
//!
//! The sender's registration names one organisation. What the reading itself says, the first of `performer[organization]`,
//! a Bundle tag with an organisation number, must agree with it; otherwise the entry is quarantined with the reason.
//! So must whoever lends the device out (`assignment`).

use crate::State;
use fhir::ids::OrganisationNumber;
use fhir::json::Node;
use fhir::resource::InformationService;
use fhir::systems;

/// Why no owner was found; safe to show to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unaddressed {
    /// The sender's client is not registered for an organisation that this hub delivers this kind of information to.
    #[error(
        "the sender is not registered for an organisation that this hub delivers this kind of information to"
    )]
    NoRegistration,
    /// The reading names an organisation that nobody here knows.
    #[error("the organisation named is not known here")]
    Unknown,
    /// The reading names an organisation outside the sender's registration.
    #[error("the organisation named is not one that the sender is registered to send for")]
    Foreign,
}

/// The organisation responsible for what was sent, and that it has somewhere to go. `named` is what it says itself: system and value
/// of an organisation's identifier.
pub fn owner(
    state: &State,
    sender: Option<OrganisationNumber>,
    named: Option<(String, String)>,
    kind: InformationService,
) -> Result<OrganisationNumber, Unaddressed> {
    let register = &state.config.register;
    let registered = sender
        .and_then(|orgnr| register.controller(&orgnr))
        .ok_or(Unaddressed::NoRegistration)?;
    if let Some((system, value)) = named {
        let controller = register
            .controller_of(&system, &value)
            .ok_or(Unaddressed::Unknown)?;
        if controller != registered {
            return Err(Unaddressed::Foreign);
        }
    }
    // Whoever takes nothing of this kind would be sent nothing: an acknowledgement would be a loss.
    let served = state.destinations_of(registered, kind).next().is_some();
    if served {
        Ok(registered)
    } else {
        Err(Unaddressed::NoRegistration)
    }
}

/// An organisation number among a Bundle's tags.
pub fn tagged(bundle: Node<'_>) -> Option<String> {
    let tags = bundle.path(&["meta", "tag"])?;
    tags.items().find_map(|tag| {
        let ours = tag
            .text("system")
            .is_some_and(|system| systems::canonical(&system) == systems::ORGNR);
        if ours {
            tag.text("code").map(|code| code.into_owned())
        } else {
            None
        }
    })
}
