//! What is held of the earlier state: digests.

use md5::{Digest as _, Md5};

use crate::domain::difference::{Change, Part, PartCounts};

/// 128 bits of a key or of content. That among a million keys any two share one has a probability of about 1 in 10^27.
pub(super) type Digest = u128;

/// The digest of several texts; where one ends and the next begins counts.
pub(super) fn digest(texts: &[&[u8]]) -> Digest {
    let mut md5 = Md5::new();
    for text in texts {
        md5.update((text.len() as u64).to_le_bytes());
        md5.update(text);
    }
    Digest::from_be_bytes(md5.finalize().into())
}

/// The rows of a store of the earlier state: 33 bytes each.
#[derive(Default)]
pub(super) struct Base {
    nodes: Rows,
    edges: Rows,
}

#[derive(Default)]
struct Rows {
    /// Digests of key and content, sorted by key.
    digests: Vec<(Digest, Digest)>,
    /// Whether the later state has the row.
    seen: Vec<bool>,
}

impl Base {
    /// Only the graph has rows of two parts.
    fn rows_mut(&mut self, part: Part) -> &mut Rows {
        if part == Part::Relations { &mut self.edges } else { &mut self.nodes }
    }

    pub(super) fn add(&mut self, part: Part, key: &[u8], content: Digest) {
        self.rows_mut(part).digests.push((digest(&[key]), content));
    }

    /// To be called once, when all rows are added. Of a key that occurs twice the last row counts, as for Python.
    pub(super) fn sort(&mut self) {
        for rows in [&mut self.nodes, &mut self.edges] {
            rows.digests.sort_by_key(|(key, _)| *key);
            rows.digests.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    kept.1 = later.1;
                }
                same
            });
            rows.digests.shrink_to_fit();
            rows.seen = vec![false; rows.digests.len()];
        }
    }

    /// Takes a row of the later state, counts it, and says what became of it.
    pub(super) fn see(&mut self, part: Part, key: &[u8], content: Digest, counts: &mut PartCounts) -> Option<Change> {
        let rows = self.rows_mut(part);
        let Some(at) = rows.position(key) else {
            counts.after += 1;
            counts.added += 1;
            return Some(Change::Added);
        };
        if std::mem::replace(&mut rows.seen[at], true) {
            return None;
        }
        counts.after += 1;
        if rows.digests[at].1 == content {
            return None;
        }
        counts.changed += 1;
        Some(Change::Changed)
    }

    /// How many rows there are, and how many of them the later state does not have.
    pub(super) fn rows_and_unseen(&mut self, part: Part) -> (u64, u64) {
        let seen = &self.rows_mut(part).seen;
        (seen.len() as u64, seen.iter().filter(|seen| !**seen).count() as u64)
    }

    /// Whether the later state does not have this row of the earlier one; told once.
    pub(super) fn take_unseen(&mut self, part: Part, key: &[u8]) -> bool {
        let rows = self.rows_mut(part);
        rows.position(key).is_some_and(|at| !std::mem::replace(&mut rows.seen[at], true))
    }
}

impl Rows {
    fn position(&self, key: &[u8]) -> Option<usize> {
        let key = digest(&[key]);
        self.digests.binary_search_by_key(&key, |(key, _)| *key).ok()
    }
}
