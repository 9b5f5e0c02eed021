//! What each file must hold to: a header, a size, no unfinished work, no path of one machine.

use super::{Finding, read, shown};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold what is built or fetched, not what is written.
const NOT_OURS: &[&str] = &["target", "node_modules", ".git", "dist", "data"];

/// The longest source file.
const LINES: usize = 800;

/// Source files: the size rule and the rule on unfinished work hold for these.
const SOURCES: &[&str] = &["rs", "ts", "mts", "mjs", "js", "py", "css", "html"];

/// Texts that may not name a place on one machine.
const TEXTS: &[&str] = &[
    "rs", "ts", "mts", "mjs", "js", "py", "css", "html", "md", "toml", "yaml", "yml", "json", "sh",
    "",
];

/// Unfinished work, written in pieces so that this file does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
];

/// Places on one machine, in pieces for the same reason.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("/wo", "rk/."),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "delt/"),
];

/// Every file of ours below the root, in a fixed order.
pub fn walk(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("{}: {e}", folder.display()))?;
            let kind = entry
                .file_type()
                .map_err(|e| format!("{}: {e}", entry.path().display()))?;
            if kind.is_dir() {
                if !NOT_OURS.iter().any(|n| entry.file_name() == *n) {
                    folders.push(entry.path());
                }
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Every file of the tree against the rules for its kind.
pub fn check(root: &Path, tree: &[PathBuf]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in tree {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let lock = path.file_name().is_some_and(|n| n == "package-lock.json");
        if !TEXTS.contains(&&*extension) || lock {
            continue;
        }
        // Pictures and published examples in odd encodings are data; only text can be read line by line.
        let Ok(text) = fs::read(path)
            .map_err(|e| e.to_string())
            .and_then(|b| String::from_utf8(b).map_err(|e| e.to_string()))
        else {
            if extension == "rs" {
                findings.push(Finding {
                    place: shown(root, path),
                    what: "is not UTF-8".into(),
                });
            }
            continue;
        };
        for (line, what) in judge(&extension, &text) {
            let place = if line == 0 {
                shown(root, path)
            } else {
                format!("{}:{line}", shown(root, path))
            };
            findings.push(Finding { place, what });
        }
    }
    let licence = root.join("LICENSE");
    if read(&licence).is_ok_and(|t| !t.contains("Apache License")) {
        findings.push(Finding {
            place: "LICENSE".into(),
            what: "is not the Apache License".into(),
        });
    }
    Ok(findings)
}

/// The breaches in one text: line number (0 for the whole file) and words.
fn judge(extension: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if extension == "rs" && !text.starts_with("//!") {
        found.push((
            1,
            "a file opens with `//!`: what this room is for, and the standard it follows".into(),
        ));
    }
    let source = SOURCES.contains(&extension);
    let lines = text.lines().count();
    if source && lines > LINES {
        found.push((
            0,
            format!("has {lines} lines; at most {LINES}, two rooms read better"),
        ));
    }
    for (number, line) in text.lines().enumerate() {
        if source && let Some(word) = UNFINISHED.iter().find(|w| line.contains(**w)) {
            found.push((number + 1, format!("unfinished work: {word}")));
        }
        if let Some(place) = PLACES.iter().find(|p| line.contains(**p)) {
            found.push((number + 1, format!("names a place on one machine: {place}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(extension: &str, text: &str) -> Vec<usize> {
        judge(extension, text).into_iter().map(|f| f.0).collect()
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(lines("rs", "//! A room.\n\nfn main() {}\n"), [0usize; 0]);
    }

    #[test]
    fn each_rule_finds_its_breach() {
        assert_eq!(lines("rs", "fn main() {}\n"), [1]);
        assert_eq!(
            lines(
                "rs",
                &format!("//! A room.\nfn a() {{ {}) }}\n", UNFINISHED[0])
            ),
            [2]
        );
        assert_eq!(lines("md", &format!("# Title\nrun {}x\n", PLACES[0])), [2]);
        assert_eq!(lines("md", UNFINISHED[4]), [0usize; 0]);
        let long = "//! A room.\n".repeat(LINES);
        assert_eq!(lines("rs", &long), [0usize; 0]);
        assert_eq!(lines("rs", &format!("{long}//\n")), [0]);
    }
}
