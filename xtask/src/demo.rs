//! `cargo xtask demo`, and a demo region that the later test stages ask their questions.

use crate::shell::{Outcome, Show, command, root, run, target};
use crate::{setup, stages};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a region may take from start to its ready line, history delivered, in a debug build on two busy cores.
const READY: Duration = Duration::from_secs(300);
/// How long it may take to end after SIGTERM.
const GOODBYE: Duration = Duration::from_secs(20);

/// Builds what is missing and becomes `delt demo ARGS`. Standard output stays the demo's own.
///
/// # Errors
/// Node is missing, or the build failed.
pub fn demo(args: &[String]) -> Outcome {
    eprintln!("xtask: setting up the demo");
    setup::node()?;
    stages::build()?;
    eprintln!("xtask: starting delt demo");
    let mut delt = Command::new(target().join("release").join("delt"));
    delt.arg("demo").args(args);
    // The demo takes xtask's place, so that Ctrl-C and SIGTERM reach it and its exit code is ours.
    Err(format!("cannot start delt: {}", delt.exec()))
}

/// A demo region on this machine, on ports of its own, in a temporary folder.
pub struct Region {
    child: Child,
    /// The ready line (CONTRACT section 2), as text.
    pub ready: String,
    /// The same line in a file, for programs that take a path.
    pub file: PathBuf,
}

impl Region {
    /// Starts `target/debug/delt demo --json --port 0` and waits for its ready line.
    ///
    /// # Errors
    /// It could not be built or started, ended early, or was not ready in time; its own words are in
    /// `target/xtask/demo.log`, of which the last lines are printed.
    pub fn start() -> Result<Region, String> {
        run_build()?;
        let folder = target().join("xtask");
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let log = folder.join("demo.log");
        let words = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let delt = target().join("debug").join("delt");
        let mut child = Command::new(&delt)
            .args(["demo", "--json", "--port", "0"])
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(words)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", delt.display()))?;
        let Some(stdout) = child.stdout.take() else {
            return Err("the demo has no standard output".into());
        };
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let file = folder.join("demo.json");
        let started = Instant::now();
        match line.recv_timeout(READY) {
            Ok(ready) => {
                eprintln!(
                    "      the region is ready after {:.1} s",
                    started.elapsed().as_secs_f64()
                );
                fs::write(&file, &ready).map_err(|e| format!("{}: {e}", file.display()))?;
                Ok(Region { child, ready, file })
            }
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = said.lines().collect();
                for line in lines.iter().skip(lines.len().saturating_sub(60)) {
                    eprintln!("{line}");
                }
                Err(format!(
                    "the demo gave no ready line within {} s",
                    READY.as_secs()
                ))
            }
        }
    }

    /// A text member of the ready line's outermost object, such as `portal`.
    pub fn text(&self, name: &str) -> Option<&str> {
        let start = self.ready.find(&format!("\"{name}\":\""))? + name.len() + 4;
        self.ready[start..].split('"').next()
    }

    /// Ends the region by SIGTERM.
    ///
    /// # Errors
    /// It did not end in time, or not with exit code 0, as CONTRACT section 2 promises.
    pub fn stop(mut self) -> Outcome {
        let pid = self.child.id().to_string();
        run("kill", Show::Quiet, command("kill", &["-TERM", &pid]))?;
        let asked = Instant::now();
        while asked.elapsed() < GOODBYE {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!(
                        "the demo ended by SIGTERM with {status}, not with exit code 0"
                    ));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                Err(e) => return Err(format!("waiting for the demo: {e}")),
            }
        }
        Err(format!(
            "the demo still ran {} s after SIGTERM",
            GOODBYE.as_secs()
        ))
    }
}

impl Drop for Region {
    /// Nothing is left running when a stage fails half-way.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The debug binary, built with the very features that the tests used, so that nothing is compiled twice.
fn run_build() -> Outcome {
    let build = command(
        "cargo",
        &["build", "--workspace", "--all-targets", "--locked"],
    );
    run("cargo build", Show::Quiet, build).map(drop)
}
