//! What an entry of a bundle asks for: its `request` as a request of its own (FHIR R4 bundle.html, http.html#transaction).
//!
//! `request.url` is a URL: no person's number stands in it, just as in a request sent alone. What stands in other members
//! (`ifNoneExist`, references) is part of a body.

use crate::State;
use crate::api::search::{self, Form};
use crate::api::{conditional, id_of, type_of, version_in, writable};
use crate::disclose::http_date;
use fhir::bundle::Entry;
use fhir::ids::LogicalId;
use fhir::outcome::{Issue, IssueCode};
use fhir::resource::ResourceType;
use http::{HeaderMap, HeaderValue, header};
use trust::Interaction;
use wire::outcome::Problem;

/// One entry's request, understood.
pub struct Asked {
    /// Which interaction.
    pub what: What,
    /// The type that its address names.
    pub resource: ResourceType,
    /// The parameters of its address: a search, a history, or a condition.
    pub form: Form,
    /// The condition of a create.
    pub none_exist: Option<Form>,
    /// `If-Match`, `If-None-Match` and `If-Modified-Since` as the entry has them, and the bundle's `Prefer`.
    pub headers: HeaderMap,
    /// `Bundle.entry[3] GET Observation`, for the record.
    pub words: String,
}

/// The interactions that an entry can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// POST.
    Create,
    /// PUT.
    Update(Named),
    /// PATCH.
    Patch(Named),
    /// DELETE.
    Withdraw(Named),
    /// GET of a resource.
    Read(LogicalId),
    /// GET of a version.
    Version(LogicalId, String),
    /// GET of a resource's or a type's history.
    History(Option<LogicalId>),
    /// GET of a search.
    Search,
    /// GET of a search in this patient's compartment.
    Compartment(String),
}

/// How what is to be changed is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its id.
    Id(LogicalId),
    /// By the condition in the address.
    Condition,
}

impl What {
    /// The order in which a bundle's entries are carried out (http.html#trules): DELETE, POST, PUT and PATCH, GET.
    pub fn turn(&self) -> u8 {
        match self {
            Self::Withdraw(_) => 0,
            Self::Create => 1,
            Self::Update(_) | Self::Patch(_) => 2,
            _ => 3,
        }
    }

    /// Whether nothing is changed by it.
    pub fn reads(&self) -> bool {
        self.turn() == 3
    }

    /// The interaction, as it is recorded.
    pub fn interaction(&self) -> Interaction {
        match self {
            Self::Create => Interaction::Create,
            Self::Update(_) | Self::Patch(_) => Interaction::Update,
            Self::Withdraw(_) => Interaction::Withdraw,
            Self::Read(_) | Self::Version(..) | Self::History(Some(_)) => Interaction::Read,
            Self::History(None) | Self::Search | Self::Compartment(_) => Interaction::Search,
        }
    }
}

/// What is wrong with an entry, outside its resource.
pub fn fault(entry: &Entry<'_>, code: IssueCode, member: &str, words: &str) -> Problem {
    let place = format!("{}.{member}", entry.expression());
    Problem::unprocessable(vec![Issue::error(code, place, words)])
}

