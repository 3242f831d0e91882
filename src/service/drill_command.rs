//! The configured command of drills: started over a restored graph, asked until it is healthy, and ended with all that it has started.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use super::Services;
use super::drill_place::{DRILL_VARIABLE, Scratch, mark_of};
use super::drills::DrillSettings;
use super::error::{Error, ErrorKind};
use super::processes::with_output;
use crate::base::control::Control;
use crate::base::failpoint;
use crate::base::ids::OperationId;
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
    operation_id: OperationId,
    port: u16,
}

impl Started {
    /// Starts the command in a process group of its own.
    pub(super) fn start(command: &Secret, scratch: &Scratch, operation: &operation::Model) -> io::Result<Self> {
        let operation_id = operation.operation_id;
        // Free just now: another program may take it first, and then the command says so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let output = File::create(scratch.output())?;
        let child = Command::new("sh")
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
            .env(DRILL_VARIABLE, operation_id.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, operation_id, port })
    }

    /// Asks until it is healthy; gives why it is not when it has ended, or the time is over.
    pub(super) async fn wait_until_healthy(&mut self, limit: Duration, control: &Control) -> Result<Option<String>, Error> {
        let until = Instant::now() + limit;
        let server = Server::new(&format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port), None)?;
        loop {
            control.go_on()?;
            let ended = self.child.try_wait().map_err(|error| Error::internal("look at the command of a drill", error))?;
            if let Some(status) = ended {
                return Ok(Some(format!("the command ended before it was healthy: {status}")));
            }
            let answer_until = until.min(Instant::now() + ANSWER);
            if timeout_at(answer_until, server.is_healthy()).await.unwrap_or(false) {
                return Ok(None);
            }
            if Instant::now() >= until {
                return Ok(Some(format!("the command was not healthy within {} s", limit.as_secs())));
            }
            sleep(POLL).await;
        }
    }

    /// Ends it: asks it to, then kills whatever is left of it.
    pub(super) async fn end(mut self, services: &Services) -> Result<(), Error> {
        services.end_program(&mut self.child, mark_of(self.operation_id)).await
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
        let begun = self.now();
        let mut started = Started::start(command, scratch, operation).map_err(|error| {
            let message = format!("the command of `LIGHTKEEP_DRILL_COMMAND` cannot be started: {error}");
            Error::refused(ErrorKind::FailedPrecondition, "FILE_SYSTEM", message)
        })?;
        let unhealthy = started.wait_until_healthy(*limit, control).await;
        let took = self.now().since(begun);
        failpoint::reach("drill.started");
        started.end(self).await?;
        Ok((unhealthy?.map(|why| with_output(&why, &scratch.output())), took))
    }
}
