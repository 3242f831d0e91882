//! The HTTP port: REST, and gRPC of other Lightkeeps. Like axum's own server, but with windows that let files flow.

use std::io;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// What may be sent ahead of what is read, bytes; on one stream and on one connection of HTTP/2.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 16 << 20;

/// The longest frame of HTTP/2 that is taken, bytes: with the protocol's 16 KiB a file comes in too many pieces.
pub(super) const FRAME: u32 = 256 << 10;

/// How long no connection is accepted when the system has none to give, such as for want of open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until `closing`, and then until the open connections have answered.
pub(super) async fn serve(listener: TcpListener, router: axum::Router, tasks: TaskTracker, closing: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW).max_frame_size(FRAME);
    let graceful = GracefulShutdown::new();
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        let Some(stream) = usable(accepted).await else { continue };
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

async fn usable(accepted: io::Result<(TcpStream, std::net::SocketAddr)>) -> Option<TcpStream> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    match accepted {
        Ok((stream, _)) => {
            // Answers are small: waiting to fill a packet only makes them late.
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) if [ConnectionRefused, ConnectionAborted, ConnectionReset].contains(&error.kind()) => None,
        Err(error) => {
            tracing::error!(%error, "cannot accept a connection");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}