/// Reads an entry's request; `of_bundle` are the headers that the bundle came with.
///
/// # Errors
/// 422 with the member at fault.
pub fn understand(
    state: &State,
    entry: &Entry<'_>,
    of_bundle: &HeaderMap,
) -> Result<Asked, Problem> {
    let fault = |code, member: &str, words: &str| fault(entry, code, member, words);
    if entry.request.is_none() {
        let words = "the entry says what it asks for";
        return Err(fault(IssueCode::Required, "request", words));
    }
    let method = entry.method().unwrap_or_default();
    if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_ref()) {
        let words = "GET, POST, PUT, PATCH and DELETE are taken here";
        return Err(fault(IssueCode::NotSupported, "request.method", words));
    }
    let url = entry.url().unwrap_or_default();
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url.as_ref(), None),
    };
    let parts: Vec<&str> = path.split('/').collect();
    let strange = || {
        let words = "expected Type, Type/id, Type?condition, or for GET also Type/id/_history, Type/id/_history/version, Type/_history and Patient/id/Type, of a type that is served here";
        fault(IssueCode::Value, "request.url", words)
    };
    let id = |text: &str| {
        id_of(text).map_err(|_| {
            let words = "there is no such resource";
            fault(IssueCode::NotFound, "request.url", words)
        })
    };
    let named = |make: fn(Named) -> What| match (parts.as_slice(), query) {
        ([name, one], None) => Ok((*name, make(Named::Id(id(one)?)))),
        ([name], Some(_)) => Ok((*name, make(Named::Condition))),
        _ => Err(strange()),
    };
    let (name, what) = match method.as_ref() {
        "POST" => match (parts.as_slice(), query) {
            ([name], None) => (*name, What::Create),
            _ => return Err(strange()),
        },
        "PUT" => named(What::Update)?,
        "PATCH" => named(What::Patch)?,
        "DELETE" => named(What::Withdraw)?,
        _ => match (parts.as_slice(), query) {
            ([name, "_history"], _) => (*name, What::History(None)),
            ([name, one, "_history"], _) => (*name, What::History(Some(id(one)?))),
            ([name, one, "_history", version], _) => {
                (*name, What::Version(id(one)?, (*version).to_owned()))
            }
            (["Patient", one, name], _) => (*name, What::Compartment((*one).to_owned())),
            ([name, one], _) => (*name, What::Read(id(one)?)),
            ([name], _) => (*name, What::Search),
            _ => return Err(strange()),
        },
    };
    let resource = if what.reads() {
        type_of(state, name)
    } else {
        writable(state, name)
    }
    .map_err(|_| strange())?;
    let unread = |member: &'static str| {
        move |_| {
            let words = "a search was expected, for example identifier=system|value";
            self::fault(entry, IssueCode::Value, member, words)
        }
    };
    let form = search::of_query(query.unwrap_or_default()).map_err(unread("request.url"))?;
    if matches!(
        what,
        What::Update(Named::Condition)
            | What::Patch(Named::Condition)
            | What::Withdraw(Named::Condition)
    ) {
        conditional::require(&form, "").map_err(unread("request.url"))?;
    }
    let (headers, none_exist) = conditions(entry, &what, of_bundle)?;
    Ok(Asked {
        words: format!("{} {method} {path}", entry.expression()),
        what,
        resource,
        form,
        none_exist: none_exist
            .map(|text| conditional::parse(&text, "").map_err(unread("request.ifNoneExist")))
            .transpose()?,
        headers,
    })
}

/// The conditions of a request as headers, and `ifNoneExist`. One that says nothing about this interaction is refused, since
/// whoever sent it counts on it.
fn conditions(
    entry: &Entry<'_>,
    what: &What,
    of_bundle: &HeaderMap,
) -> Result<(HeaderMap, Option<String>), Problem> {
    let mut headers = HeaderMap::new();
    for value in of_bundle.get_all("prefer") {
        headers.append("prefer", value.clone());
    }
    let mut none_exist = None;
    for (member, fits) in [
        ("ifNoneExist", *what == What::Create),
        ("ifMatch", matches!(what.turn(), 0 | 2)),
        (
            "ifNoneMatch",
            matches!(what, What::Read(_) | What::Version(..)),
        ),
        (
            "ifModifiedSince",
            matches!(what, What::Read(_) | What::Version(..)),
        ),
    ] {
        let place = format!("request.{member}");
        let Some(node) = entry.request.and_then(|request| request.get(member)) else {
            continue;
        };
        let text = node
            .str()
            .ok_or_else(|| fault(entry, IssueCode::Structure, &place, "a string was expected"))?;
        if !fits {
            let words = "this condition says nothing about this interaction";
            return Err(fault(entry, IssueCode::NotSupported, &place, words));
        }
        let strange = |words: &str| fault(entry, IssueCode::Value, &place, words);
        let versions = "versions were expected, for example W/\"1\"";
        let (name, value) = match member {
            "ifNoneExist" => {
                none_exist = Some(text.into_owned());
                continue;
            }
            "ifMatch" => {
                version_in(&text)
                    .map_err(|_| strange("one version was expected, for example W/\"1\""))?;
                (header::IF_MATCH, HeaderValue::from_str(&text).ok())
            }
            "ifNoneMatch" => (header::IF_NONE_MATCH, HeaderValue::from_str(&text).ok()),
            _ => {
                let since = fhir::time::parse_instant(&text).map_err(|_| {
                    strange("an instant was expected, for example 2026-11-21T08:00:00Z")
                })?;
                (header::IF_MODIFIED_SINCE, http_date(since))
            }
        };
        headers.insert(name, value.ok_or_else(|| strange(versions))?);
    }
    Ok((headers, none_exist))
}
