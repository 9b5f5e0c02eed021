//! The portal's text: one catalogue a language (`text/*.toml`), bokmål complete, the others as far as they reach.
//! A key that a language lacks is answered in bokmål; a test holds that bokmål has every key the pages use.

use std::collections::HashMap;
use std::sync::OnceLock;

/// A language of the portal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Norwegian bokmål.
    #[default]
    Nb,
    /// Norwegian nynorsk.
    Nn,
    /// English.
    En,
}

impl Language {
    /// All of them, in the order the page offers them.
    pub const ALL: [Language; 3] = [Language::Nb, Language::Nn, Language::En];

    /// The BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Language::Nb => "nb",
            Language::Nn => "nn",
            Language::En => "en",
        }
    }

    /// The language's own name for itself.
    pub fn name(self) -> &'static str {
        match self {
            Language::Nb => "Bokmål",
            Language::Nn => "Nynorsk",
            Language::En => "English",
        }
    }

    /// Reads a tag; nothing for a language the portal does not have.
    pub fn parse(tag: &str) -> Option<Language> {
        Language::ALL
            .into_iter()
            .find(|language| language.tag() == tag)
    }
}

/// The words of one language.
#[derive(Clone, Copy)]
pub struct Text {
    /// Which.
    pub language: Language,
}

type Catalogue = HashMap<String, String>;

fn catalogue(language: Language) -> &'static Catalogue {
    static NB: OnceLock<Catalogue> = OnceLock::new();
    static NN: OnceLock<Catalogue> = OnceLock::new();
    static EN: OnceLock<Catalogue> = OnceLock::new();
    let (cell, source) = match language {
        Language::Nb => (&NB, include_str!("../text/nb.toml")),
        Language::Nn => (&NN, include_str!("../text/nn.toml")),
        Language::En => (&EN, include_str!("../text/en.toml")),
    };
    cell.get_or_init(|| flatten(source))
}

/// `[people] title = "…"` becomes `people.title`. The files are compiled in and read by a test, so a fault in one is
/// found there; here it gives an empty catalogue and the keys themselves show on the page.
fn flatten(source: &str) -> Catalogue {
    let Ok(table) = source.parse::<toml::Table>() else {
        return Catalogue::new();
    };
    table
        .into_iter()
        .filter_map(|(section, value)| match value {
            toml::Value::Table(words) => Some((section, words)),
            _ => None,
        })
        .flat_map(|(section, words)| {
            words.into_iter().filter_map(move |(key, value)| {
                value
                    .as_str()
                    .map(|text| (format!("{section}.{key}"), text.to_owned()))
            })
        })
        .collect()
}

impl Text {
    /// The one of three texts that is in this language.
    pub fn among<T>(&self, nb: T, nn: T, en: T) -> T {
        match self.language {
            Language::Nb => nb,
            Language::Nn => nn,
            Language::En => en,
        }
    }

    /// The words for `key`, in this language or else in bokmål.
    pub fn of<'a>(&self, key: &'a str) -> &'a str
    where
        'static: 'a,
    {
        self.find(key).unwrap_or(key)
    }

    /// The words for `key` if any catalogue has them.
    pub fn find(&self, key: &str) -> Option<&'static str> {
        catalogue(self.language)
            .get(key)
            .or_else(|| catalogue(Language::Nb).get(key))
            .map(String::as_str)
    }

    /// The words for `key` with `{name}` replaced by each value. Values are put in as they are; the template escapes.
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut text = self.of(key).to_owned();
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// As [`Text::fill`] for templates, with one number.
    pub fn count(&self, key: &str, n: impl std::fmt::Display) -> String {
        self.fill(key, &[("n", &n.to_string())])
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;
    use std::collections::BTreeSet;

    /// Keys written in templates and source as `"section.key"` after `of(`, `fill(` or `count(`.
    fn used() -> BTreeSet<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("templates"), root.join("src")];
        let mut keys = BTreeSet::new();
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(
                    std::fs::read_dir(path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
                continue;
            }
            if path.file_name().is_some_and(|name| name == "text.rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for call in ["of(\"", "fill(\"", "count(\"", "key: \""] {
                for rest in source.split(call).skip(1) {
                    keys.insert(rest.split('"').next().unwrap().to_owned());
                }
            }
        }
        keys
    }

    #[test]
    fn bokmal_has_every_key_that_is_used_and_no_language_has_strangers() {
        let nb = catalogue(Language::Nb);
        let missing: Vec<_> = used()
            .into_iter()
            .filter(|key| !nb.contains_key(key))
            .collect();
        assert!(missing.is_empty(), "text/nb.toml lacks {missing:?}");
        for language in [Language::Nn, Language::En] {
            let strangers: Vec<_> = catalogue(language)
                .keys()
                .filter(|key| !nb.contains_key(*key))
                .collect();
            assert!(
                strangers.is_empty(),
                "{} has {strangers:?}, which bokmål lacks",
                language.tag()
            );
        }
    }

    #[test]
    fn places_are_the_same_in_every_language() {
        let places = |text: &str| -> BTreeSet<String> {
            text.split('{')
                .skip(1)
                .filter_map(|rest| rest.split_once('}'))
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        for language in [Language::Nn, Language::En] {
            for (key, text) in catalogue(language) {
                assert_eq!(
                    places(text),
                    places(&catalogue(Language::Nb)[key]),
                    "{} {key}",
                    language.tag()
                );
            }
        }
    }

    #[test]
    fn a_key_that_a_language_lacks_is_answered_in_bokmal() {
        let text = Text {
            language: Language::Nn,
        };
        assert_eq!(text.of("no.such"), "no.such");
        assert_eq!(text.fill("patients.title", &[]), text.of("patients.title"));
    }
}
