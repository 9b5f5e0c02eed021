//! `delt demo`: a whole region on loopback, with `STORY.md`'s people and months of readings that come in through the hub
//! and the record systems like any others (CONTRACT section 2).
//!
//! Standard output carries the ready line with `--json`, else an address to open; everything else goes to standard error.

mod history;
mod import;
mod play;
mod ports;
mod region;
mod state;

use crate::faults::{self, Faults};
use crate::time::Time;
use crate::{listen, roles, surroundings};
use anyhow::Context;
use state::DemoState;
pub(crate) use state::Folder;
use std::path::PathBuf;
use std::process::ExitCode;
use testkit::calendar::Calendar;
use testkit::people::Directory;
use tokio::net::TcpListener;
use wire::contract::demo::DemoReady;

/// Arguments of `delt demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Keep everything in this folder, and find it there again at the next start. Without it all is gone at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port to listen on; 0 takes any free one. Default: the one used before, else 7070, else any.
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Print one JSON line when everything is delivered and searchable, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
    /// How many people the region has at least; the story's come first. Kept from the first start.
    #[arg(long, value_name = "N")]
    people: Option<usize>,
    /// Tell the story from the beginning of this day of it (-21 to 14), by a clock of its own: `POST CONTROL/demo/clock` with
    /// `{"day":1,"time":"08:46"}` puts it forward, and what happens until then happens. Kept from the first start.
    #[arg(long, value_name = "DAY", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-21..=14))]
    from_day: Option<i32>,
    /// Send `.json` and `.ndjson` files with Observations and Bundles through the hub, and write DIR/import-report.ndjson.
    #[arg(long, value_name = "PATH")]
    import: Option<PathBuf>,
    /// The organisation for imported entries that name none (default: the story's municipality).
    #[arg(long, value_name = "ORGNR")]
    import_owner: Option<String>,
}

/// Runs a region until it is asked to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(arguments.data.as_deref())?;
    if matches!(folder, Folder::Temporary(_)) {
        eprintln!("delt demo: no --data given; everything is gone when it stops");
    }
    let kept = DemoState::read(folder.path())?;
    let listener = ports::bind(arguments.port, kept.as_ref().map(|k| k.port)).await?;
    let port = listener.local_addr()?.port();
    let mut kept = match kept {
        Some(kept) => DemoState { port, ..kept },
        None => first_start(port, &arguments)?,
    };
    kept.write(folder.path())?;
    let directory = directory(&kept);
    let time = kept.time();
    let (wishes, clock) = play::control(time.clone(), kept.calendar()?);
    let around = Around {
        time,
        control: clock,
        ..Around::default()
    };
    let started = start(&folder, listener, &directory, around).await?;
    let stop = started.region.stop();
    let asked = stop.clone();
    let signal = tokio::spawn(async move {
        surroundings::asked_to_stop().await;
        asked.stop();
    });
    let told = tokio::select! {
        told = tell(&arguments, &folder, &mut kept, &directory, &started) => told,
        () = stop.stopped() => Ok(()),
    };
    if told.is_ok() {
        let player = play::Player {
            folder: &folder,
            directory: &directory,
            started: &started,
        };
        tokio::select! {
            () = player.play(wishes, &mut kept) => {}
            () = stop.stopped() => {}
        }
    }
    stop.stop();
    signal.abort();
    eprintln!("delt demo: stopping");
    if kept.told_until.is_some() {
        kept.stood = Some(started.time.now().0);
        kept.write(folder.path())?;
    }
    started.end().await;
    told.map(|()| ExitCode::SUCCESS)
}

fn first_start(port: u16, arguments: &Arguments) -> anyhow::Result<DemoState> {
    let now = (surroundings::clock())();
    let calendar = Calendar::at_first_start(now);
    let from = arguments.from_day.map(|day| calendar.hour(day, 0));
    Ok(DemoState {
        port,
        day_zero: calendar.day0().to_string(),
        // By the wall clock the story ends in the afternoon of day 3.
        first_start: from.unwrap_or(now.min(calendar.hour(3, 16))).0,
        told_until: from.map(|at| at.0),
        stood: None,
        people: arguments.people.unwrap_or(0),
        history_delivered: false,
    })
}

