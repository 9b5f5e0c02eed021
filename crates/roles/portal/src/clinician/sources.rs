//! The organisations on a page: their names, and the mark (colour and shape) that each has everywhere on it.

use std::collections::BTreeMap;

use crate::look_up::answer::Named;

/// One organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Organisation number or RESH id.
    pub number: String,
    /// Name.
    pub name: String,
    /// Index of its mark; none for an organisation that gave no reading.
    pub mark: Option<usize>,
}

impl Source {
    /// Which of the six shapes its mark has; more sources than six begin again.
    pub fn shape(&self) -> Option<usize> {
        self.mark.map(|mark| mark % 6)
    }
}

/// All that are known here, and those with a mark.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    own: String,
    names: BTreeMap<String, String>,
    part_of: BTreeMap<String, String>,
    marked: Vec<String>,
}

impl Sources {
    /// Starts from the names of the configuration. `own` is the clinician's organisation.
    pub fn new<'a>(
        own: &str,
        organisations: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>,
    ) -> Sources {
        let mut sources = Sources {
            own: own.to_owned(),
            ..Sources::default()
        };
        for (number, name, part_of) in organisations {
            sources.names.insert(number.to_owned(), name.to_owned());
            if let Some(whole) = part_of {
                sources.part_of.insert(number.to_owned(), whole.to_owned());
            }
        }
        sources
    }

    /// The controller of a sub-unit, or the organisation itself.
    pub fn whole<'a>(&'a self, number: &'a str) -> &'a str {
        self.part_of.get(number).map_or(number, String::as_str)
    }

    /// Gives an organisation a mark; a name in a resource counts where the configuration has none.
    pub fn add(&mut self, number: &str, name: Option<&str>) {
        let whole = self.whole(number).to_owned();
        if let Some(name) = name {
            self.names
                .entry(whole.clone())
                .or_insert_with(|| name.to_owned());
        }
        if !self.marked.contains(&whole) {
            self.marked.push(whole);
        }
    }

    /// Puts the marks in an order that does not depend on which answer came first: own organisation, then by name.
    pub fn arrange(&mut self) {
        let mut marked = std::mem::take(&mut self.marked);
        marked.sort_by_key(|number| {
            (
                *number != self.own,
                self.name(number).to_lowercase(),
                number.clone(),
            )
        });
        self.marked = marked;
    }

    /// The name of an organisation, or its number.
    pub fn name<'a>(&'a self, number: &'a str) -> &'a str {
        let whole = self.whole(number);
        self.names.get(whole).map_or(whole, String::as_str)
    }

    /// An organisation with its name and mark.
    pub fn get(&self, number: &str) -> Source {
        let whole = self.whole(number);
        Source {
            number: whole.to_owned(),
            name: self.name(number).to_owned(),
            mark: self.marked.iter().position(|own| own == whole),
        }
    }

    /// An organisation named in a resource.
    pub fn of(&self, named: &Named) -> Source {
        let mut source = self.get(&named.number);
        if source.name == source.number
            && let Some(name) = &named.name
        {
            source.name.clone_from(name);
        }
        source
    }

    /// Those with a mark, in its order.
    pub fn marked(&self) -> Vec<Source> {
        self.marked.iter().map(|number| self.get(number)).collect()
    }
}
