//! The configured command of drills: started over a restored graph, asked until it is healthy, and ended with all that it has started.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout_at};

use super::Services;
use super::drill_place::Scratch;
use super::drills::DrillSettings;
use super::error::{Error, ErrorKind};
use super::processes::{Mark, program};
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::secret::Secret;
use crate::lightrag::server::Server;
use crate::store::entity::operation;

/// How often it is asked.
const POLL: Duration = Duration::from_millis(100);

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// A command that works in a scratch place. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
    mark: Mark,
    port: u16,
}

impl Started {
    /// Starts the command in a process group of its own; what it prints goes to `output`.
    pub(super) fn start(command: &Secret, scratch: &Scratch, operation: &operation::Model, output: File) -> io::Result<Self> {
        // Free just now: another program may take it first, and then the command says so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = program("sh")
            .arg("-c")
            .arg(command.expose())
            .current_dir(scratch.path())
            .env("WORKING_DIR", scratch.graph())
            .env("INPUT_DIR", scratch.inputs())
            // The graph lies in the directory itself, whatever it was called.
            .env("WORKSPACE", "")
            .env("HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("PORT", port.to_string())
            .env("LIGHTKEEP_DRILL_GRAPH_ID", operation.graph_id.as_str())
            .env(scratch.mark().variable, &scratch.mark().value)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, mark: scratch.mark().clone(), port })
    }

    /// Asks until it is healthy; gives why it is not when it has ended, or the time is over.
    pub(super) async fn wait_until_healthy(&mut self, graph: &Path, limit: Duration, control: &Control) -> Result<Option<String>, Error> {
        let until = Instant::now() + limit;
        let server = Server::new(&format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port), None)?;
        loop {
            control.go_on()?;
            if let Some(status) = self.ended()? {
                return Ok(Some(format!("the command ended before it was healthy: {status}")));
            }
            let answer_until = until.min(Instant::now() + ANSWER);
            // Another program may have taken the port; one that tells its directory is known by it.
            let is_healthy = async { server.is_healthy().await && !matches!(server.serves_directory(graph).await, Ok(Some(false))) };
            if timeout_at(answer_until, is_healthy).await.unwrap_or(false) && self.is_running()? {
                return Ok(None);
            }
            if Instant::now() >= until {
                return Ok(Some(format!("the command was not healthy within {} s", limit.as_secs())));
            }
            sleep(POLL).await;
        }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|error| Error::internal("look at the command of a drill", error))
    }

    fn is_running(&mut self) -> Result<bool, Error> {
        Ok(self.ended()?.is_none())
    }

    /// Ends it: asks it to, then kills whatever is left of it.
    pub(super) async fn end(mut self, services: &Services) -> Result<(), Error> {
        services.end_program(&mut self.child, self.mark).await
    }
}

impl Services {
    /// Starts the configured command over a restored graph, waits until it is healthy, and ends it; gives why it was not healthy, with what
    /// it printed last, and how long that took.
    pub(super) async fn start_over(
        &self,
        command: &Secret,
        scratch: &Scratch,
        operation: &operation::Model,
        control: &Control,
    ) -> Result<(Option<String>, Duration), Error> {
        let DrillSettings { timeout: limit, .. } = &self.settings().drill;
        let (begun, path) = (Instant::now(), scratch.output());
        let cannot_start = |error: io::Error| {
            let message = format!("the command of `LIGHTKEEP_DRILL_COMMAND` cannot be started: {error}");
            Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
        };
        let output = self.blocking(move || File::create(path).map_err(cannot_start)).await?;
        let mut started = Started::start(command, scratch, operation, output).map_err(cannot_start)?;
        let unhealthy = started.wait_until_healthy(&scratch.graph(), *limit, control).await;
        let took = begun.elapsed();
        failpoint::reach("drill.started");
        started.end(self).await?;
        let told = match unhealthy? {
            Some(why) => Some(self.with_output(why, &scratch.output()).await),
            None => None,
        };
        Ok((told, took))
    }
}
