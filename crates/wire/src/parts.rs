//! Parts of Parameters (FHIR R4 parameters.html) that another party sent: found by name, so many at most.

use serde_json::Value;

/// The parts of a name.
pub(crate) fn named<'a>(parts: &'a [Value], name: &'static str) -> impl Iterator<Item = &'a Value> {
    parts.iter().filter(move |part| part["name"] == name)
}

/// All parts of a name, each as it is to be; `None` if one is not, or there are more than `most`.
pub(crate) fn read_all<T>(
    parts: &[Value],
    name: &'static str,
    most: usize,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<Vec<T>> {
    let all: Vec<T> = named(parts, name).map(read).collect::<Option<_>>()?;
    (all.len() <= most).then_some(all)
}
