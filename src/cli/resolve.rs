//! From what people type to ids: the beginning of an id, `latest`, the name of a target.

use lightkeep_client::v1;
use prost_types::Timestamp as Time;

use super::connection::Session;
use super::failure::Failure;

/// An id has 36 characters: a shorter word is the beginning of one.
const ID_LENGTH: usize = 36;

/// So many are shown of those that could be meant.
const SHOWN: usize = 5;

/// Stands for the newest snapshot that can be restored.
const LATEST: &str = "latest";

impl Session {
    /// The id of a snapshot of `graph_id`: as it is, by its beginning, or `latest`.
    pub(super) async fn snapshot_id(&self, graph_id: &str, word: &str) -> Result<String, Failure> {
        if word.len() >= ID_LENGTH {
            return Ok(word.to_owned());
        }
        let status = if word == LATEST { v1::SnapshotStatus::Completed.into() } else { 0 };
        let page_size = if word == LATEST { 1 } else { 1000 };
        let request = v1::ListSnapshotsRequest { graph_id: graph_id.to_owned(), status, page_size, ..Default::default() };
        if word == LATEST {
            let newest = self.call(request).await?.snapshots.into_iter().next();
            return newest
                .map(|snapshot| snapshot.backup_id)
                .ok_or_else(|| Failure::Here(format!("graph `{graph_id}` has no snapshot that can be restored")));
        }
        let ids = self.client.all(request).await?.into_iter().map(|snapshot| snapshot.backup_id);
        only(ids, word, &format!("snapshot of graph `{graph_id}`"))
    }

    /// The id of a checkpoint: as it is, by its beginning, or `latest`.
    pub(super) async fn checkpoint_id(&self, word: &str) -> Result<String, Failure> {
        if word.len() >= ID_LENGTH {
            return Ok(word.to_owned());
        }
        let checkpoints = self.client.all(v1::ListCheckpointsRequest { page_size: 1000, ..Default::default() }).await?;
        if word == LATEST {
            let newest = checkpoints.into_iter().find(|checkpoint| checkpoint.state() == v1::CheckpointState::Completed);
            return newest
                .map(|checkpoint| checkpoint.checkpoint_id)
                .ok_or_else(|| Failure::Here("there is no complete checkpoint".to_owned()));
        }
        only(checkpoints.into_iter().map(|checkpoint| checkpoint.checkpoint_id), word, "checkpoint")
    }

    /// The id of a target: by its name, or by its id or the beginning of it.
    pub(super) async fn target_id(&self, word: &str) -> Result<String, Failure> {
        let targets = self.client.all(v1::ListTargetsRequest { page_size: 1000, ..Default::default() }).await?;
        if let Some(target) = targets.iter().find(|target| target.name == word) {
            return Ok(target.target_id.clone());
        }
        only(targets.into_iter().map(|target| target.target_id), word, "target")
    }
}

/// The only id that begins with `word`.
fn only(ids: impl Iterator<Item = String>, word: &str, what: &str) -> Result<String, Failure> {
    // Where a variable of a script is not set, everything would begin with it.
    if word.is_empty() {
        return Err(Failure::Here(format!("which {what}? Its id is empty")));
    }
    let fitting: Vec<String> = ids.filter(|id| id.starts_with(word)).collect();
    match fitting.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(Failure::Here(format!("no {what} begins with `{word}`"))),
        several => {
            let more = if several.len() > SHOWN { ", …" } else { "" };
            let shown = several.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(Failure::Here(format!("{} begin with `{word}`: {shown}{more}. Write more of the id", several.len())))
        }
    }
}

/// An instant that was typed: RFC 3339, as `2026-11-30T12:00:00Z`, or a date, which begins at midnight UTC.
pub(super) fn instant(text: &str) -> Result<Time, String> {
    let whole = if text.len() == "2026-11-30".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let micros = whole.parse::<crate::base::timestamp::Timestamp>().map_err(|error| error.to_string())?.micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    Ok(Time { seconds: micros.div_euclid(1_000_000), nanos })
}

/// A length of time that was typed, in seconds: `90`, `90s`, `15m`, `6h`, `7d`.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("`{unit}` is no unit: write s, m, h or d")),
    };
    number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "write a number and a unit, such as 90s, 15m, 6h, 7d".to_owned())
}

/// A label that was typed: `env=prod`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_must_be_of_one_only() {
        let ids = || ["aa1", "aa2", "b"].into_iter().map(str::to_owned);
        assert_eq!(only(ids(), "b", "snapshot").unwrap(), "b");
        let several = only(ids(), "aa", "snapshot").unwrap_err();
        assert!(matches!(several, Failure::Here(text) if text == "2 begin with `aa`: aa1, aa2. Write more of the id"));
        assert!(only(ids().take(1), "", "snapshot").is_err(), "an empty word is the beginning of everything");
        let none = only(ids(), "c", "snapshot").unwrap_err();
        assert!(matches!(none, Failure::Here(text) if text == "no snapshot begins with `c`"));
    }

    #[test]
    fn times_can_be_typed() {
        assert_eq!(["90", "15m", "6h", "7d"].map(|text| seconds(text).unwrap()), [90, 900, 21_600, 604_800]);
        assert!(seconds("6x").is_err() && seconds("h").is_err() && seconds("9223372036854775807d").is_err());
        assert_eq!(instant("1970-01-02").unwrap(), Time { seconds: 86_400, nanos: 0 });
        assert_eq!(instant("1969-12-31T23:59:59.5Z").unwrap(), Time { seconds: -1, nanos: 500_000_000 });
        assert!(instant("soon").is_err());
    }
}
