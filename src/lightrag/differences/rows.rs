//! The rows of the compared stores: a key, a digest of what counts as content, and something for people.

use md5::{Digest as _, Md5};

use super::base::{Digest, digest};
use crate::domain::difference::Part;
use crate::lightrag::formats::graphml::read_elements;
use crate::lightrag::formats::json::read_object;
use crate::lightrag::formats::pair;
use crate::lightrag::formats::pieces::{Pieces, Stop};

/// One row of a state.
pub(super) struct Row<'r> {
    pub(super) part: Part,
    pub(super) key: &'r [u8],
    pub(super) content: Digest,
    pub(super) detail: &'r [u8],
}

/// What is done with each row.
pub(super) type Sink<'s> = &'s mut dyn FnMut(Row<'_>);

/// The md5 of a document's text, by the document's id.
pub(super) type TextOf<'t> = &'t mut dyn FnMut(&[u8]) -> Option<Digest>;

/// Reads documents. A text counts by its md5, which LightRAG 1.5 keeps in the row; 1.3 has the text itself there; else `text_of` is
/// asked. Times do not count, nor what else a run of the pipeline leaves behind.
pub(super) fn read_documents(pieces: Pieces<'_>, text_of: TextOf<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let (mut status, mut file_path, mut content_hash, mut text) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    read_object(pieces, &mut |scanner, id| {
        for field in [&mut status, &mut file_path, &mut content_hash, &mut text] {
            field.clear();
        }
        let (mut chunks_count, mut chunks) = (None, Md5::new());
        scanner.object(&mut |scanner, field| match field {
            b"status" => scanner.text(&mut status),
            b"file_path" => scanner.text(&mut file_path),
            b"content_hash" => scanner.text(&mut content_hash),
            b"content" => scanner.text(&mut text),
            b"chunks_count" => {
                chunks_count = scanner.number()?;
                Ok(())
            }
            b"chunks_list" => {
                let mut chunk = Vec::new();
                let read = scanner.array(&mut |scanner| {
                    scanner.text(&mut chunk)?;
                    chunks.update(digest(&[&chunk]).to_be_bytes());
                    Ok(())
                });
                read.map(|_| ())
            }
            _ => scanner.pass(),
        })?;
        let text = match (content_hash.as_slice(), text.as_slice()) {
            ([], []) => text_of(id),
            ([], text) => Some(md5(text)),
            (hash, _) => Some(md5_in(hash)),
        };
        let [chunks_count, text] = [chunks_count.map(u128::from), text].map(|number| number.map(u128::to_be_bytes));
        let numbers = [chunks_count, text].map(|number| number.map_or(Vec::new(), Vec::from));
        let content = digest(&[&status, &numbers[0], &numbers[1], &chunks.finalize()]);
        sink(Row { part: Part::Documents, key: id, content, detail: &file_path });
        Ok(())
    })
}

/// Reads whole texts of documents: the md5 of each.
pub(super) fn read_texts(pieces: Pieces<'_>, sink: &mut dyn FnMut(&[u8], Digest)) -> Result<(), Stop> {
    read_contents(pieces, &mut |id, content| sink(id, md5(content)))
}

/// Reads chunks. Only the content counts.
pub(super) fn read_chunks(pieces: Pieces<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    read_contents(pieces, &mut |id, content| sink(Row { part: Part::Chunks, key: id, content: digest(&[content]), detail: b"" }))
}

/// Reads entities and relations. Of an entity its type, description and sources count; of a relation its description, keywords, weight
/// and sources, whichever end comes first.
pub(super) fn read_graph(pieces: Pieces<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let wanted = ["entity_type", "description", "source_id", "keywords", "weight"];
    read_elements(pieces, &wanted, &mut |element| {
        let texts: Vec<&[u8]> = element.texts.iter().map(String::as_bytes).collect();
        let [entity_type, description, sources, keywords, weight] = texts[..] else { return };
        let [first, second] = &element.ends;
        if element.is_node {
            let content = digest(&[entity_type, description, sources]);
            sink(Row { part: Part::Entities, key: first.as_bytes(), content, detail: entity_type });
        } else {
            let key = pair([first.as_bytes(), second.as_bytes()]);
            let content = digest(&[description, keywords, &number_in(weight), sources]);
            sink(Row { part: Part::Relations, key: &key, content, detail: b"" });
        }
    })
}

/// Reads a store of rows with a `content` each.
fn read_contents(pieces: Pieces<'_>, sink: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Stop> {
    let mut content = Vec::new();
    read_object(pieces, &mut |scanner, id| {
        content.clear();
        scanner.object(&mut |scanner, field| if field == b"content" { scanner.text(&mut content) } else { scanner.pass() })?;
        sink(id, &content);
        Ok(())
    })
}

fn md5(text: &[u8]) -> Digest {
    Digest::from_be_bytes(Md5::digest(text).into())
}

/// The md5 that a row tells in hex. Anything else is told from others, too.
fn md5_in(hash: &[u8]) -> Digest {
    let mut bytes = [0; 16];
    match hex::decode_to_slice(hash, &mut bytes) {
        Ok(()) => Digest::from_be_bytes(bytes),
        Err(_) => md5(hash),
    }
}

/// A number of which `1` and `1.0` are the same; a text that is no number as it is.
fn number_in(text: &[u8]) -> Vec<u8> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse::<f64>().ok());
    number.map_or_else(|| text.to_vec(), |number| number.to_bits().to_be_bytes().to_vec())
}
