//! The HTTP port: REST, and gRPC of other Lightkeeps. Like axum's own server, but with windows that let files flow.

use axum::body::Body;
use axum::serve::Listener;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::domain::peer::{CONNECTION_WINDOW, LARGEST_FRAME, STREAM_WINDOW};

/// Serves until `closing`, and then until the open connections have answered.
pub(super) async fn serve(mut listener: impl Listener, router: axum::Router, tasks: TaskTracker, closing: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(LARGEST_FRAME);
    let graceful = GracefulShutdown::new();
    while let Some((stream, _)) = closing.run_until_cancelled(listener.accept()).await {
        let service = router.clone().map_request(|request: Request<Incoming>| request.map(Body::new));
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let watched = graceful.watch(connection);
        tasks.spawn(async move {
            // That a client goes away in the middle is its business.
            let _ = watched.await;
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
