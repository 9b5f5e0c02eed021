//! Receipts as tests compare them.

use crate::person::Reply;
use wire::receipt::Receipt;

/// Organisation (or service id), state, count and reason of every source, in the receipt's order.
pub fn account(reply: &Reply) -> Vec<(String, &'static str, u64, String)> {
    let receipt = Receipt::read(reply.receipt()).unwrap();
    let line = |one: &wire::receipt::SourceReport| {
        (
            one.organisation.clone(),
            one.state.as_str(),
            one.count,
            one.reason.clone().unwrap_or_default(),
        )
    };
    receipt.sources.iter().map(line).collect()
}

/// A line of [`account`].
pub fn line(
    orgnr: &str,
    state: &'static str,
    count: u64,
    reason: &str,
) -> (String, &'static str, u64, String) {
    (orgnr.to_owned(), state, count, reason.to_owned())
}
