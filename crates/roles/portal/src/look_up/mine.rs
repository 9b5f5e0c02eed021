//! A citizen's own questions at the gateway: who looked, who may look, which wishes hold, and making and ending one. What each holder did
//! comes with every answer (the receipt).

use std::sync::Arc;

use fhir::json::{Json, Limits, Node};
use fhir::systems;
use http::Method;
use serde_json::{Value, json};
use trust::audit::fhir::REQUEST_ID;
use trust::keys::SigningKey;
use trust::wish::PSEUDONYM;
use wire::client::{Answer, Request};
use wire::contract::gateway::{EXPLAIN, FHIR, MAY_LOOK};
use wire::contract::{CANONICAL, Hidden};
use wire::explained;
use wire::may_look::Everywhere;
use wire::receipt::{Receipt, SourceReport};

use super::answer::Page;
use super::{Asker, LookUpError, token};
use crate::State;
use crate::launch::Tokens;

/// Newest events of the log that a page shows.
const EVENTS: &str = "200";
const CONSENT_ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";

/// Who asks about herself.
pub struct Citizen<'a> {
    /// Her name, where it is known.
    pub name: Option<&'a str>,
    /// Her number.
    pub number: &'a Hidden,
    /// The session's key.
    pub key: &'a SigningKey,
    /// What the anchor gave when she signed in; none for one chosen in the demo.
    pub tokens: Option<&'a Arc<Tokens>>,
}

/// A citizen's way to the gateway.
pub struct Mine<'a> {
    asker: Asker<'a>,
    number: &'a Hidden,
}

/// One entry of her log.
pub struct Event {
    /// When, as recorded.
    pub when: String,
    /// Who asked, by name.
    pub name: Option<String>,
    /// The issuer's pseudonym of that person, by which she can be shut out; health personnel alone has one.
    pub pseudonym: Option<String>,
    /// As what that person works, in the words of the authorisation, or its code.
    pub role: Option<String>,
    /// Where that person works.
    pub organisation: Option<String>,
    /// In which part of it.
    pub department: Option<String>,
    /// Who keeps this entry.
    pub holder: Option<String>,
    /// Code of the purpose, such as `TREAT`.
    pub purpose: Option<String>,
    /// The reason in the person's own words.
    pub reason: Option<String>,
    /// Kinds of information that were given, as `IT17`.
    pub kinds: Vec<String>,
    /// What was left out of each resource, by code, as `notes`.
    pub without: Vec<String>,
    /// Whether it was allowed.
    pub allowed: bool,
    /// By which id she asks why; who acts for her has it not.
    pub request: Option<String>,
    /// Whether something was stored rather than looked at.
    pub wrote: bool,
}

/// What she wants closed, as the form says it and as a holder tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Everything.
    All,
    /// One or more kinds, as `IT17`.
    Kinds(Vec<String>),
    /// One organisation, by number.
    Organisation(String),
    /// One person, by pseudonym.
    Person(String),
    /// Sharing with other organisations.
    Sharing,
}

/// A wish that holds.
pub struct Wish {
    /// The gateway's id for it.
    pub id: String,
    /// What it closes; `None` for something that this page has no words for.
    pub closing: Option<Closing>,
    /// Since when.
    pub since: Option<String>,
    /// Organisation numbers of those who keep it.
    pub keepers: Vec<String>,
    /// Was it made elsewhere (Helsenorge), where alone it is taken back?
    pub elsewhere: bool,
}

