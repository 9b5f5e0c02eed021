//! The closed list of things a caller can ask for; the audit trail and the rules speak of nothing else.

use crate::scope::Access;

/// One kind of request. Closed: a new route takes one of these or adds one here, with its row in the table below.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Interaction {
    /// One resource by its id.
    Read,
    /// A search in one organisation's store, or its next page.
    Search,
    /// A new resource.
    Create,
    /// A new version of a resource.
    Update,
    /// A resource taken back by its owner.
    Withdraw,
    /// A whole series put in the place of what is there.
    Replace,
    /// Resources erased with all their versions, on the controller's order.
    Purge,
    /// A bundle whose entries are each their own interaction.
    Batch,
    /// A resource looked over by the rules for writing; nothing is read or kept.
    Validate,
    /// The audit trail, searched.
    AuditSearch,
    /// The gateway's question to every holder.
    Lookup,
    /// Pointers told to the locator.
    Register,
    /// The holders of one patient's data asked of the locator.
    Locate,
    /// Read from the catalogue; never about a patient.
    Directory,
    /// What an organisation offers, stated to the catalogue.
    Publish,
    /// Delivery state, dead letters and quarantine asked of the hub by the sender.
    Deliveries,
    /// Which device measures whom, stated to the hub by the organisation that lent it out, or asked.
    Assign,
    /// A block or reservation made by the patient.
    WishMade,
    /// The patient's own blocks and reservations, listed.
    WishesRead,
    /// A block or reservation taken back by the patient.
    WishEnded,
    /// Who may look at the patient's data as the rules stand, asked by the patient.
    MayLook,
    /// Why an earlier request was refused or narrowed.
    Explain,
    /// Broken glass that waits for the controller's look, listed.
    ReviewsRead,
    /// What the controller found of one such request.
    ReviewClosed,
    /// The organisation's own assessment of a patient's readings, and what it wrote; nobody asked.
    Assess,
    /// A step of an alert by a person of the organisation: owned, acknowledged, assessed, closed, handed over.
    AlertStep,
    /// The list of the organisation's own patients under follow-up, by a token that names none of them.
    WorkList,
    /// An alert offered to, or answered at, another organisation's service.
    AlertTold,
    /// A subscription made, or asked to be active again.
    Subscribe,
    /// Subscriptions of one's own: how they stand, and their events.
    SubscriptionRead,
    /// A subscription ended by its subscriber.
    Unsubscribe,
    /// A notification sent to a subscriber; nobody asked.
    Notify,
    /// A token asked of the anchor.
    Token,
    /// Something suspended, resumed or ended at the anchor, a key of its own changed, or the list of such changes.
    Operate,
    /// The end of an audit trail told to the anchor, or asked of it.
    Witness,
}

/// What one interaction is called in FHIR and what right it takes.
struct Row(Interaction, &'static str, &'static str, Option<Access>);

/// Interaction; code in FHIR's restful-interaction or our own system; AuditEvent.action; right in a scope.
const TABLE: &[Row] = &[
    Row(Interaction::Read, "read", "R", Some(Access::Read)),
    Row(
        Interaction::Search,
        "search-type",
        "R",
        Some(Access::Search),
    ),
    Row(Interaction::Create, "create", "C", Some(Access::Create)),
    Row(Interaction::Update, "update", "U", Some(Access::Update)),
    Row(Interaction::Withdraw, "delete", "D", Some(Access::Delete)),
    Row(Interaction::Replace, "operation", "U", Some(Access::Update)),
    Row(Interaction::Purge, "operation", "D", Some(Access::Delete)),
    Row(Interaction::Batch, "batch", "C", Some(Access::Create)),
    Row(Interaction::Validate, "operation", "E", None),
    Row(
        Interaction::AuditSearch,
        "search-type",
        "R",
        Some(Access::Search),
    ),
    Row(
        Interaction::Lookup,
        "search-type",
        "R",
        Some(Access::Search),
    ),
    Row(Interaction::Register, "create", "C", Some(Access::Create)),
    Row(Interaction::Locate, "read", "R", Some(Access::Read)),
    Row(Interaction::Directory, "read", "R", None),
    Row(Interaction::Publish, "update", "U", Some(Access::Update)),
    // Whoever may send may ask what became of it.
    Row(
        Interaction::Deliveries,
        "operation",
        "R",
        Some(Access::Create),
    ),
    Row(Interaction::Assign, "operation", "U", Some(Access::Update)),
    Row(Interaction::WishMade, "create", "C", Some(Access::Create)),
    Row(
        Interaction::WishesRead,
        "search-type",
        "R",
        Some(Access::Search),
    ),
    Row(Interaction::WishEnded, "delete", "D", Some(Access::Delete)),
    // It stands beside the trail, and takes the same right.
    Row(Interaction::MayLook, "operation", "R", Some(Access::Search)),
    Row(Interaction::Explain, "operation", "R", None),
    Row(
        Interaction::ReviewsRead,
        "operation",
        "R",
        Some(Access::Search),
    ),
    Row(
        Interaction::ReviewClosed,
        "operation",
        "U",
        Some(Access::Update),
    ),
    // Its results are stored: to the patient it is something that was written.
    Row(Interaction::Assess, "operation", "C", None),
    Row(
        Interaction::AlertStep,
        "operation",
        "U",
        Some(Access::Update),
    ),
    Row(
        Interaction::WorkList,
        "operation",
        "R",
        Some(Access::Search),
    ),
    Row(
        Interaction::AlertTold,
        "operation",
        "C",
        Some(Access::Create),
    ),
    Row(Interaction::Subscribe, "create", "C", Some(Access::Create)),
    Row(
        Interaction::SubscriptionRead,
        "operation",
        "R",
        Some(Access::Read),
    ),
    Row(
        Interaction::Unsubscribe,
        "delete",
        "D",
        Some(Access::Delete),
    ),
    // What it names is given out: to the patient it is something that was seen.
    Row(Interaction::Notify, "operation", "R", None),
    Row(Interaction::Token, "operation", "E", None),
    Row(Interaction::Operate, "operation", "E", None),
    Row(Interaction::Witness, "operation", "E", None),
];

impl Interaction {
    /// Every interaction, in table order.
    pub fn all() -> impl Iterator<Item = Interaction> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static Row {
        // Every variant has its row; the test below walks an exhaustive match.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }

    /// The code of `http://hl7.org/fhir/restful-interaction` nearest to it.
    pub fn restful(self) -> &'static str {
        self.row().1
    }

    /// `AuditEvent.action`: C, R, U, D or E.
    pub fn action(self) -> &'static str {
        self.row().2
    }

    /// The right that a SMART scope must give, where the answer depends on one resource type.
    pub fn access(self) -> Option<Access> {
        self.row().3
    }

    /// Does it only read?
    pub fn reads(self) -> bool {
        self.action() == "R"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interaction_has_one_row() {
        use Interaction::*;
        for one in [
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
            Lookup,
            Register,
            Locate,
            Directory,
            Publish,
            Deliveries,
            Assign,
            WishMade,
            WishesRead,
            WishEnded,
            MayLook,
            Explain,
            ReviewsRead,
            ReviewClosed,
            Assess,
            AlertStep,
            WorkList,
            AlertTold,
            Subscribe,
            SubscriptionRead,
            Unsubscribe,
            Notify,
            Token,
            Operate,
            Witness,
        ] {
            assert_eq!(
                TABLE.iter().filter(|row| row.0 == one).count(),
                1,
                "{one:?}"
            );
        }
        assert_eq!(Interaction::all().count(), TABLE.len());
        assert!(Search.reads() && !Batch.reads() && !Token.reads());
    }
}
