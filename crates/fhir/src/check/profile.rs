//! Profiles: what is demanded of a resource that claims one in `meta.profile`, or that a deployment asks one of.
//!
//! Standard: FHIR R4 profiling (section 5.1); the profiles are those of HL7 Norway and NHN as far as `spec/profiles/` states
//! them. A profile that is claimed and not carried is a remark, never an error: nobody can say that it is broken.

mod read;
#[cfg(test)]
mod tests;

use super::findings::Findings;
use crate::index::Coding;
use crate::json::{Kind, Node};
use crate::outcome::{IssueCode, Severity};
use crate::resource::ResourceType;
use crate::systems;
use read::{Path, Step};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Name and text of every file of `spec/profiles/`.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

static ALL: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    read::read(FILES)
        .unwrap_or_else(|e| panic!("spec/profiles, which a test reads, does not parse: {e}"))
});

/// Where FHIR's own types have their canonicals: the base rules, which are always looked at.
const FHIR: &str = "http://hl7.org/fhir/StructureDefinition/";

/// One profile.
#[derive(Debug)]
pub struct Profile {
    /// Last part of its canonical.
    pub id: String,
    /// The names it goes by; the first is the present one.
    pub canonicals: Vec<String>,
    /// The type it is about.
    pub resource: ResourceType,
    rules: Vec<Rule>,
}

/// Every profile that we carry.
#[must_use]
pub fn all() -> &'static [Profile] {
    &ALL
}

/// The profile of this canonical, with or without `|version`.
#[must_use]
pub fn by_canonical(canonical: &str) -> Option<&'static Profile> {
    let url = canonical.split_once('|').map_or(canonical, |(url, _)| url);
    let goes_by = |profile: &&Profile| profile.canonicals.iter().any(|one| one == url);
    ALL.iter().find(goes_by)
}

/// What a resource that breaks a profile becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused.
    #[default]
    Refuse,
    /// It is taken, with a warning.
    Warn,
    /// Nobody looks.
    Off,
}

/// What a deployment says of one profile.
#[derive(Debug, Clone, Copy)]
struct Demand {
    profile: &'static Profile,
    mode: Mode,
    /// Of every resource of its type; else of those that claim it.
    every: bool,
}

/// What a deployment says of profiles. `Default`: who claims a profile must meet it.
#[derive(Debug, Clone, Default)]
pub struct Demands(Vec<Demand>);

/// Why a demand is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DemandError {
    /// Not among `spec/profiles`.
    #[error("the profile {0} is not carried")]
    Unknown(String),
    /// The profile is of another type.
    #[error("{0} is a profile of {1}")]
    Type(String, ResourceType),
    /// Two lines about one profile.
    #[error("{0} is there twice")]
    Twice(String),
}

impl Demands {
    /// Adds a line: a canonical, the type if every resource of it must meet the profile, and what becomes of one that does
    /// not.
    ///
    /// # Errors
    /// [`DemandError`].
    pub fn add(
        &mut self,
        canonical: &str,
        every: Option<&str>,
        mode: Mode,
    ) -> Result<(), DemandError> {
        let profile =
            by_canonical(canonical).ok_or_else(|| DemandError::Unknown(canonical.to_owned()))?;
        if every.is_some_and(|name| name != profile.resource.as_str()) {
            return Err(DemandError::Type(canonical.to_owned(), profile.resource));
        }
        if self.of(profile).is_some() {
            return Err(DemandError::Twice(canonical.to_owned()));
        }
        self.0.push(Demand {
            profile,
            mode,
            every: every.is_some(),
        });
        Ok(())
    }

    /// The same, but that every resource of this profile's type must meet it.
    #[must_use]
    pub fn and_also(mut self, profile: &'static Profile) -> Self {
        self.0.retain(|one| !std::ptr::eq(one.profile, profile));
        self.0.push(Demand {
            profile,
            mode: Mode::Refuse,
            every: true,
        });
        self
    }

    fn of(&self, profile: &Profile) -> Option<&Demand> {
        self.0.iter().find(|one| std::ptr::eq(one.profile, profile))
    }
}

/// One demand of a profile.
#[derive(Debug)]
struct Rule {
    at: Path,
    want: Want,
    severity: Severity,
}

/// What is demanded at a place.
#[derive(Debug)]
enum Want {
    /// At least and at most so many, in each object that could hold them.
    Count(usize, usize),
    /// Each value is one of these.
    Value(Vec<String>),
    /// Each Coding, or one coding of each CodeableConcept, is one of these.
    Coded(Vec<Coding>),
    /// One of all codings there is one of these; an empty code stands for any of the system.
    Has(Vec<Coding>),
    /// Each reference that says what it refers to refers to one of these.
    Refers(Vec<ResourceType>),
    /// Each resource is one of these.
    Resource(Vec<ResourceType>),
}

