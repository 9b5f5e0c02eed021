//! `delt demo --import PATH`: `.json` and `.ndjson` files with Observations and Bundles, sent through the hub like a home
//! system's, and `DIR/import-report.ndjson` with one line an entry: what the hub said of it.

use anyhow::Context;
use bytes::Bytes;
use fhir::json::{Json, Kind, Limits, Node};
use std::io::Write;
use std::path::{Path, PathBuf};
use wire::client::{Party, Request};
use wire::contract::demo::ImportReportLine;
use wire::contract::hub;

/// Entries in one bundle to the hub.
const CHUNK: usize = 100;

/// How an import went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Entries that the hub took in (or had already).
    pub accepted: u64,
    /// Entries it did not.
    pub refused: u64,
}

/// Sends everything under `path` to the hub as `sender` and writes the report.
pub async fn import(
    path: &Path,
    hub_base: &str,
    sender: &Party,
    report: &Path,
) -> anyhow::Result<Imported> {
    let mut out = std::io::BufWriter::new(
        std::fs::File::create(report)
            .with_context(|| format!("cannot write {}", report.display()))?,
    );
    let mut sum = Imported::default();
    for file in files(path)? {
        let name = file
            .strip_prefix(path)
            .ok()
            .filter(|p| p.components().next().is_some())
            .unwrap_or(&file)
            .display()
            .to_string();
        let bytes = Bytes::from(
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?,
        );
        let mut lines = Vec::new();
        for document in documents(&file, &bytes) {
            send(document, hub_base, sender, &mut lines).await?;
        }
        for (entry, line) in (0..).zip(lines) {
            if line.status < 300 {
                sum.accepted += 1
            } else {
                sum.refused += 1
            }
            let line = ImportReportLine {
                file: name.clone(),
                entry,
                status: line.status,
                identifier: line.identifier,
                outcome: line.outcome,
            };
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(sum)
}

/// What became of one entry.
struct Line {
    status: u16,
    identifier: Option<String>,
    outcome: Option<serde_json::Value>,
}

/// The files to send, sorted by name; a folder is walked.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let kind =
        std::fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    if !kind.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path
            .extension()
            .is_some_and(|e| e == "json" || e == "ndjson")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// One JSON document a `.json` file, one a line in `.ndjson`.
fn documents(file: &Path, bytes: &Bytes) -> Vec<Bytes> {
    if file.extension().is_some_and(|e| e == "ndjson") {
        let lines = bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.trim_ascii().is_empty());
        lines.map(|line| bytes.slice_ref(line)).collect()
    } else {
        vec![bytes.clone()]
    }
}

/// Sends one document: a bundle of independent entries in chunks, everything else as it is.
async fn send(
    document: Bytes,
    hub_base: &str,
    sender: &Party,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let audience = format!("{hub_base}{}", hub::FHIR);
    let Ok(json) = Json::parse(
        document.clone(),
        Limits {
            bytes: 64 << 20,
            depth: 64,
        },
    ) else {
        // Not JSON as we read it: the hub says what is wrong with it.
        return one(
            &format!("{audience}/Observation"),
            &audience,
            document,
            sender,
            lines,
        )
        .await;
    };
    let root = json.root();
    let is = |name: &str, text: &str| root.text(name).is_some_and(|t| t == text);
    if is("resourceType", "Bundle") && (is("type", "collection") || is("type", "batch")) {
        let entries: Vec<Node<'_>> = root
            .get("entry")
            .map(|e| e.items().collect())
            .unwrap_or_default();
        for chunk in entries.chunks(CHUNK) {
            let body = bundle_of(root, chunk);
            let answer = post(&audience, &audience, body, sender).await?;
            let identifiers = chunk
                .iter()
                .map(|e| e.get("resource").and_then(identifier_of));
            read_answers(&answer, identifiers.collect(), lines);
        }
        return Ok(());
    }
    let target = if is("resourceType", "Bundle") {
        audience.clone()
    } else {
        format!("{audience}/Observation")
    };
    one(&target, &audience, document, sender, lines).await
}

async fn one(
    url: &str,
    audience: &str,
    body: Bytes,
    sender: &Party,
    lines: &mut Vec<Line>,
) -> anyhow::Result<()> {
    let identifier = Json::parse(body.clone(), Limits::BUNDLE)
        .ok()
        .and_then(|j| identifier_of(j.root()));
    let answer = post(url, audience, body, sender).await?;
    lines.push(Line {
        status: answer.status.as_u16(),
        identifier,
        outcome: outcome_in(&answer.body),
    });
    Ok(())
}

async fn post(
    url: &str,
    audience: &str,
    body: impl Into<Bytes>,
    sender: &Party,
) -> anyhow::Result<wire::client::Answer> {
    Ok(sender
        .send(audience, hub::DOCUMENT_SCOPE, Request::post_fhir(url, body))
        .await?)
}

/// A bundle like `whole`, with only these entries; every entry's bytes as they were.
fn bundle_of(whole: Node<'_>, entries: &[Node<'_>]) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (name, value) in whole.members().filter(|(name, _)| name != "entry") {
        fhir::json::write_string(&mut out, &name);
        out.push(b':');
        out.extend_from_slice(value.raw().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"entry\":[");
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(entry.raw().as_bytes());
    }
    out.extend_from_slice(b"]}");
    out
}

/// The first business identifier, `system|value`.
fn identifier_of(resource: Node<'_>) -> Option<String> {
    let first = resource.get("identifier")?.items().next()?;
    let value = first.text("value")?;
    Some(format!(
        "{}|{value}",
        first.text("system").unwrap_or_default()
    ))
}

/// Reads a batch-response entry by entry; any other answer counts for each entry that was sent.
fn read_answers(
    answer: &wire::client::Answer,
    identifiers: Vec<Option<String>>,
    lines: &mut Vec<Line>,
) {
    let whole: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let entries = whole
        .as_ref()
        .filter(|_| answer.status.is_success())
        .and_then(|b| b["entry"].as_array());
    for (i, identifier) in identifiers.into_iter().enumerate() {
        let line = match entries.and_then(|e| e.get(i)) {
            Some(entry) => {
                let response = &entry["response"];
                let status = response["status"]
                    .as_str()
                    .and_then(|s| s.get(..3))
                    .and_then(|s| s.parse().ok())
                    .unwrap_or(500);
                Line {
                    status,
                    identifier,
                    outcome: response.get("outcome").cloned(),
                }
            }
            None => Line {
                status: answer.status.as_u16(),
                identifier,
                outcome: outcome_in(&answer.body),
            },
        };
        lines.push(line);
    }
}

fn outcome_in(body: &Bytes) -> Option<serde_json::Value> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    (value["resourceType"] == "OperationOutcome"
        && Json::parse(body.clone(), Limits::RESOURCE)
            .is_ok_and(|j| j.root().kind() == Kind::Object))
    .then_some(value)
}
