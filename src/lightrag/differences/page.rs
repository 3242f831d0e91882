//! The items of one page, out of any number that come in any order.

use std::collections::BTreeMap;

use crate::domain::difference::{Change, Filter, Item, Part};

/// Keeps the first `size` of the wanted items behind the last page's.
pub(super) struct Page<'f> {
    filter: &'f Filter,
    after_item: Option<(Part, String)>,
    size: usize,
    items: BTreeMap<(Part, String), (Change, String)>,
}

impl<'f> Page<'f> {
    pub(super) fn new(filter: &'f Filter, after_item: Option<(Part, String)>, size: usize) -> Self {
        Self { filter, after_item, size, items: BTreeMap::new() }
    }

    /// Whether items of this kind can be on the page.
    pub(super) fn wants(&self, part: Part, change: Change) -> bool {
        self.size > 0 && self.filter.wants(part, change) && self.after_item.as_ref().is_none_or(|(last, _)| part >= *last)
    }

    pub(super) fn offer(&mut self, part: Part, change: Change, key: &[u8], detail: &[u8]) {
        if !self.wants(part, change) {
            return;
        }
        let place = (part, String::from_utf8_lossy(key).into_owned());
        let is_full = self.items.len() >= self.size;
        if self.after_item.as_ref().is_some_and(|last| place <= *last) || is_full && self.items.keys().next_back() < Some(&place) {
            return;
        }
        self.items.insert(place, (change, String::from_utf8_lossy(detail).into_owned()));
        if self.items.len() > self.size {
            self.items.pop_last();
        }
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        let item = |((part, key), (change, detail))| Item { part, change, key, detail };
        self.items.into_iter().map(item).collect()
    }
}
