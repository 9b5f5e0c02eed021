//! What kind of thing went wrong, so that one place (`wire::outcome`) can choose a status for it.

/// The category of an error or refusal. No status code lives here; `wire` maps category to status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// What was sent is malformed or impossible.
    Invalid,
    /// Nobody proved who they are.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// Not there, or hidden.
    NotFound,
    /// Another state than the caller believed.
    Conflict,
    /// Was there once.
    Gone,
    /// Too much at once; try again.
    Busy,
    /// A part that is needed cannot be reached.
    Unavailable,
    /// Ours to mend.
    Bug,
}
