//! The receiving side: copies of graphs of other Lightkeeps, and those on our own other disks. Whatever comes is taken file by file;
//! nothing of it can be deleted from there.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::operations::to_json;
use super::super::repositories::{ReconcileWish, RepairWish, RepositoryWish};
use super::super::repository_lock::HeldLock;
use super::room::Room;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::timestamp::Timestamp;
use crate::domain::caller::Caller;
use crate::domain::graph_id::GraphId;
use crate::domain::operation::{OperationKind, OperationState};
use crate::lightrag::apply::free_bytes;
use crate::repository::{
    self, Commit, FileId, FileKind, Founding, Incoming, LockKind, Replica, Repositories, Repository, Reread, largest_bytes,
};
use crate::store::{self, graphs, operations};

/// How long a commit waits for whoever has the copy for himself: less than its caller waits for the answer.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// So much is read again for one call, bytes.
const MOST_REREAD_BYTES: u64 = 1 << 30;

/// What this side has of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Now.
    pub now: Timestamp,
    /// How much room there is, bytes.
    pub free_bytes: u64,
    /// The sealed config of the copy; none where there is none.
    pub config: Option<Vec<u8>>,
}

type OpenRepository = fn(&Repositories, &Path) -> Result<Arc<Repository>, repository::Error>;

/// A file that is being received, with the room for it.
#[derive(Debug)]
pub struct Receiving {
    incoming: Incoming,
    room: Room,
}

impl Services {
    fn replica(&self, copy: &GraphId) -> Replica {
        Replica::at(&self.repository_root(copy))
    }

