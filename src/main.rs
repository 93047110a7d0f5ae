//! `labrun`: parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    labrun::cli::main()
}
