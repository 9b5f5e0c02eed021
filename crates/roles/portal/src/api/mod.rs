//! The portal's routes: one file an interaction. GET changes nothing; every POST is checked to come from our own pages.

mod alert;
mod alone;
mod blocks;
mod file;
mod language;
mod launch;
mod list;
mod log;
mod may_look;
mod offers;
mod patients;
mod people;
mod row;
mod view;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use wire::contract::launch::{CALLBACK, OPEN};
use wire::request_id::Join;
use wire::route::{Access, RouteRow, Routes};

pub use alert::Fault;

use crate::{Assets, State, cross_site};

/// What a page that is open asks for by itself.
const ROWS: &str = "/list/rows";

const fn row(method: &'static str, path: &'static str, access: Access) -> RouteRow {
    RouteRow {
        method,
        path,
        access,
    }
}

/// Every route of the portal.
pub const ROUTES: &[RouteRow] = &[
    row("GET", "/", Access::Public),
    row("GET", OPEN, Access::Arrival),
    row("GET", CALLBACK, Access::Arrival),
    row("GET", "/sign-in", Access::Arrival),
    row("POST", "/sign-in", Access::Arrival),
    row("POST", "/sign-in/list", Access::Arrival),
    row("POST", "/sign-in/citizen", Access::Arrival),
    row("POST", "/session", Access::Demo),
    row("POST", "/session/end", Access::Session),
    row("GET", "/patients", Access::Session),
    row("POST", "/views", Access::Session),
    row("GET", "/views/{id}", Access::Session),
    row("GET", "/list", Access::Session),
    row("GET", ROWS, Access::Session),
    row("GET", "/views/{id}/alerts", Access::Session),
    row("POST", "/views/{id}/alerts", Access::Session),
    row("GET", "/log", Access::Session),
    row("POST", "/why", Access::Session),
    row("GET", "/may-look", Access::Session),
    row("GET", "/blocks", Access::Session),
    row("POST", "/blocks", Access::Session),
    row("POST", "/blocks/end", Access::Session),
    row("GET", "/offers", Access::Session),
    row("POST", "/language", Access::Public),
    row("GET", "/accessibility", Access::Public),
    row("GET", "/assets/{name}", Access::Public),
];

/// The router, to be put at the root: unknown addresses get a page too. `assets` finds the bundle's files.
pub fn routes(state: Arc<State>, assets: Assets) -> Router {
    let https = state.https;
    let unknown = Router::new()
        .fallback(visit::unknown)
        .with_state(state.clone());
    Routes::of(ROUTES)
        .on("GET", "/", people::show)
        .on("GET", OPEN, launch::open)
        .on("GET", CALLBACK, launch::back)
        .on("GET", "/sign-in", alone::show)
        .on("POST", "/sign-in", alone::begin)
        .on("POST", "/sign-in/list", alone::list)
        .on("POST", "/sign-in/citizen", alone::citizen)
        .on("POST", "/session", people::choose)
        .on("POST", "/session/end", people::leave)
        .on("GET", "/patients", patients::show)
        .on("POST", "/views", patients::open)
        .on("GET", "/views/{id}", view::show)
        .on("GET", "/list", list::show)
        .on("GET", ROWS, list::rows)
        .on("GET", "/views/{id}/alerts", alert::show)
        .on("POST", "/views/{id}/alerts", alert::step)
        .on("GET", "/log", log::show)
        .on("POST", "/why", log::why)
        .on("GET", "/may-look", may_look::show)
        .on("GET", "/blocks", blocks::show)
        .on("POST", "/blocks", blocks::make)
        .on("POST", "/blocks/end", blocks::end)
        .on("GET", "/offers", offers::show)
        .on("POST", "/language", language::choose)
        .on("GET", "/accessibility", language::accessibility)
        .on("GET", "/assets/{name}", move |name, headers| {
            file::give(assets.clone(), name, headers)
        })
        .build(state.clone(), Join::Front, state.house.ids.clone())
        .fallback_service(unknown)
        .layer(axum::middleware::map_response(
            move |mut response: Response| async move {
                cross_site::seal(&mut response, https);
                response
            },
        ))
}
