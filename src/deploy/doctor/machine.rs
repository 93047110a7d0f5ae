//! The machine: users, memory, disk, limits.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::{Finding, Level};
use crate::deploy::local::user;
use crate::topology::{Plan, Service};

/// What nodes take, measured on the reference lab with room to spare, in MiB of memory.
const POSTGRES_MIB: u64 = 120;
const ZOOKEEPER_MIB: u64 = 150;
const HAPROXY_MIB: u64 = 30;
/// A data directory with a few WAL segments, in MiB of disk.
const POSTGRES_DISK_MIB: u64 = 300;
const OPEN_FILES: u64 = 1024;

pub fn examine(plan: &Plan, output: &Path) -> Vec<Finding> {
    vec![of_user(), of_memory(plan), of_disk(plan, output), of_files()]
}

fn of_user() -> Finding {
    match user::choose(None) {
        Ok(None) => Finding::ok("user", "nodes run as you"),
        Ok(Some(user)) => Finding::ok("user", format!("you are root; nodes run as {}", user.name)),
        Err(error) => {
            Finding::of(Level::Error, "user", error.to_string(), "deploy as an ordinary user, or --user NAME")
        }
    }
}

fn needed(plan: &Plan, of: impl Fn(&Service) -> u64) -> u64 {
    plan.nodes.iter().map(|node| of(&node.service)).sum()
}

fn of_memory(plan: &Plan) -> Finding {
    let needed = needed(plan, |service| match service {
        Service::Postgres { .. } => POSTGRES_MIB,
        Service::Zookeeper { .. } => ZOOKEEPER_MIB,
        Service::Haproxy { .. } => HAPROXY_MIB,
    });
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    match available_mib(&text) {
        Some(free) if free < needed => {
            Finding::of(Level::Warning, "memory", format!("{free} MiB free, the lab takes {needed}"), "end something")
        }
        Some(free) => Finding::ok("memory", format!("{free} MiB free, the lab takes {needed}")),
        None => Finding::of(Level::Error, "memory", "no /proc/meminfo", "labrun needs Linux with /proc mounted"),
    }
}

fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn of_disk(plan: &Plan, output: &Path) -> Finding {
    let needed = needed(plan, |service| match service {
        Service::Postgres { .. } => POSTGRES_DISK_MIB,
        _ => 10,
    });
    let absolute = std::path::absolute(output).unwrap_or_else(|_| output.to_owned());
    let Some(there) = absolute.ancestors().find(|folder| folder.exists()) else {
        return Finding::of(Level::Error, "disk", "no such folder", "name another one: --output DIR");
    };
    match statvfs(there) {
        Ok(disk) => {
            let free = disk.blocks_available() * disk.fragment_size() / (1 << 20);
            let found = format!("{free} MiB free in {}, the lab takes {needed}", there.display());
            match free < needed {
                true => Finding::of(Level::Error, "disk", found, "free some, or name another folder: --output DIR"),
                false => Finding::ok("disk", found),
            }
        }
        Err(errno) => Finding::of(Level::Error, "disk", errno.to_string(), "name another folder: --output DIR"),
    }
}

fn of_files() -> Finding {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft < OPEN_FILES => {
            let found = format!("{soft} open files a process, {OPEN_FILES} are needed");
            Finding::of(Level::Error, "limits", found, format!("ulimit -n {OPEN_FILES}"))
        }
        Ok((soft, _)) => Finding::ok("limits", format!("{soft} open files a process")),
        Err(errno) => Finding::of(Level::Warning, "limits", errno.to_string(), "ulimit -n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_what_the_kernel_says_is_available() {
        let text = "MemTotal:       2048000 kB\nMemFree:  1 kB\nMemAvailable:    1024000 kB\n";
        assert_eq!(available_mib(text), Some(1000));
        assert_eq!(available_mib(""), None);
    }
}
