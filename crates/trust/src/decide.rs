//! The one door to data: a verified caller asks, the rules answer, and only here is a [`Permit`] made.
//!
//! Deny wins; a rule that answers "nothing" (another patient than the token's) gives an empty answer that is audited as
//! refused; parts that rules allow are intersected, and what any rule leaves out is left out; where no rule granted anything
//! the answer is no.

mod standing;

pub use standing::{Follower, Standing, follow};

use crate::caller::{Caller, Person};
use crate::category::Category;
use crate::detail::Detail;
use crate::interaction::Interaction;
use crate::organisation::Register;
use crate::rules::{self, Answer, Parts, Question};
use crate::wish::{Known, Wish};
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::resource::{InformationService, ResourceType};
use fhir::search::Query;
use fhir::subset::{Withheld, closes};
use fhir::time::{Instant, Range};
use std::fmt;
use std::sync::Arc;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The kind of request.
    pub interaction: Interaction,
    /// The resource type it is about; `BUNDLE` for a batch, whose entries are asked one by one as well.
    pub resource: ResourceType,
    /// The patient named in the query, or of the resource that was found or sent; `None` where none is named.
    pub patient: Option<PersonIdentifier>,
}

impl Ask {
    /// A question that names no patient.
    pub fn of(interaction: Interaction, resource: ResourceType) -> Ask {
        Ask {
            interaction,
            resource,
            patient: None,
        }
    }
}

/// Which kind of party decides; the rules ask different things of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// An organisation's sharing service.
    Sharing,
    /// A consumer's gateway.
    Gateway,
    /// The locator.
    Locator,
    /// The hub.
    Hub,
    /// The catalogue.
    Catalogue,
}

/// What the deciding party knows about itself. Cheap to clone for each request.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What kind of party it is.
    pub party: Party,
    /// The organisation responsible for the data; for parties without patients' data, the one that runs them.
    pub owner: OrganisationNumber,
    /// The members of a shared register; empty otherwise. Members read it as their own.
    pub members: Arc<[OrganisationNumber]>,
    /// The audience of tokens for this party: its base URL.
    pub audience: Arc<str>,
    /// Sub-units and their controllers.
    pub register: Arc<Register>,
    /// What the patient of the request at hand has closed here; empty between requests.
    pub wishes: Arc<[Wish]>,
    /// Whether what patients set elsewhere is known.
    pub known: Arc<Known>,
    /// Now.
    pub now: Instant,
}

impl Facts {
    /// The same party at another moment.
    pub fn at(&self, now: Instant) -> Facts {
        Facts {
            now,
            ..self.clone()
        }
    }

    /// The same party with what the patient of a request has closed here.
    #[must_use]
    pub fn with(self, wishes: Arc<[Wish]>) -> Facts {
        Facts { wishes, ..self }
    }

    /// The wishes that hold now.
    pub fn wishes(&self) -> impl Iterator<Item = &Wish> {
        self.wishes.iter().filter(|wish| wish.holds(self.now))
    }

    /// Is this organisation, or the controller of this sub-unit, the owner or a member?
    pub fn is_own(&self, organisation: &OrganisationNumber) -> bool {
        let controller = self.register.main_unit(*organisation);
        controller == self.owner || self.members.contains(&controller)
    }
}

/// Why not. Safe to show to the caller and to log: no number, no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {message}")]
pub struct Refusal {
    /// The rule that refused.
    pub rule: &'static str,
    /// What kind of refusal it is.
    pub category: Category,
    /// A word for programs, such as `attestation_has_expired` or `insufficient_scope`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: &'static str,
}

/// What came out.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Go on, within the permit.
    Permit(Permit),
    /// Answer as if nothing were there (200 and an empty searchset, or 404), and audit it as refused.
    Nothing(Refusal),
    /// Refuse.
    Refuse(Refusal),
}

impl Decision {
    /// The permit, or the refusal of either kind.
    pub fn permit(self) -> Result<Permit, Refusal> {
        match self {
            Decision::Permit(permit) => Ok(permit),
            Decision::Nothing(refusal) | Decision::Refuse(refusal) => Err(refusal),
        }
    }
}

/// Whose data a permit opens.
#[derive(Clone, PartialEq, Eq)]
pub enum PermitScope {
    /// One patient's.
    Patient(PersonIdentifier),
    /// The whole of this one store: a system of the organisation itself, or one that writes for it.
    OwnStore,
    /// Nobody's: the caller tells something, and reads nothing.
    Nobody,
}

