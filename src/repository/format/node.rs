//! Nodes: the entries of a tree, written as restic's encoder writes them.

use std::fmt::Write as _;

use super::attribute::{self, Attribute};
use super::id::BlobId;
use super::time::Time;
use super::{json, mode, quote, time};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket, which restic knows but does not record.
    Socket,
}

impl NodeKind {
    /// The kind in a Unix mode; `None` for what nobody knows.
    pub(crate) fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o060_000 => Self::BlockDevice,
            0o020_000 => Self::CharacterDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }

    /// The kind as a Unix mode has it: the reverse of [`NodeKind::of_mode`].
    fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Symlink => 0o120_000,
            Self::BlockDevice => 0o060_000,
            Self::CharacterDevice => 0o020_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "dir",
            Self::Symlink => "symlink",
            Self::BlockDevice => "dev",
            Self::CharacterDevice => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
        }
    }

    /// The kind that a tree names.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let all = [Self::File, Self::Directory, Self::Symlink, Self::BlockDevice, Self::CharacterDevice, Self::Fifo, Self::Socket];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Name, any bytes but `/` and NUL.
    pub(crate) name: Vec<u8>,
    /// What it is.
    pub(crate) kind: NodeKind,
    /// Unix permissions, with or without the file type.
    pub(crate) mode: u32,
    /// Last change of the content.
    pub(crate) modified: Time,
    /// Last access; restic writes the time of modification unless told otherwise, and so do we.
    pub(crate) accessed: Time,
    /// Last change of the inode.
    pub(crate) changed: Time,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Owner's name; may be empty.
    pub(crate) user: String,
    /// Group's name; may be empty.
    pub(crate) group: String,
    /// Inode number.
    pub(crate) inode: u64,
    /// Device that it is on.
    pub(crate) device_id: u64,
    /// Size of a file.
    pub(crate) size_bytes: u64,
    /// Number of hard links; 0 for directories.
    pub(crate) links: u64,
    /// Where a link points.
    pub(crate) link_target: Vec<u8>,
    /// Extended attributes in the system's order.
    pub(crate) attributes: Vec<Attribute>,
    /// Device number of a device.
    pub(crate) device: u64,
    /// A file's content in order.
    pub(crate) content: Vec<BlobId>,
    /// A directory's tree.
    pub(crate) subtree: Option<BlobId>,
}

fn write_id(out: &mut String, id: &BlobId) {
    let mut digits = [0; 64];
    out.push('"');
    if hex::encode_to_slice(id.0, &mut digits).is_ok() {
        out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
    out.push('"');
}

/// Appends ids as a JSON array of strings.
fn write_ids(out: &mut String, ids: &[BlobId]) {
    out.push('[');
    for (position, id) in ids.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_id(out, id);
    }
    out.push(']');
}

fn write_number(out: &mut String, field: &str, value: u64) {
    // Go's `omitempty`: zero is left out
    if value != 0 {
        let _infallible = write!(out, ",\"{field}\":{value}");
    }
}

fn write_text(out: &mut String, field: &str, value: &str) {
    if !value.is_empty() {
        let _infallible = write!(out, ",\"{field}\":");
        json::write_string(out, value);
    }
}

impl Node {
    /// Appends the node's JSON: keys in the order of restic's `Node` structure, empty ones left out where it leaves them out.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str("{\"name\":");
        json::write_string(out, &quote::quote(&self.name));
        let _infallible = write!(out, ",\"type\":\"{}\"", self.kind.name());
        // a node that was read has no file type in its mode
        write_number(out, "mode", u64::from(mode::to_go(self.mode & 0o7777 | self.kind.mode())));
        for (field, value) in [("mtime", self.modified), ("atime", self.accessed), ("ctime", self.changed)] {
            let _infallible = write!(out, ",\"{field}\":\"");
            time::write(out, value);
            out.push('"');
        }
        let _infallible = write!(out, ",\"uid\":{},\"gid\":{}", self.uid, self.gid);
        write_text(out, "user", &self.user);
        write_text(out, "group", &self.group);
        write_number(out, "inode", self.inode);
        write_number(out, "device_id", self.device_id);
        write_number(out, "size", self.size_bytes);
        write_number(out, "links", self.links);
        self.write_link_target(out);
        if !self.attributes.is_empty() {
            out.push_str(",\"extended_attributes\":[");
            for (position, attribute) in self.attributes.iter().enumerate() {
                out.push_str(if position > 0 { ",{\"name\":" } else { "{\"name\":" });
                json::write_string(out, &attribute.name);
                out.push_str(",\"value\":");
                attribute::write_base64(out, &attribute.value);
                out.push('}');
            }
            out.push(']');
        }
        write_number(out, "device", self.device);
        out.push_str(",\"content\":");
        if self.kind == NodeKind::File {
            write_ids(out, &self.content);
        } else {
            out.push_str("null");
        }
        if let Some(subtree) = &self.subtree {
            out.push_str(",\"subtree\":");
            write_id(out, subtree);
        }
        out.push('}');
    }

    fn write_link_target(&self, out: &mut String) {
        match std::str::from_utf8(&self.link_target) {
            Ok(target) => write_text(out, "linktarget", target),
            // since restic 0.16 the true bytes stand beside the lossy text; older ones restore the lossy text
            Err(_) => {
                write_text(out, "linktarget", &json::lossy(&self.link_target));
                out.push_str(",\"linktarget_raw\":");
                attribute::write_base64(out, &self.link_target);
            }
        }
    }
}
