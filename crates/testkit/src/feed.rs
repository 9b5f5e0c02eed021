//! A record system's feed to its own organisation's sharing service: create, correct, withdraw (issue 2, item 4;
//! CONTRACT section 6). Corrections name the version that they correct (`If-Match`), so nothing is overwritten unseen.

pub mod reconcile;

use crate::bundle::{self, BundleKind, CHUNK, EntryAnswer};
use crate::event::{Action, Event, Route};
use crate::home_system::{Report, SendError, patiently, post_bundle, refused};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use wire::client::{Answer, Party, Request};
use wire::contract::FHIR_JSON;

/// Where a resource is at the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Logical id.
    pub id: String,
    /// Version.
    pub version: String,
}

/// A record system feeding one sharing service.
#[derive(Clone, Debug)]
pub struct Feed {
    party: Party,
    service: String,
    base: String,
}

impl Feed {
    /// `service` is the service's id, `base` its FHIR base.
    pub fn new(party: Party, service: &str, base: &str) -> Self {
        Self {
            party,
            service: service.to_owned(),
            base: base.to_owned(),
        }
    }

    /// The way that it sends.
    pub fn route(&self) -> Route {
        Route::Feed {
            service: self.service.clone(),
            writer: self.party.organisation().to_owned(),
        }
    }

