//! The harness for stories told to the real binary: starts `delt demo --json`, reads its ready line, kills it as a power
//! cut would, starts it again on the same data, stops it as an operator would (CONTRACT section 2).

use crate::clients::{Caller, now};
use fhir::time::Instant;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use wire::client::{Http, Party, PeerError, Policy, Request};
use wire::contract::demo::{
    CLOCK, ClientUse, ClockRequest, DemoPatient, DemoPractitioner, DemoReady, DemoService, FAULTS,
    Fault, FaultRequest,
};

/// How long a region may take to be ready in a debug build on a busy machine.
const READY: Duration = Duration::from_secs(300);
/// How long it may take to stop.
const STOPPED: Duration = Duration::from_secs(30);

/// Why the harness gave up.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The program could not be started or waited for.
    #[error("the program: {0}")]
    Io(#[from] std::io::Error),
    /// It ended before it was ready.
    #[error("the program ended before it was ready; what it said is in {log}")]
    Ended {
        /// Where its standard error went.
        log: PathBuf,
    },
    /// It did not get ready, or did not stop, in time.
    #[error("the program was not {what} in time; what it said is in {log}")]
    Late {
        /// `ready` or `stopped`.
        what: &'static str,
        /// Where its standard error went.
        log: PathBuf,
    },
    /// The ready line is not what the contract says, or there is more than that line.
    #[error("the ready line: {0}")]
    Line(String),
    /// The story was not told on.
    #[error("the story: {0}")]
    Played(String),
    /// A client file is not there or not usable.
    #[error("a client file: {0}")]
    Client(String),
    /// A peer did not answer.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Start {
    binary: PathBuf,
    data: PathBuf,
    port: u16,
    more: Vec<String>,
}

impl Start {
    /// `binary` is the program (`env!("CARGO_BIN_EXE_delt")` in the server's tests), `data` the folder it keeps.
    pub fn new(binary: impl Into<PathBuf>, data: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            data: data.into(),
            port: 0,
            more: Vec::new(),
        }
    }

    /// On a given port; any free one otherwise.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With more arguments, for example `--people 20`.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// Starts it and waits for the ready line.
    ///
    /// # Errors
    /// [`RegionError`].
    pub async fn start(self) -> Result<Region, RegionError> {
        std::fs::create_dir_all(&self.data)?;
        let log = self.data.with_extension("log");
        let said = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)?;
        let mut child = Command::new(&self.binary)
            .args(["demo", "--json", "--port", &self.port.to_string(), "--data"])
            .arg(&self.data)
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| RegionError::Line("no standard output".into()))?;
        let mut out = BufReader::new(out);
        let mut line = String::new();
        match tokio::time::timeout(READY, out.read_line(&mut line)).await {
            Err(_) => return Err(RegionError::Late { what: "ready", log }),
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(0)) => return Err(RegionError::Ended { log }),
            Ok(Ok(_)) => {}
        }
        let ready: DemoReady =
            serde_json::from_str(&line).map_err(|e| RegionError::Line(e.to_string()))?;
        Ok(Region {
            ready,
            start: self,
            child,
            out,
            log,
            ahead: Arc::default(),
        })
    }
}

/// A running region. Dropped, it is killed.
#[derive(Debug)]
pub struct Region {
    /// What it said when it was ready.
    pub ready: DemoReady,
    start: Start,
    child: Child,
    out: BufReader<ChildStdout>,
    log: PathBuf,
    /// How far its clock is from the wall clock, in microseconds, as far as is known here.
    ahead: Arc<AtomicI64>,
}

impl Region {
    /// Its clock: the wall clock, or the one that [`Region::play`] puts.
    pub fn clock(&self) -> store::Clock {
        let ahead = self.ahead.clone();
        Arc::new(move || Instant(now().0.saturating_add(ahead.load(Ordering::SeqCst))))
    }

    /// A caller with a fresh key that goes by its clock.
    ///
    /// # Errors
    /// As [`Caller::new`].
    pub fn caller(&self) -> Result<Caller, PeerError> {
        Ok(Caller::new()?.by(self.clock()))
    }

    /// Plays the story on to a moment of it (a region that was started with `--from-day`), and says how much happened meanwhile.
    ///
    /// # Errors
    /// When the control port does not answer 200.
    pub async fn play(&self, day: i32, time: &str) -> Result<u64, RegionError> {
        let request = ClockRequest {
            day,
            time: time.to_owned(),
        };
        let request = Request::post_json(format!("{}{CLOCK}", self.ready.control), &request)?;
        let reply = Caller::new()?.send_bare(request.deadline(READY)).await?;
        let now_there = reply.json["now"]
            .as_str()
            .and_then(|text| fhir::time::parse_instant(text).ok());
        match (reply.status.as_u16(), now_there) {
            (200, Some(there)) => {
                self.ahead.store(there.0 - now().0, Ordering::SeqCst);
                Ok(reply.json["told"].as_u64().unwrap_or_default())
            }
            _ => Err(RegionError::Played(
                reply.json["error_description"].to_string(),
            )),
        }
    }

