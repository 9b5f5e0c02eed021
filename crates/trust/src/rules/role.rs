//! Role: who may do what at which party at all. This rule grants; every other rule only takes away.
//!
//! Source: pasientjournalloven § 19 (health personnel get the data they need), pasient- og brukerrettighetsloven § 5-1
//! (a patient's own access), data processing on instruction (personvernforordningen art. 28 and 29) for delegated
//! writers. Example: a citizen searches her own Observations; the same citizen creates none. The hub writes at
//! Fjellvik's service because Fjellvik delegated that; without the delegation it is refused.

use super::{Answer, Parts, Question, Rule, deny};
use crate::caller::{ClientUse, Person};
use crate::decide::{Party, PermitScope};
use crate::interaction::Interaction::{self, *};

pub(super) const RULE: Rule = Rule {
    name: "role",
    version: 6,
    source: "pasientjournalloven § 19; pasient- og brukerrettighetsloven § 5-1",
    check,
};

/// What kinds of caller there are to this rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Practitioner,
    /// Who works in the owner's own organisation.
    Personnel,
    Citizen,
    /// A client of the owner's own organisation, registered for this use.
    Own(ClientUse),
    /// A client that writes for the owner by delegation.
    Delegate,
    /// A client of any organisation, registered for this use.
    Any(ClientUse),
}

/// Party; who; what. Nothing that is not in the table is allowed.
const TABLE: &[(Party, Who, &[Interaction])] = &[
    (
        Party::Sharing,
        Who::Practitioner,
        &[
            Read,
            Search,
            Validate,
            Explain,
            Subscribe,
            SubscriptionRead,
            Unsubscribe,
        ],
    ),
    (Party::Sharing, Who::Personnel, &[AlertStep, WorkList]),
    // Its own organisation's subscriptions alone, which the service asks of each: nothing is opened by this but what they open.
    (
        Party::Sharing,
        Who::Any(ClientUse::RecordSystem),
        &[SubscriptionRead, Unsubscribe],
    ),
    // Which organisations' services are heard, and of which alerts, the service asks of its own agreements and the signature.
    (Party::Sharing, Who::Any(ClientUse::Service), &[AlertTold]),
    (
        Party::Sharing,
        Who::Citizen,
        &[
            Read,
            Search,
            Validate,
            AuditSearch,
            WishMade,
            WishesRead,
            WishEnded,
            MayLook,
            Explain,
        ],
    ),
    (
        Party::Sharing,
        Who::Own(ClientUse::RecordSystem),
        &[
            Read,
            Search,
            Create,
            Update,
            Withdraw,
            Replace,
            Purge,
            Batch,
            Validate,
            AuditSearch,
            Explain,
            ReviewsRead,
            ReviewClosed,
            Subscribe,
        ],
    ),
    (
        Party::Sharing,
        Who::Delegate,
        &[Create, Update, Batch, Validate],
    ),
    (Party::Gateway, Who::Practitioner, &[Lookup, Read, Search]),
    (
        Party::Gateway,
        Who::Citizen,
        &[
            Lookup,
            Read,
            Search,
            AuditSearch,
            WishMade,
            WishesRead,
            WishEnded,
            MayLook,
            Explain,
        ],
    ),
    (Party::Locator, Who::Practitioner, &[Locate]),
    (Party::Locator, Who::Citizen, &[Locate]),
    (Party::Locator, Who::Any(ClientUse::Service), &[Register]),
    // Whose entries they are, the catalogue asks of each statement's signature.
    (Party::Catalogue, Who::Any(ClientUse::Service), &[Publish]),
    (
        Party::Hub,
        Who::Any(ClientUse::HomeSystem),
        &[Create, Batch, Deliveries],
    ),
    // For which organisation, the hub takes from who asks.
    (Party::Hub, Who::Any(ClientUse::RecordSystem), &[Assign]),
    // Documents for its own organisation's record system and what became of each, and nothing else: the hub asks that of what is sent.
    (
        Party::Hub,
        Who::Any(ClientUse::Service),
        &[Batch, Deliveries],
    ),
];

fn is(question: &Question<'_>, who: Who) -> bool {
    let (caller, facts) = (question.caller, question.facts);
    let system = matches!(caller.person, Person::System);
    match who {
        Who::Practitioner => {
            matches!(caller.person, Person::Practitioner { .. }) && caller.organisation.is_some()
        }
        Who::Personnel => {
            is(question, Who::Practitioner)
                && caller
                    .organisation
                    .is_some_and(|organisation| facts.is_own(&organisation))
        }
        Who::Citizen => matches!(caller.person, Person::Citizen { .. }),
        Who::Own(use_) => {
            system
                && caller.use_ == use_
                && caller
                    .organisation
                    .is_some_and(|organisation| facts.is_own(&organisation))
        }
        Who::Delegate => {
            system
                && matches!(caller.use_, ClientUse::Hub | ClientUse::Service)
                && caller
                    .delegation
                    .as_ref()
                    .is_some_and(|delegation| facts.is_own(&delegation.from))
        }
        Who::Any(use_) => system && caller.use_ == use_,
    }
}

