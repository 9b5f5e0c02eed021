//! Copies the tables that `cargo xtask prepare` made into `OUT_DIR`, where `definitions` embeds them, and lists the profiles. No network: without
//! tables the build stops and says what to run.

use std::path::{Path, PathBuf};

/// The tables, by name.
const TABLES: [&str; 5] = [
    "elements.txt",
    "values.txt",
    "search.txt",
    "compartments.txt",
    "invariants.txt",
];

/// How each of them begins; another beginning means that they were made by another version of xtask.
const FORMAT: &str = "# delt tables, format 1.";

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(why) = profiles(&out) {
        println!("cargo::error={why}");
    }
    let places = places(&out);
    let Some(prepared) = places.iter().find(|p| p.join(TABLES[0]).is_file()) else {
        // A path that is not there makes cargo ask again at the next build.
        for place in &places {
            println!("cargo::rerun-if-changed={}", place.display());
        }
        println!(
            "cargo::error=the tables of the FHIR definitions are missing: run `cargo xtask prepare` first"
        );
        return;
    };
    for name in TABLES {
        let from = prepared.join(name);
        println!("cargo::rerun-if-changed={}", from.display());
        match std::fs::read_to_string(&from) {
            Ok(text) if text.starts_with(FORMAT) => {
                if let Err(e) = std::fs::write(out.join(name), text) {
                    println!("cargo::error={}: {e}", out.join(name).display());
                }
            }
            Ok(_) => println!(
                "cargo::error={} is of another version: run `cargo xtask prepare` first",
                from.display()
            ),
            Err(e) => println!(
                "cargo::error={}: {e}: run `cargo xtask prepare` first",
                from.display()
            ),
        }
    }
}

/// This crate's folder, as cargo says it now: a build script is shared between checkouts.
fn home() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default())
}

/// Writes the list of the files in `spec/profiles`, so that a new one costs no line of code.
fn profiles(out: &Path) -> Result<(), String> {
    let folder = home().join("../../spec/profiles");
    println!("cargo::rerun-if-changed={}", folder.display());
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(fail)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    let mut list = String::from("&[");
    for path in &files {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.file_stem().unwrap_or_default();
        list.push_str(&format!("({name:?}, include_str!({path:?})),"));
    }
    list.push(']');
    std::fs::write(out.join("profiles.rs"), list).map_err(fail)
}

/// Where the tables may be: beside whatever cargo builds into, in the named target folder, in the workspace's own.
fn places(out: &Path) -> Vec<PathBuf> {
    let workspace = home().join("../..");
    let named = std::env::var_os("CARGO_TARGET_DIR").map(|named| workspace.join(named));
    // OUT_DIR is TARGET[/TRIPLE]/PROFILE/build/PACKAGE/out.
    let above = out.ancestors().skip(4).take(2).map(Path::to_path_buf);
    let mut found: Vec<PathBuf> = above
        .chain(named)
        .chain([workspace.join("target")])
        .map(|target| target.join("prepared"))
        .collect();
    found.dedup();
    found
}
