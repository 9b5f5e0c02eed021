//! The house rules that neither rustc nor clippy knows, all findings at once.

mod arrows;
mod docs;
mod files;
mod manifest;
mod roles;

pub use files::walk;

use crate::shell::{Outcome, root};
use std::fmt;
use std::path::{Path, PathBuf};

/// One breach: where, and what is wrong in words that say what to do.
pub struct Finding {
    /// A path relative to the root, with a line number if there is one.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks the tree and prints every finding.
///
/// # Errors
/// There was at least one finding, or a file could not be read.
pub fn run() -> Outcome {
    let root = root();
    let tree = walk(&root)?;
    let mut findings = Vec::new();
    findings.extend(files::check(&root, &tree)?);
    findings.extend(arrows::check(&root, &tree)?);
    findings.extend(roles::check(&root)?);
    findings.extend(docs::check(&root, &tree)?);
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("1 house rule is broken".into()),
        many => Err(format!("{many} house rules are broken")),
    }
}

/// A path as people write it: relative to the root, with forward slashes.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/")
}

fn read(path: &PathBuf) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
