//! The language of `spec/profiles/*.toml`: read once, refused whole where a line says what cannot be.
//!
//! Its words are told in `spec/profiles/README.md`.

use super::{Profile, Rule, Want};
use crate::definitions::Definitions;
use crate::index::Coding;
use crate::measurement::{self, Kind};
use crate::outcome::Severity;
use crate::resource::ResourceType;
use crate::systems;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One package of profiles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What the canonicals of its profiles begin with; the id follows. The first is the one we name.
    canonicals: Vec<String>,
    #[serde(default, rename = "set")]
    sets: BTreeMap<String, Set>,
    #[serde(rename = "profile")]
    profiles: Vec<Draft>,
    /// Profiles of datatypes, which resources' profiles apply where such a value stands.
    #[serde(default, rename = "datatype")]
    datatypes: Vec<Draft>,
}

/// A value set of one code system.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Set {
    system: String,
    codes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    id: String,
    /// A resource type; of a datatype's profile, the datatype.
    #[serde(rename = "type")]
    of: String,
    /// Another profile whose rules it has too.
    base: Option<String>,
    /// Older canonicals, whole.
    #[serde(default)]
    also: Vec<String>,
    /// The kind of `spec/measurements` that it is about.
    measurement: Option<String>,
    #[serde(default, rename = "rule")]
    rules: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: String,
    min: Option<usize>,
    max: Option<usize>,
    is: Option<String>,
    of: Option<OneOf>,
    has: Option<Vec<Code>>,
    to: Option<Vec<String>>,
    resource: Option<Vec<String>>,
    /// A datatype's profile, of any file.
    profile: Option<String>,
    #[serde(default)]
    level: Level,
}

impl Line {
    fn severity(&self) -> Severity {
        match self.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOf {
    Values(Vec<String>),
    Set(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    system: String,
    code: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Error,
    Warning,
}

/// Where in a resource: member names, each with what its values must hold to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(pub Vec<Step>);

/// One member; `value[x]` is any of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub member: String,
    pub choice: bool,
    pub only: Option<(Vec<String>, String)>,
}

impl Path {
    /// `performer[type=Organization].identifier.system`; `value[x]`.
    fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (member, after) = rest.split_at(end);
            let mut step = Step {
                member: member.to_owned(),
                choice: false,
                only: None,
            };
            rest = after;
            if let Some(inside) = rest.strip_prefix('[') {
                let (condition, after) = inside.split_once(']')?;
                match condition.split_once('=') {
                    None if condition == "x" => step.choice = true,
                    None => return None,
                    Some((path, value)) => {
                        let path = path.split('.').map(str::to_owned).collect();
                        step.only = Some((path, value.to_owned()));
                    }
                }
                rest = after;
            }
            if step.member.is_empty() {
                return None;
            }
            steps.push(step);
            rest = match rest.strip_prefix('.') {
                Some(more) => more,
                None if rest.is_empty() => return Some(Self(steps)),
                None => return None,
            };
        }
    }
}

/// Reads all files.
///
/// # Errors
/// The words name the file, and the profile or line.
pub(super) fn read(files: &[(&str, &str)]) -> Result<Vec<Profile>, String> {
    let mut drafts: Vec<(File, &str)> = Vec::new();
    for (name, text) in files {
        let file = toml::from_str(text).map_err(|e| format!("{name}: {e}"))?;
        drafts.push((file, name));
    }
    for (file, name) in &drafts {
        for draft in &file.datatypes {
            let known = Definitions::get().elements(&draft.of);
            if known.is_none_or(|table| table.resource) {
                return Err(format!("{name}: {}: no datatype {}", draft.id, draft.of));
            }
        }
    }
    let mut done = Vec::new();
    for (file, name) in &drafts {
        for draft in &file.profiles {
            let fault = |words: String| format!("{name}: {}: {words}", draft.id);
            let mut rules = Vec::new();
            collect(&drafts, file, draft, 0, &mut rules).map_err(fault)?;
            let resource = ResourceType::parse(&draft.of)
                .ok_or_else(|| fault(format!("no type {}", draft.of)))?;
            let own = file
                .canonicals
                .iter()
                .map(|base| format!("{base}{}", draft.id));
            done.push(Profile {
                id: draft.id.clone(),
                canonicals: own.chain(draft.also.iter().cloned()).collect(),
                resource,
                rules,
            });
        }
    }
    Ok(done)
}

/// The rules of a profile's bases, then its own.
fn collect(
    all: &[(File, &str)],
    file: &File,
    draft: &Draft,
    depth: usize,
    rules: &mut Vec<Rule>,
) -> Result<(), String> {
    if let Some(base) = &draft.base {
        let found = all
            .iter()
            .find_map(|(file, _)| Some((file, file.profiles.iter().find(|p| p.id == *base)?)));
        match found {
            Some((file, draft)) if depth < 4 => collect(all, file, draft, depth + 1, rules)?,
            Some(_) => return Err(format!("{base} is its own base")),
            None => return Err(format!("no profile {base}")),
        }
    }
    if let Some(kind) = &draft.measurement {
        let kind = measurement::by_id(kind).ok_or_else(|| format!("no measurement {kind}"))?;
        rules.push(measures(kind)?);
    }
    for line in &draft.rules {
        let fault = |words: String| format!("{}: {words}", line.at);
        rules_of(file, line, rules).map_err(fault)?;
        if let Some(name) = &line.profile {
            rules.extend(applied(all, name, line, depth).map_err(fault)?);
        }
    }
    Ok(())
}

