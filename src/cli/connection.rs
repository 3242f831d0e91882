//! Where the server is, and how to speak to it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use lightkeep_client::{Client, Options};

use super::failure::Failure;
use super::output::{Form, Output};

/// The address without one that was given.
const ADDRESS: &str = "http://127.0.0.1:50051";

/// How the server is reached, and in what form it is told. The same for all commands that speak to a server.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ConnectionArgs {
    /// The server's gRPC address: http://host:port, or https://host:port [default: http://127.0.0.1:50051].
    #[arg(long, global = true, value_name = "URL", env = "LIGHTKEEP_ADDRESS", help_heading = "Connection")]
    address: Option<String>,
    /// File that holds the server's API key. Without it, the variable LIGHTKEEP_TOKEN holds the key itself.
    #[arg(long, global = true, value_name = "FILE", env = "LIGHTKEEP_TOKEN_FILE", help_heading = "Connection")]
    token_file: Option<PathBuf>,
    /// Not shown, and no flag for people: other users of a computer can read command lines.
    #[arg(long, global = true, hide = true, env = "LIGHTKEEP_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// PEM file of the certificate authorities to trust with https [default: those of the system].
    #[arg(long, global = true, value_name = "FILE", env = "LIGHTKEEP_CA_FILE", help_heading = "Connection")]
    ca_file: Option<PathBuf>,
    /// How long a call may take, seconds; work that was begun goes on [default: as long as it takes].
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Connection")]
    timeout: Option<u64>,
    /// text, or json: what REST answers.
    #[arg(long, global = true, value_name = "FORM", default_value = "text", help_heading = "Output")]
    output: Form,
}

/// A connection, and a way to tell what it said.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) output: Output,
    /// What is to be said to whoever does not wait for it.
    pub(super) left: Mutex<Option<String>>,
}

impl ConnectionArgs {
    pub(super) fn address(&self) -> String {
        self.address.clone().filter(|address| !address.is_empty()).unwrap_or_else(|| ADDRESS.to_owned())
    }

    pub(super) async fn open(&self) -> Result<Session, Failure> {
        Ok(Session { client: Client::new(self.options()?).await?, output: Output::new(self.output)?, left: Mutex::default() })
    }

    pub(super) fn options(&self) -> Result<Options, Failure> {
        let deadline = self.timeout.map(Duration::from_secs);
        Ok(Options { token: self.token()?, ca_file: self.ca_file.clone(), deadline, ..Options::new(self.address()) })
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        match &self.token_file {
            Some(file) => secret(file).map(Some),
            None => Ok(self.token.clone().filter(|token| !token.is_empty())),
        }
    }
}

/// A secret that a file holds; a line end behind it does not count.
pub(super) fn secret(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file("cannot read", file, &error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
