//! `delt receipt show`: is a completeness receipt what the gateway signed, and what does it say (CONTRACT section 7).

use anyhow::{Context, bail};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use trust::keys::{KeySet, PublicKey};
use wire::inert::unfit;
use wire::receipt::{Receipt, SourceReport, verify};

/// Largest file read.
const BYTES: u64 = 16 * 1024 * 1024;

/// What to do with a receipt.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Verify the signature and print every source in words. Takes the OperationOutcome itself, or a searchset that holds
    /// it. Nothing is fetched: take the keys from `{gateway}/jwks`, or from the anchor's register, beforehand.
    #[command(
        after_help = "Exit codes: 0 the signature stands · 1 it does not, or there is no receipt · 2 the command line is wrong."
    )]
    Show {
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// The gateway's public keys: a JWK set, or one public JWK.
        #[arg(long)]
        keys: PathBuf,
    },
}

/// Prints the receipt on standard output, and on standard error whether it stands; 1 if it does not.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::Show { file, keys } = command;
    let keys = key_set(&text(&keys)?).with_context(|| format!("{}", keys.display()))?;
    let found: Value = serde_json::from_slice(&text(&file)?).context("not JSON")?;
    let outcome = outcome_of(&found).context("no completeness receipt is in it")?;
    let receipt = Receipt::read(outcome)?;
    let stands = verify(outcome, &keys);
    print!("{}", in_words(&receipt));
    Ok(match stands {
        Ok(()) => {
            eprintln!("the signature stands");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("do NOT rely on it: {error}");
            ExitCode::from(1)
        }
    })
}

fn text(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(BYTES + 1).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(BYTES + 1).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    if text.len() as u64 > BYTES {
        bail!("{} is too large to be a receipt", file.display());
    }
    Ok(text)
}

fn key_set(text: &[u8]) -> anyhow::Result<KeySet> {
    let value: Value = serde_json::from_slice(text).context("not JSON")?;
    let keys = match value.get("keys") {
        Some(_) => KeySet::parse(text),
        None => PublicKey::from_jwk_value(&value).and_then(|key| KeySet::of(vec![key])),
    };
    keys.context("neither a JWK set nor a public JWK")
}

/// The receipt itself, or the outcome entry of a searchset that is one.
fn outcome_of(found: &Value) -> Option<&Value> {
    let is_receipt =
        |one: &&Value| Receipt::read(one).is_ok_and(|receipt| !receipt.sources.is_empty());
    if found["resourceType"] != "Bundle" {
        return Some(found).filter(is_receipt);
    }
    let entries = found["entry"].as_array()?.iter();
    let outcomes = entries.filter(|entry| entry["search"]["mode"] == "outcome");
    outcomes.map(|entry| &entry["resource"]).find(is_receipt)
}

/// A line for the whole, one for each source, one for each notice.
fn in_words(receipt: &Receipt) -> String {
    let whole = match receipt.is_whole() {
        true => "nothing is missing from the sources that were named",
        false => "NOT whole",
    };
    let id = receipt.id.as_deref().unwrap_or("without an id");
    let mut words = format!("receipt {id}: {whole}\n");
    for source in &receipt.sources {
        words += &line(source);
    }
    for notice in &receipt.notices {
        words += &format!("note: {notice}\n");
    }
    words
}

fn line(source: &SourceReport) -> String {
    let mut words = source.organisation.clone();
    if let Some(name) = &source.name {
        words += &format!(" {name}");
    }
    words += &format!(": {}, {} resources", source.state.as_str(), source.count);
    if let Some(milliseconds) = source.milliseconds {
        words += &format!(", {milliseconds} ms");
    }
    if let Some(as_of) = &source.as_of {
        words += &format!(", as of {as_of}");
    }
    if let Some(reason) = &source.reason {
        words += &format!(" ({reason})");
    }
    // A member's text may hold anything: nothing of it steers a terminal or turns a line.
    let plain = words.chars().map(|c| if unfit(c) { '?' } else { c });
    plain.chain(['\n']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::receipt::SourceState;

    #[test]
    fn nothing_of_a_members_text_steers_a_terminal_or_turns_a_line() {
        let source = SourceReport {
            organisation: "310001007".to_owned(),
            name: Some("Fjell\u{202e}vik\u{1b}[2J\u{2028}x".to_owned()),
            endpoint: None,
            state: SourceState::Failed,
            count: 0,
            milliseconds: None,
            as_of: None,
            reason: Some("no\u{2066}ne".to_owned()),
        };
        assert_eq!(
            line(&source),
            "310001007 Fjell?vik?[2J?x: failed, 0 resources (no?ne)\n"
        );
    }
}
