//! Extended attributes of a source.

use std::io;
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;

use super::reader::unreadable;
use crate::repository::error::Error;
use crate::repository::format::attribute::Attribute;

/// The system's limit for a list of names and for a value.
const LARGEST_BYTES: usize = 64 << 10;

/// All extended attributes of a path, which is not followed. Where the file system has none, there are none.
pub(crate) fn read(path: &Path) -> Result<Vec<Attribute>, Error> {
    // one call for most files, which have none
    let mut small = [0; 512];
    let mut large = Vec::new();
    let names = match llistxattr(path, &mut small[..]) {
        Ok(0) | Err(Errno::NOTSUP | Errno::NODATA) => return Ok(Vec::new()),
        Ok(length) => &small[..length],
        Err(Errno::RANGE) => {
            large.resize(LARGEST_BYTES, 0);
            let length = llistxattr(path, &mut large[..]).map_err(|error| unreadable(path)(error.into()))?;
            &large[..length]
        }
        Err(error) => return Err(unreadable(path)(error.into())),
    };
    let mut attributes = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; LARGEST_BYTES];
        match lgetxattr(path, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue, // removed since
            Err(error) => return Err(unreadable(path)(io::Error::from(error))),
        }
        value.shrink_to_fit();
        attributes.push(Attribute { name: String::from_utf8_lossy(name).into_owned(), value });
    }
    Ok(attributes)
}
