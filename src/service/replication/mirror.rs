//! Copies with a password of their own. What is at the target of config, keys, index and records is mirrored here, so that the copy can be
//! opened; its packs are made here, sent, and removed. All of it can be made again from the target.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Services;
use super::super::error::{Error, ErrorKind};
use super::super::repository_lock::HeldLock;
use super::destination::{Destination, Getting};
use super::sending::Line;
use super::transfer::Sent;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::secret::Secret;
use crate::domain::graph_id::GraphId;
use crate::repository::{Commit, FileId, FileKind, LockKind, RecordId, Replica, Repository, ResealedPack, Resealer};
use crate::store::entity::{snapshot, target};

/// An index file is sent after so many packs: after a break these at most are sent again.
const PACKS_PER_INDEX: usize = 8;

/// So many keys a copy may have.
const MOST_KEYS: usize = 64;

/// A copy that is filled with another key.
pub(super) struct Mirroring<'a> {
    pub(super) services: &'a Services,
    pub(super) target: &'a target::Model,
    pub(super) graph_id: &'a GraphId,
    pub(super) from: Arc<Repository>,
    pub(super) destination: &'a Destination,
    pub(super) line: &'a Arc<Line>,
    pub(super) control: &'a Arc<Control>,
    /// Whether what is there already is made whole, or what is not there brought.
    pub(super) mends: bool,
    /// Packs there that are damaged: what lies in them only is sent again.
    pub(super) distrusted: Vec<FileId>,
}

impl Services {
    /// The password that copies at a target have, where it is another one.
    ///
    /// # Errors
    /// It was sealed with another key.
    pub(super) async fn password_at(&self, target: &target::Model) -> Result<Option<Secret>, Error> {
        self.open_optional(target.repository_password.clone()).await
    }

    fn mirrors_of(&self, target: &target::Model) -> PathBuf {
        self.settings().places.storage.join(".mirrors").join(target.target_id.to_string())
    }

    /// Where the mirror of a copy lies.
    pub(super) fn mirror_root(&self, target: &target::Model, graph_id: &GraphId) -> PathBuf {
        self.mirrors_of(target).join(graph_id.as_str())
    }

    /// Removes all mirrors of what is at a target.
    ///
    /// # Errors
    /// The disk refuses it.
    pub(super) async fn remove_mirrors(&self, target: &target::Model) -> Result<(), Error> {
        let doomed = self.mirrors_of(target);
        self.blocking(move || remove(&doomed)).await
    }
}

