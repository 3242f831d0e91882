//! Which directories may be read and replaced.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::{Error, ErrorKind};

/// The places on this machine that callers may name.
#[derive(Debug, Clone)]
pub struct Places {
    /// Directories that sources and targets must lie in, resolved.
    pub allowed_roots: Vec<PathBuf>,
    /// Where the repositories are, resolved.
    pub storage: PathBuf,
    /// Files outside the storage that we need, resolved: the database, the password. No restore may move them away.
    pub own_files: Vec<PathBuf>,
    /// What relative paths are relative to.
    pub working_dir: PathBuf,
}

impl Places {
    /// Checks a directory that a snapshot is to be taken from; gives it absolute, with links and `..` resolved.
    ///
    /// # Errors
    /// Outside the allowed roots; not there; no directory; unreadable; overlapping the repositories.
    pub fn resolve_source(&self, text: &str) -> Result<PathBuf, Error> {
        self.resolve_readable("source_dir", "Source", text)
    }

    /// As [`Places::resolve_source`], for the inputs directory that a snapshot is to hold too.
    ///
    /// # Errors
    /// As [`Places::resolve_source`].
    pub fn resolve_inputs(&self, text: &str) -> Result<PathBuf, Error> {
        self.resolve_readable("inputs_dir", "Inputs", text)
    }

    fn resolve_readable(&self, field: &'static str, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.resolve(field, text)?;
        self.check_allowed(field, text, &path)?;
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Error::invalid(field, format_args!("is not a directory: {text}"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(refused(ErrorKind::InvalidArgument, "SOURCE_NOT_FOUND", format!("{name} directory not found: {text}")));
            }
            Err(error) => return Err(Error::invalid(field, format_args!("cannot be read, check its permissions: {text}: {error}"))),
        }
        if let Err(error) = fs::read_dir(&path) {
            return Err(Error::invalid(field, format_args!("cannot be read, check its permissions: {text}: {error}")));
        }
        self.check_apart(field, text, &path)?;
        Ok(path)
    }

    /// Checks a directory that a snapshot, or its inputs, are to be restored to, named by this field; it need not exist. Gives it
    /// absolute and resolved.
    ///
    /// # Errors
    /// Outside the allowed roots; there but no directory; overlapping the repositories.
    pub fn resolve_target(&self, field: &'static str, text: &str) -> Result<PathBuf, Error> {
        let path = self.resolve(field, text)?;
        self.check_allowed(field, text, &path)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::invalid(field, format_args!("exists and is not a directory, name another: {text}")));
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let message = format!("target directory cannot be reached, check its permissions: {text}");
                return Err(refused(ErrorKind::PermissionDenied, "TARGET_FORBIDDEN", message));
            }
            Ok(_) | Err(_) => {}
        }
        if path.parent().is_none() {
            return Err(Error::invalid(field, format_args!("cannot be replaced: {text}")));
        }
        self.check_apart(field, text, &path)?;
        if let Some(own) = self.own_files.iter().find(|own| own.starts_with(&path)) {
            let message = format_args!("contains a file that Lightkeep itself uses, `{}`: {text}", own.display());
            return Err(Error::invalid(field, message));
        }
        Ok(path)
    }

    /// Checks a source again that was fit when it was asked for: a link may have been put into its path since.
    ///
    /// # Errors
    /// As [`Places::resolve_source`]; it leads elsewhere now.
    pub fn check_source_again(&self, source: &Path) -> Result<(), Error> {
        check_same("source_dir", source, &self.resolve_source(&source.to_string_lossy())?)
    }

    /// Checks an inputs directory again that was fit when it was asked for.
    ///
    /// # Errors
    /// As [`Places::resolve_inputs`]; it leads elsewhere now.
    pub fn check_inputs_again(&self, inputs: &Path) -> Result<(), Error> {
        check_same("inputs_dir", inputs, &self.resolve_inputs(&inputs.to_string_lossy())?)
    }

    /// Checks a target again that was fit when it was asked for.
    ///
    /// # Errors
    /// As [`Places::resolve_target`]; it leads elsewhere now.
    pub fn check_target_again(&self, field: &'static str, target: &Path) -> Result<(), Error> {
        check_same(field, target, &self.resolve_target(field, &target.to_string_lossy())?)
    }

    /// Resolves the part of the path that exists; the rest must be plain names.
    fn resolve(&self, field: &str, text: &str) -> Result<PathBuf, Error> {
        if text.contains('\0') {
            return Err(Error::invalid(field, "must not contain a NUL character"));
        }
        let wanted = self.working_dir.join(text);
        let mut missing = PathBuf::new();
        for ancestor in wanted.ancestors() {
            match fs::canonicalize(ancestor) {
                Ok(real) if missing.as_os_str().is_empty() => return Ok(real),
                Ok(real) => return Ok(real.join(missing)),
                // A path below a file, or below a directory that may not be searched, is judged by what can be known of it.
                Err(_) => {}
            }
            // A dangling link would be followed when the directory is made: it counts as what it is, a thing in the way.
            if fs::symlink_metadata(ancestor).is_ok_and(|metadata| metadata.is_symlink()) {
                return Err(Error::invalid(field, format_args!("passes through a link that leads nowhere: {text}")));
            }
            match ancestor.components().next_back() {
                Some(Component::Normal(name)) => {
                    missing = if missing.as_os_str().is_empty() { name.into() } else { Path::new(name).join(missing) }
                }
                _ => return Err(Error::invalid(field, format_args!("must not use `..` below a directory that does not exist: {text}"))),
            }
        }
        Err(Error::invalid(field, format_args!("cannot be resolved: {text}")))
    }

    fn check_allowed(&self, field: &'static str, text: &str, path: &Path) -> Result<(), Error> {
        if self.allowed_roots.iter().any(|root| path.starts_with(root)) {
            return Ok(());
        }
        let message = format!("`{field}` lies outside the allowed directories, extend `LIGHTKEEP_ALLOWED_ROOTS` if it is meant: {text}");
        Err(refused(ErrorKind::PermissionDenied, "PATH_FORBIDDEN", message))
    }

    fn check_apart(&self, field: &str, text: &str, path: &Path) -> Result<(), Error> {
        if path.starts_with(&self.storage) {
            return Err(Error::invalid(field, format_args!("lies inside the storage of the repositories: {text}")));
        }
        if self.storage.starts_with(path) {
            return Err(Error::invalid(field, format_args!("contains the storage of the repositories: {text}")));
        }
        Ok(())
    }
}

/// A resolved path as a row keeps it.
///
/// # Errors
/// It is not valid UTF-8.
pub(super) fn into_text(field: &str, path: PathBuf) -> Result<String, Error> {
    let not_text = |path: OsString| Error::invalid(field, format_args!("is not valid UTF-8: {}", Path::new(&path).display()));
    path.into_os_string().into_string().map_err(not_text)
}

fn check_same(field: &str, path: &Path, now: &Path) -> Result<(), Error> {
    if now == path { Ok(()) } else { Err(Error::invalid(field, format_args!("leads elsewhere now: {}", path.display()))) }
}

fn refused(kind: ErrorKind, reason: &'static str, message: String) -> Error {
    Error::refused(kind, reason, message)
}
