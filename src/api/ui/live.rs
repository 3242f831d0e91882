//! What moves: a stream of events with the operations that are open and the counts of the first page. It only makes pages newer; what it
//! tells is on the pages too.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value as Json, json};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::Ui;
use super::failure::Failure;
use super::session::Session;
use super::visit::Visit;
use crate::base::words::progress;
use crate::service::Error;
use crate::service::overview::{Counts, GraphOverview};
use crate::store::entity::operation;

/// No browser hears more often.
const PAUSE: Duration = Duration::from_secs(1);

/// How old the counts of graphs may be that are streamed: all graphs are asked for them.
const COUNTS_LAST: Duration = Duration::from_secs(5);

/// How long a stream goes on: a browser comes back by itself, and shows its session again.
const LONGEST: Duration = Duration::from_secs(3600);

/// How many listen at once.
const MOST_STREAMS: usize = 100;

/// How many operations are told of.
const MOST_OPERATIONS: u64 = 100;

/// How all graphs are protected.
#[derive(Debug)]
struct Kept {
    /// When the database began to be asked.
    begun: Instant,
    overviews: Arc<Vec<GraphOverview>>,
}

/// What all pages and streams share.
#[derive(Debug)]
pub(super) struct Shared {
    kept: Mutex<Option<Kept>>,
    places: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { kept: Mutex::default(), places: Arc::new(Semaphore::new(MOST_STREAMS)) }
    }
}

/// Streams to a page.
pub(super) async fn stream(visit: Visit) -> Result<Response, Failure> {
    let place = Arc::clone(&visit.ui.live.places).try_acquire_owned();
    let place = place.map_err(|_| Failure::new(StatusCode::TOO_MANY_REQUESTS, "too many pages listen already"))?;
    let (sender, receiver) = mpsc::channel(2);
    let ui = Arc::clone(&visit.ui);
    // Whoever came with a key of the API has no session that could end.
    let session = Some(visit.session.clone()).filter(|session| session.is_operator);
    visit.services().tasks().spawn(async move { tell(&ui, session.as_ref(), &sender, place).await });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive).into_response())
}

/// Tells what is new until nobody listens, the session is over, or the process stops.
async fn tell(ui: &Ui, session: Option<&Session>, sender: &mpsc::Sender<Result<Event, Infallible>>, _place: OwnedSemaphorePermit) {
    let (mut changes, begun) = (ui.services.wakeup().changes(), Instant::now());
    let mut last = None;
    let is_over = || session.is_some_and(|session| ui.sessions.is_over(session, ui.services.now()));
    while begun.elapsed() < LONGEST && !is_over() {
        // Without the database nothing is told; the page says so when it hears nothing.
        let message = message(ui).await.unwrap_or_else(|_| json!({ "trouble": "the metadata database does not answer" }));
        if last.as_ref() != Some(&message) {
            if sender.send(Ok(Event::default().data(message.to_string()))).await.is_err() {
                return;
            }
            last = Some(message);
        }
        let wait = async {
            tokio::time::sleep(PAUSE).await;
            changes.next().await;
        };
        tokio::select! {
            () = wait => {}
            () = sender.closed() => return,
            () = ui.services.stopping().cancelled() => return,
        }
    }
}

async fn message(ui: &Ui) -> Result<Json, Error> {
    let overviews = kept_or_read(ui, |begun| begun.elapsed() < COUNTS_LAST).await?;
    let Counts { graphs, healthy, degraded, critical, unknown } = Counts::of(&overviews);
    let (running, queued) = ui.services.count_open_operations().await?;
    let operations: Vec<Json> = ui.services.open_operations(MOST_OPERATIONS).await?.iter().map(told).collect();
    let firing = if ui.features.alerts { ui.services.count_firing_alerts().await? } else { 0 };
    let counts = json!({
        "firing": firing, "graphs": graphs, "healthy": healthy, "degraded": degraded, "critical": critical, "unknown": unknown,
        "running": running, "queued": queued,
    });
    Ok(json!({ "counts": counts, "operations": operations }))
}

fn told(row: &operation::Model) -> Json {
    let (done, total) = (row.done_bytes, row.total_bytes);
    json!({
        "id": row.operation_id.to_string(), "state": row.state.as_str(), "stage": row.stage, "done": done, "total": total,
        "told": progress(done, total),
    })
}

/// How all graphs are protected, in the order of their ids, as it was when this was asked for or later: whoever has just done something
/// sees it, and many who ask at once share the work.
///
/// # Errors
/// The database's.
pub(super) async fn overviews(ui: &Ui) -> Result<Arc<Vec<GraphOverview>>, Error> {
    let asked = Instant::now();
    kept_or_read(ui, |begun| begun > asked).await
}

/// What is kept, where it is new enough by when it began to be read.
async fn kept_or_read(ui: &Ui, is_new_enough: impl Fn(Instant) -> bool) -> Result<Arc<Vec<GraphOverview>>, Error> {
    // Held while they are read: who comes meanwhile waits, and all who wait are served by the next reading.
    let mut kept = ui.live.kept.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| is_new_enough(kept.begun)) {
        return Ok(Arc::clone(&kept.overviews));
    }
    let begun = Instant::now();
    let overviews = Arc::new(ui.services.graph_overviews().await?);
    *kept = Some(Kept { begun, overviews: Arc::clone(&overviews) });
    Ok(overviews)
}
