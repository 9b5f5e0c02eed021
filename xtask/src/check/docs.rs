//! What the documents name must exist: folders and files in backticks, tests as `path::name`, and relative links.

use super::{Finding, read, shown};
use std::path::{Path, PathBuf};

/// A text in backticks that begins so is the name of something in the tree.
const OURS: &[&str] = &[
    "crates/",
    "spec/",
    "scenarios/",
    "docs/",
    "xtask/",
    "interop/",
    "web/src",
    "web/test",
    ".ci/",
];

/// Every Markdown file of ours.
pub fn check(root: &Path, tree: &[PathBuf]) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for path in tree
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
    {
        let folder = path.parent().unwrap_or(root);
        for (number, line) in read(path)?.lines().enumerate() {
            let named = backticked(line)
                .into_iter()
                .filter(|n| OURS.iter().any(|o| n.starts_with(o)));
            let broken = named.filter_map(|name| missing(root, name)).chain(
                links(line)
                    .into_iter()
                    .filter_map(|link| missing(folder, link)),
            );
            for what in broken {
                findings.push(Finding {
                    place: format!("{}:{}", shown(root, path), number + 1),
                    what,
                });
            }
        }
    }
    Ok(findings)
}

/// The texts between single backticks.
fn backticked(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// The targets of `[words](target)` that point into the tree, without their `#part`.
fn links(line: &str) -> Vec<&str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| {
            !target.contains("://")
                && !target.starts_with(['#', '<'])
                && !target.starts_with("mailto:")
        })
        .filter_map(|target| target.split('#').next())
        .collect()
}

/// The words for a name that points to nothing. A name with a placeholder (`<role>`, `*`, `NNNN`, `{a,b}`) is a pattern, not a place.
fn missing(from: &Path, name: &str) -> Option<String> {
    if name.contains(['<', '*', '{', ' ', '…']) || name.contains("NNNN") {
        return None;
    }
    let (path, test) = name.split_once("::").unwrap_or((name, ""));
    let place = from.join(path);
    if !place.exists() {
        return Some(format!("names {path}, which is not there"));
    }
    let is_there = test.is_empty()
        || std::fs::read_to_string(&place).is_ok_and(|text| text.contains(&format!("fn {test}(")));
    (!is_there).then(|| format!("names {test} in {path}, which has no such function"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_line_names() {
        let line = "See `crates/fhir` and `x`, [why](decisions/0001.md#status), [law](https://lovdata.no/x).";
        assert_eq!(backticked(line), ["crates/fhir", "x"]);
        assert_eq!(links(line), ["decisions/0001.md"]);
    }

    #[test]
    fn a_name_must_be_in_the_tree() {
        let root = crate::shell::root();
        assert_eq!(missing(&root, "xtask/src/check/docs.rs"), None);
        assert_eq!(
            missing(&root, "xtask/src/check/docs.rs::a_name_must_be_in_the_tree"),
            None
        );
        assert_eq!(missing(&root, "crates/roles/<role>/src/api"), None);
        assert!(missing(&root, "xtask/src/nowhere.rs").is_some());
        assert!(missing(&root, "xtask/src/check/docs.rs::no_such_test").is_some());
    }
}
