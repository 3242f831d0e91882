//! Giving restored files, directories and links their metadata.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid, XattrFlags, chownat, fchown, fsetxattr, futimens, utimensat};
use rustix::io::Errno;

use crate::repository::error::Error;
use crate::repository::format::attribute::Attribute;
use crate::repository::format::node::Node;
use crate::repository::format::time::Time;

/// Whether an extended attribute is the system's own rather than a user's.
fn is_of_the_system(name: &str) -> bool {
    ["security.", "system.", "trusted."].iter().any(|prefix| name.starts_with(prefix))
}

/// What is restored of a node beside its content.
#[derive(Debug, Clone)]
pub(crate) struct Restorable {
    mode: u32,
    modified: Time,
    accessed: Time,
    uid: u32,
    gid: u32,
    attributes: Vec<Attribute>,
}

impl Restorable {
    /// Of a node.
    pub(crate) fn of(node: &mut Node) -> Self {
        Self {
            mode: node.mode,
            modified: node.modified,
            accessed: node.accessed,
            uid: node.uid,
            gid: node.gid,
            attributes: std::mem::take(&mut node.attributes),
        }
    }

    fn times(&self) -> Timestamps {
        let timespec = |(seconds, nanos): Time| Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
        Timestamps { last_access: timespec(self.accessed), last_modification: timespec(self.modified) }
    }

    fn owner(&self) -> Option<(Uid, Gid)> {
        // only root may give files away; of others all files are their own
        rustix::process::geteuid().is_root().then(|| (Uid::from_raw(self.uid), Gid::from_raw(self.gid)))
    }

    /// Applies it to an open file or directory: the owner first, as changing it clears the set-user-id bit; times last.
    pub(crate) fn apply(&self, file: &File, path: &Path) -> Result<(), Error> {
        if let Some((uid, gid)) = self.owner() {
            fchown(file, Some(uid), Some(gid)).map_err(|error| Error::io("set the owner of", path)(error.into()))?;
        }
        for attribute in &self.attributes {
            match fsetxattr(file, attribute.name.as_str(), &attribute.value, XattrFlags::empty()) {
                // a file system without attributes, or one that this user may not set
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
                // labels and lists of the system that it was backed up on, which this one may refuse for many reasons
                Err(_) if is_of_the_system(&attribute.name) => {}
                Err(error) => return Err(Error::io("set an extended attribute of", path)(error.into())),
            }
        }
        file.set_permissions(Permissions::from_mode(self.mode)).map_err(Error::io("set the mode of", path))?;
        futimens(file, &self.times()).map_err(|error| Error::io("set the times of", path)(error.into()))
    }

    /// Applies owner and times to a link, which is not followed.
    pub(crate) fn apply_to_link(&self, path: &Path) -> Result<(), Error> {
        if let Some((uid, gid)) = self.owner() {
            chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| Error::io("set the owner of", path)(error.into()))?;
        }
        utimensat(CWD, path, &self.times(), AtFlags::SYMLINK_NOFOLLOW).map_err(|error| Error::io("set the times of", path)(error.into()))
    }

    /// Applies owner, mode and times to a device or pipe, which is not opened: that would wait for its other end.
    pub(crate) fn apply_to_special(&self, path: &Path) -> Result<(), Error> {
        self.apply_to_link(path)?;
        fs::set_permissions(path, Permissions::from_mode(self.mode)).map_err(Error::io("set the mode of", path))?;
        self.apply_to_link(path)
    }
}
