//! Conditions on other resources: chains (`encounter.status`, `subject:Patient.birthdate`) and `_has`.
//!
//! Standard: FHIR R4 search 3.1.1.4.13 (chaining), 3.1.1.4.14 (reverse chaining). The condition at the other end is a
//! [`Query`] of its own, so it may be anything that a search may ask, another link among it, two deep.

use super::parse::{Reader, Refusal, condition_on, invalid, unlisted};
use super::served::{known, targets};
use super::{Link, Query};
use crate::definitions::Types;
use crate::definitions::search::{Kind, SearchParameter};
use crate::outcome::IssueCode;
use crate::resource::ResourceType;

/// `reference[:Type].rest`
pub(super) fn chain(
    reader: &Reader<'_>,
    types: &Types,
    query: &mut Query,
    (reference, rest, value): (&str, &str, &str),
    depth: usize,
) -> Result<(), Refusal> {
    deep_enough(depth)?;
    let (name, target) = match reference.split_once(':') {
        Some((name, target)) => (name, Some(target)),
        None => (reference, None),
    };
    let parameter = reference_of(query.resource, name)?;
    let choices = targets(parameter, types);
    let target = match (target, choices.as_slice()) {
        (Some(target), _) => ResourceType::parse(target).filter(|one| choices.contains(one)),
        (None, [only]) => Some(*only),
        (None, []) => None,
        (None, _) => {
            let names: Vec<_> = choices.iter().map(|one| one.as_str()).collect();
            return Err(invalid(format!(
                "the reference may point to several types: name one as {name}:Type; expected {}",
                names.join(", ")
            )));
        }
    };
    let Some(target) = target else {
        return Err((
            IssueCode::NotSupported,
            "the reference points to no such type that can be searched here".to_owned(),
        ));
    };
    let mut end = Query::all(target);
    end.zone = reader.zone.clone();
    condition_on(reader, types, &mut end, (rest, value), &[], depth + 1)?;
    query.links.push(Link {
        reference: parameter,
        reverse: false,
        query: end,
    });
    Ok(())
}

/// `Type:reference:rest`, what follows `_has:`
pub(super) fn having(
    reader: &Reader<'_>,
    types: &Types,
    query: &mut Query,
    (text, value): (&str, &str),
    depth: usize,
) -> Result<(), Refusal> {
    deep_enough(depth)?;
    let mut parts = text.splitn(3, ':');
    let (Some(source), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(invalid("expected _has:Type:reference:parameter"));
    };
    let Some(source) = ResourceType::parse(source).filter(|one| types.serves(*one)) else {
        return Err((
            IssueCode::NotSupported,
            "the type after _has is not searched here".to_owned(),
        ));
    };
    let parameter = reference_of(source, name)?;
    if !targets(parameter, types).contains(&query.resource) {
        return Err(invalid(format!(
            "{source}:{} does not point to {}",
            parameter.name, query.resource
        )));
    }
    let mut end = Query::all(source);
    end.zone = reader.zone.clone();
    condition_on(reader, types, &mut end, (rest, value), &[], depth + 1)?;
    query.links.push(Link {
        reference: parameter,
        reverse: true,
        query: end,
    });
    Ok(())
}

fn deep_enough(depth: usize) -> Result<(), Refusal> {
    if depth >= Query::MAX_LINKS {
        let text = format!("a chain has at most {} links", Query::MAX_LINKS);
        return Err((IssueCode::TooCostly, text));
    }
    Ok(())
}

fn reference_of(resource: ResourceType, name: &str) -> Result<&'static SearchParameter, Refusal> {
    match known(resource).find(|one| one.name == name) {
        Some(parameter) if parameter.kind == Kind::Reference => Ok(parameter),
        Some(_) => Err((
            IssueCode::NotSupported,
            "only references can be followed".to_owned(),
        )),
        None => Err(unlisted(resource, name)),
    }
}
