//! One file an interaction.

pub(crate) mod act_for;
pub(crate) mod authorization_code;
pub(crate) mod authorize;
pub(crate) mod client_credentials;
pub(crate) mod discovery;
pub(crate) mod documents;
pub(crate) mod launch;
pub(crate) mod name_patient;
pub(crate) mod operate;
pub(crate) mod par;
pub(crate) mod refresh_token;
pub(crate) mod revoke;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod test_token;
pub(crate) mod token;
pub(crate) mod token_exchange;
pub(crate) mod upstream;
pub(crate) mod witness;
