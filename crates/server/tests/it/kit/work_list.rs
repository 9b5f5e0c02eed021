//! The municipality's list of its patients, as its first nurse sees it.

use super::lookup::Screen;
use http::StatusCode;
use testkit::region::Region;
use wire::client::Request;
use wire::contract::work_list::{WORK_LIST, WORK_LIST_SCOPE, WorkList};

/// Its service.
pub const SERVICE: &str = "fjellvik";

/// The list as it stands.
pub async fn list(region: &Region) -> WorkList {
    let service = region.service(SERVICE).unwrap();
    let mut all = region.ready.practitioners.iter();
    let who = all.find(|one| one.orgnr == service.orgnr).unwrap();
    let screen = Screen::with(region, &service.fhir, |caller| {
        let patient = &region.ready.patients[0];
        let mut request = caller.as_practitioner(who, patient, &service.fhir);
        request.patient = None;
        request.scope = WORK_LIST_SCOPE.into();
        request
    });
    let url = format!("{}{WORK_LIST}", service.fhir);
    let reply = screen.await.send(Request::post_form(url, [])).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json);
    WorkList::from_json(&reply.json).unwrap()
}
