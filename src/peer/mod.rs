//! Another Lightkeep, as one that brings copies to it and gets them back sees it. The other side of `api/grpc/replica.rs`.

mod connect;
mod error;
mod files;
mod health;

use std::time::Duration;

use http::HeaderMap;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{IntoRequest, Request};

use crate::base::secret::Secret;
use crate::base::timestamp::Timestamp;
use crate::base::trace;
use crate::domain::address::AddressRules;
use crate::domain::peer::LARGEST_MESSAGE;
use crate::proto::v1;
use crate::proto::v1::replica_service_client::ReplicaServiceClient;

pub use error::Error;
pub use files::{DamagedFile, Reread};
pub use health::{Answer, HEALTH_LIMIT, ask_health};

/// The protocol that is spoken here. Another number is another language.
pub const PROTOCOL: i32 = 1;

/// How long a call without file contents may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The name of a file: SHA-256 of its bytes.
pub type Name = [u8; 32];

/// The kinds of files of a repository that are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Key files.
    Key,
    /// Packs.
    Pack,
    /// Index files.
    Index,
    /// Snapshot records.
    Record,
}

/// Where another Lightkeep is, and the key to it.
#[derive(Debug, Clone)]
pub struct Address {
    /// Where its gRPC is reached.
    pub url: String,
    /// What addresses may be spoken to.
    pub rules: AddressRules,
    /// One of its peer keys.
    pub key: Option<Secret>,
}

/// A connection to another Lightkeep.
#[derive(Clone)]
pub struct Peer {
    client: ReplicaServiceClient<Channel>,
    key: Option<MetadataValue<Ascii>>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peer(..)")
    }
}

/// Who answers, and what it has of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Version of its program.
    pub version: String,
    /// Now, by its clock.
    pub now: Timestamp,
    /// How much room it has, bytes.
    pub free_bytes: u64,
    /// The sealed config of its copy; none where it has none.
    pub config: Option<Vec<u8>>,
}

/// What makes files that were sent a snapshot.
#[derive(Debug, Clone)]
pub struct Commit {
    /// A record that must be there.
    pub base: Option<Name>,
    /// The packs that must be there.
    pub packs: Vec<Name>,
    /// Their index files.
    pub indexes: Vec<(Name, Vec<u8>)>,
    /// The record.
    pub record: (Name, Vec<u8>),
    /// Index files that are damaged, in whose place these come.
    pub replaced: Vec<Name>,
}

impl Peer {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Key`] for a key that no header can hold.
    pub async fn connect(address: &Address) -> Result<Self, Error> {
        let key = address.key.as_ref().map(|key| format!("Bearer {}", key.expose()).parse::<MetadataValue<Ascii>>());
        let mut key = key.transpose().map_err(|_| Error::Key)?;
        if let Some(key) = &mut key {
            // Never in a log.
            key.set_sensitive(true);
        }
        let channel = connect::channel(&address.url, address.rules).await?;
        let client = ReplicaServiceClient::new(channel);
        Ok(Self { client: client.max_decoding_message_size(LARGEST_MESSAGE).max_encoding_message_size(LARGEST_MESSAGE), key })
    }

    /// A call with the key, and with a time limit if there is one.
    fn call<T>(&self, message: impl IntoRequest<T>, limit: Option<Duration>) -> Request<T> {
        let mut request = message.into_request();
        let mut headers = HeaderMap::new();
        trace::name_to(&mut headers);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        if let Some(limit) = limit {
            request.set_timeout(limit);
        }
        request
    }

    /// Asks who answers, and what it has of a graph if one is named.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a Lightkeep that speaks another one; [`Error::NotLightkeep`]; what the call ended with.
    pub async fn describe(&self, graph_id: Option<&str>) -> Result<Description, Error> {
        let request = v1::DescribeReplicaRequest { graph_id: graph_id.unwrap_or_default().to_owned() };
        let answer = self.client.clone().describe_replica(self.call(request, Some(ANSWER_LIMIT))).await?.into_inner();
        if answer.protocol != PROTOCOL {
            return Err(Error::Protocol { theirs: answer.protocol, version: answer.version });
        }
        let now = answer.now.ok_or(Error::Answer("a time is missing"))?;
        Ok(Description {
            version: answer.version,
            now: Timestamp::from_micros(now.seconds.saturating_mul(1_000_000).saturating_add(i64::from(now.nanos) / 1000)),
            free_bytes: u64::try_from(answer.free_bytes).map_err(|_| Error::Answer("a number of bytes is negative"))?,
            config: Some(answer.config).filter(|config| !config.is_empty()),
        })
    }

    /// Begins the copy of a graph's repository.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn found(&self, graph_id: &str, config: Vec<u8>, key: (Name, Vec<u8>)) -> Result<(), Error> {
        let request = v1::FoundReplicaRequest { graph_id: graph_id.to_owned(), config, key_name: key.0.to_vec(), key_file: key.1 };
        self.client.clone().found_replica(self.call(request, Some(ANSWER_LIMIT))).await?;
        Ok(())
    }

    /// Makes files that were sent a snapshot.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn commit(&self, graph_id: &str, commit: Commit) -> Result<(), Error> {
        let small = |(name, bytes): (Name, Vec<u8>)| v1::SmallFile { name: name.to_vec(), bytes };
        let request = v1::CommitSnapshotRequest {
            graph_id: graph_id.to_owned(),
            base: commit.base.map(Vec::from).unwrap_or_default(),
            packs: commit.packs.concat(),
            indexes: commit.indexes.into_iter().map(small).collect(),
            record: Some(small(commit.record)),
            replaced: commit.replaced.concat(),
        };
        self.client.clone().commit_snapshot(self.call(request, Some(ANSWER_LIMIT))).await?;
        Ok(())
    }
}
