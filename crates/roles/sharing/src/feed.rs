//! From bytes to a put: what every write shares, whether it comes alone or in a bundle.

use crate::State;
use crate::alert::ALERTS;
use crate::assess::NAMES;
use bytes::Bytes;
use fhir::ids::{LogicalId, OrganisationNumber};
use fhir::index::Subject;
use fhir::json::{Fault, Json, Limits, Node};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{Checked, ResourceType};
use fhir::systems;
use std::borrow::Cow;
use store::{PutOutcome, StoreError};
use trust::{Ask, Interaction, Permit};
use wire::outcome::Problem;
use wire::visit::{End, OTHER_MEMBER, Visit};

/// A resource as it was sent.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    /// What it stands in.
    pub json: &'a Json,
    /// The resource.
    pub node: Node<'a>,
    /// The Bundle it came in.
    pub bundle: Option<Node<'a>>,
}

impl<'a> Sent<'a> {
    /// A resource that was sent alone.
    pub fn alone(json: &'a Json) -> Self {
        Self {
            json,
            node: json.root(),
            bundle: None,
        }
    }

    /// Checks it and asks whether this caller may write it, see [`take`].
    pub fn take(
        &self,
        state: &State,
        visit: &Visit<'_>,
        interaction: Interaction,
    ) -> Result<Taken, End> {
        take(state, visit, interaction, self.json, self.node, self.bundle)
    }
}

/// A resource that may be written.
pub struct Taken {
    /// The checked resource.
    pub checked: Checked,
    /// Who said so.
    pub permit: Permit,
    /// The member of a shared register whose resource it is.
    pub written_by: Option<OrganisationNumber>,
}

/// Checks a resource by the rules and asks whether this caller may write it. `bundle` is the Bundle it came in.
pub fn take(
    state: &State,
    visit: &Visit<'_>,
    interaction: Interaction,
    json: &Json,
    node: Node<'_>,
    bundle: Option<Node<'_>>,
) -> Result<Taken, End> {
    if node.raw().len() > Limits::RESOURCE.bytes {
        return Err(Problem::too_large(Limits::RESOURCE.bytes).into());
    }
    let checked = fhir::check::check(json, node, &state.rules()).map_err(Problem::unprocessable)?;
    let resource_type = checked.resource_type();
    if !state.serves(resource_type) {
        return Err(refused(
            IssueCode::NotSupported,
            resource_type.as_str(),
            "this type is not written here; the CapabilityStatement says which are",
        )
        .into());
    }
    if let Some(issue) = not_synthetic(state, &checked) {
        return Err(Problem::unprocessable(vec![issue]).into());
    }
    if let Some(place) = ours(node) {
        return Err(refused(
            IssueCode::BusinessRule,
            place,
            "results of the service's own assessment are made here alone; an assessment of the source's has a system of its own",
        )
        .into());
    }
    let mut ask = Ask::of(interaction, resource_type);
    if let Some(Subject::Person(person)) = &checked.index().subject {
        ask.patient = Some(person.clone());
    }
    let permit = visit.permit(&ask)?;
    let written_by = written_by(state, visit, node, bundle)?;
    Ok(Taken {
        checked,
        permit,
        written_by,
    })
}

/// Where a resource claims to be a result of the service's own assessment.
fn ours(node: Node<'_>) -> Option<String> {
    let claimed = node.all(&["identifier", "system"]).into_iter();
    let coded = node.all(&["code", "coding", "system"]).into_iter();
    let ours = |system: &Node<'_>| {
        system
            .str()
            .is_some_and(|text| [systems::ASSESSMENT, NAMES, ALERTS].contains(&text.as_ref()))
    };
    let found = claimed.chain(coded).find(ours)?;
    Some(found.expression_from(node))
}

/// A finding when this is a demo and the resource is about somebody who is not marked synthetic.
pub fn not_synthetic(state: &State, checked: &Checked) -> Option<Issue> {
    let Some(Subject::Person(person)) = &checked.index().subject else {
        return None;
    };
    let resource_type = checked.resource_type();
    (state.config.synthetic_only && !person.value().is_synthetic()).then(|| {
        let place = if resource_type == ResourceType::PATIENT {
            "identifier.value"
        } else {
            "subject.identifier.value"
        };
        let words = "this is a demo: only numbers marked synthetic are taken in";
        Issue::error(
            IssueCode::BusinessRule,
            format!("{resource_type}.{place}"),
            words,
        )
    })
}

fn refused(code: IssueCode, place: impl Into<String>, words: &str) -> Problem {
    Problem::unprocessable(vec![Issue::error(code, place, words)])
}

/// The type in the path and in the body must be one.
pub fn same_type(expected: ResourceType, checked: &Checked) -> Result<(), Problem> {
    if checked.resource_type() == expected {
        return Ok(());
    }
    Err(Problem::invalid(
        IssueCode::Invalid,
        "resourceType",
        format!(
            "the address takes {}, the body is {}",
            expected.as_str(),
            checked.resource_type().as_str()
        ),
    ))
}

