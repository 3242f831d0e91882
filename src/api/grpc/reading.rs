//! Files of snapshots as streams.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio_stream::Stream;
use tonic::Status;

use super::convert::looking;
use crate::proto::google::api::HttpBody;
use crate::service::looking::OpenFile;
use crate::service::{Error, ErrorKind, Services};

/// How long a client may take for one piece. The repository is locked meanwhile, and others wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pieces that are read ahead of the client.
const AHEAD: usize = 4;

/// A file's pieces.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<HttpBody, Status>> + Send>>;

/// Sends a file piece by piece, in a task that ends with the file, with the client, or with the process. The first message comes
/// even from an empty file: it says what the file is.
pub(super) fn stream(services: &Services, path: &str, open: OpenFile) -> Pieces {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    let (bag, content_type) = (services.clone(), looking::media_type(path));
    services.tasks().spawn(async move {
        tokio::select! {
            () = send_all(&bag, content_type, open, &sender) => {}
            () = bag.stopping().cancelled() => {
                let message = "the server stops, ask for the rest when it is back";
                let error = Error::refused(ErrorKind::Unavailable, "SERVER_STOPPING", message);
                let _ = sender.try_send(Err(error.into()));
            }
        }
    });
    Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))
}

async fn send_all(services: &Services, content_type: &str, mut open: OpenFile, sender: &Sender<Result<HttpBody, Status>>) {
    let mut is_first = true;
    loop {
        let (message, rest) = match services.read_on(open).await {
            Ok(Some((data, rest))) => {
                (Ok(HttpBody { content_type: content_type.to_owned(), data: data.into(), extensions: Vec::new() }), Some(rest))
            }
            Ok(None) if is_first => (Ok(HttpBody { content_type: content_type.to_owned(), ..HttpBody::default() }), None),
            Ok(None) => return,
            Err(error) => (Err(Status::from(error)), None),
        };
        is_first = false;
        let sent = sender.send_timeout(message, PATIENCE).await;
        match (sent, rest) {
            (Ok(()), Some(rest)) => open = rest,
            _ => return,
        }
    }
}
