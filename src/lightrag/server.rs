//! Asking a LightRAG server whether it stands still. Facts of LightRAG 1.5.7's API: there is no way to pause it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::{Instant, sleep};

use crate::base::control::Control;
use crate::base::secret::Secret;
use crate::lightrag::Error;

/// How long a server may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Longest answer that is read. The log in a pipeline's status is long, but not that long.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The namespaces of key-value and document status stores. For these `true` in `update_status` means rows in memory that are not
/// flushed; for vector and graph stores it means that a worker has to reload, which is no concern of a copy.
const KEY_VALUE_NAMESPACES: [&str; 8] =
    ["full_docs", "text_chunks", "full_entities", "full_relations", "entity_chunks", "relation_chunks", "llm_response_cache", "doc_status"];

/// A LightRAG server and the key to it.
#[derive(Debug, Clone)]
pub struct Server {
    address: Url,
    key: Option<Secret>,
    client: Client,
}

/// What a server says about its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiescence {
    /// Whether its pipeline works, scans, deletes, or has something waiting.
    pub pipeline_active: bool,
    /// Key-value namespaces with rows that are not flushed.
    pub dirty_namespaces: Vec<String>,
    /// LightRAG's version, where told.
    pub core_version: Option<String>,
    /// The model that its vectors come from, where told: no store file names it.
    pub embedding_model: Option<String>,
}

/// How waiting for a server ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// It stands still.
    Quiet(Quiescence),
    /// The time ran out.
    StillBusy {
        /// What it is busy with, for people.
        why: String,
        /// What it said last.
        last: Quiescence,
    },
}

#[derive(Deserialize)]
struct Health {
    core_version: Option<String>,
    pipeline_active: Option<bool>,
    pipeline_busy: Option<bool>,
    working_directory: Option<PathBuf>,
    configuration: Option<Configuration>,
}

#[derive(Deserialize)]
struct Configuration {
    workspace: Option<String>,
    embedding_model: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct PipelineStatus {
    busy: bool,
    scanning: bool,
    destructive_busy: bool,
    pending_enqueues: u64,
    update_status: serde_json::Map<String, serde_json::Value>,
}

impl Quiescence {
    /// Whether nothing is being written, and nothing waits to be.
    pub fn is_quiet(&self) -> bool {
        !self.pipeline_active && self.dirty_namespaces.is_empty()
    }

    /// What the server is busy with, for people.
    pub fn why(&self) -> String {
        match (self.pipeline_active, self.dirty_namespaces.as_slice()) {
            (false, []) => "nothing".to_owned(),
            (true, []) => "its pipeline is active".to_owned(),
            (false, dirty) => format!("rows are not flushed in: {}", dirty.join(", ")),
            (true, dirty) => format!("its pipeline is active, and rows are not flushed in: {}", dirty.join(", ")),
        }
    }

    fn of(health: Health, status: &PipelineStatus) -> Self {
        let told = health.pipeline_active.or(health.pipeline_busy).unwrap_or(false);
        let busy = status.busy || status.scanning || status.destructive_busy || status.pending_enqueues > 0;
        let is_dirty = |flags: &serde_json::Value| match flags {
            serde_json::Value::Array(workers) => workers.iter().any(|flag| flag == &serde_json::Value::Bool(true)),
            flag => flag == &serde_json::Value::Bool(true),
        };
        // The namespaces of a named workspace are told as `<workspace>:<namespace>`.
        let is_key_value = |name: &str| KEY_VALUE_NAMESPACES.contains(&name.rsplit(':').next().unwrap_or(name));
        let dirty = status.update_status.iter().filter(|(name, flags)| is_key_value(name) && is_dirty(flags));
        Self {
            pipeline_active: told || busy,
            dirty_namespaces: dirty.map(|(name, _)| name.clone()).collect(),
            core_version: health.core_version,
            embedding_model: health.configuration.and_then(|configuration| configuration.embedding_model),
        }
    }
}

impl Server {
    /// A server at `url`, such as `http://lightrag:9621`, with a path before its routes where it has a prefix.
    ///
    /// # Errors
    /// [`Error::ServerAddress`] when that is no HTTP address, [`Error::ServerUnreachable`] when no client can be made.
    pub fn new(url: &str, key: Option<Secret>) -> Result<Self, Error> {
        let refused = || Error::ServerAddress { url: url.rsplit('@').next().unwrap_or(url).to_owned() };
        let mut address = Url::parse(url).map_err(|_| refused())?;
        if !matches!(address.scheme(), "http" | "https") || !address.has_host() {
            return Err(refused());
        }
        address.set_query(None);
        address.set_fragment(None);
        // The key goes to this address only: not along redirects, and not to a proxy that the environment names.
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build();
        let client = client.map_err(|source| Error::ServerUnreachable { url: shown(&address), source: source.without_url() })?;
        Ok(Self { address, key, client })
    }

