//! The operations, each in its own file.

mod everything;
mod lastn;
mod stats;
mod stats_numbers;
mod validate;

use crate::house::Service;
use http::Method;
use testkit::clients::Reply;
use testkit::door::Held;

/// An operation asked by a form.
async fn call(service: &Service, who: &Held, path: &str, form: &[(&str, &str)]) -> Reply {
    service
        .door
        .knock(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(wire::form::write(form.iter().copied()))
        .by(who, service.clock.now())
        .send()
        .await
}