/// Looks at `node` by every profile that binds it.
pub(super) fn check<'a>(
    findings: &mut Findings<'a>,
    node: Node<'a>,
    resource: ResourceType,
    demands: &Demands,
) {
    let mut bound: Vec<(&'static Profile, Mode)> = demands
        .0
        .iter()
        .filter(|one| one.every && one.profile.resource == resource)
        .map(|one| (one.profile, one.mode))
        .collect();
    for claim in node
        .path(&["meta", "profile"])
        .into_iter()
        .flat_map(Node::items)
    {
        let Some(canonical) = claim.str() else {
            continue;
        };
        match by_canonical(&canonical) {
            None if canonical.starts_with(FHIR) && canonical.ends_with(resource.as_str()) => {}
            None => {
                let words = "this profile is not carried here: nothing was looked at by it";
                findings.remark(claim, Severity::Information, IssueCode::NotSupported, words);
            }
            Some(profile) if profile.resource != resource => {
                let words = format!("{} is a profile of {}", profile.id, profile.resource);
                findings.at(claim, IssueCode::Invalid, words);
            }
            Some(profile) => {
                if !bound.iter().any(|(known, _)| std::ptr::eq(*known, profile)) {
                    let mode = demands.of(profile).map_or(Mode::default(), |one| one.mode);
                    bound.push((profile, mode));
                }
            }
        }
    }
    if bound.is_empty() {
        return;
    }
    let members: Vec<_> = node.members().collect();
    for (profile, mode) in bound.into_iter().filter(|(_, mode)| *mode != Mode::Off) {
        for rule in &profile.rules {
            let severity = match mode {
                Mode::Refuse => rule.severity,
                _ => Severity::Warning,
            };
            Look {
                findings,
                root: node,
                members: &members,
                profile,
                severity,
            }
            .rule(rule);
        }
    }
}

/// One look at one resource by one profile.
struct Look<'f, 'a> {
    findings: &'f mut Findings<'a>,
    root: Node<'a>,
    /// The root's, read once for all rules.
    members: &'f [(Cow<'a, str>, Node<'a>)],
    profile: &'static Profile,
    severity: Severity,
}

impl<'a> Look<'_, 'a> {
    fn rule(&mut self, rule: &Rule) {
        let Some((first, below)) = rule.at.0.split_first() else {
            return;
        };
        let found = self.of_root(first);
        // Each object that could hold what the rule is about, and what it holds.
        let places: Vec<(Node<'a>, Vec<Node<'a>>)> = match below.split_last() {
            None => vec![(self.root, found)],
            Some((last, between)) => {
                let step = |nodes: Vec<Node<'a>>, step| {
                    let each = nodes.into_iter();
                    each.flat_map(|node| values(node, step)).collect()
                };
                let parents = between.iter().fold(found, step);
                let each = parents.into_iter();
                each.map(|node| (node, values(node, last))).collect()
            }
        };
        let last = below.last().unwrap_or(first);
        if let Want::Has(wanted) = &rule.want {
            self.has(&places, last, wanted);
            return;
        }
        for (parent, found) in places {
            if let Want::Count(min, max) = rule.want {
                self.count(parent, last, &found, min, max);
                continue;
            }
            for value in found {
                self.value(value, &rule.want);
            }
        }
    }

    /// What a step gives below the root.
    fn of_root(&self, step: &Step) -> Vec<Node<'a>> {
        let mut members = self.members.iter();
        let found = members.find(|(name, _)| step.means(name));
        found.map_or_else(Vec::new, |(_, value)| spread(*value, step))
    }

    fn count(&mut self, parent: Node<'a>, step: &Step, found: &[Node<'a>], min: usize, max: usize) {
        if (min..=max).contains(&found.len()) {
            return;
        }
        let what = match &step.only {
            None => step.name(),
            Some((path, value)) => format!("{} with {} {value}", step.name(), path.join(".")),
        };
        if found.len() < min {
            let words = format!("{what}: at least {min} demanded by {}", self.profile.id);
            self.below(parent, &step.name(), IssueCode::Required, words);
        }
        if let Some(extra) = found.get(max) {
            let words = format!("{what}: at most {max} allowed by {}", self.profile.id);
            self.at(*extra, IssueCode::Structure, words);
        }
    }

    fn has(&mut self, places: &[(Node<'a>, Vec<Node<'a>>)], last: &Step, wanted: &[Coding]) {
        let codings = places
            .iter()
            .flat_map(|(_, found)| found)
            .flat_map(|value| codings(*value));
        let mut codings =
            codings.filter_map(|coding| Some((coding.text("system")?, coding.text("code")?)));
        let one = |(system, code): (Cow<'_, str>, Cow<'_, str>)| {
            wanted.iter().any(|w| {
                w.system.as_deref() == Some(system.as_ref())
                    && (w.code.is_empty() || w.code == code)
            })
        };
        let Some((first, _)) = places.first().filter(|_| !codings.any(one)) else {
            return;
        };
        let words = format!("{} demands the coding {}", self.profile.id, shown(wanted));
        self.below(*first, &last.name(), IssueCode::Required, words);
    }

    fn value(&mut self, value: Node<'a>, want: &Want) {
        let id = &self.profile.id;
        match want {
            Want::Value(allowed) => {
                let text = value.str();
                let same = |one: &String| {
                    text.as_deref().map(systems::canonical) == Some(one.as_str())
                        || value.raw() == one
                };
                if !allowed.iter().any(same) {
                    let words = format!("{id} demands {}", allowed.join(" or "));
                    self.at(value, IssueCode::CodeInvalid, words);
                }
            }
            Want::Coded(set) => {
                let known = |coding: Node<'_>| {
                    let (system, code) = (coding.text("system"), coding.text("code"));
                    set.iter().any(|one| {
                        one.system.as_deref() == system.as_deref()
                            && code.as_deref() == Some(&one.code)
                    })
                };
                if !codings(value).into_iter().any(known) {
                    let words = format!("{id} demands one of {}", shown(set));
                    self.at(value, IssueCode::CodeInvalid, words);
                }
            }
            Want::Refers(types) => {
                let said = self.target(value);
                if said.is_some_and(|found| !types.contains(&found)) {
                    let words = format!("{id} demands a reference to {}", names(types));
                    self.at(value, IssueCode::Value, words);
                }
            }
            Want::Resource(types) => {
                let found = ResourceType::of(value).ok();
                if found.is_some_and(|found| !types.contains(&found)) {
                    let words = format!("{id} takes {} here", names(types));
                    self.at(value, IssueCode::Structure, words);
                }
            }
            Want::Count(..) | Want::Has(_) => {}
        }
    }

    /// The type that a reference says it refers to: by its address, by `type`, or by what is contained.
    fn target(&self, reference: Node<'a>) -> Option<ResourceType> {
        let by_type = || ResourceType::parse(&reference.text("type")?);
        let Some(text) = reference.text("reference") else {
            return by_type();
        };
        if let Some(id) = text.strip_prefix('#') {
            let mut inner = self.root.get("contained")?.items();
            let found = inner.find(|one| one.text("id").is_some_and(|own| own == id))?;
            return ResourceType::of(found).ok();
        }
        let path = text
            .split_once("/_history/")
            .map_or(text.as_ref(), |(path, _)| path);
        let named = path.rsplit('/').nth(1).and_then(ResourceType::parse);
        named.or_else(by_type)
    }

    fn at(&mut self, node: Node<'a>, code: IssueCode, words: String) {
        match self.severity {
            Severity::Error => self.findings.once_at(node, code, words),
            severity => self.findings.remark(node, severity, code, words),
        }
    }

    fn below(&mut self, node: Node<'a>, member: &str, code: IssueCode, words: String) {
        match self.severity {
            Severity::Error => self.findings.once_below(node, member, code, words),
            severity => self
                .findings
                .remark_below(node, member, severity, code, words),
        }
    }
}