fn directory(kept: &DemoState) -> Directory {
    if kept.people > Directory::demo().patients.len() {
        Directory::with_more_people(kept.people)
    } else {
        Directory::demo().clone()
    }
}

/// A region that listens and works.
pub(crate) struct Started {
    /// Its roles.
    pub(crate) region: roles::Region,
    /// The municipality's own server.
    own: roles::Region,
    /// Its listeners, which end with the region's stop signal.
    listening: Vec<tokio::task::JoinHandle<()>>,
    /// Its configuration and clients.
    pub(crate) made: region::Made,
    /// Where its parts are reached.
    pub(crate) at: region::Addresses,
    control: String,
    time: Time,
}

/// What else a region is opened with.
#[derive(Default)]
pub(crate) struct Around {
    /// Its clock.
    pub(crate) time: Time,
    /// What its control port answers besides.
    pub(crate) control: axum::Router,
    /// Readings a minute that the hub takes of one device, where it is not the demo's own number.
    pub(crate) device_per_minute: Option<u32>,
}

/// Opens every role, the record-system peers and the control port, and begins to listen.
pub(crate) async fn start(
    folder: &Folder,
    listener: TcpListener,
    directory: &Directory,
    around: Around,
) -> anyhow::Result<Started> {
    let record_systems = TcpListener::bind("127.0.0.1:0").await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let at = region::Addresses {
        origin: format!("http://127.0.0.1:{port}"),
        record_systems: format!("http://{}", record_systems.local_addr()?),
    };
    let mut made = region::make(folder.path(), port, &at, directory)?;
    if let (Some(hub), Some(most)) = (&mut made.config.hub, around.device_per_minute) {
        hub.device_per_minute = most;
    }
    let time = around.time;
    let services = made.config.service.iter();
    let services = services.map(|s| (s.id.clone(), s.fhir.path().to_owned()));
    let record_systems_of = region::with_record_system(directory);
    let beside = record_systems_of.map(|o| {
        let name = region::record_system_name(&o.id);
        (name.clone(), format!("/{name}"))
    });
    let by_path = made.config.hub.iter().map(|hub| &hub.base);
    let by_path = by_path.chain(made.config.gateways());
    let by_path = by_path.map(|base| (faults::name_of(base).to_owned(), base.path().to_owned()));
    let faults = Faults::new(services.chain(beside).chain(by_path).collect());
    let demo = || roles::Demo {
        faults: Some(faults.clone()),
        people: Some(roles::DemoPeople::of(directory)),
        time: time.clone(),
    };
    let region = roles::Region::open(&made.config, demo()).await?;
    let own = roles::Region::open(&made.own, demo()).await?;
    let router = region.router().merge(own.routes());
    let stop = region.stop();
    let peers = open_record_systems(&made, &at, directory, &region)?;
    let control_url = format!("http://{}", control.local_addr()?);
    let listening = vec![
        tokio::spawn(listen::serve(
            listener,
            router,
            Some(listen::doorstep(&made.config.listen, surroundings::clock())),
            Some(faults.clone()),
            on(&stop),
        )),
        tokio::spawn(listen::serve(
            control,
            faults.control().merge(around.control),
            None,
            None,
            on(&stop),
        )),
        tokio::spawn(listen::serve(
            record_systems,
            testkit::record_system::routes(peers),
            None,
            Some(faults),
            on(&stop),
        )),
    ];
    Ok(Started {
        region,
        own,
        listening,
        made,
        at,
        control: control_url,
        time,
    })
}

async fn on_stop(stop: wire::Stop) {
    stop.stopped().await;
}

fn on(stop: &wire::Stop) -> impl Future<Output = ()> + use<> {
    on_stop(stop.clone())
}

