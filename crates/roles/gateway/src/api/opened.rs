//! How every look-up of one type opens: the permit and its one patient, the search that the permit lets be asked, and the
//! sources. What the purpose does not open is asked of nobody, and the receipt says so for each.

use crate::State;
use crate::ask::{Asking, Errand, Timed};
use crate::deadline::Deadline;
use crate::examine::Hers;
use crate::locate::{Source, locate};
use crate::place::Place;
use crate::question::Question;
use fhir::ids::PersonIdentifier;
use fhir::operation::Input;
use fhir::resource::ResourceType;
use trust::{Ask, Interaction, Permit, PermitScope};
use wire::outcome::Problem;
use wire::receipt::SourceState;
use wire::visit::{End, Visit};

/// Why a source is not asked.
const CLOSED: &str = "the purpose of the look-up does not open this kind of information";

/// A look-up that may be asked.
pub(super) struct Opened<'a> {
    state: &'a State,
    visit: &'a Visit<'a>,
    question: &'a Question,
    place: Place,
    errand: Errand<'a>,
    scope: String,
    form: Input,
    deadline: Deadline,
    hers: Hers,
    /// About whom.
    pub(super) patient: PersonIdentifier,
    /// By what right.
    pub(super) permit: Permit,
    /// Whom it asks, and whom it does not.
    pub(super) sources: Vec<Source>,
}

impl<'a> Opened<'a> {
    /// Asks the rules, then who holds what; `form` makes what every source is sent.
    ///
    /// # Errors
    /// The refusal, or what is wrong with the form.
    pub(super) async fn open(
        (state, visit): (&'a State, &'a Visit<'a>),
        (interaction, question): (Interaction, &'a Question),
        (place, errand): (Place, Errand<'a>),
        form: impl FnOnce(&PersonIdentifier) -> Result<Input, Problem>,
    ) -> Result<Opened<'a>, End> {
        let mut ask = Ask::of(interaction, question.resource);
        ask.patient = question.patient();
        let permit = visit.permit(&ask)?;
        permit.may_ask(&question.query).map_err(End::Refused)?;
        let patient = patient_of(&permit)?.clone();
        let form = form(&patient)?;
        let deadline = Deadline::after(state.config.total_deadline);
        let mut sources = locate(state, visit, question.whom(), &deadline).await;
        if !permit.opens(question.resource.information_service()) {
            sources.iter_mut().for_each(close);
        }
        Ok(Opened {
            state,
            visit,
            question,
            place,
            errand,
            patient,
            scope: question.scope(),
            form,
            deadline,
            hers: Hers::new(),
            permit,
            sources,
        })
    }

    /// The question as it goes to every source.
    pub(super) fn asking(&self) -> Asking<'_> {
        Asking {
            state: self.state,
            visit: self.visit,
            permit: &self.permit,
            question: self.question,
            patient: &self.patient,
            place: self.place,
            errand: self.errand,
            scope: &self.scope,
            form: &self.form,
            deadline: &self.deadline,
            hers: &self.hers,
        }
    }

    /// Asks all of them at once.
    pub(super) async fn ask(&self) -> Vec<Timed> {
        self.asking().all(&self.sources).await
    }
}

/// The need comes before the form: who may look up none of these types is told so, whatever they sent.
pub(super) fn needed(
    visit: &Visit<'_>,
    interaction: Interaction,
    types: impl IntoIterator<Item = ResourceType>,
) -> Result<(), End> {
    let mut refused = None;
    for resource in types {
        match visit.permit(&Ask::of(interaction, resource)) {
            Ok(_) => return Ok(()),
            Err(end) => refused = refused.or(Some(end)),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// The one patient whom a permit is for.
pub(super) fn patient_of(permit: &Permit) -> Result<&PersonIdentifier, Problem> {
    match permit.patient() {
        PermitScope::Patient(patient) => Ok(patient),
        PermitScope::OwnStore | PermitScope::Nobody => {
            Err(Problem::bug("a look-up was permitted without a patient"))
        }
    }
}

/// Nobody is asked for what the purpose does not open; an empty answer would say that there is nothing.
pub(super) fn close(source: &mut Source) {
    source.unasked = Some((SourceState::Refused, CLOSED.to_owned()));
}
