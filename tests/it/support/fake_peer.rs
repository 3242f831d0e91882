//! A target that lies, or is none.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse as _;
use http::{StatusCode, header};
use lightkeep::proto::v1::replica_service_server::{ReplicaService, ReplicaServiceServer};
use lightkeep::proto::v1::*;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What it does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Speaks another protocol.
    Protocol,
    /// Answers to `/health`, and to nothing else.
    OldServer,
    /// Leads elsewhere.
    RedirectsTo(String),
    /// Lacks more files than it was asked about.
    MissingWithoutEnd,
    /// Says of all files that they are not what their names say.
    RefusesFiles,
}

/// The target; it ends when it is dropped.
pub(crate) struct FakePeer {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl FakePeer {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
    pub(crate) async fn start(lie: Lie) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let (counter, answer) = (Arc::clone(&asked), lie.clone());
        let health = move || async move {
            counter.fetch_add(1, Ordering::SeqCst);
            match answer {
                Lie::RedirectsTo(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
                _ => (StatusCode::OK, "ok").into_response(),
            }
        };
        let mut router = axum::Router::new().route("/health", axum::routing::get(health));
        if !matches!(lie, Lie::OldServer | Lie::RedirectsTo(_)) {
            router = router.merge(tonic::service::Routes::new(ReplicaServiceServer::new(Liar(lie))).into_axum_router());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, serving }
    }

    /// How often it was asked how it is.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Liar(Lie);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Reply<T> = Result<Response<T>, Status>;

fn mismatch() -> Status {
    let message = "the pack `x` that was received is not what its name says: send it again";
    let details = ErrorDetails::with_error_info("FILE_MISMATCH", "lightkeep", std::collections::HashMap::<String, String>::new());
    Status::with_error_details(tonic::Code::DataLoss, message, details)
}

#[tonic::async_trait]
impl ReplicaService for Liar {
    async fn describe_replica(&self, _: Request<DescribeReplicaRequest>) -> Reply<ReplicaDescription> {
        let protocol = if self.0 == Lie::Protocol { 2 } else { 1 };
        let now = Some(prost_types::Timestamp::default());
        Ok(Response::new(ReplicaDescription { protocol, version: "9.0.0".into(), now, free_bytes: 1, config: vec![] }))
    }

    async fn found_replica(&self, _: Request<FoundReplicaRequest>) -> Reply<FoundReplicaResponse> {
        Ok(Response::new(FoundReplicaResponse {}))
    }

    async fn find_missing(&self, request: Request<FindMissingRequest>) -> Reply<FindMissingResponse> {
        let names = request.into_inner().names;
        let names = if self.0 == Lie::MissingWithoutEnd { names.repeat(1000) } else { names };
        Ok(Response::new(FindMissingResponse { names }))
    }

    async fn put_file(&self, request: Request<Streaming<PutFileRequest>>) -> Reply<PutFileResponse> {
        let mut stream = request.into_inner();
        while stream.message().await?.is_some() {}
        Err(mismatch())
    }

    async fn commit_snapshot(&self, _: Request<CommitSnapshotRequest>) -> Reply<CommitSnapshotResponse> {
        Ok(Response::new(CommitSnapshotResponse {}))
    }

    type ListFilesStream = Answers<ListFilesResponse>;

    async fn list_files(&self, _: Request<ListFilesRequest>) -> Reply<Self::ListFilesStream> {
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }

    type GetFileStream = Answers<GetFileResponse>;

    async fn get_file(&self, _: Request<GetFileRequest>) -> Reply<Self::GetFileStream> {
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }

    async fn reread_files(&self, _: Request<RereadFilesRequest>) -> Reply<RereadFilesResponse> {
        Ok(Response::new(RereadFilesResponse::default()))
    }
}
