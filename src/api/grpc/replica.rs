//! ReplicaService: what other Lightkeeps call. The name of a graph's copy here follows from the key that they came with.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::convert::{replica, timestamp};
use crate::api::auth::AuthenticatedPeer;
use crate::api::request_id::CallName;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::peer::PIECE_LIMIT;
use crate::proto::v1;
use crate::proto::v1::replica_service_server::ReplicaService;
use crate::service::replication::PROTOCOL;
use crate::service::{Error, ErrorKind, Services};

/// A piece of a file that is given back, bytes.
const PIECE_BYTES: usize = 192 << 10;

/// So many names in one message of a list.
const NAMES_AT_ONCE: usize = 10_000;

/// Copies of other Lightkeeps' graphs, over gRPC.
#[derive(Debug, Clone)]
pub struct ReplicaGrpc(pub Services);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The name of the peer that calls.
fn peer_of<T>(request: &Request<T>) -> Result<String, Error> {
    let peer = request.extensions().get::<AuthenticatedPeer>().map(|peer| peer.0.to_string());
    peer.ok_or_else(|| Error::refused(ErrorKind::PermissionDenied, "PEER_KEY_INVALID", "only peers may call this"))
}

fn caller_of<T>(request: &Request<T>) -> Caller {
    Caller { name: "peer", request_id: request.extensions().get::<CallName>().map(|id| id.as_str().to_owned()) }
}

impl ReplicaGrpc {
    /// The copy of a graph that the calling peer brings.
    async fn copy<T>(&self, request: &Request<T>, graph_id: &str) -> Result<GraphId, Error> {
        let peer = peer_of(request)?;
        self.0.check_peer_place(&peer).await?;
        replica::parse_copy(graph_id, &peer)
    }
}

#[tonic::async_trait]
impl ReplicaService for ReplicaGrpc {
    async fn describe_replica(&self, request: Request<v1::DescribeReplicaRequest>) -> Result<Response<v1::ReplicaDescription>, Status> {
        let peer = peer_of(&request)?;
        let graph_id = request.get_ref().graph_id.clone();
        let copy = if graph_id.is_empty() { None } else { Some(self.copy(&request, &graph_id).await?) };
        let held = self.0.describe_copy(&peer, copy.as_ref()).await?;
        Ok(Response::new(v1::ReplicaDescription {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: Some(timestamp(held.now)),
            free_bytes: i64::try_from(held.free_bytes).unwrap_or(i64::MAX),
            config: held.config.unwrap_or_default(),
        }))
    }

    async fn found_replica(&self, request: Request<v1::FoundReplicaRequest>) -> Result<Response<v1::FoundReplicaResponse>, Status> {
        let (caller, copy) = (caller_of(&request), self.copy(&request, &request.get_ref().graph_id).await?);
        let founding = replica::parse_found(request.into_inner())?;
        self.0.found_copy(&caller, &copy, founding).await?;
        Ok(Response::new(v1::FoundReplicaResponse {}))
    }

    async fn find_missing(&self, request: Request<v1::FindMissingRequest>) -> Result<Response<v1::FindMissingResponse>, Status> {
        let copy = self.copy(&request, &request.get_ref().graph_id).await?;
        let (kind, names) = replica::parse_missing(request.get_ref())?;
        let missing = self.0.find_missing(&copy, kind, names).await?;
        Ok(Response::new(v1::FindMissingResponse { names: replica::names_to_proto(&missing) }))
    }

    async fn put_file(&self, request: Request<Streaming<v1::PutFileRequest>>) -> Result<Response<v1::PutFileResponse>, Status> {
        let peer = peer_of(&request)?;
        self.0.check_peer_place(&peer).await?;
        let mut stream = request.into_inner();
        let first = next(&mut stream).await?.unwrap_or_default();
        let header = replica::parse_header(first.header, &peer)?;
        let mut incoming = self.0.begin_file(&header.copy, header.kind, header.name, header.size_bytes).await?;
        let mut piece = first.bytes;
        loop {
            if !piece.is_empty() {
                incoming = self.0.take_piece(incoming, piece).await?;
            }
            match next(&mut stream).await? {
                Some(message) => piece = message.bytes,
                None => break,
            }
        }
        self.0.finish_file(incoming).await?;
        Ok(Response::new(v1::PutFileResponse {}))
    }

    async fn commit_snapshot(&self, request: Request<v1::CommitSnapshotRequest>) -> Result<Response<v1::CommitSnapshotResponse>, Status> {
        let (caller, copy) = (caller_of(&request), self.copy(&request, &request.get_ref().graph_id).await?);
        let commit = replica::parse_commit(request.into_inner())?;
        self.0.commit_copy(&caller, &copy, commit).await?;
        Ok(Response::new(v1::CommitSnapshotResponse {}))
    }

    type ListFilesStream = Answers<v1::ListFilesResponse>;

    async fn list_files(&self, request: Request<v1::ListFilesRequest>) -> Result<Response<Self::ListFilesStream>, Status> {
        let copy = self.copy(&request, &request.get_ref().graph_id).await?;
        let names = self.0.list_copied(&copy, replica::parse_kind(request.get_ref().kind)?).await?;
        let messages: Vec<_> =
            names.chunks(NAMES_AT_ONCE).map(|some| Ok(v1::ListFilesResponse { names: replica::names_to_proto(some) })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    type GetFileStream = Answers<v1::GetFileResponse>;

    async fn get_file(&self, request: Request<v1::GetFileRequest>) -> Result<Response<Self::GetFileStream>, Status> {
        let copy = self.copy(&request, &request.get_ref().graph_id).await?;
        let (kind, name) = replica::parse_get(request.get_ref())?;
        let mut file = self.0.open_copied(&copy, kind, name).await?;
        let (sender, pieces) = mpsc::channel(2);
        let services = self.0.clone();
        let sending = async move {
            loop {
                let answer = match services.read_piece(file, PIECE_BYTES).await {
                    Ok((rest, bytes)) if !bytes.is_empty() => {
                        file = rest;
                        Ok(v1::GetFileResponse { bytes })
                    }
                    Ok(_) => return,
                    Err(error) => {
                        // Whoever asked may be gone.
                        let _ = sender.send(Err(error.into())).await;
                        return;
                    }
                };
                if sender.send(answer).await.is_err() {
                    return;
                }
            }
        };
        self.0.tasks().spawn(self.0.stopping().clone().run_until_cancelled_owned(sending));
        Ok(Response::new(Box::pin(ReceiverStream::new(pieces))))
    }

    async fn reread_files(&self, request: Request<v1::RereadFilesRequest>) -> Result<Response<v1::RereadFilesResponse>, Status> {
        let copy = self.copy(&request, &request.get_ref().graph_id).await?;
        let (after, most_bytes) = replica::parse_reread(request.get_ref())?;
        Ok(Response::new(replica::reread_to_proto(self.0.reread_copy(&copy, after, most_bytes).await?)))
    }
}

/// The next message. A peer that falls silent is cut off: nothing that it began stays.
async fn next(stream: &mut Streaming<v1::PutFileRequest>) -> Result<Option<v1::PutFileRequest>, Status> {
    match tokio::time::timeout(PIECE_LIMIT, stream.message()).await {
        Ok(message) => message,
        Err(_) => {
            let message = format!("nothing came for {} s: send the file again", PIECE_LIMIT.as_secs());
            Err(Error::refused(ErrorKind::Aborted, "FILE_STALLED", message).into())
        }
    }
}
