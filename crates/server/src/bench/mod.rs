//! `delt bench`: figures with their conditions (CONTRACT section 9, DESIGN section 10), never a timed test.
//!
//! Each workload opens a region of its own with everything on, and checks every answer; one wrong answer and the exit code
//! is 1. Standard output carries figures only, progress goes to standard error.

mod delay;
mod disk;
mod drive;
mod figure;
mod flood;
mod gateway;
mod ground;
mod http;
mod intake;
mod limit;
mod locate;
mod lookup;
mod question;
mod start;
mod statistics;
mod token;
mod verify;

use drive::{Client, Driven, Plan};
use figure::Figure;
use futures::future::BoxFuture;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Arguments of `delt bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A metric's part before the slash (lookup, intake-single, intake-bundle, flood, delay, gateway, locate, store, start, token, verify), or `all`.
    workload: String,
    /// How long each figure is measured, 1 to 120.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// How many clients ask at the same time, 1 to 512.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=512))]
    clients: u64,
    /// How many readings lie in the store, or are sent. Each workload has its own default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    readings: Option<u64>,
    /// One JSON line per figure instead of a table.
    #[arg(long)]
    json: bool,
}

/// What a workload is told.
#[derive(Debug, Clone, Copy)]
struct Setting {
    seconds: u64,
    clients: usize,
    readings: Option<u64>,
}

/// What a workload came to.
#[derive(Default)]
struct Found {
    figures: Vec<Figure>,
    wrong: Vec<String>,
}

type Run = fn(Setting) -> BoxFuture<'static, anyhow::Result<Found>>;

/// Every workload, in the order of `all`.
const WORKLOADS: &[(&str, Run)] = &[
    ("lookup", |s| Box::pin(lookup::run(s))),
    ("intake-single", |s| Box::pin(intake::single(s))),
    ("intake-bundle", |s| Box::pin(intake::bundles(s))),
    ("flood", |s| Box::pin(flood::run(s))),
    ("delay", |s| Box::pin(delay::run(s))),
    ("gateway", |s| Box::pin(gateway::run(s))),
    ("locate", |s| Box::pin(locate::run(s))),
    ("store", |s| Box::pin(disk::run(s))),
    ("start", |s| Box::pin(start::run(s))),
    ("token", |s| Box::pin(token::run(s))),
    ("verify", |s| Box::pin(verify::run(s))),
];

/// Metrics that are promised and not measured yet, by the word somebody may ask for them with.
const NOT_YET: &[(&str, &str)] = &[(
    "growth",
    "store/growth_ratio (100 thousand against 100 million readings) is not measured yet; `delt bench lookup --readings N` measures one size at a time",
)];

/// Exit code of a command line that asks for what is not there.
const NOT_THERE: u8 = 2;

/// Runs a workload or all of them.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let wanted: Vec<_> = WORKLOADS
        .iter()
        .filter(|(name, _)| arguments.workload == "all" || arguments.workload == *name)
        .collect();
    if wanted.is_empty() {
        let not_yet = NOT_YET.iter().find(|(name, _)| *name == arguments.workload);
        let names: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "delt bench: {}",
            not_yet.map_or_else(
                || format!(
                    "there is no workload `{}`; there are {} and all",
                    arguments.workload,
                    names.join(", ")
                ),
                |(_, why)| (*why).to_owned()
            )
        );
        return Ok(ExitCode::from(NOT_THERE));
    }
    if cfg!(debug_assertions) {
        eprintln!("delt bench: this is a build for debugging; its figures say nothing about speed");
    }
    let setting = Setting {
        seconds: arguments.seconds,
        clients: arguments.clients as usize,
        readings: arguments.readings,
    };
    let mut sound = true;
    for (name, run) in wanted {
        eprintln!("delt bench: {name}");
        let before = load_average();
        let found = run(setting).await?;
        for figure in found.figures {
            let figure = figure
                .under("cores", cores() as u64)
                .under("load_average_before", before)
                .under(
                    "build",
                    if cfg!(debug_assertions) {
                        "debugging"
                    } else {
                        "optimised"
                    },
                );
            println!(
                "{}",
                if arguments.json {
                    serde_json::to_string(&figure)?
                } else {
                    figure.for_people()
                }
            );
        }
        for words in &found.wrong {
            eprintln!("delt bench: {name}: WRONG: {words}");
        }
        sound &= found.wrong.is_empty();
    }
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

impl Found {
    /// Keeps what was wrong in a drive.
    fn judge(&mut self, driven: &Driven) {
        if driven.wrong > 0 {
            self.wrong.push(format!(
                "{} answers, for example: {}",
                driven.wrong,
                driven.words.join(" | ")
            ));
        } else if driven.answers == 0 {
            self.wrong
                .push("there was no answer at all in the measured time".to_owned());
        }
    }
}

/// Drives clients on threads of their own while the region works on.
async fn drive(
    address: SocketAddr,
    clients: Vec<Box<dyn Client>>,
    plan: Plan,
) -> anyhow::Result<Driven> {
    Ok(tokio::task::spawn_blocking(move || drive::drive(address, clients, plan)).await?)
}

/// Says what is going on.
fn say(words: &str) {
    eprintln!("  {words}");
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What else ran: the system's one-minute load average.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(-1.0)
}
