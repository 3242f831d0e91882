//! The generated messages and services of `proto/lightkeep/v1`.
#![expect(missing_docs, unused_qualifications, clippy::all, clippy::allow_attributes, reason = "generated code")]

/// All descriptors, with their comments: what reflection serves and the REST shim is driven by.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The status message of long work.
pub mod google {
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
    }
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

/// `lightkeep.v1`.
pub mod lightkeep {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/lightkeep.v1.rs"));
    }
}

pub use google::rpc;
pub use lightkeep::v1;