    /// Plays, in order, the events that are this writer's feed to this service; others are passed over. Telling the same
    /// events again changes nothing. `progress` hears how many have been answered, and of how many.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn play(
        &self,
        events: &[Event],
        mut progress: impl FnMut(usize, usize) + Send,
    ) -> Result<Report, SendError> {
        let route = self.route();
        let events: Vec<&Event> = events.iter().filter(|e| e.route == route).collect();
        let changed: HashSet<&str> = events
            .iter()
            .filter(|e| e.action != Action::Create)
            .map(|e| e.key.as_str())
            .collect();
        let mut places: HashMap<&str, Place> = HashMap::new();
        let mut report = Report::default();
        let mut rest = &events[..];
        while let Some(first) = rest.first() {
            // As many creates of one type as stand next to each other, or one change.
            let alike =
                |e: &&&Event| e.action == Action::Create && e.resource_type == first.resource_type;
            let run = rest.iter().take(CHUNK).take_while(alike).count().max(1);
            let (now, later) = rest.split_at(run);
            rest = later;
            if first.action == Action::Create {
                let scope = scope(first.resource_type, 'c');
                let answers = post_bundle(
                    &self.party,
                    &self.base,
                    &scope,
                    BundleKind::Batch,
                    first.resource_type,
                    now,
                )
                .await?;
                for (event, answer) in now.iter().copied().zip(answers) {
                    let conflict = matches!(answer.status, 409 | 410 | 422);
                    if let (true, Some(id)) = (answer.is_accepted(), &answer.id) {
                        let version = answer.version.clone().unwrap_or_else(|| "1".to_owned());
                        places.insert(
                            &event.key,
                            Place {
                                id: id.clone(),
                                version,
                            },
                        );
                    }
                    if answer.is_accepted() {
                        report.accepted += 1;
                    } else if conflict && changed.contains(event.key.as_str()) {
                        report.superseded += 1;
                    } else {
                        report.refused.push((event.key.clone(), answer));
                    }
                }
            } else {
                self.change(first, &mut places, &mut report).await?;
            }
            progress(events.len() - rest.len(), events.len());
        }
        Ok(report)
    }

    /// One correction or withdrawal. Without a place, its create was superseded: the change is there already.
    async fn change<'a>(
        &self,
        event: &'a Event,
        places: &mut HashMap<&'a str, Place>,
        report: &mut Report,
    ) -> Result<(), SendError> {
        let Some(place) = places.get(event.key.as_str()).cloned() else {
            report.superseded += 1;
            return Ok(());
        };
        let answer = match event.action {
            Action::Withdraw => self.withdraw(event.resource_type, &place).await?,
            Action::Create | Action::Correct => {
                self.correct(event.resource_type, &place, &event.body)
                    .await?
            }
        };
        if answer.status.is_success() {
            report.accepted += 1;
            let version = answer
                .headers
                .get(header::ETAG)
                .and_then(|etag| bundle::version_of_etag(etag.to_str().ok()?));
            if let Some(version) = version {
                places.insert(
                    &event.key,
                    Place {
                        id: place.id,
                        version,
                    },
                );
            }
        } else {
            let outcome = serde_json::from_slice(&answer.body).ok();
            let status = answer.status.as_u16();
            report.refused.push((
                event.key.clone(),
                EntryAnswer {
                    status,
                    id: Some(place.id),
                    version: None,
                    outcome,
                },
            ));
        }
        Ok(())
    }

    /// Creates one resource.
    ///
    /// # Errors
    /// [`SendError::Refused`] unless it was taken in, others when no usable answer came.
    pub async fn create(
        &self,
        resource_type: &str,
        body: impl Into<bytes::Bytes>,
    ) -> Result<Place, SendError> {
        let request = Request::post_fhir(format!("{}/{resource_type}", self.base), body);
        let answer = patiently(
            &self.party,
            &self.base,
            &scope(resource_type, 'c'),
            &request,
        )
        .await?;
        if !answer.status.is_success() {
            return Err(refused(&answer));
        }
        let location = answer
            .headers
            .get(header::LOCATION)
            .and_then(|l| l.to_str().ok())
            .unwrap_or_default();
        let (id, version) = bundle::place(location);
        let etag = answer
            .headers
            .get(header::ETAG)
            .and_then(|etag| bundle::version_of_etag(etag.to_str().ok()?));
        match (id, etag.or(version)) {
            (Some(id), Some(version)) => Ok(Place { id, version }),
            _ => Err(SendError::Unaccounted),
        }
    }

    /// Corrects a resource: a new version, if `place` is still the current one. The answer may have any status.
    ///
    /// # Errors
    /// [`SendError::Peer`]; [`SendError::Unaccounted`] for a body that is no JSON object.
    pub async fn correct(
        &self,
        resource_type: &str,
        place: &Place,
        body: &[u8],
    ) -> Result<Answer, SendError> {
        let body = with_id(body, &place.id).ok_or(SendError::Unaccounted)?;
        let mut request = Request::new(Method::PUT, self.instance(resource_type, place))
            .header(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
        request.body = body.into();
        self.conditional(request, &scope(resource_type, 'u'), place)
            .await
    }

    /// Withdraws a resource, if `place` is still the current version. The answer may have any status.
    ///
    /// # Errors
    /// [`SendError::Peer`].
    pub async fn withdraw(&self, resource_type: &str, place: &Place) -> Result<Answer, SendError> {
        let request = Request::new(Method::DELETE, self.instance(resource_type, place));
        self.conditional(request, &scope(resource_type, 'd'), place)
            .await
    }

    /// Reads a resource back by the system's own scope. The answer may have any status.
    ///
    /// # Errors
    /// [`SendError::Peer`].
    pub async fn read(&self, resource_type: &str, id: &str) -> Result<Answer, SendError> {
        let request = Request::get(format!("{}/{resource_type}/{id}", self.base));
        patiently(
            &self.party,
            &self.base,
            &scope(resource_type, 'r'),
            &request,
        )
        .await
    }

    /// Searches by the system's own scope; `form` as in `POST {type}/_search`. The answer may have any status.
    ///
    /// # Errors
    /// [`SendError::Peer`].
    pub async fn search(
        &self,
        resource_type: &str,
        form: &[(&str, &str)],
    ) -> Result<Answer, SendError> {
        let url = format!("{}/{resource_type}/_search", self.base);
        let request = Request::post_form(url, form.iter().copied());
        patiently(
            &self.party,
            &self.base,
            &format!("system/{resource_type}.rs"),
            &request,
        )
        .await
    }

    fn instance(&self, resource_type: &str, place: &Place) -> String {
        format!("{}/{resource_type}/{}", self.base, place.id)
    }

    async fn conditional(
        &self,
        request: Request,
        scope: &str,
        place: &Place,
    ) -> Result<Answer, SendError> {
        let etag = HeaderValue::try_from(format!("W/\"{}\"", place.version))
            .map_err(|_| SendError::Unaccounted)?;
        patiently(
            &self.party,
            &self.base,
            scope,
            &request.header(header::IF_MATCH, etag),
        )
        .await
    }
}

/// SMART v2 scope of one interaction on one type.
fn scope(resource_type: &str, interaction: char) -> String {
    format!("system/{resource_type}.{interaction}")
}

/// The resource with its logical id after `resourceType`; everything else as it was.
fn with_id(body: &[u8], id: &str) -> Option<Vec<u8>> {
    let Value::Object(mut resource) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    resource.shift_insert(1.min(resource.len()), "id".to_owned(), Value::from(id));
    serde_json::to_vec(&Value::Object(resource)).ok()
}

/// Whether an answer says that something is gone or was never there.
pub fn is_absent(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

#[cfg(test)]
mod tests;
