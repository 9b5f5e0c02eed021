//! The anchor as a stranger sees it: its router in process, a real store on disk, an injected clock.
#![allow(clippy::unwrap_used, missing_docs)] // a failing unwrap is a failing test

mod authorization_code;
mod client_credentials;
mod fapi;
mod hpr;
mod journey;
mod launch;
mod nonce;
mod operate;
mod provider;
mod published;
mod pushed_request;
mod refresh_token;
mod region;
mod register;
mod representation;
mod sign_in;
mod sign_out;
mod test_token;
mod threats;
mod token_exchange;
mod upstream;
mod witness;
mod work_list;
