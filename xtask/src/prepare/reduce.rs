//! Search expressions reduced to paths: which JSON members to follow, and what is found there.
//!
//! A path is written `telecom[system=phone]:ContactPoint`. Choices become the JSON names (`valueQuantity`), so that
//! whoever follows a path needs no element rules.

use super::expression::Expression;
use super::model::{Place, Types};
use std::fmt;

/// One JSON member to follow, and which of its values count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    member: String,
    only: Option<String>,
}

/// A place that an expression leads to.
#[derive(Debug, Clone)]
pub struct Spot<'a> {
    /// From the resource, although the expression stands in a composite.
    whole: bool,
    steps: Vec<Step>,
    /// The FHIR type of what is there.
    used: String,
    below: Option<Place<'a>>,
}

impl<'a> Spot<'a> {
    /// The resource itself.
    pub fn root(types: &'a Types, name: &str) -> Option<Spot<'a>> {
        Some(Spot {
            whole: false,
            steps: Vec::new(),
            used: name.to_owned(),
            below: Some(types.root(name)?),
        })
    }

    /// The same place as the start of paths of its own: a composite's base.
    pub fn start(&self) -> Spot<'a> {
        Spot {
            steps: Vec::new(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole {
            f.write_str("^")?;
        }
        if self.steps.is_empty() {
            f.write_str(".")?;
        }
        for (at, step) in self.steps.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            f.write_str(&step.member)?;
            if let Some(only) = &step.only {
                write!(f, "[{only}]")?;
            }
        }
        write!(f, ":{}", self.used)
    }
}

/// Where an expression stands.
pub struct Context<'a> {
    /// All types.
    pub types: &'a Types,
    /// The resource type, `Resource` or `DomainResource`.
    pub resource: &'a str,
    /// The place that member names start from.
    pub here: Spot<'a>,
}

impl<'a> Context<'a> {
    /// The spots of an expression; none where it speaks of other types alone.
    ///
    /// # Errors
    /// The words say what the type does not have, or what paths cannot say.
    pub fn reduce(&self, expression: &Expression) -> Result<Vec<Spot<'a>>, String> {
        match expression {
            Expression::Here => Ok(vec![self.here.clone()]),
            Expression::Whole => {
                let root = Spot::root(self.types, self.resource).ok_or("no such type")?;
                Ok(vec![Spot {
                    whole: true,
                    ..root
                }])
            }
            Expression::Union(all) => {
                let mut found: Vec<Spot<'a>> = Vec::new();
                for part in all {
                    for spot in self.reduce(part)? {
                        if found.iter().all(|f| f.to_string() != spot.to_string()) {
                            found.push(spot);
                        }
                    }
                }
                Ok(found)
            }
            Expression::Member(base, name) => self.member(base, name),
            Expression::As(base, name) => {
                let spots = self.reduce(base)?;
                let none_before = spots.is_empty();
                let left: Vec<_> = spots
                    .into_iter()
                    .filter(|s| is(self.types, &s.used, name))
                    .collect();
                if left.is_empty() && !none_before {
                    return Err(format!("nothing there is of type {name}"));
                }
                Ok(left)
            }
            Expression::Where(base, field, value) => {
                if value.contains([']', ' ', '|']) {
                    return Err(format!("a path cannot hold the text {value}"));
                }
                let spots = self.reduce(base)?;
                for spot in &spots {
                    self.below(spot, field)?;
                }
                only(spots, &format!("{field}={value}"))
            }
            Expression::Refers(base, name) => {
                let spots = self.reduce(base)?;
                match spots.iter().find(|s| s.used != "Reference") {
                    Some(other) => Err(format!("{} is no reference to resolve", other.used)),
                    None => only(spots, name),
                }
            }
            Expression::At(base, index) => only(self.reduce(base)?, &index.to_string()),
            Expression::Present(_) => {
                Err("exists() is understood as a whole expression alone".to_owned())
            }
        }
    }

    fn member(&self, base: &Expression, name: &str) -> Result<Vec<Spot<'a>>, String> {
        if *base == Expression::Here && name.starts_with(|c: char| c.is_ascii_uppercase()) {
            // The expression of several types names each; only one of them is this one.
            return match self.types.root(name) {
                None => Err(format!("there is no type {name}")),
                Some(_) if name == self.resource => Ok(vec![self.here.clone()]),
                Some(_) => Ok(Vec::new()),
            };
        }
        let mut found = Vec::new();
        for spot in self.reduce(base)? {
            found.extend(self.below(&spot, name)?);
        }
        Ok(found)
    }

    /// What stands in the member `name` of a spot: one spot, or one for each type of a choice.
    fn below(&self, spot: &Spot<'a>, name: &str) -> Result<Vec<Spot<'a>>, String> {
        let missing = || format!("{} has no element {name}", spot.used);
        let place = spot.below.as_ref().ok_or_else(missing)?;
        let element = self.types.find(place, name).ok_or_else(missing)?;
        let choice = element.name.strip_suffix("[x]");
        let names: Vec<&str> = match element.uses.as_slice() {
            [] => vec!["BackboneElement"],
            uses => uses.iter().map(|u| u.name.as_str()).collect(),
        };
        Ok(names
            .into_iter()
            .map(|used| {
                // A SimpleQuantity is a Quantity to whoever reads it.
                let shown = if used == "SimpleQuantity" {
                    "Quantity"
                } else {
                    used
                };
                let member = match choice {
                    None => element.name.clone(),
                    Some(stem) => {
                        let (first, rest) = shown.split_at(1);
                        format!("{stem}{}{rest}", first.to_uppercase())
                    }
                };
                let mut next = spot.clone();
                next.steps.push(Step { member, only: None });
                next.used = shown.to_owned();
                next.below = self.types.below(place, element, used);
                next
            })
            .collect())
    }
}

/// Whether what is used is of the type `name` or of one derived from it, as FHIRPath's `as` asks; the standard writes
/// `DateTime` for dateTime once.
fn is(types: &Types, used: &str, name: &str) -> bool {
    if used == name || (used.len() == name.len() && used.eq_ignore_ascii_case(name)) {
        return true;
    }
    let base = match used {
        "canonical" | "oid" | "url" | "uuid" => Some("uri"),
        "code" | "id" | "markdown" => Some("string"),
        "positiveInt" | "unsignedInt" => Some("integer"),
        _ => types.base(used),
    };
    base.is_some_and(|base| is(types, base, name))
}

fn only<'a>(mut spots: Vec<Spot<'a>>, what: &str) -> Result<Vec<Spot<'a>>, String> {
    for spot in &mut spots {
        match spot.steps.last_mut() {
            Some(step) if step.only.is_none() => step.only = Some(what.to_owned()),
            _ => return Err("a path can narrow a member once, and not the resource".to_owned()),
        }
    }
    Ok(spots)
}