impl Mine<'_> {
    /// With a token for this session's key.
    ///
    /// # Errors
    /// [`LookUpError`] when there is no token.
    pub async fn of<'a>(state: &'a State, citizen: Citizen<'a>) -> Result<Mine<'a>, LookUpError> {
        let Citizen { number, key, .. } = citizen;
        let token = match citizen.tokens {
            Some(tokens) => {
                let party = state.party.as_ref().ok_or(LookUpError::NoSignIn)?;
                tokens.token(party, state.now()).await?
            }
            None => token::for_citizen(state, number, key).await?.access_token,
        };
        let asker = Asker { state, key, token };
        Ok(Mine { asker, number })
    }

    fn place(&self, path: &str) -> String {
        format!("{}{FHIR}/{path}", self.asker.state.config.gateway)
    }

    /// Her log, newest first.
    ///
    /// # Errors
    /// [`LookUpError`] when there is no answer to show.
    pub async fn log(&self) -> Result<(Vec<Event>, Vec<SourceReport>), LookUpError> {
        let form = [("_count", EVENTS)];
        let request = Request::post_form(self.place("AuditEvent/_search"), form);
        let page = self.asker.page(request).await?;
        let found = page.matches("AuditEvent");
        let events = found.iter().map(|found| event(found.resource)).collect();
        Ok((events, receipt(&page)?))
    }

    /// Who may look, at every holder that told.
    ///
    /// # Errors
    /// As [`Mine::log`].
    pub async fn may_look(&self) -> Result<(Everywhere, Vec<SourceReport>), LookUpError> {
        let url = format!("{}{MAY_LOOK}", self.asker.state.config.gateway);
        let answer = self.asker.answer(Request::post_form(url, [])).await?;
        let unusable = LookUpError::Unusable("not who may look");
        let told = answer.json().map_err(|_| unusable.clone())?;
        let told = Everywhere::read(&told).ok_or(unusable)?;
        let receipt = Receipt::read(&told.receipt).map_err(LookUpError::receipt)?;
        Ok((told, receipt.sources))
    }

    /// Why a request that her log names was decided as it was, by every party that knows of it.
    ///
    /// # Errors
    /// As [`Mine::log`].
    pub async fn why(
        &self,
        request: &str,
    ) -> Result<(Vec<explained::Told>, Vec<SourceReport>), LookUpError> {
        let url = format!("{}{EXPLAIN}", self.asker.state.config.gateway);
        let form = [("request", request)];
        let answer = self.asker.answer(Request::post_form(url, form)).await?;
        let unusable = LookUpError::Unusable("not why something was decided");
        let told = answer.json().map_err(|_| unusable.clone())?;
        let told = explained::Everywhere::read(&told).ok_or(unusable)?;
        let receipt = Receipt::read(&told.receipt).map_err(LookUpError::receipt)?;
        Ok((told.holders, receipt.sources))
    }

    /// The wishes that hold.
    ///
    /// # Errors
    /// As [`Mine::log`].
    pub async fn wishes(&self) -> Result<(Vec<Wish>, Vec<SourceReport>), LookUpError> {
        let request = Request::post_form(self.place("Consent/_search"), []);
        let page = self.asker.page(request).await?;
        let wish = |found: &super::answer::Match<'_>| {
            let text = |name| found.resource.text(name).map(|text| text.into_owned());
            Some(Wish {
                id: text("id")?,
                closing: found.resource.get("provision").and_then(closing),
                since: text("dateTime"),
                keepers: found.routes.clone(),
                elsewhere: found.resource.path(&["meta", "source"]).is_some(),
            })
        };
        let wishes = page.matches("Consent").iter().filter_map(wish).collect();
        Ok((wishes, receipt(&page)?))
    }

    /// Makes a wish everywhere; gives what each holder did.
    ///
    /// # Errors
    /// [`LookUpError`] when nothing is known of what became of it.
    pub async fn make(&self, closing: &Closing) -> Result<Vec<SourceReport>, LookUpError> {
        let body = consent(closing, self.number).to_string();
        let request = Request::post_fhir(self.place("Consent"), body);
        account(&self.asker.send(request).await?)
    }

    /// Takes a wish back everywhere; gives what each holder did.
    ///
    /// # Errors
    /// As [`Mine::make`].
    pub async fn end(&self, id: &str) -> Result<Vec<SourceReport>, LookUpError> {
        let request = Request::new(Method::DELETE, self.place(&format!("Consent/{id}")));
        account(&self.asker.send(request).await?)
    }
}

/// The receipt of an answer that is one, whatever its status: also when nobody did it.
fn account(answer: &Answer) -> Result<Vec<SourceReport>, LookUpError> {
    if matches!(answer.status.as_u16(), 400 | 401 | 403) {
        return Err(LookUpError::NotAllowed);
    }
    let json = Json::parse(answer.body.clone(), Limits::BUNDLE)
        .map_err(|_| LookUpError::Unusable("not strict JSON"))?;
    let receipt = Receipt::parse(json.root().raw()).map_err(LookUpError::receipt)?;
    Ok(receipt.sources)
}

fn receipt(page: &Page) -> Result<Vec<SourceReport>, LookUpError> {
    let mut sources = Vec::new();
    for outcome in page.outcomes() {
        let receipt = Receipt::parse(outcome.raw()).map_err(LookUpError::receipt)?;
        sources.extend(receipt.sources);
    }
    Ok(sources)
}

fn items<'a>(node: Node<'a>, name: &str) -> impl Iterator<Item = Node<'a>> {
    node.get(name).into_iter().flat_map(Node::items)
}

fn event(node: Node<'_>) -> Event {
    let owned = |node: Node<'_>, name: &str| node.text(name).map(|text| text.into_owned());
    let contained =
        |id: &str| items(node, "contained").find(|one| one.text("id").as_deref() == Some(id));
    let named = |id: &str| contained(id).and_then(|one| owned(one, "name"));
    let person = contained("practitioner");
    let pseudonym = person
        .into_iter()
        .flat_map(|one| items(one, "identifier"))
        .find(|one| one.text("system").as_deref() == Some(PSEUDONYM))
        .and_then(|one| owned(one, "value"));
    let purpose = items(node, "purposeOfEvent").next();
    let code = purpose.and_then(|one| items(one, "coding").next());
    Event {
        when: owned(node, "recorded").unwrap_or_default(),
        name: items(node, "agent")
            .next()
            .and_then(|one| owned(one, "name")),
        pseudonym,
        role: person.and_then(role),
        organisation: named("legal-entity").or_else(|| named("organisation")),
        department: named("department"),
        holder: named("observer"),
        purpose: code.and_then(|one| owned(one, "code")),
        reason: purpose.and_then(|one| owned(one, "text")),
        kinds: items(node, "entity")
            .filter_map(|one| owned(one, "name"))
            .collect(),
        without: without(node),
        allowed: node.text("outcome").as_deref() == Some("0"),
        request: request(node),
        wrote: matches!(node.text("action").as_deref(), Some("C" | "U" | "D")),
    }
}

