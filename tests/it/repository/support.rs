use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lightkeep::base::control::Control;
use lightkeep::base::secret::Secret;
use lightkeep::base::timestamp::Timestamp;
use lightkeep::domain::entry::Entry;
use lightkeep::repository::*;

pub(crate) const HOST: &str = "test-host";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000)
}

pub(crate) fn secret() -> Secret {
    Secret::new("correct horse".into())
}

/// A scratch directory with a source and a place for a repository.
pub(crate) struct Scratch {
    pub(crate) dir: tempfile::TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("source")).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.path("source")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("repository")
    }

    pub(crate) fn init(&self) -> Repository {
        Repository::init(&self.root(), &secret(), now(), HOST).unwrap()
    }

    pub(crate) fn open(&self) -> Repository {
        Repository::open(&self.root(), &secret()).unwrap()
    }

    /// Runs restic on the repository; panics with its words when it fails.
    pub(crate) fn restic(&self, arguments: &[&str]) -> String {
        let (ok, text) = self.try_restic(arguments);
        assert!(ok, "restic {arguments:?}: {text}");
        text
    }

    pub(crate) fn try_restic(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("restic")
            .args(arguments)
            .arg("--no-cache")
            .env("RESTIC_REPOSITORY", self.root())
            .env("RESTIC_PASSWORD", secret().expose())
            .env("TZ", "UTC")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    pub(crate) fn save(&self, repository: &Repository, parent: Option<RecordId>) -> (Stored, RecordId) {
        let control = Control::default();
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        let stored = repository.back_up(&request(&self.source(), parent, &control), &lock).unwrap();
        let id = repository.write_record(&stored, &self.new_record(parent), &lock).unwrap();
        (stored, id)
    }

    pub(crate) fn new_record(&self, parent: Option<RecordId>) -> NewRecord {
        NewRecord {
            time: now(),
            hostname: HOST.into(),
            username: "tester".into(),
            paths: vec![self.source()],
            tags: vec!["lightkeep".into(), "snapshot:1".into()],
            parent,
        }
    }

    pub(crate) fn restore(&self, repository: &Repository, record: RecordId, path: &Path, to: &Path) -> Result<Restored, Error> {
        let control = Control::default();
        let lock = repository.lock(LockKind::Shared, now(), HOST).unwrap();
        repository.restore(&RestoreRequest { record, recorded_path: path, only: None, to, sync: false, control: &control }, &lock)
    }
}

pub(crate) fn request<'a>(source: &'a Path, parent: Option<RecordId>, control: &'a Control) -> BackupRequest<'a> {
    BackupRequest {
        source: Source::Directory { root: source, skip: &|_| false },
        recorded_path: source,
        beside: None,
        parent,
        tap: &|_: &Entry| None,
        manifest: None,
        control,
    }
}

/// A path whose directories do not exist, so that nothing that other tests do changes what is recorded of them.
pub(crate) const NOWHERE: &str = "/no/such/directory";

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A tree with everything that is hard.
pub(crate) fn odd_tree(root: &Path) {
    use std::fs;
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
    let name = |bytes: &[u8]| root.join(OsStr::from_bytes(bytes));
    for odd in [&b"plain"[..], b"new\nline", b"quote\"back\\slash", b"\xff\xfeinvalid", "ä☃<&>\u{a0}".as_bytes(), b"\x01\x7f", b"-dash"]
    {
        fs::write(name(odd), odd).unwrap();
    }
    fs::write(name(b"empty"), b"").unwrap();
    fs::write(name(b"large"), noise(7, 5_000_000)).unwrap();
    fs::write(name(b"zeros"), vec![0; 9_000_000]).unwrap();
    let sparse = fs::File::create(name(b"sparse")).unwrap();
    sparse.set_len(12_000_000).unwrap();
    sparse.write_all_at(b"here", 11_000_000).unwrap();
    fs::create_dir_all(name(b"deep/er/est")).unwrap();
    fs::write(name(b"deep/er/est/file"), b"bottom").unwrap();
    fs::create_dir(name(b"deep.dot")).unwrap();
    fs::write(name(b"deep.dot/a"), b"sorted").unwrap();
    fs::create_dir(name(b"void")).unwrap();
    symlink("plain", name(b"link")).unwrap();
    symlink("/nowhere/at/all", name(b"dangling")).unwrap();
    symlink(OsStr::from_bytes(b"raw\xff"), name(b"rawlink")).unwrap();
    fs::hard_link(name(b"plain"), name(b"deep/second name")).unwrap();
    fs::set_permissions(name(b"plain"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(name(b"large"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(name(b"void"), fs::Permissions::from_mode(0o1777)).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, name(b"pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o640), 0).unwrap();
    let attribute = CString::new("user.comment").unwrap();
    let _where_supported = rustix::fs::setxattr(name(b"empty"), &attribute, b"\x00\xff", rustix::fs::XattrFlags::empty());
}

/// All that a restore must bring back, one line for each entry. `raw_links` says whether targets that are no UTF-8 count.
pub(crate) fn describe(root: &Path, raw_links: bool) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    fn visit(root: &Path, path: &Path, raw_links: bool, lines: &mut Vec<String>) {
        let metadata = std::fs::symlink_metadata(path).unwrap();
        let mut line = format!(
            "{:?} {:o} {}:{} {}.{}",
            path.strip_prefix(root).unwrap(),
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        if metadata.is_file() {
            let content = std::fs::read(path).unwrap();
            line += &format!(" {} bytes {:?} links {}", content.len(), sha(&content), metadata.nlink());
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(path).unwrap();
            if raw_links || target.to_str().is_some_and(|t| !t.contains('\u{fffd}')) {
                line += &format!(" -> {target:?}");
            }
        }
        let mut value = [0; 64];
        if let Ok(length) = rustix::fs::lgetxattr(path, "user.comment", &mut value[..]) {
            line += &format!(" comment {:?}", &value[..length]);
        }
        lines.push(line);
        if metadata.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                visit(root, &entry.unwrap().path(), raw_links, lines);
            }
        }
    }
    let mut lines = Vec::new();
    visit(root, root, raw_links, &mut lines);
    lines.sort();
    lines
}

fn sha(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
