//! unlockd: parse the command line, run the command, turn its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    unlockd::cli::main()
}
