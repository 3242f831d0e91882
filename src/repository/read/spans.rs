//! Ranges of packs that are read at once, and the threads that do so.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::repository::error::Error;
use crate::repository::threads;

/// A span ends when it is as long as this; the last blob may reach beyond.
pub(crate) const SPAN_BYTES: u64 = 4 << 20;
/// Unwanted bytes up to so many are read through, as seeking costs more.
pub(crate) const GAP_BYTES: u64 = 64 << 10;

/// Divides blobs, given in order as their pack, start and end, into spans: ranges of their positions.
pub(crate) fn divide(blobs: impl Iterator<Item = (u32, u64, u64)>) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    let (mut pack, mut from, mut to) = (0, 0, 0);
    for (position, (blob_pack, start, end)) in blobs.enumerate() {
        match spans.last_mut() {
            Some(span) if blob_pack == pack && start <= to + GAP_BYTES && end - from.min(end) <= SPAN_BYTES => {
                span.end = position + 1;
                to = to.max(end);
            }
            _ => {
                spans.push(position..position + 1);
                (pack, from, to) = (blob_pack, start, end);
            }
        }
    }
    spans
}

/// Calls `work` for each item, on several threads of low priority. Each has a state of its own, made by `begin`. The first error
/// ends all.
pub(crate) fn for_each<T: Sync, S>(
    count: usize,
    items: &[T],
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let run = || {
        threads::lower_priority();
        let mut state = begin();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(&mut state, item) {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                next.store(items.len(), Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..count.min(items.len()) {
            scope.spawn(run);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_end_at_packs_gaps_and_sizes() {
        let mib = 1 << 20;
        let blobs = [
            (0, 0, mib),
            (0, mib, 2 * mib),
            (0, 2 * mib, 5 * mib),           // too long
            (0, 5 * mib + 10, 5 * mib + 20), // a small gap
            (0, 9 * mib, 9 * mib + 1),       // a large one
            (1, 9 * mib + 1, 9 * mib + 2),   // another pack
        ];
        assert_eq!(divide(blobs.into_iter()), [0..2, 2..4, 4..5, 5..6]);
    }
}
