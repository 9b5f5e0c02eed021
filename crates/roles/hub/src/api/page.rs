//! Which page of a list is asked for: `count` from 1, and `after` as the page before named it.

use fhir::outcome::IssueCode;
use http::request::Parts;
use wire::form::{self, Form};
use wire::outcome::Problem;

/// Which page.
pub struct Page<T> {
    /// How many at most.
    pub count: usize,
    /// After which.
    pub after: Option<T>,
}

impl<T> Page<T> {
    /// As it is asked for; at most `most`, and as many where nothing is said. `read` reads where it begins.
    ///
    /// # Errors
    /// 400 for what is not sound, or not known.
    pub fn of(
        parts: &Parts,
        most: usize,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, Problem> {
        let form = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let asked = form.and_then(Form::once).ok().and_then(|mut form| {
            let mut one = |name| form.take(name).pop();
            let (count, after) = (one("count"), one("after"));
            let count = count.map_or(Some(most), |text| {
                text.parse().ok().filter(|count| *count > 0)
            });
            let after = match after {
                Some(text) => Some(read(&text)?),
                None => None,
            };
            let count = count?.min(most);
            form.0.is_empty().then_some(Page { count, after })
        });
        let words = "a page has `count` from 1 and `after` as the page before named it, each once, and nothing else";
        asked.ok_or_else(|| Problem::invalid(IssueCode::Value, "after", words))
    }

    /// The address of the page after `last`.
    pub fn next(&self, list: &str, last: &str) -> String {
        let count = self.count.to_string();
        let query = form::write([("count", count.as_str()), ("after", last)]);
        format!("{list}?{query}")
    }
}
