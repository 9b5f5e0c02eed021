//! Whom to ask: the holders that the locator names, the organisations that the user chose, and the caller's own; then
//! their addresses from the catalogue. Nobody else hears of the patient (threats-and-faults.md section 7).

use crate::State;
use crate::deadline::Deadline;
use crate::line;
use crate::question::Whom;
use fhir::ids::OrganisationNumber;
use fhir::resource::ResourceType;
use fhir::time::Instant;
use futures::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use url::Url;
use wire::client::{PeerError, Request};
use wire::contract::catalogue::{Endpoint, EndpointStatus};
use wire::contract::locator::{LOCATE, LOCATE_SCOPE, LocateAnswer, LocateRequest};
use wire::receipt::SourceState;
use wire::visit::Visit;

/// Sources that one look-up asks at most.
const MOST_SOURCES: usize = 64;
/// Largest answer taken from the locator.
const ANSWER_BYTES: usize = 1024 * 1024;
/// Longest code of a refusal that is passed on.
const LONGEST_CODE: usize = 64;
/// How the locator stands in receipts and audit records, where it is no organisation.
pub const LOCATOR: &str = "locator";

/// One service that may hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The responsible organisation's number; [`LOCATOR`] for the locator itself.
    pub organisation: String,
    /// Its name.
    pub name: Option<String>,
    /// Service id; the organisation's number where none is known.
    pub service: String,
    /// Its whole FHIR base, which is also the audience.
    pub base: Option<String>,
    /// To when the locator knows what it holds.
    pub as_of: Option<Instant>,
    /// The kinds of information that the catalogue lists for it; none listed: any.
    pub kinds: Arc<[String]>,
    /// Why it is not asked, if it is not.
    pub unasked: Option<(SourceState, String)>,
}

impl Source {
    /// Whether it offers a type; who a patient is, every service knows.
    pub fn offers(&self, resource: ResourceType) -> bool {
        match resource.information_service() {
            Some(kind) if resource != ResourceType::PATIENT => {
                self.kinds.is_empty() || self.kinds.contains(&kind.to_string())
            }
            _ => true,
        }
    }
}

/// The service of an organisation under whose base an address lies, as a source; `None` where the catalogue has none.
pub async fn locate_address(
    state: &State,
    request: uuid::Uuid,
    organisation: OrganisationNumber,
    url: &str,
    deadline: &Deadline,
) -> Option<Source> {
    let endpoints = state.directory.endpoints(organisation, request, deadline);
    let mut sources = Sources {
        state,
        kind: None,
        found: Vec::new(),
    };
    let endpoints = endpoints.await;
    sources.organisation(organisation, true, Some(&endpoints));
    let within = |source: &Source| match &source.base {
        Some(base) => is_within(url, base),
        // Nobody knows where it is: that is what is to be said.
        None => source.unasked.is_some() && endpoints.is_err(),
    };
    sources.found.into_iter().find(within)
}

/// What the catalogue said about each organisation.
type Addresses = HashMap<OrganisationNumber, Result<Arc<[Endpoint]>, PeerError>>;