impl fmt::Debug for PermitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PermitScope::Patient(_) => "Patient",
            PermitScope::OwnStore => "OwnStore",
            PermitScope::Nobody => "Nobody",
        })
    }
}

/// The right to touch data. Only [`decide`] makes one; the store asks for it.
#[derive(Debug, Clone)]
pub struct Permit {
    scope: PermitScope,
    interaction: Interaction,
    services: Vec<InformationService>,
    period: Option<Range>,
    own: bool,
    broken: Vec<&'static str>,
    narrowed: Vec<(&'static str, Vec<InformationService>)>,
    reduced: Vec<(&'static str, Vec<Detail>)>,
    withheld: Vec<Withheld>,
    rules: Vec<(&'static str, u32)>,
}

impl Permit {
    /// Whose data.
    pub fn patient(&self) -> &PermitScope {
        &self.scope
    }

    /// For which kind of request it was given.
    pub fn interaction(&self) -> Interaction {
        self.interaction
    }

    /// Which information services; what is not listed is not given.
    pub fn services(&self) -> &[InformationService] {
        &self.services
    }

    /// Which time the data must overlap; `None` is all time.
    pub fn period(&self) -> Option<Range> {
        self.period
    }

    /// Does the organisation itself ask (its system, or somebody who works there), or a system that writes for it? To all
    /// others only what it publishes is there.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// The rules that break the glass overrode; each use of such a permit is shown to the patient and reviewed.
    pub fn broken(&self) -> &[&'static str] {
        &self.broken
    }

    /// The kinds that each rule left out, so that it can be explained.
    pub fn narrowed(&self) -> &[(&'static str, Vec<InformationService>)] {
        &self.narrowed
    }

    /// The details of resources that each rule left out, so that it can be explained.
    pub fn reduced(&self) -> &[(&'static str, Vec<Detail>)] {
        &self.reduced
    }

    /// The elements that are left out of every resource given under this permit, of whatever type; empty: none are.
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }

    /// Whether the answer to a search depends on nothing that is left out: what it finds, in which order, what it is joined
    /// with and what comes along, each by its parameter's own path.
    ///
    /// # Errors
    /// The refusal, by the rule that leaves it out. It tells of the caller and the question, and nothing of the data.
    pub fn may_ask(&self, query: &Query) -> Result<(), Refusal> {
        if self.withheld.is_empty() {
            return Ok(());
        }
        let reads = query.reads();
        let closed = |details: &[Detail]| {
            let all: Vec<_> = details
                .iter()
                .flat_map(|one| one.elements())
                .copied()
                .collect();
            reads
                .iter()
                .any(|(resource, parameter)| closes(&all, *resource, parameter))
        };
        match self.reduced.iter().find(|(_, details)| closed(details)) {
            None => Ok(()),
            Some((rule, _)) => Err(Refusal {
                rule,
                category: Category::Forbidden,
                code: "detail_closed",
                message: "the search asks about details that this role or purpose does not open",
            }),
        }
    }

    /// The rules that were asked, with their versions, so that the decision can be explained later.
    pub fn rules(&self) -> &[(&'static str, u32)] {
        &self.rules
    }

    /// Does the permit open this information service? A resource without one (such as AuditEvent) is governed by the
    /// interaction alone.
    pub fn opens(&self, service: Option<InformationService>) -> bool {
        service.is_none_or(|service| self.services.contains(&service))
    }
}

const NO_GRANT: Refusal = Refusal {
    rule: "role",
    category: Category::Forbidden,
    code: "access_denied",
    message: "no rule allows this",
};

/// Asks every rule in the order of [`rules::LIST`].
pub fn decide(ask: &Ask, caller: &Caller, facts: &Facts) -> Decision {
    let question = Question { ask, caller, facts };
    let mut nothing = None;
    let mut parts = Parts::default();
    let breaks = question.breaks_the_glass();
    let mut broken = Vec::new();
    let mut narrowed = Vec::new();
    let mut reduced = Vec::new();
    for rule in rules::LIST {
        match (rule.check)(&question) {
            Answer::Deny(refusal) => return Decision::Refuse(refusal),
            Answer::DenyUnlessBroken(_) | Answer::AllowMoreIfBroken(_) if breaks => {
                broken.push(rule.name);
            }
            Answer::DenyUnlessBroken(refusal) => return Decision::Refuse(refusal),
            Answer::AllowMoreIfBroken(allowed) | Answer::Allow(allowed) => {
                narrowed.extend(left_out(rule, &allowed));
                // The trail of accesses has views of its own.
                if !allowed.without.is_empty() && ask.resource != ResourceType::AUDIT_EVENT {
                    reduced.push((rule.name, allowed.without.to_vec()));
                }
                parts = parts.and(allowed);
            }
            Answer::Nothing(refusal) => nothing = nothing.or(Some(refusal)),
            Answer::NotMine => {}
        }
    }
    if let Some(refusal) = nothing {
        return Decision::Nothing(refusal);
    }
    let Some(scope) = parts.scope else {
        return Decision::Refuse(NO_GRANT);
    };
    let works_here = matches!(caller.person, Person::Practitioner { .. })
        && caller
            .organisation
            .is_some_and(|organisation| facts.is_own(&organisation));
    Decision::Permit(Permit {
        own: works_here || scope == PermitScope::OwnStore,
        broken,
        narrowed,
        withheld: elements(&reduced),
        reduced,
        interaction: ask.interaction,
        services: match scope {
            PermitScope::Nobody => Vec::new(),
            _ => parts.services.unwrap_or_default(),
        },
        scope,
        period: parts.period,
        rules: rules::LIST
            .iter()
            .map(|rule| (rule.name, rule.version))
            .collect(),
    })
}

/// The elements of all details that rules left out, each detail's once.
fn elements(reduced: &[(&'static str, Vec<Detail>)]) -> Vec<Withheld> {
    let out = |detail: &Detail| reduced.iter().any(|(_, details)| details.contains(detail));
    let all = Detail::ALL.into_iter().filter(out);
    all.flat_map(Detail::elements).copied().collect()
}

/// The kinds that a rule's answer leaves out; `None` where it leaves out none.
fn left_out(
    rule: &rules::Rule,
    allowed: &Parts,
) -> Option<(&'static str, Vec<InformationService>)> {
    let open = allowed.services.as_ref()?;
    let out: Vec<_> = InformationService::ALL
        .into_iter()
        .filter(|one| !open.contains(one))
        .collect();
    (!out.is_empty() || allowed.period.is_some()).then_some((rule.name, out))
}

/// The right of the organisation's own assessment to read one patient's data in its own store and to write there what comes of
/// it. Nobody asks and nothing leaves, so there is no caller to decide about; each result is on record as
/// [`Interaction::Assess`].
pub fn assess(patient: PersonIdentifier) -> Permit {
    Permit {
        scope: PermitScope::Patient(patient),
        interaction: Interaction::Assess,
        services: InformationService::ALL.to_vec(),
        period: None,
        own: true,
        broken: Vec::new(),
        narrowed: Vec::new(),
        reduced: Vec::new(),
        withheld: Vec::new(),
        rules: Vec::new(),
    }
}

/// Asks only the rules about the person and the documented need ([`rules::NEED`]): attest, identity, purpose, decision
/// reference, patient binding. The anchor asks this before it issues a token that opens patients' data.
pub fn need(caller: &Caller, facts: &Facts) -> Result<(), Refusal> {
    let ask = Ask::of(Interaction::Lookup, ResourceType::BUNDLE);
    none_denies(rules::NEED, &ask, caller, facts)
}

/// Whether the caller may be shown a list of the organisation's patients at all. It opens nobody's data: each patient on it is
/// decided about by herself, by [`decide`] with her named and with what she has closed.
pub fn may_list(caller: &Caller, facts: &Facts) -> Result<(), Refusal> {
    let ask = Ask::of(Interaction::WorkList, ResourceType::TASK);
    none_denies(rules::LIST, &ask, caller, facts)
}

fn none_denies(
    rules: &[rules::Rule],
    ask: &Ask,
    caller: &Caller,
    facts: &Facts,
) -> Result<(), Refusal> {
    let question = Question { ask, caller, facts };
    for rule in rules {
        if let Answer::Deny(refusal)
        | Answer::DenyUnlessBroken(refusal)
        | Answer::Nothing(refusal) = (rule.check)(&question)
        {
            return Err(refusal);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