    /// Whether it says that it is there, as LightRAG does when it has loaded its stores. Does not wait for that.
    pub async fn is_healthy(&self) -> bool {
        self.get::<IgnoredAny>("health").await.is_ok()
    }

    /// What the server is at.
    ///
    /// # Errors
    /// [`Error::ServerUnreachable`], [`Error::ServerDenied`] and [`Error::ServerAnswer`].
    pub async fn quiescence(&self) -> Result<Quiescence, Error> {
        // Two looks at the pipeline, one after the other: work that begins between them is seen by the second.
        let health = self.get("health").await?;
        let status: PipelineStatus = self.get("documents/pipeline_status").await?;
        Ok(Quiescence::of(health, &status))
    }

    /// Asks every `poll` until the server stands still, for at most `limit`. After a cancelled pipeline a namespace stays dirty until the
    /// next document: the limit must not be endless.
    ///
    /// # Errors
    /// As [`Self::quiescence`], and [`Error::Cancelled`].
    pub async fn wait_until_quiet(&self, limit: Duration, poll: Duration, control: &Control) -> Result<Waited, Error> {
        let begun = Instant::now();
        loop {
            control.go_on()?;
            let last = self.quiescence().await?;
            if last.is_quiet() {
                return Ok(Waited::Quiet(last));
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(Waited::StillBusy { why: last.why(), last });
            }
            self.pause(poll.min(left), control).await?;
        }
    }

    /// Sleeps, but hears within 100 ms that the work is to end.
    async fn pause(&self, length: Duration, control: &Control) -> Result<(), Error> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            control.go_on()?;
            sleep(end.duration_since(Instant::now()).min(Duration::from_millis(100))).await;
        }
        Ok(())
    }

    /// Whether the server keeps its workspace in this directory. `None` when it does not tell, because it wants a key for that.
    ///
    /// # Errors
    /// As [`Self::quiescence`].
    pub async fn serves_directory(&self, directory: &Path) -> Result<Option<bool>, Error> {
        let health: Health = self.get("health").await?;
        let Some(working_directory) = health.working_directory else { return Ok(None) };
        let workspace = health.configuration.and_then(|configuration| configuration.workspace).unwrap_or_default();
        let served = if workspace.is_empty() { working_directory } else { working_directory.join(workspace) };
        // On another host, or in a container, the server's name for it may mean nothing here: then the names are compared.
        let real = tokio::fs::canonicalize(&served).await.unwrap_or(served);
        let asked = tokio::fs::canonicalize(directory).await.unwrap_or_else(|_| directory.to_path_buf());
        Ok(Some(real == asked))
    }

    async fn get<Answer: DeserializeOwned>(&self, route: &str) -> Result<Answer, Error> {
        let mut address = self.address.clone();
        address.set_path(&format!("{}/{route}", self.address.path().trim_end_matches('/')));
        let url = shown(&address);
        let mut request = self.client.get(address).timeout(ANSWER_LIMIT);
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key.expose());
        }
        let unreachable = |source: reqwest::Error| Error::ServerUnreachable { url: url.clone(), source: source.without_url() };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let unusable = |problem| Error::ServerAnswer { url: url.clone(), status, problem };
        match status {
            200 => {}
            401 | 403 => return Err(Error::ServerDenied { url, status }),
            _ => return Err(unusable("not the status 200")),
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(unusable("too long"));
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(|_| unusable("not the JSON that LightRAG sends"))
    }
}

/// An address for messages: without a user's name and password.
fn shown(address: &Url) -> String {
    let mut address = address.clone();
    let _ = address.set_username("");
    let _ = address.set_password(None);
    address.to_string()
}
