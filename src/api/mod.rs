//! Floor 5: transport. One door: the gRPC services with the layers around them. REST is another form of the same calls.

pub mod auth;
pub mod deadline;
pub mod door;
mod doors;
pub mod grpc;
pub mod metrics;
mod metrics_page;
mod origin;
pub mod request_id;
pub mod rest;
mod serve;
pub mod status;
mod ui;

pub use doors::{Access, Doors};
