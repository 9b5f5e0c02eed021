//! Bundles as they are posted to a base (CONTRACT section 6): what hub and sharing service ask of the list of entries
//! before they look at any of them.

use fhir::bundle::{Entry, entries};
use fhir::json::{Kind, Node};
use fhir::outcome::IssueCode;

use crate::outcome::Problem;

/// Most entries in a bundle (threats-and-faults.md section 4).
pub const MAX_ENTRIES: usize = 500;

/// A bundle's entries: at least one, so that a bundle in which they are somewhere else is not answered with silence, and
/// at most [`MAX_ENTRIES`].
///
/// # Errors
/// 400 with `Bundle.entry`.
pub fn sent<'a>(bundle: Node<'a>) -> Result<Vec<Entry<'a>>, Problem> {
    let fault = |code, words: String| Problem::invalid(code, "Bundle.entry", words);
    match bundle.get("entry").map(|list| list.kind()) {
        None => {
            return Err(fault(
                IssueCode::Required,
                "the bundle has no entries".into(),
            ));
        }
        Some(Kind::Array) => {}
        Some(_) => {
            return Err(fault(
                IssueCode::Structure,
                "a list of entries was expected".into(),
            ));
        }
    }
    let sent: Vec<Entry<'a>> = entries(bundle).take(MAX_ENTRIES + 1).collect();
    match sent.len() {
        0 => Err(fault(
            IssueCode::Required,
            "the bundle has no entries".into(),
        )),
        1..=MAX_ENTRIES => Ok(sent),
        _ => Err(fault(
            IssueCode::TooLong,
            format!("more than {MAX_ENTRIES} entries; send several bundles"),
        )),
    }
}
