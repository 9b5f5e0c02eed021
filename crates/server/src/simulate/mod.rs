//! `delt simulate`: home systems with people who measure (`testkit::simulate`), written as Bundles or sent to a hub as any home
//! system's, by its own client and its own right. Everything follows from the seed and the dates.
//!
//! Standard output carries the Bundles (`--out -`) or what the hub did not take (`--hub`), one JSON line each; the rest goes to standard
//! error. Exit code 1 when the hub refused something that no asked-for trouble explains.

mod pace;
mod send;
mod write;

use crate::surroundings;
use anyhow::{Context, bail};
use jiff::ToSpan;
use jiff::civil::Date;
use pace::Pace;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use testkit::simulate::trouble::Troubles;
use testkit::simulate::{Homes, Sender, Sending};

/// Between two lines about how far it has come.
const TELL: Duration = Duration::from_secs(5);

/// Arguments of `delt simulate`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  delt simulate --people 50 --days 30 --out homes
  delt simulate --condition copd --trouble offline=40,year=1 --out -
  delt simulate --hub http://127.0.0.1:7070/hub --client DIR/clients/home-fjellvik.json --people 20
Everybody is synthetic. The values are to be confirmed by a clinician.")]
pub struct Arguments {
    /// How many homes.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    people: u32,
    /// How many days, the last of them --until.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// The last day; default: yesterday in Norway, so that nothing lies ahead.
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<Date>,
    /// What everything is drawn from: the same seed and days give the same bytes.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// copd, heart-failure or hypertension; default: some of each, most of them copd.
    #[arg(long, value_name = "ID")]
    condition: Option<String>,
    /// What goes wrong: none, or some of gaps, offline, doubled, minutes, hours, year (the last three are devices' clocks), each with or
    /// without =PERCENT. Default: gaps,offline,doubled.
    #[arg(long, value_name = "LIST", value_parser = Troubles::parse, default_value = "gaps,offline,doubled")]
    trouble: Troubles,
    /// The organisation that the readings are for; with --client its own.
    #[arg(long, value_name = "ORGNR", conflicts_with = "client")]
    orgnr: Option<String>,
    /// Write Bundles here, one file a day and one line a Bundle; - is standard output.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "hub",
        conflicts_with = "hub"
    )]
    out: Option<PathBuf>,
    /// Send to this hub, its base URL without /fhir.
    #[arg(long, value_name = "URL", requires = "client")]
    hub: Option<String>,
    /// The client file of a home system (made by `delt client-key`, or by the demo).
    #[arg(long, value_name = "FILE", requires = "hub")]
    client: Option<PathBuf>,
    /// A network whose private addresses and plain http are allowed, for example 10.0.0.0/8; loopback always is.
    #[arg(long, value_name = "CIDR")]
    network: Vec<String>,
    /// Play the days so many times as fast as they go; default: as fast as they are taken.
    #[arg(long, value_name = "TIMES", value_parser = pace::speed)]
    speed: Option<f64>,
    /// So many readings a second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

/// The story's municipality.
const MUNICIPALITY: &str = "fjellvik";

/// Where sendings go.
enum Sink {
    Written(write::Written),
    Sent(send::Lanes),
}

/// How it went.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Bundles.
    bundles: u64,
    /// Readings in them.
    readings: u64,
    /// Taken in by the hub, now or before.
    taken: u64,
    /// Not taken, because a clock was asked to be wrong.
    asked: u64,
    /// Not taken otherwise.
    refused: u64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.bundles += other.bundles;
        self.readings += other.readings;
        self.taken += other.taken;
        self.asked += other.asked;
        self.refused += other.refused;
    }
}

/// Runs it.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let party = match &arguments.client {
        Some(file) => Some(send::party(file, &arguments.network)?),
        None => None,
    };
    let orgnr = party
        .as_ref()
        .map(wire::client::Party::organisation)
        .or(arguments.orgnr.as_deref());
    let demo = testkit::people::Directory::demo();
    let orgnr = orgnr.unwrap_or_else(|| demo.orgnr(MUNICIPALITY));
    if fhir::ids::OrganisationNumber::parse(orgnr).is_err() {
        bail!("{orgnr} is no organisation number");
    }
    let last = match arguments.until {
        Some(date) => date,
        None => surroundings::today().parse::<Date>()?.yesterday()?,
    };
    let first = last
        .checked_sub(i64::from(arguments.days - 1).days())
        .context("--days reaches too far back")?;
    let homes = Homes::new(
        arguments.seed,
        arguments.people as usize,
        arguments.condition.as_deref(),
        Sender::of(orgnr),
        arguments.trouble,
    )?;
    let count = homes.count();
    eprintln!(
        "delt simulate: {count} homes from {first} to {last}, seed {}",
        arguments.seed
    );
    let mut sink = match (&arguments.out, party) {
        (Some(out), _) => Sink::Written(write::Written::open(out)?),
        (None, Some(party)) => Sink::Sent(send::Lanes::open(
            party,
            arguments.hub.as_deref().unwrap_or_default(),
        )),
        (None, None) => bail!("--out or --hub is needed"),
    };
    let pace = Pace::new(arguments.speed, arguments.rate);
    let since = Instant::now();
    let told = tokio::select! {
        told = play(&homes, first, last, pace, &mut sink) => told,
        () = surroundings::asked_to_stop() => {
            eprintln!("delt simulate: asked to stop");
            Ok(())
        }
    };
    let sum = match sink {
        Sink::Written(written) => written.close()?,
        Sink::Sent(lanes) => lanes.close().await?,
    };
    told?;
    let seconds = since.elapsed().as_secs_f64();
    eprintln!(
        "delt simulate: {} readings in {} bundles, {seconds:.1} s",
        sum.readings, sum.bundles
    );
    if arguments.hub.is_some() {
        let Sum {
            taken,
            asked,
            refused,
            ..
        } = sum;
        eprintln!(
            "delt simulate: {taken} taken in, {asked} not taken for the wrong clock that was asked for, {refused} refused otherwise"
        );
    }
    Ok(ExitCode::from(u8::from(sum.refused > 0)))
}

async fn play(
    homes: &Homes,
    first: Date,
    last: Date,
    mut pace: Pace,
    sink: &mut Sink,
) -> anyhow::Result<()> {
    let (mut told, mut readings) = (Instant::now(), 0);
    let mut day = first;
    while day <= last {
        for sending in homes.sent_on(day)? {
            for _ in 0..=u8::from(sending.again) {
                pace.wait(sending.at, sending.readings.len()).await;
                readings += sending.readings.len();
                sink.take(day, &sending).await?;
            }
            if told.elapsed() > TELL {
                told = Instant::now();
                eprintln!("delt simulate: {day}, {readings} readings");
            }
        }
        day = day.tomorrow()?;
    }
    Ok(())
}

impl Sink {
    async fn take(&mut self, day: Date, sending: &Sending) -> anyhow::Result<()> {
        match self {
            Sink::Written(written) => written.write(day, sending),
            Sink::Sent(lanes) => lanes.send(sending).await,
        }
    }
}
