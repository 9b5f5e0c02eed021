//! One request of a browser: its session, its language, and the answers that any page may end in.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State as Shared};
use axum::response::{IntoResponse, Redirect, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use wire::contract::demo::DemoPractitioner;
use wire::form::Form;

use crate::State;
use crate::launch::{self, Fault, Opened, Working};
use crate::look_up::LookUpError;
use crate::look_up::mine::Citizen;
use crate::look_up::own::Personnel;
use crate::page::{self, Message, Opening, Shell, Who};
use crate::session::{self, Seat, Visitor};
use crate::text::{Language, Text};

/// What a handler knows of the request before it begins.
pub struct Visit {
    /// The portal.
    pub state: Arc<State>,
    /// Words in the browser's language.
    pub t: Text,
    /// The cookie's secret and the living session behind it.
    pub session: Option<(String, Visitor)>,
    /// The value of the launch cookie.
    pub browser: Option<String>,
    headers: HeaderMap,
    path: String,
}

/// Why a request ends in something else than its page.
pub enum Stop {
    /// No living session: to the start.
    SignedOut,
    /// Not from our own pages, or without the session's value.
    CrossSite,
    /// A form that our pages do not send.
    Form,
    /// No such page, or not in this session.
    NotFound,
    /// Too many sessions.
    Full,
    /// The look-up gave nothing at all.
    LookUp(LookUpError),
    /// A launch came to nothing.
    Launch(Fault),
    /// The sign-in for the list has ended at the anchor: the need is stated anew.
    Over,
}

/// Why the own service gave nothing to somebody who works there.
pub fn at_own_service(error: LookUpError) -> Stop {
    match error {
        LookUpError::Ended => Stop::Over,
        error => Stop::LookUp(error),
    }
}

impl FromRequestParts<Arc<State>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Infallible> {
        let secret = session::cookie(&parts.headers, session::cookie_name(state.https));
        let now = state.now();
        let used = parts.uri.path() != super::ROWS;
        let session = secret.and_then(|secret| {
            Some((
                secret.to_owned(),
                state.sessions.visitor(secret, now, used)?,
            ))
        });
        let language =
            session::cookie(&parts.headers, session::LANGUAGE_COOKIE).and_then(Language::parse);
        Ok(Visit {
            t: Text {
                language: language.unwrap_or(state.language),
            },
            session,
            browser: session::cookie(&parts.headers, launch::cookie_name(state.https))
                .filter(|value| (1..=128).contains(&value.len()))
                .map(str::to_owned),
            headers: parts.headers.clone(),
            path: parts.uri.path().to_owned(),
            state: state.clone(),
        })
    }
}

impl Visit {
    /// The session, or the way to the start.
    pub fn signed_in(&self) -> Result<&(String, Visitor), Stop> {
        self.session.as_ref().ok_or(Stop::SignedOut)
    }

    /// The session of health personnel: its secret, the session, and which practitioner. A citizen has no such pages.
    pub fn clinician(&self) -> Result<(&str, &Visitor, &DemoPractitioner), Stop> {
        let (secret, visitor) = self.signed_in()?;
        let Seat::Practitioner(index) = visitor.seat else {
            return Err(Stop::NotFound);
        };
        let person = self.state.practitioners().get(index);
        Ok((secret, visitor, person.ok_or(Stop::SignedOut)?))
    }

    /// Who works at the organisation and has its list: the session's secret, and by which tokens she asks. Nobody else has such pages.
    pub fn personnel(&self) -> Result<(&str, Personnel<'_>), Stop> {
        let (secret, visitor) = self.signed_in()?;
        match &visitor.seat {
            Seat::Working(working) => Ok((secret, Personnel::SignedIn(working))),
            _ => {
                let (secret, visitor, person) = self.clinician()?;
                Ok((secret, Personnel::Chosen(person, &visitor.key)))
            }
        }
    }

    /// Who signed in for the list.
    pub fn working(&self) -> Option<&Arc<Working>> {
        match &self.session.as_ref()?.1.seat {
            Seat::Working(working) => Some(working),
            _ => None,
        }
    }

