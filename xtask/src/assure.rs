//! `cargo xtask assure`: mutation testing of what decides who sees what (`crates/trust`) and of the chain that proves who saw it (the
//! audit trail in `crates/store`, its kept heads and the command that verifies it in `crates/server`), with cargo-mutants.
//!
//! cargo-mutants changes the code in one small way at a time and runs the crate's own tests. A change that no test notices is a
//! survivor: a test is missing, or the change means nothing. Survivors of the second sort stand in the crate's
//! `mutants-accepted.txt` with the reason; any other fails the run, and so does a line there that no longer survives. What is
//! changed is set in [`PARTS`] and `.cargo/mutants.toml`.

use crate::shell::{Outcome, command, root, target};
use crate::{prepare, setup};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One crate's part: what of it is changed, and which of its tests must notice. Those that stand nearest, for the crate is built
/// and they are run once for each change.
struct Part {
    package: &'static str,
    /// What is changed, as cargo-mutants' patterns; empty: the whole crate.
    files: &'static [&'static str],
    /// The tests' binary, as cargo's arguments.
    binary: &'static [&'static str],
    /// Run are the tests whose name has one of these in it; empty: all.
    tests: &'static [&'static str],
}

const PARTS: &[Part] = &[
    Part {
        package: "trust",
        files: &[],
        binary: &["--lib"],
        tests: &[],
    },
    Part {
        package: "store",
        files: &[
            "crates/store/src/audit.rs",
            "crates/store/src/joint.rs",
            "crates/store/src/recorded.rs",
            "crates/store/src/review.rs",
        ],
        binary: &["--lib", "--test", "it"],
        tests: &["audit::", "joint::", "review::"],
    },
    Part {
        package: "server",
        files: &[
            "crates/server/src/audit.rs",
            "crates/server/src/heads/believed.rs",
            "crates/server/src/heads/kept.rs",
            "crates/server/src/heads/key.rs",
            "crates/server/src/heads/mod.rs",
            "crates/server/src/heads/proof.rs",
        ],
        binary: &["--bin", "delt"],
        tests: &["audit::", "heads::"],
    },
];

/// What `--quick` looks at: the decision itself.
const QUICK: &[&str] = &[
    "crates/trust/src/decide.rs",
    "crates/trust/src/wish.rs",
    "crates/trust/src/rules/*.rs",
];

/// How a run of cargo-mutants may end without anything being wrong with the run itself: all caught, some missed, some hung.
const FINISHED: [i32; 3] = [0, 2, 3];

impl Part {
    /// The folder of the crate, from the root.
    fn folder(&self) -> String {
        format!("crates/{}/", self.package)
    }

    /// The reviewed survivors, one a line: file, what was changed, ` # ` and why it may survive.
    fn accepted(&self) -> PathBuf {
        root().join(self.folder()).join("mutants-accepted.txt")
    }

    /// Which of the patterns asked for are about this part; all of its own where nothing is asked for.
    ///
    /// # Errors
    /// A file of the crate that this part does not look at.
    fn wanted<'a>(&self, asked: &[&'a str]) -> Result<Option<Vec<&'a str>>, String> {
        if asked.is_empty() {
            return Ok(Some(self.files.to_vec()));
        }
        let here = asked.iter().filter(|one| one.starts_with(&self.folder()));
        let here: Vec<&str> = here.copied().collect();
        let known = |one: &&str| self.files.is_empty() || self.files.contains(one);
        match here.iter().find(|one| !known(one)) {
            Some(other) => Err(format!("assure does not look at {other}")),
            None => Ok((!here.is_empty()).then_some(here)),
        }
    }

    /// Changes what the patterns name, and says what is wrong with what survived.
    fn run(&self, program: &Path, files: &[&str]) -> Result<Vec<String>, String> {
        let room = target().join("assure");
        fs::create_dir_all(&room).map_err(|e| format!("{}: {e}", room.display()))?;
        let mut run = command(
            &program.to_string_lossy(),
            &["mutants", "--package", self.package, "--output"],
        );
        run.arg(&room)
            .args(files.iter().flat_map(|file| ["--file", file]))
            .args(self.binary.iter().map(|one| format!("--cargo-arg={one}")))
            // The tables are read in every run of the tests, and built in one of them.
            .arg("--cargo-arg=--config=profile.dev.package.fhir.opt-level=1")
            // The first for cargo-mutants, the second for cargo: it takes one name itself, the tests' binary any number.
            .args(["--", "--"])
            .args(self.tests)
            // Built once for all runs; the copies that are changed come and go, and nobody debugs them.
            .env("CARGO_TARGET_DIR", &room)
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("INSTA_UPDATE", "no");
        let status = run
            .status()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        if !status.code().is_some_and(|code| FINISHED.contains(&code)) {
            return Err(format!("cargo-mutants did not finish ({status})"));
        }
        let lines = |name: &str| {
            let path = room.join("mutants.out").join(name);
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok::<Vec<String>, String>(text.lines().filter_map(without_place).collect())
        };
        let survived = lines("missed.txt")?;
        let mut tried = survived.clone();
        for name in ["caught.txt", "timeout.txt", "unviable.txt"] {
            tried.extend(lines(name)?);
        }
        if tried.is_empty() {
            return Err("no mutant was made; is there such a file?".to_owned());
        }
        let accepted = self.accepted();
        let text =
            fs::read_to_string(&accepted).map_err(|e| format!("{}: {e}", accepted.display()))?;
        let seen: BTreeSet<&str> = tried.iter().filter_map(|one| file_of(one)).collect();
        let whole = files == self.files;
        let faults = compare(&survived, &text, &|file| whole || seen.contains(file));
        println!(
            "{}: {} mutants in {} files, {} survived, {} of them without a reason or with one too many",
            self.package,
            tried.len(),
            seen.len(),
            survived.len(),
            faults.len()
        );
        Ok(faults)
    }
}

