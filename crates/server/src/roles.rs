//! Which roles this process runs: one row a role, the only place where a role's name decides anything.
//!
//! Each role gets a folder, an outgoing client and the clock of its own; several in one process meet over HTTP all the same.

use crate::assets;
use crate::config::{self, Config};
use crate::faults::Faults;
use crate::surroundings;
use anyhow::{Context, anyhow};
use axum::Router;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::resource::InformationService;
use trust::ClientUse;
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::time::Duration;
use trust::organisation::Register;
use url::Url;
use wire::client::{Network, Policy};
use wire::{House, Stop, Worker};

/// Opens one role (for `sharing`: each service of this process) as mounted routes.
type Open = for<'a> fn(&'a Setting<'a>) -> BoxFuture<'a, anyhow::Result<Vec<Mounted>>>;

/// The roles, in the order they are opened.
const ROLES: &[(&str, Open)] = &[
    ("anchor", |s| Box::pin(open_anchor(s))),
    ("sharing", |s| Box::pin(open_sharing(s))),
    ("hub", |s| Box::pin(open_hub(s))),
    ("portal", |s| Box::pin(open_portal(s))),
];

/// Names that `roles` in the configuration may hold, besides `sharing:ID`.
pub const NAMES: &[&str] = &["anchor", "catalogue", "locator", "sharing", "hub", "gateway", "portal"];

/// What only the demo adds.
#[derive(Default)]
pub struct Demo {
    /// Fault switches; each sharing service's clock may be skewed by them.
    pub faults: Option<Faults>,
    /// People that test tokens may speak for and the portal may choose.
    pub people: Option<DemoPeople>,
}

/// Synthetic people of the demo.
#[derive(Clone)]
pub struct DemoPeople {
    /// Practitioners, the story's physician first.
    pub practitioners: Vec<wire::contract::demo::DemoPractitioner>,
    /// Patients, the story's first.
    pub patients: Vec<wire::contract::demo::DemoPatient>,
    /// Everyone the anchor knows by name.
    known: Vec<anchor::config::DemoPerson>,
}

impl DemoPeople {
    /// The people of a directory.
    pub fn of(directory: &testkit::people::Directory) -> DemoPeople {
        let person = |number: &str, name: &str, hpr: Option<&str>, authorization: Option<(String, String)>| {
            let number = fhir::ids::PersonIdentifier::guess(number, PersonNumbers::Strict).ok()?;
            Some(anchor::config::DemoPerson { number, name: name.to_owned(), hpr: hpr.map(str::to_owned), authorization })
        };
        let practitioners = directory.practitioners.iter().filter_map(|p| {
            person(&p.number, &p.name, Some(&p.hpr), Some((p.authorization.clone(), p.role.clone())))
        });
        let patients = directory.patients.iter().filter_map(|p| person(&p.number, &p.name, None, None));
        let relatives = directory.relatives.iter().filter_map(|p| person(&p.number, &p.name, None, None));
        DemoPeople {
            practitioners: directory.demo_practitioners(),
            patients: directory.demo_patients(),
            known: practitioners.chain(patients).chain(relatives).collect(),
        }
    }

    fn anchor(&self) -> anchor::config::Demo {
        anchor::config::Demo { people: self.known.clone(), represents: Vec::new() }
    }
}

/// What opening a role needs to know.
struct Setting<'a> {
    config: &'a Config,
    demo: &'a Demo,
    register: Register,
    zone: fhir::time::Zone,
    stop: Stop,
}

/// One role's (or one sharing service's) routes and background work.
struct Mounted {
    path: String,
    router: Router,
    workers: Vec<Worker>,
    store: Option<store::Store>,
}

