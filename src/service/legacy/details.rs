//! What the old server has noted about a copy: in a row of its database, or in a file beside the copy. Nobody knows which fields there
//! are, nor how they are written, so each is taken where it makes sense.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::base::timestamp::Timestamp;
use crate::domain::snapshot::SnapshotStatus;

/// How far ahead of ours the old server's clock may have run, or its zone may lie.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The names that fields go by, the first that is there counts.
const TIME: [&str; 2] = ["timestamp", "created_at"];
const METADATA: [&str; 5] = ["metadata", "backup_metadata", "metadata_json", "extra_metadata", "meta"];
const SOURCE: [&str; 3] = ["source_dir", "source_path", "working_dir"];

/// Fields that are kept as they were, beside what the caller of the old server gave.
const KEPT: [&str; 6] = ["timestamp", "status", "size_bytes", "data_hash", "retention_until", "description"];

/// Larger numbers are milliseconds. As seconds it is the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// Digits of a date as `20250301`.
const DATE_DIGITS: usize = 8;

/// What is known of a copy.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Details {
    fields: Map<String, Value>,
}

impl Details {
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self { fields: fields.into_iter().filter(|(_, value)| !value.is_null()).collect() }
    }

    /// These details, and of `others` what is not in them. A copy is whole if anyone says so: a row with its id may be about something
    /// else that has failed.
    pub(super) fn or(mut self, others: Self) -> Self {
        if !self.status().is_some_and(is_whole) && others.status().is_some_and(is_whole) {
            self.fields.remove("status");
        }
        for (name, value) in others.fields {
            self.fields.entry(name).or_insert(value);
        }
        self
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// When the copy was made, if anything says so. The error is a remark on what cannot be taken for that.
    pub(super) fn time(&self, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let mut odd = None;
        for value in TIME.iter().filter_map(|name| self.fields.get(*name)) {
            let why = match time(value) {
                Some(time) if (Timestamp::default()..=now.plus(AHEAD_MAX)).contains(&time) => return Ok(Some(time)),
                Some(_) => "lies before 1970 or in the future",
                None => "cannot be read",
            };
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            odd.get_or_insert_with(|| format!("the old server's time `{shown}` {why}"));
        }
        odd.map_or(Ok(None), Err)
    }

    /// Where the copy stood; none for a word that we do not know.
    pub(super) fn status(&self) -> Option<SnapshotStatus> {
        // Names of Python's enums: `BackupStatus.COMPLETED`.
        let word = self.text("status")?.rsplit('.').next()?.to_lowercase();
        SnapshotStatus::parse(&word)
    }

    /// The size that the old server has noted, bytes.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        let value = self.fields.get("size_bytes")?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// The directory that the copy was taken from, absolute.
    pub(super) fn source_dir(&self) -> Option<String> {
        let own = SOURCE.iter().find_map(|name| self.text(name).map(str::to_owned));
        let given = || SOURCE.iter().find_map(|name| Some(self.given()?.get(*name)?.as_str()?.to_owned()));
        own.or_else(given).filter(|directory| directory.starts_with('/'))
    }

    /// The metadata that a caller gave to the old server: an object.
    fn given(&self) -> Option<Map<String, Value>> {
        match METADATA.iter().find_map(|name| self.fields.get(*name))? {
            Value::Object(given) => Some(given.clone()),
            Value::String(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    /// The metadata of the snapshot: what a caller gave, and where it comes from.
    pub(super) fn metadata(&self, directory: &str, time_from: &str) -> Value {
        let mut origin: Map<String, Value> =
            KEPT.iter().filter_map(|name| Some(((*name).to_owned(), self.fields.get(*name)?.clone()))).collect();
        origin.insert("directory".to_owned(), directory.into());
        origin.insert("time_from".to_owned(), time_from.into());
        let mut metadata = self.given().unwrap_or_default();
        metadata.entry("import_legacy").or_insert(Value::Object(origin));
        Value::Object(metadata)
    }
}

/// Whether a copy with this status is all there.
pub(super) fn is_whole(status: SnapshotStatus) -> bool {
    status.is_restorable() || status == SnapshotStatus::Archived
}

/// A time as Python writes it: ISO 8601, in UTC where it does not say, or seconds or milliseconds since the epoch.
fn time(value: &Value) -> Option<Timestamp> {
    if let Some(number) = value.as_f64() {
        return since_epoch(number);
    }
    let text = value.as_str()?.trim();
    // Fewer digits are a date, without what stands between.
    if text.len() > DATE_DIGITS && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return since_epoch(text.parse().ok()?);
    }
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
    };
    Some(Timestamp::from_micros(instant.as_microsecond()))
}

fn since_epoch(number: f64) -> Option<Timestamp> {
    let seconds = if number.abs() > SECONDS_MAX { number / 1000.0 } else { number };
    let micros = seconds * 1e6;
    (micros.abs() < 1e17).then_some(Timestamp::from_micros(micros.round() as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn details(value: Value) -> Details {
        let Value::Object(fields) = value else { panic!("an object: {value}") };
        Details::new(fields)
    }

    fn now() -> Timestamp {
        "2025-06-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn reads_times_as_python_and_databases_write_them() {
        for value in [
            json!("2025-03-01T10:20:30.5"),
            json!("2025-03-01 10:20:30.500000"),
            json!("2025-03-01T10:20:30.5Z"),
            json!("2025-03-01T12:20:30.500000+02:00"),
            json!(1_740_824_430.5),
            json!("1740824430.5"),
            json!(1_740_824_430_500_i64),
            json!("1740824430500"),
        ] {
            let read = details(json!({ "timestamp": value })).time(now()).unwrap().map(|time| time.to_string());
            assert_eq!(read.as_deref(), Some("2025-03-01T10:20:30.5Z"), "{value}");
        }
        assert_eq!(details(json!({ "timestamp": null })).time(now()), Ok(None));
        let second = details(json!({ "timestamp": "odd", "created_at": "2025-03-01" })).time(now()).unwrap();
        assert_eq!(second.map(|time| time.to_string()).as_deref(), Some("2025-03-01T00:00:00Z"));
    }

    #[test]
    fn tells_of_times_that_it_does_not_take() {
        for odd in ["yesterday", "2025-03-01 10:20:30 UTC", "Sat, 01 Mar 2025 10:20:30 GMT", "infinity", "1.2.3.4.5.6"] {
            let told = details(json!({ "timestamp": odd })).time(now());
            assert_eq!(told, Err(format!("the old server's time `{odd}` cannot be read")));
        }
        for odd in [json!([1]), json!(1e300)] {
            assert_eq!(details(json!({ "timestamp": odd })).time(now()), Err(format!("the old server's time `{odd}` cannot be read")));
        }
        for odd in ["1969-12-31T23:59:59Z", "-001168-01-01T00:00:00Z", "2025-06-02T00:00:00.000001Z", "2999-01-01"] {
            let told = details(json!({ "timestamp": odd })).time(now());
            assert_eq!(told, Err(format!("the old server's time `{odd}` lies before 1970 or in the future")));
        }
        for taken in ["1970-01-01T00:00:00Z", "2025-06-02T00:00:00Z"] {
            assert_eq!(details(json!({ "timestamp": taken })).time(now()), Ok(Some(taken.parse().unwrap())));
        }
    }

    #[test]
    fn reads_words_of_enums_and_numbers_in_texts() {
        for word in ["completed", "COMPLETED", "BackupStatus.COMPLETED"] {
            assert_eq!(details(json!({ "status": word })).status(), Some(SnapshotStatus::Completed));
        }
        assert_eq!(details(json!({ "status": "in_progress" })).status(), Some(SnapshotStatus::InProgress));
        assert_eq!(details(json!({ "status": "fine" })).status(), None);
        assert_eq!(details(json!({ "size_bytes": "12" })).size_bytes(), Some(12));
        assert_eq!(details(json!({ "size_bytes": 12 })).size_bytes(), Some(12));
    }

    #[test]
    fn the_metadata_is_what_was_given_and_where_it_comes_from() {
        let row = details(json!({ "metadata": "{\"a\": 1}", "description": "d", "status": null, "other": 1 }));
        let expected = json!({ "a": 1, "import_legacy": { "description": "d", "directory": "/old", "time_from": "database" } });
        assert_eq!(row.metadata("/old", "database"), expected);
        let taken = details(json!({ "metadata": { "import_legacy": "mine" } }));
        assert_eq!(taken.metadata("/old", "database"), json!({ "import_legacy": "mine" }));
    }

    #[test]
    fn the_source_is_an_absolute_directory() {
        assert_eq!(details(json!({ "source_dir": "/rag" })).source_dir().as_deref(), Some("/rag"));
        assert_eq!(details(json!({ "metadata": { "source_dir": "/rag" } })).source_dir().as_deref(), Some("/rag"));
        assert_eq!(details(json!({ "source_dir": "rag" })).source_dir(), None);
    }

    #[test]
    fn what_one_place_lacks_another_has() {
        let both = details(json!({ "status": "failed" })).or(details(json!({ "status": "pending", "timestamp": "2025-03-01" })));
        assert_eq!((both.status(), both.time(now()).unwrap().is_some()), (Some(SnapshotStatus::Failed), true));
    }

    #[test]
    fn a_copy_is_whole_if_anyone_says_so() {
        for (first, second, status) in [
            ("failed", "completed", SnapshotStatus::Completed),
            ("completed", "failed", SnapshotStatus::Completed),
            ("in_progress", "archived", SnapshotStatus::Archived),
        ] {
            let both = details(json!({ "status": first })).or(details(json!({ "status": second })));
            assert_eq!(both.status(), Some(status), "{first}, {second}");
        }
    }
}
