//! What commands say on standard output: tables and lists for people, the JSON of REST for programs.

use std::io::Write as _;

use console::Style;
use lightkeep_client::call::{Call, Pages};
use prost::{Message, Name};
use serde_json::Value;

use super::cells::{Cell, Times, cell};
use super::failure::Failure;
use super::table::table;
use crate::api::rest::JsonText;
use crate::base::clock::{Clock as _, SystemClock};

/// In what form it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs: what REST answers.
    Json,
}

/// One column of a table: its title, and the JSON field that it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column(pub(super) &'static str, pub(super) &'static str);

/// How many are listed.
#[derive(Debug, Clone, clap::Args)]
pub struct Limit {
    /// How many at most; 0 for all [default: 50; all as JSON].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Limit {
    pub(super) fn number(&self, is_json: bool) -> usize {
        match self.limit {
            Some(limit) if limit > 0 => limit,
            None if !is_json => 50,
            _ => usize::MAX,
        }
    }
}

/// A list, and whether there is more than was wanted.
#[derive(Debug)]
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    pub(super) goes_on: bool,
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    form: Form,
    json: JsonText,
}

impl Output {
    pub(super) fn new(form: Form) -> Result<Self, Failure> {
        let json = JsonText::new(crate::proto::FILE_DESCRIPTOR_SET).map_err(|error| Failure::Here(error.to_string()))?;
        Ok(Self { form, json })
    }

    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// The fields of a message as REST names and writes them, in the order of the proto.
    pub(super) fn fields<M: Message + Name>(&self, message: &M) -> Result<Vec<(String, Value)>, Failure> {
        self.json.fields(&M::full_name(), &message.encode_to_vec()).map_err(|error| Failure::Here(error.to_string()))
    }

    /// A message as REST writes it.
    pub(super) fn json<M: Message + Name>(&self, message: &M) -> Result<String, Failure> {
        self.json.text(&M::full_name(), &message.encode_to_vec()).map_err(|error| Failure::Here(error.to_string()))
    }

    /// Several of them, as a bare array.
    pub(super) fn json_list<M: Message + Name>(&self, items: &[M]) -> Result<String, Failure> {
        let items: Vec<String> = items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?;
        Ok(format!("[{}]", items.join(",")))
    }

    /// Tells a list: a table with these columns, or a bare array as REST does.
    pub(super) fn list<M: Message + Name>(&self, items: &[M], columns: &[Column], empty: &str) -> Result<(), Failure> {
        if self.is_json() {
            return self.text(&format!("{}\n", self.json_list(items)?));
        }
        if items.is_empty() {
            return self.text(&format!("{empty}\n"));
        }
        let titles: Vec<&str> = columns.iter().map(|column| column.0).collect();
        let names: Vec<&str> = columns.iter().map(|column| column.1).collect();
        self.text(&table(&titles, &self.rows(items, &names, Times::Short)?))
    }

    /// The values of these fields, a row for each item.
    pub(super) fn rows<M: Message + Name>(&self, items: &[M], names: &[&str], times: Times) -> Result<Vec<Vec<Cell>>, Failure> {
        let row = |item: &M| {
            let fields: Value = self.fields(item)?.into_iter().collect();
            Ok(names.iter().map(|name| cell(name, at(&fields, name), times)).collect())
        };
        items.iter().map(row).collect()
    }

    /// Tells a list that may go on.
    pub(super) fn listed<M: Message + Name>(&self, listed: &Listed<M>, columns: &[Column], empty: &str) -> Result<(), Failure> {
        self.list(&listed.items, columns, empty)?;
        let more = listed.goes_on && !self.is_json();
        self.text(if more { "… and more: --limit 0 lists all\n" } else { "" })
    }

    /// Tells one thing: its fields, those that are set, by their names.
    pub(super) fn item<M: Message + Name>(&self, message: &M) -> Result<(), Failure> {
        self.text(&if self.is_json() { format!("{}\n", self.json(message)?) } else { sheet(&self.fields(message)?, false) })
    }

