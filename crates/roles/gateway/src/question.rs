//! What is asked, understood once and for all sources: a bad parameter is refused here and reaches nobody.

use crate::Config;
use crate::ask::Errand;
use crate::merge::Rule;
use crate::place::Place;
use fhir::ids::{OrganisationNumber, PersonIdentifier};
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::{InformationService, ResourceType};
use fhir::search::{PatientParam, Query, Sort, Via};
use trust::organisation::Register;
use wire::contract::gateway::{ORGANIZATION, TYPES};
use wire::form::Form;
use wire::outcome::Problem;

/// Most organisations that one look-up may choose.
const MOST_CHOSEN: usize = 50;
/// Asked of a source beyond the page, so that a group of one time at its end is usually whole.
const SPARE: u32 = 10;
/// Parameters that name a person; the gateway sends its own in their place.
const NAMES_PERSON: [&str; 4] = [
    "patient",
    "patient.identifier",
    "subject:identifier",
    "identifier",
];
/// Parameters that the gateway sets itself for each source.
const OURS: [&str; 2] = ["_count", "_sort"];

/// A question that was understood whole.
pub struct Question {
    /// The type searched.
    pub resource: ResourceType,
    /// The parameters as `fhir::search` understood them.
    pub query: Query,
    /// Organisations chosen by the user, as their controllers, in the order named.
    pub chosen: Vec<OrganisationNumber>,
    /// The form as received, for the next page's link.
    pub form: Vec<(String, String)>,
}

/// Whom to find: the holders of a kind of information, and the organisations that the user chose besides.
#[derive(Clone, Copy)]
pub struct Whom<'a> {
    /// The type asked for; `None`: whoever holds anything.
    pub resource: Option<ResourceType>,
    /// As [`Question::chosen`].
    pub chosen: &'a [OrganisationNumber],
}

impl Whom<'_> {
    /// The kinds of information to ask the locator about: the type's own, else all.
    pub fn kinds(&self) -> Vec<InformationService> {
        match self.resource.and_then(ResourceType::information_service) {
            Some(kind) => vec![kind],
            None => InformationService::ALL.to_vec(),
        }
    }
}

impl Question {
    /// Reads a form.
    ///
    /// # Errors
    /// 404 for a type that is not looked up here; 400 with every finding.
    pub fn read(
        type_name: &str,
        form: Vec<(String, String)>,
        config: &Config,
    ) -> Result<Question, Problem> {
        let resource = looked_up(type_name)?;
        let mut rest = Form(form.clone());
        let mut issues = Vec::new();
        let chosen = chosen(&rest.take(ORGANIZATION), &config.register, &mut issues);
        let query = match fhir::search::parse(
            resource,
            &rest.0,
            Via::Post,
            &config.zone,
            config.person_numbers,
            fhir::search::Grammar::Shared,
        ) {
            Ok(query) => Some(query),
            Err(found) => {
                issues.extend(found);
                None
            }
        };
        if let Some(PatientParam::Local(_)) =
            query.as_ref().and_then(|query| query.patient.as_ref())
        {
            let words =
                "the gateway has no Patient of its own; name the patient by patient.identifier";
            issues.push(Issue::error(IssueCode::NotSupported, "patient", words));
        }
        match query {
            Some(query) if issues.is_empty() => Ok(Question {
                resource,
                query,
                chosen,
                form,
            }),
            _ => Err(Problem::invalid_all(issues)),
        }
    }

    /// Everything of a type that is searched by patient alone: sources give it whole, in no order of ours.
    pub fn everything(
        resource: ResourceType,
        patient: Option<PersonIdentifier>,
        chosen: Vec<OrganisationNumber>,
        count: u32,
    ) -> Question {
        let mut query = Query::all(resource);
        query.patient = patient.map(PatientParam::Identifier);
        query.count = count;
        Question {
            resource,
            query,
            chosen,
            form: Vec::new(),
        }
    }

    /// Whether sources can be asked for it in the order of time.
    pub fn is_ordered(&self) -> bool {
        self.knows("_sort")
    }

    fn knows(&self, name: &str) -> bool {
        let row = fhir::search::supported(self.resource);
        row.is_some_and(|row| row.parameters.iter().any(|one| one.name == name))
    }

    /// The form of an operation at every source: what was asked, the patient by number, and what the operation takes besides.
    ///
    /// # Errors
    /// 400 when that makes more parameters than a search may have.
    pub fn for_operation(
        &self,
        patient: &PersonIdentifier,
        more: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, Problem> {
        let mut form: Vec<(String, String)> = self.asked().cloned().collect();
        let number = format!("{}|{}", patient.system(), patient.value().expose());
        form.push(("patient.identifier".to_owned(), number));
        form.extend(more);
        within_bounds(form)
    }

    /// The patient that the question names, if it names one.
    pub fn patient(&self) -> Option<PersonIdentifier> {
        match &self.query.patient {
            Some(PatientParam::Identifier(person)) => Some(person.clone()),
            _ => None,
        }
    }

    /// Whom it is for.
    pub fn whom(&self) -> Whom<'_> {
        Whom {
            resource: Some(self.resource),
            chosen: &self.chosen,
        }
    }

