//! The formats of the store files, read as streams: JSON, GraphML, vectors. The audit, the differences and the probes read by them.

pub(in crate::lightrag) mod graphml;
pub(in crate::lightrag) mod json;
pub(in crate::lightrag) mod matrix;
pub(in crate::lightrag) mod pieces;
mod utf8;
pub(in crate::lightrag) mod vectors;

/// What joins the names of a pair, and the chunk ids in a `source_id`.
pub(in crate::lightrag) const SEPARATOR: &[u8] = b"<SEP>";

/// A relation by both its names, the smaller first, as LightRAG writes it: whichever comes first in a row.
pub(in crate::lightrag) fn pair([a, b]: [&[u8]; 2]) -> Vec<u8> {
    if a <= b { [a, SEPARATOR, b].concat() } else { [b, SEPARATOR, a].concat() }
}
