//! `delt audit verify`: proves that an organisation's audit trail is whole, or says where it is not.

use crate::config::Config;
use crate::heads::{self, Proof, Wanted};
use crate::surroundings;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;
use store::{AuditFault, AuditFaultKind, AuditHead};

/// What to do with an audit trail.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Walk the chain of one store from its first record to its last. The store must not be open elsewhere.
    Verify {
        /// The store's folder, for example DIR/stores/sharing/fjellvik.
        #[arg(long)]
        store: PathBuf,
        /// Whose store it is: the service id, or the role's name.
        #[arg(long)]
        owner: String,
        /// A head that was kept elsewhere (the JSON line of an earlier run): shows a trail that was cut or replaced.
        #[arg(long)]
        head: Option<String>,
        /// The region's configuration: compares with every head that was signed and kept, and with those the anchor witnessed.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Take the kept heads from this folder instead of the configured one: a copy from another machine.
        #[arg(long, requires = "config")]
        kept: Option<PathBuf>,
        /// Further public keys (a JWK set) that heads may be signed with: those of before a change of keys.
        #[arg(long, requires = "config")]
        keys: Option<PathBuf>,
        /// Do not ask the anchor what it witnessed.
        #[arg(long, requires = "config")]
        offline: bool,
    },
}

/// Prints the head as JSON on standard output and what is wrong on standard error; 1 if anything is.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let found = verify(command).await?;
    println!("{}", serde_json::to_string(&found.head)?);
    for words in &found.words {
        eprintln!("{words}");
    }
    Ok(if found.is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// What there is to say of a trail.
struct Found {
    /// Its end.
    head: AuditHead,
    /// What is wrong, what it was compared with and whether it is whole, a line each.
    words: Vec<String>,
    is_whole: bool,
}

async fn verify(command: Command) -> anyhow::Result<Found> {
    let Command::Verify {
        store,
        owner,
        head,
        config,
        kept,
        keys,
        offline,
    } = command;
    anyhow::ensure!(store.is_dir(), "there is no store at {}", store.display());
    let noted: Option<AuditHead> = head
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .context("--head is not a head as this command prints it")?;
    let mut proof = match config {
        None => Proof {
            heads: Vec::new(),
            faults: Vec::new(),
            witnessed: None,
        },
        Some(path) => {
            let config = &Config::read(&path)?;
            let owner = &owner;
            heads::prove(&Wanted {
                config,
                owner,
                kept,
                keys,
                offline,
            })
            .await?
        }
    };
    proof.heads.extend(noted);
    let opened = store::Store::open(
        &store,
        &owner,
        store::Surroundings {
            clock: surroundings::clock(),
            ids: surroundings::ids(),
        },
    )
    .with_context(|| format!("cannot open the store at {}", store.display()))?;
    let many = proof.heads.len();
    let report = opened.verify_audit(proof.heads).await?;
    let is_whole = report.is_sound() && proof.faults.is_empty();
    let mut words = proof.faults;
    words.extend(report.faults.iter().map(|fault| {
        let AuditFault { sequence, what } = fault;
        format!("record {sequence}: {what:?} ({})", meaning(*what))
    }));
    if many > 0 {
        let witnessed = proof
            .witnessed
            .map_or("the anchor was not asked".to_owned(), |many| {
                format!("{many} of them witnessed by the anchor")
            });
        words.push(format!("compared with {many} kept heads, {witnessed}"));
        words.push(match report.agreed {
            Some(last) => {
                format!("up to record {last} the trail is what it was when its head was kept")
            }
            None => "the trail agrees with none of them".to_owned(),
        });
    }
    let says = if is_whole {
        "the trail is whole"
    } else {
        "the trail is NOT whole"
    };
    words.push(format!("{} records, {says}", report.records));
    Ok(Found {
        head: report.head,
        words,
        is_whole,
    })
}

fn meaning(what: AuditFaultKind) -> &'static str {
    match what {
        AuditFaultKind::Changed => "its content, time, hash or listing was changed",
        AuditFaultKind::Unlinked => "it does not follow the record before it",
        AuditFaultKind::Missing => "records before it are missing",
        AuditFaultKind::Cut => "records after it are missing",
        AuditFaultKind::OtherThanKept => "it is another record than the one whose head was kept",
        AuditFaultKind::Misplaced => {
            "the list of a patient or a request leads to a record that is not about it, or that is gone"
        }
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
