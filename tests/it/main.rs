//! The integration tests: everything by the public doors of a real server; the engine and the LightRAG floor by theirs.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod adopt;
mod architecture;
mod auth;
mod backup;
mod bad_input;
mod crash;
mod crash_repository;
mod differences;
mod graphs;
mod lightrag;
mod looking;
mod maintenance;
mod openapi;
mod operations;
mod permissions;
mod reconcile;
mod repository;
mod rest;
mod rest_rules;
mod rest_shim;
mod restore;
mod restore_options;
mod restore_targets;
mod retention;
mod serve;
mod support;
mod trouble;
