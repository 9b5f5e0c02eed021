//! About whom an operation is asked, and which Observations: the search parameters that it shares with a search.

use crate::State;
use crate::api::search::Named;
use fhir::ids::PersonIdentifier;
use fhir::operation::Input;
use fhir::outcome::IssueCode;
use fhir::resource::ResourceType;
use fhir::search::{Query, Via};
use trust::{Ask, Interaction, Permit, PermitScope};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// A question about one patient's Observations, within a permit.
pub struct Question {
    pub permit: Permit,
    /// The search that the parameters make.
    pub query: Query,
    /// Whose; `None` is a local id that no patient has here.
    pub person: Option<PersonIdentifier>,
}

impl Question {
    /// Reads the search parameters, asks the rules, and finds the patient: the one that is named, else the token's.
    pub async fn read(
        state: &State,
        visit: &Visit<'_>,
        parameters: Input,
    ) -> Result<Question, End> {
        let resource = ResourceType::OBSERVATION;
        let ask = Ask::of(Interaction::Search, resource);
        visit.permit(&ask)?;
        let form: Input = parameters
            .into_iter()
            .map(|(name, value)| match name.as_str() {
                "subject" => ("patient".to_owned(), value),
                _ => (name, value),
            })
            .collect();
        let config = &state.config;
        let query = fhir::search::parse(
            resource,
            &form,
            Via::Post,
            &config.zone,
            config.person_numbers,
            fhir::search::Grammar::Shared,
        )
        .map_err(Problem::invalid_all)?;
        let named = Named::by(state, &query).await?;
        let permit = named.permit(visit, ask)?;
        permit.may_ask(&query).map_err(End::Refused)?;
        let person = match (named, permit.patient()) {
            (_, PermitScope::Patient(person)) => Some(person.clone()),
            (Named::Person(person), PermitScope::OwnStore) => Some(person),
            (Named::Nobody, PermitScope::OwnStore) | (_, PermitScope::Nobody) => None,
            (Named::Anyone, PermitScope::OwnStore) => {
                let words = "one patient must be named";
                return Err(Problem::invalid(IssueCode::Required, "subject", words).into());
            }
        };
        Ok(Question {
            permit,
            query,
            person,
        })
    }

    /// `Patient/{id}` here, for a link or a reference that names nobody by number.
    pub async fn reference(&self, state: &State) -> Result<Option<String>, End> {
        let Some(person) = &self.person else {
            return Ok(None);
        };
        let id = state.desk.store.patient_id(person).await?;
        Ok(id.map(|id| format!("Patient/{id}")))
    }
}

/// `_count` as a search has it.
pub fn read_count(text: Option<&str>) -> Result<usize, String> {
    let most = Query::MAX_COUNT;
    match text.map(str::parse) {
        None => Ok(Query::DEFAULT_COUNT as usize),
        Some(Ok(count)) if (1..=most).contains(&count) => Ok(count as usize),
        Some(_) => Err(format!("expected a whole number from 1 to {most}")),
    }
}