impl Step {
    /// Whether a member of this name is the one.
    fn means(&self, name: &str) -> bool {
        match name.strip_prefix(self.member.as_str()) {
            Some("") => !self.choice,
            Some(rest) => self.choice && rest.starts_with(|c: char| c.is_ascii_uppercase()),
            None => false,
        }
    }

    /// As an expression names it.
    fn name(&self) -> String {
        format!("{}{}", self.member, if self.choice { "[x]" } else { "" })
    }
}

/// What a step gives below an object: every item of an array, narrowed to what is meant.
fn values<'a>(node: Node<'a>, step: &Step) -> Vec<Node<'a>> {
    let mut members = node.members();
    let found = members.find(|(name, _)| step.means(name));
    found.map_or_else(Vec::new, |(_, value)| spread(value, step))
}

fn spread<'a>(found: Node<'a>, step: &Step) -> Vec<Node<'a>> {
    let mut all: Vec<Node<'a>> = match found.kind() {
        Kind::Array => found
            .items()
            .filter(|item| item.kind() != Kind::Null)
            .collect(),
        _ => vec![found],
    };
    if let Some((path, value)) = &step.only {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        all.retain(|one| {
            let held = one.all(&names);
            held.iter().any(|v| {
                v.str()
                    .is_some_and(|text| systems::canonical(&text) == value)
            })
        });
    }
    all
}

/// The codings of a CodeableConcept; a Coding is its own.
fn codings(value: Node<'_>) -> Vec<Node<'_>> {
    match value.get("coding") {
        Some(all) => all.items().collect(),
        None if value.get("code").is_some() => vec![value],
        None => Vec::new(),
    }
}

fn shown(codings: &[Coding]) -> String {
    let one = |coding: &Coding| {
        format!(
            "{}|{}",
            coding.system.as_deref().unwrap_or_default(),
            coding.code
        )
    };
    codings.iter().map(one).collect::<Vec<_>>().join(" or ")
}

fn names(types: &[ResourceType]) -> String {
    types
        .iter()
        .map(|t| t.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
