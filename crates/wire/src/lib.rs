//! How parties speak: the contracts between roles, the error edge, the guard in front of protected routes, the outgoing
//! client, the courier and the completeness receipt. HTTP lives here; SQL does not (`store`), nor do rules (`trust`).

pub mod contract;
