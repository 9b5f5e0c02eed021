//! Which roles this process runs: one row a role, the only place where a role's name decides anything.
//!
//! Each role gets a folder, an outgoing client and the clock of its own; several in one process meet over HTTP all the same.

mod anchor;
mod common;
mod consumers;
mod identity;
mod other_issuer;
mod outside;
mod providers;

pub(crate) use identity::agreed;
pub(crate) use providers::{demands, files_notes};

use crate::config::{self, Config};
use crate::faults::{self, Faults};
use crate::heads::{Keeper, Trails};
use crate::surroundings;
use crate::time::Time;
use anyhow::{Context, anyhow};
use axum::Router;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::resource::InformationService;
use futures::future::BoxFuture;
use std::path::PathBuf;
use std::time::Duration;
use trust::organisation::Register;
use url::Url;
use wire::client::{Network, Policy};
use wire::stop::Pause;
use wire::{House, Stop, Worker};

/// Opens one role (for `sharing`: each service of this process) as mounted routes.
type Open = for<'a> fn(&'a Setting<'a>) -> BoxFuture<'a, anyhow::Result<Vec<Mounted>>>;

/// The roles, in the order they are opened.
const ROLES: &[(&str, Open)] = &[
    ("anchor", |s| Box::pin(anchor::open(s))),
    ("catalogue", |s| Box::pin(common::catalogue(s))),
    ("locator", |s| Box::pin(common::locator(s))),
    ("sharing", |s| Box::pin(providers::sharing(s))),
    ("hub", |s| Box::pin(providers::hub(s))),
    ("gateway", |s| Box::pin(consumers::gateway(s))),
    ("portal", |s| Box::pin(consumers::portal(s))),
];

/// Names that `roles` in the configuration may hold, besides `sharing:ID`.
pub const NAMES: &[&str] = &[
    "anchor",
    "catalogue",
    "locator",
    "sharing",
    "hub",
    "gateway",
    "portal",
];

/// What only the demo adds.
#[derive(Default)]
pub struct Demo {
    /// Fault switches; each sharing service's clock may be skewed by them.
    pub faults: Option<Faults>,
    /// People that test tokens may speak for and the portal may choose.
    pub people: Option<DemoPeople>,
    /// The region's clock: the wall clock unless it tells the story from another day.
    pub time: Time,
}

/// Synthetic people of the demo.
#[derive(Clone)]
pub struct DemoPeople {
    /// Practitioners, the story's physician first.
    pub practitioners: Vec<wire::contract::demo::DemoPractitioner>,
    /// Patients, the story's first.
    pub patients: Vec<wire::contract::demo::DemoPatient>,
    /// Everyone the anchor knows by name.
    known: Vec<::anchor::config::DemoPerson>,
    /// Who has a power of attorney (fullmakt) for whom, and for what.
    represents: Vec<::anchor::config::Represents>,
}

impl DemoPeople {
    /// The people of a directory.
    pub fn of(directory: &testkit::people::Directory) -> DemoPeople {
        let number =
            |text: &str| fhir::ids::PersonIdentifier::guess(text, PersonNumbers::Strict).ok();
        let person =
            |text: &str, name: &str, hpr: Option<&str>, authorization: Option<(String, String)>| {
                Some(::anchor::config::DemoPerson {
                    number: number(text)?,
                    name: name.to_owned(),
                    hpr: hpr.map(str::to_owned),
                    authorization,
                })
            };
        let practitioners = directory.practitioners.iter().filter_map(|p| {
            person(
                &p.number,
                &p.name,
                Some(&p.hpr),
                Some((p.authorization.clone(), p.role.clone())),
            )
        });
        let patients = directory
            .patients
            .iter()
            .filter_map(|p| person(&p.number, &p.name, None, None));
        let relatives = directory
            .relatives
            .iter()
            .filter_map(|p| person(&p.number, &p.name, None, None));
        DemoPeople {
            practitioners: directory.demo_practitioners(),
            patients: directory.demo_patients(),
            known: practitioners.chain(patients).chain(relatives).collect(),
            represents: directory
                .relatives
                .iter()
                .filter_map(|r| {
                    Some(::anchor::config::Represents {
                        citizen: number(&r.number)?,
                        patient: number(&directory.patient(&r.of)?.number)?,
                        representation: trust::Representation {
                            id: format!("fullmakt-{}", r.id),
                            services: r.services(),
                            log: false,
                            notes: false,
                        },
                    })
                })
                .collect(),
        }
    }