    /// How copies of this type meet.
    pub fn rule(&self) -> Rule {
        Rule::of(self.resource)
    }

    /// How sources are asked for a page of it. Lines of a medication list are told of each other whatever page they stand on, so lists
    /// are read whole before a page is cut.
    pub fn errand(&self) -> Errand<'static> {
        match self.rule() {
            Rule::Medicine => Errand::Whole,
            _ => Errand::Pages,
        }
    }

    /// Order of the answer.
    pub fn sort(&self) -> Sort {
        self.query.sort
    }

    /// Scope to ask of the anchor for each source. The anchor gives no more of it than the user's own token has, and
    /// reads a citizen's `patient/` scopes as `user/` ones.
    pub fn scope(&self) -> String {
        format!("user/{}.rs", self.resource)
    }

    /// The form for every source: what was asked, the patient by number, from `place` on.
    ///
    /// # Errors
    /// 400 when that makes more parameters than a search may have.
    pub fn for_sources(
        &self,
        patient: &PersonIdentifier,
        place: Place,
    ) -> Result<Vec<(String, String)>, Problem> {
        let mut form: Vec<(String, String)> = self.asked().cloned().collect();
        let mut add = |name: &str, value: String| form.push((name.to_owned(), value));
        let person = if self.resource == ResourceType::PATIENT {
            "identifier"
        } else {
            "patient.identifier"
        };
        add(
            person,
            format!("{}|{}", patient.system(), patient.value().expose()),
        );
        add(
            "_count",
            (self.query.count + SPARE).min(Query::MAX_COUNT).to_string(),
        );
        if self.knows("_sort") {
            add(
                "_sort",
                if self.sort() == Sort::DateDesc {
                    "-date"
                } else {
                    "date"
                }
                .to_owned(),
            );
        }
        let narrows = self.errand() == Errand::Pages && self.knows("date");
        if let Some(narrowing) = place.narrowing(self.sort()).filter(|_| narrows) {
            add("date", narrowing);
        }
        within_bounds(form)
    }

    /// The parameters of the `self` link: what was understood, without the person.
    pub fn own_link(&self) -> Vec<(String, String)> {
        self.form
            .iter()
            .filter(|(name, _)| !NAMES_PERSON.contains(&name.as_str()))
            .cloned()
            .collect()
    }

    /// The parameters as received that go on to the sources as they are.
    fn asked(&self) -> impl Iterator<Item = &(String, String)> {
        self.form.iter().filter(|(name, _)| {
            let name = name.as_str();
            name != ORGANIZATION && !NAMES_PERSON.contains(&name) && !OURS.contains(&name)
        })
    }
}

/// No source takes more parameters than a search may have.
fn within_bounds(form: Vec<(String, String)>) -> Result<Vec<(String, String)>, Problem> {
    if form.len() > Query::MAX_PARAMETERS {
        let words = format!("more than {} parameters", Query::MAX_PARAMETERS - 4);
        return Err(Problem::invalid(IssueCode::TooCostly, "", words));
    }
    Ok(form)
}

/// A type that can be looked up.
pub fn looked_up(name: &str) -> Result<ResourceType, Problem> {
    ResourceType::parse(name)
        .filter(|found| TYPES.contains(&found.as_str()))
        .ok_or_else(Problem::not_found)
}

/// The organisations of a comma list: numbers, or `system|value` of a unit, each as its controller.
pub fn chosen(
    values: &[String],
    register: &Register,
    issues: &mut Vec<Issue>,
) -> Vec<OrganisationNumber> {
    let mut found: Vec<OrganisationNumber> = Vec::new();
    let mut refuse = |code, words: &str| issues.push(Issue::error(code, ORGANIZATION, words));
    let named: Vec<&str> = values
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if named.len() > MOST_CHOSEN {
        refuse(
            IssueCode::TooCostly,
            "too many organisations in one look-up",
        );
        return found;
    }
    for name in named {
        let organisation = match name.split_once('|') {
            Some((system, value)) => register.controller_of(system, value),
            None => match OrganisationNumber::parse(name) {
                Ok(number) => register.controller(&number),
                Err(error) => {
                    refuse(IssueCode::Value, &error.to_string());
                    continue;
                }
            },
        };
        match organisation {
            Some(organisation) if found.contains(&organisation) => {}
            Some(organisation) => found.push(organisation),
            None => refuse(IssueCode::NotFound, "an organisation is not known here"),
        }
    }
    found
}
