//! What the links of a transaction mean: other entries by their `fullUrl`, and conditional references (FHIR R4
//! http.html#trules; bundle.html#references).
//!
//! A `fullUrl` is meant by itself, with a version or a fragment after it, and by `Type/id` in an entry whose own `fullUrl`
//! has the same root. New resources get their ids here.

use super::step::{Step, Target};
use crate::State;
use crate::api::{conditional, type_of};
use fhir::bundle::{Link, Role, links, relink};
use fhir::ids::LogicalId;
use fhir::json::{Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::Via;
use std::collections::{BTreeMap, BTreeSet};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

const HISTORY: &str = "/_history/";

/// What a `fullUrl` or a conditional reference means here.
struct Meaning {
    /// `Type/id`.
    address: String,
    /// The step that writes it.
    step: Option<usize>,
}

/// Links as they stand in the Bundle, and what they mean.
#[derive(Default)]
pub struct Names {
    all: BTreeMap<String, Meaning>,
    /// The versions that steps come out as, as far as is known; 1 otherwise.
    pub versions: BTreeMap<usize, u64>,
}

/// A resource with its links rewritten.
pub struct Rewritten {
    pub json: Json,
    /// The steps whose version it names.
    pub named: BTreeSet<usize>,
}

impl Names {
    /// Finds what every conditional reference means, and gives each new resource its id, Patients first: by what they refer
    /// to it can be told whether they are known already.
    pub async fn of(
        state: &State,
        visit: &Visit<'_>,
        json: &Json,
        steps: &mut [Step<'_>],
        faults: &mut Vec<Problem>,
    ) -> Result<Names, End> {
        let mut names = Names::default();
        names.conditional(state, visit, json, steps, faults).await?;
        let mut new: BTreeMap<Vec<u8>, LogicalId> = BTreeMap::new();
        for patients in [true, false] {
            let of_turn =
                |step: &Step<'_>| (step.asked.resource == ResourceType::PATIENT) == patients;
            for step in steps.iter_mut().filter(|step| of_turn(step)) {
                let (None, Some(node)) = (&step.target, step.node) else {
                    continue;
                };
                let json = names.rewritten(json, node, step)?.json;
                let id = match fhir::check::check(&json, json.root(), &state.rules()) {
                    Ok(checked) => match state.desk.store.known_as(&checked).await? {
                        Some(known) => known,
                        // Twice in one bundle is one resource, which `twice` finds.
                        None => *new
                            .entry(checked.identity().key.clone())
                            .or_insert_with(|| LogicalId((state.house.ids)())),
                    },
                    Err(_) => LogicalId((state.house.ids)()),
                };
                step.target = Some(Target::New(id));
            }
            for (n, step) in steps.iter().enumerate().filter(|(_, step)| of_turn(step)) {
                let (Some(full_url), Some(target)) = (step.entry.full_url(), &step.target) else {
                    continue;
                };
                let address = format!("{}/{}", step.asked.resource, target.id());
                let meaning = Meaning {
                    address: address.clone(),
                    step: Some(n),
                };
                if let Target::Left(stored) = target {
                    names.versions.insert(n, stored.version);
                }
                if names
                    .all
                    .insert(full_url.into_owned(), meaning)
                    .is_some_and(|before| before.address != address)
                {
                    let words = "two entries have the same fullUrl";
                    faults.push(step.fault(IssueCode::Duplicate, "fullUrl", words));
                }
            }
        }
        Ok(names)
    }

    /// Finds what conditional references mean.
    async fn conditional(
        &mut self,
        state: &State,
        visit: &Visit<'_>,
        json: &Json,
        steps: &[Step<'_>],
        faults: &mut Vec<Problem>,
    ) -> Result<(), End> {
        let mut asked = BTreeSet::new();
        for step in steps {
            let Some(node) = step.node else { continue };
            for link in links(node) {
                let Some((type_name, _)) = link.text.split_once('?') else {
                    continue;
                };
                let is_reference = matches!(link.role, Role::Reference { .. });
                if !is_reference || !asked.insert(link.text.clone().into_owned()) {
                    continue;
                }
                let place = link.node.expression_from(json.root());
                let place = place
                    .strip_prefix(&format!("{}.", step.entry.expression()))
                    .unwrap_or("resource")
                    .to_owned();
                let met = match (
                    type_of(state, type_name),
                    conditional::parse(&link.text, ""),
                ) {
                    (Ok(resource), Ok(form)) => {
                        conditional::one(state, visit, resource, &form, None, Via::Post).await
                    }
                    (Err(problem), _) | (_, Err(problem)) => Err(problem.into()),
                };
                let address = match met {
                    Ok(Some((stored, _))) => format!("{}/{}", stored.resource_type, stored.id),
                    Ok(None) => {
                        let words = "nothing meets this conditional reference";
                        faults.push(step.fault(IssueCode::NotFound, &place, words));
                        // That the rest can be checked it stands for something meanwhile.
                        format!("{type_name}/{}", LogicalId((state.house.ids)()))
                    }
                    Err(End::Problem(problem)) => {
                        faults.push(step.at(problem, &place));
                        continue;
                    }
                    Err(refused) => return Err(refused),
                };
                let meaning = Meaning {
                    address,
                    step: None,
                };
                self.all.insert(link.text.into_owned(), meaning);
            }
        }
        Ok(())
    }

    /// `node`, a part of `json` that `step` sends, with every link written as what it means.
    ///
    /// # Errors
    /// When the result is too large.
    pub fn rewritten<'a>(
        &self,
        json: &'a Json,
        node: Node<'a>,
        step: &Step<'_>,
    ) -> Result<Rewritten, Problem> {
        let own = step.entry.full_url();
        let root = own.as_deref().and_then(root_of);
        let mut named = BTreeSet::new();
        let bytes = relink(json, node, |link| {
            let (meaning, version, rest) = self.meant(link, root)?;
            let as_version = link.role == Role::Reference { as_version: true };
            Some(match meaning.step {
                Some(n) if version || as_version => {
                    named.insert(n);
                    let number = self.versions.get(&n).copied().unwrap_or(1);
                    format!("{}{HISTORY}{number}{rest}", meaning.address)
                }
                _ => format!("{}{rest}", meaning.address),
            })
        });
        let json = Json::parse(bytes, Limits::RESOURCE)?;
        Ok(Rewritten { json, named })
    }

    /// What a link means, whether it names a version, and the fragment after it.
    fn meant<'l>(
        &self,
        link: &'l Link<'_>,
        root: Option<&str>,
    ) -> Option<(&Meaning, bool, &'l str)> {
        let text = link.text.as_ref();
        let reference = matches!(link.role, Role::Reference { .. });
        let find = |text: &str| {
            self.all.get(text).or_else(|| {
                let root = root.filter(|_| reference)?;
                self.all.get(&format!("{root}/{text}"))
            })
        };
        if let Some(meaning) = find(text) {
            return Some((meaning, false, ""));
        }
        if let Some((before, version)) = text.split_once(HISTORY)
            && !version.contains('/')
            && let Some(meaning) = find(before)
        {
            return Some((meaning, true, ""));
        }
        let at = text.find('#')?;
        let (before, rest) = text.split_at(at);
        find(before).map(|meaning| (meaning, false, rest))
    }
}

/// A reference of a rewritten resource that should have meant another entry, and does not.
///
/// # Errors
/// 422 with its place in the resource.
pub fn none_lost(json: &Json) -> Result<(), Problem> {
    let lost = links(json.root()).into_iter().find(|link| {
        matches!(link.role, Role::Reference { .. })
            && (link.text.starts_with("urn:uuid:") || link.text.starts_with("urn:oid:"))
    });
    match lost {
        None => Ok(()),
        Some(link) => {
            let words = "no entry of the bundle has this fullUrl";
            let place = link.node.expression();
            let issue = Issue::error(IssueCode::NotFound, place, words);
            Err(Problem::unprocessable(vec![issue]))
        }
    }
}

/// The root of a `fullUrl` that is the address of a resource: what stands before `/Type/id`.
fn root_of(full_url: &str) -> Option<&str> {
    let (before, _id) = full_url.rsplit_once('/')?;
    let (root, name) = before.rsplit_once('/')?;
    let address = root.starts_with("http://") || root.starts_with("https://");
    (address && ResourceType::parse(name).is_some()).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::root_of;

    #[test]
    fn only_addresses_of_resources_have_a_root() {
        for (full_url, root) in [
            ("http://a/fhir/Patient/1", Some("http://a/fhir")),
            ("https://a/Patient/1", Some("https://a")),
            ("http://a/fhir/Foo/1", None),
            ("urn:uuid:1", None),
            ("Patient/1", None),
        ] {
            assert_eq!(root_of(full_url), root, "{full_url}");
        }
    }
}
