//! What of each resource is given: `_summary` and `_elements` (FHIR R4 search 3.1.1.5.8, 3.1.1.5.9), on a search, a read, a
//! vread and a history alike.
//!
//! The elements asked for are those of the matches; a summary is of what comes with them, too.

use crate::State;
use fhir::json::{Json, Limits};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use fhir::search::{Grammar, Query, Via};
use fhir::subset::{self, Subset, Summary};
use store::Stored;
use wire::outcome::Problem;

/// The parameters that ask for a part.
const NAMES: [&str; 2] = ["_summary", "_elements"];

/// What of each resource is given. The default gives the whole.
#[derive(Debug, Default)]
pub struct Part(Option<Subset>);

impl Part {
    /// What a search asks for.
    pub fn of(query: &Query) -> Part {
        Part(Subset::of(query.summary, &query.elements))
    }

    /// Takes the parameters that ask for a part out of those of a read or a history of `resource`.
    ///
    /// # Errors
    /// 400 for a value that is not understood, and for a count, which neither gives.
    pub fn taken(
        state: &State,
        resource: ResourceType,
        form: &mut Vec<(String, String)>,
    ) -> Result<Part, Problem> {
        let (own, rest) = std::mem::take(form)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| NAMES.contains(&name.as_str()));
        *form = rest;
        let query = fhir::search::parse(
            resource,
            &own,
            Via::Get,
            &state.config.zone,
            state.config.person_numbers,
            Grammar::Whole(&state.config.types),
        )
        .map_err(Problem::invalid_all)?;
        if query.summary == Summary::Count {
            return Err(Problem::not_supported(
                "_summary",
                "only a search is counted; expected true, text, data or false",
            ));
        }
        Ok(Part::of(&query))
    }

    /// The part that a read of `resource` asks for.
    ///
    /// # Errors
    /// As [`Part::taken`], and 400 for any other parameter.
    pub fn of_read(
        state: &State,
        resource: ResourceType,
        mut form: Vec<(String, String)>,
    ) -> Result<Part, Problem> {
        let part = Part::taken(state, resource, &mut form)?;
        if form.is_empty() {
            return Ok(part);
        }
        let words = "a read takes _summary and _elements";
        let issue = |_| Issue::error(IssueCode::NotSupported, "", words);
        Err(Problem::invalid_all(form.iter().map(issue).collect()))
    }

    /// What of a resource that comes along is given.
    pub fn of_included(&self) -> Part {
        Part(self.0.clone().filter(|s| !matches!(s, Subset::Elements(_))))
    }

    /// Leaves the part of each resource.
    ///
    /// # Errors
    /// A bug, if what is stored does not read.
    pub fn cut<'a>(
        &self,
        resources: impl IntoIterator<Item = &'a mut Stored>,
    ) -> Result<(), Problem> {
        let Some(subset) = &self.0 else {
            return Ok(());
        };
        for one in resources {
            let json = Json::parse(one.body.clone(), Limits::BUNDLE)
                .map_err(|_| Problem::bug("a stored resource cannot be read"))?;
            one.body = subset::reduce(json.root(), one.resource_type, subset).into();
        }
        Ok(())
    }
}
