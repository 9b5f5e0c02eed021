//! `store`: how large a file becomes in which readings rest, and filling a store for other workloads.

use super::figure::Figure;
use super::ground::{self, OWNER};
use super::statistics::per_second;
use super::{Found, Setting, say};
use crate::surroundings;
use anyhow::{Context, anyhow, ensure};
use fhir::check::Rules;
use fhir::ids::{OrganisationNumber, PersonNumbers};
use fhir::json::{Json, Limits};
use std::path::Path;
use std::time::Instant;
use store::{Change, Fate, Put, Store, Surroundings};
use testkit::bench_load::{FIVE, Load};
use trust::Interaction;
use trust::audit::Record;

/// Readings loaded unless said otherwise.
const READINGS: u64 = 100_000;
/// Readings of one patient and kind in the load.
const SERIES: u64 = 200;
/// Changes in one group.
const GROUP: usize = 100;

/// Which audit records a load leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// None: what the readings alone take.
    None,
    /// One for each reading, as a sharing service writes it for each entry of a batch.
    EachReading,
}

/// Puts readings number `wanted` into a store in groups of one hundred, as a batch does. Returns when all are durable.
pub async fn fill(
    store: &Store,
    load: &Load,
    mut wanted: impl Iterator<Item = u64>,
    audit: Audit,
) -> anyhow::Result<()> {
    let rules = Rules {
        person_numbers: PersonNumbers::Strict,
        ..Rules::default()
    };
    let organisation = OrganisationNumber::parse(ground::orgnr()).map_err(|e| anyhow!("{e}"))?;
    let clock = surroundings::clock();
    loop {
        let request = uuid::Uuid::new_v4();
        let mut changes = Vec::with_capacity(GROUP);
        for (entry, n) in wanted.by_ref().take(GROUP).enumerate() {
            let reading = load.reading(n).context("the load has no such reading")?;
            let json = Json::parse(reading.body, Limits::RESOURCE)
                .map_err(|fault| anyhow!("{}", fault.message))?;
            let resource = fhir::check::check(&json, json.root(), &rules).map_err(|issues| {
                anyhow!(
                    "a reading of the load is refused: {:?}",
                    issues.first().map(|i| &i.expression)
                )
            })?;
            let mut change = Change {
                puts: vec![Put::Create {
                    resource,
                    written_by: None,
                    enrol: true,
                }],
                audit_fill: true,
                ..Change::default()
            };
            if audit == Audit::EachReading {
                let mut record = Record::new(
                    clock(),
                    request,
                    Interaction::Create,
                    &format!("POST /{OWNER}/fhir Bundle.entry[{entry}]"),
                );
                record.client = Some("delt-hub".to_owned());
                record.organisation = Some(organisation);
                change.audit = Some(record);
            }
            changes.push(change);
        }
        if changes.is_empty() {
            return Ok(());
        }
        for committed in store.commit_all(changes).await {
            let committed = committed?;
            ensure!(
                committed
                    .puts
                    .first()
                    .is_some_and(|put| put.fate == Fate::Created),
                "a reading of the load is in the store already"
            );
        }
    }
}

/// Measures.
pub async fn run(setting: Setting) -> anyhow::Result<Found> {
    let readings = setting.readings.unwrap_or(READINGS);
    let patients = usize::try_from((readings / SERIES / FIVE.len() as u64).max(1))?;
    let mut found = Found::default();
    for (audit, words) in [
        (
            Audit::EachReading,
            "with the audit trail: one record for each reading",
        ),
        (
            Audit::None,
            "without an audit trail (never so in a service): readings and their indexes alone",
        ),
    ] {
        say(&format!("loading {readings} readings, {words}"));
        let folder = tempfile::Builder::new().prefix("delt-bench-").tempdir()?;
        let load = ground::load(2, patients)?;
        let store = open(folder.path())?;
        let since = Instant::now();
        fill(&store, &load, 0..readings, audit).await?;
        let took = since.elapsed();
        close(store).await?;
        let bytes = std::fs::metadata(folder.path().join("store.db"))?.len();
        let sent: usize = (0..readings.min(1_000))
            .filter_map(|n| load.reading(n))
            .map(|r| r.body.len())
            .sum();
        let figure = Figure::new("store/bytes_per_reading", bytes as f64 / readings as f64, "bytes")
            .under("audit", words)
            .under("readings", readings)
            .under("patients", patients as u64)
            .under("sent_bytes_per_reading", (sent as u64) / readings.min(1_000))
            .under("order", "patients by turns, so that neighbours in arrival are far apart in the file; groups of 100; one version each")
            .under("includes", "all indexes, identities, patients and dictionaries; after the write-ahead log was written back")
            .under("loaded_per_second_by_one_writer", per_second(readings, took).round());
        found.figures.push(figure);
    }
    Ok(found)
}

/// A store of its own, without a region.
pub fn open(folder: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(
        folder,
        OWNER,
        Surroundings {
            clock: surroundings::clock(),
            ids: surroundings::ids(),
        },
    )?)
}

/// Closes it: the log is written back when the last clone goes. On a thread that may block.
pub async fn close(store: Store) -> anyhow::Result<()> {
    Ok(tokio::task::spawn_blocking(move || drop(store)).await?)
}
