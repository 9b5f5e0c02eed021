//! What has changed since a caller last looked: each source is asked for its history (FHIR R4 http.html#history) from the
//! moment at which it answered then; a source that did not answer then is asked as for the first time.
//!
//! What stood before and has got another status or time than the question names is told as taken back, by its address: the caller may
//! have it on a screen. Whether it was found before is not known where that version is older than the last look; then it is told rather
//! than lost.
//!
//! That moment is the source's own (its `Date`), carried for the caller in a sealed link that stands in the former answer
//! and keeps nothing here. What changed in the same second is told again rather than lost.

use crate::State;
use crate::ask::{Asking, Copied, Gave, Timed, Told, bytes_for, following};
use crate::examine::{self, Expected, What};
use crate::line::Line;
use crate::locate::Source;
use crate::merge::{Change, Given};
use crate::place::exact;
use crate::question::Question;
use fhir::json::{Json, Limits};
use fhir::time::Instant;
use futures::future::join_all;
use std::collections::{HashMap, HashSet};
use wire::client::Request;
use wire::paging::Ticket;
use wire::receipt::SourceState;
use wire::visit::{End, Visit};

/// How long a link to changes works, in seconds: a quarter of a year.
const LIFE_SECONDS: i64 = 90 * 24 * 3600;

/// What the link carries besides the question: its type, and when each service answered (UTC microseconds).
pub type Known = (String, Vec<(String, i64)>);

/// The link to what will have changed since these answers; `None` when nobody answered.
pub fn link(
    state: &State,
    visit: &Visit<'_>,
    question: &Question,
    sources: &[Source],
    answers: &[Timed],
) -> Result<Option<String>, End> {
    let known = |(source, timed): (&Source, &Timed)| match &timed.told {
        Told::Gave(gave) if gave.cut_short.is_none() => {
            Some((source.service.clone(), gave.asked_at?.0))
        }
        _ => None,
    };
    let known: Vec<(String, i64)> = sources.iter().zip(answers).filter_map(known).collect();
    if known.is_empty() {
        return Ok(None);
    }
    let cursor: Known = (question.resource.as_str().to_owned(), known);
    let ticket = Ticket::new(visit.caller(), question.form.clone(), cursor, visit.now)
        .until(visit.now.plus_seconds(LIFE_SECONDS));
    let sealed = visit.store().seal(&ticket.to_bytes()?)?;
    Ok(Some(format!("{}/_changes/{sealed}", state.fhir)))
}

/// What a source took back: its organisation number, and the address.
pub type Withdrawn = (String, String);

/// Asks every source for what changed; `known` says when each service answered before.
pub async fn since(
    asking: &Asking<'_>,
    sources: &[Source],
    known: &HashMap<String, i64>,
) -> (Vec<Timed>, Vec<Withdrawn>) {
    let bytes = bytes_for(sources);
    let one = async |(number, source): (usize, &Source)| match known.get(&source.service) {
        Some(since) => {
            let mut gone = Vec::new();
            let walk = async |base: &str| {
                let past = Past {
                    asking,
                    number,
                    source,
                    since: *since,
                };
                past.walk(base, bytes, &mut gone).await
            };
            let timed = asking.timed(source, walk).await;
            (timed, gone)
        }
        None => {
            let mut timed = asking.one(number, source, bytes).await;
            if let Told::Gave(gave) = &mut timed.told {
                let given = gave.given.iter_mut();
                given.for_each(|one| one.change = Some(Change::FirstAnswer));
            }
            (timed, Vec::new())
        }
    };
    let told = join_all(sources.iter().enumerate().map(one)).await;
    let (timed, gone): (Vec<Timed>, Vec<Vec<Withdrawn>>) = told.into_iter().unzip();
    (timed, gone.concat())
}

/// One source's history.
struct Past<'a> {
    asking: &'a Asking<'a>,
    number: usize,
    source: &'a Source,
    since: i64,
}

