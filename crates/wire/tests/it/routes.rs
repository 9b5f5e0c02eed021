//! What a router built from a table does round every route.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode, header};
use tower::ServiceExt;
use uuid::Uuid;
use wire::request_id::{Join, RequestIds};
use wire::route::{Access, RouteRow, Routes};

const fn row(method: &'static str, path: &'static str, access: Access) -> RouteRow {
    RouteRow {
        method,
        path,
        access,
    }
}

const ROWS: &[RouteRow] = &[
    row("GET", "/thing", Access::Public),
    row("POST", "/thing", Access::Public),
    row("GET", "/bug", Access::Public),
    row("POST", "/demo", Access::Demo),
];

async fn buggy() -> &'static str {
    panic!("a bug")
}

fn router() -> axum::Router {
    Routes::of(ROWS)
        .on("GET", "/thing", |ids: RequestIds| async move {
            ids.ours.to_string()
        })
        .on("POST", "/thing", || async {})
        .on("GET", "/bug", buggy)
        .build((), Join::Front, Arc::new(|| Uuid::from_u128(9)))
}

async fn ask(method: &str, path: &str) -> http::Response<Body> {
    let nested = axum::Router::new().nest("/role", router());
    nested
        .oneshot(
            Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap(),
        )
        .await
        .unwrap()
}

async fn body(response: http::Response<Body>) -> String {
    String::from_utf8(
        axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap()
            .to_vec(),
    )
    .unwrap()
}

#[tokio::test]
async fn every_answer_has_the_request_id_and_is_kept_by_nobody() {
    let id = Uuid::from_u128(9).to_string();
    for (method, path) in [
        ("GET", "/role/thing"),
        ("GET", "/role/nothing"),
        ("DELETE", "/role/thing"),
        ("GET", "/role/bug"),
    ] {
        let response = ask(method, path).await;
        assert_eq!(response.headers()["x-request-id"], id, "{path}");
        assert_eq!(
            response.headers()[header::CACHE_CONTROL],
            "no-store",
            "{path}"
        );
    }
    assert_eq!(body(ask("GET", "/role/thing").await).await, id);
}

#[tokio::test]
async fn unknown_routes_and_methods_and_bugs_get_an_operation_outcome() {
    for (method, path, status) in [
        ("GET", "/role/nothing", StatusCode::NOT_FOUND),
        ("POST", "/role/demo", StatusCode::NOT_FOUND),
        ("DELETE", "/role/thing", StatusCode::METHOD_NOT_ALLOWED),
        ("GET", "/role/bug", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let response = ask(method, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert!(
            body(response)
                .await
                .starts_with("{\"resourceType\":\"OperationOutcome\""),
            "{path}"
        );
    }
    let allow = ask("DELETE", "/role/thing").await.headers()[header::ALLOW]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[test]
#[should_panic(expected = "GET /bug has no handler")]
fn a_row_without_a_handler_is_a_bug_at_start() {
    let _ = Routes::of(ROWS)
        .on("GET", "/thing", || async {})
        .on("POST", "/thing", || async {})
        .build((), Join::Front, Arc::new(Uuid::new_v4));
}

#[test]
#[should_panic(expected = "GET /launch has no handler")]
fn of_rows_that_may_be_absent_together_none_is_forgotten_alone() {
    const ROWS: &[RouteRow] = &[
        row("POST", "/par", Access::SignIn),
        row("GET", "/launch", Access::Arrival),
        row("POST", "/demo", Access::Demo),
    ];
    let ids: store::Ids = Arc::new(Uuid::new_v4);
    let _ = Routes::of(ROWS).build((), Join::Front, ids.clone());
    let _ = Routes::of(ROWS)
        .on("POST", "/par", || async {})
        .build((), Join::Front, ids);
}

#[test]
#[should_panic(expected = "PUT /thing is not in the table of routes")]
fn a_handler_without_a_row_is_a_bug_at_start() {
    let _ = Routes::of(ROWS).on("PUT", "/thing", || async {}).build(
        (),
        Join::Front,
        Arc::new(Uuid::new_v4),
    );
}
