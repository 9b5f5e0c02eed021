//! One file an interaction.

pub(crate) mod client_credentials;
pub(crate) mod discovery;
pub(crate) mod documents;
pub(crate) mod test_token;
pub(crate) mod token;
pub(crate) mod token_exchange;
