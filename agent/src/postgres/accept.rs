//! Parameters that this PostgreSQL refuses: with one of them in its file it would not start, so they are left out.
//!
//! PostgreSQL itself is asked: `postgres -C` reads a file, says what it cannot take, and ends. On disk for that
//! moment: `<data_dir>/labrun-try.conf`, private, since commands among the parameters may hold passwords.

use std::process::Command;

use crate::config::{Config, Parameters, Settings, is_patroni_variable};

use super::conf;

/// The parameters of `settings` that PostgreSQL takes. Asked once for each set of parameters, which takes a few
/// hundredths of a second; blocks for as long.
pub(super) fn accepted<'a>(config: &Config, settings: &'a Settings) -> &'a Parameters {
    settings.accepted.get_or_init(|| {
        let mut parameters = settings.parameters.clone();
        while let Some((name, why)) = refused(config, &parameters) {
            if parameters.shift_remove(&name).is_none() {
                break;
            }
            tracing::warn!("Removing unexpected parameter={name} from the configuration: {why}");
        }
        parameters
    })
}

/// The next parameter that is refused, and PostgreSQL's words; nothing also if PostgreSQL could not be asked.
fn refused(config: &Config, parameters: &Parameters) -> Option<(String, String)> {
    let path = config.data_dir.join("labrun-try.conf");
    conf::replace(&path, &conf::lines(parameters)).ok()?;
    let mut command = Command::new(config.program("postgres"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_patroni_variable) {
            command.env_remove(name);
        }
    }
    // Not the data directory: what ALTER SYSTEM has set there is not ours to judge.
    command.args(["-C", "port", "-D", "/"]).arg(format!("--config-file={}", path.display())).env("LC_MESSAGES", "C");
    let output = command.output();
    let _ = std::fs::remove_file(&path);
    let output = output.ok().filter(|output| !output.status.success())?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().find_map(named)
}

/// `... parameter "NAME" ...` of an error.
fn named(line: &str) -> Option<(String, String)> {
    let (_, words) = line.split_once("LOG:  ").or_else(|| line.split_once("FATAL:  "))?;
    let name = words.split_once("parameter \"")?.1.split('"').next()?;
    Some((name.to_owned(), words.split(" in file ").next().unwrap_or(words).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_in_every_kind_of_complaint() {
        for (line, name) in [
            ("x [1] LOG:  unrecognized configuration parameter \"foo_x\" in file \"/b.conf\" line 1", Some("foo_x")),
            ("x [1] LOG:  invalid value for parameter \"work_mem\": \"abc\"", Some("work_mem")),
            (
                "x [1] LOG:  1 kB is outside the valid range for parameter \"work_mem\" (64 kB .. 2 TB)",
                Some("work_mem"),
            ),
            ("x [1] FATAL:  configuration file \"/b.conf\" contains errors", None),
        ] {
            assert_eq!(named(line).map(|(name, _)| name).as_deref(), name, "{line}");
        }
    }
}
