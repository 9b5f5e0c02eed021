//! Helsenorge's privacy component (Personvernkomponenten, PVK) as its published documentation has it: REST, version 2 of May
//! 2024, "Hente informasjon fra PVK om innbyggers personverninnstillinger". Of it, what replication takes.

use super::Hidden;
use serde::{Deserialize, Serialize};

/// All citizens who have an active setting of one definition, by pages; under the component's base.
pub const ACTIVE: &str =
    "/personvern/Personverninnstillinger/HentInnbyggereAktivePiForDefinisjon/v2";
/// Parameter: the definition's GUID.
pub const DEFINITION: &str = "definisjonGuid";
/// Parameter: the party code of the organisation that owns the definition.
pub const PART: &str = "partKode";
/// Parameter: where to go on; [`FIRST_PAGE`] at first, then what the last page said, until it says that again.
pub const PAGE: &str = "pagingReference";
/// The first page, and what the last one says.
pub const FIRST_PAGE: &str = "0";
/// Kind of setting: a reservation.
pub const RESERVATION: &str = "reservasjon";
/// Kind of setting: an access limitation.
pub const ACCESS_LIMITATION: &str = "tilgangsbegrensning";

/// One page of active settings. Members that are not named here are of no use to us.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivePage {
    /// The definition's GUID.
    pub definisjon_guid: String,
    /// Whose it is.
    pub part_kode: String,
    /// Kind of setting.
    pub type_pi: String,
    /// Where to go on.
    pub paging_reference: Paging,
    /// The settings.
    pub personvern_innstillinger: Vec<ActiveSetting>,
}

/// A page's reference: clients of the component have met it as a number and as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Paging {
    /// A number.
    Number(u64),
    /// Text.
    Text(String),
}

impl Paging {
    /// As it is asked for.
    pub fn as_text(&self) -> String {
        match self {
            Paging::Number(number) => number.to_string(),
            Paging::Text(text) => text.clone(),
        }
    }
}

/// One citizen's setting.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveSetting {
    /// National identity number or D-number.
    pub innbygger_fnr: Hidden,
}
