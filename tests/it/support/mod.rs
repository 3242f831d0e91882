//! What the tests stand on.

pub(crate) mod app;
pub(crate) mod database;
pub(crate) mod fake;
pub(crate) mod fake_peer;
pub(crate) mod files;
pub(crate) mod legacy;
pub(crate) mod pair;
pub(crate) mod process;
pub(crate) mod repositories;
pub(crate) mod rest;
pub(crate) mod terminal;
pub(crate) mod tools;
pub(crate) mod webhooks;
