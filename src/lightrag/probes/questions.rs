//! Questions that people have asked: the rows of the cache that hold their keywords.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest as _, Md5};
use serde::Deserialize;

use crate::lightrag::formats::json::{Scanner, read_object};
use crate::lightrag::formats::pieces::{Pieces, Stop};

/// A question, and what it is about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// As it was asked, white space made single; empty where the cache does not tell it.
    pub(super) text: String,
    /// Its low-level keywords.
    pub(super) keywords: BTreeSet<String>,
}

/// What the language model gave for a question.
#[derive(Deserialize)]
struct Keywords {
    #[serde(default)]
    low_level_keywords: Vec<String>,
}

/// Reads the cache: at most `count` of its questions, the same ones for the same content, in an order that has nothing to do with what
/// they ask. One that was asked in several modes is one question, with the keywords of all.
pub(super) fn read_questions(pieces: Pieces<'_>, count: usize) -> Result<Vec<Question>, Stop> {
    let mut questions: BTreeMap<[u8; 16], Question> = BTreeMap::new();
    read_answers(pieces, &mut |kind, prompt, answer| {
        let keywords = match serde_json::from_slice::<Keywords>(answer) {
            Ok(answer) if kind == b"keywords" => answer.low_level_keywords,
            _ => return,
        };
        let text = String::from_utf8_lossy(prompt).split_whitespace().collect::<Vec<_>>().join(" ");
        let place = Md5::digest(if text.is_empty() { answer } else { text.as_bytes() }).into();
        let question = questions.entry(place).or_default();
        question.text = text;
        question.keywords.extend(keywords.into_iter().filter(|keyword| !keyword.trim().is_empty()));
        if questions.len() > count {
            questions.pop_last();
        }
    })?;
    Ok(questions.into_values().collect())
}

/// What is done with each answer: its kind, its prompt and itself.
type Sink<'s> = &'s mut dyn FnMut(&[u8], &[u8], &[u8]);

/// Reads answers by their keys, or, before LightRAG 1.4, by their mode and then by their keys.
fn read_answers(pieces: Pieces<'_>, sink: Sink<'_>) -> Result<(), Stop> {
    let (mut row, mut nested) = (Answer::default(), Answer::default());
    read_object(pieces, &mut |scanner, _| {
        row.clear();
        scanner.object(&mut |scanner, field| {
            if row.read(scanner, field)? {
                return Ok(());
            }
            nested.clear();
            scanner.object(&mut |scanner, field| if nested.read(scanner, field)? { Ok(()) } else { scanner.pass() })?;
            nested.send(sink);
            Ok(())
        })?;
        row.send(sink);
        Ok(())
    })
}

/// The fields of an answer, kept from row to row for their memory.
#[derive(Default)]
struct Answer {
    kind: Vec<u8>,
    prompt: Vec<u8>,
    answer: Vec<u8>,
}

impl Answer {
    fn clear(&mut self) {
        [&mut self.kind, &mut self.prompt, &mut self.answer].into_iter().for_each(Vec::clear);
    }

    /// Whether the field is one of an answer's; then its value was read.
    fn read(&mut self, scanner: &mut Scanner<'_>, field: &[u8]) -> Result<bool, Stop> {
        let into = match field {
            b"cache_type" => &mut self.kind,
            b"original_prompt" => &mut self.prompt,
            b"return" => &mut self.answer,
            _ => return Ok(false),
        };
        scanner.text(into).map(|()| true)
    }

    fn send(&self, sink: Sink<'_>) {
        if !self.kind.is_empty() {
            sink(&self.kind, &self.prompt, &self.answer);
        }
    }
}
