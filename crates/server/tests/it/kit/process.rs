//! The binary as a command that ends, and as `delt serve` that goes on.

use super::DELT;
use super::wait::until;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// What a finished command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `delt` with arguments to its end.
pub async fn delt(arguments: &[&str]) -> Said {
    let done = Command::new(DELT)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(super::wait::PATIENCE, done)
        .await
        .expect("delt ended in time")
        .unwrap();
    Said {
        code: done.status.code(),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// A port that nobody listens on now: below the range from which outgoing connections take theirs, and from another place
/// on in each test process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() * 7_919 % 10_000).unwrap();
    loop {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running `delt serve`. Dropped, it is killed.
pub struct Serving {
    child: Child,
    log: PathBuf,
}

impl Serving {
    /// Starts it with a configuration and waits until it listens on `port`.
    pub async fn start(config: &Path, port: u16) -> Serving {
        Serving::start_in(config, port, &[]).await
    }

    /// The same with further variables of its environment.
    pub async fn start_in(config: &Path, port: u16, variables: &[(&str, &Path)]) -> Serving {
        let mut serving = Serving::spawn(config, variables);
        until("the process listens", async || {
            serving.listens(port).await.then_some(())
        })
        .await;
        serving
    }

    /// Starts it and waits for nothing.
    pub fn spawn(config: &Path, variables: &[(&str, &Path)]) -> Serving {
        let log = config.with_extension("log");
        let said = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(DELT)
            .args(["serve", "--config"])
            .arg(config)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Serving { child, log }
    }

    /// Whether it listens yet; panics with what it said when it has ended.
    pub async fn listens(&mut self, port: u16) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("ended with {status}: {}", self.said());
        }
        TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    }

    /// Ends it at once, as a power cut would (SIGKILL).
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Stops it as an operator would (SIGTERM) and waits for its end.
    pub async fn stop(mut self) -> ExitStatus {
        terminate(self.child.id().expect("still running")).await;
        tokio::time::timeout(super::wait::PATIENCE, self.child.wait())
            .await
            .expect("stopped in time")
            .unwrap()
    }
}

/// Sends SIGTERM to one process that a story started.
pub async fn terminate(pid: u32) {
    // The standard library sends no other signal than SIGKILL.
    let sent = Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .status()
        .await
        .unwrap();
    assert!(sent.success());
}
