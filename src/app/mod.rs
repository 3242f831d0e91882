//! Floor 6: wiring. What the process is told (flags, environment, files), and what it is built of.

mod adopt;
mod allocator;
pub mod args;
pub mod config;
pub mod instance_lock;
mod key_file;
pub mod password;
mod quickstart;
mod secret_keys;
pub mod server;
mod signals;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;

use self::args::{Args, Command};
use self::config::Config;
use self::server::{Listeners, Server};
use self::signals::Signals;
use crate::base::clock::SystemClock;
use crate::base::ids::IdSource;
use crate::store::{self, Store};

/// What is wrong with the configuration ends the process with this code, before anything was touched.
const EXIT_CONFIGURATION: u8 = 2;

/// Runs the program to its end.
pub fn main(args: &Args) -> ExitCode {
    allocator::settle();
    let config = match load(args) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    log(config.log_level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(args, config));
    // A blocking task that does not end must not keep a process alive that was told to go.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            let refused = error.downcast_ref::<store::Error>().is_some_and(|error| matches!(error, store::Error::SchemaTooNew { .. }));
            if refused { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

fn load(args: &Args) -> Result<Config, String> {
    let working_dir = std::env::current_dir().map_err(|error| format!("the working directory cannot be used: {error}"))?;
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(args, &environment.collect(), &working_dir).map_err(|problems| problems.to_string())
}

/// Logs go to standard error: standard output says where the server listens, and nothing else.
fn log(level: config::LogLevel) {
    let filter = tracing_subscriber::EnvFilter::new(format!("warn,lightkeep={}", level.as_str()));
    let colours = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).with_target(false).try_init();
}

async fn run(args: &Args, config: Config) -> anyhow::Result<()> {
    match &args.command {
        Command::Serve(_) => serve(config).await,
        Command::Quickstart(quickstart) => quickstart::run(config, quickstart.once).await,
        Command::Migrate(_) => migrate(&config).await,
        Command::Adopt(arguments) => adopt::run(config, &arguments.graphs).await,
        Command::RotateSecretsKey(_) => secret_keys::rotate(config).await,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let listeners = Listeners::bind(&config).await?;
    let server = Server::start(config, listeners, Arc::new(SystemClock), IdSource::Random).await?;
    println!("http {}", server.http_addr());
    println!("grpc {}", server.grpc_addr());
    serve_until_signal(server, signals).await
}

/// Serves until the first signal, then stops in order; a second signal ends that.
async fn serve_until_signal(server: Server, mut signals: Signals) -> anyhow::Result<()> {
    signals.next().await;
    tracing::info!("stopping; a second signal ends the process at once");
    tokio::select! {
        result = server.stop() => result,
        () = signals.next() => bail!("stopped at once, work that ran goes on at the next start"),
    }
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let _lock = server::lock_database(config)?;
    let store = Store::connect(&config.database.connect_url()).await?;
    store.migrate().await?;
    store.close().await?;
    println!("the metadata database is up to date");
    Ok(())
}
