//! Launch in context (SMART App Launch 2.2): the words by which a record system, an app and the anchor meet. The record system
//! deposits at the anchor what the launch is about, by its own authenticated call, and gets a handle; the browser carries
//! the handle alone; the app brings it in its pushed request.

use super::Hidden;
use serde::{Deserialize, Serialize};

/// Where a record system deposits a launch, under the issuer.
pub const LAUNCH: &str = "/launch";
/// Where a person who signed in names the patient, under the issuer.
pub const NAME_PATIENT: &str = "/sign-in/patient";
/// Where a citizen who signed in says for whom, under the issuer.
pub const ACT_FOR: &str = "/sign-in/for";
/// Where the portal is opened, under its base: `?iss=…&launch=…`.
pub const OPEN: &str = "/launch";
/// Where the portal takes codes, under its base.
pub const CALLBACK: &str = "/callback";
/// Where browsers come after a sign-out at the anchor, under the portal's base.
pub const AFTER_SIGN_OUT: &str = "/";
/// The scope of an app that is opened by a record system, and the parameter that brings the handle.
pub const IN_CONTEXT: &str = "launch";
/// The scope of an app that is opened on its own and wants a patient chosen.
pub const CHOOSE_PATIENT: &str = "launch/patient";
/// SMART's document, under a FHIR base.
pub const SMART_CONFIGURATION: &str = "/.well-known/smart-configuration";

/// The answer to a deposit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The handle: opaque, to be brought once, by the app that it was made for.
    pub launch: Hidden,
    /// Seconds until it must be brought.
    pub expires_in: u32,
}