fn check(question: &Question<'_>) -> Answer {
    let (ask, facts) = (question.ask, question.facts);
    let grant = |scope| {
        Answer::Allow(Parts {
            scope: Some(scope),
            ..Parts::default()
        })
    };
    // The catalogue holds nothing about patients: whoever has a token for it may read it.
    if facts.party == Party::Catalogue && ask.interaction == Directory {
        return grant(PermitScope::OwnStore);
    }
    let granted = TABLE.iter().any(|(party, who, interactions)| {
        *party == facts.party && interactions.contains(&ask.interaction) && is(question, *who)
    });
    match (granted, &question.caller.person, &question.caller.patient) {
        (false, ..) => deny(
            "role",
            "access_denied",
            "this kind of caller may not do this here",
        ),
        // What it is told stands in the message; nothing of the store is its to read.
        (true, Person::System, _) if ask.interaction == AlertTold => grant(PermitScope::Nobody),
        (true, Person::System, _) => grant(PermitScope::OwnStore),
        // Each patient of a list is asked about by herself; without a name nobody's data is opened.
        (true, ..) if ask.interaction == WorkList => match &ask.patient {
            Some(patient) => grant(PermitScope::Patient(patient.clone())),
            None => Answer::NotMine,
        },
        (true, _, Some(patient)) => grant(PermitScope::Patient(patient.clone())),
        // The rule `patient` refuses this, with its own words.
        (true, _, None) => Answer::NotMine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::PermitScope;
    use crate::rules::people::{Case, FJELLVIK, OTHER, PROVEHEIM, org, permit, refused_by};

    #[test]
    fn practitioners_read_and_write_nothing() {
        for (interaction, allowed) in [
            (Read, true),
            (Search, true),
            (Create, false),
            (Withdraw, false),
            (AuditSearch, false),
        ] {
            let mut case = Case::practitioner();
            case.ask.interaction = interaction;
            assert_eq!(refused_by(&case).is_none(), allowed, "{interaction:?}");
        }
    }

    #[test]
    fn own_personnel_take_steps_of_alerts_and_nobody_elses() {
        let mut case = Case::practitioner();
        case.ask = crate::Ask::of(AlertStep, fhir::resource::ResourceType::TASK);
        case.caller.scopes = crate::scope::Scopes::parse("user/Task.u").unwrap_or_default();
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
        case.facts.owner = org(PROVEHEIM);
        assert_eq!(refused_by(&case), None);
        case.caller.scopes = crate::scope::Scopes::parse("user/*.rs").unwrap_or_default();
        assert_eq!(refused_by(&case), Some(("scope", "insufficient_scope")));
    }

    #[test]
    fn a_record_system_owns_its_own_store_and_no_other() {
        let mut case = Case::system(ClientUse::RecordSystem, FJELLVIK);
        for interaction in [Read, Search, Create, Update, Withdraw, Batch, AuditSearch] {
            case.ask.interaction = interaction;
            assert_eq!(
                permit(&case).patient(),
                &PermitScope::OwnStore,
                "{interaction:?}"
            );
        }
        case.caller.organisation = Some(org(PROVEHEIM));
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
        // A member of a shared register counts as the owner.
        case.facts.members = [org(PROVEHEIM), org(OTHER)].into();
        assert_eq!(refused_by(&case), None);
    }

    #[test]
    fn a_delegate_writes_only_for_whom_delegated() {
        let mut case = Case::system(ClientUse::Hub, PROVEHEIM);
        case.ask.interaction = Create;
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
        case.delegate(OTHER);
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
        case.delegate(FJELLVIK);
        assert_eq!(refused_by(&case), None);
        case.ask.interaction = Search;
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
        case.ask.interaction = Create;
        case.caller.use_ = ClientUse::HomeSystem;
        assert_eq!(refused_by(&case), Some(("role", "access_denied")));
    }

    #[test]
    fn a_service_that_tells_of_an_alert_is_given_nothing_to_read() {
        let mut case = Case::system(ClientUse::Service, PROVEHEIM);
        case.ask = crate::Ask::of(AlertTold, fhir::resource::ResourceType::TASK);
        let permit = permit(&case);
        assert_eq!(permit.patient(), &PermitScope::Nobody);
        assert_eq!(permit.services(), []);
        assert!(!permit.is_own());
        assert_eq!(
            permit.narrowed(),
            [],
            "nothing was asked for that is left out"
        );
    }

    #[test]
    fn a_gateways_own_token_reads_no_patient() {
        for use_ in [
            ClientUse::Gateway,
            ClientUse::Portal,
            ClientUse::HomeSystem,
            ClientUse::Service,
            ClientUse::Test,
        ] {
            let case = Case::system(use_, FJELLVIK);
            assert_eq!(
                refused_by(&case),
                Some(("role", "access_denied")),
                "{use_:?}"
            );
        }
    }
}