    /// Tells an answer of which people want a part only: the whole as JSON.
    pub(super) fn part<W: Message + Name, M: Message + Name>(&self, whole: &W, part: Option<&M>) -> Result<(), Failure> {
        match part {
            Some(part) if !self.is_json() => self.item(part),
            _ => self.item(whole),
        }
    }

    /// Tells an answer of which people need only a sentence.
    pub(super) fn sentence<M: Message + Name>(&self, message: &M, sentence: &str) -> Result<(), Failure> {
        self.text(&if self.is_json() { format!("{}\n", self.json(message)?) } else { format!("{sentence}\n") })
    }

    /// The fields of a message, one a line, lists of things as tables below: for standard output.
    pub(super) fn sheet<M: Message + Name>(&self, message: &M) -> Result<String, Failure> {
        Ok(sheet(&self.fields(message)?, false))
    }

    /// Likewise, for standard error.
    pub(super) fn sheet_of_question<M: Message + Name>(&self, message: &M) -> Result<String, Failure> {
        Ok(sheet(&self.fields(message)?, true))
    }

    /// Writes text.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut output = std::io::stdout().lock();
        output.write_all(bytes).and_then(|()| output.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::NoReader,
            _ => Failure::Here(format!("cannot write to standard output: {error}")),
        })
    }
}

/// The field of a row, also one of a field: `condition.status`.
fn at<'a>(row: &'a Value, path: &str) -> &'a Value {
    path.split('.').try_fold(row, |value, name| value.get(name)).unwrap_or(&Value::Null)
}

fn sheet(fields: &[(String, Value)], is_error: bool) -> String {
    let times = Times::Whole(SystemClock.now());
    let (lists, single): (Vec<_>, Vec<_>) =
        fields.iter().filter(|(_, value)| !is_empty(value)).partition(|(_, value)| is_list_of_things(value));
    let width = single.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let dim = if is_error { Style::new().dim().for_stderr() } else { Style::new().dim() };
    let lines = single.iter().map(|(name, value)| {
        let text = cell(name, value, times).styled(is_error);
        format!("{}  {text}\n", dim.apply_to(format!("{name:width$}")))
    });
    let tables = lists.iter().map(|(name, value)| format!("\n{}\n{}", dim.apply_to(name), things(value)));
    lines.chain(tables).collect()
}

fn is_list_of_things(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_object))
}

/// A table of things, with those of their fields that any of them has.
fn things(list: &Value) -> String {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<&String> = Vec::new();
    for (name, value) in items.iter().filter_map(Value::as_object).flatten() {
        if !is_empty(value) && !names.contains(&name) {
            names.push(name);
        }
    }
    let titles: Vec<String> = names.iter().map(|name| name.to_uppercase().replace('_', " ")).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let rows: Vec<Vec<Cell>> =
        items.iter().map(|item| names.iter().map(|name| cell(name, at(item, name), Times::Short)).collect()).collect();
    table(&titles, &rows)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

impl super::connection::Session {
    /// Makes a call.
    pub(super) async fn call<C: Call>(&self, request: C) -> Result<C::Answer, Failure> {
        Ok(self.client.call(request).await?)
    }

    /// Lists as many as are wanted.
    pub(super) async fn some<P: Pages>(&self, mut request: P, limit: &Limit) -> Result<Listed<P::Item>, Failure> {
        let limit = limit.number(self.output.is_json());
        request.ask_for(page_size(limit));
        let mut items = Vec::new();
        loop {
            let (page, token) = P::take(self.call(request.clone()).await?);
            items.extend(page);
            if items.len() >= limit || token.is_empty() {
                let goes_on = items.len() > limit || !token.is_empty();
                items.truncate(limit);
                return Ok(Listed { items, goes_on });
            }
            request.turn_to(token);
        }
    }
}

/// So many are asked for at once.
pub(super) fn page_size(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX).min(1000)
}
