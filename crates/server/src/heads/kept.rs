//! The files of kept heads: one a trail, one compact JWS a line, oldest first, each durable before the next. Lines are the
//! trail owner's own statements and the witness's words for them; the `typ` tells which.

use anyhow::Context;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use trust::jws::{self, Embedded};
use wire::contract::witness::{HEAD_TYP, HeadStatement, WITNESSED_TYP, WitnessedHead};

/// A file of heads is never longer than this: a century at one head in five minutes is far below.
const LONGEST: u64 = 1 << 30;

/// What one file holds, as far as it reads; nothing in it is verified yet.
pub struct Kept {
    /// Its lines.
    pub lines: Vec<String>,
}

fn said<T: serde::de::DeserializeOwned>(line: &str, typ: &str) -> Option<T> {
    let compact = jws::parse(line, Embedded::Refused).ok()?;
    compact.require_typ(typ).ok()?;
    let payload = trust::encoding::from_base64url(line.split('.').nth(1)?)?;
    serde_json::from_slice(&payload).ok()
}

impl Kept {
    /// The owner's own statements, oldest first.
    pub fn heads(&self) -> impl Iterator<Item = HeadStatement> {
        self.lines.iter().filter_map(|line| said(line, HEAD_TYP))
    }

    /// What the witness said, oldest first.
    pub fn witnessed(&self) -> impl Iterator<Item = WitnessedHead> {
        self.lines
            .iter()
            .filter_map(|line| said(line, WITNESSED_TYP))
    }
}

fn file_of(folder: &Path, owner: &str) -> PathBuf {
    folder.join(format!("{owner}.heads"))
}

/// The folder, for its owner alone.
pub fn make_folder(folder: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder of kept heads {}", folder.display()))
}

/// One more line, durable.
pub fn append(folder: &Path, owner: &str, line: &str) -> anyhow::Result<()> {
    let path = file_of(folder, owner);
    let write = || {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Every line of a trail's file; none where there is no file. A last line that a crash cut short is left out.
pub fn read(folder: &Path, owner: &str) -> anyhow::Result<Kept> {
    let path = file_of(folder, owner);
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => {
            let read = file.take(LONGEST).read_to_string(&mut text);
            read.with_context(|| format!("cannot read {}", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(Kept {
        lines: whole.lines().map(str::to_owned).collect(),
    })
}
