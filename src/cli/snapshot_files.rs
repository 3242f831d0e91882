//! Looking into snapshots.

use std::path::PathBuf;

use clap::Args;
use lightkeep_client::google::api::HttpBody;
use lightkeep_client::v1;

use super::complete;
use super::connection::Session;
use super::failure::Failure;
use super::output::{Column, Limit, Listed, page_size};
use super::snapshot::Named;

const ENTRIES: &[Column] =
    &[Column("KIND", "kind"), Column("SIZE", "size_bytes"), Column("MODIFIED", "modified_at"), Column("PATH", "path")];

const COUNTS: &[Column] = &[
    Column("PART", "part"),
    Column("BEFORE", "before"),
    Column("AFTER", "after"),
    Column("ADDED", "added"),
    Column("REMOVED", "removed"),
    Column("CHANGED", "changed"),
];

const DIFFERENCES: &[Column] = &[Column("PART", "part"), Column("CHANGE", "change"), Column("WHAT", "key"), Column("DETAIL", "detail")];

/// Flags of `snapshot browse`.
#[derive(Debug, Clone, Args)]
pub struct BrowseArgs {
    #[command(flatten)]
    named: Named,
    /// The directory in it [default: the snapshot's root].
    #[arg(default_value = "", hide_default_value = true)]
    path: String,
    /// Look into the inputs instead of the workspace.
    #[arg(long)]
    inputs: bool,
}

/// Flags of `snapshot cat`.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    #[command(flatten)]
    named: Named,
    /// The file in it.
    path: String,
    /// A file of the inputs instead of the workspace.
    #[arg(long)]
    inputs: bool,
    /// Write it to this file, which must not be there yet, instead of to standard output.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Flags of `snapshot diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    named: Named,
    /// What it is compared with [default: the one before it].
    #[arg(add = complete::snapshots())]
    base: Option<String>,
    /// List only what differs in this part.
    #[arg(long)]
    part: Option<Part>,
    #[command(flatten)]
    limit: Limit,
}

/// Parts of snapshots.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Part {
    /// Files, whatever they hold.
    Files,
    /// LightRAG's documents.
    Documents,
    /// Their chunks.
    Chunks,
    /// The graph's entities.
    Entities,
    /// The graph's relations.
    Relations,
}

pub(super) async fn browse(session: &Session, arguments: BrowseArgs) -> Result<(), Failure> {
    let (graph_id, snapshot_id) = arguments.named.ids(session).await?;
    let request = v1::BrowseSnapshotRequest {
        graph_id,
        snapshot_id,
        path: arguments.path,
        inputs: arguments.inputs,
        page_size: 1000,
        ..Default::default()
    };
    session.output.list(&session.client.all(request).await?, ENTRIES, "nothing is in it")
}

pub(super) async fn cat(session: &Session, arguments: CatArgs) -> Result<(), Failure> {
    let (graph_id, snapshot_id) = arguments.named.ids(session).await?;
    let request =
        v1::ReadSnapshotFileRequest { graph_id, snapshot_id, path: arguments.path, inputs: arguments.inputs, ..Default::default() };
    let mut parts = session.client.stream(request).await?;
    let Some(path) = &arguments.file else {
        while let Some(part) = parts.message().await.map_err(lightkeep_client::Error::from)? {
            session.output.bytes(&part.data)?;
        }
        return Ok(());
    };
    let mut file = std::fs::File::create_new(path).map_err(|error| Failure::file("cannot make", path, &error))?;
    let written = write_all(&mut parts, &mut file, path).await;
    if written.is_err() {
        // Half a file would be taken for the whole one, and refused the next time.
        let _ = std::fs::remove_file(path);
    }
    written
}

async fn write_all(parts: &mut tonic::Streaming<HttpBody>, file: &mut std::fs::File, path: &std::path::Path) -> Result<(), Failure> {
    while let Some(part) = parts.message().await.map_err(lightkeep_client::Error::from)? {
        std::io::Write::write_all(file, &part.data).map_err(|error| Failure::file("cannot write", path, &error))?;
    }
    Ok(())
}

pub(super) async fn diff(session: &Session, arguments: DiffArgs) -> Result<(), Failure> {
    let (graph_id, snapshot_id) = arguments.named.ids(session).await?;
    let base_snapshot_id = match &arguments.base {
        Some(base) => session.snapshot_id(&graph_id, base).await?,
        None => String::new(),
    };
    let part = arguments.part.map_or(v1::DifferencePart::Unspecified, |part| match part {
        Part::Files => v1::DifferencePart::Files,
        Part::Documents => v1::DifferencePart::Documents,
        Part::Chunks => v1::DifferencePart::Chunks,
        Part::Entities => v1::DifferencePart::Entities,
        Part::Relations => v1::DifferencePart::Relations,
    });
    let limit = arguments.limit.number(session.output.is_json());
    let mut request = v1::DiffSnapshotsRequest {
        graph_id,
        snapshot_id,
        base_snapshot_id,
        part: part.into(),
        page_size: page_size(limit),
        ..Default::default()
    };
    // The first page has the counts too; a comparison is not made once more for them.
    let mut head = session.call(request.clone()).await?;
    let mut listed = Listed { items: std::mem::take(&mut head.differences), goes_on: false };
    request.page_token = std::mem::take(&mut head.next_page_token);
    while listed.items.len() < limit && !request.page_token.is_empty() {
        let page = session.call(request.clone()).await?;
        listed.items.extend(page.differences);
        request.page_token = page.next_page_token;
    }
    listed.goes_on = listed.items.len() > limit || !request.page_token.is_empty();
    listed.items.truncate(limit);
    if session.output.is_json() {
        return session.output.item(&v1::DiffSnapshotsResponse { differences: listed.items, ..head });
    }
    session.output.text(&format!("compared with {}\n\n", head.base_snapshot_id))?;
    session.output.list(&head.counts, COUNTS, "")?;
    session.output.text("\n")?;
    session.output.listed(&listed, DIFFERENCES, "nothing differs")
}