/// The roles of this process, opened and working.
pub struct Region {
    router: Router,
    stop: Stop,
    workers: Vec<(&'static str, tokio::task::JoinHandle<()>)>,
    stores: Vec<store::Store>,
}

impl Region {
    /// Opens every role that `config` names, in the table's order, and starts their workers.
    pub async fn open(config: &Config, demo: Demo) -> anyhow::Result<Region> {
        let setting = Setting {
            config,
            demo: &demo,
            register: register(config)?,
            zone: fhir::time::Zone::named(&config.zone).map_err(|e| anyhow!("zone `{}`: {e}", config.zone))?,
            stop: Stop::new(),
        };
        let mut router = Router::new();
        let mut stores = Vec::new();
        let mut workers = Vec::new();
        for (name, open) in ROLES {
            let part = config.roles.iter().any(|r| r.split(':').next() == Some(name));
            if !part {
                continue;
            }
            for mounted in open(&setting).await.with_context(|| format!("cannot open {name}"))? {
                router = if mounted.path.is_empty() { router.merge(mounted.router) } else { router.nest(&mounted.path, mounted.router) };
                workers.extend(mounted.workers.into_iter().map(|w| (w.name, tokio::spawn(w.run))));
                stores.extend(mounted.store);
            }
        }
        // The portal answers unknown paths with a page of its own; without it they get an OperationOutcome.
        let router = if config.runs("portal") { router } else { router.fallback(wire::outcome::unknown_route) };
        Ok(Region { router, stop: setting.stop, workers, stores })
    }

    /// All routes of this process.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Set to end the workers and the listener.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The stores of this process's roles.
    pub fn stores(&self) -> &[store::Store] {
        &self.stores
    }

    /// Surroundings for a peer that lives in this process (the demo's record systems), in a folder of its own.
    pub fn house(&self, config: &Config, folder: &str) -> anyhow::Result<House> {
        house(config, folder, surroundings::clock(), self.stop.clone())
    }

    /// Waits for the workers to finish what they have in hand.
    pub async fn finish(self) {
        self.stop.stop();
        for (name, worker) in self.workers {
            if tokio::time::timeout(Duration::from_secs(10), worker).await.is_err() {
                tracing::warn!(worker = name, "did not stop in time");
            }
        }
    }
}

fn register(config: &Config) -> anyhow::Result<Register> {
    let mut register = Register::default();
    for o in &config.organisation {
        let controller = organisation(&o.orgnr)?;
        register.add(controller, &o.name);
        for unit in &o.sub_unit {
            if let Some(orgnr) = &unit.orgnr {
                register.add_unit(organisation(orgnr)?, &controller, &unit.name);
            }
            if let Some(resh) = &unit.resh {
                register.add_resh(resh, &controller, &unit.name);
            }
        }
    }
    Ok(register)
}

fn organisation(orgnr: &str) -> anyhow::Result<OrganisationNumber> {
    OrganisationNumber::parse(orgnr).map_err(|e| anyhow!("organisation number {orgnr}: {e}"))
}

fn organisations(numbers: &[String]) -> anyhow::Result<Vec<OrganisationNumber>> {
    numbers.iter().map(|n| organisation(n)).collect()
}

fn services(names: &[String]) -> anyhow::Result<Vec<InformationService>> {
    names.iter().map(|n| InformationService::parse(n).ok_or_else(|| anyhow!("`{n}` is no information service"))).collect()
}

impl Setting<'_> {
    fn issuer(&self) -> String {
        self.config.anchor.base.to_string().trim_end_matches('/').to_owned()
    }

    /// A role's surroundings, with `folder` of its own under the data folder.
    fn house(&self, folder: &str, clock: store::Clock) -> anyhow::Result<House> {
        house(self.config, folder, clock, self.stop.clone())
    }

    fn person_numbers(&self) -> PersonNumbers {
        match self.config.person_numbers {
            config::PersonNumbers::Strict => PersonNumbers::Strict,
            config::PersonNumbers::Lenient => PersonNumbers::Lenient,
        }
    }

    /// In the demo, and only there, no number that might belong to a living person is let in.
    fn synthetic_only(&self) -> bool {
        self.demo.people.is_some()
    }
}

