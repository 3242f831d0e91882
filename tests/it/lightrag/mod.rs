//! What a LightRAG graph is: by the public door of that floor, on real workspaces and a real server's answers.

mod audit;
mod audit_layouts;
mod audit_rules;
mod capture;
mod differences;
mod probes;
mod server;
pub(crate) mod workspaces;
