//! The portal: pages for clinicians and citizens (first form). A person is chosen. A clinician opens a patient for a purpose,
//! and one page shows what every organisation that answered has: curves with the tables beside them, the plan, the
//! medication lists side by side, and who did not answer. A record system opens that page in context (SMART launch). A citizen
//! signs in about herself, reads who looked and who may look, and closes her record to them. Who works at an organisation sees the list of
//! its patients under follow-up, and takes steps of their alerts, at the organisation's own service. For those who build and operate, one page shows what
//! the catalogue lists.
//!
//! It must never hold a token in the browser, show one patient's data under another's banner, or put a person's number
//! into an address. It has no store of its own: sessions live in memory and end with the process; what it shows is
//! looked up anew for each page. Pages follow WCAG 2.1 AA and Designsystemet, and are whole without script.

mod alert;
mod api;
mod calendar;
mod citizen;
mod clinician;
mod cross_site;
mod launch;
mod list;
mod look_up;
mod may_look;
mod offers;
mod page;
mod session;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use wire::contract::demo::{DemoPatient, DemoPractitioner};
use wire::{House, Worker};

pub use api::{ROUTES, routes};

/// What the portal needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The portal's own origin, for example `https://portal.example`; no path, no slash at the end.
    pub base: String,
    /// The gateway's base, to which `/fhir` is appended.
    pub gateway: String,
    /// The catalogue's base, to which `/fhir` is appended.
    pub catalogue: String,
    /// The portal's own client (CONTRACT section 2), with which it reads the catalogue and is launched. Without it no organisation can
    /// be chosen by hand, and no record system can open it.
    #[serde(default)]
    pub client_file: Option<PathBuf>,
    /// IANA name of the zone in which people read the clock.
    #[serde(default = "oslo")]
    pub zone: String,
    /// Language of a browser that has chosen none: `nb`, `nn` or `en`.
    #[serde(default = "bokmal")]
    pub language: String,
    /// HPR numbers of those who may open the portal on their own, without a record system that vouches for them. None: nobody may.
    #[serde(default)]
    pub staff: Vec<String>,
    /// Whether citizens may sign in at the anchor, to their own pages.
    #[serde(default)]
    pub citizens: bool,
    /// Names of organisations, for display.
    #[serde(default)]
    pub organisations: Vec<Organisation>,
    /// The demo's people, who may be chosen without a sign-in. Outside demo mode there is none.
    #[serde(default)]
    pub demo: Option<DemoPeople>,
}

/// An organisation's name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Organisation number or RESH id.
    pub orgnr: String,
    /// Name.
    pub name: String,
    /// The controller, for a sub-unit.
    #[serde(default)]
    pub part_of: Option<String>,
}

/// Synthetic people whom a session may be or look up; a patient may be one herself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoPeople {
    /// The anchor, which gives test tokens in demo mode.
    pub issuer: String,
    /// Who may be chosen, the story's physician first.
    pub practitioners: Vec<DemoPractitioner>,
    /// Who may be looked up, the story's patient first.
    pub patients: Vec<DemoPatient>,
}

fn oslo() -> String {
    "Europe/Oslo".to_owned()
}

fn bokmal() -> String {
    "nb".to_owned()
}

/// A file of the bundle that `web/` makes.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its media type.
    pub content_type: String,
}

/// Finds a file of the bundle by its name. The server embeds the bundle; the portal compiles without it.
pub type Assets = Arc<dyn Fn(&str) -> Option<Asset> + Send + Sync>;

/// The portal at work.
pub struct State {
    config: Config,
    house: House,
    calendar: calendar::Calendar,
    language: text::Language,
    https: bool,
    sessions: session::Sessions,
    launches: launch::Launches,
    party: Option<wire::client::Party>,
    /// Judges entries of the catalogue by their owners' signatures.
    reader: Option<wire::entries::Reader>,
}

/// Why the portal cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `base` is not an origin.
    #[error("portal.base must be an origin such as https://portal.example, without a path")]
    Base,
    /// `zone` is unknown.
    #[error("portal.zone: {0}")]
    Zone(#[from] fhir::time::DateError),
    /// `language` is none of the portal's.
    #[error("portal.language must be nb, nn or en")]
    Language,
    /// The client file cannot be used.
    #[error("portal.client_file: {0}")]
    Client(#[from] wire::client::PartyError),
}

/// Opens the portal.
///
/// # Errors
/// [`OpenError`] naming the setting that is impossible.
pub fn open(config: Config, house: House) -> Result<Arc<State>, OpenError> {
    let origin = url::Url::parse(&config.base).map_err(|_| OpenError::Base)?;
    if origin.origin().ascii_serialization() != config.base {
        return Err(OpenError::Base);
    }
    let party = config
        .client_file
        .as_ref()
        .map(|file| {
            wire::client::Party::from_file(
                file,
                house.http.clone(),
                house.clock.clone(),
                house.ids.clone(),
            )
        })
        .transpose()?;
    let reader = party.as_ref().map(|party| {
        let members =
            wire::members::MemberBook::new(party.issuer(), house.http.clone(), house.clock.clone());
        wire::entries::Reader::new(members, house.clock.clone())
    });
    Ok(Arc::new(State {
        reader,
        calendar: calendar::Calendar::new(&config.zone)?,
        language: text::Language::parse(&config.language).ok_or(OpenError::Language)?,
        https: origin.scheme() == "https",
        sessions: session::Sessions::new(&*house.ids),
        launches: launch::Launches::default(),
        party,
        config,
        house,
    }))
}

/// Forgets sessions that have ended by time, so that nothing of them stays in memory.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    let pause = state.house.pause.clone();
    vec![Worker::new("portal sessions", async move {
        let stop = state.house.stop.clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                () = pause(std::time::Duration::from_secs(60)) => {
                    state.sessions.sweep(state.now());
                    state.launches.sweep(state.now());
                }
            }
        }
    })]
}

impl State {
    /// Seconds since 1970.
    fn now(&self) -> i64 {
        (self.house.clock)().seconds()
    }

    fn practitioners(&self) -> &[DemoPractitioner] {
        self.config
            .demo
            .as_ref()
            .map_or(&[], |demo| &demo.practitioners)
    }

    fn patients(&self) -> &[DemoPatient] {
        self.config.demo.as_ref().map_or(&[], |demo| &demo.patients)
    }

    /// The name of an organisation, or its number.
    fn name_of<'a>(&'a self, number: &'a str) -> &'a str {
        self.config
            .organisations
            .iter()
            .find(|own| own.orgnr == number)
            .map_or(number, |own| &own.name)
    }

    fn sources(&self, own: &str) -> clinician::sources::Sources {
        let named = self.config.organisations.iter();
        clinician::sources::Sources::new(
            own,
            named.map(|o| (o.orgnr.as_str(), o.name.as_str(), o.part_of.as_deref())),
        )
    }
}
