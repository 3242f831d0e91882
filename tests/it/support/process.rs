//! The program as its users start it: a process of its own, that can be killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use lightkeep::proto::v1::backup_service_client::BackupServiceClient;
use lightkeep::proto::v1::operation_service_client::OperationServiceClient;
use lightkeep::proto::v1::recovery_service_client::RecoveryServiceClient;
use lightkeep::proto::v1::repository_service_client::RepositoryServiceClient;
use tonic::transport::{Channel, Endpoint};

/// A running `lightkeep serve`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: String,
    pub(crate) grpc: String,
}

/// The command, on free ports, with all its data below a directory.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightkeep"));
    command.current_dir(directory).args(arguments).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("LIGHTKEEP_HTTP_ADDR", "127.0.0.1:0").env("LIGHTKEEP_GRPC_ADDR", "127.0.0.1:0");
    command.env("LIGHTKEEP_METRICS_ADDR", "127.0.0.1:0");
    // Nothing by itself but what a test is about.
    command.env("LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL", "0").env("LIGHTRAG_HEALTH_CHECK_ENABLED", "false");
    command
}

/// Runs the program to its end.
pub(crate) fn run(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(directory, arguments).envs(environment.iter().copied()).output().unwrap()
}

impl Process {
    /// Starts a server and waits until it says that it is ready.
    pub(crate) fn start(directory: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = command(directory, &["serve"]);
        command.envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// Starts a server whose log goes to a file.
    pub(crate) fn start_with_log(directory: &Path, environment: &[(&str, &str)], log: File) -> Self {
        let mut command = command(directory, &["serve"]);
        command.envs(environment.iter().copied()).stderr(log);
        Self::spawn(command)
    }

    /// Starts a server that has not root's rights; where the tests have none either, as it is. The program is copied: the folder
    /// that it was built in may be closed to others.
    pub(crate) fn start_as_nobody(directory: &Path) -> Self {
        let program = directory.join("program");
        std::fs::copy(env!("CARGO_BIN_EXE_lightkeep"), &program).unwrap();
        let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
        let mut plain = command(directory, &["serve"]);
        if !is_root {
            return Self::spawn(plain);
        }
        let variables: Vec<_> = plain.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        plain = Command::new("setpriv");
        plain.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).arg("serve");
        plain.current_dir(directory).env_clear().envs(variables);
        Self::spawn(plain)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = |name: &str| {
            let line = lines.next().expect("the server ended before it was ready").unwrap();
            line.strip_prefix(name).unwrap_or_else(|| panic!("unexpected line: {line}")).trim().to_owned()
        };
        let (http, grpc) = (address("http "), address("grpc "));
        Self { child, http, grpc }
    }

    async fn channel(&self) -> Channel {
        Endpoint::new(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn backup(&self) -> BackupServiceClient<Channel> {
        BackupServiceClient::new(self.channel().await)
    }

    pub(crate) async fn operations(&self) -> OperationServiceClient<Channel> {
        OperationServiceClient::new(self.channel().await)
    }

    pub(crate) async fn recovery(&self) -> RecoveryServiceClient<Channel> {
        RecoveryServiceClient::new(self.channel().await)
    }

    pub(crate) async fn repository(&self) -> RepositoryServiceClient<Channel> {
        RepositoryServiceClient::new(self.channel().await)
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
