//! A role's routes as a table: the same rows build its router, are listed by its documentation and are counted by the
//! test that every route has its access test. Everything every route needs is put round them here: request ids,
//! `no-store`, answers for unknown routes and methods, and a wall so that a bug in one request ends that request only.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use futures::FutureExt;
use http::{HeaderValue, Method, header};

use crate::doorstep;
use crate::outcome::{Problem, unknown_method, unknown_route};
use crate::request_id::{self, Join};

/// Who may call a route at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anyone; nothing about a person is behind it.
    Public,
    /// A token for this audience, with a scope such as the hint says (rules decide the rest).
    Token {
        /// For the documentation, for example `system/Observation.c`.
        scope: &'static str,
    },
    /// A portal session's cookie, checked on the server.
    Session,
    /// A client or a browser on its way through sign-in, which prove themselves in their own ways; there only where the
    /// configuration lets people sign in.
    SignIn,
    /// A person's browser before anybody is known, at a launch or on its way through sign-in: as [`Access::SignIn`], and each address
    /// may come only so often ([`crate::doorstep`]).
    Arrival,
    /// A registered client's signed statement is the body itself; there is no token.
    Signed,
    /// There in demo mode only.
    Demo,
}

impl Access {
    /// What a route of this kind belongs to that a configuration may leave out, all of it; `None`: it is always there.
    fn part(self) -> Option<&'static str> {
        match self {
            Access::SignIn | Access::Arrival => Some("sign-in"),
            Access::Demo => Some("demo"),
            _ => None,
        }
    }
}

/// One row of a role's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteRow {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// Relative to the role's base, with axum's `{name}`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

/// Builds a router from a table. Every row needs its handler and every handler its row.
pub struct Routes<S> {
    rows: &'static [RouteRow],
    built: BTreeMap<&'static str, MethodRouter<S>>,
    handled: BTreeSet<(&'static str, &'static str)>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Starts from a table.
    pub fn of(rows: &'static [RouteRow]) -> Self {
        Self {
            rows,
            built: BTreeMap::new(),
            handled: BTreeSet::new(),
        }
    }

    /// Gives a row its handler.
    ///
    /// # Panics
    /// When the table has no such row, it has its handler already, or the method is none of the five: a bug that shows
    /// at every start.
    #[must_use]
    pub fn on<H, T>(mut self, method: &'static str, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let row = self
            .rows
            .iter()
            .find(|row| row.method == method && row.path == path);
        assert!(
            row.is_some(),
            "{method} {path} is not in the table of routes"
        );
        assert!(
            self.handled.insert((method, path)),
            "{method} {path} has two handlers"
        );
        let filter = match method {
            "GET" => MethodFilter::GET,
            "POST" => MethodFilter::POST,
            "PUT" => MethodFilter::PUT,
            "PATCH" => MethodFilter::PATCH,
            "DELETE" => MethodFilter::DELETE,
            other => panic!("no route is offered by {other}"),
        };
        let routes = self.built.remove(path).unwrap_or_default();
        let mut route = MethodRouter::new().on(filter, handler);
        if row.is_some_and(|row| row.access == Access::Arrival) {
            route = route.layer(axum::middleware::from_fn(doorstep::count));
        }
        self.built.insert(path, routes.merge(route));
        self
    }

    /// The router, with what every route needs.
    ///
    /// # Panics
    /// When a row has no handler; those for signing in, and those of the demo, may lack theirs, all of them together.
    pub fn build(self, state: S, join: Join, ids: store::Ids) -> Router {
        let is_handled = |row: &RouteRow| self.handled.contains(&(row.method, row.path));
        let (there, absent): (Vec<&RouteRow>, Vec<&RouteRow>) =
            self.rows.iter().partition(|row| is_handled(row));
        let parts: Vec<_> = there.iter().filter_map(|row| row.access.part()).collect();
        for row in absent {
            let may = row.access.part().is_some_and(|part| !parts.contains(&part));
            assert!(may, "{} {} has no handler", row.method, row.path);
        }
        let mut router = Router::new();
        for (path, routes) in self.built {
            router = router.route(path, routes);
        }
        let router = router
            .fallback(unknown_route)
            .method_not_allowed_fallback(unknown_method)
            .with_state(state)
            .layer(axum::middleware::from_fn(wall));
        request_id::layer(router, join, ids)
    }
}

/// Catches a panic of one request and keeps every answer out of caches.
async fn wall(request: Request, next: Next) -> Response {
    let method: Method = request.method().clone();
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(%method, "a request ended in a panic");
            Problem::bug("panic").into_response()
        }
    };
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
