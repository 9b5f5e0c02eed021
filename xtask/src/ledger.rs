//! `cargo xtask ledger`: the ledger story with as many kills as asked for. `cargo xtask test` tells it with few.

use crate::prepare;
use crate::shell::{Outcome, Show, command, run};

/// The kills that threats-and-faults.md section 12 is shown by.
const KILLS: &str = "200";
/// The story's name.
const STORY: &str = "many_kills_lose_and_double_nothing";

/// Runs the story with `--kills N` (200) and, if given, `--seed S`; what it says goes to standard error as it is said.
///
/// # Errors
/// Something was lost or doubled: the story has said the seed and where the region's folder is kept.
pub fn ledger(args: &[String]) -> Outcome {
    let mut kills = KILLS.to_owned();
    let mut seed = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let number = args.next().filter(|text| text.parse::<u64>().is_ok());
        let number = number.ok_or_else(|| format!("{arg} takes a whole number"))?;
        match arg.as_str() {
            "--kills" => kills = number.clone(),
            "--seed" => seed = Some(number.clone()),
            other => return Err(format!("there is no {other}; --kills N, --seed S")),
        }
    }
    prepare::run()?;
    let told = ["test", "--locked", "--package", "server", "--test", "it"];
    let mut story = command("cargo", &told);
    story.args(["--", "--nocapture", STORY]);
    story.env("DELT_KILLS", kills);
    if let Some(seed) = seed {
        story.env("DELT_SEED", seed);
    }
    run("ledger", Show::All, story).map(drop)
}
