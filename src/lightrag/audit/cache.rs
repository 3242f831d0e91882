//! Extracts and verdicts of former audits, so that files which have not changed are not read again. Rebuildable: what cannot be read
//! is not there, and what cannot be written is not kept.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use super::extract::{Extract, Head};
use crate::domain::entry::Generation;
use crate::domain::finding::Verdict;
use crate::lightrag::workspace::Store;

/// Changes whenever the form of an extract or the meaning of a rule does.
const MAGIC: &[u8; 16] = b"lightkeep audit2";

/// Smaller files are read again rather than kept: that costs less than a file of ours.
const KEPT_FROM_BYTES: u64 = 1024 * 1024;

/// Longest beginning of an extract that its head lies in: examples in it are cut to 120 characters each.
const HEAD_BYTES_MAX: u64 = 16 * 1024;

const VERDICT_FILE: &str = "verdict";

/// A directory with the extracts of one graph.
#[derive(Debug, Clone)]
pub struct AuditCache {
    directory: PathBuf,
}

/// The generations of a workspace's store files: what a verdict is about.
pub(super) type Generations = Vec<(Store, Generation)>;

#[derive(Serialize, Deserialize)]
struct KeptVerdict {
    generations: Vec<[i64; 5]>,
    verdict: Verdict,
}

#[derive(Serialize, Deserialize)]
struct KeptHead {
    generation: [i64; 5],
    head: Head,
    /// How many there are in each list, in the order of [`AuditCache::keep_extract`].
    lengths: [usize; 7],
}

impl AuditCache {
    /// A cache in this directory, which belongs to one graph and is made when it is first written.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The verdict on a workspace whose store files are exactly these.
    pub(super) fn verdict(&self, generations: &Generations) -> Option<Verdict> {
        let body = read_checked(&self.directory.join(VERDICT_FILE))?;
        let kept: KeptVerdict = serde_json::from_slice(&body).ok()?;
        (kept.generations == numbers_of(generations)).then_some(kept.verdict)
    }

    pub(super) fn keep_verdict(&self, generations: &Generations, verdict: &Verdict) {
        let kept = KeptVerdict { generations: numbers_of(generations), verdict: verdict.clone() };
        if let Ok(body) = serde_json::to_vec(&kept) {
            self.write(VERDICT_FILE, &body);
        }
    }

    /// Whether there probably is an extract of this very file: its head says so. Whether it is whole is seen when it is read.
    pub(super) fn has_extract(&self, store: Store, generation: Generation) -> bool {
        let mut begin = Vec::new();
        let read = |begin: &mut Vec<u8>| File::open(self.extract_path(store))?.take(HEAD_BYTES_MAX).read_to_end(begin);
        generation.size_bytes >= KEPT_FROM_BYTES
            && read(&mut begin).is_ok()
            && begin.starts_with(MAGIC)
            && begin.get(32..).and_then(head_of).is_some_and(|(head, _)| head.generation == numbers_of_one(store, generation))
    }

    pub(super) fn extract(&self, store: Store, generation: Generation) -> Option<Extract> {
        if generation.size_bytes < KEPT_FROM_BYTES {
            return None;
        }
        let body = read_checked(&self.extract_path(store))?;
        let (head, mut numbers) = head_of(&body)?;
        if head.generation != numbers_of_one(store, generation) {
            return None;
        }
        let [keys, references, marked, owners, links, contents, edges] = head.lengths;
        let mut list = |length| Some(take::<1>(&mut numbers, length)?.into_iter().map(|[key]| key).collect());
        let (keys, references, marked) = (list(keys)?, list(references)?, list(marked)?);
        let extract = Extract {
            failure: None,
            head: head.head,
            keys,
            references,
            marked,
            owners: take(&mut numbers, owners)?,
            links: take(&mut numbers, links)?,
            contents: take(&mut numbers, contents)?,
            edges: take(&mut numbers, edges)?,
        };
        numbers.is_empty().then_some(extract)
    }

    /// Keeps an extract in place of an older one. Those of small or damaged files are not kept.
    pub(super) fn keep_extract(&self, store: Store, generation: Generation, extract: &Extract) {
        if generation.size_bytes < KEPT_FROM_BYTES || extract.failure.is_some() {
            return;
        }
        let Extract { keys, references, marked, owners, links, contents, edges, .. } = extract;
        let lengths = [keys.len(), references.len(), marked.len(), owners.len(), links.len(), contents.len(), edges.len()];
        let head = KeptHead { generation: numbers_of_one(store, generation), head: extract.head.clone(), lengths };
        let Ok(head) = serde_json::to_vec(&head) else { return };
        let mut body = (head.len() as u64).to_le_bytes().to_vec();
        body.extend_from_slice(&head);
        let pairs = [owners, links, contents].into_iter().flat_map(|list| list.as_flattened());
        for number in keys.iter().chain(references).chain(marked).chain(pairs).chain(edges.as_flattened()) {
            body.extend_from_slice(&number.to_le_bytes());
        }
        self.write(&format!("{}.extract", store.file_name()), &body);
    }

    fn extract_path(&self, store: Store) -> PathBuf {
        self.directory.join(format!("{}.extract", store.file_name()))
    }

    /// Writes a file whole or not at all. Not flushed to the disk: a power loss leaves something that the checksum refuses.
    fn write(&self, name: &str, body: &[u8]) {
        let path = self.directory.join(name);
        let unfinished = self.directory.join(format!("{name}.new"));
        let content = [MAGIC.as_slice(), &Md5::digest(body), body].concat();
        let written = fs::write(&unfinished, &content).or_else(|_| {
            fs::create_dir_all(&self.directory)?;
            fs::write(&unfinished, &content)
        });
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
            tracing::warn!(path = %path.display(), %error, "audit not cached: the next one reads the file again");
        }
    }
}

fn read_checked(path: &Path) -> Option<Vec<u8>> {
    let mut content = fs::read(path).ok()?;
    let (head, body) = content.split_at_checked(32)?;
    let is_whole = head.starts_with(MAGIC) && head.ends_with(&Md5::digest(body));
    is_whole.then(|| content.split_off(32))
}

/// The head at the beginning of an extract's body, and what follows it.
fn head_of(body: &[u8]) -> Option<(KeptHead, &[u8])> {
    let (length, rest) = body.split_first_chunk::<8>()?;
    let (head, numbers) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(head).ok()?, numbers))
}

fn take<const WIDTH: usize>(numbers: &mut &[u8], count: usize) -> Option<Vec<[u64; WIDTH]>> {
    let (taken, rest) = numbers.split_at_checked(count.checked_mul(WIDTH * 8)?)?;
    *numbers = rest;
    let (words, _) = taken.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    Some((0..count).map(|_| std::array::from_fn(|_| words.next().unwrap_or(0))).collect())
}

fn numbers_of(generations: &Generations) -> Vec<[i64; 5]> {
    generations.iter().map(|(store, generation)| numbers_of_one(*store, *generation)).collect()
}

fn numbers_of_one(store: Store, generation: Generation) -> [i64; 5] {
    let (seconds, nanos) = generation.modified;
    let position = Store::ALL.iter().position(|other| *other == store).unwrap_or(0);
    let inode = generation.inode.cast_signed();
    [i64::try_from(position).unwrap_or(0), inode, generation.size_bytes.cast_signed(), seconds, i64::from(nanos)]
}
