//! One look-up at the gateway, as the session's person: measurements, plan, medicines and the patient, all at once, each
//! followed by its next pages. What failed is said, what came is kept. The token never leaves the process.

pub mod answer;
pub mod catalogue;
pub mod medicine;
pub mod mine;
pub mod own;
pub mod person;
pub mod plan;
pub mod signature;
pub mod token;

use std::time::Duration;

use fhir::ids::{PersonIdentifier, PersonNumbers};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use trust::dpop;
use trust::keys::SigningKey;
use wire::client::{Answer, Request};
use wire::contract::Hidden;
use wire::contract::gateway::{FHIR, ORGANIZATION};

use crate::State;
use answer::{Page, Reading};
use medicine::Medicine;
use person::Person;
use plan::Plan;
use wire::receipt::{Receipt, ReceiptError, SourceReport};

/// Most readings on one page; beyond it the page says that there are more.
pub const MOST_READINGS: usize = 5_000;
/// Readings asked for at a time: the largest page there is.
const PAGE_SIZE: &str = "200";
/// Most pages followed for one kind of resource.
const MOST_PAGES: usize = 40;
/// How far back a page looks, in days: three years and a little.
const DAYS_BACK: i64 = 1_130;
/// For one call; the gateway has 5 s for its own sources.
const DEADLINE: Duration = Duration::from_secs(9);

/// What is asked for, one question each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Observation.
    Readings,
    /// CarePlan.
    Plan,
    /// MedicationStatement.
    Medicines,
    /// Patient.
    Patient,
}

impl Part {
    /// All of them, in the order the page shows them.
    pub const ALL: [Part; 4] = [Part::Readings, Part::Plan, Part::Medicines, Part::Patient];

    /// The FHIR resource type.
    pub fn resource_type(self) -> &'static str {
        match self {
            Part::Readings => "Observation",
            Part::Plan => "CarePlan",
            Part::Medicines => "MedicationStatement",
            Part::Patient => "Patient",
        }
    }
}

/// Why a question has no usable answer. Names no person and holds no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// There is no way to sign in: the portal is not in demo mode.
    #[error("no sign-in is configured")]
    NoSignIn,
    /// What a launch opened has come to its end at the anchor.
    #[error("the launch has ended")]
    Ended,
    /// The anchor did not answer, or not as the contract says.
    #[error("the trust anchor gave no token")]
    Anchor,
    /// The anchor or the gateway refused this person, patient or purpose.
    #[error("the look-up was not allowed")]
    NotAllowed,
    /// The gateway did not answer in time, or not at all.
    #[error("the gateway gave no answer")]
    Silent,
    /// The gateway answered, but no source did.
    #[error("no source answered")]
    NoSource,
    /// The organisation has no service of its own that follows patients up.
    #[error("the organisation has no service with a list")]
    NoService,
    /// The answer is not what the contract says.
    #[error("the gateway's answer is unusable: {0}")]
    Unusable(&'static str),
}

impl LookUpError {
    fn receipt(_: ReceiptError) -> LookUpError {
        LookUpError::Unusable("the completeness receipt")
    }
}

/// Everything one look-up brought.
pub struct LookUp {
    /// Readings, in the order the gateway gave them.
    pub readings: Vec<Reading>,
    /// Plans, newest first.
    pub plans: Vec<Plan>,
    /// Lines of medication lists.
    pub medicines: Vec<Medicine>,
    /// Who it is about, as far as sources say.
    pub person: Person,
    /// The completeness receipt of each question.
    pub receipts: Vec<(Part, Vec<SourceReport>)>,
    /// Questions without a usable answer.
    pub failed: Vec<(Part, LookUpError)>,
    /// Whether there were more readings than the page shows.
    pub capped: bool,
    /// When it was asked, in milliseconds since 1970.
    pub at: i64,
}

struct Asker<'a> {
    state: &'a State,
    key: &'a SigningKey,
    token: Hidden,
}

/// One question's pages.
struct Pages {
    pages: Vec<Page>,
    capped: bool,
}

/// About whom, with which token, and whom to ask besides.
pub struct Asked<'a> {
    /// The key that the token is bound to.
    pub key: &'a SigningKey,
    /// Bound to this patient.
    pub token: Hidden,
    /// The patient's number.
    pub number: &'a Hidden,
    /// Organisation numbers chosen from the catalogue, besides what the locator gives.
    pub organisations: &'a [String],
}

