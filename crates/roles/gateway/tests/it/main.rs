//! Placeholder for the tests of the gateway over HTTP.