    /// Ends the session on the server, and at the anchor what was given for it.
    pub fn end_session(&self) {
        let Some((secret, _)) = &self.session else {
            return;
        };
        for tokens in self.state.sessions.end(secret) {
            launch::end(&self.state, &tokens);
        }
    }

    /// Whether the browser says that the page is to stand in another: in a frame, as an image, as what a script fetches.
    pub fn is_embedded(&self) -> bool {
        let dest = self.headers.get("sec-fetch-dest");
        dest.is_some_and(|dest| dest != "document")
    }

    /// A citizen's session. Health personnel has no such pages.
    pub fn citizen(&self) -> Result<Citizen<'_>, Stop> {
        let (_, visitor) = self.signed_in()?;
        let (name, number, tokens) = match &visitor.seat {
            Seat::Citizen(index) => {
                let person = self.state.patients().get(*index).ok_or(Stop::SignedOut)?;
                (Some(person.name.expose()), &person.fnr, None)
            }
            Seat::SignedIn(one) => (one.name.as_deref(), &one.number, Some(&one.tokens)),
            Seat::Practitioner(_) | Seat::Launched(_) | Seat::Working(_) => {
                return Err(Stop::NotFound);
            }
        };
        Ok(Citizen {
            name,
            number,
            key: &visitor.key,
            tokens,
        })
    }

    /// A page that leads on by itself.
    pub fn leads_on(&self, on: String) -> Response {
        let page = Opening {
            shell: self.shell_of_nobody(),
            t: self.t,
            on,
        };
        page::answer(StatusCode::OK, &page)
    }

    /// Reads a form that one of our pages sent, with the value it must carry.
    pub async fn form(&self, body: Body) -> Result<Form, Stop> {
        let form = self.sent(body).await?;
        let value = form.get("form").unwrap_or_default();
        let holds = match &self.session {
            Some((_, visitor)) => visitor.form_holds(value),
            None => self.is_from_start(value),
        };
        holds.then_some(form).ok_or(Stop::CrossSite)
    }

    /// Reads a form of the start page, which is about nobody yet. A browser that came by another site's link brings no cookie along, and is
    /// shown it although it has a session.
    pub async fn start_form(&self, body: Body) -> Result<Form, Stop> {
        let form = self.sent(body).await?;
        let value = form.get("form").unwrap_or_default();
        let of_session = self.session.as_ref();
        let holds = of_session.is_some_and(|(_, visitor)| visitor.form_holds(value))
            || self.is_from_start(value);
        holds.then_some(form).ok_or(Stop::CrossSite)
    }

    fn is_from_start(&self, value: &str) -> bool {
        self.state.sessions.form_holds(value, self.state.now())
    }

    /// What came, if nothing says that another site sent it.
    async fn sent(&self, body: Body) -> Result<Form, Stop> {
        if !crate::cross_site::from_our_pages(&self.headers, &self.state.config.base) {
            return Err(Stop::CrossSite);
        }
        wire::form::read(&self.headers, body)
            .await
            .map_err(|_| Stop::Form)
    }

    /// What stands around a page.
    pub fn shell(&self) -> Shell {
        let form = match &self.session {
            Some((_, visitor)) => visitor.csrf.clone(),
            None => self.state.sessions.form_value(self.state.now()),
        };
        let clinician = self.clinician().ok().map(|(_, _, person)| Who {
            name: person.name.expose().to_owned(),
            role: format!("{}, {}", person.role, self.state.name_of(&person.orgnr)),
        });
        let launched = self.launched().map(|opened| Who {
            name: opened.name.clone(),
            role: self.state.name_of(&opened.organisation).to_owned(),
        });
        let working = self.working().map(|working| Who {
            name: working.name.clone(),
            role: self.state.name_of(&working.organisation).to_owned(),
        });
        let citizen = self.citizen().ok().map(|person| Who {
            name: person.name.unwrap_or_default().to_owned(),
            role: self.t.of("shell.citizen").to_owned(),
        });
        Shell {
            path: self.path.clone(),
            form,
            demo: self.state.config.demo.is_some(),
            citizen: citizen.is_some(),
            list: clinician.is_some() || working.is_some(),
            clinician: clinician.is_some(),
            who: clinician.or(launched).or(working).or(citizen),
        }
    }

    /// What stands around a page that belongs to no session yet, whatever session the browser had.
    pub fn shell_of_nobody(&self) -> Shell {
        Shell {
            path: "/".to_owned(),
            form: self.state.sessions.form_value(self.state.now()),
            demo: self.state.config.demo.is_some(),
            citizen: false,
            list: false,
            clinician: false,
            who: None,
        }
    }

    /// What a launch opened in this session.
    pub fn launched(&self) -> Option<&Opened> {
        match &self.session.as_ref()?.1.seat {
            Seat::Launched(opened) => Some(opened),
            _ => None,
        }
    }

    /// A page that says what happened.
    pub fn stop(&self, stop: &Stop) -> Response {
        let t = self.t;
        let (status, title, said) = match stop {
            Stop::SignedOut => return Redirect::to("/").into_response(),
            Stop::CrossSite => (
                StatusCode::FORBIDDEN,
                t.of("stop.cross_site"),
                t.of("stop.cross_site_said"),
            ),
            Stop::Form => (
                StatusCode::BAD_REQUEST,
                t.of("stop.form"),
                t.of("stop.form_said"),
            ),
            Stop::NotFound => (
                StatusCode::NOT_FOUND,
                t.of("stop.not_found"),
                t.of("stop.not_found_said"),
            ),
            Stop::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                t.of("stop.full"),
                t.of("stop.full_said"),
            ),
            Stop::Over => (
                StatusCode::FORBIDDEN,
                t.of("list.over"),
                t.of("list.over_said"),
            ),
            Stop::Launch(fault) => {
                let (status, said) = match fault {
                    Fault::Stranger => (StatusCode::BAD_REQUEST, t.of("launch.stranger")),
                    Fault::Gone => (StatusCode::BAD_REQUEST, t.of("launch.gone")),
                    Fault::Lost => (StatusCode::BAD_REQUEST, t.of("launch.lost")),
                    Fault::Refused => (StatusCode::FORBIDDEN, t.of("launch.refused")),
                    Fault::ForAnother => (StatusCode::FORBIDDEN, t.of("launch.for_another")),
                    Fault::NotStaff => (StatusCode::FORBIDDEN, t.of("launch.not_staff")),
                    Fault::Anchor => (StatusCode::BAD_GATEWAY, t.of("launch.anchor")),
                    Fault::Full => (StatusCode::SERVICE_UNAVAILABLE, t.of("stop.full_said")),
                };
                (status, t.of("launch.not_opened"), said)
            }
            Stop::LookUp(error) => {
                let status = match error {
                    LookUpError::NotAllowed | LookUpError::Ended => StatusCode::FORBIDDEN,
                    LookUpError::NoSignIn | LookUpError::NoService => StatusCode::NOT_FOUND,
                    _ => StatusCode::BAD_GATEWAY,
                };
                (
                    status,
                    t.of("stop.look_up"),
                    crate::clinician::receipt::fault_word(error, &t),
                )
            }
        };
        let on = if matches!(stop, Stop::Over) {
            ("/sign-in", t.of("alone.go"))
        } else if self.working().is_some() {
            ("/list", t.of("list.title"))
        } else if self.citizen().is_ok() {
            ("/log", t.of("stop.to_log"))
        } else if self.launched().is_some() {
            ("/", t.of("stop.to_patient"))
        } else if self.session.is_some() {
            ("/patients", t.of("stop.to_patients"))
        } else {
            ("/", t.of("stop.to_start"))
        };
        page::answer(
            status,
            &Message {
                shell: self.shell(),
                t,
                title,
                said,
                on,
            },
        )
    }

    /// The answer of a handler, or the page that says why not.
    pub fn ends(&self, result: Result<Response, Stop>) -> Response {
        result.unwrap_or_else(|stop| self.stop(&stop))
    }
}

/// Any address that is not in the table.
pub async fn unknown(Shared(_): Shared<Arc<State>>, visit: Visit) -> Response {
    visit.stop(&Stop::NotFound)
}
