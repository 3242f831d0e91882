//! The integration tests: everything by the public doors of a real server.

mod architecture;
//mod auth;
mod backup;
//mod bad_input;
mod crash;
mod operations;
mod restore;
//mod rest;
mod serve;
mod support;
