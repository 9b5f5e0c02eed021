//! `DIR/demo.json`: what must be the same at the next start: the port, the day shift and how far the history came.

use crate::time::Time;
use anyhow::{Context, anyhow};
use fhir::time::Instant;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use testkit::calendar::Calendar;

/// Kept between starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoState {
    /// Port of the listener.
    pub port: u16,
    /// The story's day 0 (`yyyy-mm-dd`, a date in Oslo).
    pub day_zero: String,
    /// When the demo was first started, microseconds since 1970 UTC: what lies later is never added.
    pub first_start: i64,
    /// How many people the region has.
    pub people: usize,
    /// Whether the whole history has been delivered once.
    pub history_delivered: bool,
    /// Where a clock stands that is put (`--from-day`), microseconds since 1970 UTC: up to then the story is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_until: Option<i64>,
    /// Where it stood when the demo was last stopped, or put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<i64>,
}

/// The folder of one demo: a given one that is kept, or a temporary one that goes.
pub enum Folder {
    /// `--data DIR`.
    Kept(PathBuf),
    /// Gone at the end.
    Temporary(tempfile::TempDir),
}

impl Folder {
    /// The folder named, made if it is not there, or a temporary one.
    pub fn open(named: Option<&Path>) -> anyhow::Result<Folder> {
        match named {
            Some(path) => {
                std::fs::create_dir_all(path)
                    .with_context(|| format!("cannot make {}", path.display()))?;
                let whole = path
                    .canonicalize()
                    .with_context(|| format!("cannot find {}", path.display()))?;
                Ok(Folder::Kept(whole))
            }
            None => Ok(Folder::Temporary(
                tempfile::Builder::new().prefix("delt-demo-").tempdir()?,
            )),
        }
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Temporary(dir) => dir.path(),
        }
    }
}

impl DemoState {
    /// Reads `DIR/demo.json`, if it is there.
    pub fn read(folder: &Path) -> anyhow::Result<Option<DemoState>> {
        let file = folder.join("demo.json");
        match std::fs::read(&file) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                    format!("{} is not understood", file.display())
                })?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(anyhow!("cannot read {}: {e}", file.display())),
        }
    }

    /// The story's days as dates.
    pub fn calendar(&self) -> anyhow::Result<Calendar> {
        let day_zero = self.day_zero.parse().context("demo.json: day_zero")?;
        Ok(Calendar::from_day0(day_zero))
    }

    /// The region's clock: where it stood, where it is one that is put.
    pub fn time(&self) -> Time {
        let at = self.told_until.max(self.stood);
        let put = self.told_until.and(at);
        put.map_or_else(Time::default, |at| Time::from(Instant(at)))
    }

    /// Writes it whole or not at all: a new file beside the old, flushed, then renamed.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let beside = folder.join("demo.json.new");
        {
            use std::io::Write;
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
        }
        std::fs::rename(&beside, folder.join("demo.json"))?;
        std::fs::File::open(folder)?.sync_all()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(DemoState::read(folder.path()).expect("readable"), None);
        let state = DemoState {
            port: 7070,
            day_zero: "2026-11-18".into(),
            first_start: 1,
            people: 10,
            history_delivered: false,
            told_until: None,
            stood: None,
        };
        state.write(folder.path()).expect("writable");
        assert_eq!(
            DemoState::read(folder.path()).expect("readable"),
            Some(state)
        );
    }
}
