//! The service's routes: each with its method, its path and who may come, and what answers it.

use crate::{State, api, copy};
use axum::Router;
use std::sync::Arc;
use wire::contract::alert::TELL;
use wire::contract::sharing::{COPY_STATE, EXPLAIN, MAY_LOOK, RECONCILE};
use wire::contract::work_list::WORK_LIST;
use wire::route::{Access, RouteRow, Routes};

/// The service's routes, relative to its FHIR base.
pub const ROUTES: &[RouteRow] = &[
    RouteRow {
        method: "GET",
        path: "/metadata",
        access: Access::Public,
    },
    RouteRow {
        method: "GET",
        path: api::smart::PATH,
        access: Access::Public,
    },
    RouteRow {
        method: "POST",
        path: "/",
        access: Access::Token {
            scope: "system/*.c",
        },
    },
    RouteRow {
        method: "GET",
        path: "/",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; no person's number in the URL",
        },
    },
    RouteRow {
        method: "POST",
        path: "/_search",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/$replace-series",
        access: Access::Token {
            scope: "system/*.cud",
        },
    },
    RouteRow {
        method: "POST",
        path: RECONCILE,
        access: Access::Token {
            scope: "system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: COPY_STATE,
        access: Access::Token {
            scope: "system/*.rs, of any one type",
        },
    },
    RouteRow {
        method: "POST",
        path: COPY_STATE,
        access: Access::Token {
            scope: "system/*.c, of any one type",
        },
    },
    RouteRow {
        method: "POST",
        path: "/$purge",
        access: Access::Token {
            scope: "system/*.d",
        },
    },
    RouteRow {
        method: "POST",
        path: EXPLAIN,
        access: Access::Token {
            scope: "any; nothing of the patient's is read",
        },
    },
    RouteRow {
        method: "POST",
        path: MAY_LOOK,
        access: Access::Token {
            scope: "patient/AuditEvent.s",
        },
    },
    RouteRow {
        method: "GET",
        path: "/$reviews",
        access: Access::Token {
            scope: "system/AuditEvent.s",
        },
    },
    RouteRow {
        method: "POST",
        path: "/$reviews",
        access: Access::Token {
            scope: "system/AuditEvent.u",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Consent",
        access: Access::Token {
            scope: "patient/Consent.c; the patient herself",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Consent/_search",
        access: Access::Token {
            scope: "patient/Consent.s; the patient herself",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/Consent/{id}",
        access: Access::Token {
            scope: "patient/Consent.d; the patient herself",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Subscription",
        access: Access::Token {
            scope: "user/Subscription.c or system/Subscription.c",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription/{id}",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "PUT",
        path: "/Subscription/{id}",
        access: Access::Token {
            scope: "user/Subscription.c or system/Subscription.c; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/Subscription/{id}",
        access: Access::Token {
            scope: "user/Subscription.d or system/Subscription.d; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription/{id}/$status",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Subscription/{id}/$status",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Subscription/{id}/$events",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Subscription/{id}/$events",
        access: Access::Token {
            scope: "user/Subscription.r or system/Subscription.r; one's own organisation's alone",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.c",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; no person's number in the URL",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/_search",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/$validate",
        access: Access::Token {
            scope: "any; nothing is read or kept",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/{id}/$validate",
        access: Access::Token {
            scope: "any; nothing is read or kept",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Observation/$lastn",
        access: Access::Token {
            scope: "user/Observation.rs or system/Observation.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Observation/$stats",
        access: Access::Token {
            scope: "user/Observation.rs or system/Observation.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$own",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$acknowledge",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$note",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$resolve",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$join",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$hand-over",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$accept",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Task/{id}/$decline",
        access: Access::Token {
            scope: "user/Task.u; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: TELL,
        access: Access::Token {
            scope: "system/Task.c; the service of an organisation that alerts are taken from",
        },
    },
    RouteRow {
        method: "POST",
        path: WORK_LIST,
        access: Access::Token {
            scope: "user/Task.s, bound to no patient; the organisation's own personnel",
        },
    },
    RouteRow {
        method: "POST",
        path: "/Patient/{id}/$everything",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/Patient/{id}/$everything",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "POST",
        path: "/AuditEvent/_search",
        access: Access::Token {
            scope: "patient/AuditEvent.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/_page/{sealed}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/_history",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}/_history",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}/_history/{vid}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs",
        },
    },
    RouteRow {
        method: "GET",
        path: "/{type}/{id}/{of}",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; Patient alone has a compartment",
        },
    },
    RouteRow {
        method: "POST",
        path: "/{type}/{id}/{of}/_search",
        access: Access::Token {
            scope: "user/*.rs or system/*.rs; Patient alone has a compartment",
        },
    },
    RouteRow {
        method: "PUT",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.us, and .c where nothing meets the condition",
        },
    },
    RouteRow {
        method: "PATCH",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.us",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/{type}",
        access: Access::Token {
            scope: "system/*.ds",
        },
    },
    RouteRow {
        method: "PUT",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "system/*.u",
        },
    },
    RouteRow {
        method: "PATCH",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "system/*.u",
        },
    },
    RouteRow {
        method: "DELETE",
        path: "/{type}/{id}",
        access: Access::Token {
            scope: "system/*.d",
        },
    },
];

/// Every route of the table with its handler.
pub fn routes(state: Arc<State>) -> Router {
    let ids = state.house.ids.clone();
    Routes::of(ROUTES)
        .on("GET", "/metadata", api::metadata::metadata)
        .on("GET", api::smart::PATH, api::smart::configuration)
        .on("POST", "/", api::bundle::bundle)
        .on("GET", "/", api::search::of_types_by_get)
        .on("POST", "/_search", api::search::of_types)
        .on("POST", "/$replace-series", api::operation::replace::replace)
        .on("POST", RECONCILE, api::reconcile::reconcile)
        .on("GET", COPY_STATE, api::copy_state::read)
        .on("POST", COPY_STATE, api::copy_state::write)
        .on("POST", "/$purge", api::operation::purge::purge)
        .on("POST", EXPLAIN, api::operation::explain::explain_access)
        .on("POST", MAY_LOOK, api::operation::may_look::of_the_patient)
        .on("GET", "/$reviews", api::review::list)
        .on("POST", "/$reviews", api::review::close)
        .on("POST", "/Consent", api::wishes::make)
        .on("POST", "/Consent/_search", api::wishes::list)
        .on("DELETE", "/Consent/{id}", api::wishes::end)
        .on("POST", "/Subscription", api::subscription::create)
        .on("GET", "/Subscription", api::subscription::list)
        .on("GET", "/Subscription/{id}", api::subscription::read)
        .on("PUT", "/Subscription/{id}", api::subscription::update)
        .on("DELETE", "/Subscription/{id}", api::subscription::end)
        .on(
            "GET",
            "/Subscription/{id}/$status",
            api::subscription::status,
        )
        .on(
            "POST",
            "/Subscription/{id}/$status",
            api::subscription::status,
        )
        .on(
            "GET",
            "/Subscription/{id}/$events",
            api::subscription::events,
        )
        .on(
            "POST",
            "/Subscription/{id}/$events",
            api::subscription::events,
        )
        .on("POST", "/{type}", api::create::create)
        .on("GET", "/{type}", api::search::by_get)
        .on("POST", "/{type}/_search", api::search::search)
        .on(
            "POST",
            "/{type}/$validate",
            api::operation::validate::of_type,
        )
        .on(
            "POST",
            "/{type}/{id}/$validate",
            api::operation::validate::of_instance,
        )
        .on("POST", "/Observation/$lastn", api::operation::lastn::lastn)
        .on("POST", "/Observation/$stats", api::operation::stats::stats)
        .on("POST", "/Task/{id}/$own", api::operation::alert::own)
        .on(
            "POST",
            "/Task/{id}/$acknowledge",
            api::operation::alert::acknowledge,
        )
        .on("POST", "/Task/{id}/$note", api::operation::alert::note)
        .on(
            "POST",
            "/Task/{id}/$resolve",
            api::operation::alert::resolve,
        )
        .on("POST", "/Task/{id}/$join", api::operation::alert::join)
        .on(
            "POST",
            "/Task/{id}/$hand-over",
            api::operation::alert::hand_over,
        )
        .on("POST", "/Task/{id}/$accept", api::operation::alert::accept)
        .on(
            "POST",
            "/Task/{id}/$decline",
            api::operation::alert::decline,
        )
        .on("POST", TELL, api::operation::tell::tell)
        .on("POST", WORK_LIST, api::operation::work_list::work_list)
        .on(
            "POST",
            "/Patient/{id}/$everything",
            api::operation::everything::by_post,
        )
        .on(
            "GET",
            "/Patient/{id}/$everything",
            api::operation::everything::by_get,
        )
        .on("POST", "/AuditEvent/_search", api::audit::search)
        .on("GET", "/_page/{sealed}", api::search::page)
        .on("GET", "/{type}/{id}", api::read::read)
        .on("GET", "/{type}/_history", api::history::of_type)
        .on("GET", "/{type}/{id}/_history", api::history::instance)
        .on("GET", "/{type}/{id}/_history/{vid}", api::version::vread)
        .on("GET", "/{type}/{id}/{of}", api::search::compartment_by_get)
        .on(
            "POST",
            "/{type}/{id}/{of}/_search",
            api::search::compartment,
        )
        .on("PUT", "/{type}", api::update::by_condition)
        .on("PATCH", "/{type}", api::patch::by_condition)
        .on("DELETE", "/{type}", api::withdraw::by_condition)
        .on("PUT", "/{type}/{id}", api::update::update)
        .on("PATCH", "/{type}/{id}", api::patch::patch)
        .on("DELETE", "/{type}/{id}", api::withdraw::withdraw)
        .build(state.clone(), wire::request_id::Join::Behind, ids)
        .layer(axum::middleware::from_fn_with_state(state, copy::told))
        .layer(axum::middleware::from_fn(wire::body::negotiated))
}
