//! Files between two Lightkeeps.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{ANSWER_LIMIT, Error, Kind, Name, Peer};
use crate::domain::peer::PIECE_LIMIT;
use crate::proto::v1;

/// So many names are asked for at once.
const NAMES_AT_ONCE: usize = 50_000;

/// A repository of so many packs would have a hundred terabytes: whoever lists more does not end.
const MOST_NAMES: usize = 8_000_000;

/// How long it may take to read files again.
const REREAD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// A file that is not what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

/// What reading files again has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reread {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are damaged.
    pub damaged: Vec<DamagedFile>,
    /// The last name that was read, where there are more.
    pub next: Option<Name>,
}

/// A file that comes piece by piece.
#[derive(Debug)]
pub struct Coming(Streaming<v1::GetFileResponse>);

impl Coming {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`Error::Broken`] where the other side takes too long; what it ended with.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(in_time(self.0.message()).await??.map(|message| message.bytes))
    }
}

impl Peer {
    /// Which of these files are not there.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn missing(&self, graph_id: &str, kind: Kind, names: &[Name]) -> Result<Vec<Name>, Error> {
        let mut missing = Vec::new();
        for some in names.chunks(NAMES_AT_ONCE) {
            let kind = to_proto(kind).into();
            let request = v1::FindMissingRequest { graph_id: graph_id.to_owned(), kind, names: some.concat() };
            let answer = self.client.clone().find_missing(self.call(request, Some(ANSWER_LIMIT))).await?.into_inner();
            let found = names_of(&answer.names)?;
            if found.len() > some.len() {
                return Err(Error::Answer("more files are missing than were asked for"));
            }
            missing.extend(found);
        }
        Ok(missing)
    }

    /// Sends a file of so many bytes, whose pieces come from `pieces`. It is there when this returns.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn put(&self, graph_id: &str, kind: Kind, name: Name, size_bytes: u64, pieces: mpsc::Receiver<Bytes>) -> Result<(), Error> {
        let size_bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
        let header = v1::FileHeader { graph_id: graph_id.to_owned(), kind: to_proto(kind).into(), name: name.to_vec(), size_bytes };
        let first = v1::PutFileRequest { header: Some(header), bytes: Bytes::new() };
        let next = |bytes| v1::PutFileRequest { header: None, bytes };
        let stream = tokio_stream::StreamExt::map(ReceiverStream::new(pieces), next);
        let stream = tokio_stream::StreamExt::chain(tokio_stream::once(first), stream);
        self.client.clone().put_file(self.call(stream, None)).await?;
        Ok(())
    }

    /// The names of all files of a kind.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn list(&self, graph_id: &str, kind: Kind) -> Result<Vec<Name>, Error> {
        let request = v1::ListFilesRequest { graph_id: graph_id.to_owned(), kind: to_proto(kind).into() };
        let mut stream = in_time(self.client.clone().list_files(self.call(request, None))).await??.into_inner();
        let mut names = Vec::new();
        loop {
            let Some(message) = in_time(stream.message()).await?? else { return Ok(names) };
            names.extend(names_of(&message.names)?);
            if names.len() > MOST_NAMES {
                return Err(Error::Answer("it lists more files than a repository can have"));
            }
        }
    }

    /// Begins to get a file.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn get(&self, graph_id: &str, kind: Kind, name: Name) -> Result<Coming, Error> {
        let request = v1::GetFileRequest { graph_id: graph_id.to_owned(), kind: to_proto(kind).into(), name: name.to_vec() };
        Ok(Coming(in_time(self.client.clone().get_file(self.call(request, None))).await??.into_inner()))
    }

    /// Has files read again whose names come after `after`, until so many bytes are read.
    ///
    /// # Errors
    /// What the call ended with.
    pub async fn reread(&self, graph_id: &str, after: Option<Name>, most_bytes: u64) -> Result<Reread, Error> {
        let after = after.map(Vec::from).unwrap_or_default();
        let most_bytes = i64::try_from(most_bytes).unwrap_or(i64::MAX);
        let request = v1::RereadFilesRequest { graph_id: graph_id.to_owned(), after, most_bytes };
        let answer = self.client.clone().reread_files(self.call(request, Some(REREAD_LIMIT))).await?.into_inner();
        let count = |number: i64| u64::try_from(number).map_err(|_| Error::Answer("a number is negative"));
        let damaged = answer.damaged.iter().map(|file| {
            let kind = of_proto(file.kind()).ok_or(Error::Answer("a kind of files is not known"))?;
            Ok::<_, Error>(DamagedFile { kind, name: name_of(&file.name)? })
        });
        Ok(Reread {
            files: count(answer.files)?,
            bytes: count(answer.bytes)?,
            damaged: damaged.collect::<Result<_, _>>()?,
            next: if answer.next.is_empty() { None } else { Some(name_of(&answer.next)?) },
        })
    }
}

/// What has to come within the limit.
async fn in_time<T>(coming: impl Future<Output = T>) -> Result<T, Error> {
    let stalled = |_| Error::Broken(format!("nothing came for {} s", PIECE_LIMIT.as_secs()));
    tokio::time::timeout(PIECE_LIMIT, coming).await.map_err(stalled)
}

fn to_proto(kind: Kind) -> v1::StoredFileKind {
    match kind {
        Kind::Key => v1::StoredFileKind::Key,
        Kind::Pack => v1::StoredFileKind::Pack,
        Kind::Index => v1::StoredFileKind::Index,
        Kind::Record => v1::StoredFileKind::Record,
    }
}

fn of_proto(kind: v1::StoredFileKind) -> Option<Kind> {
    match kind {
        v1::StoredFileKind::Unspecified => None,
        v1::StoredFileKind::Key => Some(Kind::Key),
        v1::StoredFileKind::Pack => Some(Kind::Pack),
        v1::StoredFileKind::Index => Some(Kind::Index),
        v1::StoredFileKind::Record => Some(Kind::Record),
    }
}

fn name_of(bytes: &[u8]) -> Result<Name, Error> {
    bytes.try_into().map_err(|_| Error::Answer("the name of a file has not 32 bytes"))
}

fn names_of(bytes: &[u8]) -> Result<Vec<Name>, Error> {
    let (names, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() { Ok(names.to_vec()) } else { Err(Error::Answer("the names of files have not 32 bytes each")) }
}