    fn anchor(&self) -> ::anchor::config::Demo {
        ::anchor::config::Demo {
            people: self.known.clone(),
            represents: self.represents.clone(),
        }
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
    /// Its audit trails, where it has any.
    trails: Option<Trails>,
    /// The client it speaks as, whose key signs the heads of its trails.
    client_file: Option<PathBuf>,
    gauged: Option<Gauged>,
}

/// What a role says of itself to operators at this moment.
pub type Gauged = std::sync::Arc<dyn Fn() -> Vec<Figure> + Send + Sync>;

/// One figure of a role's own; `metrics::NAMES` says what it means.
pub struct Figure {
    /// Its name, one of `metrics::NAMES`.
    pub name: &'static str,
    /// What it is of: organisation, service, feed, provider; never a patient.
    pub labels: Vec<(&'static str, String)>,
    /// Its value now.
    pub value: f64,
}

/// The roles of this process, opened and working.
pub struct Region {
    routes: Router,
    /// Whether a portal is among them.
    pages: bool,
    stop: Stop,
    workers: Vec<(&'static str, tokio::task::JoinHandle<()>)>,
    stores: Vec<store::Store>,
    keepers: Vec<Keeper>,
    gauged: Vec<Gauged>,
    time: Time,
}

impl Region {
    /// Opens every role that `config` names, in the table's order, and starts their workers.
    pub async fn open(config: &Config, demo: Demo) -> anyhow::Result<Region> {
        let setting = Setting {
            config,
            demo: &demo,
            register: register(config)?,
            zone: fhir::time::Zone::named(&config.zone)
                .map_err(|e| anyhow!("zone `{}`: {e}", config.zone))?,
            stop: Stop::new(),
        };
        let mut router = Router::new();
        let mut stores = Vec::new();
        let mut workers = Vec::new();
        let mut gauged = Vec::new();
        let mut keepers: Vec<Keeper> = Vec::new();
        for (name, open) in ROLES {
            let part = config
                .roles
                .iter()
                .any(|r| r.split(':').next() == Some(name));
            if !part {
                continue;
            }
            for mounted in open(&setting)
                .await
                .with_context(|| format!("cannot open {name}"))?
            {
                router = if mounted.path.is_empty() {
                    router.merge(mounted.router)
                } else {
                    router.nest(&mounted.path, mounted.router)
                };
                if let Some(trails) = mounted.trails {
                    let (http, file) = (outgoing(config)?, mounted.client_file.as_deref());
                    keepers.push(Keeper::new(config, trails, file, http, demo.time.clone())?);
                }
                workers.extend(
                    mounted
                        .workers
                        .into_iter()
                        .map(|w| (w.name, tokio::spawn(w.run))),
                );
                stores.extend(mounted.store);
                gauged.extend(mounted.gauged);
            }
        }
        workers.extend(keepers.iter().map(|keeper| {
            let worker = keeper.worker(setting.stop.clone());
            (worker.name, tokio::spawn(worker.run))
        }));
        Ok(Region {
            routes: router,
            pages: config.runs("portal"),
            stop: setting.stop,
            workers,
            stores,
            keepers,
            gauged,
            time: demo.time,
        })
    }

    /// All routes of this process.
    pub fn router(&self) -> Router {
        // The portal answers unknown paths with a page of its own; without it they get an OperationOutcome.
        match self.pages {
            true => self.routes(),
            false => self.routes().fallback(wire::outcome::unknown_route),
        }
    }

    /// The routes of its roles alone, for a process that has more.
    pub fn routes(&self) -> Router {
        self.routes.clone()
    }

    /// Set to end the workers and the listener.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The stores of this process's roles.
    pub fn stores(&self) -> &[store::Store] {
        &self.stores
    }

    /// The figures of this process's roles, for its operators.
    pub fn figures(&self) -> crate::metrics::Sources {
        crate::metrics::Sources {
            stores: self.stores.clone(),
            gauged: self.gauged.clone(),
            clock: self.time.clock(),
        }
    }

