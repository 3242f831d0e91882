//! Bars for long work, on standard error, where that is a terminal.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lightkeep_client::{Client, Error, is_over, v1};

use super::cells::harmless;
use super::connection::Session;
use super::failure::Failure;

/// How often the work beside a call is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long such a look may take: the call itself matters more.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

const KNOWN: &str = "{prefix} {msg:10} {bar:24.cyan} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
const UNKNOWN: &str = "{prefix} {msg:10} {spinner} {bytes} {bytes_per_sec} {elapsed}";
const WAITING: &str = "{prefix} {msg} {spinner} {elapsed}";

/// The bar of one operation.
struct Bar(ProgressBar);

impl Bar {
    fn new(bars: &MultiProgress) -> Self {
        let bar = bars.add(ProgressBar::new_spinner());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&self, operation: &v1::Operation) {
        let (done, total) = (number(operation.done_bytes), number(operation.total_bytes));
        let template = match (operation.state(), total) {
            (v1::OperationState::Queued, _) => WAITING,
            _ if operation.stage.is_empty() || (total == 0 && done == 0) => WAITING,
            (_, 0) => UNKNOWN,
            _ => KNOWN,
        };
        let is_new_stage = self.0.message() != stage(operation);
        self.0.set_style(style(template));
        self.0.set_prefix(format!("{} {}", kind(operation), operation.graph_id));
        self.0.set_length(total);
        self.0.set_position(done);
        self.0.set_message(stage(operation));
        if is_new_stage {
            // A rate of one stage says nothing of the next one, nor does what was done before somebody looked.
            self.0.reset_eta();
            self.0.reset_elapsed();
        }
    }

    /// Leaves a line that says how it has ended.
    fn end(&self, operation: &v1::Operation) {
        let is_seen = !self.0.is_hidden();
        self.0.finish_and_clear();
        if is_seen {
            eprintln!("{} {} {}", kind(operation), operation.graph_id, ending(operation));
        }
    }
}

impl Session {
    /// Waits for an operation with a bar.
    pub(super) async fn wait(&self, operation_id: &str) -> Result<v1::Operation, Failure> {
        self.leave_word(&format!("it goes on without you: `lightkeep operation watch {operation_id}` shows it, `cancel` stops it"));
        let bar = Bar::new(&MultiProgress::new());
        let show = |operation: &v1::Operation| if is_over(operation) { bar.end(operation) } else { bar.show(operation) };
        Ok(self.client.wait(operation_id, show).await?)
    }

    /// Makes a call that takes long, with bars of all that is done with these graphs meanwhile.
    pub(super) async fn call_watched<C: lightkeep_client::call::Call>(&self, request: C, graphs: &[String]) -> Result<C::Answer, Failure> {
        self.leave_word("what has begun goes on without you: `lightkeep operation list` shows it");
        let looking = self.client.with_deadline(Some(LOOK_LIMIT));
        tokio::select! {
            answer = self.client.call(request) => Ok(answer?),
            never = look(&looking, graphs) => match never {},
        }
    }

    fn leave_word(&self, word: &str) {
        if let Ok(mut left) = self.left.lock() {
            *left = Some(word.to_owned());
        }
    }
}

/// Shows what is done with these graphs, until it is dropped.
async fn look(client: &Client, graphs: &[String]) -> std::convert::Infallible {
    let bars = MultiProgress::new();
    let mut shown: HashMap<String, Bar> = HashMap::new();
    // Some work is no operation: that it goes on can be seen all the same.
    let working = bars.add(ProgressBar::new_spinner().with_style(style("{spinner} {elapsed}")));
    working.enable_steady_tick(Duration::from_millis(120));
    if bars.is_hidden() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK).await;
        for graph_id in graphs {
            // What cannot be seen now is seen later, or the call itself says why not.
            for operation in recent(client, graph_id).await.unwrap_or_default() {
                let id = operation.operation_id.clone();
                match (is_over(&operation), shown.contains_key(&id)) {
                    (true, true) => shown.remove(&id).into_iter().for_each(|bar| bar.end(&operation)),
                    (true, false) => {}
                    (false, _) => shown.entry(id).or_insert_with(|| Bar::new(&bars)).show(&operation),
                }
            }
        }
    }
}

async fn recent(client: &Client, graph_id: &str) -> Result<Vec<v1::Operation>, Error> {
    let request = v1::ListOperationsRequest { graph_id: graph_id.to_owned(), page_size: 10, ..Default::default() };
    Ok(client.call(request).await?.operations)
}

fn stage(operation: &v1::Operation) -> String {
    match (operation.state(), operation.place) {
        (v1::OperationState::Queued, Some(place)) => format!("waits, place {place}"),
        (v1::OperationState::Queued, None) => "waits".to_owned(),
        _ => harmless(&operation.stage),
    }
}

fn ending(operation: &v1::Operation) -> String {
    let length = match (&operation.started_at, &operation.ended_at) {
        (Some(start), Some(end)) => (end.seconds - start.seconds) as f64 + f64::from(end.nanos - start.nanos) / 1e9,
        _ => 0.0,
    };
    match operation.state() {
        v1::OperationState::Succeeded => format!("done in {}", crate::base::words::length(length)),
        v1::OperationState::Cancelled => "cancelled".to_owned(),
        _ => "failed".to_owned(),
    }
}

fn kind(operation: &v1::Operation) -> String {
    operation.kind().as_str_name().trim_start_matches("OPERATION_KIND_").to_lowercase()
}

fn number(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// The templates are ours: one that cannot be read would show plain bars.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
