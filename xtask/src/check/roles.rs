//! Every role has the same doors, so that someone who knows one knows seven.

use super::arrows::ROLES;
use super::{Finding, read};
use std::path::Path;

/// What a role's `lib.rs` shows to the binary.
const DOORS: &[&str] = &["Config", "open", "routes", "workers", "ROUTES"];

/// The crates under `crates/roles/` are the seven, and each `lib.rs` has every door.
pub fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for role in ROLES {
        let place = format!("crates/roles/{role}/src/lib.rs");
        let text = read(&root.join(&place))?;
        for door in missing(&text) {
            findings.push(Finding {
                place: place.clone(),
                what: format!("shows no public `{door}`"),
            });
        }
    }
    Ok(findings)
}

/// The doors that no `pub` item or re-export of this text names.
fn missing(text: &str) -> Vec<&'static str> {
    let public: Vec<&str> = statements(text).filter(|s| s.starts_with("pub ")).collect();
    let named = |door: &str| {
        public.iter().any(|s| {
            s.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == door)
        })
    };
    DOORS.iter().copied().filter(|door| !named(door)).collect()
}

/// Top-level text cut at braces' starts and semicolons, good enough for `pub use a::{b, c};` over several lines.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find("\npub ")? + 1;
        let end = rest[start..]
            .find(['=', ';', '('])
            .map_or(rest.len(), |e| start + e);
        let statement = &rest[start..end];
        rest = &rest[end..];
        Some(statement)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_found_in_items_and_re_exports() {
        let text = "//! A role.\nmod routes;\npub use routes::{\n    routes,\n    ROUTES,\n};\npub struct Config { a: u8 }\n\
                    pub async fn open(c: Config) {}\npub fn workers() {}\n";
        assert_eq!(missing(text), [""; 0]);
        assert_eq!(
            missing("//! A role.\nfn routes() {}\npub struct Config;\n"),
            ["open", "routes", "workers", "ROUTES"]
        );
    }
}
