//! One step as the store takes it: its resource rewritten, checked and permitted.

use super::names::{Names, none_lost};
use super::step::{Ready, Step, Target};
use crate::State;
use crate::api::bundle::asked::{Named, What};
use crate::api::{patch, update};
use crate::feed::{self, Sent, Taken};
use fhir::index::Subject;
use fhir::json::Json;
use fhir::outcome::IssueCode;
use std::collections::BTreeSet;
use store::Put;
use trust::{Ask, Interaction};
use wire::outcome::Problem;
use wire::visit::{End, Visit};

/// One step as a put, and the steps whose versions it names; `None` for one that changes nothing.
pub async fn put(
    state: &State,
    visit: &Visit<'_>,
    json: &Json,
    (at, step): (usize, &Step<'_>),
    names: &Names,
) -> Result<Option<(Ready, BTreeSet<usize>)>, End> {
    let what = step.asked.resource;
    if step.asked.what.reads() {
        return Ok(None);
    }
    let target = step
        .target
        .as_ref()
        .ok_or_else(|| Problem::bug("an entry of a transaction has no target"))?;
    if let What::Withdraw(_) = step.asked.what {
        return withdraw(state, visit, (at, step), target)
            .await
            .map(|ready| Some((ready, BTreeSet::new())));
    }
    let patched;
    let (source, node) = match (&step.operations, step.node, target) {
        (Some(operations), _, Target::There(id, version)) => {
            let version = expected(state, visit, step, *version)?;
            let done = patch::applied(state, visit, (what, *id), version, operations).await;
            let (after, version) = placed_patch(step, done)?;
            patched = (after, version);
            (&patched.0, patched.0.root())
        }
        (None, Some(node), _) => (json, node),
        _ => return Err(Problem::bug("an entry of a transaction has no resource").into()),
    };
    let rewritten = names.rewritten(source, node, step)?;
    let body = &rewritten.json;
    none_lost(body).map_err(|problem| {
        // The place is that of the resource: told from the Bundle.
        problem.within(&format!("{}.resource", step.entry.expression()))
    })?;
    let interaction = match target {
        Target::There(..) => Interaction::Update,
        _ => Interaction::Create,
    };
    let sent = Sent {
        json: body,
        node: body.root(),
        bundle: Some(json.root()),
    };
    let taken = step.placed(sent.take(state, visit, interaction), "resource")?;
    let same = feed::same_type(what, &taken.checked).map_err(End::Problem);
    step.placed(same, "resource")?;
    let Taken {
        checked,
        permit,
        written_by,
    } = taken;
    // Named by number or by id: each patient finds the transaction in a trail of their own.
    let person = match &checked.index().subject {
        Some(Subject::Person(person)) => Some(person.clone()),
        Some(Subject::Local(id)) => state.desk.store.patient_of(*id).await?,
        None => None,
    };
    let sent = Some((permit.clone(), checked.clone()));
    let put = match target {
        Target::Left(_) => return Ok(None),
        Target::New(id) => {
            if step.asked.what != What::Create && body.root().get("id").is_some() {
                let words = "nothing meets the condition, and a new resource gets its id here: leave it out";
                return Err(step.fault(IssueCode::Invalid, "resource.id", words).into());
            }
            Put::CreateAs {
                id: *id,
                resource: checked,
                written_by,
                enrol: state.config.enrol,
            }
        }
        Target::There(id, found) => {
            let by_id = matches!(step.asked.what, What::Update(Named::Id(_)) | What::Patch(_));
            if by_id || body.root().get("id").is_some() {
                let same = update::same_id(body.root(), what, *id).map_err(End::Problem);
                step.placed(same, "resource")?;
            }
            let expect_version = expected(state, visit, step, *found)?;
            let own = feed::changeable(state, visit, &permit, what, *id).await;
            step.placed(own, "request.url")?;
            Put::Update {
                id: *id,
                expect_version,
                resource: checked,
                written_by,
            }
        }
    };
    let ready = Ready {
        step: at,
        put,
        person,
        sent,
    };
    Ok(Some((ready, rewritten.named)))
}

/// The version that a change is made from: the one in `ifMatch`, which only a client that is registered so may leave out.
fn expected(
    state: &State,
    visit: &Visit<'_>,
    step: &Step<'_>,
    found: Option<u64>,
) -> Result<Option<u64>, Problem> {
    let named = update::expected_version(state, visit, step.if_match).map_err(|_| {
        let words = "an update needs the version it was made from, for example W/\"1\"";
        step.fault(IssueCode::Required, "request.ifMatch", words)
    })?;
    Ok(named.or(found))
}

/// What is wrong with a patch, told by its entry.
fn placed_patch<T>(step: &Step<'_>, done: Result<T, End>) -> Result<T, End> {
    done.map_err(|end| match end {
        End::Problem(problem) => End::Problem(crate::api::bundle::alone::placed(
            problem,
            &step.entry,
            &step.asked,
        )),
        other => other,
    })
}

async fn withdraw(
    state: &State,
    visit: &Visit<'_>,
    (at, step): (usize, &Step<'_>),
    target: &Target,
) -> Result<Ready, End> {
    let what = step.asked.resource;
    let permit = visit.permit(&Ask::of(Interaction::Withdraw, what))?;
    let Target::There(id, expect_version) = target else {
        return Err(Problem::bug("a withdrawal of nothing").into());
    };
    let own = feed::changeable(state, visit, &permit, what, *id).await;
    step.placed(own, "request.url")?;
    Ok(Ready {
        step: at,
        put: Put::Withdraw {
            id: *id,
            resource_type: what,
            expect_version: *expect_version,
        },
        person: state.desk.store.patient_of(*id).await?,
        sent: None,
    })
}
