//! Which row each record belongs to. Every record is a snapshot: it belongs to the row that names it, or to one whose own record is
//! gone and that it was made of, or it gets a row.

use std::collections::{HashMap, HashSet};

use crate::base::ids::SnapshotId;
use crate::domain::tag::SNAPSHOT_TAG;
use crate::repository::{Record, RecordId};
use crate::store::entity::snapshot::Model;

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Rows whose record has another name now, and failed rows whose record is there all the same.
    pub(super) moved: Vec<(Model, Record)>,
    /// Rows whose record is gone.
    pub(super) lost: Vec<Model>,
    /// Records without a row.
    pub(super) new: Vec<Record>,
}

/// The snapshot's id that a record bears.
pub(super) fn tagged_id(record: &Record) -> Option<SnapshotId> {
    record.tags.iter().find_map(|tag| SnapshotId::parse(tag.strip_prefix(SNAPSHOT_TAG)?))
}

/// Compares the rows of a graph with the records that can be read; those that cannot are there, and nothing more is known of them.
pub(super) fn compare(rows: &[Model], records: Vec<Record>, unreadable: &[RecordId]) -> Plan {
    let by_record: HashMap<&str, &Model> = rows.iter().filter_map(|row| Some((row.record_id.as_deref()?, row))).collect();
    let by_id: HashMap<SnapshotId, &Model> = rows.iter().map(|row| (row.snapshot_id, row)).collect();
    let named = |id: &RecordId| by_record.get(id.to_string().as_str()).copied();
    let mut taken: HashSet<SnapshotId> =
        records.iter().map(|record| record.id).chain(unreadable.iter().copied()).filter_map(|id| Some(named(&id)?.snapshot_id)).collect();
    let mut plan = Plan::default();
    let (known, mut others): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| named(&record.id).is_some());
    for record in known {
        if let Some(row) = named(&record.id).filter(|row| row.status.is_settled() && !row.status.is_restorable()) {
            plan.moved.push((row.clone(), record));
        }
    }
    // Of several records with one tag, the one that restic has not made of another comes first.
    others.sort_by_key(|record| record.original.is_some());
    for record in others {
        let row = match tagged_id(&record) {
            Some(id) => by_id.get(&id).copied(),
            // Our tags were taken from it.
            None => record.original.and_then(|original| named(&original)).or_else(|| only_one_of_that_time(rows, &taken, &record)),
        };
        match row.filter(|row| taken.insert(row.snapshot_id)) {
            Some(row) if row.status.is_settled() => plan.moved.push((row.clone(), record)),
            // Its own operation finds the record.
            Some(_) => {}
            None => plan.new.push(record),
        }
    }
    plan.lost = rows.iter().filter(|row| row.status.is_restorable() && !taken.contains(&row.snapshot_id)).cloned().collect();
    plan
}

/// restic names only the first of several records that it made of each other; but it leaves the time as it was.
fn only_one_of_that_time<'a>(rows: &'a [Model], taken: &HashSet<SnapshotId>, record: &Record) -> Option<&'a Model> {
    let is_one = |row: &&Model| row.created_at == record.time && row.status.is_restorable() && !taken.contains(&row.snapshot_id);
    let mut found = rows.iter().filter(is_one);
    found.next().filter(|_| found.next().is_none())
}
