//! Details: what of resources a rule may leave out, by classes that people can name.
//!
//! Source: pasientjournalloven §§ 15, 16 and 19 (no more than needed); personvernforordningen art. 5(1)(c); threats-and-faults
//! section 4. Which rule leaves out which stands in the rules (`authorisation`, `minimisation`, `representation`); which
//! elements each is stands here, and by it alone resources are reduced and searches closed. None of them is what computing
//! or safety needs (status, code, value, time, subject, identifier, the reason of an absent value, interpretation, reference
//! range, source), nor anything that must be there or changes what the rest means: a test holds that against the tables.
//! Example: a helsesekretær sees the curve and not the physician's words beside it.

use fhir::subset::{ANY, Withheld};
use serde::{Deserialize, Serialize};

/// One class of details. Closed; the trail and `$explain-access` speak of these and of no element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// The narrative, which may retell everything else.
    Narrative,
    /// Free-text notes of those who treated her.
    Notes,
    /// Address, telephone and next of kin: the reader's own organisation has them from the population register.
    Contact,
    /// Marital status, birth order and photographs.
    Background,
}

impl Detail {
    /// All of them, in order.
    pub const ALL: [Detail; 4] = [
        Detail::Narrative,
        Detail::Notes,
        Detail::Contact,
        Detail::Background,
    ];

    /// The code, as in the trail.
    pub fn code(self) -> &'static str {
        match self {
            Detail::Narrative => "narrative",
            Detail::Notes => "notes",
            Detail::Contact => "contact",
            Detail::Background => "background",
        }
    }

    /// The elements that it is.
    pub fn elements(self) -> &'static [Withheld] {
        use Withheld::{Datatype, Element};
        match self {
            Detail::Narrative => &[Element(ANY, "text")],
            Detail::Notes => &[
                Datatype("Annotation"),
                Element("Appointment", "comment"),
                Element("AppointmentResponse", "comment"),
                Element("Schedule", "comment"),
            ],
            Detail::Contact => &[
                Element("Patient", "telecom"),
                Element("Patient", "address"),
                Element("Patient", "contact"),
                Element("RelatedPerson", "telecom"),
                Element("RelatedPerson", "address"),
                Element("Person", "telecom"),
                Element("Person", "address"),
            ],
            Detail::Background => &[
                Element("Patient", "maritalStatus"),
                Element("Patient", "multipleBirth[x]"),
                Element("Patient", "photo"),
                Element("RelatedPerson", "photo"),
                Element("Person", "photo"),
            ],
        }
    }
}

/// Their codes with a space between.
pub(crate) fn codes(details: &[Detail]) -> String {
    let codes: Vec<_> = details.iter().map(|one| one.code()).collect();
    codes.join(" ")
}

#[cfg(test)]
#[path = "detail_tests.rs"]
mod tests;