/// The rules of a datatype's profile, where a line applies it.
fn applied(
    all: &[(File, &str)],
    name: &str,
    line: &Line,
    depth: usize,
) -> Result<Vec<Rule>, String> {
    let named = |file: &'_ File| file.datatypes.iter().position(|one| one.id == *name);
    let found = all.iter().find_map(|(file, _)| Some((file, named(file)?)));
    let (file, at) = found.ok_or_else(|| format!("no profile {name} of a datatype"))?;
    if depth >= 4 {
        return Err(format!("{name} holds itself"));
    }
    let place = Path::parse(&line.at).ok_or("not a path")?;
    let mut rules = Vec::new();
    collect(all, file, &file.datatypes[at], depth + 1, &mut rules)?;
    for rule in &mut rules {
        rule.at.0.splice(0..0, place.0.iter().cloned());
        if line.severity() != Severity::Error {
            rule.severity = line.severity();
        }
    }
    Ok(rules)
}

/// A vital sign is named by its LOINC code, whatever stands beside it (HL7 vital signs); another kind by any of its codes.
fn measures(kind: &Kind) -> Result<Rule, String> {
    let codings = kind
        .codings()
        .map(|(system, code)| Coding::new(system, code));
    let named = codings.take(if kind.vital_sign { 1 } else { usize::MAX });
    Ok(Rule {
        at: Path::parse("code").ok_or("code")?,
        want: Want::Has(named.collect()),
        severity: Severity::Error,
    })
}

fn rules_of(file: &File, line: &Line, rules: &mut Vec<Rule>) -> Result<(), String> {
    let at = Path::parse(&line.at).ok_or("not a path")?;
    let severity = line.severity();
    let types = |names: &[String]| {
        let parsed = names
            .iter()
            .map(|name| ResourceType::parse(name).ok_or(name));
        parsed
            .collect::<Result<Vec<_>, _>>()
            .map_err(|name| format!("no type {name}"))
    };
    let mut wants = Vec::new();
    if line.min.is_some() || line.max.is_some() {
        wants.push(Want::Count(
            line.min.unwrap_or(0),
            line.max.unwrap_or(usize::MAX),
        ));
    }
    if let Some(value) = &line.is {
        wants.push(Want::Value(vec![value.clone()]));
    }
    match &line.of {
        None => {}
        Some(OneOf::Values(values)) => {
            let own = values.iter().map(|v| systems::canonical(v).to_owned());
            wants.push(Want::Value(own.collect()));
        }
        Some(OneOf::Set(name)) => {
            let set = file
                .sets
                .get(name)
                .ok_or_else(|| format!("no set {name}"))?;
            let coding = |code: &String| Coding::new(set.system.as_str(), code.as_str());
            wants.push(Want::Coded(set.codes.iter().map(coding).collect()));
        }
    }
    if let Some(codes) = &line.has {
        // A code left out: any of the system.
        let coding =
            |one: &Code| Coding::new(one.system.as_str(), one.code.as_deref().unwrap_or_default());
        wants.push(Want::Has(codes.iter().map(coding).collect()));
    }
    if let Some(names) = &line.to {
        wants.push(Want::Refers(types(names)?));
    }
    if let Some(names) = &line.resource {
        wants.push(Want::Resource(types(names)?));
    }
    if wants.is_empty() && line.profile.is_none() {
        return Err("the line demands nothing".to_owned());
    }
    rules.extend(wants.into_iter().map(|want| Rule {
        at: at.clone(),
        want,
        severity,
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn paths() {
        let path = Path::parse("extension[url=http://x.no/a-b].valueReference").unwrap();
        assert_eq!(path.0.len(), 2);
        assert_eq!(
            path.0[0].only,
            Some((vec!["url".into()], "http://x.no/a-b".into()))
        );
        assert!(Path::parse("value[x].code").unwrap().0[0].choice);
        for bad in ["", "a.", "a..b", "[x]", "a[b]", "a[b=c", "a[b=c]d"] {
            assert_eq!(Path::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let file = |profile: &str| {
            format!(
                "canonicals = [\"http://x/\"]\n[[profile]]\nid = \"p\"\ntype = \"Observation\"\n{profile}"
            )
        };
        for (text, words) in [
            ("base = \"q\"", "no profile q"),
            ("base = \"p\"", "its own base"),
            ("measurement = \"height-of-a-tree\"", "no measurement"),
            ("[[profile.rule]]\nat = \"status\"", "demands nothing"),
            (
                "[[profile.rule]]\nat = \"method\"\nof = \"set\"",
                "no set set",
            ),
            (
                "[[profile.rule]]\nat = \"subject\"\nto = [\"Pasient\"]",
                "no type Pasient",
            ),
            (
                "[[profile.rule]]\nat = \"subject\"\nprofile = \"d\"",
                "no profile d of a datatype",
            ),
            (
                "[[datatype]]\nid = \"d\"\ntype = \"Patient\"",
                "no datatype Patient",
            ),
            (
                "[[profile.rule]]\nat = \"subject\"\nprofile = \"d\"\n[[datatype]]\nid = \"d\"\ntype = \"Reference\"\nrule = [{ at = \"identifier.assigner\", profile = \"d\" }]",
                "d holds itself",
            ),
            (
                "[[profile.rule]]\nat = \"subject\"\nmost = 1",
                "unknown field",
            ),
        ] {
            let text = file(text);
            let fault = read(&[("f", &text)]).map(|_| ()).unwrap_err();
            assert!(fault.starts_with("f: ") && fault.contains(words), "{fault}");
        }
    }
}