/// Whose resource it is. A service of one organisation takes nothing that is said to be another's. In a shared register a
/// member speaks for itself, the owner (and who writes by its delegation) for the member that is named: by the Bundle's
/// tag, as the hub does it, else by the resource's own.
fn written_by(
    state: &State,
    visit: &Visit<'_>,
    node: Node<'_>,
    bundle: Option<Node<'_>>,
) -> Result<Option<OrganisationNumber>, Problem> {
    let config = &state.config;
    let controller = |n: &OrganisationNumber| config.register.main_unit(*n);
    let foreign = || {
        refused(
            IssueCode::BusinessRule,
            "meta.tag",
            "the organisation named in the tag is not one that this service, or this sender, keeps data for",
        )
    };
    let parsed = |code: Cow<'_, str>| {
        OrganisationNumber::parse(&code)
            .map(|n| controller(&n))
            .map_err(|_| foreign())
    };
    let of_bundle = bundle
        .and_then(|bundle| tags(bundle).next())
        .map(parsed)
        .transpose()?;
    if config.members.is_empty() {
        return if of_bundle.is_none_or(|named| named == config.owner) {
            Ok(None)
        } else {
            Err(foreign())
        };
    }
    let own: Vec<OrganisationNumber> = tags(node).map(parsed).collect::<Result<_, _>>()?;
    let named = of_bundle.or_else(|| own.first().copied());
    let caller = visit.caller();
    let organisation = caller.organisation.map(|n| controller(&n));
    let delegated = caller.delegation.as_ref().map(|d| controller(&d.from));
    let belongs = |n: &OrganisationNumber| *n == config.owner || config.members.contains(n);
    let delegate = !organisation.is_some_and(|n| belongs(&n));
    let speaker = if delegate { delegated } else { organisation };
    let writer = match (speaker, named) {
        (Some(speaker), None)
            if config.members.contains(&speaker) || (!delegate && speaker == config.owner) =>
        {
            speaker
        }
        (Some(speaker), Some(named))
            if (speaker == named || speaker == config.owner) && belongs(&named) =>
        {
            named
        }
        (_, None) => {
            return Err(refused(
                IssueCode::Required,
                "meta.tag",
                "this register has several members: the one whose data it is was expected as a tag with its organisation number",
            ));
        }
        _ => return Err(foreign()),
    };
    if own.iter().all(|tag| *tag == writer) {
        Ok(Some(writer))
    } else {
        Err(foreign())
    }
}

/// Organisation numbers among `meta.tag`.
fn tags<'a>(node: Node<'a>) -> impl Iterator<Item = Cow<'a, str>> {
    node.all(&["meta", "tag"])
        .into_iter()
        .filter(|tag| {
            tag.text("system")
                .is_some_and(|system| systems::canonical(&system) == systems::ORGNR)
        })
        .filter_map(|tag| tag.text("code"))
}

/// That a caller may change what is there: it is its own organisation's, see [`own_only`], and no result of the service's own
/// assessment. A result that others could change or take back would say what no rule said, and stand in the way of the next.
pub async fn changeable(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    resource: ResourceType,
    id: LogicalId,
) -> Result<(), End> {
    own_only(state, visit, permit, resource, id).await?;
    let made_here = [
        ResourceType::OBSERVATION,
        ResourceType::DETECTED_ISSUE,
        ResourceType::TASK,
    ];
    if !made_here.contains(&resource) || state.config.assessment.is_none() {
        return Ok(());
    }
    let stored = match state.desk.store.read(permit, resource, id).await {
        Ok(Some(stored)) => stored,
        // What is not there, or not any more, is the store's to refuse.
        Ok(None) | Err(StoreError::Gone) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if ours(stored_json(stored.body)?.root()).is_some() {
        return Err(refused(
            IssueCode::BusinessRule,
            resource.as_str(),
            "this is a result of the service's own assessment: correct or withdraw the reading it was made of; an alert is closed by its owner, by $resolve",
        )
        .into());
    }
    Ok(())
}

/// What rests here was checked before the server added its own: it is not refused for its length now.
pub fn stored_json(body: Bytes) -> Result<Json, Fault> {
    let room = Limits {
        bytes: usize::MAX,
        ..Limits::BUNDLE
    };
    Json::parse(body, room)
}

/// In a shared register: that what is to be changed was written by the caller's own organisation, or the caller speaks
/// for the register.
pub async fn own_only(
    state: &State,
    visit: &Visit<'_>,
    permit: &Permit,
    resource: ResourceType,
    id: LogicalId,
) -> Result<(), End> {
    let config = &state.config;
    let organisation = visit
        .caller()
        .organisation
        .map(|n| config.register.main_unit(n));
    if config.members.is_empty() || organisation == Some(config.owner) {
        return Ok(());
    }
    let Some(stored) = state.desk.store.read(permit, resource, id).await? else {
        return Err(Problem::not_found().into());
    };
    let json = stored_json(stored.body)?;
    let controller = |tag: &str| {
        let number = OrganisationNumber::parse(tag).ok()?;
        Some(config.register.main_unit(number))
    };
    // A sub-unit's tag is its controller's.
    let others =
        tags(json.root()).any(|tag| organisation.is_none() || controller(&tag) != organisation);
    if others {
        Err(End::Refused(OTHER_MEMBER))
    } else {
        Ok(())
    }
}

/// `{type}/{id}/_history/{version}`.
pub fn location(put: &PutOutcome) -> String {
    format!(
        "{}/{}/_history/{}",
        put.resource_type.as_str(),
        put.id,
        put.version
    )
}
