//! Step by step: a run whose every step waits for its user.
//!
//! A session is a process of its own, as a deployment's supervisors are: workloads go on writing between two commands, and
//! the run's clock and watcher go on with them. It holds the deployment's lock and listens on a socket in the deployment's
//! folder (see [`protocol`]); each `labrun step` asks it for one thing and prints what it answers. It carries out the same
//! runner as `verify`, on a [`Course`](super::course::Course) that waits. When it is told to end, or nobody asks it for
//! anything for long, clients are stopped, faults undone and the run is stored; when it is killed, its clients die with it
//! and the faults' journal tells the next labrun what to undo.

pub mod edit;
mod explained;
pub mod listing;
pub mod protocol;
pub mod serve;
mod session;
mod shared;
pub mod show;

pub use explained::{Aim, Deed, Explained, Limit};

use crate::lab::model::{Lang, Text};
use crate::verify::{Run, say};

/// What is to be said of a run that is done step by step.
fn notes(run: &Run) -> Vec<Text> {
    let mut notes = vec![say::both(
        "запуск сделан по шагам: время между шагами выбирал человек",
        "this run was done step by step: a person chose the time between steps",
    )];
    let checks = run.parts.iter().flat_map(|part| &part.checks);
    let open = [say::not_reached(), say::unfinished(), say::interrupted()];
    let unverified: Vec<&str> = checks
        .clone()
        .filter(|check| check.reason.as_ref().is_some_and(|reason| open.contains(reason)))
        .map(|check| check.id.as_str())
        .collect();
    if !unverified.is_empty() {
        let unverified = unverified.join("`, `");
        notes.push(say::both(
            format!("до конца не проверено, и об этом ничего не доказано: `{unverified}`"),
            format!("not verified to its end, and nothing is proved of it: `{unverified}`"),
        ));
    }
    for (check, step) in checks.flat_map(|check| check.steps.iter().map(move |step| (check, step))) {
        for try_ in &step.earlier {
            let name = format!("{}/{}", check.id, step.id);
            notes.push(say::each(|lang| {
                let why = try_.reason.as_ref().map(|reason| reason.get(lang)).unwrap_or_default();
                match lang {
                    Lang::Ru => {
                        format!("шаг `{name}` повторён; до того: {} ({why})", say::verdict_ru(try_.verdict))
                    }
                    Lang::En => {
                        format!("step `{name}` was tried again; before: {} ({why})", try_.verdict.word())
                    }
                }
            }));
        }
    }
    notes
}
