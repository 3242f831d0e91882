//! What other Lightkeeps send.

use crate::domain::graph_id::GraphId;
use crate::domain::validate::Violations;
use crate::proto::v1;
use crate::service::Error;
use crate::service::replication::{Commit, FileId, FileKind, Founding, RecordId, Reread};

/// So many index files can be replaced at once: each is read before.
const MOST_REPLACED: usize = 1000;

/// The copy of a graph that a peer brings.
pub(in crate::api::grpc) fn parse_copy(graph_id: &str, peer: &str) -> Result<GraphId, Error> {
    let graph = super::graph::parse_id(graph_id)?;
    GraphId::copy_at(&graph, peer).ok_or_else(|| Error::invalid("graph_id", format_args!("must not be that of a copy: {graph_id}")))
}

pub(in crate::api::grpc) fn parse_kind(number: i32) -> Result<FileKind, Error> {
    match v1::StoredFileKind::try_from(number) {
        Ok(v1::StoredFileKind::Key) => Ok(FileKind::Key),
        Ok(v1::StoredFileKind::Pack) => Ok(FileKind::Pack),
        Ok(v1::StoredFileKind::Index) => Ok(FileKind::Index),
        Ok(v1::StoredFileKind::Record) => Ok(FileKind::Snapshot),
        Ok(v1::StoredFileKind::Unspecified) | Err(_) => Err(Error::invalid("kind", format_args!("is not a kind that is known: {number}"))),
    }
}

fn kind_to_proto(kind: FileKind) -> v1::StoredFileKind {
    match kind {
        FileKind::Key => v1::StoredFileKind::Key,
        FileKind::Pack => v1::StoredFileKind::Pack,
        FileKind::Index => v1::StoredFileKind::Index,
        FileKind::Snapshot => v1::StoredFileKind::Record,
        // Whoever holds a repository is nobody else's business.
        FileKind::Lock => v1::StoredFileKind::Unspecified,
    }
}

fn name(field: &str, bytes: &[u8]) -> Result<FileId, Error> {
    let name = bytes.try_into().map_err(|_| Error::invalid(field, "must have 32 bytes"))?;
    Ok(FileId::from_bytes(name))
}

fn names(field: &str, bytes: &[u8]) -> Result<Vec<FileId>, Error> {
    let (names, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(Error::invalid(field, "must have 32 bytes for each name"));
    }
    Ok(names.iter().copied().map(FileId::from_bytes).collect())
}

pub(in crate::api::grpc) fn names_to_proto(names: &[FileId]) -> Vec<u8> {
    names.iter().flat_map(|id| *id.as_bytes()).collect()
}

pub(in crate::api::grpc) fn parse_found(request: v1::FoundReplicaRequest) -> Result<Founding, Error> {
    if request.config.is_empty() {
        return Err(Error::invalid("config", "must not be empty"));
    }
    Ok(Founding { config: request.config, key: (name("key_name", &request.key_name)?, request.key_file) })
}

pub(in crate::api::grpc) fn parse_missing(request: &v1::FindMissingRequest) -> Result<(FileKind, Vec<FileId>), Error> {
    Ok((parse_kind(request.kind)?, names("names", &request.names)?))
}

/// Which file comes.
pub(in crate::api::grpc) struct Header {
    pub(in crate::api::grpc) copy: GraphId,
    pub(in crate::api::grpc) kind: FileKind,
    pub(in crate::api::grpc) name: FileId,
    pub(in crate::api::grpc) size_bytes: u64,
}

pub(in crate::api::grpc) fn parse_header(header: Option<v1::FileHeader>, peer: &str) -> Result<Header, Error> {
    let missing = || Error::Required(Violations::one("header", "must be in the first message"));
    let header = header.ok_or_else(missing)?;
    let size_bytes = u64::try_from(header.size_bytes).map_err(|_| Error::invalid("header.size_bytes", "must not be negative"))?;
    let (copy, kind) = (parse_copy(&header.graph_id, peer)?, parse_kind(header.kind)?);
    if kind == FileKind::Key {
        return Err(Error::invalid("header.kind", "must not be that of keys: a copy has the one that it was founded with"));
    }
    Ok(Header { copy, kind, name: name("header.name", &header.name)?, size_bytes })
}

pub(in crate::api::grpc) fn parse_commit(request: v1::CommitSnapshotRequest) -> Result<Commit, Error> {
    let base = if request.base.is_empty() { None } else { Some(RecordId::from(name("base", &request.base)?)) };
    let indexes = request.indexes.into_iter().map(|file| Ok((name("indexes.name", &file.name)?, file.bytes)));
    let record = request.record.ok_or_else(|| Error::Required(Violations::one("record", "must be given")))?;
    let record = (RecordId::from(name("record.name", &record.name)?), record.bytes);
    let (packs, replaced) = (names("packs", &request.packs)?, names("replaced", &request.replaced)?);
    if replaced.len() > MOST_REPLACED {
        return Err(Error::invalid("replaced", format_args!("must not name more than {MOST_REPLACED} index files: {}", replaced.len())));
    }
    Ok(Commit { base, packs, indexes: indexes.collect::<Result<_, Error>>()?, record, replaced })
}

pub(in crate::api::grpc) fn parse_get(request: &v1::GetFileRequest) -> Result<(FileKind, FileId), Error> {
    Ok((parse_kind(request.kind)?, name("name", &request.name)?))
}

pub(in crate::api::grpc) fn parse_reread(request: &v1::RereadFilesRequest) -> Result<(Option<FileId>, u64), Error> {
    let most_bytes = u64::try_from(request.most_bytes).map_err(|_| Error::invalid("most_bytes", "must not be negative"))?;
    let after = if request.after.is_empty() { None } else { Some(name("after", &request.after)?) };
    Ok((after, most_bytes))
}

pub(in crate::api::grpc) fn reread_to_proto(found: Reread) -> v1::RereadFilesResponse {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let damaged =
        found.damaged.iter().map(|(kind, id)| v1::DamagedFile { kind: kind_to_proto(*kind).into(), name: id.as_bytes().to_vec() });
    v1::RereadFilesResponse {
        files: count(found.files),
        bytes: count(found.bytes),
        damaged: damaged.collect(),
        next: found.next.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
    }
}