/// Finds the sources of a question: the caller's own first, then by organisation; what stands in the locator's way last.
pub async fn locate(
    state: &State,
    visit: &Visit<'_>,
    whom: Whom<'_>,
    deadline: &Deadline,
) -> Vec<Source> {
    let own = visit.caller().organisation.map(|one| state.controller(one));
    let mut known: Vec<OrganisationNumber> = whom.chosen.to_vec();
    known.extend(own.filter(|own| !known.contains(own)));
    let (located, mut addresses) = tokio::join!(
        ask_locator(state, visit, whom, deadline),
        addresses(state, visit, &known, deadline)
    );
    let (answer, hindrance) = match located {
        Ok(answer) => (answer, None),
        Err(hindrance) => (
            LocateAnswer {
                holders: Vec::new(),
                members: Vec::new(),
            },
            Some(hindrance),
        ),
    };
    let more: Vec<OrganisationNumber> = answer
        .holders
        .iter()
        .map(|holder| holder.orgnr)
        .filter(|orgnr| !addresses.contains_key(orgnr))
        .collect();
    addresses.extend(self::addresses(state, visit, &more, deadline).await);

    let mut sources = Sources {
        state,
        kind: whom.resource,
        found: Vec::new(),
    };
    for holder in &answer.holders {
        sources.holder(
            &holder.service,
            holder.orgnr,
            holder.as_of,
            addresses.get(&holder.orgnr),
        );
    }
    for organisation in whom.chosen {
        sources.organisation(*organisation, true, addresses.get(organisation));
    }
    if let Some(own) = own {
        sources.organisation(own, false, addresses.get(&own));
    }
    let own = own.map(|own| own.to_string());
    let mut found = sources.found;
    found.sort_by(|a, b| {
        let order = |one: &Source| own.as_ref() != Some(&one.organisation);
        (order(a), &a.organisation, &a.service).cmp(&(order(b), &b.organisation, &b.service))
    });
    for source in found.iter_mut().skip(MOST_SOURCES) {
        source.unasked.get_or_insert((
            SourceState::NotAsked,
            "too many sources in one look-up".to_owned(),
        ));
    }
    found.extend(hindrance.map(|unasked| Source {
        organisation: LOCATOR.to_owned(),
        name: Some("Locator (pasientinformasjonslokalisator)".to_owned()),
        service: LOCATOR.to_owned(),
        base: state.locator.as_ref().map(|locator| locator.base.clone()),
        as_of: None,
        kinds: Arc::new([]),
        unasked: Some(unasked),
    }));
    found
}

/// Asks the locator in the user's name; the error is what the receipt says about it.
async fn ask_locator(
    state: &State,
    visit: &Visit<'_>,
    whom: Whom<'_>,
    deadline: &Deadline,
) -> Result<LocateAnswer, (SourceState, String)> {
    let not_asked = |words: &str| (SourceState::NotAsked, words.to_owned());
    let locator = state
        .locator
        .as_ref()
        .ok_or_else(|| not_asked("no locator is agreed on"))?;
    let bound = match visit.caller().organisation {
        Some(organisation) => {
            locator.members.contains(&organisation)
                || locator.members.contains(&state.controller(organisation))
        }
        // A citizen belongs to no organisation and reads only what is about herself.
        None => true,
    };
    if !bound {
        return Err(not_asked(
            "the caller's organisation is not bound by the locator's agreement",
        ));
    }
    let circuits = &state.circuits;
    let now = || (state.house.clock)();
    circuits
        .admit(&locator.base, now())
        .map_err(|resting| (SourceState::Failed, line::words(resting)))?;
    let request = LocateRequest {
        kinds: whom.kinds(),
    };
    let request = Request::post_json(format!("{}{LOCATE}", locator.base), &request)
        .map_err(|error| (SourceState::Failed, error.to_string()))?
        .request_id(visit.ids().ours)
        .deadline(state.config.source_deadline)
        .answer_bytes(ANSWER_BYTES);
    let asked = state
        .party
        .send_for(visit.token(), &locator.base, LOCATE_SCOPE, request);
    circuits.asks(&locator.base);
    let answered = deadline
        .or_after(state.config.source_deadline)
        .within(asked)
        .await;
    let told =
        answered
            .unwrap_or(Err(PeerError::Late))
            .and_then(|answer| match answer.status.as_u16() {
                200 => answer.json().map(Ok),
                status => Ok(Err((status, code(&answer.body)))),
            });
    // Whoever was told to wait used up a budget of their own; that is an answer, and rests the locator for nobody.
    let failed = match &told {
        Ok(Err((500.., _))) => Some(true),
        Ok(_) => Some(false),
        Err(error) => line::is_the_peers(error, deadline).then_some(true),
    };
    match failed {
        Some(true) => circuits.failed(&locator.base, now(), line::dice(state)),
        Some(false) => circuits.answered(&locator.base),
        None => {}
    }
    match told {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err((401 | 403, code))) => {
            let why = code.map_or_else(String::new, |code| format!(": {code}"));
            Err((SourceState::Refused, format!("the locator refused{why}")))
        }
        Ok(Err((status, _))) => Err((
            SourceState::Failed,
            format!("the locator answered {status}"),
        )),
        Err(error) => Err(fault(&error)),
    }
}

