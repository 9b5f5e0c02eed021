//! `$validate` (FHIR R4 resource-operation-validate.html): what would be found if this were written, and nothing is.
//!
//! The rules are those of create and update, from `fhir::check`: element tables, required bindings, measurement kinds, and the
//! profiles that the resource itself claims in `meta.profile` or this service demands. The answer is 200 with every finding, or one
//! `information` when there is none.

use crate::State;
use crate::api::writable;
use crate::feed;
use axum::extract::{self, Path, Request};
use axum::response::Response;
use fhir::check::profile::{self, Profile};
use fhir::json::{Json, Limits, Node};
use fhir::operation::strangers;
use fhir::outcome::{Issue, IssueCode, OperationOutcome, Severity};
use fhir::resource::ResourceType;
use http::StatusCode;
use std::sync::Arc;
use trust::{Ask, Interaction};
use wire::outcome::{Problem, fhir_response};
use wire::request_id::RequestIds;
use wire::visit::Visit;

/// `POST {base}/{type}/$validate`.
pub async fn of_type(
    extract::State(state): extract::State<Arc<State>>,
    Path(type_name): Path<String>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    answered(&state, &type_name, None, ids, request).await
}

/// `POST {base}/{type}/{id}/$validate`: as an update of that resource. Whether it exists is not told.
pub async fn of_instance(
    extract::State(state): extract::State<Arc<State>>,
    Path((type_name, id)): Path<(String, String)>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    answered(&state, &type_name, Some(&id), ids, request).await
}

async fn answered(
    state: &State,
    type_name: &str,
    id: Option<&str>,
    ids: RequestIds,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let work = async |visit: &mut Visit<'_>| {
        let expected = writable(state, type_name)?;
        let permit = visit.permit(&Ask::of(Interaction::Validate, expected))?;
        let bytes = wire::body::fhir_json(&parts.headers, body, Limits::RESOURCE.bytes).await?;
        let json = Json::parse(bytes, Limits::RESOURCE)?;
        let asked = Asked::read(json.root(), expected, id)?;
        let issues = findings(state, &json, &asked, expected);
        visit.write(visit.record().permitted(&permit)).await?;
        let outcome = OperationOutcome::new(if issues.is_empty() {
            let words = "nothing was found: it would be taken as it is";
            vec![Issue::new(
                Severity::Information,
                IssueCode::Informational,
                "",
                words,
            )]
        } else {
            issues
        });
        Ok(fhir_response(StatusCode::OK, outcome.to_json()))
    };
    let desk = &state.desk;
    desk.serve(&parts, ids, Interaction::Validate, work).await
}

/// What was asked.
struct Asked<'a> {
    resource: Node<'a>,
    /// The id that an update must carry.
    id: Option<Option<String>>,
    /// The profile to look by besides.
    profile: Option<&'static Profile>,
}