/// Runs every mutant, those of the decision alone (`--quick`), or those of the files in `args` (cargo-mutants' patterns).
///
/// # Errors
/// A survivor has no reason, a reason has no survivor, or cargo-mutants could not do its work.
pub fn assure(args: &[String]) -> Outcome {
    let mut asked: Vec<&str> = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--quick" => asked.extend(QUICK),
            option if option.starts_with('-') => return Err(format!("assure knows no {option}")),
            file => asked.push(file),
        }
    }
    let ours = |file: &&str| PARTS.iter().any(|part| file.starts_with(&part.folder()));
    if let Some(other) = asked.iter().find(|file| !ours(file)) {
        return Err(format!("assure does not look at {other}"));
    }
    let mut work = Vec::new();
    for part in PARTS {
        work.extend(part.wanted(&asked)?.map(|files| (part, files)));
    }
    prepare::run()?;
    let program = setup::cargo_mutants()?;
    let mut faults = Vec::new();
    for (part, files) in work {
        faults.extend(part.run(&program, &files)?);
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nsee mutants-accepted.txt in the crate's folder",
        faults.join("\n")
    ))
}

/// `FILE:LINE:COLUMN: what` as `FILE: what`: lines move, what was changed does not.
fn without_place(line: &str) -> Option<String> {
    let (place, what) = line.split_once(": ")?;
    let file = place.split(':').next()?;
    Some(format!("{file}: {what}"))
}

fn file_of(mutant: &str) -> Option<&str> {
    mutant.split_once(": ").map(|(file, _)| file)
}

/// What is wrong between the survivors of a run and the reviewed list, for files that the run was about.
/// Two mutants of one name in one file need two lines.
fn compare(survived: &[String], list: &str, judged: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut left: Vec<&str> = survived.iter().map(String::as_str).collect();
    let lines = list.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((mutant, _)) = line
            .split_once(" # ")
            .filter(|(_, reason)| !reason.trim().is_empty())
        else {
            faults.push(format!("without a reason: {line}"));
            continue;
        };
        match left.iter().position(|one| *one == mutant.trim()) {
            Some(at) => {
                left.swap_remove(at);
            }
            None if file_of(mutant).is_some_and(judged) => {
                faults.push(format!("no longer survives: {mutant}"));
            }
            None => {}
        }
    }
    faults.extend(left.into_iter().map(|one| format!("survived: {one}")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "a.rs: replace && with || in f";

    fn faults(survived: &[&str], list: &str) -> Vec<String> {
        let survived: Vec<String> = survived.iter().map(|&one| one.to_owned()).collect();
        compare(&survived, list, &|file| file != "elsewhere.rs")
    }

    #[test]
    fn each_survivor_has_one_line_and_each_line_one_survivor() {
        let line = format!("# heading\n\n{A} # the two are the same here\n");
        assert!(faults(&[A], &line).is_empty());
        assert_eq!(faults(&[A, A], &line), [format!("survived: {A}")]);
        assert_eq!(faults(&[], &line), [format!("no longer survives: {A}")]);
        assert_eq!(faults(&[A], ""), [format!("survived: {A}")]);
    }

    #[test]
    fn a_line_needs_a_reason() {
        for list in [A.to_owned(), format!("{A} # ")] {
            assert_eq!(
                faults(&[A], &list),
                [
                    format!("without a reason: {}", list.trim()),
                    format!("survived: {A}")
                ]
            );
        }
    }

    #[test]
    fn a_file_that_was_not_looked_at_is_not_judged() {
        assert!(faults(&[], "elsewhere.rs: replace f with () # x").is_empty());
    }

    #[test]
    fn lines_move_and_names_stay() {
        let name = without_place("a.rs:12:34: replace <impl X for Y>::f -> bool with true");
        assert_eq!(
            name.as_deref(),
            Some("a.rs: replace <impl X for Y>::f -> bool with true")
        );
    }

    #[test]
    fn the_reviewed_lists_are_well_formed() {
        for part in PARTS {
            let text = fs::read_to_string(part.accepted()).unwrap_or_default();
            assert!(!text.is_empty(), "{}", part.package);
            for line in text
                .lines()
                .filter(|l| !l.is_empty() && !l.starts_with('#'))
            {
                let (mutant, reason) = line.split_once(" # ").unwrap_or_default();
                let file = file_of(mutant).unwrap_or_default();
                assert!(root().join(file).is_file(), "no such file: {line}");
                assert!(file.starts_with(&part.folder()), "elsewhere: {line}");
                assert!(reason.len() > 10, "a reason says something: {line}");
            }
        }
    }

    #[test]
    fn each_part_takes_the_files_of_its_crate() {
        let [trust, store, server] = PARTS else {
            panic!("three parts");
        };
        let (rule, chain) = ("crates/trust/src/rules/*.rs", "crates/store/src/audit.rs");
        assert_eq!(trust.wanted(&[]), Ok(Some(vec![])));
        assert_eq!(store.wanted(&[]), Ok(Some(store.files.to_vec())));
        assert_eq!(trust.wanted(&[rule, chain]), Ok(Some(vec![rule])));
        assert_eq!(store.wanted(&[rule]), Ok(None));
        assert_eq!(server.wanted(&[rule, chain]), Ok(None));
        assert!(store.wanted(&["crates/store/src/commit.rs"]).is_err());
        assert!(assure(&["crates/roles/hub/src/lib.rs".to_owned()]).is_err());
    }
}
