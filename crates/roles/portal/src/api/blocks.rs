//! A citizen's blocks and reservation: what holds, making one, taking one back. After each change the page says who did it and
//! who did not; sending the same again is safe.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use wire::receipt::SourceReport;

use super::visit::{Stop, Visit};
use crate::citizen;
use crate::look_up::mine::{Closing, Mine};
use crate::page::{self, Blocks, Choice, Sent};

/// `GET /blocks`.
pub async fn show(visit: Visit) -> Response {
    let shown = async {
        let person = visit.citizen()?;
        let (state, t) = (&visit.state, visit.t);
        let mine = Mine::of(state, person).await.map_err(Stop::LookUp)?;
        // The log knows the names; without it the wishes are shown all the same.
        let (wishes, log) = futures::join!(mine.wishes(), mine.log());
        let (wishes, sources) = wishes.map_err(Stop::LookUp)?;
        let names = log.map(|(events, _)| citizen::names(&events));
        let choice = |value: String, name: &str| Choice {
            value,
            name: name.to_owned(),
            under: String::new(),
            chosen: false,
        };
        let own = state.config.organisations.iter();
        let page = Blocks {
            shell: visit.shell(),
            t,
            wishes: citizen::wishes(&wishes, &names.unwrap_or_default(), state, &t),
            missing: citizen::done(&sources, &t)
                .into_iter()
                .filter(|one| !one.done)
                .collect(),
            kinds: citizen::known_kinds(&t)
                .into_iter()
                .map(|(code, name)| choice(code, name))
                .collect(),
            organisations: own
                .filter(|one| one.part_of.is_none())
                .map(|one| choice(one.orgnr.clone(), &one.name))
                .collect(),
        };
        Ok(page::answer(StatusCode::OK, &page))
    };
    let result = shown.await;
    visit.ends(result)
}

/// `POST /blocks`: makes one.
pub async fn make(visit: Visit, body: Body) -> Response {
    let made = async {
        let person = visit.citizen()?;
        let form = visit.form(body).await?;
        let what = form.get("what").unwrap_or_default();
        let value = form.get(what).unwrap_or_default();
        let closing = closing(what, value).ok_or(Stop::Form)?;
        let mine = Mine::of(&visit.state, person).await.map_err(Stop::LookUp)?;
        let sources = mine.make(&closing).await.map_err(Stop::LookUp)?;
        let again = [("what", what), (what, value)];
        Ok(sent(&visit, "/blocks", &again, &sources))
    };
    let result = made.await;
    visit.ends(result)
}

/// `POST /blocks/end`: takes one back.
pub async fn end(visit: Visit, body: Body) -> Response {
    let ended = async {
        let person = visit.citizen()?;
        let form = visit.form(body).await?;
        let id = form.get("wish").ok_or(Stop::Form)?;
        if uuid::Uuid::parse_str(id).is_err() {
            return Err(Stop::Form);
        }
        let mine = Mine::of(&visit.state, person).await.map_err(Stop::LookUp)?;
        let sources = mine.end(id).await.map_err(Stop::LookUp)?;
        Ok(sent(&visit, "/blocks/end", &[("wish", id)], &sources))
    };
    let result = ended.await;
    visit.ends(result)
}

/// What the form asks to be closed; `None` for what our pages do not send.
fn closing(what: &str, value: &str) -> Option<Closing> {
    let word = !value.is_empty() && value.len() <= 64;
    match what {
        "all" => Some(Closing::All),
        "sharing" => Some(Closing::Sharing),
        "kind" => {
            fhir::resource::InformationService::parse(value)?;
            Some(Closing::Kinds(vec![value.to_owned()]))
        }
        "organisation" => {
            fhir::ids::OrganisationNumber::parse(value).ok()?;
            Some(Closing::Organisation(value.to_owned()))
        }
        "person" if word => Some(Closing::Person(value.to_owned())),
        _ => None,
    }
}

/// The page after a change. It is no success until everybody has done it.
fn sent(
    visit: &Visit,
    to: &'static str,
    again: &[(&str, &str)],
    sources: &[SourceReport],
) -> Response {
    let done = citizen::done(sources, &visit.t);
    let page = Sent {
        shell: visit.shell(),
        t: visit.t,
        whole: !done.is_empty() && done.iter().all(|one| one.done),
        ended: to == "/blocks/end",
        done,
        to,
        again: again
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    page::answer(StatusCode::OK, &page)
}
