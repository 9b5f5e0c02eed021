//! Running other programs: shown as they work, or kept quiet with a log and a sign of life.
//!
//! What xtask itself says goes to standard error; standard output is for results (the demo's JSON line, test lines).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// What a command of xtask ends with: nothing, or the words to print.
pub type Outcome = Result<(), String>;

/// The repository's root: xtask's own folder is one below it.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `program args…` in the repository's root. `cargo` is the very one that started xtask.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = match (program, std::env::var_os("CARGO")) {
        ("cargo", Some(cargo)) => Command::new(cargo),
        _ => Command::new(program),
    };
    command.args(args).current_dir(root()).stdin(Stdio::null());
    // What cargo told xtask about xtask's own package must not reach other packages' build scripts.
    for (name, _) in std::env::vars_os() {
        let own = name
            .to_str()
            .is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"));
        if own {
            command.env_remove(name);
        }
    }
    command
}

/// Does this program answer when asked for its version? Gives the first line it says.
pub fn version(program: &str, arg: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(arg)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// How the output of a program is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Every line is printed at once.
    All,
    /// Lines go to the log; every half minute one line tells that work goes on. A failure prints the log.
    Quiet,
}

/// Runs one program to its end and gives the lines it wrote (both streams, in the order they came).
/// `what` is said to the person who waits and names the log under `target/xtask/`.
///
/// # Errors
/// The program could not be started, or it ended with another status than success; its output has been printed by then.
pub fn run(what: &str, show: Show, mut command: Command) -> Result<Vec<String>, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| format!("{what}: cannot start {program}: {e}"))?;

    let (sender, lines) = mpsc::channel::<String>();
    let out = child.stdout.take().map(|s| forward(s, sender.clone()));
    let err = child.stderr.take().map(|s| forward(s, sender));

    let started = Instant::now();
    let mut said = Instant::now();
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(Duration::from_secs(5)) {
            Ok(line) => {
                if show == Show::All {
                    println!("{line}");
                }
                all.push(line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if show == Show::Quiet && said.elapsed() >= Duration::from_secs(30) {
            said = Instant::now();
            let last = all
                .iter()
                .rev()
                .map(|l| l.trim())
                .find(|l| !l.is_empty())
                .unwrap_or("…");
            eprintln!(
                "      {what}: {} s, now: {last}",
                started.elapsed().as_secs()
            );
        }
    }
    for reader in [out, err].into_iter().flatten() {
        let _ = reader.join();
    }
    let status = child.wait().map_err(|e| format!("{what}: {e}"))?;
    keep_log(what, &all);
    if status.success() {
        return Ok(all);
    }
    if show == Show::Quiet {
        for line in &all {
            eprintln!("{line}");
        }
    }
    Err(format!("{what} failed ({program}: {status})"))
}

fn forward(
    stream: impl std::io::Read + Send + 'static,
    sender: mpsc::Sender<String>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            if sender
                .send(
                    String::from_utf8_lossy(&line)
                        .trim_end_matches('\r')
                        .to_owned(),
                )
                .is_err()
            {
                break;
            }
        }
    })
}

/// Writes `target/xtask/WHAT.log`. The log is a convenience: a full disk must not turn a passing stage into a failing one.
pub fn keep_log(what: &str, lines: &[String]) {
    let folder = target().join("xtask");
    let name: String = what
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    if fs::create_dir_all(&folder).is_ok()
        && let Ok(mut file) = File::create(folder.join(format!("{name}.log")))
    {
        for line in lines {
            let _ = writeln!(file, "{line}");
        }
    }
}
