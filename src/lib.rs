//! Lightkeep keeps LightRAG knowledge graphs safe. The house has floors; a floor uses only lower ones, and neighbours on
//! floor 2 never meet. `tests/it/architecture.rs` proves it.
//!
//! ```text
//! 7  app                                                wiring
//! 6  cli                                                the command line: a client of a running server
//! 5  api                                                transport: gRPC, REST
//! 4  jobs                                               loops, leases
//! 3  service                                            use-cases
//! 2  store | repository | lightrag | peer | telemetry   rows | bytes | what a LightRAG graph is | another Lightkeep | what goes out
//! 1  domain                                             pure rules
//! 0  base, proto                                        ids, clock, secrets; generated code
//! ```

pub mod api;
pub mod app;
pub mod base;
pub mod cli;
pub mod domain;
pub mod jobs;
pub mod lightrag;
pub mod peer;
pub mod proto;
pub mod repository;
pub mod service;
pub mod store;
pub mod telemetry;