/// The record systems (EPJ) that the hub delivers to: small real peers of the test kit.
fn open_record_systems(
    made: &region::Made,
    at: &region::Addresses,
    directory: &Directory,
    region: &roles::Region,
) -> anyhow::Result<Vec<(String, std::sync::Arc<testkit::record_system::RecordSystem>)>> {
    let issuer = made.config.anchor.base.to_string();
    region::with_record_system(directory)
        .map(|o| {
            let house = region.house(&made.config, &format!("record-systems/{}", o.id))?;
            let config = testkit::record_system::Config {
                orgnr: o.orgnr.clone(),
                base: at.record_system(&o.id),
                issuer: issuer.clone(),
                jwks_url: format!("{issuer}{}", wire::contract::anchor::JWKS),
                data: house.data.clone(),
                rules: fhir::check::Rules::default(),
            };
            let opened = testkit::record_system::RecordSystem::open(&config, &house)
                .with_context(|| format!("the record system of {}", o.name))?;
            Ok((region::record_system_name(&o.id), opened))
        })
        .collect()
}

/// Tells the history once, imports what is asked for, and says that the region is ready.
async fn tell(
    arguments: &Arguments,
    folder: &Folder,
    kept: &mut DemoState,
    directory: &Directory,
    started: &Started,
) -> anyhow::Result<()> {
    if !kept.history_delivered {
        history::tell(kept, directory, started).await?;
        kept.history_delivered = true;
        kept.write(folder.path())?;
    }
    if let Some(path) = &arguments.import {
        let owner = arguments
            .import_owner
            .as_deref()
            .unwrap_or_else(|| directory.orgnr(region::STORY_MUNICIPALITY));
        let sender = started.home_system(owner)?;
        let report = folder.path().join("import-report.ndjson");
        let sum = import::import(path, &started.hub(), &sender, &report).await?;
        eprintln!(
            "delt demo: imported {} entries, {} not taken in; see {}",
            sum.accepted,
            sum.refused,
            report.display()
        );
    }
    history::delivered(&started.region).await?;
    let ready = ready(directory, started);
    if arguments.json {
        println!("{}", serde_json::to_string(&ready)?);
    } else {
        println!("Delt is ready. Open {} in a browser.", ready.portal);
        println!("Everyone in it is synthetic. Ctrl-C stops it.");
    }
    Ok(())
}

fn ready(directory: &Directory, started: &Started) -> DemoReady {
    let origin = &started.at.origin;
    DemoReady {
        ready: true,
        portal: origin.clone(),
        issuer: format!("{origin}/anchor"),
        catalogue: format!("{origin}/catalogue"),
        locator: format!("{origin}/locator"),
        hub: format!("{origin}/hub"),
        gateway: format!("{origin}/gateway"),
        services: directory.demo_services(|id| started.at.service(id)),
        clients: started.made.clients.clone(),
        control: started.control.clone(),
        patients: directory.demo_patients(),
        practitioners: directory.demo_practitioners(),
    }
}

impl Started {
    /// Stops it: listeners first, then what the roles have in hand.
    pub(crate) async fn end(self) {
        self.region.stop().stop();
        for listening in self.listening {
            let _ = listening.await;
        }
        self.own.finish().await;
        self.region.finish().await;
    }

    fn hub(&self) -> String {
        format!("{}/hub", self.at.origin)
    }

    /// The home system registered to send for an organisation.
    fn home_system(&self, orgnr: &str) -> anyhow::Result<wire::client::Party> {
        let client = self
            .made
            .clients
            .iter()
            .find(|c| c.use_ == trust::ClientUse::HomeSystem && c.orgnr == orgnr);
        let client =
            client.with_context(|| format!("no home system of the demo sends for {orgnr}"))?;
        self.party(&client.file)
    }

    /// A client of the demo, from its file.
    fn party(&self, file: &str) -> anyhow::Result<wire::client::Party> {
        let http = wire::client::Http::new(wire::client::Policy::loopback())?;
        Ok(wire::client::Party::from_file(
            std::path::Path::new(file),
            http,
            self.time.clock(),
            surroundings::ids(),
        )?)
    }
}
