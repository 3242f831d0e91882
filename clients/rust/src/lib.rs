#![doc = include_str!("../README.md")]

pub mod call;
mod client;
mod error;
mod proto;
mod retry;
mod wait;

pub use client::{Client, Options};
pub use error::{Error, Refusal, Violation};
pub use proto::{google, v1};
pub use retry::Retry;
pub use wait::is_over;

/// The generated table of calls.
mod calls {
    include!(concat!(env!("OUT_DIR"), "/calls.rs"));
}

/// The paths of all calls that this crate has, as the protos name them: `/lightkeep.v1.BackupService/CreateSnapshot`.
pub use calls::CALLS;
