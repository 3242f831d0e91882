//! What the old Python server leaves: a storage of plain copies, `<graph_id>/<backup_id>/`, and a database.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use sea_orm::{ConnectionTrait as _, Database};

use super::process::command;

/// Debian's `nobody`.
const NOBODY: u32 = 65534;

/// The columns that the fields of the old server's snapshots ask for.
const TABLE: &str = "CREATE TABLE backup_metadata (backup_id VARCHAR(36) PRIMARY KEY, graph_id VARCHAR(255) NOT NULL, \
                     timestamp TIMESTAMP NOT NULL, status VARCHAR(40), size_bytes INTEGER, data_hash VARCHAR(64), \
                     retention_until TIMESTAMP, metadata JSON, checkpoint_path VARCHAR(1024), description TEXT)";

/// Copies a tree as the old server did, and gives its directory this time of change: seconds since the epoch.
pub(crate) fn copy(storage: &Path, graph_id: &str, backup_id: &str, from: &Path, changed_at: u64) -> PathBuf {
    let directory = storage.join(graph_id).join(backup_id);
    fs::create_dir_all(storage.join(graph_id)).unwrap();
    // With times and links, as the old server's copies have them.
    assert!(Command::new("cp").arg("-a").args([from, &directory]).status().unwrap().success());
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(changed_at);
    File::open(&directory).unwrap().set_modified(time).unwrap();
    directory
}

/// Makes the old server's table in a database, with these rows: values as SQL.
pub(crate) async fn database(url: &str, rows: &[&str]) {
    let connection = Database::connect(url).await.unwrap();
    connection.execute_unprepared(TABLE).await.unwrap();
    for row in rows {
        connection.execute_unprepared(&format!("INSERT INTO backup_metadata VALUES ({row})")).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// Gives a tree to `nobody`, where the tests have root's rights.
pub(crate) fn give_away(path: &Path) {
    if is_root() {
        lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        if path.is_dir() && !path.is_symlink() {
            fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
        }
    }
}

/// Runs the program without root's rights. It is copied: the folder that it was built in may be closed to others.
pub(crate) fn run_as_nobody(directory: &Path, arguments: &[&str]) -> Output {
    let program = directory.join("program");
    fs::copy(env!("CARGO_BIN_EXE_lightkeep"), &program).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let plain = command(directory, arguments);
    let variables = plain.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let mut command = if is_root() { Command::new("setpriv") } else { Command::new(&program) };
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    }
    command.args(arguments).current_dir(directory).env_clear().envs(variables.collect::<Vec<_>>()).output().unwrap()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
