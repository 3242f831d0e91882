//! The command line as people use it: the program, run against a server of a test.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use super::app::TestApp;

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    fn new(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), output: text(output.stdout), errors: text(output.stderr) }
    }

    /// Its standard output, of a command that has to end well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.output, self.errors);
        self.output
    }

    /// The JSON of a command that has to end well.
    pub(crate) fn json(self) -> Json {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// Its code and its one line of error.
    pub(crate) fn refusal(&self) -> (i32, &str) {
        assert_eq!(self.errors.lines().count(), 1, "{}", self.errors);
        (self.code, self.errors.trim_end())
    }
}

/// The program with nothing in its environment but where the server is.
pub(crate) fn lightkeep(address: &str, directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightkeep"));
    command.current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin").env("LIGHTKEEP_ADDRESS", address).stdin(Stdio::null());
    command
}

/// Runs a command against the server of a test. The words stand as in a shell, with spaces between them.
pub(crate) fn say(app: &TestApp, words: &str) -> Said {
    say_all(app, &words.split_whitespace().collect::<Vec<_>>())
}

/// Likewise, for words with spaces in them.
pub(crate) fn say_all(app: &TestApp, words: &[&str]) -> Said {
    let address = format!("http://{}", app.server.grpc_addr());
    Said::new(lightkeep(&address, &app.data("")).args(words).output().unwrap())
}

/// Runs a command at another address, with more environment.
pub(crate) fn say_at(address: &str, directory: &Path, words: &str, environment: &[(&str, &str)]) -> Said {
    let mut command = lightkeep(address, directory);
    Said::new(command.args(words.split_whitespace()).envs(environment.iter().copied()).output().unwrap())
}

/// Runs a command in a terminal of its own, of 80 columns, types `input`, and gives all that is seen and the code.
pub(crate) fn at_terminal(app: &TestApp, words: &str, input: &str) -> (i32, String) {
    let address = format!("http://{}", app.server.grpc_addr());
    let line = format!("stty rows 24 cols 80; exec {} {words}", env!("CARGO_BIN_EXE_lightkeep"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(app.data("")).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color").env("LIGHTKEEP_ADDRESS", address);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    (said.status.code().unwrap(), String::from_utf8_lossy(&said.stdout).into_owned())
}
