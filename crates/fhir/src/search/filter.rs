//! Conditions beyond those that the store's clustered table answers: any search parameter of the published definitions.
//!
//! Standard: FHIR R4 search 3.1.1.4. A [`Filter`] is one parameter of a query, understood whole; all filters of a query must
//! hold. [`super::matches`] tells whether they do.

use super::number::NumberParam;
use super::value::{DateParam, TokenParam};
use crate::ids::{LogicalId, PersonIdentifier};
use std::fmt;

/// One parameter and what it asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter {
    /// The parameter's name, without modifier.
    pub name: &'static str,
    /// What is asked.
    pub condition: Condition,
}

/// The name only: a value may be a person's number.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({})", self.name)
    }
}

/// What a filter asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Condition {
    /// `:missing`: whether the resource has no value.
    Missing(bool),
    /// Any of these.
    Any(Vec<Test>),
    /// `:not`: none of these; a resource without a value is found.
    None(Vec<Test>),
}

/// One alternative.
#[derive(Clone, PartialEq, Eq)]
pub enum Test {
    /// A code, an identifier, a boolean.
    Token(TokenParam),
    /// Tokens `:text`: the words of a code start so (folded).
    TokenText(String),
    /// Identifiers `:of-type`: the type's coding, and the value.
    OfType(TokenParam, String),
    /// Tokens `:in`: any code of this carried value set.
    In(String),
    /// Strings.
    Text(Text, String),
    /// Dates.
    Date(DateParam),
    /// Numbers and quantities.
    Number(NumberParam),
    /// References.
    Reference(Target),
    /// References `:identifier`.
    Identifier(TokenParam, Whom),
    /// URIs.
    Uri(Uri, String),
    /// The parts of a composite, each with an alternative of its own.
    Composite(Vec<Test>),
}

/// How strings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// From the start, without case and accents.
    Starts,
    /// Anywhere, without case and accents.
    Contains,
    /// Letter by letter.
    Exact,
}

/// How URIs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uri {
    /// Letter by letter.
    Exact,
    /// `:below`: this or a path under it.
    Below,
    /// `:above`: this or a path over it.
    Above,
}

/// What a reference is asked to point to.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The resource type; `None`: any.
    pub resource: Option<String>,
    /// The id, or the whole address where there is one.
    pub id: String,
    /// Whether `id` is an address that is compared whole.
    pub whole: bool,
    /// The patient meant, so that logical references are found too.
    pub whom: Whom,
}

/// A patient by local id, by number, or both. A parser knows one of them; a store that knows the patient fills in the
/// other ([`super::Query::people`]), so that `Patient/{id}` also finds references by number, and the other way round.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Whom {
    /// By id.
    pub local: Option<LogicalId>,
    /// By number.
    pub person: Option<PersonIdentifier>,
}

impl Filter {
    /// The dates that the filter compares with.
    pub(super) fn dates(&mut self) -> impl Iterator<Item = &mut DateParam> {
        let mut found = Vec::new();
        for test in self.tests() {
            dates(test, &mut found);
        }
        found.into_iter()
    }

    fn tests(&mut self) -> &mut [Test] {
        match &mut self.condition {
            Condition::Missing(_) => &mut [],
            Condition::Any(tests) | Condition::None(tests) => tests.as_mut_slice(),
        }
    }

    /// The patients that the filter's references name.
    pub(super) fn people(&mut self) -> impl Iterator<Item = &mut Whom> {
        let mut found = Vec::new();
        for test in self.tests() {
            people(test, &mut found);
        }
        found.into_iter()
    }
}

fn people<'a>(test: &'a mut Test, found: &mut Vec<&'a mut Whom>) {
    match test {
        Test::Reference(Target { whom, .. }) | Test::Identifier(_, whom) => found.push(whom),
        Test::Composite(parts) => parts.iter_mut().for_each(|part| people(part, found)),
        _ => {}
    }
}

fn dates<'a>(test: &'a mut Test, found: &mut Vec<&'a mut DateParam>) {
    match test {
        Test::Date(date) => found.push(date),
        Test::Composite(parts) => parts.iter_mut().for_each(|part| dates(part, found)),
        _ => {}
    }
}
