//! Arrows between crates point one way (docs/ARCHITECTURE.md): `fhir <- trust <- store <- wire <- roles/* <- server`.

use super::manifest::{Dependency, dependencies};
use super::{Finding, read, shown};
use std::path::{Path, PathBuf};

/// The four languages, each of which may use those before it.
const LANGUAGES: [&str; 4] = ["fhir", "trust", "store", "wire"];

/// The seven parties. They never use each other's code.
pub const ROLES: [&str; 7] = [
    "hub",
    "sharing",
    "locator",
    "catalogue",
    "anchor",
    "gateway",
    "portal",
];

/// Crates from outside that a room must not know, and why. `*` stands for every role.
const NOT_HERE: &[(&str, &[&str], &str)] = &[
    (
        "fhir",
        &[
            "tokio", "axum", "hyper", "http", "reqwest", "rusqlite", "rand", "tracing",
        ],
        "fhir does no IO and keeps no log",
    ),
    (
        "trust",
        &[
            "tokio", "axum", "hyper", "http", "reqwest", "rusqlite", "tracing",
        ],
        "trust does no IO: bytes, keys and time are arguments",
    ),
    (
        "store",
        &["axum", "hyper", "http", "reqwest", "tower", "url"],
        "store knows no HTTP",
    ),
    ("wire", &["rusqlite", "zstd"], "wire knows no SQL"),
    (
        "*",
        &["rusqlite", "reqwest", "anyhow", "rand"],
        "a role reaches the disk through store and the network through wire",
    ),
];

/// What may not be named in the sources of a room that does no IO.
const NO_IO: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
];

/// Every crate's Cargo.toml and the sources of the two pure languages.
pub fn check(root: &Path, tree: &[PathBuf]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for manifest in tree
        .iter()
        .filter(|p| p.file_name().is_some_and(|n| n == "Cargo.toml"))
    {
        let Some(folder) = manifest.parent().filter(|f| *f != root) else {
            continue;
        };
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = read(manifest)?;
        let sources: Vec<String> = tree
            .iter()
            .filter(|p| p.starts_with(folder) && p.extension().is_some_and(|e| e == "rs"))
            .map(read)
            .collect::<Result<_, _>>()?;
        let place = shown(root, manifest);
        for what in judge(&name, &dependencies(&text), &sources) {
            findings.push(Finding {
                place: place.clone(),
                what,
            });
        }
        if !text.contains("[lints]\nworkspace = true") {
            findings.push(Finding {
                place,
                what: "has no `[lints] workspace = true`".into(),
            });
        }
    }
    for path in tree.iter().filter(|p| is_pure(root, p)) {
        // Tests may read the files that the sources embed.
        let text = read(path)?;
        let lines = text
            .lines()
            .enumerate()
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
        for (number, line) in lines {
            if let Some(word) = NO_IO
                .iter()
                .find(|w| line.contains(*w) && !line.trim_start().starts_with("//"))
            {
                let place = format!("{}:{}", shown(root, path), number + 1);
                findings.push(Finding {
                    place,
                    what: format!("names {word} in a room that does no IO"),
                });
            }
        }
    }
    Ok(findings)
}

fn is_pure(root: &Path, path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "rs")
        && !path.to_string_lossy().ends_with("tests.rs")
        && ["crates/fhir/src", "crates/trust/src"]
            .iter()
            .any(|f| path.starts_with(root.join(f)))
}

/// The words for each dependency that may not be there, or that no source names.
fn judge(name: &str, dependencies: &[Dependency], sources: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for dependency in dependencies {
        let other = dependency.name.as_str();
        if is_ours(other) && !allowed(name, other, dependency.dev) {
            words.push(format!("{name} may not use {other}: arrows point fhir <- trust <- store <- wire <- roles/* <- server"));
        }
        for (room, banned, why) in NOT_HERE {
            let here = *room == name || (*room == "*" && ROLES.contains(&name));
            if here && !dependency.dev && banned.contains(&other) {
                words.push(format!("{name} may not use {other}: {why}"));
            }
        }
        let path = format!("{}::", other.replace('-', "_"));
        let import = format!("use {}", other.replace('-', "_"));
        if !sources
            .iter()
            .any(|s| s.contains(&path) || s.contains(&import))
        {
            words.push(format!("depends on {other} but no source file names it"));
        }
    }
    words
}

fn is_ours(name: &str) -> bool {
    LANGUAGES.contains(&name)
        || ROLES.contains(&name)
        || ["server", "testkit", "xtask"].contains(&name)
}

/// May `name` depend on our crate `other`?
fn allowed(name: &str, other: &str, dev: bool) -> bool {
    let rank = |n: &str| LANGUAGES.iter().position(|l| *l == n);
    match (rank(name), rank(other)) {
        (Some(mine), Some(theirs)) => theirs < mine,
        (Some(_), None) => false,
        (None, Some(_)) => name != "xtask",
        // Test folders of the roles use the test kit; the binary uses it for demo, simulate and bench too.
        (None, None) if other == "testkit" => name == "server" || (dev && ROLES.contains(&name)),
        (None, None) => name == "server" && ROLES.contains(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_one_way() {
        let cases = [
            ("trust", "fhir", false, true),
            ("fhir", "trust", false, false),
            ("fhir", "fhir", false, false),
            ("hub", "wire", false, true),
            ("wire", "hub", false, false),
            ("hub", "sharing", false, false),
            ("hub", "sharing", true, false),
            ("hub", "testkit", true, true),
            ("hub", "testkit", false, false),
            ("store", "testkit", true, false),
            ("server", "portal", false, true),
            ("server", "testkit", false, true),
            ("testkit", "wire", false, true),
            ("testkit", "hub", false, false),
            ("xtask", "fhir", false, false),
        ];
        for (from, to, dev, wanted) in cases {
            assert_eq!(allowed(from, to, dev), wanted, "{from} -> {to} (dev {dev})");
        }
    }

    #[test]
    fn a_role_with_sql_and_an_unused_crate_is_told_both() {
        let depends = |name: &str| Dependency {
            name: name.into(),
            dev: false,
        };
        let words = judge(
            "hub",
            &[depends("rusqlite"), depends("serde-json")],
            &["use rusqlite::Connection;".into()],
        );
        assert_eq!(words.len(), 2, "{words:?}");
        assert!(words[0].contains("through store"), "{words:?}");
        assert!(words[1].contains("no source file names it"), "{words:?}");
    }
}
