//! `cargo xtask package` and `cargo xtask conformance`: what others read about Delt, made from what Delt is made of.

use crate::prepare;
use crate::shell::{Outcome, Show, command, run, target};
use std::fs;

/// The FHIR package for measurements, told in `docs/it17.md`, in a folder that holds nothing else.
///
/// # Errors
/// The crate that makes it does not build, or the folder cannot be written.
pub fn package() -> Outcome {
    prepare::run()?;
    let folder = target().join("package").join("it17");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    let args = ["run", "--quiet", "--locked", "--package", "fhir"];
    let mut make = command("cargo", &args);
    make.args(["--example", "package", "--"]).arg(&folder);
    let written = run("package", Show::Quiet, make)?;
    println!("{} files in {}", written.len(), folder.display());
    Ok(())
}

/// `docs/law-needs.md`, by the test that also tells when it is stale.
///
/// # Errors
/// A refusal whose rule is not there, or a test run that failed.
pub fn law_needs() -> Outcome {
    prepare::run()?;
    let args = ["test", "--locked", "--package", "server", "--bin", "delt"];
    let mut write = command("cargo", &args);
    write
        .args([
            "--",
            "--exact",
            "check::law::tests::the_page_of_needs_is_as_the_rules_are",
        ])
        .env("DELT_LAW_NEEDS", "write");
    run("law-needs", Show::Quiet, write)?;
    println!("docs/law-needs.md is as the rules are");
    Ok(())
}

/// `docs/conformance.md`, by the test that also tells when it is stale.
///
/// # Errors
/// A claim that no test is named for, or a test run that failed.
pub fn conformance() -> Outcome {
    prepare::run()?;
    let args = ["test", "--locked", "--package", "sharing", "--test", "it"];
    let mut write = command("cargo", &args);
    write
        .args([
            "--",
            "--exact",
            "conformance::the_page_tells_every_claim_and_the_tests_that_show_it",
        ])
        .env("DELT_CONFORMANCE", "write");
    run("conformance", Show::Quiet, write)?;
    println!("docs/conformance.md is as the sharing service's metadata says");
    Ok(())
}
