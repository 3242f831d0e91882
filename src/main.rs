//! Starts the program.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use lightkeep::app::{self, args::Args};

fn main() -> ExitCode {
    // Where a shell asks what may follow, it is answered and the program ends here.
    clap_complete::CompleteEnv::with_factory(Args::command).complete();
    app::main(&Args::parse())
}
