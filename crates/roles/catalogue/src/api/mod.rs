//! The catalogue's interactions, one file each.

pub mod history;
pub mod metadata;
pub mod publish;
pub mod read;
pub mod search;

use fhir::resource::ResourceType;
use trust::scope::{Access, Context};
use trust::{Ask, Category, Interaction, Permit, Refusal};
use wire::contract::catalogue::TYPES;
use wire::outcome::Problem;
use wire::visit::{End, Visit};

const TOO_LITTLE: Refusal = Refusal {
    rule: "scope",
    category: Category::Forbidden,
    code: "insufficient_scope",
    message: "the token's scope does not cover this",
};

/// The resource type of a path; a type the catalogue does not serve is not there.
fn type_of(name: &str) -> Result<ResourceType, Problem> {
    ResourceType::parse(name)
        .filter(|_| TYPES.contains(&name))
        .ok_or_else(Problem::not_found)
}

/// Asks the rules, and for the right on the type: whoever the token speaks for, it must give it.
fn permit(visit: &Visit<'_>, resource_type: ResourceType, access: Access) -> Result<Permit, End> {
    let permit = visit.permit(&Ask::of(Interaction::Directory, resource_type))?;
    let scopes = &visit.caller().scopes;
    let covered = [Context::System, Context::User, Context::Patient]
        .into_iter()
        .any(|context| scopes.covers(context, resource_type.as_str(), access));
    if covered {
        Ok(permit)
    } else {
        Err(End::Refused(TOO_LITTLE))
    }
}
