//! `delt hand-back` and `delt take-over`: one organisation's whole store, with current and past versions, blocks and audit trail, from one
//! house to another (personvernforordningen art. 28 no. 3 g). The file is sealed to a key of the organisation's own: nobody on
//! the way reads it, the supplier that made it neither.

mod seal;

use crate::surroundings;
use anyhow::{Context, ensure};
use aws_lc_rs::digest::{Context as Digest, SHA256};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use store::{AuditHead, SNAPSHOT_FILES, Store, Surroundings};
use trust::encoding::base64url;
use wire::contract::demo::ClientFile;

/// Longest manifest, in bytes.
const LONGEST_MANIFEST: u64 = 64 * 1024;

/// Arguments of `delt hand-back`.
#[derive(clap::Args)]
pub struct HandBack {
    /// The store's folder, for example DIR/sharing/fjellvik. The service may go on.
    #[arg(long)]
    store: PathBuf,
    /// Whose store it is: the service id.
    #[arg(long)]
    owner: String,
    /// The organisation's public key (a JWK on P-256), made for this alone: `delt client-key` prints one.
    #[arg(long)]
    key: PathBuf,
    /// The file to write; refused if it exists.
    #[arg(long)]
    to: PathBuf,
}

/// Arguments of `delt take-over`.
#[derive(clap::Args)]
pub struct TakeOver {
    /// The sealed file.
    #[arg(long)]
    from: PathBuf,
    /// The client file with the private part of the key that it was sealed to.
    #[arg(long)]
    client_file: PathBuf,
    /// The folder to make; refused if it exists.
    #[arg(long)]
    store: PathBuf,
}

/// What is in a sealed file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Whose store.
    owner: String,
    /// When it was made, RFC 3339.
    made: String,
    /// The end of its audit trail.
    head: AuditHead,
    /// Its files, in order.
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    bytes: u64,
    /// base64url.
    sha256: String,
}

/// Copies, verifies, seals; prints the manifest. Nothing readable is left behind.
pub async fn hand_back(a: HandBack) -> anyhow::Result<ExitCode> {
    ensure!(!a.to.exists(), "{} is there already", a.to.display());
    let key = fs::read_to_string(&a.key).with_context(|| a.key.display().to_string())?;
    let key: serde_json::Value = serde_json::from_str(&key).context("the key is no JWK")?;
    ensure!(
        key.get("d").is_none(),
        "the key has its private part: the public one alone is given away"
    );
    let beside = a
        .store
        .parent()
        .context("the store has no folder around it")?;
    let aside = || Aside(beside.join(format!(".hand-back-{}", surroundings::ids()())));
    // Verified in one copy, which opening writes to; handed on as another, which nobody opened.
    let (opened, aside) = (aside(), aside());
    store::snapshot(&a.store, &opened.0).with_context(|| a.store.display().to_string())?;
    let head = whole(&opened.0, &a.owner).await?;
    store::snapshot(&opened.0, &aside.0)?;
    let files = SNAPSHOT_FILES.iter().map(|name| listed(&aside.0, name));
    let manifest = Manifest {
        owner: a.owner,
        made: surroundings::clock()().to_string(),
        head,
        files: files.collect::<anyhow::Result<_>>()?,
    };
    let text = serde_json::to_string(&manifest)?;
    let mut plain: Box<dyn Read> = Box::new(io::Cursor::new(format!("{text}\n").into_bytes()));
    for file in &manifest.files {
        plain = Box::new(plain.chain(File::open(aside.0.join(&file.name))?));
    }
    let out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&a.to);
    let out = out.with_context(|| a.to.display().to_string())?;
    let mut writer = BufWriter::new(out);
    seal::seal(&key, BufReader::new(plain), &mut writer)?;
    writer.into_inner()?.sync_all()?;
    println!("{text}");
    eprintln!(
        "delt: {} audit records, whole; sealed to the key in {}",
        head.sequence,
        a.key.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Opens, compares with the manifest, verifies, and only then gives the store its name.
pub async fn take_over(a: TakeOver) -> anyhow::Result<ExitCode> {
    ensure!(!a.store.exists(), "{} is there already", a.store.display());
    let text = fs::read_to_string(&a.client_file);
    let text = text.with_context(|| a.client_file.display().to_string())?;
    let key: ClientFile = serde_json::from_str(&text).context("the client file")?;
    let beside = a
        .store
        .parent()
        .context("the store has no folder around it")?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(beside)?;
    let aside = Aside(beside.join(format!(".take-over-{}", surroundings::ids()())));
    fs::DirBuilder::new().mode(0o700).create(&aside.0)?;
    let plain = aside.0.join("plain");
    let out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&plain)?;
    let sealed = File::open(&a.from).with_context(|| a.from.display().to_string())?;
    let mut writer = BufWriter::new(out);
    seal::open(&key.jwk.0, BufReader::new(sealed), &mut writer)?;
    writer.flush()?;
    let manifest = unpack(&plain, &aside.0)?;
    fs::remove_file(&plain)?;
    let head = whole(&aside.0, &manifest.owner).await?;
    ensure!(
        head == manifest.head,
        "the audit trail is another than the one that was handed back"
    );
    fs::rename(&aside.0, &a.store)?;
    File::open(beside)?.sync_all()?;
    println!("{}", serde_json::to_string(&manifest)?);
    eprintln!(
        "delt: the store of `{}`, {} audit records, whole; set `store_of = \"{}\"` for the service that goes on with it",
        manifest.owner, head.sequence, manifest.owner
    );
    Ok(ExitCode::SUCCESS)
}

