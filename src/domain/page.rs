//! Pages of lists: how many, and from where.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::base::timestamp::Timestamp;

/// How many items a page has when the caller does not say.
pub const DEFAULT_PAGE_SIZE: u64 = 50;
/// How many items a page has at most.
pub const MAX_PAGE_SIZE: u64 = 1000;

/// A page that was asked for; `K` is the list's sort key, and the page begins after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// At most so many items.
    pub size: u64,
    /// The last item of the page before.
    pub after: Option<K>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Asks for the next page; none after the last.
    pub next_page_token: Option<String>,
}

/// The key of a list that is sorted: it becomes a page token.
pub trait PageKey: Sized {
    /// The key as text.
    fn to_text(&self) -> String;
    /// The key of a text that [`PageKey::to_text`] made.
    fn from_text(text: &str) -> Option<Self>;
}

/// The key of lists sorted by time, then by id.
pub type TimeKey = (Timestamp, String);

impl PageKey for TimeKey {
    fn to_text(&self) -> String {
        format!("{}:{}", self.0.micros(), self.1)
    }

    fn from_text(text: &str) -> Option<Self> {
        let (micros, id) = text.split_once(':')?;
        Some((Timestamp::from_micros(micros.parse().ok()?), id.to_owned()))
    }
}

/// The key of lists sorted by graph, then by time, then by id.
pub type GraphTimeKey = (String, Timestamp, String);

impl PageKey for GraphTimeKey {
    fn to_text(&self) -> String {
        format!("{}:{}:{}", self.1.micros(), self.2, self.0)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (micros, id, graph_id) = (parts.next()?, parts.next()?, parts.next()?);
        Some((graph_id.to_owned(), Timestamp::from_micros(micros.parse().ok()?), id.to_owned()))
    }
}

/// Lists sorted by name.
impl PageKey for String {
    fn to_text(&self) -> String {
        format!("n{self}")
    }

    fn from_text(text: &str) -> Option<Self> {
        text.strip_prefix('n').map(str::to_owned)
    }
}

impl<K: PageKey> PageRequest<K> {
    /// Reads a caller's wish.
    ///
    /// # Errors
    /// The name of the field that is wrong, and what is wrong with it.
    pub fn parse(page_size: i32, page_token: &str) -> Result<Self, (&'static str, String)> {
        let size = match u64::try_from(page_size) {
            Err(_) => return Err(("page_size", format!("must not be negative: {page_size}"))),
            Ok(0) => DEFAULT_PAGE_SIZE,
            Ok(size) => size.min(MAX_PAGE_SIZE),
        };
        if page_token.is_empty() {
            return Ok(Self { size, after: None });
        }
        let text = BASE64_URL_SAFE_NO_PAD.decode(page_token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.filter(|text| !text.contains(char::is_control));
        match text.as_deref().and_then(K::from_text) {
            Some(after) => Ok(Self { size, after: Some(after) }),
            None => Err(("page_token", "is not a token of this list, leave it out to begin again".to_owned())),
        }
    }

    /// Makes the page out of up to `size + 1` items: the one too many says that there is a next page.
    pub fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let last = items.last().filter(|_| more);
        let next_page_token = last.map(|item| BASE64_URL_SAFE_NO_PAD.encode(key(item).to_text()));
        Page { items, next_page_token }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wishes_are_checked() {
        let parse = PageRequest::<String>::parse;
        assert_eq!(parse(0, "").unwrap().size, 50);
        assert_eq!(parse(5000, "").unwrap().size, 1000);
        assert_eq!(parse(-1, "").unwrap_err().0, "page_size");
        assert_eq!(parse(1, "%%").unwrap_err().0, "page_token");
        assert_eq!(PageRequest::<TimeKey>::parse(1, "bmE").unwrap_err().0, "page_token");
    }

    proptest! {
        #[test]
        fn following_the_tokens_visits_each_item_once(count in 0usize..40, size in 1i32..10) {
            let all: Vec<String> = (0..count).map(|i| format!("{i:03}")).collect();
            let (mut seen, mut token) = (vec![], String::new());
            loop {
                let request = PageRequest::<String>::parse(size, &token).unwrap();
                let rest = all.iter().filter(|item| request.after.as_ref().is_none_or(|after| *item > after));
                let fetched: Vec<String> = rest.take(request.size as usize + 1).cloned().collect();
                let page = request.page(fetched, String::clone);
                seen.extend(page.items);
                match page.next_page_token { Some(next) => token = next, None => break }
            }
            prop_assert_eq!(seen, all);
        }
    }
}
