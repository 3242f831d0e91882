//! What a snapshot has that another one has not: files, and for LightRAG graphs documents, chunks, entities and relations.

use std::sync::Arc;

use super::Services;
use super::error::{Error, ErrorKind};
use super::looking::Opened;
use super::snapshot_files::SnapshotFiles;
use crate::base::control::Control;
use crate::domain::difference::{Change, Differences, Filter, Item, Part, PartCounts};
use crate::domain::graph_id::GraphId;
use crate::domain::page::{Page, PageKey, PageRequest};
use crate::lightrag::differences::list_differences;
use crate::lightrag::files::Files;
use crate::repository::{self, Difference, DifferenceCounts};
use crate::store::entity::snapshot::Model;
use crate::store::snapshots;

/// What is compared: the files, or a part of the graph that they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Files, by their paths.
    Files,
    /// A part of a LightRAG graph.
    Graph(Part),
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Of what.
    pub part: Compared,
    /// How.
    pub change: Change,
    /// A path, or the key of the graph's part.
    pub key: String,
    /// For people; may be empty.
    pub detail: String,
}

/// Where a page of differences begins: after this part's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceKey {
    part: Compared,
    key: String,
}

impl PageKey for DifferenceKey {
    fn to_text(&self) -> String {
        let part = match self.part {
            Compared::Files => "files",
            Compared::Graph(part) => part.as_str(),
        };
        // Paths may hold control characters, which a token may not.
        format!("{part}:{}", hex::encode(&self.key))
    }

    fn from_text(text: &str) -> Option<Self> {
        let (part, key) = text.split_once(':')?;
        let part = if part == "files" { Compared::Files } else { Compared::Graph(Part::parse(part)?) };
        Some(Self { part, key: String::from_utf8(hex::decode(key).ok()?).ok()? })
    }
}

/// What was compared, and how it differs.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The other snapshot.
    pub base_snapshot_id: String,
    /// Counts of files.
    pub files: PartCounts,
    /// Counts of the graph; all zero for directories that hold none.
    pub graph: Differences,
    /// A page of what differs.
    pub items: Page<Differing>,
}

impl Services {
    /// Compares a snapshot with another of its graph, or with the one before it of the same directory.
    ///
    /// # Errors
    /// There is no such snapshot, or none before it; one of them cannot be read; too many read already.
    pub async fn diff_snapshots(
        &self,
        graph_id: &GraphId,
        snapshot_id: &str,
        base_snapshot_id: Option<&str>,
        only: Option<Compared>,
        page: PageRequest<DifferenceKey>,
    ) -> Result<Comparison, Error> {
        let other = self.get_snapshot(graph_id, snapshot_id).await?;
        let base = match base_snapshot_id {
            Some(id) => self.get_snapshot(graph_id, id).await?,
            None => self.snapshot_before(&other).await?,
        };
        let turn = self.turn_to_read().await?;
        let (base_opened, other_opened) = (self.open_snapshot(&base).await?, self.open_snapshot(&other).await?);
        let base_snapshot_id = base.snapshot_id.to_string();
        self.read_in_turn(turn, move |control| compare(base_snapshot_id, &base_opened, &other_opened, only, &page, control)).await
    }

    async fn snapshot_before(&self, snapshot: &Model) -> Result<Model, Error> {
        let found = snapshots::find_before(self.store().read(), snapshot).await?;
        found.ok_or_else(|| {
            let message = format!("there is no snapshot before `{}`, name one as `base_snapshot_id`", snapshot.snapshot_id);
            Error::refused(ErrorKind::FailedPrecondition, "NO_BASE_SNAPSHOT", message)
        })
    }
}

fn compare(
    base_snapshot_id: String,
    base: &Opened,
    other: &Opened,
    only: Option<Compared>,
    page: &PageRequest<DifferenceKey>,
    control: &Control,
) -> Result<Comparison, Error> {
    let wanted = usize::try_from(page.size).unwrap_or(usize::MAX).saturating_add(1);
    let with_files = only.is_none_or(|only| only == Compared::Files);
    let mut found = Vec::new();
    // After the cursor: files come before the graph's parts.
    let mut passed = page.after.is_none();
    let in_graph = page.after.as_ref().is_some_and(|after| after.part != Compared::Files);
    let mut take = |difference: Difference| {
        let key = difference.path.to_string_lossy().into_owned();
        if let Some(change) = change_of(difference.change).filter(|_| is_file(&difference)) {
            if passed && with_files && !in_graph && found.len() < wanted {
                found.push(Differing { part: Compared::Files, change, key, detail: String::new() });
            } else if page.after.as_ref().is_some_and(|after| after.key == key) {
                passed = true;
            }
        }
        Ok(())
    };
    let counted = base.repository.differences(&base.root, &other.root, control, other.lock.lock(), &mut take)?;
    let files = |opened: &Opened| SnapshotFiles::new(Arc::clone(&opened.repository), opened.root.clone(), opened.lock.clone());
    let parts = match only {
        None => vec![],
        Some(Compared::Files) => vec![],
        Some(Compared::Graph(part)) => vec![part],
    };
    let room = if only == Some(Compared::Files) { 0 } else { wanted - found.len().min(wanted) };
    let after = page.after.clone().and_then(|after| match after.part {
        Compared::Files => None,
        Compared::Graph(part) => Some((part, after.key)),
    });
    let filter = Filter { parts, changes: vec![] };
    let (before_files, after_files) = (files(base), files(other));
    let (before, later): (&dyn Files, &dyn Files) = (&before_files, &after_files);
    let (graph, items) = list_differences(before, later, &filter, after, room, control)?;
    found.extend(items.into_iter().map(of_item));
    let items = page.page(found, |one| DifferenceKey { part: one.part, key: one.key.clone() });
    Ok(Comparison { base_snapshot_id, files: counts(&counted), graph, items })
}

fn of_item(item: Item) -> Differing {
    Differing { part: Compared::Graph(item.part), change: item.change, key: item.key, detail: item.detail }
}

fn is_file(difference: &Difference) -> bool {
    let of = |side: &Option<(repository::ListedKind, u64)>| side.as_ref().is_some_and(|(kind, _)| *kind == repository::ListedKind::File);
    of(&difference.before) || of(&difference.after)
}

fn change_of(change: repository::Change) -> Option<Change> {
    match change {
        repository::Change::Added => Some(Change::Added),
        repository::Change::Removed => Some(Change::Removed),
        repository::Change::Changed => Some(Change::Changed),
        repository::Change::MetadataOnly => None,
    }
}

fn counts(counted: &DifferenceCounts) -> PartCounts {
    let (added, removed, changed) = (counted.added.files, counted.removed.files, counted.changed.files);
    let both = changed + counted.unchanged.files;
    PartCounts { before: both + removed, after: both + added, added, removed, changed }
}