/// Reads manifest and files out of the opened stream.
fn unpack(plain: &Path, folder: &Path) -> anyhow::Result<Manifest> {
    use std::io::BufRead;
    let mut from = BufReader::new(File::open(plain)?);
    let mut text = String::new();
    (&mut from).take(LONGEST_MANIFEST).read_line(&mut text)?;
    let manifest: Manifest = serde_json::from_str(&text).context("the file holds no store")?;
    let names: Vec<&str> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    ensure!(
        names == SNAPSHOT_FILES,
        "the file holds other things than a store"
    );
    for file in &manifest.files {
        let out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(&file.name))?;
        let mut writer = BufWriter::new(out);
        io::copy(&mut (&mut from).take(file.bytes), &mut writer)?;
        writer.into_inner()?.sync_all()?;
        let found = listed(folder, &file.name)?;
        let same = (found.bytes, &found.sha256) == (file.bytes, &file.sha256);
        ensure!(same, "{} is not what was handed back", file.name);
    }
    ensure!(
        from.fill_buf()?.is_empty(),
        "the file holds more than a store"
    );
    Ok(manifest)
}

fn listed(folder: &Path, name: &str) -> anyhow::Result<Listed> {
    let mut file = File::open(folder.join(name))?;
    let (mut digest, mut bytes, mut chunk) = (Digest::new(&SHA256), 0, vec![0; 64 * 1024]);
    loop {
        let many = file.read(&mut chunk)?;
        if many == 0 {
            break;
        }
        digest.update(&chunk[..many]);
        bytes += many as u64;
    }
    let sha256 = base64url(digest.finish().as_ref());
    Ok(Listed {
        name: name.to_owned(),
        bytes,
        sha256,
    })
}

/// The end of the audit trail of a store that opens and whose trail is whole.
async fn whole(folder: &Path, owner: &str) -> anyhow::Result<AuditHead> {
    let surroundings = Surroundings {
        clock: surroundings::clock(),
        ids: surroundings::ids(),
    };
    let opened = Store::open(folder, owner, surroundings)
        .with_context(|| format!("cannot open the copy as the store of `{owner}`"))?;
    let report = opened.verify_audit(None).await?;
    ensure!(
        report.is_sound(),
        "its audit trail is NOT whole; see `delt audit verify`"
    );
    Ok(report.head)
}

/// A folder that goes with the command, however it ends.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
