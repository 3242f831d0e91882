//! A second reader beside the backup's own reading, so that a file is read from the disk once.

use bytes::Bytes;

/// Sees one file's bytes while the engine reads them: pieces in order, then `None` at the end of the file.
/// Dropped without `None` when the reading broke off. A tap that is slow slows the reading; it never fails it.
pub type Tap = Box<dyn FnMut(Option<Bytes>) + Send>;
