//! The files of kept heads: one a trail, one compact JWS a line, oldest first, each durable before the next. Lines are the
//! trail owner's own statements and the witness's words for them; the `typ` tells which.

use anyhow::Context;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
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

/// One more line of a trail's file, durable.
pub fn append(folder: &Path, owner: &str, line: &str) -> anyhow::Result<()> {
    append_to(folder, &file_of(folder, owner), line)
}

/// One more line, durable. A line that a crash cut short is taken away first: it must not run into this one.
pub fn append_to(folder: &Path, path: &Path, line: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let end = whole(&mut file)?;
        file.set_len(end)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// How long the file is up to the end of its last whole line.
fn whole(file: &mut File) -> std::io::Result<u64> {
    const STEP: u64 = 4096;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file)
            .take(end - start)
            .read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Every line of a trail's file; none where there is no file. A last line that a crash cut short is left out.
pub fn read(folder: &Path, owner: &str) -> anyhow::Result<Kept> {
    let text = whole_lines(&file_of(folder, owner))?;
    Ok(Kept {
        lines: text.lines().map(str::to_owned).collect(),
    })
}

/// A file's text up to where its last whole line ends, that end left out; none where there is no file.
pub fn whole_lines(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => {
            let read = file.take(LONGEST).read_to_string(&mut text);
            read.with_context(|| format!("cannot read {}", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    text.truncate(text.rfind('\n').unwrap_or(0));
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_line_that_a_crash_cut_short_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let lines = || read(folder.path(), "fjellvik").unwrap().lines;
        let (first, long) = ("a.b.c", "x".repeat(10_000));
        for cut in ["", "d.e", long.as_str()] {
            let _ = std::fs::remove_file(file_of(folder.path(), "fjellvik"));
            append(folder.path(), "fjellvik", first).unwrap();
            let mut file = OpenOptions::new()
                .append(true)
                .open(file_of(folder.path(), "fjellvik"))
                .unwrap();
            file.write_all(cut.as_bytes()).unwrap();
            assert_eq!(lines(), [first]);
            append(folder.path(), "fjellvik", "f.g.h").unwrap();
            assert_eq!(lines(), [first, "f.g.h"]);
        }
        // Before the first line was whole, and where the break is at the edge of what is read at once.
        for step in [4095, 4096, 4097, 8192] {
            let text = format!("{}\n{}", "y".repeat(99), "x".repeat(step));
            std::fs::write(file_of(folder.path(), "fjellvik"), text).unwrap();
            append(folder.path(), "fjellvik", first).unwrap();
            assert_eq!(lines(), ["y".repeat(99).as_str(), first], "{step}");
        }
        std::fs::write(file_of(folder.path(), "fjellvik"), "cut").unwrap();
        append(folder.path(), "fjellvik", first).unwrap();
        assert_eq!(lines(), [first]);
    }
    #[test]
    fn lines_are_told_apart_by_who_speaks_and_others_are_passed_over() {
        let key = trust::keys::SigningKey::generate().unwrap();
        let head = HeadStatement {
            iss: None,
            aud: "a".into(),
            iat: 1,
            owner: "fjellvik".into(),
            sequence: 1,
            hash: "h".into(),
        };
        let witnessed = WitnessedHead {
            iss: "a".into(),
            sub: "s".into(),
            iat: 2,
            owner: "fjellvik".into(),
            sequence: 2,
            hash: "h".into(),
        };
        let signed = |typ: &str, value| jws::sign(typ, &value, &key).unwrap();
        let kept = Kept {
            lines: vec![
                signed(HEAD_TYP, serde_json::to_value(&head).unwrap()),
                "none".into(),
                signed(WITNESSED_TYP, serde_json::to_value(&witnessed).unwrap()),
                signed("at+jwt", serde_json::to_value(&head).unwrap()),
            ],
        };
        assert_eq!(kept.heads().collect::<Vec<_>>(), [head]);
        assert_eq!(kept.witnessed().collect::<Vec<_>>(), [witnessed]);
    }

    #[test]
    fn no_file_is_no_line_and_what_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path(), "fjellvik").unwrap().lines.is_empty());
        std::fs::create_dir(file_of(folder.path(), "fjellvik")).unwrap();
        assert!(read(folder.path(), "fjellvik").is_err());
        assert!(append(folder.path(), "fjellvik", "a.b.c").is_err());
        assert!(read(folder.path(), "no\0name").is_err());
    }

    #[test]
    fn the_folder_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let heads = folder.path().join("a/heads");
        make_folder(&heads).unwrap();
        append(&heads, "fjellvik", "a.b.c").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&heads), 0o700);
        assert_eq!(mode(&file_of(&heads, "fjellvik")), 0o600);
    }
}
