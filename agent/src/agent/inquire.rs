//! `--generate-config`: a PostgreSQL that runs is asked for its configuration.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use super::Error;
use crate::config::generate;
use crate::postgres::inquiry::{self, Address};

/// The YAML text.
pub fn inquire(dsn: &str) -> Result<String, Error> {
    let inquiry = |error: crate::postgres::Error| Error::Inquiry(error.to_string());
    let mut address = Address::new(dsn, |name| std::env::var(name).ok()).map_err(inquiry)?;
    if address.user.password.is_none() {
        address.user.password = Some(match std::env::var("PATRONI_SUPERUSER_PASSWORD") {
            Ok(password) => password,
            Err(_) => ask_for_password()?,
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let running = runtime.block_on(inquiry::ask(&address)).map_err(inquiry)?;
    Ok(generate::generate(&running, std::env::vars()))
}

/// One line; at a terminal it is not shown while it is typed.
fn ask_for_password() -> std::io::Result<String> {
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal();
    let echo = |word: &str| {
        let mut command = Command::new("stty");
        let _ = command.arg(word).stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    };
    if terminal {
        write!(std::io::stderr(), "Please enter the user password: ")?;
        echo("-echo");
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if terminal {
        echo("echo");
        writeln!(std::io::stderr())?;
    }
    read.map(|_| line.trim_end_matches(['\n', '\r']).to_owned())
}
