//! A sharing service's paths (CONTRACT sections 1 and 6), and what it says about its copy: how it compares with its source,
//! and how old it is. The service's FHIR base is its whole URL (`{…}/{service-id}/fhir`), so paths here are relative to it.

use super::ContractError;
use fhir::json::Node;
use fhir::time::{Instant, parse_instant};
use serde_json::{Value, json};

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
/// How old the copy is; by POST the record system says up to when everything of it is here, or a feed that it is alive ([`Alive`]).
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

/// What a feed says of itself by `POST` [`COPY_STATE`] when it has nothing new: that it is alive, and who of those that it passes on for
/// has been silent for longer than expected. It says nothing of how far the copy has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alive {
    /// Who is silent; at most [`Alive::MOST`].
    pub silent: Vec<Silent>,
}

/// Somebody who has not been heard for longer than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Its client id.
    pub sender: String,
    /// What people call it.
    pub name: String,
    /// When something of it was last taken in; `None`: never.
    pub since: Option<Instant>,
}

impl Silent {
    /// As a parameter `silent` with the parts `sender`, `name` (strings) and `since` (instant, absent: never).
    pub fn to_json(&self) -> Value {
        let mut parts = vec![
            json!({"name": "sender", "valueString": self.sender}),
            json!({"name": "name", "valueString": self.name}),
        ];
        let since = self.since.map(|at| at.to_string());
        parts.extend(since.map(|at| json!({"name": "since", "valueInstant": at})));
        json!({"name": "silent", "part": parts})
    }
}

impl Alive {
    /// Most who are named.
    pub const MOST: usize = 100;
    /// Longest client id or name, in characters.
    pub const LONGEST: usize = 200;

    /// As Parameters: `alive` (boolean, true) and each who is silent ([`Silent::to_json`]).
    pub fn to_json(&self) -> Value {
        let mut all = vec![json!({"name": "alive", "valueBoolean": true})];
        all.extend(self.silent.iter().map(Silent::to_json));
        json!({"resourceType": "Parameters", "parameter": all})
    }

    /// Whether Parameters say this, and not up to when everything is here.
    pub fn is_said(parameters: Node<'_>) -> bool {
        named(parameters.get("parameter"), "alive").next().is_some()
    }

    /// Reads Parameters.
    ///
    /// # Errors
    /// [`ContractError`] where something is missing, strange or too much.
    pub fn read(parameters: Node<'_>) -> Result<Alive, ContractError> {
        let fault = |fault| ContractError {
            document: "sign of life",
            fault,
        };
        let all = parameters.get("parameter");
        let known = ["alive", "silent"];
        let names = all.into_iter().flat_map(Node::items);
        let strange = |one: Node<'_>| !one.text("name").is_some_and(|name| known.contains(&&*name));
        if names.into_iter().any(strange) {
            return Err(fault("parameters are alive and silent"));
        }
        let alive: Vec<_> = named(all, "alive").collect();
        let yes = |one: &Node<'_>| one.get("valueBoolean").and_then(Node::bool) == Some(true);
        if alive.len() != 1 || !alive.iter().all(yes) {
            return Err(fault("alive is true, once"));
        }
        if named(all, "silent").count() > Self::MOST {
            return Err(fault("at most 100 who are silent"));
        }
        let silent = |one: Node<'_>| {
            let part = |name| named(one.get("part"), name).next();
            let text = |name: &'static str| {
                let text = part(name)?.text("valueString")?.into_owned();
                let sound = !text.is_empty()
                    && text.chars().count() <= Self::LONGEST
                    && !text.chars().any(char::is_control);
                sound.then_some(text)
            };
            let since = part("since").map(|one| {
                let text = one.text("valueInstant");
                text.and_then(|text| parse_instant(&text).ok())
                    .ok_or(fault("silent.since"))
            });
            Ok(Silent {
                sender: text("sender").ok_or(fault("silent.sender"))?,
                name: text("name").ok_or(fault("silent.name"))?,
                since: since.transpose()?,
            })
        };
        let silent = named(all, "silent").map(silent);
        Ok(Alive {
            silent: silent.collect::<Result<_, _>>()?,
        })
    }
}

/// Those of a list of parameters that have this name.
fn named<'a>(all: Option<Node<'a>>, name: &'static str) -> impl Iterator<Item = Node<'a>> {
    let all = all.into_iter().flat_map(Node::items);
    all.filter(move |one| one.text("name").as_deref() == Some(name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;
    use fhir::json::{Json, Limits};

    fn read(value: &Value) -> Result<Alive, ContractError> {
        let json = Json::parse(value.to_string(), Limits::RESOURCE).unwrap();
        assert!(Alive::is_said(json.root()), "{value}");
        Alive::read(json.root())
    }

    #[test]
    fn a_sign_of_life_reads_again_and_what_is_strange_is_none() {
        let since = parse_instant("2026-11-21T02:12:00Z").unwrap();
        let silent = |since| Silent {
            sender: "home-fjellvik".into(),
            name: "Hjemmesystemet".into(),
            since,
        };
        let said = Alive {
            silent: vec![silent(Some(since)), silent(None)],
        };
        assert_eq!(read(&said.to_json()), Ok(said.clone()));
        assert_eq!(read(&Alive::default().to_json()), Ok(Alive::default()));
        for (at, value) in [
            ("/parameter/0/valueBoolean", json!(false)),
            ("/parameter/1/name", json!("loud")),
            ("/parameter/1/name", json!("alive")),
            ("/parameter/1/part/0/valueString", json!("")),
            ("/parameter/1/part/1/valueString", json!("a\nb")),
            ("/parameter/1/part/1/valueString", json!("a".repeat(201))),
            ("/parameter/1/part/2/valueInstant", json!("at night")),
        ] {
            let mut json = said.to_json();
            *json.pointer_mut(at).unwrap() = value;
            assert!(read(&json).is_err(), "{at}");
        }
        let crowd = Alive {
            silent: vec![silent(None); Alive::MOST + 1],
        };
        assert!(read(&crowd.to_json()).is_err());
    }
}
