//! What a scenario makes happen, ready to send: the resource, when it is sent, by which way and for whom.

use bytes::Bytes;
use fhir::time::Instant;

/// By which way a resource enters the region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// A home system posts it to the hub.
    Hub {
        /// Organisation number that the home system sends for.
        sender: String,
    },
    /// A record system feeds its own organisation's sharing service.
    Feed {
        /// Service id.
        service: String,
        /// Organisation number of the record system's organisation: the responsible one or a member.
        writer: String,
    },
}

/// What is done with the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// It replaces what an earlier event of the same key made.
    Correct,
    /// What an earlier event of the same key made is taken back; the body repeats what it was.
    Withdraw,
}

/// One thing that happens. Debug shows no body: it is about a person.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// When it is sent.
    pub at: Instant,
    /// Names the resource for good; a resend has the same key.
    pub key: String,
    /// By which way.
    pub route: Route,
    /// Organisation number of the service's responsible organisation.
    pub owner: String,
    /// Service id where it ends up.
    pub service: String,
    /// What is done.
    pub action: Action,
    /// FHIR resource type.
    pub resource_type: &'static str,
    /// The resource as FHIR JSON.
    pub body: Bytes,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {} {:?} ({} bytes)",
            self.action,
            self.resource_type,
            self.route,
            self.body.len()
        )
    }
}

/// Puts events in the order in which they are sent; what is sent at one moment stays in the order given.
pub fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| event.at);
    events
}