/// The code of a refusal, for the person who asks; nothing else that the locator writes reaches her.
fn code(body: &[u8]) -> Option<String> {
    let outcome: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = outcome
        .pointer("/issue/0/details/coding/0/code")?
        .as_str()?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    ((1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(plain)).then(|| code.to_owned())
}

/// What a failed call means for the receipt.
pub fn fault(error: &PeerError) -> (SourceState, String) {
    match error {
        PeerError::Late => (SourceState::Late, "no answer in time".to_owned()),
        PeerError::Token("temporarily_unavailable" | "server_error" | "other") => (
            SourceState::Failed,
            "the trust anchor gave no token".to_owned(),
        ),
        PeerError::Token(code) => (
            SourceState::Refused,
            format!("the trust anchor refused a token: {code}"),
        ),
        other => (SourceState::Failed, other.to_string()),
    }
}

async fn addresses(
    state: &State,
    visit: &Visit<'_>,
    organisations: &[OrganisationNumber],
    deadline: &Deadline,
) -> Addresses {
    let ask = |organisation: &OrganisationNumber| {
        let organisation = *organisation;
        async move {
            (
                organisation,
                state
                    .directory
                    .endpoints(organisation, visit.ids().ours, deadline)
                    .await,
            )
        }
    };
    join_all(organisations.iter().map(ask))
        .await
        .into_iter()
        .collect()
}

/// Sources as they are found, each service once.
struct Sources<'a> {
    state: &'a State,
    kind: Option<ResourceType>,
    found: Vec<Source>,
}

impl Sources<'_> {
    /// A service that the locator names.
    fn holder(
        &mut self,
        service: &str,
        organisation: OrganisationNumber,
        as_of: Instant,
        addresses: Option<&Result<Arc<[Endpoint]>, PeerError>>,
    ) {
        let mut source = self.bare(organisation);
        source.service = service.to_owned();
        source.as_of = Some(as_of);
        match addresses {
            Some(Ok(endpoints)) => match endpoints
                .iter()
                .find(|endpoint| endpoint.service == service)
            {
                Some(endpoint) => self.describe(&mut source, endpoint),
                None => source.unasked = Some(no_address()),
            },
            Some(Err(error)) => source.unasked = Some(no_catalogue(error)),
            None => source.unasked = Some(no_address()),
        }
        self.add(source);
    }

    /// Every service of an organisation that offers the kind asked for.
    fn organisation(
        &mut self,
        organisation: OrganisationNumber,
        chosen: bool,
        addresses: Option<&Result<Arc<[Endpoint]>, PeerError>>,
    ) {
        let endpoints = match addresses {
            Some(Ok(endpoints)) => endpoints.clone(),
            Some(Err(error)) => {
                let mut source = self.bare(organisation);
                source.unasked = Some(no_catalogue(error));
                return self.add(source);
            }
            None => Arc::new([]) as Arc<[Endpoint]>,
        };
        if endpoints.is_empty() && chosen {
            let mut source = self.bare(organisation);
            source.unasked = Some(no_address());
            return self.add(source);
        }
        for endpoint in endpoints.iter() {
            let mut source = self.bare(organisation);
            self.describe(&mut source, endpoint);
            if self.kind.is_some_and(|kind| !source.offers(kind)) {
                let words = "it does not offer this kind of information".to_owned();
                source.unasked.get_or_insert((SourceState::NotAsked, words));
            }
            self.add(source);
        }
    }

    fn bare(&self, organisation: OrganisationNumber) -> Source {
        Source {
            organisation: organisation.to_string(),
            name: self
                .state
                .config
                .register
                .name(&organisation)
                .map(str::to_owned),
            service: organisation.to_string(),
            base: None,
            as_of: None,
            kinds: Arc::new([]),
            unasked: None,
        }
    }

    /// Fills in what the catalogue says of a service.
    fn describe(&self, source: &mut Source, endpoint: &Endpoint) {
        source.organisation.clone_from(&endpoint.managing);
        source.service.clone_from(&endpoint.service);
        source.kinds = endpoint.payload_kinds.clone().into();
        source.name = endpoint.managing_name.clone().or_else(|| {
            let number = OrganisationNumber::parse(&endpoint.managing).ok()?;
            self.state.config.register.name(&number).map(str::to_owned)
        });
        match base_of(&endpoint.address) {
            Some(base) => source.base = Some(base),
            None => {
                source.unasked = Some((
                    SourceState::Failed,
                    "the catalogue's address is not usable".to_owned(),
                ))
            }
        }
        if endpoint.status != EndpointStatus::Active {
            let words = format!("the catalogue says: {}", endpoint.status.as_str());
            source.unasked = Some((SourceState::NotAsked, words));
        }
    }

    /// A service reached by two ways (located and chosen) is one source; a way that lets it be asked wins.
    fn add(&mut self, source: Source) {
        let same = |one: &&mut Source| {
            one.service == source.service && one.organisation == source.organisation
        };
        match self.found.iter_mut().find(same) {
            None => self.found.push(source),
            Some(held) => {
                let as_of = held.as_of.max(source.as_of);
                if held.unasked.is_some() && source.unasked.is_none() {
                    *held = source;
                }
                held.as_of = as_of;
            }
        }
    }
}