impl Past<'_> {
    async fn walk(&self, base: &str, bytes: usize, gone: &mut Vec<Withdrawn>) -> Told {
        let Asking {
            state,
            visit,
            question,
            ..
        } = *self.asking;
        let nothing = |(state, reason): (SourceState, String)| Told::Nothing { state, reason };
        let opened = Line::open(
            state,
            visit,
            (base, self.asking.scope),
            self.asking.deadline,
            bytes,
        );
        let mut line = match opened {
            Ok(line) => line,
            Err(fault) => return nothing(fault),
        };
        let resource = question.resource;
        let expected = Expected {
            resource,
            patient: self.asking.patient,
            base,
            orgnr: &self.source.organisation,
            source: self.number,
            zone: &state.config.zone,
            numbers: state.config.person_numbers,
            withheld: self.asking.permit.withheld(),
        };
        let since = exact(self.since);
        let url = format!("{base}/{resource}/_history?_since={since}&_count=200");
        let mut request = Request::get(url);
        let mut gave = Gave::default();
        // Where each id was put; nowhere if it is gone, or not what was asked for any more. Newest versions come first.
        let mut seen: HashMap<String, Option<usize>> = HashMap::new();
        let mut told_gone = HashSet::new();
        for pages in 1.. {
            let told = line.ask(request).await.and_then(|answer| {
                gave.copy = Copied::of(&answer, resource);
                if pages == 1 {
                    gave.asked_at = answer.date();
                }
                let page = examine::history(answer.body, &expected);
                page.map_err(|words| line.unusable(words))
            });
            let page = match told {
                Ok(page) => page,
                Err(fault) if pages == 1 => return nothing(fault),
                Err(_) => {
                    gave.cut_short = Some("only its first pages came");
                    break;
                }
            };
            line.good();
            gave.dropped.add(page.dropped);
            for past in page.past {
                let mut take_back = || {
                    if told_gone.insert(past.id.clone()) {
                        let url = format!("{base}/{resource}/{}", past.id);
                        gone.push((self.source.organisation.clone(), url));
                    }
                };
                match (seen.get(&past.id).copied(), past.what) {
                    (None, What::Stands(given, first)) => {
                        let change = match first {
                            true => Change::New,
                            false => Change::Corrected,
                        };
                        let found = self.finds(&given);
                        if found == Finds::NoLonger && !first {
                            take_back();
                        }
                        let place = (found == Finds::Still).then_some(gave.given.len());
                        if place.is_some() {
                            let change = withdrawn(&given).unwrap_or(change);
                            gave.given.push(Given {
                                change: Some(change),
                                ..*given
                            });
                        }
                        seen.insert(past.id, place);
                    }
                    (None, What::Withdrawn) => {
                        take_back();
                        seen.insert(past.id, None);
                    }
                    // What was corrected since, and made since too, is new.
                    (Some(Some(at)), What::Stands(_, true)) => {
                        if let Some(given) = gave.given.get_mut(at) {
                            let corrected = given.change == Some(Change::Corrected);
                            given.change = if corrected {
                                Some(Change::New)
                            } else {
                                given.change
                            };
                        }
                    }
                    // What it said before is what was asked for, and what it says now is not.
                    (Some(None), What::Stands(given, _)) if self.finds(&given) == Finds::Still => {
                        take_back();
                    }
                    _ => {}
                }
            }
            let Some(next) = page.next else { break };
            request = match following(&next, base, pages) {
                Ok(request) => request,
                Err(words) => {
                    gave.cut_short = Some(words);
                    break;
                }
            };
        }
        examine::of_one_patient(&mut gave.given, &mut gave.dropped, None);
        Told::Gave(gave)
    }

    /// Whether the question finds it: a history knows no other parameters than time.
    fn finds(&self, given: &Given) -> Finds {
        let patient = Some(self.asking.patient);
        let Ok(json) = Json::parse(given.body.clone(), Limits::BUNDLE) else {
            return Finds::Never;
        };
        let query = &self.asking.question.query;
        if fhir::search::matches(json.root(), query, patient) {
            return Finds::Still;
        }
        let mut query = query.clone();
        query.dates.clear();
        query.status.clear();
        match fhir::search::matches(json.root(), &query, patient) {
            true => Finds::NoLonger,
            false => Finds::Never,
        }
    }
}

/// Whether a question finds a version of something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finds {
    /// It does.
    Still,
    /// It would, but for the status or the time that it has now: an earlier version may have been found.
    NoLonger,
    /// It is about something else.
    Never,
}

/// What is still there and says of itself that it should not be.
fn withdrawn(given: &Given) -> Option<Change> {
    let json = Json::parse(given.body.clone(), Limits::BUNDLE).ok()?;
    let status = json.root().text("status")?;
    (status == "entered-in-error").then_some(Change::Withdrawn)
}

/// The moments of a link, by service; those that lie ahead of now were never.
pub fn known(moments: Vec<(String, i64)>, now: Instant) -> HashMap<String, i64> {
    let moments = moments.into_iter();
    moments
        .map(|(service, at)| (service, at.min(now.0)))
        .collect()
}
