//! Who is asking, how they prove it, and what they may see.
//!
//! Tokens (RFC 9068), sender-constrained by DPoP (RFC 9449), client assertions (RFC 7523), the Norwegian trust
//! framework's attest (`nhn:tillitsrammeverk:parameters`), the rules that turn a verified caller into a [`Permit`],
//! and the audit record of what happened. Profile: FAPI 2.0 Security Profile in the shape HelseID uses.
//!
//! This crate does no IO and reads no clock: keys, bytes and time are arguments. Signature primitives come from
//! aws-lc-rs; everything that is parsed is parsed strictly and here.

pub mod assertion;
pub mod attest;
pub mod audit;
pub mod caller;
pub mod category;
mod decide;
mod detail;
pub mod dpop;
pub mod encoding;
pub mod explain;
pub mod id_token;
pub mod interaction;
pub mod json;
pub mod jws;
pub mod keys;
pub mod may_look;
pub mod organisation;
pub mod replay;
pub mod rules;
pub mod scope;
pub mod token;
pub mod wish;

pub use caller::{Agreement, Caller, ClientUse, Delegation, Person, Representation, RepresentedBy};
pub use category::Category;
pub use decide::{
    Ask, Decision, Facts, Follower, Party, Permit, PermitScope, Refusal, Standing, assess, decide,
    follow, may_list, need,
};
pub use detail::Detail;
pub use interaction::Interaction;
pub use replay::Replay;

/// Clock difference that is tolerated between parties, in seconds, both ways (threats-and-faults section 2).
pub const LEEWAY_SECONDS: i64 = 10;
