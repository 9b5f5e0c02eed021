//! How parties speak: the contracts between roles, the error edge, the guard in front of protected routes, the outgoing
//! client, the courier and the completeness receipt. HTTP lives here; SQL does not (`store`), nor do rules (`trust`).

pub mod body;
pub mod bundle;
pub mod client;
pub mod contract;
pub mod courier;
pub mod doorstep;
pub mod drift;
pub mod entries;
pub mod explained;
pub mod form;
pub mod inert;
pub mod last_copy;
pub mod may_look;
pub mod members;
pub mod oauth_error;
pub mod openapi;
pub mod operation;
pub mod outcome;
pub mod pace;
pub mod paging;
mod parts;
pub mod protect;
pub mod receipt;
pub mod request_id;
pub mod route;
pub mod signed;
pub mod smart;
pub mod stop;
pub mod visit;

use std::path::PathBuf;

pub use stop::Stop;

/// What the server hands each role: time, randomness, network, a folder and the stop signal.
#[derive(Clone)]
pub struct House {
    /// The clock.
    pub clock: store::Clock,
    /// How workers wait, and answers that are not to come at once, by the same clock.
    pub pause: stop::Pause,
    /// Random ids.
    pub ids: store::Ids,
    /// The outgoing client.
    pub http: client::Http,
    /// The role's own folder.
    pub data: PathBuf,
    /// Given when the process is to end.
    pub stop: Stop,
    /// An issuer besides the anchor whose tokens count, if the configuration names one.
    pub other_issuer: Option<std::sync::Arc<protect::OtherIssuer>>,
}

impl House {
    /// Clock and ids in the form that `Store::open` takes.
    pub fn surroundings(&self) -> store::Surroundings {
        store::Surroundings {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
        }
    }
}

/// Something a role does besides answering: announcing, delivering, probing. It ends when the stop signal was given.
pub struct Worker {
    /// For the log.
    pub name: &'static str,
    /// The work itself.
    pub run: futures::future::BoxFuture<'static, ()>,
}

impl Worker {
    /// A worker with a name.
    pub fn new(name: &'static str, run: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            name,
            run: Box::pin(run),
        }
    }
}
