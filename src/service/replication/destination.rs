//! Where copies of a graph go: a narrow door, behind which is another Lightkeep or a directory. An object store has the same verbs.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::receiving::Receiving;
use super::throttle::Throttle;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::peer::PIECE_LIMIT;
use crate::peer::{self, Address, Kind, Peer};
use crate::repository::{Commit, FileId, FileKind, Founding, RecordId, Reread};
use crate::store::entity::target::Model;

/// Whose doing it is that copies lie in our directories.
const REPLICATION: Caller = Caller { name: "replication", request_id: None };

/// So many pieces of a file may wait to be sent.
const PIECES_AHEAD: usize = 4;

/// How long it may take to make a file last that has arrived.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// The copy of a graph at a target.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// In a directory of ours: a graph of its own.
    Directory { services: Services, copy: GraphId, place: String },
    /// With another Lightkeep.
    Peer { services: Services, peer: Peer, graph_id: String },
}

impl Services {
    /// The copy of a graph at a target, whether there is one yet or not.
    ///
    /// # Errors
    /// The target cannot be reached, or is none.
    pub(super) async fn destination(&self, target: &Model, graph_id: &GraphId) -> Result<Destination, Error> {
        let services = self.clone();
        if target.path.is_some() {
            let (bag, looked_at) = (self.clone(), target.clone());
            self.blocking(move || bag.check_mounted(&looked_at)).await?;
            let copy = GraphId::copy_at(graph_id, &target.name);
            let copy = copy.ok_or_else(|| Error::internal("name a copy", format!("{graph_id} at {}", target.name)))?;
            return Ok(Destination::Directory { services, copy, place: target.name.clone() });
        }
        Ok(Destination::Peer { services, peer: self.peer_of(target).await?, graph_id: graph_id.to_string() })
    }

    /// A connection to a target that is another Lightkeep.
    ///
    /// # Errors
    /// It cannot be reached; its key cannot be opened.
    pub(super) async fn peer_of(&self, target: &Model) -> Result<Peer, Error> {
        let key = self.open_optional(target.api_key.clone()).await?;
        let url = target.grpc_url.as_ref().or(target.base_url.as_ref()).cloned().unwrap_or_default();
        Ok(Peer::connect(&Address { url, rules: self.settings().replication.addresses, key }).await?)
    }
}

