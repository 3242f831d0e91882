//! The password of the repositories: from a file, from a command, or made at the first start.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{self, Stdio};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

use super::config::PasswordSource;
use super::key_file;
use crate::base::secret::Secret;

const KEY_FILE: &str = "repository.key";

/// Where a password came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The file that the configuration names.
    File,
    /// The command that the configuration names.
    Command,
    /// `<storage>/repository.key`, made at an earlier start.
    Stored,
    /// `<storage>/repository.key`, made just now: it must be kept elsewhere too, or all backups are lost with it.
    Created,
}

/// The password of the repositories in `storage`. Creates the storage directory where a password has to be made. Blocks.
///
/// # Errors
/// The file or the command does not give one, or a new one cannot be kept.
pub fn repository_password(source: &PasswordSource, storage: &Path) -> anyhow::Result<(Secret, Origin)> {
    match source {
        PasswordSource::File(path) => Ok((read_file(path)?, Origin::File)),
        PasswordSource::Command(command) => Ok((run(command)?, Origin::Command)),
        PasswordSource::Generated => read_or_create(storage),
    }
}

fn read_file(path: &Path) -> anyhow::Result<Secret> {
    let text = Zeroizing::new(fs::read_to_string(path).with_context(|| format!("cannot read the password file: {}", path.display()))?);
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("the password file is empty, put the password in it: {}", path.display());
    }
    Ok(Secret::new(password.to_owned()))
}

fn run(command: &str) -> anyhow::Result<Secret> {
    // The command itself is not shown: it may hold a token.
    let output = process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .output()
        .context("cannot run the command of `LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND`")?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let reason = reason.trim().lines().next_back().unwrap_or("it printed no reason");
        bail!("the command of `LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND` failed, correct it: {}: {reason}", output.status);
    }
    let text = std::str::from_utf8(&printed).context("the command of `LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND` printed no UTF-8")?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(Secret::new(password.to_owned())),
        _ => bail!("the command of `LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND` printed nothing, it must print the password as its first line"),
    }
}

fn read_or_create(storage: &Path) -> anyhow::Result<(Secret, Origin)> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(storage)
        .with_context(|| format!("cannot create the storage directory: {}", storage.display()))?;
    let path = storage.join(KEY_FILE);
    if path.try_exists().with_context(|| format!("cannot look for the repository password: {}", path.display()))? {
        return Ok((read_file(&path)?, Origin::Stored));
    }
    // A new password would not open what is there: better to say what is lost than to begin anew beside it.
    if let Some(repository) = existing_repository(storage)? {
        bail!(
            "the storage holds `{repository}`, but no password file, put it back or set `LIGHTKEEP_REPOSITORY_PASSWORD_FILE`: {}",
            path.display()
        );
    }
    let mut random = Zeroizing::new([0_u8; 32]);
    getrandom::fill(random.as_mut_slice()).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    let password = hex::encode(random.as_slice());
    // The newline is for people; restic strips it too.
    let text = Zeroizing::new(format!("{password}\n"));
    let kept = key_file::create(&path, &text).with_context(|| format!("cannot keep the repository password: {}", path.display()))?;
    if kept { Ok((Secret::new(password), Origin::Created)) } else { Ok((read_file(&path)?, Origin::Stored)) }
}

/// The name of a repository in the storage: a directory that holds a restic `config`.
fn existing_repository(storage: &Path) -> anyhow::Result<Option<String>> {
    let cannot_list = || format!("cannot list the storage directory: {}", storage.display());
    for entry in fs::read_dir(storage).with_context(cannot_list)? {
        let entry = entry.with_context(cannot_list)?;
        if entry.path().join("config").is_file() {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn password(source: &PasswordSource, storage: &Path) -> Result<(String, Origin), String> {
        repository_password(source, storage)
            .map(|(secret, origin)| (secret.expose().to_owned(), origin))
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_password_is_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = dir.path().join("new/storage");
        let (first, origin) = password(&PasswordSource::Generated, &storage).expect("made");
        assert_eq!((first.len(), origin), (64, Origin::Created));
        assert_eq!(password(&PasswordSource::Generated, &storage), Ok((first, Origin::Stored)));
        let mode = fs::metadata(storage.join(KEY_FILE)).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&storage).expect("the storage").count(), 1, "nothing else is left there");
    }

    #[test]
    fn no_password_is_made_beside_repositories_that_it_cannot_open() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("graph1")).expect("a repository");
        fs::write(dir.path().join("graph1/config"), "x").expect("a repository");
        let error = password(&PasswordSource::Generated, dir.path()).expect_err("must be refused");
        assert!(error.starts_with("the storage holds `graph1`, but no password file"), "{error}");
        assert!(!dir.path().join(KEY_FILE).exists());
    }

    #[test]
    fn a_file_gives_its_text_without_the_newline() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        fs::write(&path, " open sesame \r\n").expect("written");
        assert_eq!(password(&PasswordSource::File(path.clone()), dir.path()), Ok((" open sesame ".to_owned(), Origin::File)));
        fs::write(&path, "\n").expect("written");
        assert!(password(&PasswordSource::File(path.clone()), dir.path()).is_err_and(|error| error.contains("empty")));
        fs::remove_file(&path).expect("removed");
        assert!(password(&PasswordSource::File(path), dir.path()).is_err_and(|error| error.contains("cannot read")));
    }

    #[test]
    fn a_command_gives_its_first_line() {
        let run = |command: &str| password(&PasswordSource::Command(command.to_owned()), Path::new("/nowhere"));
        assert_eq!(run("echo one; echo two"), Ok(("one".to_owned(), Origin::Command)));
        let error = run("echo no vault >&2; exit 3").expect_err("must fail");
        assert!(error.contains("exit status: 3") && error.ends_with("no vault"), "{error}");
        assert!(run("true").is_err_and(|error| error.contains("printed nothing")));
    }
}
