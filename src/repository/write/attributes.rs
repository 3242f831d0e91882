//! Extended attributes of a source.

use std::io;
use std::path::Path;

use rustix::fs::{getxattr, lgetxattr, listxattr, llistxattr};
use rustix::io::Errno;

use super::reader::{is_held_open, unreadable};
use crate::repository::error::Error;
use crate::repository::format::attribute::Attribute;

/// The system's limit for a list of names and for a value.
const LARGEST_BYTES: usize = 64 << 10;

fn list(path: &Path, buffer: &mut [u8]) -> Result<usize, Errno> {
    if is_held_open(path) { listxattr(path, buffer) } else { llistxattr(path, buffer) }
}

fn get(path: &Path, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
    if is_held_open(path) { getxattr(path, name, buffer) } else { lgetxattr(path, name, buffer) }
}

/// All extended attributes of a path, which is not followed unless it names a file that we hold open. Where the file system has none, there
/// are none.
pub(crate) fn read(path: &Path) -> Result<Vec<Attribute>, Error> {
    // one call for most files, which have none
    let mut small = [0; 512];
    let mut large = Vec::new();
    let names = match list(path, &mut small) {
        Ok(0) | Err(Errno::NOTSUP | Errno::NODATA) => return Ok(Vec::new()),
        Ok(length) => &small[..length],
        Err(Errno::RANGE) => {
            large.resize(LARGEST_BYTES, 0);
            let length = list(path, &mut large).map_err(|error| unreadable(path)(error.into()))?;
            &large[..length]
        }
        Err(error) => return Err(unreadable(path)(error.into())),
    };
    let mut attributes = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; LARGEST_BYTES];
        match get(path, name, &mut value) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue, // removed since
            Err(error) => return Err(unreadable(path)(io::Error::from(error))),
        }
        value.shrink_to_fit();
        attributes.push(Attribute { name: String::from_utf8_lossy(name).into_owned(), value });
    }
    Ok(attributes)
}
