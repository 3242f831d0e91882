//! Probes made of a workspace itself.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::questions::{Question, read_questions};
use super::workspace::Workspace;
use crate::base::control::Control;
use crate::domain::probe::{Index, NAME_BYTES_MAX, PROBES_MAX, Probe, QueryVector};
use crate::lightrag::Error;
use crate::lightrag::files::Files;
use crate::lightrag::formats::matrix::length_of;
use crate::lightrag::workspace::Store;

/// How many ids sampled probes ask for: LightRAG's `TOP_K`, as it is unless set.
const TOP_K: u32 = 40;

/// How many questions are looked at for each probe that is wanted: not all have keywords that are entities.
const QUESTIONS_PER_PROBE: usize = 4;

/// Makes up to `count` probes, the same ones for the same content: of the questions in the cache whose keywords are entities, by the
/// mean of the entities' vectors; then, where these are too few, of chunks, spread evenly over their store, by their own vectors. Each
/// asks all indexes. At most [`PROBES_MAX`]; fewer than wanted where the workspace has no more.
///
/// # Errors
/// [`Error::ProbeRead`], [`Error::ProbeDamaged`] and [`Error::ProbeChanged`] name the file; and [`Error::Cancelled`].
pub fn sample(files: &dyn Files, count: usize, control: &Control) -> Result<Vec<Probe>, Error> {
    control.begin_stage("probe", 0);
    let workspace = Workspace::open(files, control)?;
    let mut sampled = Sampled { probes: Vec::new(), names: HashSet::new(), count: count.min(PROBES_MAX) };
    for ask in [ask_questions, ask_chunks] {
        if sampled.missing() > 0 {
            ask(&workspace, &mut sampled)?;
        }
    }
    Ok(sampled.probes)
}

struct Sampled {
    probes: Vec<Probe>,
    names: HashSet<String>,
    count: usize,
}

impl Sampled {
    fn missing(&self) -> usize {
        self.count - self.probes.len()
    }

    /// Adds a probe, unless there are enough, its name is taken or its vector has no direction; whether it was added.
    fn add(&mut self, name: &str, numbers: Vec<f32>) -> bool {
        let name = fit_name(name);
        let length = length_of(&numbers);
        let is_fit = self.missing() > 0 && length.is_finite() && length > 0.0 && !name.is_empty();
        if !is_fit || !self.names.insert(name.clone()) {
            return false;
        }
        self.probes.push(Probe { name, top_k: TOP_K, vectors: vec![QueryVector { asks: Index::ALL.into(), numbers }] });
        true
    }
}

/// Probes of questions.
fn ask_questions(workspace: &Workspace<'_>, sampled: &mut Sampled) -> Result<(), Error> {
    let mut questions = Vec::new();
    workspace.read(Store::LlmCache, |pieces| {
        questions = read_questions(pieces, sampled.missing() * QUESTIONS_PER_PROBE)?;
        Ok(())
    })?;
    let mut asked: HashMap<String, BTreeSet<usize>> = HashMap::new();
    for (at, question) in questions.iter().enumerate() {
        for keyword in &question.keywords {
            asked.entry(folded(keyword)).or_default().insert(at);
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let Some(vectors) = workspace.vectors(Index::Entities)? else { return Ok(()) };
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); questions.len()];
    vectors.read(&mut |fields, numbers| {
        let name = fields.map(|fields| folded(&String::from_utf8_lossy(&fields.name)));
        for &at in name.and_then(|name| asked.get(&name)).into_iter().flatten() {
            sums[at].resize(numbers.len(), 0.0);
            sums[at].iter_mut().zip(numbers).for_each(|(sum, number)| *sum += f64::from(*number));
        }
    })?;
    for (question, sum) in questions.iter().zip(sums) {
        let length = sum.iter().map(|number| number * number).sum::<f64>().sqrt();
        sampled.add(&name_of(question), sum.iter().map(|number| (number / length) as f32).collect());
    }
    Ok(())
}

/// Probes of chunks.
fn ask_chunks(workspace: &Workspace<'_>, sampled: &mut Sampled) -> Result<(), Error> {
    let Some(vectors) = workspace.vectors(Index::Chunks)? else { return Ok(()) };
    let (wanted, mut taken, mut position) = (sampled.missing() as u64, 0, 0);
    vectors.read(&mut |fields, numbers| {
        // Where one cannot be asked, the next is.
        let is_due = taken < wanted && position >= taken.saturating_mul(vectors.count()) / wanted;
        position += 1;
        if let Some(fields) = fields.filter(|_| is_due)
            && sampled.add(&String::from_utf8_lossy(&fields.id), numbers.to_vec())
        {
            taken += 1;
        }
    })
}

/// Names that differ by their case are one to a question: its keywords are the model's.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

fn name_of(question: &Question) -> String {
    if !question.text.is_empty() {
        return question.text.clone();
    }
    question.keywords.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A text as a name may be.
fn fit_name(text: &str) -> String {
    let mut name = text.replace(char::is_control, " ");
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name.trim().to_owned()
}
