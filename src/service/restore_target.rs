//! What is asked of a restore's target beyond its being a directory that may be written: whose place it is, and what stands there.

use std::path::{Path, PathBuf};

use super::Services;
use super::error::{Error, ErrorKind};
use super::restore_work::RestorePayload;
use crate::domain::graph_id::GraphId;
use crate::lightrag::server::Server;
use crate::lightrag::workspace::is_other_workspace;
use crate::store::entity::graph;
use crate::store::graphs;

impl Services {
    /// Refuses the places of another graph, unless forced: nothing saves what that one has there.
    ///
    /// # Errors
    /// Another graph is registered with one of the targets, and not this one.
    pub(super) async fn check_places(&self, graph_id: &GraphId, payload: &RestorePayload) -> Result<(), Error> {
        for target in [&payload.target_dir].into_iter().chain(&payload.inputs_target_dir).filter(|_| !payload.force) {
            self.check_place(graph_id, target, &[]).await?;
        }
        Ok(())
    }

    /// As [`Services::check_places`], of one place; of these other graphs it is known what becomes of them.
    pub(super) async fn check_place(&self, graph_id: &GraphId, target: &Path, known: &[GraphId]) -> Result<(), Error> {
        self.check_holds_no_other(graph_id, target, known).await?;
        let there = self.graphs_at(target).await?;
        if there.iter().any(|graph| graph.graph_id == *graph_id) {
            return Ok(());
        }
        let Some(other) = there.first() else { return Ok(()) };
        let message = format!(
            "the target is the place of graph `{}`, take a snapshot of that one and set `force`, or choose another target: {}",
            other.graph_id,
            target.display()
        );
        Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_OF_OTHER_GRAPH", message))
    }

    /// Refuses a target in which another graph lies that would go with what is replaced.
    async fn check_holds_no_other(&self, graph_id: &GraphId, target: &Path, known: &[GraphId]) -> Result<(), Error> {
        let is_other = |graph: &graph::Model| graph.graph_id != *graph_id && !known.contains(&graph.graph_id);
        let others = graphs::list_all(self.store().read()).await?.into_iter().filter(is_other);
        let sources = others.map(|graph| (PathBuf::from(graph.source_dir), graph.graph_id));
        let nested: Vec<(PathBuf, GraphId)> = sources.filter(|(source, _)| source.starts_with(target) && source != target).collect();
        let target = target.to_path_buf();
        self.blocking(move || {
            // A workspace directly in it stays there; what is gone cannot be taken away.
            let stays = |source: &Path| !source.exists() || source.parent() == Some(&target) && is_other_workspace(source).unwrap_or(false);
            match nested.iter().find(|(source, _)| !stays(source)) {
                None => Ok(()),
                Some((source, other)) => {
                    let message = format!("graph `{other}` lies in the target, choose another: {}", source.display());
                    Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message))
                }
            }
        })
        .await
    }

    /// Refuses a target that a running LightRAG server uses: the server of the restore's own graph, unless forced, and of any other
    /// graph whose place it is, which whoever restores may not know of.
    ///
    /// # Errors
    /// A server says that it does.
    pub(super) async fn check_target_unused(&self, graph_id: &GraphId, target: &Path, force: bool) -> Result<(), Error> {
        let mut asked = self.graphs_at(target).await?;
        asked.retain(|graph| graph.graph_id != *graph_id);
        if !force {
            asked.extend(graphs::find(self.store().read(), graph_id).await?);
        }
        for graph in asked {
            let Some(url) = &graph.server_url else { continue };
            let server = Server::new(url, self.server_api_key(&graph).await?)?;
            // A server that cannot be asked does not run, as far as anybody can tell.
            if matches!(server.serves_directory(target).await, Ok(Some(true))) {
                return Err(in_use(&graph, url, graph.graph_id == *graph_id, target));
            }
        }
        Ok(())
    }

    /// The graphs that are registered with this directory, as their source or for their inputs.
    async fn graphs_at(&self, directory: &Path) -> Result<Vec<graph::Model>, Error> {
        match directory.to_str() {
            Some(text) => Ok(graphs::list_by_directory(self.store().read(), text).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Checks again what was asked of a fork's id, and of what stands at the target, when the restore was asked for: both may have been
    /// taken since.
    ///
    /// # Errors
    /// They have.
    pub(super) async fn check_still_free(&self, payload: &RestorePayload) -> Result<(), Error> {
        if let Some(fork) = payload.fork_graph_id.as_deref().and_then(|id| GraphId::parse(id).ok()) {
            self.check_fork_id(&fork).await?;
        }
        let new = payload.wants_new_target().then(|| payload.target_dir.clone()).into_iter();
        let new = new.chain(payload.inputs_target_dir.clone().filter(|_| payload.wants_new_inputs_target()));
        let new: Vec<PathBuf> = new.collect();
        self.blocking(move || new.iter().try_for_each(|target| if is_empty(target) { Ok(()) } else { Err(not_empty(target)) })).await
    }

    /// Refuses an id for a fork that a graph has.
    ///
    /// # Errors
    /// A graph has it.
    pub(super) async fn check_fork_id(&self, fork: &GraphId) -> Result<(), Error> {
        if graphs::find(self.store().read(), fork).await?.is_none() {
            return Ok(());
        }
        let message = format!("graph `{fork}` is registered already");
        Err(Error::refused(ErrorKind::AlreadyExists, "GRAPH_EXISTS", message))
    }
}

impl RestorePayload {
    /// Whether nothing may stand at the target.
    pub(super) fn wants_new_target(&self) -> bool {
        !self.paths.is_empty() || self.fork_graph_id.is_some()
    }

    /// Whether nothing may stand where the inputs go.
    pub(super) fn wants_new_inputs_target(&self) -> bool {
        self.fork_graph_id.is_some()
    }
}

/// Whether nothing stands at a path, or an empty directory.
pub(super) fn is_empty(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// What a restore finds that was told to find nothing.
pub(super) fn not_empty(target: &Path) -> Error {
    let message = format!("something stands at the target since the restore was asked for, name another: {}", target.display());
    Error::refused(ErrorKind::FailedPrecondition, "TARGET_CONFLICT", message)
}

fn in_use(graph: &graph::Model, url: &str, is_own: bool, target: &Path) -> Error {
    let what_to_do = if is_own { "stop it or set `force`" } else { "stop it" };
    let message = format!(
        "the LightRAG server of graph `{}` at `{url}` uses the target and would overwrite it, {what_to_do}: {}",
        graph.graph_id,
        target.display()
    );
    Error::refused(ErrorKind::FailedPrecondition, "TARGET_IN_USE", message)
}
