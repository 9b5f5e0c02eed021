//! `cargo xtask test`: named stages in one order, each timed; the first that fails prints its output and ends the run.

use crate::demo::Region;
use crate::shell::{Outcome, Show, command, root, run, target};
use crate::{check, prepare, setup, tally};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A step of `cargo xtask test`.
struct Stage {
    /// What to type to run it alone.
    name: &'static str,
    /// What the person who waits is told.
    what: &'static str,
    run: fn() -> Outcome,
}

/// In this order: what is cheap and catches most comes first. The pages come before anything that compiles the
/// portal, since their bundle is embedded in it.
const STAGES: &[Stage] = &[
    Stage {
        name: "setup",
        what: "Node, Chromium, Python: looked for, installed where we may",
        run: setup::everything,
    },
    Stage {
        name: "prepare",
        what: "the published FHIR definitions as tables",
        run: prepare::run,
    },
    Stage {
        name: "fmt",
        what: "rustfmt leaves every file as it is",
        run: fmt,
    },
    Stage {
        name: "check",
        what: "the house rules",
        run: check::run,
    },
    Stage {
        name: "pages",
        what: "the portal's pages",
        run: typed_pages,
    },
    Stage {
        name: "clippy",
        what: "clippy on all targets, warnings denied",
        run: clippy,
    },
    Stage {
        name: "tests",
        what: "unit, store, API and story tests",
        run: tests,
    },
    Stage {
        name: "oracle",
        what: "what search paths find against npm's FHIRPath, over every search parameter of R4",
        run: oracle,
    },
    Stage {
        name: "doc",
        what: "rustdoc, warnings denied",
        run: doc,
    },
    Stage {
        name: "deny",
        what: "banned crates, licences, sources",
        run: deny,
    },
    Stage {
        name: "browser",
        what: "the portal in Chromium, against a running demo",
        run: browser,
    },
    Stage {
        name: "interop",
        what: "third-party clients in Node and Python, against a running demo",
        run: interop,
    },
];

/// Runs all stages, or those named in `args`; `--list` prints them. The tables, which nothing compiles without, are always
/// looked after.
///
/// # Errors
/// An unknown name, or the first stage that failed.
pub fn test(args: &[String]) -> Outcome {
    if args.iter().any(|a| a == "--list") {
        for stage in STAGES {
            println!("{:<9} {}", stage.name, stage.what);
        }
        return Ok(());
    }
    if let Some(unknown) = args
        .iter()
        .find(|a| STAGES.iter().all(|s| s.name != a.as_str()))
    {
        return Err(format!(
            "no stage is called {unknown}; `cargo xtask test --list` names them"
        ));
    }
    let chosen = STAGES
        .iter()
        .filter(|s| args.is_empty() || s.name == "prepare" || args.iter().any(|a| a == s.name));
    let mut table = Vec::new();
    let mut outcome = Ok(());
    for stage in chosen {
        eprintln!("==> {}: {}", stage.name, stage.what);
        let started = Instant::now();
        outcome = (stage.run)();
        table.push((stage.name, outcome.is_ok(), started.elapsed()));
        eprintln!(
            "    {} {} in {:.1} s",
            stage.name,
            verdict(outcome.is_ok()),
            started.elapsed().as_secs_f64()
        );
        if outcome.is_err() {
            break;
        }
    }
    print_table(&table);
    outcome
}

fn verdict(good: bool) -> &'static str {
    if good { "passed" } else { "FAILED" }
}

fn print_table(table: &[(&str, bool, Duration)]) {
    eprintln!("\nstage      seconds");
    for (name, good, took) in table {
        eprintln!("{name:<9} {:>8.1}  {}", took.as_secs_f64(), verdict(*good));
    }
    let all: Duration = table.iter().map(|row| row.2).sum();
    eprintln!("{:<9} {:>8.1}", "all", all.as_secs_f64());
}

fn quiet(what: &str, command: Command) -> Outcome {
    run(what, Show::Quiet, command).map(drop)
}

fn fmt() -> Outcome {
    quiet(
        "cargo fmt",
        command("cargo", &["fmt", "--all", "--", "--check"]),
    )
}