    /// Surroundings for a peer that lives in this process (the demo's record systems), in a folder of its own.
    pub fn house(&self, config: &Config, folder: &str) -> anyhow::Result<House> {
        let (time, stop) = (&self.time, self.stop.clone());
        house(config, folder, time.clock(), time.pause(), stop)
    }

    /// Waits for the workers to finish what they have in hand.
    pub async fn finish(self) {
        self.stop.stop();
        for (name, worker) in self.workers {
            if tokio::time::timeout(Duration::from_secs(10), worker)
                .await
                .is_err()
            {
                tracing::warn!(worker = name, "did not stop in time");
            }
        }
        // Nothing is written any more: these are the last heads.
        futures::future::join_all(self.keepers.iter().map(Keeper::finish)).await;
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
    names
        .iter()
        .map(|n| {
            InformationService::parse(n).ok_or_else(|| anyhow!("`{n}` is no information service"))
        })
        .collect()
}

impl Setting<'_> {
    fn issuer(&self) -> String {
        self.config.issuer()
    }

    /// A role's surroundings, with `folder` of its own under the data folder.
    fn house(&self, folder: &str, clock: store::Clock) -> anyhow::Result<House> {
        let pause = self.demo.time.pause();
        let house = house(self.config, folder, clock, pause, self.stop.clone())?;
        Ok(House {
            other_issuer: other_issuer::of(self.config, &self.zone)?.map(std::sync::Arc::new),
            ..house
        })
    }

    /// The same for a role that the demo's switch reaches: its clock may be skewed, and while it is dead its workers stand still.
    fn house_that_may_fall(&self, folder: &str, base: &Url) -> anyhow::Result<House> {
        let mut house = self.house(folder, self.demo.time.clock())?;
        if let Some(faults) = &self.demo.faults {
            let name = faults::name_of(base);
            house.clock = self.demo.time.skewed(faults.skew_of(name));
            house.pause = faults.halting(name, house.pause);
        }
        Ok(house)
    }

    fn person_numbers(&self) -> PersonNumbers {
        match self.config.person_numbers {
            config::PersonNumbers::Strict => PersonNumbers::Strict,
            config::PersonNumbers::Lenient => PersonNumbers::Lenient,
        }
    }

    /// Whether people can sign in at the anchor.
    fn signs_in(&self) -> bool {
        self.demo.people.is_some() || !self.config.anchor.identity_provider.is_empty()
    }

    /// In the demo, and only there, no number that might belong to a living person is let in.
    fn synthetic_only(&self) -> bool {
        self.demo.people.is_some()
    }
}

fn house(
    config: &Config,
    folder: &str,
    clock: store::Clock,
    pause: Pause,
    stop: Stop,
) -> anyhow::Result<House> {
    let data = config.data.join(folder);
    make_private_folder(&data)?;
    Ok(House {
        clock,
        pause,
        ids: surroundings::ids(),
        http: outgoing(config)?,
        data,
        stop,
        other_issuer: None,
    })
}

/// The outgoing client, under the configuration's network policy.
pub fn outgoing(config: &Config) -> anyhow::Result<wire::client::Http> {
    let allow = config.network.allow.iter().map(|text| {
        Network::parse(text).ok_or_else(|| anyhow!("network `{text}` is not CIDR notation"))
    });
    let policy = Policy {
        allow: allow.collect::<anyhow::Result<_>>()?,
    };
    wire::client::Http::new(policy).map_err(|e| anyhow!("outgoing client: {e}"))
}

/// The trail of a role with one store.
fn trail(store: &store::Store) -> Option<Trails> {
    let store = store.clone();
    Some(std::sync::Arc::new(move || vec![store.clone()]))
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
    part.as_ref()
        .ok_or_else(|| anyhow!("the configuration has no [{section}] section"))
}

fn client_file(file: &Option<PathBuf>, section: &str) -> anyhow::Result<PathBuf> {
    needed(file, &format!("{section}] client_file in [{section}")).cloned()
}

/// The path under which a base URL's routes hang; empty for the root.
fn path_of(base: &Url) -> String {
    base.path().trim_end_matches('/').to_owned()
}

/// A URL as other parties write it: no slash at the end.
pub fn plain(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Every information service that our sharing services hold today.
fn held() -> Vec<InformationService> {
    ["IT03", "IT08", "IT12", "IT17"]
        .iter()
        .filter_map(|name| InformationService::parse(name))
        .collect()
}
