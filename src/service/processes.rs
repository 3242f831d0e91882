//! Programs that we start: found again and ended with all that they have started, and what they printed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::Services;
use super::error::Error;

/// How often is looked whether processes that were killed are gone, and the pause between.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// How long a program has to end when it is told to; then it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How much of what it printed last is told, bytes.
const TAIL_BYTES: u64 = 1000;

/// What programs that we start need not know: what they print may come into reports.
const SECRETS: [&str; 4] =
    ["LIGHTKEEP_HOOK_SECRET", "LIGHTKEEP_DRILL_COMMAND", "LIGHTKEEP_REPOSITORY_PASSWORD_COMMAND", "LIGHTRAG_RECOVERY_DB_URL"];

/// A program that is started without our secrets.
pub(super) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    for secret in SECRETS {
        command.env_remove(secret);
    }
    command
}

/// A variable and its value by which the processes of one program are known, whatever group they have moved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) variable: &'static str,
    pub(super) value: String,
}

impl Mark {
    /// Waits until none of its processes is left, or so long. Blocking.
    fn wait_for_all(&self, limit: Duration) {
        let mark = format!("{}={}", self.variable, self.value);
        let until = Instant::now() + limit;
        while !processes_with(mark.as_bytes()).is_empty() && Instant::now() < until {
            thread::sleep(PAUSE);
        }
    }

    /// Kills all processes that were started with it, and waits until they are gone. Blocking.
    pub(super) fn kill_all(&self) {
        let mark = format!("{}={}", self.variable, self.value);
        for _ in 0..LOOKS {
            let found = processes_with(mark.as_bytes());
            if found.is_empty() {
                return;
            }
            for process in found {
                // One that has just ended is what was wanted.
                let _ = kill_process(process, Signal::KILL);
            }
            thread::sleep(PAUSE);
        }
        tracing::warn!(mark, "processes that we started do not end");
    }
}

impl Services {
    /// Ends a program that leads a process group, and all that it has started: asks them to, and kills whatever is left after a while.
    pub(super) async fn end_program(&self, child: &mut Child, mark: Mark) -> Result<(), Error> {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        self.blocking(move || {
            // It has not been waited for, so its number is nobody else's.
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::TERM);
                mark.wait_for_all(GRACE);
                let _ = kill_process_group(group, Signal::KILL);
            }
            mark.kill_all();
            Ok::<_, Error>(())
        })
        .await?;
        let _ = timeout(GRACE, child.wait()).await;
        Ok(())
    }
}

/// The processes that were started with this variable, as far as we may look; those that have ended have none any more.
fn processes_with(mark: &[u8]) -> Vec<Pid> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_mark = |number: &i32| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark)
    };
    numbers.filter(has_mark).filter_map(Pid::from_raw).collect()
}

impl Services {
    /// The words with the end of what a program has printed, read where that may block.
    pub(super) async fn with_output(&self, why: String, output: &Path) -> String {
        let (output, told) = (output.to_path_buf(), why.clone());
        let read = self.blocking(move || Ok::<_, Error>(with_output(&told, &output)));
        read.await.unwrap_or(why)
    }
}

/// What is wrong, with the end of what was printed.
fn with_output(why: &str, output: &Path) -> String {
    let tail = || {
        let mut file = File::open(output)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut tail)?;
        // A database takes no zeros, and a reader no other signs of control.
        let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        let text: String = String::from_utf8_lossy(&tail).chars().filter(is_shown).collect();
        Ok::<_, io::Error>(text.trim().to_owned())
    };
    match tail() {
        Ok(tail) if !tail.is_empty() => format!("{why}; it printed last: {tail}"),
        _ => why.to_owned(),
    }
}