fn clippy() -> Outcome {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    quiet("cargo clippy", command("cargo", &args))
}

fn doc() -> Outcome {
    let mut doc = command("cargo", &["doc", "--no-deps", "--workspace", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    quiet("cargo doc", doc)
}

/// cargo's own test runner, its lines shown as they come, and one closing line over all binaries.
fn tests() -> Outcome {
    quiet(
        "cargo test (building)",
        command("cargo", &["test", "--workspace", "--locked", "--no-run"]),
    )?;
    // All binaries run even if one fails, so that one run tells all that is wrong.
    let lines = run(
        "cargo test",
        Show::All,
        command(
            "cargo",
            &["test", "--workspace", "--locked", "--no-fail-fast"],
        ),
    );
    let heard = match &lines {
        Ok(lines) => lines.clone(),
        Err(_) => last_log("cargo-test"),
    };
    let tally = tally::count(heard.iter().map(String::as_str));
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    lines?;
    match tally {
        tally::Tally { ignored: 1.., .. } => Err(format!(
            "{} tests are ignored; a test runs or goes",
            tally.ignored
        )),
        tally::Tally { passed: 0, .. } => Err("no test ran".into()),
        _ => Ok(()),
    }
}

fn last_log(name: &str) -> Vec<String> {
    let log = target().join("xtask").join(format!("{name}.log"));
    std::fs::read_to_string(log)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn deny() -> Outcome {
    let deny = setup::cargo_deny()?;
    let args = [
        "--log-level",
        "warn",
        "check",
        "bans",
        "licenses",
        "sources",
    ];
    quiet("cargo deny", command(&deny.to_string_lossy(), &args))
}

/// The pages, and what the TypeScript compiler thinks of them.
fn typed_pages() -> Outcome {
    pages()?;
    let mut check = command("npm", &["run", "--silent", "check"]);
    check.current_dir(root().join("web"));
    quiet("npm run check", check)
}

/// npm packages if the lock changed, then the bundle in `web/dist`.
///
/// # Errors
/// npm or the bundler failed; their output has been printed.
pub fn pages() -> Outcome {
    setup::npm_packages("web")?;
    // A bundle written again is embedded again: without this every `cargo xtask demo` would compile the binary anew.
    let stamp = target().join("xtask").join("pages.stamp");
    if pages_are_newer(&stamp)? {
        return Ok(());
    }
    let mut build = command("npm", &["run", "--silent", "build"]);
    build.current_dir(root().join("web"));
    quiet("npm run build", build)?;
    std::fs::write(&stamp, "").map_err(|e| format!("{}: {e}", stamp.display()))
}

/// Whether `web/dist` is there and `stamp`, left by the last build, is newer than every source of the pages.
fn pages_are_newer(stamp: &Path) -> Result<bool, String> {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let Some(built) = changed(stamp).filter(|_| root().join("web/dist/portal.js").is_file()) else {
        return Ok(false);
    };
    let sources = check::walk(&root().join("web"))?;
    Ok(sources
        .iter()
        .all(|source| changed(source).is_some_and(|time| time < built)))
}

/// The pages and `target/release/delt`. cargo's own progress is shown.
///
/// # Errors
/// The pages or the binary do not build.
pub fn build() -> Outcome {
    setup::node()?;
    prepare::run()?;
    eprintln!("xtask: building the pages");
    pages()?;
    eprintln!("xtask: building the program (the first time takes some minutes)");
    let mut build = command(
        "cargo",
        &["build", "--release", "--locked", "--package", "server"],
    );
    let status = build
        .status()
        .map_err(|e| format!("cannot start cargo: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo build ended with {status}"))
    }
}

fn browser() -> Outcome {
    take_picture(&target().join("portal.png"))
}

/// Takes the README's picture again.
///
/// # Errors
/// As the browser stage.
pub fn picture() -> Outcome {
    setup::everything()?;
    prepare::run()?;
    pages()?;
    take_picture(&root().join("docs").join("portal.png"))
}

fn take_picture(picture: &Path) -> Outcome {
    setup::npm_packages("web")?;
    let region = Region::start()?;
    let portal = region
        .text("portal")
        .ok_or("the demo's ready line names no portal")?;
    let mut test = command(
        "node",
        &["web/test/portal.spec.mjs", portal, "--screenshot"],
    );
    test.arg(picture);
    if let Some(browser) = setup::chromium() {
        test.env("CHROMIUM", browser);
    }
    quiet("browser test", test)?;
    region.stop()
}

/// Delt's reduced search paths against the published expressions, evaluated by a library that knows nothing of Delt.
fn oracle() -> Outcome {
    setup::npm_packages("interop/oracle")?;
    let example = ["--locked", "--package", "fhir", "--example", "definitions"];
    let mut build = command("cargo", &["build"]);
    build.args(example);
    quiet("cargo build (oracle)", build)?;
    let mut compare = command("node", &["interop/oracle/compare.mjs"]);
    compare.arg(target().join("debug/examples/definitions"));
    run("oracle", Show::All, compare).map(drop)
}

/// What the clients of `interop` do, by program; the first of each is the quick form.
const NODE_DAYS: &[&str] = &["quick", "record", "questions", "oauth", "launch"];
/// Stories with regions of their own: programs that take the path of the `delt` binary.
const NODE_STORIES: &[&str] = &["provider", "issuer"];
const PYTHON_DAYS: &[&str] = &["quick", "record", "reconcile", "scenario"];

fn interop() -> Outcome {
    strangers(false)
}

/// `cargo xtask interop [--quick]`: the third-party clients, or of each language the first alone.
///
/// # Errors
/// An argument that is not known, or as the stage.
pub fn interop_by_name(args: &[String]) -> Outcome {
    let quick = match args {
        [] => false,
        [only] if only == "--quick" => true,
        _ => return Err("`cargo xtask interop` takes --quick or nothing".into()),
    };
    setup::everything()?;
    prepare::run()?;
    pages()?;
    strangers(quick)
}

/// Clients, an identity provider and an issuer written from the contract alone, with libraries that know nothing of Delt.
fn strangers(quick: bool) -> Outcome {
    setup::npm_packages("interop/node")?;
    let python = setup::python("interop/python/requirements.txt")?;
    let region = Region::start()?;
    let most = if quick { 1 } else { usize::MAX };
    for day in NODE_DAYS.iter().take(most) {
        let mut client = command("node", &[&format!("interop/node/{day}.mjs")]);
        client.arg(&region.file);
        run(&format!("interop node {day}"), Show::All, client)?;
    }
    for day in PYTHON_DAYS.iter().take(most) {
        let script = format!("interop/python/{day}.py");
        let mut client = command(&python.to_string_lossy(), &[&script]);
        client.arg(&region.file).env("PYTHONDONTWRITEBYTECODE", "1");
        run(&format!("interop python {day}"), Show::All, client)?;
    }
    region.stop()?;
    for story in NODE_STORIES.iter().take(most) {
        let mut told = command("node", &[&format!("interop/node/{story}.mjs")]);
        told.arg(target().join("debug").join("delt"));
        run(&format!("interop node {story}"), Show::All, told)?;
    }
    Ok(())
}

/// The stories of `crates/server/tests`, or those whose name holds the given words.
///
/// # Errors
/// A story failed, or none has that name.
pub fn story(names: &[String]) -> Outcome {
    prepare::run()?;
    let mut stories = command(
        "cargo",
        &[
            "test",
            "--locked",
            "--package",
            "server",
            "--test",
            "it",
            "--",
        ],
    );
    stories.arg("--nocapture").args(names);
    let lines = run("stories", Show::All, stories)?;
    match tally::count(lines.iter().map(String::as_str)).passed {
        0 => Err(format!("no story is called {}", names.join(" "))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_names_are_unique() {
        for (place, stage) in STAGES.iter().enumerate() {
            assert!(
                STAGES[..place].iter().all(|s| s.name != stage.name),
                "{} stands twice",
                stage.name
            );
        }
    }
}
