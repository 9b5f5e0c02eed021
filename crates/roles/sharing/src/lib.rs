//! The data-sharing service (datadelingstjeneste) of one organisation: FHIR R4 over its own store.
//!
//! It takes the feed from the organisation's record system and from the hub, announces to the locator which kinds of data
//! it holds about whom, answers look-ups by role and need, minimises, and audits before it answers.
//! It must never join the data of two controllers, and never answer without an audit record on disk.
//!
//! A look-up's way: `api/search.rs` → `wire::visit` (verified caller) → `trust::decide` (permit) → `store` → `disclose`.

mod alert;
mod announce;
mod api;
mod assess;
mod compare;
mod config;
mod consent;
mod copy;
mod disclose;
mod feed;
mod listing;
mod part;
mod publish;
pub mod pvk;
mod subscription;
mod work_list;

pub use alert::Deadlines;
pub use assess::{Assessment, Device};
pub use compare::Found;
pub use config::{Config, OpenError, Partner};
pub use copy::{Copy, Expected, Feed, Promise, Silence, lag};
pub use listing::Listing;
pub use subscription::Subscriber;

use axum::Router;
use fhir::check::Rules;
use fhir::resource::ResourceType;
use std::sync::Arc;
use store::Store;
use trust::{Facts, Party};
use wire::contract::alert::TELL;
use wire::contract::sharing::{COPY_STATE, EXPLAIN, MAY_LOOK, RECONCILE};
use wire::contract::work_list::WORK_LIST;
use wire::members::MemberBook;
use wire::protect::{Guard, GuardConfig};
use wire::route::{Access, RouteRow, Routes};
use wire::visit::Desk;
use wire::{House, Worker};

/// An opened sharing service.
pub struct State {
    config: Config,
    base: String,
    house: House,
    desk: Desk,
    locator: Option<(String, wire::client::Party)>,
    /// As whom it speaks to the common services.
    party: Option<wire::client::Party>,
    /// Who takes part, by the anchor's documents: what the service says of itself must agree, and alerts are handed over among them.
    members: MemberBook,
    /// What it last stated in the catalogue.
    listed: listing::Listed,
    /// How far the locator had drifted.
    drift: compare::Drift,
    /// How far each feed has come.
    copy: copy::Book,
    /// Who is told of what.
    subscriptions: subscription::Book,
    /// When open alerts are to be looked at.
    alerts: alert::Queue,
    /// Citizens' settings made elsewhere.
    replication: Option<pvk::Replication>,
    /// Held while a condition is searched and acted on, so that no other comes between.
    conditions: tokio::sync::Mutex<()>,
}

impl State {
    /// This organisation's store.
    pub fn store(&self) -> &Store {
        &self.desk.store
    }

    /// Whether resources of this type are written, read and searched here; nobody writes the trail.
    fn serves(&self, resource: ResourceType) -> bool {
        self.config.types.serves(resource)
    }

    /// How long alerts wait.
    fn deadlines(&self) -> Deadlines {
        let assessment = self.config.assessment.as_ref();
        assessment.map(|one| one.deadlines).unwrap_or_default()
    }

    /// For whom an alert is after so many deadlines have passed.
    fn escalated_to(&self, level: u32) -> Option<&str> {
        let roles = &self.config.assessment.as_ref()?.escalate_to;
        let passed = usize::try_from(level).ok()?.checked_sub(1)?;
        roles.get(passed).or(roles.last()).map(String::as_str)
    }

    /// Who answers for the assessment.
    fn device(&self) -> Device {
        let assessment = self.config.assessment.as_ref();
        assessment.map_or(Device::Demonstration, |one| one.device.clone())
    }

    /// The rules that a resource is checked by now.
    fn rules(&self) -> Rules {
        Rules {
            person_numbers: self.config.person_numbers,
            zone: self.config.zone.clone(),
            now: Some((self.house.clock)()),
            unknown_codes: fhir::check::UnknownCodes::Accept,
            profiles: self.config.profiles.clone(),
        }
    }
}

