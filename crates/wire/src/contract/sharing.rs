//! A sharing service's paths (CONTRACT sections 1 and 6), and what it says about its copy: how it compares with its source,
//! and how old it is. The service's FHIR base is its whole URL (`{…}/{service-id}/fhir`), so paths here are relative to it.

/// Bundles are posted to the base itself.
pub const ROOT: &str = "/";
/// Search by POST, the only way for anything with a person's number.
pub const SEARCH: &str = "/{type}/_search";
/// Create.
pub const TYPE: &str = "/{type}";
/// Read, update (`If-Match`), withdraw.
pub const INSTANCE: &str = "/{type}/{id}";
/// The next page of a search, sealed for client, patient and service.
pub const PAGE: &str = "/_page/{sealed}";
/// The service's own trail.
pub const AUDIT_SEARCH: &str = "/AuditEvent/_search";
/// A record system compares what it holds with what is shared here (docs/guide/record-system.md).
pub const RECONCILE: &str = "/$reconcile";
/// Who may look at what is held about the patient (`wire::may_look`).
pub const MAY_LOOK: &str = "/$may-look";
/// Why an earlier request was refused, or what was left out of what was given (`wire::explained`).
pub const EXPLAIN: &str = "/$explain-access";
/// Most bytes of its answer that a gateway takes: each organisation that may look is a few thousand, and they may be many hundred.
pub const MAY_LOOK_BYTES: usize = 4 * 1024 * 1024;
/// How old the copy is; by POST the record system says up to when everything of it is here.
pub const COPY_STATE: &str = "/$copy-state";
/// Header of answers that give data: the instant (RFC 3339, UTC) up to which everything of the source is known to be here.
pub const COPY_AS_OF_HEADER: &str = "delt-copy-as-of";
/// Header of answers that give data: a [`CopyAge`], where the service judges its copy.
pub const COPY_STATE_HEADER: &str = "delt-copy-state";
/// The bucket of what has no beginning in time, among months.
pub const UNDATED: &str = "undated";
/// Scope with which the hub delivers.
pub const DELIVER_SCOPE: &str = "system/Observation.c";
/// Scope with which the hub delivers answers to questionnaires, here and at record systems.
pub const ANSWERS_SCOPE: &str = "system/QuestionnaireResponse.c";
/// Scope with which the hub delivers the resources of a document, as one transaction.
pub const DOCUMENT_SCOPE: &str = "system/Composition.c system/DetectedIssue.c system/Observation.c system/QuestionnaireResponse.c";

/// Header of a notification to a subscriber: the sending organisation's detached signature (RFC 7515 appendix F) over the body, by
/// a key of its participant document; `typ` is [`NOTIFICATION_TYP`].
pub const NOTIFICATION_SIGNATURE_HEADER: &str = "delt-signature";
/// `typ` of that signature.
pub const NOTIFICATION_TYP: &str = "delt-notification";
/// Scope with which another organisation's record system looks after the subscriptions of its own organisation: how they stand, what
/// was missed, and their end. Given under an agreement; it reads nothing of a patient's.
pub const FOLLOW_SCOPE: &str = "system/Subscription.rd";

/// The address of a search at a service.
pub fn search_url(base: &str, resource_type: &str) -> String {
    format!("{base}/{resource_type}/_search")
}

/// How a set or a resource of the source and the copy stand to each other, where they do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agreement {
    /// Both have it, with other content.
    Differs,
    /// The source has it; here it is not.
    Missing,
    /// The source has it; here it was withdrawn.
    Withdrawn,
    /// It is here; the source did not name it.
    Extra,
}

impl Agreement {
    /// Every word.
    pub const ALL: [Self; 4] = [Self::Differs, Self::Missing, Self::Withdrawn, Self::Extra];

    /// The code in an answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Withdrawn => "withdrawn",
            Self::Extra => "extra",
        }
    }

    /// From the code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == code)
    }
}

/// Whether a copy, or one feed of it, is as new as the service promises (`max_lag_minutes` in its configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CopyAge {
    /// It is.
    Ok,
    /// It is older, or nobody knows how old it is.
    Late,
    /// Nothing is promised.
    Unjudged,
}

impl CopyAge {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Unjudged => "unjudged",
        }
    }

    /// From the code.
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Ok, Self::Late, Self::Unjudged]
            .into_iter()
            .find(|one| one.as_str() == code)
    }
}
