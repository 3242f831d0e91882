//! The generated messages.
#![expect(missing_docs, clippy::all, reason = "generated code")]

/// What the protos take from Google's.
pub mod google {
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

/// `lightkeep.v1`.
mod lightkeep {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/lightkeep.v1.rs"));
    }
}

/// The messages of the protos.
pub use lightkeep::v1;