impl Mirroring<'_> {
    /// Brings a snapshot there, or makes it whole there; none where there is nothing to do for it.
    pub(super) async fn send(&self, mirror: &Arc<Repository>, row: &snapshot::Model, record: RecordId) -> Result<Option<Sent>, Error> {
        let tag = super::super::snapshot_record::snapshot_tag(row);
        let looked_in = Arc::clone(mirror);
        let found = self.services.blocking(move || looked_in.find_record_by_tag(&tag)).await?;
        // Either it is to be brought there, or what is there of it is to be made whole: what was deleted there is not brought again.
        if found.is_some() != self.mends {
            return Ok(None);
        }
        let lock = HeldLock::try_take(self.services, &self.from, LockKind::Shared).await?;
        let (from, into, held, control) = (Arc::clone(&self.from), Arc::clone(mirror), lock.clone(), Arc::clone(self.control));
        let distrusted = self.distrusted.clone();
        let made = self.services.blocking(move || Resealer::new(&from, &into, record, &distrusted, &control, held.lock())).await;
        lock.release(self.services).await;
        let resealer = made?;
        failpoint::reach("replication.planned");
        self.control.begin_stage("send", resealer.bytes());
        let mut sent = Sent::default();
        let relied = resealer.relied();
        let (resealer, mut packs) = self.send_packs(resealer, &mut sent).await?;
        if found.is_some() {
            return Ok(Some(sent));
        }
        // Kept here too: should it be damaged there, it cannot be made again under its name.
        let record = self.services.blocking(move || resealer.record(record)).await?;
        sent.count(record.1.len() as u64);
        // Also the packs that were there already: a prune there may take them until the record needs them.
        packs.extend(relied);
        self.destination.commit(Commit { base: None, packs, indexes: Vec::new(), record, replaced: Vec::new() }).await?;
        failpoint::reach("replication.committed");
        Ok(Some(sent))
    }

    /// Makes one pack while the one before is sent.
    async fn send_packs(&self, resealer: Resealer, sent: &mut Sent) -> Result<(Resealer, Vec<FileId>), Error> {
        let (mut resealer, mut packs) = (resealer, Vec::new());
        let mut next;
        (resealer, next) = self.make(resealer).await?;
        while let Some(pack) = next {
            let root = self.services.mirror_root(self.target, self.graph_id);
            let sending = async {
                let opened = self.services.blocking(move || Replica::at(&root).open(FileKind::Pack, &pack.id)).await?;
                self.destination.put(FileKind::Pack, pack.id, opened, &self.line.throttle).await
            };
            let made;
            (made, ()) = tokio::try_join!(self.make(resealer), sending)?;
            failpoint::reach("replication.pack_sent");
            (resealer, next) = made;
            sent.count(pack.bytes);
            self.control.add_done(pack.bytes);
            packs.push(pack.id);
            resealer = self.services.blocking(move || resealer.forget_pack(&pack.id).map(|()| resealer)).await?;
            if next.is_none() || packs.len().is_multiple_of(PACKS_PER_INDEX) {
                // The pack that is made already is named by the next one.
                resealer = self.send_index(resealer, next.map(|pack| pack.id), sent).await?;
            }
        }
        Ok((resealer, packs))
    }

    async fn make(&self, mut resealer: Resealer) -> Result<(Resealer, Option<ResealedPack>), Error> {
        let control = Arc::clone(self.control);
        self.services.blocking(move || resealer.next_pack(&control).map(|pack| (resealer, pack))).await
    }

    async fn send_index(&self, mut resealer: Resealer, unsent: Option<FileId>, sent: &mut Sent) -> Result<Resealer, Error> {
        let files;
        (resealer, files) = self.services.blocking(move || resealer.index(unsent).map(|files| (resealer, files))).await?;
        for id in files {
            let root = self.services.mirror_root(self.target, self.graph_id);
            let opened = self.services.blocking(move || Replica::at(&root).open(FileKind::Index, &id)).await?;
            let bytes = opened.1;
            self.destination.put(FileKind::Index, id, opened, &self.line.throttle).await?;
            sent.count(bytes);
        }
        Ok(resealer)
    }

    /// The mirror of the copy, in step with it; the copy is begun where there is none.
    pub(super) async fn mirror(&self, password: Secret) -> Result<Arc<Repository>, Error> {
        let root = self.services.mirror_root(self.target, self.graph_id);
        let (services, here) = (self.services, Replica::at(&root));
        let there = self.destination.config().await?;
        let looked_at = here.clone();
        let config = services.blocking(move || looked_at.config()).await?;
        if config.is_some() && config != there {
            // It was of another copy, or of one that was never begun.
            let doomed = root.clone();
            services.blocking(move || remove(&doomed)).await?;
        }
        match there {
            Some(config) => {
                self.follow(&here, config.clone()).await?;
                match self.open(password.clone()).await {
                    // Something of it has rotted here.
                    Err(error) if error.reason() == "REPOSITORY_DAMAGED" => {
                        services.blocking(move || remove(&root)).await?;
                        self.follow(&here, config).await?;
                        self.open(password).await
                    }
                    opened => opened,
                }
            }
            None => {
                let (now, host) = (services.now(), services.settings().host_name.clone());
                let made = services.blocking(move || Ok::<_, Error>(Arc::new(Repository::init(&root, &password, now, &host)?)));
                let mirror = made.await?;
                let founding = Arc::clone(&mirror);
                let founding = services.blocking(move || founding.founding()).await?;
                self.destination.found(founding).await?;
                Ok(mirror)
            }
        }
    }

    async fn open(&self, password: Secret) -> Result<Arc<Repository>, Error> {
        let root = self.services.mirror_root(self.target, self.graph_id);
        self.services.blocking(move || Ok::<_, Error>(Arc::new(Repository::open(&root, &password)?))).await
    }

    /// Gets the small files that are there and not here, and removes those that are here and not there.
    async fn follow(&self, here: &Replica, config: Vec<u8>) -> Result<(), Error> {
        let prepared = here.clone();
        // A pack that an attempt left which was cut off is of no use: it was not named anywhere.
        self.services.blocking(move || prepared.prepare().and_then(|()| prepared.follow(FileKind::Pack, &[]))).await?;
        for kind in [FileKind::Key, FileKind::Index, FileKind::Snapshot] {
            let (there, looked_at) = (list_small(self.destination, kind).await?, here.clone());
            let wanted = self.services.blocking(move || looked_at.follow(kind, &there)).await?;
            for name in wanted {
                let receiving = self.services.begin_unmeasured(here.clone(), kind, name).await?;
                match self.destination.get(kind, name, Getting::new(self.services, receiving)).await {
                    // Damaged there: it, and what only it names, counts as not there, until rereading it finds and mends it.
                    Err(error) if kind != FileKind::Key && ["FILE_MISMATCH", "REPOSITORY_DAMAGED"].contains(&error.reason().as_str()) => {
                        tracing::warn!(target_name = self.target.name, file = %name, "a target holds a damaged {}", kind.noun());
                    }
                    got => drop(got?),
                }
            }
        }
        let begun = here.clone();
        let finished = self.services.blocking(move || {
            let keys: Vec<FileId> = begun.list(FileKind::Key)?.into_iter().map(|(id, _)| id).collect();
            begun.check_keys(&keys)?;
            begun.write_config(&config)
        });
        finished.await
    }
}

/// The names of all files of a kind at a target. Each key may take a while to be tried: nobody needs so many.
pub(super) async fn list_small(destination: &Destination, kind: FileKind) -> Result<Vec<FileId>, Error> {
    let names = destination.list(kind).await?;
    if kind == FileKind::Key && names.len() > MOST_KEYS {
        let message =
            format!("the target lists {} key files of the copy, more than {MOST_KEYS}: remove those that are not needed", names.len());
        return Err(Error::refused(ErrorKind::FailedPrecondition, "TARGET_ANSWER", message));
    }
    Ok(names)
}

fn remove(mirror: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(mirror) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("the mirror of a copy cannot be removed: `{}`: {error}", mirror.display());
            Err(Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message))
        }
        _ => Ok(()),
    }
}
