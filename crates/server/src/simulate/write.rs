//! Bundles as lines: on standard output, or a file a day.

use super::Sum;
use anyhow::Context;
use jiff::civil::Date;
use std::fs::File;
use std::io::{BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use testkit::simulate::Sending;

/// Where lines go.
pub struct Written {
    to: To,
    sum: Sum,
}

enum To {
    Out(BufWriter<Stdout>),
    Folder(PathBuf, Option<(Date, BufWriter<File>)>),
}

impl Written {
    /// `-` is standard output; a folder is made if it is not there.
    pub fn open(out: &Path) -> anyhow::Result<Written> {
        let to = if out == Path::new("-") {
            To::Out(BufWriter::new(std::io::stdout()))
        } else {
            std::fs::create_dir_all(out)
                .with_context(|| format!("cannot make {}", out.display()))?;
            To::Folder(out.to_owned(), None)
        };
        Ok(Written {
            to,
            sum: Sum::default(),
        })
    }

    /// Writes one sending of a day. A day's file that is there already is not written over.
    pub fn write(&mut self, day: Date, sending: &Sending) -> anyhow::Result<()> {
        let mut line = sending.bundle().to_vec();
        line.push(b'\n');
        match &mut self.to {
            To::Out(out) => out.write_all(&line)?,
            To::Folder(folder, open) => {
                if let Some((_, before)) = open.as_mut().filter(|(of, _)| *of != day) {
                    before.flush()?;
                    *open = None;
                }
                if open.is_none() {
                    let path = folder.join(format!("{day}.ndjson"));
                    let file = File::create_new(&path);
                    let file = file.with_context(|| format!("cannot make {}", path.display()))?;
                    *open = Some((day, BufWriter::new(file)));
                }
                if let Some((_, file)) = open {
                    file.write_all(&line)?;
                }
            }
        }
        self.sum.bundles += 1;
        self.sum.readings += sending.readings.len() as u64;
        Ok(())
    }

    /// Ends; says how much it was.
    pub fn close(self) -> anyhow::Result<Sum> {
        match self.to {
            To::Out(mut out) => out.flush()?,
            To::Folder(_, Some((_, mut file))) => file.flush()?,
            To::Folder(_, None) => {}
        }
        Ok(self.sum)
    }
}
