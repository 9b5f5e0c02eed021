//! Every route of every role, by every kind of caller. A route without a row here fails; what each caller gets is a matrix
//! that reviewers read (STYLE.md, Tests: access).

use crate::kit::lookup::{Screen, person};
use crate::kit::region;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use testkit::clients::Caller;
use testkit::people::Directory;
use testkit::region::Region;
use wire::client::{Party, Request, Token};
use wire::contract::alert::TELL_SCOPE;
use wire::contract::demo::{ClientUse, Purpose};
use wire::contract::hub::NOTE_SCOPE;
use wire::contract::locator::{LOCATE_SCOPE, REGISTER_SCOPE};
use wire::contract::operate::OPERATE;
use wire::contract::statement::PUBLISH_SCOPE;
use wire::route::{Access, RouteRow};

/// Every role with its table.
const ROLES: [(&str, &[RouteRow]); 7] = [
    ("anchor", anchor::ROUTES),
    ("catalogue", catalogue::ROUTES),
    ("locator", locator::ROUTES),
    ("hub", hub::ROUTES),
    ("sharing", sharing::ROUTES),
    ("gateway", gateway::ROUTES),
    ("portal", portal::ROUTES),
];

/// What is sent along.
#[derive(Clone, Copy)]
enum Sent {
    Nothing,
    Form(&'static str),
    Json(&'static str),
    Fhir(&'static str),
    Patch(&'static str),
    Jose(&'static str),
}
use Sent::{Fhir, Form, Jose, Json, Nothing, Patch};

/// How a route is knocked at: role, method, path as in the role's table, body. Whoever gets in changes nothing: what is
/// asked for is not there ([`address_of`]), what is sent is empty.
const KNOCKS: &[(&str, &str, &str, Sent)] = &[
    (
        "anchor",
        "GET",
        "/.well-known/openid-configuration",
        Nothing,
    ),
    ("anchor", "GET", "/jwks", Nothing),
    (
        "anchor",
        "POST",
        "/token",
        Form("grant_type=client_credentials"),
    ),
    ("anchor", "POST", "/par", Form("response_type=code")),
    ("anchor", "POST", "/launch", Form("app=delt-portal")),
    ("anchor", "GET", "/authorize", Nothing),
    ("anchor", "POST", "/revoke", Form("token=x")),
    ("anchor", "GET", "/sign-in", Nothing),
    ("anchor", "POST", "/sign-in", Form("person=0")),
    ("anchor", "GET", "/sign-in/{provider}", Nothing),
    ("anchor", "GET", "/sign-in/{provider}/callback", Nothing),
    ("anchor", "POST", "/sign-in/patient", Form("number=1")),
    ("anchor", "POST", "/sign-in/for", Form("for=own")),
    ("anchor", "POST", "/sign-out", Form("")),
    ("anchor", "GET", "/end-session", Nothing),
    ("anchor", "POST", "/end-session", Form("")),
    ("anchor", "GET", "/signed-out", Nothing),
    ("anchor", "GET", "/sign-in.css", Nothing),
    ("anchor", "GET", "/participants", Nothing),
    ("anchor", "GET", "/agreements", Nothing),
    ("anchor", "GET", "/openapi.json", Nothing),
    ("anchor", "POST", "/operate/suspend", Json("{}")),
    ("anchor", "POST", "/operate/resume", Json("{}")),
    ("anchor", "POST", "/operate/end", Json("{}")),
    ("anchor", "POST", "/operate/rotate-key", Json("{}")),
    ("anchor", "POST", "/operate/remove-key", Json("{}")),
    ("anchor", "GET", "/operate/changes", Nothing),
    ("anchor", "POST", "/operate/register", Json("{}")),
    ("anchor", "GET", "/operate/registered", Nothing),
    ("anchor", "POST", "/audit-heads", Jose("e30.e30.AA")),
    ("anchor", "POST", "/audit-heads/list", Jose("e30.e30.AA")),
    ("anchor", "POST", "/test-token", Json("{}")),
    ("catalogue", "GET", "/fhir/metadata", Nothing),
    ("catalogue", "GET", "/fhir/{type}", Nothing),
    ("catalogue", "POST", "/fhir/{type}/_search", Form("")),
    ("catalogue", "GET", "/fhir/{type}/{id}", Nothing),
    ("catalogue", "GET", "/fhir/_history", Nothing),
    ("catalogue", "GET", "/fhir/{type}/_history", Nothing),
    ("catalogue", "GET", "/fhir/{type}/{id}/_history", Nothing),
    (
        "catalogue",
        "GET",
        "/fhir/{type}/{id}/_history/{vid}",
        Nothing,
    ),
    (
        "catalogue",
        "POST",
        "/fhir/$publish",
        Json(r#"{"statements":["x"]}"#),
    ),
    (
        "locator",
        "POST",
        "/register",
        Json(r#"{"holder":"nobody","high_water":0}"#),
    ),
    (
        "locator",
        "POST",
        "/compare",
        Json(r#"{"holder":"nobody"}"#),
    ),
    ("locator", "POST", "/repair", Json(r#"{"holder":"nobody"}"#)),
    ("locator", "POST", "/locate", Json(r#"{"kinds":["IT17"]}"#)),
    ("locator", "GET", "/openapi.json", Nothing),
    ("hub", "GET", "/fhir/metadata", Nothing),
    ("hub", "GET", "/openapi.json", Nothing),
    ("hub", "POST", "/fhir", Fhir("{}")),
    ("hub", "POST", "/fhir/Observation", Fhir("{}")),
    ("hub", "POST", "/fhir/QuestionnaireResponse", Fhir("{}")),
    ("hub", "GET", "/assignments", Nothing),
    ("hub", "POST", "/assignments", Json("{}")),
    ("hub", "POST", "/assignments/end", Json("{}")),
    ("hub", "GET", "/deliveries", Nothing),
    ("hub", "GET", "/deliveries/{key}", Nothing),
    ("hub", "GET", "/quarantine", Nothing),
    ("hub", "POST", "/quarantine/{id}/replay", Nothing),
    ("hub", "GET", "/dead-letters", Nothing),
    ("hub", "POST", "/deliveries/{key}/replay", Nothing),
    ("sharing", "GET", "/metadata", Nothing),
    (
        "sharing",
        "GET",
        "/.well-known/smart-configuration",
        Nothing,
    ),
    ("sharing", "POST", "/", Fhir("{}")),
    ("sharing", "GET", "/", Nothing),
    ("sharing", "POST", "/_search", Form("_count=1")),
    ("sharing", "POST", "/$replace-series", Fhir("{}")),
    ("sharing", "POST", "/$reconcile", Fhir("{}")),
    ("sharing", "GET", "/$copy-state", Nothing),
    ("sharing", "POST", "/$copy-state", Form("")),
    ("sharing", "POST", "/$purge", Fhir("{}")),
    ("sharing", "POST", "/$explain-access", Fhir("{}")),
    ("sharing", "POST", "/$may-look", Form("")),
    ("sharing", "GET", "/$reviews", Nothing),
    ("sharing", "POST", "/$reviews", Fhir("{}")),
    ("sharing", "POST", "/Consent", Fhir("{}")),
    ("sharing", "POST", "/Consent/_search", Form("")),
    ("sharing", "DELETE", "/Consent/{id}", Nothing),
    ("sharing", "POST", "/Subscription", Fhir("{}")),
    ("sharing", "GET", "/Subscription", Nothing),
    ("sharing", "GET", "/Subscription/{id}", Nothing),
    ("sharing", "PUT", "/Subscription/{id}", Fhir("{}")),
    ("sharing", "DELETE", "/Subscription/{id}", Nothing),
    ("sharing", "GET", "/Subscription/{id}/$status", Nothing),
    ("sharing", "POST", "/Subscription/{id}/$status", Nothing),
    ("sharing", "GET", "/Subscription/{id}/$events", Nothing),
    ("sharing", "POST", "/Subscription/{id}/$events", Nothing),
    ("sharing", "POST", "/{type}", Fhir("{}")),
    ("sharing", "GET", "/{type}", Nothing),
    ("sharing", "POST", "/{type}/_search", Form("_count=1")),
    ("sharing", "POST", "/{type}/$validate", Fhir("{}")),
    ("sharing", "POST", "/{type}/{id}/$validate", Fhir("{}")),
    ("sharing", "POST", "/AuditEvent/_search", Form("")),
    ("sharing", "GET", "/_page/{sealed}", Nothing),
    ("sharing", "GET", "/{type}/{id}", Nothing),
    ("sharing", "GET", "/{type}/_history", Nothing),
    ("sharing", "GET", "/{type}/{id}/_history", Nothing),
    ("sharing", "GET", "/{type}/{id}/_history/{vid}", Nothing),
    ("sharing", "POST", "/Observation/$lastn", Form("")),
    ("sharing", "POST", "/Observation/$stats", Form("")),
    ("sharing", "POST", "/Task/{id}/$own", Nothing),
    ("sharing", "POST", "/Task/{id}/$acknowledge", Nothing),
    ("sharing", "POST", "/Task/{id}/$note", Nothing),
    ("sharing", "POST", "/Task/{id}/$resolve", Nothing),
    ("sharing", "POST", "/Task/{id}/$join", Nothing),
    ("sharing", "POST", "/Task/{id}/$hand-over", Nothing),
    ("sharing", "POST", "/Task/{id}/$accept", Nothing),
    ("sharing", "POST", "/Task/{id}/$decline", Nothing),
    ("sharing", "POST", "/Task/$work-list", Form("")),
    ("sharing", "POST", "/Task/$tell", Json("{}")),
    ("sharing", "POST", "/Patient/{id}/$everything", Form("")),
    ("sharing", "GET", "/Patient/{id}/$everything", Nothing),
    ("sharing", "GET", "/{type}/{id}/{of}", Nothing),
    ("sharing", "POST", "/{type}/{id}/{of}/_search", Form("")),
    ("sharing", "PUT", "/{type}", Fhir("{}")),
    ("sharing", "PATCH", "/{type}", Patch("[]")),
    ("sharing", "DELETE", "/{type}", Nothing),
    ("sharing", "PUT", "/{type}/{id}", Fhir("{}")),
    ("sharing", "PATCH", "/{type}/{id}", Patch("[]")),
    ("sharing", "DELETE", "/{type}/{id}", Nothing),
    ("gateway", "GET", "/fhir/metadata", Nothing),
    (
        "gateway",
        "GET",
        "/fhir/.well-known/smart-configuration",
        Nothing,
    ),
    ("gateway", "POST", "/fhir/{type}/_search", Form("_count=1")),
    ("gateway", "POST", "/fhir/AuditEvent/_search", Form("")),
    ("gateway", "POST", "/fhir/Consent", Fhir("{}")),
    ("gateway", "POST", "/fhir/Consent/_search", Form("")),
    ("gateway", "DELETE", "/fhir/Consent/{id}", Nothing),
    ("gateway", "POST", "/fhir/$may-look", Form("")),
    ("gateway", "POST", "/fhir/$explain-access", Form("")),
    ("gateway", "GET", "/fhir/_page/{sealed}", Nothing),
    ("gateway", "POST", "/fhir/Observation/$lastn", Form("max=1")),
    (
        "gateway",
        "POST",
        "/fhir/Observation/$stats",
        Form("code=x&statistic=count"),
    ),
    (
        "gateway",
        "POST",
        "/fhir/Patient/$everything",
        Form("_count=1"),
    ),
    ("gateway", "GET", "/fhir/_everything/{sealed}", Nothing),
    ("gateway", "POST", "/fhir/$read", Form("url=x")),
    ("gateway", "POST", "/fhir/$file", Form("receipt=x")),
    ("gateway", "GET", "/fhir/_changes/{sealed}", Nothing),
    ("gateway", "GET", "/fhir/OperationOutcome/{id}", Nothing),
    ("gateway", "GET", "/jwks", Nothing),
    ("gateway", "GET", "/fhir/{type}", Nothing),
    ("portal", "GET", "/", Nothing),
    ("portal", "GET", "/launch", Nothing),
    ("portal", "GET", "/callback", Nothing),
    ("portal", "GET", "/sign-in", Nothing),
    ("portal", "POST", "/sign-in", Form("")),
    ("portal", "POST", "/sign-in/list", Form("")),
    ("portal", "POST", "/sign-in/citizen", Form("")),
    ("portal", "POST", "/session", Form("")),
    ("portal", "POST", "/session/end", Form("")),
    ("portal", "GET", "/patients", Nothing),
    ("portal", "POST", "/views", Form("")),
    ("portal", "GET", "/views/{id}", Nothing),
    ("portal", "GET", "/list", Nothing),
    ("portal", "GET", "/list/rows", Nothing),
    ("portal", "GET", "/views/{id}/alerts", Nothing),
    ("portal", "POST", "/views/{id}/alerts", Form("")),
    ("portal", "GET", "/log", Nothing),
    ("portal", "POST", "/why", Form("")),
    ("portal", "GET", "/may-look", Nothing),
    ("portal", "GET", "/blocks", Nothing),
    ("portal", "POST", "/blocks", Form("")),
    ("portal", "POST", "/blocks/end", Form("")),
    ("portal", "GET", "/offers", Nothing),
    ("portal", "POST", "/language", Form("")),
    ("portal", "GET", "/accessibility", Nothing),
    ("portal", "GET", "/assets/{name}", Nothing),
];

/// A path of a table with something for its names that is not there.
fn address_of(role: &str, base: &str, path: &str) -> String {
    let resource_type = if role == "catalogue" {
        "Endpoint"
    } else {
        "Observation"
    };
    // Only a patient has a compartment.
    let path = path.replace("{type}/{id}/{of}", "Patient/{id}/Observation");
    let path = path
        .replace("{type}", resource_type)
        .replace("{vid}", "1")
        .replace("{sealed}", "nonsense")
        .replace("{provider}", "nobody")
        .replace("{name}", "nothing.css");
    let path = path.replace("{id}", NOT_THERE).replace("{key}", NOT_THERE);
    assert!(
        !path.contains('{'),
        "{path}: a name that this test does not know"
    );
    // A FHIR base is knocked at without a slash.
    format!(
        "{base}{}",
        if path == "/" && role == "sharing" {
            ""
        } else {
            &path
        }
    )
}

const NOT_THERE: &str = "3b6f6c53-6ad8-4b53-93d1-0a5f6f3f0c11";

/// Kinds of caller, in the order of the matrix: `elsewhere` has a token for another audience, `off-scope` one for another
/// resource type; a practitioner comes once for each purpose; `representative` acts for the patient by what she chose.
/// `service` is another organisation's sharing service as itself; `gateway` comes as itself, `gateway-for` with a token
/// exchanged for its user's (CONTRACT section 4); `operator` keeps the anchor. A system that can get no token for a role
/// comes with the one it has.
const CALLERS: [&str; 16] = [
    "nobody",
    "elsewhere",
    "off-scope",
    "TREAT",
    "ETREAT",
    "COC",
    "BTG",
    "citizen",
    "representative",
    "home-system",
    "own-epj",
    "other-epj",
    "service",
    "gateway",
    "gateway-for",
    "operator",
];

/// What a practitioner may state as purpose.
const PURPOSES: [(&str, Purpose); 4] = [
    ("TREAT", Purpose::Treat),
    ("ETREAT", Purpose::Etreat),
    ("COC", Purpose::Coc),
    ("BTG", Purpose::Btg),
];

#[test]
fn every_route_is_knocked_at() {
    let tables = ROLES
        .iter()
        .flat_map(|(role, table)| table.iter().map(|row| (*role, row.method, row.path)));
    let routes: BTreeSet<(&str, &str, &str)> = tables.collect();
    let knocks: BTreeSet<(&str, &str, &str)> = KNOCKS.iter().map(|k| (k.0, k.1, k.2)).collect();
    let forgotten: Vec<_> = routes.difference(&knocks).collect();
    assert!(
        forgotten.is_empty(),
        "routes without an access test: add them to KNOCKS: {forgotten:#?}"
    );
    let gone: Vec<_> = knocks.difference(&routes).collect();
    assert!(gone.is_empty(), "in KNOCKS, but no routes: {gone:#?}");
}

#[tokio::test]
async fn every_route_by_every_kind_of_caller_for_every_purpose() {
    let region = region::shared().await;
    let order: Vec<_> = trust::rules::LIST.iter().map(|rule| rule.name).collect();
    let mut matrix = format!("order: {}\n\n", order.join(" > "));
    matrix.push_str(&CALLERS.join(" "));
    for (role, table) in ROLES {
        let (base, audience) = address(region, role);
        let callers = Callers::of(region, role, &audience).await;
        // Routes that answer all callers alike stand together.
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        for (_, method, path, sent) in KNOCKS.iter().filter(|k| k.0 == role) {
            let route = table
                .iter()
                .find(|row| (row.method, row.path) == (*method, *path));
            let Some(route) = route else { continue };
            let mut row = String::new();
            for caller in CALLERS {
                let request = request(method, address_of(role, &base, path), *sent);
                let status = callers.status(caller, request).await;
                write!(row, "{status:<width$} ", width = caller.len()).unwrap();
                let shut = match route.access {
                    // Without a token that is good here nobody gets past the door.
                    Access::Token { .. } if matches!(caller, "nobody" | "elsewhere") => {
                        status == 401
                    }
                    // Who keeps the anchor opens nothing else.
                    Access::Token { .. } if caller == "operator" => {
                        (status == 401) == (role != "anchor")
                    }
                    // No token replaces a signature.
                    Access::Signed => status == 401,
                    // No token replaces a session.
                    Access::Session => status != 200,
                    _ => true,
                };
                assert!(shut, "{role} {method} {path} by {caller}: {status}");
                assert!(status < 500, "{role} {method} {path} by {caller}: {status}");
            }
            let place = format!("{method} {path}");
            match rows.iter_mut().find(|(known, _)| *known == row) {
                Some((_, places)) => places.push(place),
                None => rows.push((row, vec![place])),
            }
        }
        write!(matrix, "\n\n{role}").unwrap();
        for (row, places) in rows {
            write!(matrix, "\n{}\n  {}", row.trim_end(), places.join("\n  ")).unwrap();
        }
    }
    insta::assert_snapshot!("access", matrix);
}

fn request(method: &str, url: String, sent: Sent) -> Request {
    let mut request = match sent {
        Nothing => Request::get(url),
        Form(body) => Request::post(url, "application/x-www-form-urlencoded", body),
        Json(body) => Request::post(url, "application/json", body),
        Fhir(body) => Request::post_fhir(url, body),
        Jose(body) => Request::post(url, "application/jose", body),
        Patch(body) => Request::post(url, "application/json-patch+json", body),
    };
    request.method = method.parse().unwrap();
    request
}

/// Where a role is and what its audience is; for roles without tokens the gateway's.
fn address(region: &Region, role: &str) -> (String, String) {
    let ready = &region.ready;
    let fhir = |base: &str| (base.to_owned(), format!("{base}/fhir"));
    match role {
        "catalogue" => fhir(&ready.catalogue),
        "locator" => (ready.locator.clone(), ready.locator.clone()),
        "hub" => fhir(&ready.hub),
        "gateway" => fhir(&ready.gateway),
        "sharing" => {
            let service = region.service("fjellvik").unwrap().fhir.clone();
            (service.clone(), service)
        }
        "anchor" => (ready.issuer.clone(), region.gateway()),
        _ => (ready.portal.clone(), region.gateway()),
    }
}

/// One caller of each kind, with tokens for one audience as far as each can get them.
struct Callers {
    nobody: Caller,
    elsewhere: Screen,
    off_scope: Screen,
    /// For each purpose.
    practitioners: Vec<(&'static str, Screen)>,
    citizen: Screen,
    representative: Screen,
    /// For each kind of system.
    systems: Vec<(&'static str, (Party, Token))>,
}

impl Callers {
    async fn of(region: &Region, role: &str, audience: &str) -> Callers {
        let (patient, physician) = (region.story_patient().unwrap(), region.physician().unwrap());
        let away = [format!("{}/fhir", region.ready.catalogue), region.gateway()]
            .into_iter()
            .find(|one| one != audience);
        let mut practitioners = Vec::new();
        for (code, purpose) in PURPOSES {
            let screen = Screen::with(region, audience, |caller| {
                let mut request = caller.as_practitioner(physician, patient, audience);
                request.purpose = purpose;
                request.reason = Some("unconscious".to_owned());
                request
            });
            practitioners.push((code, screen.await));
        }
        Callers {
            nobody: Caller::new().unwrap(),
            elsewhere: Screen::of(region, physician, patient, &away.unwrap()).await,
            off_scope: Screen::with(region, audience, |caller| {
                let mut request = caller.as_practitioner(physician, patient, audience);
                request.scope = "user/Coverage.rs".to_owned();
                request
            })
            .await,
            practitioners,
            citizen: Screen::citizen(region, patient, audience).await,
            representative: Screen::with(region, audience, |caller| {
                let mut request = caller.as_citizen(patient, audience);
                request.fnr = Directory::demo().relatives[0].number.as_str().into();
                request
            })
            .await,
            systems: systems(region, role, audience).await,
        }
    }

    async fn status(&self, caller: &str, request: Request) -> u16 {
        let status = match caller {
            "nobody" => {
                self.nobody
                    .send_bare(request)
                    .await
                    .expect("an answer")
                    .status
            }
            "elsewhere" => self.elsewhere.send(request).await.status,
            "off-scope" => self.off_scope.send(request).await.status,
            "citizen" => self.citizen.send(request).await.status,
            "representative" => self.representative.send(request).await.status,
            other => {
                let system = self.systems.iter().find(|(one, _)| *one == other);
                let screen = self.practitioners.iter().find(|(one, _)| *one == other);
                match (system, screen) {
                    (Some((_, (party, token))), _) => {
                        let answer = party.send_as(token, request).await;
                        answer.expect("an answer").status
                    }
                    (None, screen) => screen.expect(other).1.send(request).await.status,
                }
            }
        };
        status.as_u16()
    }
}

/// The systems, each with a token for the audience; whoever gets none, with the one for its own.
async fn systems(
    region: &Region,
    role: &str,
    audience: &str,
) -> Vec<(&'static str, (Party, Token))> {
    let base = |id: &str| region.service(id).unwrap().fhir.clone();
    let (fjellvik, hub) = (base("fjellvik"), region.hub());
    let catalogue = format!("{}/fhir", region.ready.catalogue);
    let party = |use_, orgnr: &str| region.party(use_, Some(orgnr)).unwrap();
    let owner = &region.service("fjellvik").unwrap().orgnr;
    let (home, epj) = (ClientUse::HomeSystem, ClientUse::RecordSystem);
    let kept = |id: &str| {
        let file = region.data().join(format!("keys/{id}.json"));
        region.party_from(&file).unwrap()
    };
    // What a service has business with, party by party.
    let business = match role {
        "catalogue" => PUBLISH_SCOPE,
        "hub" => NOTE_SCOPE,
        "sharing" => TELL_SCOPE,
        _ => REGISTER_SCOPE,
    };
    let operate = format!("{}{OPERATE}", region.ready.issuer);
    let own = [
        (
            "home-system",
            party(home, owner),
            "system/Observation.c",
            hub.as_str(),
        ),
        ("own-epj", party(epj, owner), "system/*.cruds", &fjellvik),
        (
            "other-epj",
            party(epj, "310001635"),
            "system/*.cruds",
            &base("fjordregionen"),
        ),
        (
            "service",
            kept("deling-proveheim"),
            business,
            &region.ready.locator,
        ),
        (
            "gateway",
            kept("delt-gateway"),
            "system/Endpoint.rs",
            &catalogue,
        ),
        (
            "operator",
            kept("delt-operator"),
            "system/Change.cr",
            &operate,
        ),
    ];
    let mut systems = Vec::new();
    for (name, party, scope, own) in own {
        // The operation is an audience of its own under the anchor's address.
        let audience = if role == "anchor" && name == "operator" {
            own
        } else {
            audience
        };
        let token = match party.token(audience, scope).await {
            Ok(token) => token,
            Err(_) => own_token(&party, own, name, scope).await,
        };
        systems.push((name, (party, token)));
    }
    let (gateway, user) = (kept("delt-gateway"), user_token(region).await);
    let scope = if role == "locator" {
        LOCATE_SCOPE
    } else {
        "user/*.rs"
    };
    let token = match gateway.exchange(&user, audience, scope).await {
        Ok(token) => token,
        Err(_) => gateway
            .exchange(&user, &fjellvik, "user/*.rs")
            .await
            .expect("a token"),
    };
    systems.push(("gateway-for", (gateway, token)));
    systems
}

async fn own_token(party: &Party, own: &str, name: &str, scope: &str) -> Token {
    let scope = if name == "service" {
        REGISTER_SCOPE
    } else {
        scope
    };
    party
        .token(own, scope)
        .await
        .expect("a token for its own audience")
}

/// The physician's token at the gateway.
async fn user_token(region: &Region) -> String {
    let (patient, physician) = (region.story_patient().unwrap(), region.physician().unwrap());
    let caller = region.caller().unwrap();
    let request = caller.as_practitioner(physician, patient, &region.gateway());
    let token = caller.test_token(&region.ready.issuer, &request).await;
    token.expect("a test token")
}

#[tokio::test]
async fn a_person_number_in_a_url_is_refused_and_points_to_search() {
    let region = region::shared().await;
    let patient = region.story_patient().unwrap();
    for (audience, kind) in [
        (region.service("fjellvik").unwrap().fhir.clone(), "service"),
        (region.gateway(), "gateway"),
    ] {
        let screen = Screen::of(region, region.physician().unwrap(), patient, &audience).await;
        let reply = screen
            .get(&format!(
                "{audience}/Observation?patient.identifier={}",
                person(patient)
            ))
            .await;
        assert_eq!(reply.status, 400, "{kind}");
        assert!(
            reply.json.to_string().contains("_search"),
            "{kind}: {}",
            reply.json
        );
        assert!(
            !reply.json.to_string().contains(patient.fnr.expose()),
            "{kind} repeats the number"
        );
    }
}
