//! Checks a repository with all its data, for `benches/snapshot` to time against `restic check --read-data`.
//! Arguments: the repository's directory, the file with its password.

use std::error::Error;
use std::path::Path;

use lightkeep::base::clock::{Clock as _, SystemClock};
use lightkeep::base::control::Control;
use lightkeep::base::secret::Secret;
use lightkeep::repository::{CheckDepth, LockKind, Repository};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [root, password_file] = arguments.as_slice() else {
        println!("give a repository and its password file; nothing checked");
        return Ok(());
    };
    let password = Secret::new(std::fs::read_to_string(password_file)?.trim_end().to_owned());
    let repository = Repository::open(Path::new(root), &password)?;
    let lock = repository.lock(LockKind::Shared, SystemClock.now(), "benchmark")?;
    let report = repository.check(CheckDepth::AllData, &Control::default(), &lock)?;
    println!("{} packs, {} blobs, {} snapshots, {} problems", report.packs, report.blobs, report.snapshots, report.problems.len());
    if report.problems.is_empty() { Ok(()) } else { Err(format!("{:?}", report.problems).into()) }
}