fn house(config: &Config, folder: &str, clock: store::Clock, stop: Stop) -> anyhow::Result<House> {
    let data = config.data.join(folder);
    make_private_folder(&data)?;
    let allow = config.network.allow.iter().map(|text| Network::parse(text).ok_or_else(|| anyhow!("network `{text}` is not CIDR notation")));
    let policy = Policy { allow: allow.collect::<anyhow::Result<_>>()? };
    let http = wire::client::Http::new(policy).map_err(|e| anyhow!("outgoing client: {e}"))?;
    Ok(House { clock, ids: surroundings::ids(), http, data, stop })
}

fn make_private_folder(path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

fn needed<'a, T>(part: &'a Option<T>, section: &str) -> anyhow::Result<&'a T> {
    part.as_ref().ok_or_else(|| anyhow!("the configuration has no [{section}] section"))
}

fn client_file(file: &Option<PathBuf>, section: &str) -> anyhow::Result<PathBuf> {
    needed(file, &format!("{section}] client_file in [{section}")).cloned()
}

/// The path under which a base URL's routes hang; empty for the root.
fn path_of(base: &Url) -> String {
    base.path().trim_end_matches('/').to_owned()
}

/// A URL as other parties write it: no slash at the end.
fn plain(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Every information service that our sharing services hold today.
fn held() -> Vec<InformationService> {
    ["IT03", "IT08", "IT12", "IT17"].iter().filter_map(|name| InformationService::parse(name)).collect()
}

async fn open_anchor(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let house = setting.house("anchor", surroundings::clock())?;
    let state = anchor::open(anchor_config(setting)?, house).await?;
    Ok(vec![Mounted {
        path: path_of(&config.anchor.base),
        store: Some(state.store().clone()),
        workers: anchor::workers(state.clone()),
        router: anchor::routes(state),
    }])
}

fn anchor_config(setting: &Setting<'_>) -> anyhow::Result<anchor::Config> {
    let config = setting.config;
    let participants = config.organisation.iter().map(|o| {
        let units = o.sub_unit.iter().map(|u| {
            Ok(anchor::config::Unit { orgnr: u.orgnr.as_deref().map(organisation).transpose()?, resh: u.resh.clone(), name: u.name.clone() })
        });
        Ok(anchor::config::Participant { orgnr: organisation(&o.orgnr)?, name: o.name.clone(), version: 1, units: units.collect::<anyhow::Result<_>>()? })
    });
    let agreements = config.agreement.iter().map(|a| {
        Ok(anchor::config::Agreement {
            id: a.id.clone(),
            version: a.version,
            consumer: anchor::config::Consumer::Organisation(organisation(&a.consumer)?),
            provider: organisation(&a.provider)?,
            services: services(&a.services)?,
            from: a.from.clone(),
            to: a.to.clone(),
        })
    });
    let delegations = config.delegation.iter().map(|d| {
        Ok(anchor::config::Delegation {
            id: d.id.clone(),
            version: d.version,
            from: organisation(&d.from)?,
            to: organisation(&d.to)?,
            from_day: d.from_day.clone(),
            to_day: d.to_day.clone(),
        })
    });
    let own_audience = config.gateway.as_ref().map(|g| format!("{}{}", plain(&g.base), wire::contract::gateway::FHIR));
    let clients = config.client.iter().map(|c| {
        let use_: ClientUse = serde_json::from_value(c.use_.clone().into()).with_context(|| format!("client {}: use `{}`", c.client_id, c.use_))?;
        let jwks = format!("{{\"keys\":[{}]}}", c.jwk);
        Ok(anchor::config::Client {
            client_id: c.client_id.clone(),
            orgnr: organisation(&c.orgnr)?,
            use_,
            keys: trust::keys::KeySet::parse(jwks.as_bytes()).map_err(|e| anyhow!("client {}: jwk: {e}", c.client_id))?,
            scopes: trust::scope::Scopes::parse(&c.scopes.join(" ")).map_err(|e| anyhow!("client {}: scopes: {e}", c.client_id))?,
            audiences: c.audiences.clone(),
            own_audience: own_audience.clone().filter(|_| use_ == ClientUse::Gateway),
        })
    });
    Ok(anchor::Config {
        issuer: setting.issuer(),
        zone: setting.zone.clone(),
        participants: participants.collect::<anyhow::Result<_>>()?,
        agreements: agreements.collect::<anyhow::Result<_>>()?,
        papers: papers(config)?,
        delegations: delegations.collect::<anyhow::Result<_>>()?,
        clients: clients.collect::<anyhow::Result<_>>()?,
        audiences: audiences(config)?,
        demo: setting.demo.people.as_ref().filter(|_| config.anchor.test_tokens).map(|p| p.anchor()),
    })
}

/// The § 9 collaborations and data processing agreements that the anchor publishes.
fn papers(config: &Config) -> anyhow::Result<Vec<anchor::config::Paper>> {
    use anchor::config::{AgreementKind, Paper};
    let collaboration = |c: &config::Collaboration, members: &[String], kind| {
        anyhow::Ok(Paper {
            id: c.id.clone(),
            version: 1,
            kind,
            parties: organisations(members)?,
            processor: None,
            services: held(),
            from: c.date.clone(),
            until: None,
        })
    };
    let mut found = Vec::new();
    if let Some(c) = config.locator.as_ref().and_then(|l| l.collaboration.as_ref()) {
        found.push(collaboration(c, &c.members, AgreementKind::Locator)?);
    }
    for s in &config.service {
        if let Some(c) = &s.collaboration {
            found.push(collaboration(c, &s.members, AgreementKind::SharedRegister)?);
        }
        if let (Some(paper), Some(supplier)) = (&s.processing_agreement, &s.supplier) {
            found.push(Paper {
                id: paper.id.clone(),
                version: 1,
                kind: AgreementKind::DataProcessing,
                parties: vec![organisation(&s.orgnr)?],
                processor: Some(organisation(supplier)?),
                services: held(),
                from: paper.date.clone(),
                until: None,
            });
        }
    }
    Ok(found)
}

/// Everything that a token can be for.
fn audiences(config: &Config) -> anyhow::Result<Vec<anchor::config::Audience>> {
    use anchor::config::{Audience, AudienceKind};
    let shared = |url: String, kind| Audience { url, owner: None, members: Vec::new(), kind };
    let mut found = Vec::new();
    for s in &config.service {
        found.push(Audience { url: plain(&s.fhir), owner: Some(organisation(&s.orgnr)?), members: organisations(&s.members)?, kind: AudienceKind::Service });
    }
    for o in &config.organisation {
        if let Some(r) = &o.record_system {
            let url = format!("{}{}", plain(&r.base), wire::contract::record_system::FHIR);
            found.push(Audience { url, owner: Some(organisation(&o.orgnr)?), members: Vec::new(), kind: AudienceKind::RecordSystem });
        }
    }
    let fhir = |base: &Url| format!("{}/fhir", plain(base));
    found.extend(config.hub.as_ref().map(|h| shared(fhir(&h.base), AudienceKind::Hub)));
    found.extend(config.gateway.as_ref().map(|g| shared(fhir(&g.base), AudienceKind::Gateway)));
    found.extend(config.catalogue.as_ref().map(|c| shared(fhir(&c.base), AudienceKind::Catalogue)));
    found.extend(config.locator.as_ref().map(|l| shared(plain(&l.base), AudienceKind::Locator)));
    Ok(found)
}

async fn open_sharing(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let mut mounted = Vec::new();
    for s in setting.config.own_services() {
        mounted.push(open_service(setting, s).await.with_context(|| format!("sharing service `{}`", s.id))?);
    }
    Ok(mounted)
}

async fn open_service(setting: &Setting<'_>, s: &config::Service) -> anyhow::Result<Mounted> {
    let bound = setting.config.locator.as_ref().filter(|l| l.collaboration.as_ref().is_some_and(|c| c.members.contains(&s.orgnr)));
    let config = sharing::Config {
        id: s.id.clone(),
        base: s.fhir.clone(),
        owner: organisation(&s.orgnr)?,
        name: s.name.clone(),
        members: organisations(&s.members)?,
        issuer: setting.issuer(),
        locator: bound.map(|l| l.base.clone()),
        client_file: s.client_file.clone(),
        enrol: s.unknown_patients == config::UnknownPatients::Enrol,
        synthetic_only: setting.synthetic_only(),
        register: setting.register.clone(),
        zone: setting.zone.clone(),
        person_numbers: setting.person_numbers(),
    };
    let clock = setting.demo.faults.as_ref().map_or_else(surroundings::clock, |f| surroundings::skewed(f.skew_of(&s.id)));
    let house = setting.house(&format!("sharing/{}", s.id), clock)?;
    let state = sharing::open(config, house).await?;
    Ok(Mounted { path: path_of(&s.fhir), store: Some(state.store().clone()), workers: sharing::workers(state.clone()), router: sharing::routes(state) })
}

async fn open_hub(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let part = needed(&setting.config.hub, "hub")?;
    let receivers = setting.config.organisation.iter().map(|o| {
        let service = setting.config.service.iter().find(|s| s.orgnr == o.orgnr || s.members.contains(&o.orgnr));
        Ok(hub::Receiver {
            orgnr: organisation(&o.orgnr)?,
            record_system: o.record_system.as_ref().map(|r| r.base.clone()),
            record_system_kinds: o.record_system.as_ref().map(|r| services(&r.kinds)).transpose()?.unwrap_or_default(),
            sharing: service.map(|s| s.fhir.clone()),
        })
    });
    let config = hub::Config {
        base: part.base.clone(),
        operator: organisation(&part.operator)?,
        issuer: setting.issuer(),
        client_file: client_file(&part.client_file, "hub")?,
        register: setting.register.clone(),
        zone: setting.zone.clone(),
        person_numbers: setting.person_numbers(),
        synthetic_only: setting.synthetic_only(),
        replay_days: part.replay_days,
        receivers: receivers.collect::<anyhow::Result<_>>()?,
    };
    let state = hub::open(config, setting.house("hub", surroundings::clock())?).await?;
    Ok(vec![Mounted { path: path_of(&part.base), store: Some(state.store().clone()), workers: hub::workers(state.clone()), router: hub::routes(state) }])
}

async fn open_portal(setting: &Setting<'_>) -> anyhow::Result<Vec<Mounted>> {
    let config = setting.config;
    let part = needed(&config.portal, "portal")?;
    let units = |o: &config::Organisation| {
        let of = o.orgnr.clone();
        let unit = move |u: &config::SubUnit| {
            let numbers = [u.orgnr.clone(), u.resh.clone()].into_iter().flatten();
            let of = of.clone();
            let name = u.name.clone();
            numbers.map(move |orgnr| portal::Organisation { orgnr, name: name.clone(), part_of: Some(of.clone()) }).collect::<Vec<_>>()
        };
        o.sub_unit.iter().flat_map(unit).collect::<Vec<_>>()
    };
    let organisations = config.organisation.iter().flat_map(|o| {
        let own = portal::Organisation { orgnr: o.orgnr.clone(), name: o.name.clone(), part_of: None };
        std::iter::once(own).chain(units(o))
    });
    let settings = portal::Config {
        base: plain(&part.base),
        gateway: plain(&needed(&config.gateway, "gateway")?.base),
        catalogue: plain(&needed(&config.catalogue, "catalogue")?.base),
        client_file: config.catalogue.as_ref().and_then(|c| c.client_file.clone()),
        zone: config.zone.clone(),
        language: "nb".into(),
        organisations: organisations.collect(),
        demo: setting.demo.people.as_ref().map(|p| portal::DemoPeople {
            issuer: setting.issuer(),
            practitioners: p.practitioners.clone(),
            patients: p.patients.clone(),
        }),
    };
    let state = portal::open(settings, setting.house("portal", surroundings::clock())?)?;
    Ok(vec![Mounted { path: String::new(), store: None, workers: portal::workers(state.clone()), router: portal::routes(state, assets::lookup()) }])
}