impl Destination {
    /// The sealed config of the copy; none where there is none.
    pub(super) async fn config(&self) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Directory { services, copy, place } => Ok(services.describe_copy(place, Some(copy)).await?.config),
            Self::Peer { peer, graph_id, .. } => Ok(peer.describe(Some(graph_id)).await?.config),
        }
    }

    /// Begins the copy.
    pub(super) async fn found(&self, founding: Founding) -> Result<(), Error> {
        match self {
            Self::Directory { services, copy, .. } => services.found_copy(&REPLICATION, copy, founding).await,
            Self::Peer { peer, graph_id, .. } => {
                let Founding { config, key: (name, file) } = founding;
                Ok(peer.found(graph_id, config, (*name.as_bytes(), file)).await?)
            }
        }
    }

    /// Which of some files are not there.
    pub(super) async fn missing(&self, kind: FileKind, names: Vec<FileId>) -> Result<Vec<FileId>, Error> {
        match self {
            Self::Directory { services, copy, .. } => services.find_missing(copy, kind, names).await,
            Self::Peer { peer, graph_id, .. } => {
                let names: Vec<peer::Name> = names.iter().map(|id| *id.as_bytes()).collect();
                let missing = peer.missing(graph_id, to_peer(kind)?, &names).await?;
                Ok(missing.into_iter().map(FileId::from_bytes).collect())
            }
        }
    }

    /// Sends a file of so many bytes. It is there when this returns.
    pub(super) async fn put(&self, kind: FileKind, name: FileId, (file, size): (File, u64), throttle: &Throttle) -> Result<(), Error> {
        match self {
            Self::Directory { services, copy, .. } => {
                let (mut incoming, mut file) = (services.begin_file(copy, kind, name, size).await?, file);
                loop {
                    let (rest, piece) = services.read_piece(file, throttle.piece()).await?;
                    if piece.is_empty() {
                        return services.finish_file(incoming).await;
                    }
                    throttle.acquire(piece.len()).await;
                    (file, incoming) = (rest, services.take_piece(incoming, piece).await?);
                }
            }
            Self::Peer { services, peer, graph_id } => {
                let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
                let read = async move {
                    let mut file = file;
                    loop {
                        let (rest, piece) = services.read_piece(file, throttle.piece()).await?;
                        if piece.is_empty() {
                            return Ok(());
                        }
                        throttle.acquire(piece.len()).await;
                        file = rest;
                        match tokio::time::timeout(PIECE_LIMIT, sender.send(piece)).await {
                            Ok(Ok(())) => {}
                            // The call has ended, and says why.
                            Ok(Err(_)) => return Ok(()),
                            Err(_) => return Err(stalled()),
                        }
                    }
                };
                let sent = async { Ok::<_, Error>(peer.put(graph_id, to_peer(kind)?, *name.as_bytes(), size, pieces).await?) };
                tokio::pin!(sent);
                tokio::select! {
                    // It says why it ends early.
                    result = &mut sent => return result,
                    result = read => result?,
                }
                tokio::time::timeout(ANSWER_LIMIT, sent).await.map_err(|_| stalled())?
            }
        }
    }

    /// As [`Destination::put`], of a file that is here in memory only.
    pub(super) async fn put_bytes(&self, kind: FileKind, name: FileId, bytes: Vec<u8>, throttle: &Throttle) -> Result<(), Error> {
        let (services, size) = (self.services().clone(), bytes.len() as u64);
        let file = services.blocking(move || in_memory(&bytes).map_err(|error| Error::internal("hold a file in memory", error))).await?;
        self.put(kind, name, (file, size), throttle).await
    }

    fn services(&self) -> &Services {
        match self {
            Self::Directory { services, .. } | Self::Peer { services, .. } => services,
        }
    }

    /// Makes files that were sent a snapshot.
    pub(super) async fn commit(&self, commit: Commit) -> Result<(), Error> {
        match self {
            Self::Directory { services, copy, .. } => services.commit_copy(&REPLICATION, copy, commit).await,
            Self::Peer { peer, graph_id, .. } => {
                let bytes = |id: &FileId| *id.as_bytes();
                let commit = peer::Commit {
                    base: commit.base.as_ref().map(|id| *RecordId::as_bytes(id)),
                    packs: commit.packs.iter().map(bytes).collect(),
                    indexes: commit.indexes.into_iter().map(|(id, file)| (bytes(&id), file)).collect(),
                    record: (*commit.record.0.as_bytes(), commit.record.1),
                    replaced: commit.replaced.iter().map(bytes).collect(),
                };
                Ok(peer.commit(graph_id, commit).await?)
            }
        }
    }

    /// The names of all files of a kind.
    pub(super) async fn list(&self, kind: FileKind) -> Result<Vec<FileId>, Error> {
        match self {
            Self::Directory { services, copy, .. } => services.list_copied(copy, kind).await,
            Self::Peer { peer, graph_id, .. } => {
                Ok(peer.list(graph_id, to_peer(kind)?).await?.into_iter().map(FileId::from_bytes).collect())
            }
        }
    }

    /// Gets a file, piece by piece, into `begin`'s incoming one; gives its size in bytes. What more comes than a file may have ends it.
    pub(super) async fn get(&self, kind: FileKind, name: FileId, mut begin: Getting<'_>) -> Result<u64, Error> {
        match self {
            Self::Directory { services, copy, .. } => {
                let mut file = services.open_copied(copy, kind, name).await?;
                loop {
                    let (rest, piece) = services.read_piece(file, super::throttle::LARGEST_PIECE).await?;
                    if piece.is_empty() {
                        return begin.finish().await;
                    }
                    file = rest;
                    begin.take(piece).await?;
                }
            }
            Self::Peer { peer, graph_id, .. } => {
                let mut coming = peer.get(graph_id, to_peer(kind)?, *name.as_bytes()).await?;
                while let Some(piece) = coming.next().await? {
                    begin.take(piece).await?;
                }
                begin.finish().await
            }
        }
    }

    /// Has some files read again there.
    pub(super) async fn reread(&self, after: Option<FileId>, most_bytes: u64) -> Result<Reread, Error> {
        match self {
            Self::Directory { services, copy, .. } => services.reread_copy(copy, after, most_bytes).await,
            Self::Peer { peer, graph_id, .. } => {
                let found = peer.reread(graph_id, after.map(|id| *id.as_bytes()), most_bytes).await?;
                let damaged = found.damaged.iter().map(|file| (of_peer(file.kind), FileId::from_bytes(file.name)));
                Ok(Reread { files: found.files, bytes: found.bytes, damaged: damaged.collect(), next: found.next.map(FileId::from_bytes) })
            }
        }
    }
}

/// A file without a name that holds these bytes.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let descriptor = rustix::fs::memfd_create("lightkeep", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A file that is being got. How long it is, is known at its end.
pub(super) struct Getting<'a> {
    services: &'a Services,
    receiving: Option<Receiving>,
    bytes: u64,
}

impl<'a> Getting<'a> {
    pub(super) fn new(services: &'a Services, receiving: Receiving) -> Self {
        Self { services, receiving: Some(receiving), bytes: 0 }
    }

    async fn take(&mut self, piece: bytes::Bytes) -> Result<(), Error> {
        let receiving = self.receiving.take().ok_or_else(|| Error::internal("receive a file", "it has ended already"))?;
        self.bytes += piece.len() as u64;
        self.receiving = Some(self.services.take_unmeasured(receiving, piece).await?);
        Ok(())
    }

    async fn finish(&mut self) -> Result<u64, Error> {
        let receiving = self.receiving.take().ok_or_else(|| Error::internal("receive a file", "it has ended already"))?;
        self.services.finish_unmeasured(receiving).await?;
        Ok(self.bytes)
    }
}

fn stalled() -> Error {
    let message = format!("the target took nothing for {} s", PIECE_LIMIT.as_secs());
    Error::refused(ErrorKind::Unavailable, "TARGET_CONNECTION_BROKEN", message)
}

fn to_peer(kind: FileKind) -> Result<Kind, Error> {
    match kind {
        FileKind::Key => Ok(Kind::Key),
        FileKind::Snapshot => Ok(Kind::Record),
        FileKind::Index => Ok(Kind::Index),
        FileKind::Pack => Ok(Kind::Pack),
        FileKind::Lock => Err(Error::internal("copy a file", "locks stay where they are")),
    }
}

fn of_peer(kind: Kind) -> FileKind {
    match kind {
        Kind::Key => FileKind::Key,
        Kind::Record => FileKind::Snapshot,
        Kind::Index => FileKind::Index,
        Kind::Pack => FileKind::Pack,
    }
}
