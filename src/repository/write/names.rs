//! Names of users and groups, which restic records beside their numbers.

use std::collections::HashMap;
use std::fs;

/// The computer's own users and groups.
pub(crate) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads them once for a backup. Without the files there are no names, and the numbers are enough.
    pub(crate) fn load() -> Self {
        Self { users: parse(&fs::read("/etc/passwd").unwrap_or_default()), groups: parse(&fs::read("/etc/group").unwrap_or_default()) }
    }

    /// A user's name, or nothing.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_default()
    }

    /// A group's name, or nothing.
    pub(crate) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_default()
    }
}

/// Reads lines `name:password:number:...`; the first of several with the same number counts.
fn parse(bytes: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(_), Some(Ok(number))) = (fields.next(), fields.next(), fields.next().map(str::parse)) {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}
