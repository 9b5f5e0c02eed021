//! What `Observation/$lastn` counts together (FHIR R4 observation-operation-lastn.html), the same wherever it is asked: at one
//! holder or over several.

use crate::index::Coding;
use crate::json::Node;
use crate::measurement;

/// Status codes of readings that count unless others are asked for.
pub const VALID: [&str; 6] = [
    "registered",
    "preliminary",
    "final",
    "amended",
    "corrected",
    "unknown",
];

/// What is counted together. Known kinds come first, in the order of `spec/measurements`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A measurement kind, by its place in `spec/measurements`.
    Kind(usize),
    /// Of no known kind: system and code.
    Code(String, String),
}

impl Group {
    /// The group of a reading with these codings.
    #[must_use]
    pub fn of(set: &[Coding]) -> Group {
        let place = measurement::of(set)
            .and_then(|kind| measurement::all().iter().position(|k| k.id == kind.curve()));
        if let Some(place) = place {
            return Group::Kind(place);
        }
        let rank = |coding: &Coding| {
            (
                coding.system.as_deref() != Some(crate::systems::LOINC),
                coding.system.clone(),
                coding.code.clone(),
            )
        };
        let first = set.iter().map(rank).min();
        first.map_or(
            Group::Code(String::new(), String::new()),
            |(_, system, code)| Group::Code(system.unwrap_or_default(), code),
        )
    }
}

/// The codings of an Observation's (or a component's) code.
#[must_use]
pub fn codings(node: Node<'_>) -> Vec<Coding> {
    let text = |coding: Node<'_>, name| coding.text(name).map(|text| text.into_owned());
    node.path(&["code", "coding"])
        .into_iter()
        .flat_map(Node::items)
        .filter_map(|coding| {
            Some(Coding {
                system: text(coding, "system"),
                code: text(coding, "code")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(codes: &[(&str, &str)]) -> Vec<Coding> {
        codes
            .iter()
            .map(|(system, code)| Coding {
                system: (!system.is_empty()).then(|| (*system).to_owned()),
                code: (*code).to_owned(),
            })
            .collect()
    }

    #[test]
    fn codings_of_one_kind_are_one_group() {
        let (loinc, snomed) = (crate::systems::LOINC, crate::systems::SNOMED);
        let group = |codes: &[(&str, &str)]| Group::of(&set(codes));
        let oximeter = group(&[(loinc, "59408-5")]);
        assert!(oximeter == group(&[(snomed, "431314004")]));
        assert!(oximeter == group(&[(loinc, "2708-6"), ("urn:x", "house code")]));
        assert!(oximeter != group(&[(loinc, "8867-4")]));
        // Pulse goes with heart rate.
        assert!(
            group(&[(snomed, "78564009"), (loinc, "8867-4")]) == group(&[(snomed, "364075005")])
        );
        // Unknown codes: by LOINC, else by the first; a contradiction is nobody's kind.
        assert!(group(&[(loinc, "1-1"), (snomed, "9")]) == group(&[(loinc, "1-1")]));
        assert!(group(&[("", "x")]) != group(&[("urn:x", "x")]));
        let both = group(&[(loinc, "59408-5"), (loinc, "8867-4")]);
        assert!(matches!(both, Group::Code(..)));
    }
}
