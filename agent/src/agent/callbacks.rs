//! Callbacks: programs of the user's that are told what has happened to PostgreSQL, as `command action role scope`.
//!
//! Nothing waits for them, and they never pile up: one that still runs when the next is due is killed, with its
//! children (`on_reload` apart, which has a place of its own), as Patroni does.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::state::Agent;
use crate::cluster::MemberRole;
use crate::config::words;
use crate::decide::{self, DataDir, Process, StartAs, StopMode};
use crate::postgres::program;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Start,
    Stop,
    Restart,
    Reload,
    RoleChange,
}

impl Happened {
    fn name(self) -> &'static str {
        match self {
            Happened::Start => "on_start",
            Happened::Stop => "on_stop",
            Happened::Restart => "on_restart",
            Happened::Reload => "on_reload",
            Happened::RoleChange => "on_role_change",
        }
    }
}

/// The callbacks that run.
#[derive(Default)]
pub(super) struct Callbacks {
    /// The user knows of this PostgreSQL.
    told: bool,
    /// The role before the start that is under way.
    before: MemberRole,
    /// The role that was told of last, of a standby that runs.
    standby: Option<MemberRole>,
    running: Option<Running>,
    reload: Option<Running>,
}

struct Running {
    group: Pid,
    ended: Arc<AtomicBool>,
    command: String,
}

impl Running {
    fn kill(self) {
        if !self.ended.load(Ordering::Relaxed) {
            tracing::warn!("Killed {} because it was still running", self.command);
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

impl Agent {
    /// Tells of a PostgreSQL that was not told of before: the first that runs after our own start or a bootstrap;
    /// and of a standby that now leads a standby cluster.
    pub(super) fn tell_news(&mut self) {
        let pg = &self.view.pg;
        let settled = pg.process == Process::Up && pg.server.is_some() && self.job.is_none();
        let cluster = self.view.dcs.cluster.as_ref();
        let announced = !matches!(pg.data, DataDir::Initialising { .. });
        let known = cluster.is_some_and(|cluster| cluster.leader.is_some() || !pg.is_primary());
        if !settled || !announced || !known {
            return;
        }
        let role = decide::role(&self.view);
        if !self.callbacks.told {
            self.tell(Happened::Start, role);
        } else if role == MemberRole::StandbyLeader && self.callbacks.standby == Some(MemberRole::Replica) {
            self.tell(Happened::RoleChange, role);
        }
        self.callbacks.standby = (!self.view.pg.is_primary()).then_some(role);
    }

    pub(super) fn note_role_before_start(&mut self) {
        self.callbacks.before = decide::role(&self.view);
    }

    pub(super) fn tell_started(&mut self, how: &StartAs) {
        if !self.callbacks.told {
            return;
        }
        let role = decide::role(&self.view);
        let before = self.callbacks.before;
        let standby = [MemberRole::Replica, MemberRole::StandbyLeader];
        let changed = matches!(before, MemberRole::Primary | MemberRole::Demoted)
            || (before != role && standby.contains(&before) && standby.contains(&role));
        match how {
            StartAs::Standby(_) if changed => self.tell(Happened::RoleChange, role),
            _ => self.tell(Happened::Start, role),
        }
        self.callbacks.standby = matches!(how, StartAs::Standby(_)).then_some(role);
    }

    /// Of a primary that was stopped cleanly while another node can take over Patroni says that it is demoted.
    pub(super) fn tell_stopped(&mut self, mode: StopMode) {
        let role = decide::role(&self.view);
        let handed_over = matches!(mode, StopMode::Fast { .. }) && role == MemberRole::Primary && {
            let others = self.view.dcs.cluster.iter().flat_map(|cluster| cluster.members.values());
            others.into_iter().any(|m| m.name != self.view.me.name && m.data.is_running() && m.data.may_lead())
        };
        self.tell(Happened::Stop, if handed_over { MemberRole::Demoted } else { role });
    }

    pub(super) fn tell(&mut self, happened: Happened, role: MemberRole) {
        let place = match happened {
            Happened::Reload => &mut self.callbacks.reload,
            _ => {
                self.callbacks.told = true;
                &mut self.callbacks.running
            }
        };
        let Some(command) = self.view.settings.hooks.callbacks.get(happened.name()) else { return };
        let Some(mut words) = words(command) else {
            tracing::error!("callback {}: `{command}` is no command", happened.name());
            return;
        };
        words.extend([happened.name(), role.as_str(), &self.config.scope].map(str::to_owned));
        if let Some(running) = place.take() {
            running.kill();
        }
        match start(&words) {
            Ok(running) => *place = Some(running),
            Err(error) => tracing::error!("callback {}: {error}", words.join(" ")),
        }
    }
}

/// In a process group of its own, so that it can be killed with its children and outlives us.
fn start(words: &[String]) -> std::io::Result<Running> {
    let mut command = program::command(words[0].as_ref());
    command.args(&words[1..]).process_group(0).stdin(Stdio::null()).kill_on_drop(false);
    let mut child = command.spawn()?;
    let group = Pid::from_raw(child.id().unwrap_or_default() as i32);
    let ended = Arc::new(AtomicBool::new(false));
    let flag = ended.clone();
    tokio::spawn(async move {
        let _ = child.wait().await;
        flag.store(true, Ordering::Relaxed);
    });
    Ok(Running { group, ended, command: words.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn until(what: &str, condition: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !condition() {
            assert!(begun.elapsed().as_secs() < 30, "{what}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_callback_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", pid.display());
        let running = start(&["/bin/sh".into(), "-c".into(), script]).unwrap();
        until("the child is there", || pid.exists()).await;
        let child: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let ended = running.ended.clone();
        running.kill();
        until("the callback has ended", || ended.load(Ordering::Relaxed)).await;
        until("its child has ended", || !crate::postgres::postmaster::is_alive(child)).await;
    }
}
