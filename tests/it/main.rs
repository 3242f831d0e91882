//! The integration tests: everything by the public doors of a real server; the engine and the LightRAG floor by theirs.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod adopt;
mod architecture;
mod auth;
mod backup;
mod bad_input;
mod crash;
mod differences;
mod graphs;
mod lightrag;
mod looking;
mod maintenance;
mod on_change;
mod openapi;
mod operations;
mod permissions;
mod repository;
mod rest;
mod rest_rules;
mod rest_shim;
mod restore;
mod restore_options;
mod retention;
mod schedules;
mod serve;
mod support;
mod trouble;
