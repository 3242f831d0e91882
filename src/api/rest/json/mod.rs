//! Our JSON dialect over dynamic messages, both ways.
//!
//! Names are the proto's (`snake_case`). 64-bit integers are JSON numbers. Enum values are short lower-case words. Times are RFC 3339 in
//! UTC. A field that is not set is null, where the proto can tell: messages, `optional` fields, enums at their `*_UNSPECIFIED`. A plain
//! string that is empty stays `""`, a plain number that is zero stays `0`.

mod read;
mod scalar;
mod well_known;
mod words;
mod write;

pub(crate) use read::{Reader, Violation};
pub(crate) use scalar::from_text;
pub(crate) use well_known::{Form, form};
pub(crate) use words::word;
pub(crate) use write::{FieldJson, MessageJson};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost_reflect::{DescriptorPool, DynamicMessage};
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::api::rest::dialect::Dialect;

    fn pool() -> DescriptorPool {
        DescriptorPool::decode(crate::proto::FILE_DESCRIPTOR_SET).unwrap()
    }

    /// Without annotations: each message is read as well as written.
    fn there_and_back(name: &str, json: &Json) -> Result<Json, Vec<Violation>> {
        let (pool, dialect) = (pool(), Dialect::default());
        let mut message = DynamicMessage::new(pool.get_message_by_name(name).unwrap());
        let mut reader = Reader::new(&dialect);
        reader.message(&mut message, json, &[]);
        let violations = reader.into_violations();
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(serde_json::to_value(MessageJson { dialect: &dialect, message: &message }).unwrap())
    }

    fn free_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Json::from),
            (-1.0e6..1.0e6_f64).prop_filter("has a fraction", |number| number.fract() != 0.0).prop_map(Json::from),
            ".*".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::btree_map(".*", inner, 0..5).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn free_json_comes_back_as_it_was(value in free_json()) {
            let given = json!({"graph_id": "g", "metadata": {"value": value}});
            let back = there_and_back("lightkeep.v1.CreateSnapshotRequest", &given).unwrap();
            prop_assert_eq!(&back["metadata"], &given["metadata"]);
        }

        #[test]
        fn snapshots_come_back_as_they_were(size in any::<i64>(), seconds in -60_000_000_000_i64..200_000_000_000, hash in ".*") {
            let time = jiff::Timestamp::new(seconds, 0).unwrap().to_string();
            let given = json!({"size_bytes": size, "timestamp": time, "data_hash": hash, "status": "restored"});
            let back = there_and_back("lightkeep.v1.Snapshot", &given).unwrap();
            for name in ["size_bytes", "timestamp", "data_hash", "status"] {
                prop_assert_eq!(&back[name], &given[name]);
            }
        }

        #[test]
        fn nothing_makes_the_reader_panic(value in free_json()) {
            let names = ["graph_id", "source_dir", "metadata", "wait"];
            let given: Json = names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
            let _either = there_and_back("lightkeep.v1.CreateSnapshotRequest", &given);
        }
    }

    #[test]
    fn numbers_may_be_text_and_times_naive() {
        let given = json!({"size_bytes": "12", "documents": 3.0, "timestamp": "2026-01-31T12:00:00", "duration_seconds": 2});
        let back = there_and_back("lightkeep.v1.Snapshot", &given).unwrap();
        assert_eq!(back["size_bytes"], 12);
        assert_eq!(back["documents"], 3);
        assert_eq!(back["timestamp"], "2026-01-31T12:00:00Z");
        assert_eq!(back["duration_seconds"], 2.0);
    }

    #[test]
    fn misfits_have_pydantics_types() {
        let given = json!({
            "size_bytes": 1.5, "documents": true, "chunks": u64::MAX, "timestamp": "soon", "completed_at": 5,
            "findings": [{"rule": 1}, 2], "metadata": [], "status": 3, "duration_seconds": "x",
        });
        let violations = there_and_back("lightkeep.v1.Snapshot", &given).unwrap_err();
        let kinds: Vec<String> =
            violations.iter().map(|violation| format!("{} {}", violation.loc.last().unwrap(), violation.kind).replace('"', "")).collect();
        let expected = [
            "status enum",
            "timestamp datetime_parsing",
            "size_bytes int_from_float",
            "metadata dict_type",
            "documents int_type",
            "chunks value_error",
            "duration_seconds float_parsing",
            "completed_at datetime_type",
            "rule string_type",
            "1 dict_type",
        ];
        assert_eq!(kinds, expected);
    }
}
