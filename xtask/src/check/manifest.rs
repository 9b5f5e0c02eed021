//! Just enough of Cargo.toml for the house rules: the dependency tables and their keys.

/// One dependency of a crate.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name as the code sees it before `-` becomes `_`.
    pub name: String,
    /// `dev-dependencies`, used by tests alone.
    pub dev: bool,
}

/// Reads the dependency tables, in file order. Both forms are understood: `name = …` or `name.workspace = true` under
/// `[dependencies]`, and a table of its own, `[dependencies.name]`; also under `[target.'…'.dependencies]`.
pub fn dependencies(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut table: Option<bool> = None;
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(|c| c != ']').trim_end_matches(']');
            let (head, last) = header.rsplit_once('.').unwrap_or(("", header));
            table = kind(last);
            if table.is_none()
                && let Some(dev) = kind(head.rsplit('.').next().unwrap_or(head))
            {
                found.push(Dependency {
                    name: last.to_owned(),
                    dev,
                });
            }
        } else if let Some(dev) = table
            && let Some((key, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = key
                .trim()
                .split('.')
                .next()
                .unwrap_or_default()
                .trim_matches('"');
            found.push(Dependency {
                name: name.to_owned(),
                dev,
            });
        }
    }
    found
}

fn kind(table: &str) -> Option<bool> {
    match table {
        "dependencies" | "build-dependencies" => Some(false),
        "dev-dependencies" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let text = "[package]\nname = \"x\"\n[dependencies]\nfhir.workspace = true\n# old = \"1\"\nserde = { version = \"1\" }\n\
                    [dev-dependencies]\ntestkit.workspace = true\n[dependencies.bytes]\nversion = \"1\"\n\
                    [target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[lints]\nworkspace = true\n";
        let names: Vec<(String, bool)> = dependencies(text)
            .into_iter()
            .map(|d| (d.name, d.dev))
            .collect();
        let wanted = [
            ("fhir", false),
            ("serde", false),
            ("testkit", true),
            ("bytes", false),
            ("libc", false),
        ];
        assert_eq!(names, wanted.map(|(name, dev)| (name.to_owned(), dev)));
    }
}