fn no_address() -> (SourceState, String) {
    (
        SourceState::NotAsked,
        "the catalogue has no address of it".to_owned(),
    )
}

fn no_catalogue(error: &PeerError) -> (SourceState, String) {
    match error {
        PeerError::Late => (
            SourceState::Late,
            "the catalogue gave no answer in time".to_owned(),
        ),
        _ => (
            SourceState::Failed,
            "the catalogue gave no usable answer".to_owned(),
        ),
    }
}

/// A FHIR base as it may be asked: http or https, no user info, query or fragment, without a slash at the end.
fn base_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host()
        && matches!(url.scheme(), "http" | "https");
    plain.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Whether a link leads to somewhere under a base: same origin compared as parsed parts, path below the base's.
pub fn is_within(link: &str, base: &str) -> bool {
    let (Ok(link), Ok(base)) = (Url::parse(link), Url::parse(base)) else {
        return false;
    };
    let below = link
        .path()
        .strip_prefix(base.path().trim_end_matches('/'))
        .is_some_and(|rest| rest.starts_with('/'));
    // An encoded slash or dot may mean a step up to whoever reads the path next.
    let encoded = link.path().to_ascii_lowercase();
    let sly = encoded.contains("%2f") || encoded.contains("%2e") || encoded.contains("%5c");
    link.origin() == base.origin()
        && link.username().is_empty()
        && link.password().is_none()
        && link.fragment().is_none()
        && below
        && !sly
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere_but_below_the_base() {
        let base = "https://a.example/x/fhir";
        for good in [
            "https://a.example/x/fhir/_page/1",
            "https://a.example:443/x/fhir/?_getpages=1",
        ] {
            assert!(is_within(good, base), "{good}");
        }
        for bad in [
            "http://a.example/x/fhir/1",
            "https://b.example/x/fhir/1",
            "https://a.example:444/x/fhir/1",
            "https://a.example/x/fhirx/1",
            "https://a.example/x/fhir",
            "https://a.example/x/fhir/../../y/fhir/1",
            "https://a.example/x/fhir/%2e%2e/%2e%2e/y",
            "https://a.example/x/fhir/..%2fy",
            "https://u@a.example/x/fhir/1",
            "https://a.example@b.example/x/fhir/1",
            "https://a.example/x/fhir/1#f",
            "/x/fhir/1",
            "",
        ] {
            assert!(!is_within(bad, base), "{bad}");
        }
    }

    #[test]
    fn addresses_are_plain() {
        assert_eq!(
            base_of("https://a.example/x/fhir/").as_deref(),
            Some("https://a.example/x/fhir")
        );
        for bad in [
            "ftp://a.example/x",
            "https://u:p@a.example/x",
            "https://a.example/x?y",
            "https://a.example/#x",
            "x",
        ] {
            assert_eq!(base_of(bad), None, "{bad}");
        }
    }
}