impl<'a> Asked<'a> {
    /// Reads the body: the resource itself, or Parameters around it.
    fn read(
        root: Node<'a>,
        expected: ResourceType,
        id: Option<&str>,
    ) -> Result<Asked<'a>, Problem> {
        let on_instance = id.map(|id| Some(id.to_owned()));
        if root.text("resourceType").as_deref() != Some("Parameters") {
            return Ok(Asked {
                resource: root,
                id: on_instance,
                profile: None,
            });
        }
        let mut issues = strangers(root, &["resourceType", "id", "meta", "parameter"]);
        let mut resource = None;
        let mut asked_id = on_instance;
        let mut asked_profile = None;
        let mut seen: Vec<String> = Vec::new();
        for (i, parameter) in root
            .get("parameter")
            .into_iter()
            .flat_map(Node::items)
            .enumerate()
        {
            let place = format!("Parameters.parameter[{i}]");
            let name = parameter.text("name").unwrap_or_default().into_owned();
            let value = |member: &str| parameter.text(member).map(|text| text.into_owned());
            let member = match name.as_str() {
                "resource" => "resource",
                "mode" => "valueCode",
                "profile" if parameter.get("valueCanonical").is_some() => "valueCanonical",
                "profile" => "valueUri",
                _ => {
                    let words =
                        "this parameter is not supported; supported: resource, mode, profile";
                    issues.push(Issue::error(IssueCode::NotSupported, place, words));
                    continue;
                }
            };
            issues.extend(strangers(parameter, &["name", "id", member]));
            if seen.contains(&name) {
                let words = "the parameter is there twice";
                issues.push(Issue::error(IssueCode::Value, place, words));
                continue;
            }
            let fault = match (name.as_str(), value(member)) {
                ("resource", _) => {
                    resource = parameter.get("resource");
                    resource.is_none().then_some((
                        IssueCode::Required,
                        "the resource to look over was expected".to_owned(),
                    ))
                }
                ("mode", Some(mode)) if mode == "create" => None,
                ("mode", Some(mode)) if mode == "update" => {
                    asked_id = asked_id.or(Some(None));
                    None
                }
                ("profile", Some(named)) if named == base_profile(expected) => None,
                ("profile", Some(named))
                    if profile::by_canonical(&named).is_some_and(|p| p.resource == expected) =>
                {
                    asked_profile = profile::by_canonical(&named);
                    None
                }
                ("mode", Some(_)) => Some((
                    IssueCode::NotSupported,
                    "the modes create and update are supported".to_owned(),
                )),
                ("profile", Some(_)) => Some((
                    IssueCode::NotSupported,
                    format!(
                        "{} and the profiles of {expected} that are carried here are supported: {}",
                        base_profile(expected),
                        carried(expected)
                    ),
                )),
                _ => Some((IssueCode::Invalid, format!("{member} was expected"))),
            };
            issues.extend(fault.map(|(code, words)| Issue::error(code, place, words)));
            seen.push(name);
        }
        if issues.is_empty() && resource.is_none() {
            let words = "the parameter resource was expected";
            issues.push(Issue::error(
                IssueCode::Required,
                "Parameters.parameter",
                words,
            ));
        }
        match resource {
            Some(resource) if issues.is_empty() => Ok(Asked {
                resource,
                id: asked_id,
                profile: asked_profile,
            }),
            _ => Err(Problem::invalid_all(issues)),
        }
    }
}

fn base_profile(resource: ResourceType) -> String {
    format!("http://hl7.org/fhir/StructureDefinition/{resource}")
}

/// The canonicals of the profiles of a type.
fn carried(resource: ResourceType) -> String {
    let own = profile::all().iter().filter(|one| one.resource == resource);
    let named: Vec<&str> = own
        .filter_map(|one| one.canonicals.first())
        .map(String::as_str)
        .collect();
    named.join(", ")
}

fn findings(state: &State, json: &Json, asked: &Asked<'_>, expected: ResourceType) -> Vec<Issue> {
    let node = asked.resource;
    match node.text("resourceType") {
        Some(found) if found != expected.as_str() && ResourceType::parse(&found).is_some() => {
            let words = format!("{expected} was expected, as the address says");
            return vec![Issue::error(IssueCode::Invalid, "resourceType", words)];
        }
        _ => {}
    }
    let mut rules = state.rules();
    if let Some(profile) = asked.profile {
        rules.profiles = rules.profiles.and_also(profile);
    }
    let mut issues = match fhir::check::check(json, node, &rules) {
        Err(issues) => issues,
        Ok(checked) => {
            let refusing = feed::not_synthetic(state, &checked);
            refusing
                .into_iter()
                .chain(checked.remarks().to_vec())
                .collect()
        }
    };
    let place = || format!("{expected}.id");
    match (&asked.id, node.text("id")) {
        (Some(_), None) => {
            let words = "an update carries the id of what it updates";
            issues.push(Issue::error(IssueCode::Required, place(), words));
        }
        (Some(Some(id)), Some(found)) if *id != found => {
            let words = "the id is another than the address's";
            issues.push(Issue::error(IssueCode::Value, place(), words));
        }
        _ => {}
    }
    issues
}
