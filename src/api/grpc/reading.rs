//! Files of snapshots as streams.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::Stream;
use tonic::Status;

use super::convert::looking;
use crate::proto::google::api::HttpBody;
use crate::service::looking::OpenFile;
use crate::service::{Error, ErrorKind, Services};

/// How long a client may take for one piece. The repository is locked meanwhile, and others wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much a client has to take on average, bytes a second: one that trickles would keep the lock for ever.
const LEAST_RATE: u64 = 64 << 10;

/// How often a client that takes nothing is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Pieces that are read ahead of the client.
const AHEAD: usize = 4;

/// A file's pieces.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

/// Sends a file piece by piece, in a task that ends with the file, with the client, or with the process. The first message comes
/// even from an empty file: it says what the file is.
pub(super) fn stream(services: &Services, path: &str, open: OpenFile) -> Pieces {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let (end, ending) = oneshot::channel();
    let (bag, content_type) = (services.clone(), looking::media_type(path));
    services.tasks().spawn(async move {
        let ended = tokio::select! {
            ended = send_all(&bag, content_type, open, sender) => ended,
            () = bag.stopping().cancelled() => Err(stopping()),
        };
        // Whoever reads the pieces learns by this whether they were all. Nobody may be left to read.
        let _ = end.send(ended);
    });
    Box::pin(Sent { pieces, ending: Some(ending) })
}

async fn send_all(services: &Services, content_type: &str, mut open: OpenFile, sender: Sender<HttpBody>) -> Result<(), Error> {
    let begun = services.now();
    let (mut is_first, mut sent_bytes) = (true, 0);
    loop {
        let (data, rest) = match services.read_on(open).await? {
            Some((data, rest)) => (data, Some(rest)),
            None if is_first => (bytes::Bytes::new(), None),
            None => return Ok(()),
        };
        is_first = false;
        let allowed = PATIENCE + Duration::from_secs(sent_bytes / LEAST_RATE);
        let until = begun.plus(allowed).min(services.now().plus(PATIENCE));
        sent_bytes += data.len() as u64;
        let piece = HttpBody { content_type: content_type.to_owned(), data: data.into(), extensions: Vec::new() };
        let room = loop {
            match timeout(LOOK, sender.reserve()).await {
                _ if services.now() > until => return Err(too_slow()),
                Ok(Ok(room)) => break room,
                // Nobody listens any more.
                Ok(Err(_)) => return Ok(()),
                Err(_) => {}
            }
        };
        room.send(piece);
        match rest {
            Some(rest) => open = rest,
            None => return Ok(()),
        }
    }
}

fn stopping() -> Error {
    Error::refused(ErrorKind::Unavailable, "SERVER_STOPPING", "the server stops, ask for the rest when it is back")
}

fn too_slow() -> Error {
    let message = format!(
        "the file is read too slowly and keeps its repository locked: read {LEAST_RATE} bytes a second at least, ask for the rest by its offset"
    );
    Error::refused(ErrorKind::Aborted, "READ_TOO_SLOW", message)
}

/// What a task sends. Only its word makes the end of the pieces the end of the file.
struct Sent {
    pieces: Receiver<HttpBody>,
    /// How the task ended; none once that was told.
    ending: Option<oneshot::Receiver<Result<(), Error>>>,
}

impl Stream for Sent {
    type Item = Result<HttpBody, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(piece) = ready!(self.pieces.poll_recv(context)) {
            return Poll::Ready(Some(Ok(piece)));
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(ending).poll(context));
        self.ending = None;
        let ended = ended.unwrap_or_else(|died| Err(Error::internal("send a file", died)));
        Poll::Ready(ended.err().map(|error| Err(error.into())))
    }
}
