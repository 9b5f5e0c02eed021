//! `delt audit verify`: proves that an organisation's audit trail is whole, or says where it is not.

use crate::surroundings;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

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
    },
}

/// Prints the head as JSON on standard output and what is wrong on standard error; 1 if anything is.
pub async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::Verify { store, owner, head } = command;
    anyhow::ensure!(store.is_dir(), "there is no store at {}", store.display());
    let kept = head
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .context("--head is not a head as this command prints it")?;
    let opened = store::Store::open(
        &store,
        &owner,
        store::Surroundings {
            clock: surroundings::clock(),
            ids: surroundings::ids(),
        },
    )
    .with_context(|| format!("cannot open the store at {}", store.display()))?;
    let report = opened.verify_audit(kept).await?;
    println!("{}", serde_json::to_string(&report.head)?);
    for fault in &report.faults {
        eprintln!("record {}: {:?}", fault.sequence, fault.what);
    }
    eprintln!(
        "{} records, {}",
        report.records,
        if report.is_sound() {
            "the trail is whole"
        } else {
            "the trail is NOT whole"
        }
    );
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