    /// The folder that it keeps.
    pub fn data(&self) -> &Path {
        &self.start.data
    }

    /// Where its standard error goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as a power cut would (SIGKILL), without any chance to tidy up.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub async fn kill(mut self) -> Result<Start, RegionError> {
        self.child.kill().await?;
        Ok(self.start)
    }

    /// Kills it and starts it again on the same data.
    ///
    /// # Errors
    /// [`RegionError`].
    pub async fn kill_and_restart(self) -> Result<Region, RegionError> {
        self.kill().await?.start().await
    }

    /// Stops it as an operator would (SIGTERM) and waits. Fails if it wrote more than the ready line to standard output.
    ///
    /// # Errors
    /// [`RegionError`].
    pub async fn stop(mut self) -> Result<(ExitStatus, Start), RegionError> {
        let pid = self.child.id().ok_or_else(|| RegionError::Ended {
            log: self.log.clone(),
        })?;
        // The standard library sends no other signal than SIGKILL.
        let sent = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .await?;
        if !sent.success() {
            return Err(RegionError::Line("SIGTERM could not be sent".into()));
        }
        let late = || RegionError::Late {
            what: "stopped",
            log: self.log.clone(),
        };
        let status = tokio::time::timeout(STOPPED, self.child.wait())
            .await
            .map_err(|_| late())??;
        let mut rest = String::new();
        while self.out.read_line(&mut rest).await? > 0 {}
        if !rest.is_empty() {
            return Err(RegionError::Line(
                "standard output holds more than the ready line".into(),
            ));
        }
        Ok((status, self.start))
    }

    /// The story's patient.
    ///
    /// # Errors
    /// When the ready line names nobody.
    pub fn story_patient(&self) -> Result<&DemoPatient, RegionError> {
        self.ready
            .patients
            .first()
            .ok_or_else(|| RegionError::Line("no patients".into()))
    }

    /// The hospital physician of the story.
    ///
    /// # Errors
    /// When the ready line names nobody.
    pub fn physician(&self) -> Result<&DemoPractitioner, RegionError> {
        self.ready
            .practitioners
            .first()
            .ok_or_else(|| RegionError::Line("no practitioners".into()))
    }

    /// A service by its id.
    ///
    /// # Errors
    /// When the ready line does not name it.
    pub fn service(&self, id: &str) -> Result<&DemoService, RegionError> {
        let found = self.ready.services.iter().find(|s| s.id == id);
        found.ok_or_else(|| RegionError::Line(format!("no service {id}")))
    }

    /// The gateway's audience.
    pub fn gateway(&self) -> String {
        format!("{}/fhir", self.ready.gateway)
    }

    /// The hub's audience.
    pub fn hub(&self) -> String {
        format!("{}/fhir", self.ready.hub)
    }

    /// The first client of a use, or of a use and an organisation, as a party that can speak.
    ///
    /// # Errors
    /// [`RegionError::Client`].
    pub fn party(&self, use_: ClientUse, orgnr: Option<&str>) -> Result<Party, RegionError> {
        let client = self
            .ready
            .clients
            .iter()
            .find(|c| c.use_ == use_ && orgnr.is_none_or(|o| c.orgnr == o));
        let client = client.ok_or_else(|| RegionError::Client(format!("none of use {use_:?}")))?;
        self.party_from(Path::new(&client.file))
    }

    /// The client of a file, also of one that the ready line does not list.
    ///
    /// # Errors
    /// [`RegionError::Client`].
    pub fn party_from(&self, file: &Path) -> Result<Party, RegionError> {
        let http = Http::new(Policy::loopback())?;
        let ids: store::Ids = std::sync::Arc::new(uuid::Uuid::new_v4);
        Party::from_file(file, http, self.clock(), ids)
            .map_err(|e| RegionError::Client(e.to_string()))
    }

    /// Switches a fault on or off.
    ///
    /// # Errors
    /// When the control port does not answer 204.
    pub async fn fault(
        &self,
        service: &str,
        fault: Fault,
        ms: Option<u64>,
    ) -> Result<(), RegionError> {
        let request = FaultRequest {
            service: service.to_owned(),
            fault,
            ms,
        };
        let request = Request::post_json(format!("{}{FAULTS}", self.ready.control), &request)?;
        let reply = Caller::new()?.send_bare(request).await?;
        match reply.status.as_u16() {
            204 => Ok(()),
            status => Err(PeerError::Status(status).into()),
        }
    }
}

#[cfg(test)]
mod tests;
