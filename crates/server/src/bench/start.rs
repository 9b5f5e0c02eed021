//! `start`: a sharing service as a process of its own (`delt serve`), from its start to its first answer, and what it holds
//! in memory when nobody asks.

use super::figure::Figure;
use super::ground::{self, Ground, OWNER};
use super::http::Connection;
use super::statistics::Spread;
use super::{Found, Setting, disk, say};
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testkit::bench_load::FIVE;

/// Readings in the store unless said otherwise.
const READINGS: u64 = 100_000;
/// Readings of one patient and kind.
const SERIES: u64 = 200;
/// Starts that are measured.
const STARTS: usize = 5;
/// Longest start.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nobody asks before the memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let readings = setting.readings.unwrap_or(READINGS);
    let ground = Ground::open().await?;
    let (mut config, address) = (ground.config().clone(), ground.address());
    let keys = ground
        .folder()
        .join("keys")
        .join(format!("deling-{OWNER}.json"));
    let folder = tempfile::Builder::new().prefix("delt-bench-").tempdir()?;
    let key = folder.path().join("client.json");
    // With its mode: a key that others may read is refused.
    std::fs::copy(&keys, &key)
        .with_context(|| format!("the service's client file {}", keys.display()))?;
    ground.close().await;
    config.roles = vec![format!("sharing:{OWNER}")];
    config.anchor.test_tokens = false;
    config.data = folder.path().join("stores");
    for service in config.service.iter_mut().filter(|s| s.id == OWNER) {
        service.client_file = Some(key.clone());
    }
    let file = folder.path().join("delt.toml");
    std::fs::write(&file, toml::to_string(&config)?)?;
    say(&format!("loading {readings} readings"));
    let store = disk::open(&config.data.join("sharing").join(OWNER))?;
    let load = ground::load(
        7,
        usize::try_from((readings / SERIES / FIVE.len() as u64).max(1))?,
    )?;
    disk::fill(&store, &load, 0..readings, disk::Audit::EachReading).await?;
    disk::close(store).await?;
    let (times, memory) = tokio::task::spawn_blocking(move || starts(&file, address)).await??;
    let common = |figure: Figure| {
        figure
            .under("what", format!("`delt serve` with the one role sharing:{OWNER}, this program as a process of its own"))
            .under("readings", readings)
            .under("starts", STARTS as u64)
    };
    let seconds = times
        .median()
        .context("no start was measured")?
        .as_secs_f64();
    let figures = vec![
        common(Figure::new("start/seconds", seconds, "s")).under("until", "GET metadata answers 200; median; files in the system's cache; the process before ended by SIGKILL"),
        common(Figure::new("start/idle_mib", memory, "MiB")).under("memory", "resident set (VmRSS) two seconds after the first answer, one request served; largest of all starts"),
    ];
    Ok(Found {
        figures,
        wrong: Vec::new(),
    })
}

/// Starts and ends the service several times; the times, and the largest resident set in MiB.
fn starts(config: &Path, address: SocketAddr) -> anyhow::Result<(Spread, f64)> {
    let mut times = Vec::new();
    let mut memory: f64 = 0.0;
    for n in 1..=STARTS {
        say(&format!("start {n} of {STARTS}"));
        let since = Instant::now();
        let mut process = Process::start(config)?;
        process.answers(address, since)?;
        times.push(since.elapsed());
        std::thread::sleep(IDLE);
        memory = memory.max(process.resident_mib()?);
    }
    Ok((Spread::of(times), memory))
}

/// A child that ends with us.
struct Process(Child);

impl Process {
    fn start(config: &Path) -> anyhow::Result<Process> {
        let program = std::env::current_exe()?;
        let child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Process(child))
    }

    /// Asks for its metadata until it answers.
    fn answers(&mut self, address: SocketAddr, since: Instant) -> anyhow::Result<()> {
        let request = format!("GET /{OWNER}/fhir/metadata HTTP/1.1\r\nhost: {address}\r\n\r\n");
        let mut connection = Connection::to(address);
        loop {
            if let Ok(answer) = connection.exchange(request.as_bytes()) {
                ensure!(
                    answer.status == 200
                        && answer
                            .body
                            .starts_with(b"{\"resourceType\":\"CapabilityStatement\""),
                    "metadata was answered {}",
                    answer.status
                );
                return Ok(());
            }
            if let Some(status) = self.0.try_wait()? {
                anyhow::bail!("the service ended before it answered: {status}");
            }
            ensure!(
                since.elapsed() < PATIENCE,
                "the service did not answer within {} s",
                PATIENCE.as_secs()
            );
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Its resident set.
    fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kib: f64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .trim()
                    .strip_suffix("kB")?
                    .trim()
                    .parse()
                    .ok()
            })
            .context("no VmRSS")?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