/// What a person is authorised as: in words, or else the code.
fn role(practitioner: Node<'_>) -> Option<String> {
    let code = items(practitioner, "qualification").next()?.get("code")?;
    let coding = items(code, "coding").next()?;
    let text = coding.text("display").or_else(|| coding.text("code"))?;
    Some(text.into_owned())
}

/// The id of the request that an event is about.
fn request(event: Node<'_>) -> Option<String> {
    let mut details = items(event, "entity").flat_map(|entity| items(entity, "detail"));
    let named = details.find(|one| one.text("type").as_deref() == Some(REQUEST_ID))?;
    named.text("valueString").map(|id| id.into_owned())
}

/// What an event says was left out of what was given.
fn without(event: Node<'_>) -> Vec<String> {
    let details = items(event, "entity").flat_map(|entity| items(entity, "detail"));
    let codes = details
        .filter(|one| one.text("type").as_deref() == Some("reduced"))
        .filter_map(|one| one.text("valueString"));
    let mut all = Vec::new();
    for code in codes.flat_map(|text| text.split(' ').map(str::to_owned).collect::<Vec<_>>()) {
        if !all.contains(&code) {
            all.push(code);
        }
    }
    all
}

fn services() -> String {
    format!("{CANONICAL}/CodeSystem/information-service")
}

/// What a provision closes; `None` for one that this page has no words for.
fn closing(provision: Node<'_>) -> Option<Closing> {
    let classes: Vec<Node<'_>> = items(provision, "class").collect();
    let actors: Vec<Node<'_>> = items(provision, "actor").collect();
    let actions = items(provision, "action").count();
    match (classes.as_slice(), actors.as_slice(), actions) {
        ([], [], 0) => Some(Closing::All),
        ([], [], 1) => Some(Closing::Sharing),
        ([], [actor], 0) => {
            let identifier = actor.path(&["reference", "identifier"])?;
            let value = identifier.text("value")?.into_owned();
            match systems::canonical(&identifier.text("system")?) {
                systems::ORGNR => Some(Closing::Organisation(value)),
                PSEUDONYM => Some(Closing::Person(value)),
                _ => None,
            }
        }
        (classes, [], 0) => {
            let codes = classes
                .iter()
                .map(|one| Some(one.text("code")?.into_owned()));
            Some(Closing::Kinds(codes.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// The Consent of a wish (FHIR R4 consent.html), as every holder takes it.
fn consent(closing: &Closing, number: &Hidden) -> Value {
    let code = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let actor = |system: &str, value: &str| {
        json!([{
            "role": code("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
            "reference": {"identifier": {"system": system, "value": value}},
        }])
    };
    let mut provision = json!({"type": "deny"});
    match closing {
        Closing::All => {}
        Closing::Sharing => provision["action"] = json!([code(CONSENT_ACTION, "disclose")]),
        Closing::Kinds(kinds) => {
            let class = |kind: &String| json!({"system": services(), "code": kind});
            provision["class"] = kinds.iter().map(class).collect();
        }
        Closing::Organisation(number) => provision["actor"] = actor(systems::ORGNR, number),
        Closing::Person(pseudonym) => provision["actor"] = actor(PSEUDONYM, pseudonym),
    }
    json!({
        "resourceType": "Consent",
        "status": "active",
        "scope": code("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [code(systems::LOINC, "59284-0")],
        "patient": {"identifier": {"system": systems::FNR, "value": number.expose()}},
        "policyRule": code("http://hl7.no/fhir/CodeSystem/no-basis-legal-formality-or-basis", "PBRL5-3"),
        "provision": provision,
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a test that fails is a test that panics"
    )]
    use super::*;

    #[test]
    fn what_is_sent_reads_back_as_what_was_meant() {
        let patient = testkit::people::Directory::demo().demo_patients().remove(0);
        for meant in [
            Closing::All,
            Closing::Sharing,
            Closing::Kinds(vec!["IT03".into(), "IT17".into()]),
            Closing::Organisation("310001074".into()),
            Closing::Person("p-1".into()),
        ] {
            let text = consent(&meant, &patient.fnr).to_string();
            let json = Json::parse(text.into_bytes(), Limits::RESOURCE).unwrap();
            let provision = json.root().get("provision").unwrap();
            assert_eq!(closing(provision), Some(meant));
        }
        let strange = br#"{"actor":[{"reference":{"identifier":{"system":"x","value":"y"}}}]}"#;
        let json = Json::parse(strange.to_vec(), Limits::RESOURCE).unwrap();
        assert_eq!(closing(json.root()), None);
    }
}