/// The service's routes, relative to its FHIR base.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "GET",
        path: "/metadata",
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: api::smart::PATH,
        access: Access::Public,
    },
    RouteRow {
        method: "POST",
        path: "/",
        access: Access::Token {
            scope: "system/*.c",
        },
    },
    RouteRow {
        method: "GET",
        path: "/",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; no person's number in the URL",
        },
    },
    RouteRow {
        method: "POST",
        path: "/_search",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/$replace-series",
        access: Access::Token {
            scope: "system/*.cud",
        },
    },
    RouteRow {
        method: "POST",
        path: RECONCILE,
        access: Access::Token {
            scope: "system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: COPY_STATE,
        access: Access::Token {
            scope: "system/*.rs, of any one type",
        },
    },
    RouteRow {
        method: "POST",
        path: COPY_STATE,
        access: Access::Token {
            scope: "system/*.c, of any one type",
        },
    },
    RouteRow {
        method: "POST",
        path: "/$purge",
        access: Access::Token {
            scope: "system/*.d",
        },
    },
    RouteRow {
        method: "POST",
        path: EXPLAIN,
        access: Access::Token {
            scope: "any; nothing of the patient's is read",
        },
    },
    RouteRow {
        method: "POST",
        path: MAY_LOOK,
        access: Access::Token {
            scope: "patient/AuditEvent.s",
        },
    },
    RouteRow {
        method: "GET",
        path: "/$reviews",
        access: Access::Token {
            scope: "system/AuditEvent.s",
        },
    },
    RouteRow {
        method: "POST",
        path: "/$reviews",
        access: Access::Token {
            scope: "system/AuditEvent.u",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Consent",
        access: Access::Token {
            scope: "patient/Consent.c; the patient herself",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Consent/_search",
        access: Access::Token {
            scope: "patient/Consent.s; the patient herself",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/Consent/{id}",
        access: Access::Token {
            scope: "patient/Consent.d; the patient herself",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Subscription",
        access: Access::Token {
            scope: "user/Subscription.c or system/Subscription.c",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription/{id}",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "PUT",
        path: "/Subscription/{id}",
        access: Access::Token {
            scope: "user/Subscription.c or system/Subscription.c; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/Subscription/{id}",
        access: Access::Token {
            scope: "user/Subscription.d or system/Subscription.d; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription/{id}/$status",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Subscription/{id}/$status",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription/{id}/$events",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Subscription/{id}/$events",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.c",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; no person's number in the URL",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/_search",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/$validate",
        access: Access::Token {
            scope: "any; nothing is read or kept",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/{id}/$validate",
        access: Access::Token {
            scope: "any; nothing is read or kept",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Observation/$lastn",
        access: Access::Token {
            scope: "user/Observation.rs or system/Observation.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Observation/$stats",
        access: Access::Token {
            scope: "user/Observation.rs or system/Observation.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$own",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$acknowledge",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$note",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$resolve",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$join",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$hand-over",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$accept",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$decline",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: TELL,
        access: Access::Token {
            scope: "system/Task.c; the service of an organisation that alerts are taken from",
        },
    },
    RouteRow {
        method: "POST",
        path: WORK_LIST,
        access: Access::Token {
            scope: "user/Task.s, bound to no patient; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Patient/{id}/$everything",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Patient/{id}/$everything",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/AuditEvent/_search",
        access: Access::Token {
            scope: "patient/AuditEvent.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/_page/{sealed}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/_history",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}/_history",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}/_history/{vid}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}/{of}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; Patient alone has a compartment",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/{id}/{of}/_search",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; Patient alone has a compartment",
        },
    },
    RouteRow {
        method: "PUT",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.us, and .c where nothing meets the condition",
        },
    },
    RouteRow {
        method: "PATCH",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.us",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.ds",
        },
    },
    RouteRow {
        method: "PUT",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "system/*.u",
        },
    },
    RouteRow {
        method: "PATCH",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "system/*.u",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "system/*.d",
        },
    },
];

/// Opens the service's store and its ways to anchor and locator.
pub async fn open(mut config: Config, house: House) -> Result<Arc<State>, OpenError> {
    if config.assessment.is_some() {
        // What is assessed raises alerts, and they are Tasks.
        config.types = config.types.with(ResourceType::TASK);
    }
    let announces = config.locator.is_some();
    let options = store::Options {
        announce: announces.then(|| wire::contract::locator::OUTBOX_RECEIVER.to_owned()),
        publishing: config.publish.clone(),
        follow: followers(&config),
        ..store::Options::default()
    };
    let owner = config.store_of.as_ref().unwrap_or(&config.id);
    let store = Store::open_with(&house.data, owner, house.surroundings(), options)?;
    let base = config.base.as_str().trim_end_matches('/').to_owned();
    let guard = Guard::new(
        GuardConfig {
            issuer: config.issuer.clone(),
            jwks_url: format!("{}{}", config.issuer, wire::contract::anchor::JWKS),
            audience: base.clone(),
            base: base.clone(),
        },
        store.clone(),
        &house,
    );
    let is_subscribed = !config.subscribers.is_empty();
    // Its people's assessments of alerts are sealed by it.
    let speaks = config.locator.is_some()
        || config.listing.is_some()
        || config.assessment.is_some()
        || is_subscribed;
    let party = config.client_file.as_ref().filter(|_| speaks).map(|file| {
        let (http, clock) = (house.http.clone(), house.clock.clone());
        wire::client::Party::from_file(file, http, clock, house.ids.clone())
    });
    let party = party.transpose()?;
    if is_subscribed && party.is_none() {
        return Err(OpenError::NoSigner);
    }
    let locator = match (&config.locator, &party) {
        (Some(url), Some(party)) => {
            let base = url.as_str().trim_end_matches('/').to_owned();
            Some((base, party.clone()))
        }
        (Some(_), None) => return Err(OpenError::NoClient),
        (None, _) => None,
    };
    let replication = match &config.pvk {
        Some(source) => Some(pvk::Replication::open(source, &house, &store).await?),
        None => None,
    };
    let known = replication.as_ref().map(pvk::Replication::known);
    let facts = Facts {
        party: Party::Sharing,
        owner: config.owner,
        members: config.members.clone().into(),
        audience: base.as_str().into(),
        wishes: [].into(),
        known: known.unwrap_or_default(),
        register: Arc::new(config.register.clone()),
        now: (house.clock)(),
    };
    let desk = Desk {
        guard,
        facts,
        store,
        clock: house.clock.clone(),
    };
    let copy = copy::Book::open(&desk.store).await?;
    let subscriptions = subscription::Book::open(&desk.store).await?;
    let members = MemberBook::new(&config.issuer, house.http.clone(), house.clock.clone());
    let state = Arc::new(State {
        config,
        base,
        house,
        desk,
        locator,
        party,
        listed: listing::Listed::default(),
        drift: compare::Drift::default(),
        copy,
        subscriptions,
        alerts: alert::Queue::default(),
        members,
        replication,
        conditions: tokio::sync::Mutex::new(()),
    });
    state.subscriptions_found().await?;
    Ok(state)
}

/// Who in this house hears of each change.
fn followers(config: &Config) -> Vec<String> {
    let assess = config.assessment.as_ref().map(|_| assess::RECEIVER);
    let subscribed = (!config.subscribers.is_empty()).then_some(subscription::RECEIVER);
    let all = assess.into_iter().chain(subscribed);
    all.map(str::to_owned).collect()
}

/// Every route of the table with its handler.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    Routes::of(ROUTES)
        .on("GET", "/metadata", api::metadata::metadata)
        .on("GET", api::smart::PATH, api::smart::configuration)
        .on("POST", "/", api::bundle::bundle)
        .on("GET", "/", api::search::of_types_by_get)
        .on("POST", "/_search", api::search::of_types)
        .on("POST", "/$replace-series", api::operation::replace::replace)
        .on("POST", RECONCILE, api::reconcile::reconcile)
        .on("GET", COPY_STATE, api::copy_state::read)
        .on("POST", COPY_STATE, api::copy_state::write)
        .on("POST", "/$purge", api::operation::purge::purge)
        .on("POST", EXPLAIN, api::operation::explain::explain_access)
        .on("POST", MAY_LOOK, api::operation::may_look::of_the_patient)
        .on("GET", "/$reviews", api::review::list)
        .on("POST", "/$reviews", api::review::close)
        .on("POST", "/Consent", api::wishes::make)
        .on("POST", "/Consent/_search", api::wishes::list)
        .on("DELETE", "/Consent/{id}", api::wishes::end)
        .on("POST", "/Subscription", api::subscription::create)
        .on("GET", "/Subscription", api::subscription::list)
        .on("GET", "/Subscription/{id}", api::subscription::read)
        .on("PUT", "/Subscription/{id}", api::subscription::update)
        .on("DELETE", "/Subscription/{id}", api::subscription::end)
        .on(
            "GET",
            "/Subscription/{id}/$status",
            api::subscription::status,
        )
        .on(
            "POST",
            "/Subscription/{id}/$status",
            api::subscription::status,
        )
        .on(
            "GET",
            "/Subscription/{id}/$events",
            api::subscription::events,
        )
        .on(
            "POST",
            "/Subscription/{id}/$events",
            api::subscription::events,
        )
        .on("POST", "/{type}", api::create::create)
        .on("GET", "/{type}", api::search::by_get)
        .on("POST", "/{type}/_search", api::search::search)
        .on(
            "POST",
            "/{type}/$validate",
            api::operation::validate::of_type,
        )
        .on(
            "POST",
            "/{type}/{id}/$validate",
            api::operation::validate::of_instance,
        )
        .on("POST", "/Observation/$lastn", api::operation::lastn::lastn)
        .on("POST", "/Observation/$stats", api::operation::stats::stats)
        .on("POST", "/Task/{id}/$own", api::operation::alert::own)
        .on(
            "POST",
            "/Task/{id}/$acknowledge",
            api::operation::alert::acknowledge,
        )
        .on("POST", "/Task/{id}/$note", api::operation::alert::note)
        .on(
            "POST",
            "/Task/{id}/$resolve",
            api::operation::alert::resolve,
        )
        .on("POST", "/Task/{id}/$join", api::operation::alert::join)
        .on(
            "POST",
            "/Task/{id}/$hand-over",
            api::operation::alert::hand_over,
        )
        .on("POST", "/Task/{id}/$accept", api::operation::alert::accept)
        .on(
            "POST",
            "/Task/{id}/$decline",
            api::operation::alert::decline,
        )
        .on("POST", TELL, api::operation::tell::tell)
        .on("POST", WORK_LIST, api::operation::work_list::work_list)
        .on(
            "POST",
            "/Patient/{id}/$everything",
            api::operation::everything::by_post,
        )
        .on(
            "GET",
            "/Patient/{id}/$everything",
            api::operation::everything::by_get,
        )
        .on("POST", "/AuditEvent/_search", api::audit::search)
        .on("GET", "/_page/{sealed}", api::search::page)
        .on("GET", "/{type}/{id}", api::read::read)
        .on("GET", "/{type}/_history", api::history::of_type)
        .on("GET", "/{type}/{id}/_history", api::history::instance)
        .on("GET", "/{type}/{id}/_history/{vid}", api::version::vread)
        .on("GET", "/{type}/{id}/{of}", api::search::compartment_by_get)
        .on(
            "POST",
            "/{type}/{id}/{of}/_search",
            api::search::compartment,
        )
        .on("PUT", "/{type}", api::update::by_condition)
        .on("PATCH", "/{type}", api::patch::by_condition)
        .on("DELETE", "/{type}", api::withdraw::by_condition)
        .on("PUT", "/{type}/{id}", api::update::update)
        .on("PATCH", "/{type}/{id}", api::patch::patch)
        .on("DELETE", "/{type}/{id}", api::withdraw::withdraw)
        .build(state.clone(), wire::request_id::Join::Behind, ids)
        .layer(axum::middleware::from_fn_with_state(state, copy::told))
        .layer(axum::middleware::from_fn(wire::body::negotiated))
}

/// Background work: telling subscribers, watching alerts' deadlines, announcing to the locator what is published and comparing with it, the entry in the catalogue, replicating
/// citizens' settings, the alarms of copies that are too old, assessment.
pub fn workers(state: Arc<State>) -> Vec<Worker> {
    let mut workers = announce::workers(state.clone());
    workers.extend(publish::workers(state.clone()));
    workers.extend(listing::workers(state.clone()));
    workers.extend(compare::workers(state.clone()));
    workers.extend(pvk::workers(state.clone()));
    workers.extend(copy::workers(state.clone()));
    workers.extend(assess::workers(state.clone()));
    workers.extend(subscription::workers(&state));
    workers.extend(alert::workers(state));
    workers
}
