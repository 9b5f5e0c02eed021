//! The rules of law that a refusal names: versioned data in `spec/law/references.toml`, chosen by date.

use serde::Deserialize;
use std::sync::LazyLock;

/// One rule of law, in force from a day and perhaps to one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Stable name that our rules use.
    pub id: String,
    /// Where it stands: act and section.
    pub source: String,
    /// First day in force, `yyyy-mm-dd`.
    pub from: String,
    /// First day no longer in force, if it was replaced.
    pub to: Option<String>,
    /// What it says, in our own words.
    pub says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    reference: Vec<Reference>,
}

static ALL: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    let text = include_str!("../../../../spec/law/references.toml");
    let file: File = toml::from_str(text).expect("spec/law/references.toml is checked by a test");
    file.reference
});

/// The rule `id` as it stands on `day` (`yyyy-mm-dd`; such dates compare as text).
pub fn on(id: &str, day: &str) -> Option<&'static Reference> {
    ALL.iter()
        .find(|r| r.id == id && r.from.as_str() <= day && r.to.as_deref().is_none_or(|to| day < to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_dated_and_found_from_its_first_day() {
        for r in ALL.iter() {
            assert_eq!(r.from.len(), 10, "{}", r.id);
            assert_eq!(on(&r.id, &r.from).map(|f| &f.source), Some(&r.source));
        }
        assert!(on("shared-register", "2014-12-31").is_none());
    }
}
