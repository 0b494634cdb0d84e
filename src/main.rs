//! unlockd: parse the command line, run the command, turn its result into an exit code.

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

fn main() -> ExitCode {
    // A core file would hold keys and contacts. Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    unlockd::cli::main()
}
