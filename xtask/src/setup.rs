//! What the machine must have, put there where we may (Debian, as root) and named exactly where we may not.

use crate::shell::{Outcome, Show, command, root, run, target, version};
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest Node whose `npm` and test runner the pages and the third-party client are tried with.
const OLDEST_NODE: u32 = 20;

/// The cargo-deny that the deny stage uses when the machine has none of its own. A debug build takes about a minute.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// The cargo-mutants that `cargo xtask assure` uses; always this one, for the reviewed list has its words for what was changed.
const CARGO_MUTANTS: &str = "cargo-mutants@27.1.0";

/// A thing the tests need, the Debian packages that give it, and how to see whether it is here.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    here: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler",
        packages: &["build-essential"],
        here: || version("cc", "--version").is_some(),
    },
    Need {
        what: "Chromium",
        packages: &["chromium", "fonts-liberation"],
        here: || chromium().is_some(),
    },
    Need {
        what: "Python with venv",
        packages: &["python3", "python3-venv"],
        here: || {
            command("python3", &["-c", "import venv, ensurepip"])
                .stderr(std::process::Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
        },
    },
];

/// Everything `cargo xtask test` needs besides Rust.
///
/// # Errors
/// Something is missing and cannot be installed from here; the words hold the line to type.
pub fn everything() -> Outcome {
    node()?;
    let missing: Vec<&Need> = NEEDS.iter().filter(|n| !(n.here)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|n| n.what).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|n| n.packages).copied().collect();
    let line = format!(
        "apt-get update && apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    if !(is_root() && version("apt-get", "--version").is_some()) {
        return Err(format!(
            "missing: {}. On Debian, as root: {line}",
            names.join(", ")
        ));
    }
    eprintln!(
        "      missing: {}; installing by apt: {}",
        names.join(", "),
        packages.join(" ")
    );
    run(
        "apt-get update",
        Show::Quiet,
        command("apt-get", &["update", "-q"]),
    )?;
    let mut install = command(
        "apt-get",
        &["install", "-q", "--yes", "--no-install-recommends"],
    );
    install
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run("apt-get install", Show::Quiet, install)?;
    match missing.iter().find(|n| !(n.here)()) {
        None => Ok(()),
        Some(need) => Err(format!("{} is still missing after: {line}", need.what)),
    }
}

/// Node, new enough, with npm beside it.
///
/// # Errors
/// Node or npm is missing or too old.
pub fn node() -> Outcome {
    let found = version("node", "--version").unwrap_or_default();
    let major = found
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|n| n.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST_NODE && version("npm", "--version").is_some() => Ok(()),
        Some(major) if major >= OLDEST_NODE => {
            Err("npm is missing beside Node; on Debian: apt-get install npm".into())
        }
        _ => Err(format!(
            "the pages need Node {OLDEST_NODE} or newer with npm ({}); see nodejs.org, or your system's packages",
            if found.is_empty() {
                "none found".to_owned()
            } else {
                format!("found {found}")
            }
        )),
    }
}

/// The whole path of the browser for the portal's test, as its driver wants it: `CHROMIUM` if set, else the usual names.
pub fn chromium() -> Option<String> {
    let named = std::env::var("CHROMIUM").ok();
    let usual = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    named
        .into_iter()
        .chain(usual)
        .filter_map(|program| whole_path(&program))
        .find(|program| version(program, "--version").is_some())
}

/// Where a program lies: itself when it is a path, else the first file of its name in `PATH`.
fn whole_path(program: &str) -> Option<String> {
    if program.contains('/') {
        return Some(program.to_owned());
    }
    let folders = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())?;
    found.to_str().map(str::to_owned)
}

fn is_root() -> bool {
    let id = command("id", &["-u"]).output();
    id.is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

/// `npm ci` in `folder` (relative to the root) if its lock is another than the one last installed.
///
/// # Errors
/// npm failed; its output has been printed.
pub fn npm_packages(folder: &str) -> Outcome {
    let place = root().join(folder);
    let lock = fs::read(place.join("package-lock.json"))
        .map_err(|e| format!("{folder}/package-lock.json: {e}"))?;
    let stamp = place.join("node_modules").join(".delt-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    eprintln!("      {folder}: installing npm packages from the lock");
    let mut npm = command(
        "npm",
        &["ci", "--no-audit", "--no-fund", "--loglevel=error"],
    );
    npm.current_dir(&place);
    run(&format!("npm ci {folder}"), Show::Quiet, npm)?;
    fs::write(&stamp, lock).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// The Python of a virtual environment under `target/` that holds `requirements` (a file relative to the root).
///
/// # Errors
/// The environment cannot be made or pip failed.
pub fn python(requirements: &str) -> Result<PathBuf, String> {
    let list = root().join(requirements);
    let wanted = fs::read(&list).map_err(|e| format!("{requirements}: {e}"))?;
    let venv = target().join("interop-venv");
    let python = venv.join("bin").join("python");
    let stamp = venv.join(".delt-requirements");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("      {requirements}: installing Python packages into the target folder");
    let mut make = command("python3", &["-m", "venv", "--clear"]);
    make.arg(&venv);
    run("python venv", Show::Quiet, make)?;
    let mut pip = command(
        &python.to_string_lossy(),
        &["-m", "pip", "install", "--quiet", "--requirement"],
    );
    pip.arg(&list);
    run("pip install", Show::Quiet, pip)?;
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

/// cargo-deny: the machine's own, or one built once into `target/tools`.
///
/// # Errors
/// It is not here and could not be built.
pub fn cargo_deny() -> Result<PathBuf, String> {
    if version("cargo-deny", "--version").is_some() {
        return Ok(PathBuf::from("cargo-deny"));
    }
    built("cargo-deny", CARGO_DENY)
}

/// cargo-mutants, built once into `target/tools`.
///
/// # Errors
/// It is not here and could not be built.
pub fn cargo_mutants() -> Result<PathBuf, String> {
    built("cargo-mutants", CARGO_MUTANTS)
}

/// A program from crates.io, pinned to one version and built once, into a folder of that name under `target/tools`.
fn built(name: &str, pinned: &str) -> Result<PathBuf, String> {
    let tools = target().join("tools").join(pinned);
    let program = tools.join("bin").join(name);
    if is_file(&program) {
        return Ok(program);
    }
    eprintln!("      building {pinned} once into the target folder (about a minute)");
    let mut install = command(
        "cargo",
        &[
            "install",
            "--locked",
            "--debug",
            "--no-default-features",
            "--root",
        ],
    );
    install
        .arg(&tools)
        .arg("--target-dir")
        .arg(tools.join("build"))
        .arg(pinned);
    run(&format!("cargo install {name}"), Show::Quiet, install)?;
    // The program stays; half a gigabyte of intermediate files need not.
    let _ = fs::remove_dir_all(tools.join("build"));
    Ok(program)
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file())
}
