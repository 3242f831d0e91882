//! Starts the program.

use std::process::ExitCode;

use clap::Parser as _;
use lightkeep::app;

fn main() -> ExitCode {
    app::main(&app::args::Args::parse())
}
