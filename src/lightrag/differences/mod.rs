//! How two states of a workspace differ: which documents, chunks, entities and relations came, went or changed.
//!
//! Of the earlier state 33 bytes for each row of one store are held (of the graph, for each node and edge), the later state streams
//! past them; names are held for one page only. Vectors, caches and anchors are derived, and not looked at.

mod base;
mod page;
mod rows;
mod state;

use std::io;

use crate::base::control::Control;
use crate::domain::difference::{Change, Differences, Filter, Item, Part, Side};
use crate::lightrag::Error;
use crate::lightrag::files::Files;
use crate::lightrag::workspace::Store;

use base::Base;
use page::Page;
use state::State;

/// The stores that are compared, and what their rows are.
const STORES: [(Store, &[Part]); 3] =
    [(Store::DocStatus, &[Part::Documents]), (Store::TextChunks, &[Part::Chunks]), (Store::Graph, &[Part::Entities, Part::Relations])];

/// Counts how the state `after` differs from the state `before`. A store file that a state does not have counts as empty.
///
/// # Errors
/// [`Error::CompareRead`] and [`Error::CompareDamaged`] name the file and the side; and [`Error::Cancelled`].
pub fn differences(before: &dyn Files, after: &dyn Files, control: &Control) -> Result<Differences, Error> {
    compare(before, after, &mut Page::new(&Filter::default(), None, 0), control)
}

/// Counts as [`differences`] does, whatever `filter` wants, and gives one page of those items that it wants: at most `size` (which
/// bounds memory), in the order of parts, then of the bytes of keys, from the first that comes after the item `after_item`.
///
/// # Errors
/// As [`differences`].
pub fn list_differences(
    before: &dyn Files,
    after: &dyn Files,
    filter: &Filter,
    after_item: Option<(Part, String)>,
    size: usize,
    control: &Control,
) -> Result<(Differences, Vec<Item>), Error> {
    let mut page = Page::new(filter, after_item, size);
    let differences = compare(before, after, &mut page, control)?;
    Ok((differences, page.into_items()))
}

fn compare(before: &dyn Files, after: &dyn Files, page: &mut Page<'_>, control: &Control) -> Result<Differences, Error> {
    control.begin_stage("compare", 0);
    let mut differences = Differences::default();
    for (store, parts) in STORES {
        // An error of asking shows again, with its file's name, where the file is read.
        if is_shared(store, before, after).unwrap_or(false) {
            count_shared(store, before, &mut differences, control)?;
            continue;
        }
        let before = State::of(store, Side::Before, before, control)?;
        let after = State::of(store, Side::After, after, control)?;
        compare_store(parts, &before, &after, &mut differences, page)?;
    }
    let entities = differences.entities;
    if entities.before > 0 {
        differences.entities_lost_share = entities.removed as f64 / entities.before as f64;
    }
    Ok(differences)
}

/// Whether both states are known to have the same content of a store.
fn is_shared(store: Store, before: &dyn Files, after: &dyn Files) -> io::Result<bool> {
    let same = |store: Store| -> io::Result<bool> {
        let id = before.content_id(store.file_name().as_ref())?;
        Ok(id.is_some() && id == after.content_id(store.file_name().as_ref())?)
    };
    // A document's text can be in the other file.
    Ok(same(store)? && (store != Store::DocStatus || same(Store::FullDocs)?))
}

fn count_shared(store: Store, files: &dyn Files, differences: &mut Differences, control: &Control) -> Result<(), Error> {
    State::without_texts(store, Side::Before, files, control).rows(&mut |row| {
        let counts = differences.part_mut(row.part);
        counts.before += 1;
        counts.after += 1;
    })
}

fn compare_store(
    parts: &[Part],
    before: &State<'_>,
    after: &State<'_>,
    differences: &mut Differences,
    page: &mut Page<'_>,
) -> Result<(), Error> {
    let mut base = Base::default();
    before.rows(&mut |row| base.add(row.part, row.key, row.content))?;
    base.sort();
    after.rows(&mut |row| {
        let Some(change) = base.see(row.part, row.key, row.content, differences.part_mut(row.part)) else { return };
        page.offer(row.part, change, row.key, row.detail);
    })?;
    let mut names_wanted = false;
    for &part in parts {
        let counts = differences.part_mut(part);
        (counts.before, counts.removed) = base.rows_and_unseen(part);
        names_wanted |= counts.removed > 0 && page.wants(part, Change::Removed);
    }
    if names_wanted {
        before.rows(&mut |row| {
            if base.take_unseen(row.part, row.key) {
                page.offer(row.part, Change::Removed, row.key, row.detail);
            }
        })?;
    }
    Ok(())
}