    /// Tells what there is of a copy, and how much room. Nothing is made.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub async fn describe_copy(&self, place: &str, copy: Option<&GraphId>) -> Result<Held, Error> {
        let (replica, directory, storage) =
            (copy.map(|copy| self.replica(copy)), self.copies_of(place), self.settings().places.storage.clone());
        let (free_bytes, config) = self
            .blocking(move || {
                let at = if directory.exists() { directory } else { storage };
                let config = replica.map_or(Ok(None), |replica| replica.config())?;
                Ok::<_, Error>((free_bytes(&at)?, config))
            })
            .await?;
        Ok(Held { now: self.now(), free_bytes, config })
    }

    /// That copies from a peer do not end up on a disk of ours that has its name.
    ///
    /// # Errors
    /// They would.
    pub async fn check_peer_place(&self, peer: &str) -> Result<(), Error> {
        let link = self.copies_of(peer);
        self.blocking(move || match fs::symlink_metadata(&link) {
            Ok(metadata) if metadata.is_symlink() => {
                let message = "a target of this side has the peer's name: give the peer another name in `LIGHTKEEP_PEER_KEYS`";
                Err(Error::refused(ErrorKind::FailedPrecondition, "PEER_NAME_TAKEN", message))
            }
            _ => Ok(()),
        })
        .await
    }

    /// Begins a copy, and takes it into care: a graph without a source.
    ///
    /// # Errors
    /// Another repository is there; the key file is not what its name says.
    pub async fn found_copy(&self, caller: &Caller, copy: &GraphId, founding: Founding) -> Result<(), Error> {
        let (replica, services) = (self.replica(copy), self.clone());
        let bytes = founding.config.len() + founding.key.1.len();
        let founded = self.blocking(move || {
            let is_new = replica.config()?.is_none();
            let place = replica.root().ancestors().find(|place| place.exists()).unwrap_or(Path::new("/"));
            let _room = services.sending().rooms().reserve(place, bytes as u64)?;
            replica.found(&founding)?;
            Ok::<_, Error>(is_new)
        });
        let is_new = founded.await?;
        self.register_copy(caller, copy).await?;
        // It takes a while to derive the key, which committing needs: meanwhile files come. What is wrong with it is told then.
        if is_new && let Some(alone) = self.sending().alone("open a copy".to_owned()) {
            let (services, root) = (self.clone(), self.repository_root(copy));
            let opening = async move {
                let opened = services.clone().blocking(move || services.repositories().get_or_open(&root).map(drop)).await;
                drop((opened, alone));
            };
            self.tasks().spawn(opening);
        }
        Ok(())
    }

    /// Takes a copy into care, unless it is already.
    async fn register_copy(&self, caller: &Caller, copy: &GraphId) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        if graphs::find(&*transaction, copy).await?.is_some() {
            return Ok(());
        }
        match self.insert_graph(&*transaction, self.plain_graph_row(copy, String::new())).await {
            Err(error) if error.is_race() => return Ok(()),
            inserted => drop(inserted?),
        }
        self.record_audit(&*transaction, caller, "FoundReplica", copy, None).await?;
        Ok(store::commit(transaction).await?)
    }

    /// Which of some files are not there.
    ///
    /// # Errors
    /// They cannot be looked for.
    pub async fn find_missing(&self, copy: &GraphId, kind: FileKind, names: Vec<FileId>) -> Result<Vec<FileId>, Error> {
        let replica = self.replica(copy);
        self.blocking(move || replica.missing(kind, &names)).await
    }

    /// Begins to receive a file of so many bytes.
    ///
    /// # Errors
    /// There is no such copy; the file is too large, or there is no room for it.
    pub async fn begin_file(&self, copy: &GraphId, kind: FileKind, name: FileId, size_bytes: u64) -> Result<Receiving, Error> {
        let (replica, services) = (self.replica(copy), self.clone());
        let begun = self.blocking(move || {
            if replica.config()?.is_none() {
                return Err(Error::refused(ErrorKind::FailedPrecondition, "REPLICA_NOT_FOUND", "there is no such copy: found it first"));
            }
            let incoming = replica.receive(kind, name, size_bytes)?;
            Ok(Receiving { incoming, room: services.sending().rooms().reserve(replica.root(), size_bytes)? })
        });
        begun.await
    }

    /// Begins to receive a file that only its end shows the length of.
    ///
    /// # Errors
    /// There is no room; the disk refuses it.
    pub(super) async fn begin_unmeasured(&self, replica: Replica, kind: FileKind, name: FileId) -> Result<Receiving, Error> {
        let services = self.clone();
        let begun = self.blocking(move || {
            let incoming = replica.receive(kind, name, largest_bytes(kind))?;
            Ok::<_, Error>(Receiving { incoming, room: services.sending().rooms().reserve(replica.root(), 0)? })
        });
        begun.await.map_err(full_here)
    }

    /// Appends bytes to a file that is being received.
    ///
    /// # Errors
    /// More came than were announced; the disk refused them.
    pub async fn take_piece(&self, mut receiving: Receiving, bytes: Bytes) -> Result<Receiving, Error> {
        self.blocking(move || {
            receiving.incoming.write(&bytes)?;
            receiving.room.fill(bytes.len() as u64);
            Ok::<_, Error>(receiving)
        })
        .await
    }

    /// As [`Services::take_piece`], of an unmeasured file: there must be room for the piece.
    ///
    /// # Errors
    /// There is none; as there.
    pub(super) async fn take_unmeasured(&self, receiving: Receiving, bytes: Bytes) -> Result<Receiving, Error> {
        let (rooms, root, count) = (Arc::clone(self.sending().rooms()), receiving.incoming.root().to_path_buf(), bytes.len() as u64);
        let _room = self.blocking(move || rooms.reserve(&root, count)).await.map_err(full_here)?;
        self.take_piece(receiving, bytes).await
    }

    /// Gives a received file its name.
    ///
    /// # Errors
    /// It is not what its name says.
    pub async fn finish_file(&self, receiving: Receiving) -> Result<(), Error> {
        self.blocking(move || receiving.incoming.finish()).await
    }

    /// As [`Services::finish_file`], of an unmeasured file.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn finish_unmeasured(&self, receiving: Receiving) -> Result<(), Error> {
        let Receiving { incoming, room } = receiving;
        self.finish_file(Receiving { incoming: incoming.of_any_length(), room }).await
    }

    /// Makes files that were received a snapshot, and has it listed.
    ///
    /// # Errors
    /// Something that it needs is not there; another process holds the repository.
    pub async fn commit_copy(&self, caller: &Caller, copy: &GraphId, commit: Commit) -> Result<(), Error> {
        let lock = match self.lock_copy(copy, Repositories::get_or_open).await {
            // What comes may be what mends it, and is kept apart from that anyway. A disk that cannot read it says so by the second.
            Err(error) if ["REPOSITORY_DAMAGED", "FILE_SYSTEM"].contains(&error.reason().as_str()) => {
                self.lock_copy(copy, Repositories::open_damaged).await?
            }
            lock => lock?,
        };
        let can_be_read = lock.is_some();
        let committed = self.commit_locked(caller, copy, commit, can_be_read).await;
        if let Some(lock) = lock {
            lock.release(self).await;
        }
        committed?;
        // Of one with another password, only whoever brings it knows what it holds.
        if can_be_read {
            self.list_received(caller, copy).await?;
        }
        failpoint::reach("replica.registered");
        Ok(())
    }

    async fn commit_locked(&self, caller: &Caller, copy: &GraphId, commit: Commit, can_be_read: bool) -> Result<(), Error> {
        // Whoever asked may be gone before the end.
        let gone = self.stopping().child_token();
        let (control, _guard) = (Arc::new(Control::new(gone.clone())), gone.drop_guard());
        self.register_copy(caller, copy).await?;
        if can_be_read {
            // Before anything is done: it waits for the lock, and must not be forgotten.
            self.repair_received(caller, copy, &commit, &control).await?;
        }
        let (replica, rooms) = (self.replica(copy), Arc::clone(self.sending().rooms()));
        let committed = self.blocking(move || {
            let bytes: usize = commit.indexes.iter().map(|(_, file)| file.len()).sum::<usize>() + commit.record.1.len();
            let _room = rooms.reserve(replica.root(), bytes as u64)?;
            Ok::<_, Error>(replica.commit(&commit, &control)?)
        });
        committed.await
    }

    /// Locks a copy, if it can be opened here: nobody here can prune another one either.
    async fn lock_copy(&self, copy: &GraphId, open: OpenRepository) -> Result<Option<HeldLock>, Error> {
        let (services, root) = (self.clone(), self.repository_root(copy));
        let opened = self.blocking(move || Ok::<_, Error>(open(services.repositories(), &root))).await?;
        match opened {
            Ok(repository) => {
                let lock = HeldLock::take_within(LOCK_PATIENCE, self, &repository, LockKind::Shared, &Control::default()).await?;
                Ok(Some(lock))
            }
            Err(repository::Error::WrongPassword { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Queues a repair where damaged index files are replaced, unless one waits: what only this side still has must stand in an index too.
    async fn repair_received(&self, caller: &Caller, copy: &GraphId, commit: &Commit, control: &Arc<Control>) -> Result<(), Error> {
        let (replica, replaced, control) = (self.replica(copy), commit.replaced.clone(), Arc::clone(control));
        let is_damaged = !self.blocking(move || replica.damaged_indexes(&replaced, &control)).await?.is_empty();
        let waiting = (Some(&[OperationKind::Repair][..]), &[OperationState::Queued]);
        if !is_damaged || operations::exists(self.store().read(), copy, waiting.0, waiting.1).await? {
            return Ok(());
        }
        let wish = RepositoryWish::Repair(RepairWish { with_source: false, with_removed: false });
        self.work_on_repository(caller, copy, wish, None).await.map(drop)
    }

    /// Queues the comparison of rows and records, unless one waits already: it finds this record too.
    async fn list_received(&self, caller: &Caller, copy: &GraphId) -> Result<(), Error> {
        let transaction = self.store().begin().await?;
        let waits = operations::exists(&*transaction, copy, Some(&[OperationKind::Reconcile]), &[OperationState::Queued]).await?;
        if !waits {
            let operation = self.new_operation(OperationKind::Reconcile, copy, None, to_json(&ReconcileWish {})?);
            operations::insert(&*transaction, operation).await?;
            self.record_audit(&*transaction, caller, "ReceiveSnapshot", copy, None).await?;
        }
        store::commit(transaction).await?;
        self.wakeup().announce_work();
        Ok(())
    }

    /// The names of all files of a kind.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn list_copied(&self, copy: &GraphId, kind: FileKind) -> Result<Vec<FileId>, Error> {
        let replica = self.replica(copy);
        let listed = self.blocking(move || replica.list(kind)).await?;
        Ok(listed.into_iter().map(|(id, _)| id).collect())
    }

    /// Opens a file of a copy, to give it back.
    ///
    /// # Errors
    /// It is not there.
    pub async fn open_copied(&self, copy: &GraphId, kind: FileKind, name: FileId) -> Result<File, Error> {
        let replica = self.replica(copy);
        Ok(self.blocking(move || replica.open(kind, &name)).await?.0)
    }

    /// The next bytes of an open file, at most so many; none at its end.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn read_piece(&self, mut file: File, most: usize) -> Result<(File, Bytes), Error> {
        let read = self.blocking(move || {
            let (mut buffer, mut filled) = (vec![0; most], 0);
            while filled < most {
                match file.read(&mut buffer[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        let message = format!("a file of the repository cannot be read: {error}");
                        return Err(Error::refused(ErrorKind::DataLoss, "REPOSITORY_DAMAGED", message));
                    }
                }
            }
            buffer.truncate(filled);
            Ok((file, Bytes::from(buffer)))
        });
        read.await
    }

    /// Reads some files of a copy again, and compares each with its name; at the end, packs that its index names and that are gone count as
    /// damaged too, where it can be opened here.
    ///
    /// # Errors
    /// They cannot be listed; the copy is being read again already.
    pub async fn reread_copy(&self, copy: &GraphId, after: Option<FileId>, most_bytes: u64) -> Result<Reread, Error> {
        let _alone = self.sending().alone(format!("reread {copy}")).ok_or_else(|| {
            let message = format!("copy `{copy}` is being read again already, ask later");
            Error::refused(ErrorKind::Exhausted, "REREAD_IN_PROGRESS", message)
        })?;
        // Whoever asked may be gone before the end.
        let gone = self.stopping().child_token();
        let (replica, control, _guard) = (self.replica(copy), Control::new(gone.clone()), gone.drop_guard());
        let most_bytes = most_bytes.min(MOST_REREAD_BYTES);
        let mut found = self.blocking(move || replica.reread(after, most_bytes, &control)).await?;
        if found.next.is_none() {
            let (services, root) = (self.clone(), self.repository_root(copy));
            let absent = self.blocking(move || {
                match services.repositories().get_or_open(&root).and_then(|repository| repository.absent_packs()) {
                    Err(repository::Error::WrongPassword { .. }) => Ok(Vec::new()),
                    // A damaged index file, which was found.
                    Err(error) if error.is_damage() => Ok(Vec::new()),
                    absent => absent,
                }
            });
            found.damaged.extend(absent.await?.into_iter().map(|id| (FileKind::Pack, id)));
        }
        Ok(found)
    }
}

/// It is our own disk that is full, and not a target's.
fn full_here(error: Error) -> Error {
    match error {
        Error::Refused { kind, reason: "TARGET_FULL", message, .. } => Error::refused(kind, "FILE_SYSTEM", message),
        other => other,
    }
}
