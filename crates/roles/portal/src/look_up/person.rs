//! Reads a Patient (no-basis-Patient): the name and the birth date, where a source has them. Nothing is worked out from
//! the number.

use super::answer::Match;

/// Who the page is about, as far as sources say.
#[derive(Clone, Default)]
pub struct Person {
    /// Given names and family name.
    pub name: Option<String>,
    /// `1952-03-14`
    pub birth_date: Option<String>,
}

/// The first name and the first birth date among the answers.
pub fn person(found: &[Match<'_>]) -> Person {
    let mut person = Person::default();
    for patient in found.iter().map(|found| found.resource) {
        let name = patient.get("name").and_then(|names| {
            names.items().find_map(|name| {
                if let Some(text) = name.text("text") {
                    return Some(text.into_owned());
                }
                let given = name
                    .get("given")
                    .into_iter()
                    .flat_map(|given| given.items())
                    .filter_map(|part| part.str());
                let parts: Vec<_> = given.chain(name.text("family")).collect();
                (!parts.is_empty()).then(|| parts.join(" "))
            })
        });
        person.name = person.name.or(name);
        person.birth_date = person
            .birth_date
            .or_else(|| patient.text("birthDate").map(|text| text.into_owned()));
    }
    person
}
