//! Floor 2: what a LightRAG graph is. Reading it whole while LightRAG writes, checking that it is whole, putting one in place, and asking
//! its server.

pub mod apply;
pub mod audit;
pub mod capture;
pub mod differences;
mod error;
pub mod files;
mod formats;
pub mod probes;
pub mod server;
pub mod watch;
pub mod workspace;

pub use error::Error;