/// Looks everything up. A question that fails is listed in the answer.
pub async fn look_up(state: &State, asked: Asked<'_>) -> LookUp {
    let asker = Asker {
        state,
        key: asked.key,
        token: asked.token,
    };
    let at = (state.house.clock)().0 / 1000;
    let ask = |part| asker.ask(part, asked.number, asked.organisations, at);
    let (readings, plans, medicines, patient) = futures::join!(
        ask(Part::Readings),
        ask(Part::Plan),
        ask(Part::Medicines),
        ask(Part::Patient)
    );

    let mut look_up = LookUp {
        readings: Vec::new(),
        plans: Vec::new(),
        medicines: Vec::new(),
        person: Person::default(),
        receipts: Vec::new(),
        failed: Vec::new(),
        capped: false,
        at,
    };
    let calendar = &state.calendar;
    let mut signatures = signature::Signatures::new(state);
    for (part, answer) in [
        (Part::Readings, readings),
        (Part::Plan, plans),
        (Part::Medicines, medicines),
        (Part::Patient, patient),
    ] {
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                look_up.failed.push((part, error));
                continue;
            }
        };
        look_up.capped |= found.capped;
        let mut sources: Vec<SourceReport> = Vec::new();
        for page in &found.pages {
            for outcome in page.outcomes() {
                match Receipt::parse(outcome.raw()) {
                    Ok(receipt) => sources.extend(receipt.sources),
                    Err(error) => look_up.failed.push((part, LookUpError::receipt(error))),
                }
            }
            let matches = page.matches(part.resource_type());
            match part {
                Part::Readings => {
                    for found in &matches {
                        let mut reading = answer::reading(found, calendar);
                        if answer::is_assessment(found.resource) {
                            reading.signature = Some(signatures.worth(found.resource).await);
                        }
                        look_up.readings.push(reading);
                    }
                }
                Part::Plan => look_up
                    .plans
                    .extend(matches.iter().map(|found| plan::plan(found, calendar))),
                Part::Medicines => look_up.medicines.extend(
                    matches
                        .iter()
                        .map(|found| medicine::medicine(found, calendar)),
                ),
                Part::Patient => look_up.person = person::person(&matches),
            }
        }
        look_up.receipts.push((part, sources));
    }
    look_up
        .plans
        .sort_by_key(|plan| std::cmp::Reverse(plan.from));
    look_up
}

impl Asker<'_> {
    /// Asks one question and follows its next links.
    async fn ask(
        &self,
        part: Part,
        number: &Hidden,
        organisations: &[String],
        at: i64,
    ) -> Result<Pages, LookUpError> {
        let person = PersonIdentifier::guess(number.expose(), PersonNumbers::Lenient)
            .map_err(|_| LookUpError::Unusable("the patient's number"))?;
        let by = if part == Part::Patient {
            "identifier"
        } else {
            "patient.identifier"
        };
        let number = format!("{}|{}", person.system(), number.expose());
        let oldest = format!(
            "ge{}",
            fhir::time::Instant(at * 1000).plus_seconds(-DAYS_BACK * 86_400)
        );
        let organisations = organisations.join(",");
        let mut form = vec![(by, number.as_str()), ("_count", PAGE_SIZE)];
        if part == Part::Readings {
            form.extend([("date", oldest.as_str()), ("_sort", "-date")]);
        }
        if !organisations.is_empty() {
            form.push((ORGANIZATION, &organisations));
        }
        let url = format!(
            "{}{FHIR}/{}/_search",
            self.state.config.gateway,
            part.resource_type()
        );
        let request = Request::post_form(url, form);
        let mut pages = vec![self.page(request).await?];
        let mut readings = pages[0].matches(part.resource_type()).len();
        let origin = format!("{}{FHIR}/", self.state.config.gateway);
        while let Some(next) = pages.last().and_then(Page::next) {
            if pages.len() == MOST_PAGES || readings >= MOST_READINGS {
                return Ok(Pages {
                    pages,
                    capped: true,
                });
            }
            // A link leads nowhere but to the gateway that gave it.
            if !next.starts_with(&origin) {
                return Err(LookUpError::Unusable("a next link leads elsewhere"));
            }
            let page = self.page(Request::get(next)).await?;
            readings += page.matches(part.resource_type()).len();
            pages.push(page);
        }
        Ok(Pages {
            pages,
            capped: false,
        })
    }

    /// One answer that is 200.
    async fn answer(&self, request: Request) -> Result<Answer, LookUpError> {
        let answer = self.send(request).await?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            401 | 403 => Err(LookUpError::NotAllowed),
            502 | 504 => Err(LookUpError::NoSource),
            _ => Err(LookUpError::Unusable("unexpected status")),
        }
    }

    async fn page(&self, request: Request) -> Result<Page, LookUpError> {
        let answer = self.answer(request).await?;
        let page = Page::read(answer.body).map_err(|_| LookUpError::Unusable("not strict JSON"))?;
        if !page.is_searchset() {
            return Err(LookUpError::Unusable("not a searchset"));
        }
        Ok(page)
    }

    /// Sends one request with the token and a proof of its own.
    async fn send(&self, request: Request) -> Result<Answer, LookUpError> {
        let unusable = |_| LookUpError::Unusable("the request cannot be signed");
        let token = self.token.expose();
        let now = (self.state.house.clock)().seconds();
        let jti = (self.state.house.ids)().to_string();
        let proof = dpop::prove(
            self.key,
            request.method.as_str(),
            &request.url,
            Some(&dpop::ath(token)),
            now,
            &jti,
        )
        .map_err(unusable)?;
        let value = |text: String| {
            HeaderValue::try_from(text)
                .map_err(|_| LookUpError::Unusable("the request cannot be signed"))
        };
        let request = request
            .header(AUTHORIZATION, value(format!("DPoP {token}"))?)
            .header(HeaderName::from_static("dpop"), value(proof)?)
            .deadline(DEADLINE);
        self.state.house.http.send(&request).await.map_err(|error| {
            tracing::warn!(%error, "the gateway gave no answer");
            LookUpError::Silent
        })
    }
}
