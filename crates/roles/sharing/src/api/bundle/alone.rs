//! One entry of a bundle carried out as if it had been sent alone: the same handler, the same rules, a record of its own.

use super::answer::{Answer, Room, preferred};
use super::asked::{Asked, Named, What, fault};
use crate::State;
use crate::api::{create, history, patch, read, search, update, version, withdraw};
use crate::feed::Sent;
use fhir::bundle::Entry;
use fhir::json::Json;
use fhir::outcome::{Issue, IssueCode};
use fhir::search::Via;
use http::{StatusCode, header};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// Carries it out; `visit` is the bundle's own, whose record is durable already; `room` is what its reads may still give.
///
/// # Errors
/// What is wrong, told by its place in the bundle; its record is written.
pub async fn carry_out(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    (entry, asked): (&Entry<'_>, &Asked),
    room: &mut Room,
) -> Result<Answer, Problem> {
    let mut part = visit.part(asked.what.interaction(), asked.words.clone());
    let done = if asked.what.reads() && room.is_full() {
        Err(too_much(entry).into())
    } else {
        work(state, &mut part, json, entry, asked).await
    };
    let answered = match done {
        Ok(answer) => {
            if asked.what.reads() {
                room.take(&answer);
            }
            return Ok(answer);
        }
        Err(end) => {
            let nothing = || match asked.what {
                What::Search | What::Compartment(_) => Ok(search::empty()),
                _ => Err(Problem::not_found()),
            };
            part.end(end, nothing).await
        }
    };
    match answered {
        Ok(response) => Answer::given(response).await,
        Err(problem) => Err(placed(problem, entry, asked)),
    }
}

/// One bundle is not answered with more than one search is.
fn too_much(entry: &Entry<'_>) -> Problem {
    let place = format!("{}.request.url", entry.expression());
    let words = "the entries before gave as much as one answer may hold; ask for the rest in another bundle";
    Problem::invalid(IssueCode::TooCostly, place, words)
}

async fn work(
    state: &State,
    visit: &mut Visit<'_>,
    json: &Json,
    entry: &Entry<'_>,
    asked: &Asked,
) -> Result<Answer, End> {
    let (resource, headers, form) = (asked.resource, &asked.headers, asked.form.clone());
    let prefer = preferred(headers);
    let name = resource.as_str();
    let sent = || -> Result<Sent<'_>, Problem> {
        let node = entry.resource.ok_or_else(|| {
            fault(
                entry,
                IssueCode::Required,
                "resource",
                "the entry has no resource",
            )
        })?;
        let bundle = Some(json.root());
        Ok(Sent { json, node, bundle })
    };
    let written = match &asked.what {
        What::Create => {
            let condition = asked.none_exist.as_ref().map(|form| (form, Via::Post));
            create::sent(state, visit, headers, resource, condition, &sent()?).await?
        }
        What::Update(Named::Id(id)) => {
            update::sent(state, visit, headers, (resource, *id), &sent()?).await?
        }
        What::Update(Named::Condition) => {
            update::sent_by_condition(state, visit, headers, (resource, &form), &sent()?).await?
        }
        What::Patch(named) => {
            let operations = patch::in_binary(entry)?;
            let id = match named {
                Named::Id(id) => *id,
                Named::Condition => patch::one_of(state, visit, resource, &form).await?,
            };
            patch::sent(
                state,
                visit,
                headers,
                (resource, id),
                &operations,
                sent()?.bundle,
            )
            .await?
        }
        What::Withdraw(named) => {
            match named {
                Named::Id(id) => {
                    withdraw::take_back(state, visit, headers, (resource, *id)).await?
                }
                Named::Condition => {
                    withdraw::take_back_one(state, visit, headers, (resource, &form)).await?;
                }
            }
            return Ok(Answer::withdrawn(prefer));
        }
        What::Read(id) => {
            let given = read::found(state, visit, headers, (resource, *id), form).await?;
            return Ok(Answer::given(given).await?);
        }
        What::Version(id, number) => {
            let given =
                version::found(state, visit, headers, (resource, *id, number), form).await?;
            return Ok(Answer::given(given).await?);
        }
        What::History(id) => {
            let given = history::told(state, visit, resource, *id, form).await?;
            return Ok(Answer::given(given).await?);
        }
        What::Search => {
            let given = search::by_form(state, visit, name, None, form).await?;
            return Ok(Answer::given(given).await?);
        }
        What::Compartment(id) => {
            let whole = Some(("Patient", id.as_str()));
            let given = search::by_form(state, visit, name, whole, form).await?;
            return Ok(Answer::given(given).await?);
        }
    };
    Ok(Answer::alone(written, prefer, entry))
}

/// A problem of a request sent alone, told by its place in the bundle.
pub fn placed(problem: Problem, entry: &Entry<'_>, asked: &Asked) -> Problem {
    let status = problem.status();
    let of_entry = entry.expression();
    let request = |member: &str| format!("{of_entry}.request.{member}");
    let condition = match asked.what {
        What::Create if asked.none_exist.is_some() => request("ifNoneExist"),
        _ => request("url"),
    };
    let version = status == StatusCode::PRECONDITION_REQUIRED
        || status == StatusCode::PRECONDITION_FAILED
            && asked.headers.contains_key(header::IF_MATCH);
    let address = [
        StatusCode::NOT_FOUND,
        StatusCode::GONE,
        StatusCode::PRECONDITION_FAILED,
    ];
    let changes_content = matches!(asked.what, What::Create | What::Update(_));
    let resource = format!("{of_entry}.resource");
    problem.each(|issue| {
        let first = issue.expression.first().cloned().unwrap_or_default();
        let place = match first.as_str() {
            placed if placed.starts_with(&of_entry) => return issue,
            "If-Match" => request("ifMatch"),
            "If-None-Match" => request("ifNoneMatch"),
            "" if version => request("ifMatch"),
            "" if address.contains(&status) => condition.clone(),
            "" if changes_content => resource.clone(),
            "" => request("url"),
            // Of a patch: the path in the document that it does not fit.
            path if path.starts_with('/') => resource.clone(),
            // A parameter of the search or condition.
            name if name != "resourceType"
                && name.starts_with(|c: char| !c.is_ascii_uppercase()) =>
            {
                condition.clone()
            }
            _ => return issue.within(&resource),
        };
        Issue {
            expression: vec![place],
            ..issue
        }
    })
}
