//! Floor 6: wiring. What the process is told (flags, environment, files), and what it is built of.

mod adopt;
mod allocator;
pub mod args;
mod completions;
pub mod config;
mod import_legacy;
pub mod instance_lock;
mod key_file;
pub mod password;
mod quickstart;
pub mod reference;
mod secret_keys;
pub mod server;
mod signals;

use std::error::Error as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use self::args::{Args, Command, ReferenceCommand, ServerCommand};
use self::config::{Config, LogFormat};
use self::server::{Listeners, Server};
use self::signals::Signals;
use crate::base::clock::SystemClock;
use crate::base::ids::IdSource;
use crate::cli;
use crate::store::{self, Store};
use crate::telemetry::{self, Tracing};

/// What is wrong with the configuration ends the process with this code, before anything was touched.
const EXIT_CONFIGURATION: u8 = 2;

/// Runs the program to its end.
pub fn main(args: &Args) -> ExitCode {
    match &args.command {
        Command::Server(command) => with_configuration(args, command),
        Command::Client(command) => cli::main(command.clone()),
        Command::Completions { shell } => told(completions::print(*shell)),
        Command::Reference(ReferenceCommand::Documents { directory }) => told(reference::write(directory)),
        Command::Reference(ReferenceCommand::Man { directory }) => told(reference::write_man_pages(directory)),
    }
}

/// The exit code of what is over at once.
fn told(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lightkeep: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn with_configuration(args: &Args, command: &ServerCommand) -> ExitCode {
    allocator::settle();
    let config = match load(args) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tracing = {
        // An exporter needs the runtime.
        let _entered = runtime.enter();
        log(&config)
    };
    let tracing = match tracing {
        Ok(tracing) => tracing,
        Err(error) => {
            eprintln!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(command, config));
    tracing.shut_down();
    // A blocking task that does not end must not keep a process alive that was told to go.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            let refused = error.downcast_ref::<store::Error>().is_some_and(|error| matches!(error, store::Error::SchemaTooNew { .. }));
            if refused || error.is::<import_legacy::Misuse>() { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::FAILURE }
        }
    }
}

fn load(args: &Args) -> Result<Config, String> {
    let working_dir = std::env::current_dir().map_err(|error| format!("the working directory cannot be used: {error}"))?;
    let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(args, &environment.collect(), &working_dir).map_err(|problems| problems.to_string())
}

/// Logs go to standard error: standard output says where the server listens, and nothing else. Traces go where OTLP is configured to.
fn log(config: &Config) -> Result<Tracing, telemetry::Error> {
    let tracing = Tracing::new(&config.instance_name, config.monitoring.otlp_endpoint.as_deref())?;
    let filter = EnvFilter::new(format!("warn,lightkeep={}", config.log_level.as_str()));
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match config.monitoring.log_format {
        LogFormat::Text => lines.with_ansi(colours).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // Whatever is logged: traces have all calls.
    let traces = tracing.layer().with_filter(EnvFilter::new("off,lightkeep=info"));
    // In a program that runs this one somebody else may have done so already.
    let _ = tracing_subscriber::registry().with(lines).with(traces).try_init();
    Ok(tracing)
}

async fn run(command: &ServerCommand, config: Config) -> anyhow::Result<()> {
    match command {
        ServerCommand::Serve(_) => serve(config).await,
        ServerCommand::Quickstart(quickstart) => quickstart::run(config, quickstart.once).await,
        ServerCommand::Migrate(_) => migrate(&config).await,
        ServerCommand::Adopt(arguments) => adopt::run(config, &arguments.graphs).await,
        ServerCommand::ImportLegacy(arguments) => import_legacy::run(config, arguments).await,
        ServerCommand::RotateSecretsKey(_) => secret_keys::rotate(config).await,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let listeners = Listeners::bind(&config).await?;
    let server = Server::start(config, listeners, Arc::new(SystemClock), IdSource::Random).await?;
    say_where(&server);
    serve_until_signal(server, signals).await
}

/// Says where the server listens. Whoever has started it may have stopped reading.
fn say_where(server: &Server) {
    let mut output = std::io::stdout();
    let doors = [("http", Some(server.http_addr())), ("grpc", Some(server.grpc_addr())), ("metrics", server.metrics_addr())];
    for (door, address) in doors {
        if let Some(address) = address {
            let _ = writeln!(output, "{door} {address}");
        }
    }
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
