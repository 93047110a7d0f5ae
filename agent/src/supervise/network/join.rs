//! Plugging a node into the switch, and entering the namespace of a process.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Uid;

use super::{BRIDGE, Network, PLUG, caps, hardware, ip, namespace, port, words};
use crate::supervise::{Error, pidfile};

/// Give this process a network namespace of its own, plugged into the switch. For a process with one thread.
pub fn join(network: &Network) -> Result<(), Error> {
    let path = network.switch.join(pidfile::PID_FILE);
    let pidfile::Pidfile::HeldBy(pid) = pidfile::read(&path).map_err(Error::file("read", &path))? else {
        let (what, why) = ("plug the node in".to_owned(), "the switch does not run".to_owned());
        return Err(Error::Network { what, why });
    };
    let switch = namespace(pid, "net")?;
    let is_root = Uid::effective().is_root();
    if !is_root {
        enter_user_namespace(pid)?;
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(Error::system("make a network namespace"))?;
    let port = port(network.address);
    let own = namespace(std::process::id() as i32, "net")?;
    let go =
        |to: &std::fs::File| setns(to, CloneFlags::CLONE_NEWNET).map_err(Error::system("go to a network namespace"));
    go(&switch)?;
    // The cable of a supervisor that was killed may hang on for a moment.
    let _ = ip(&["link", "del", &port]);
    let hardware = hardware(network.address);
    go(&own)?;
    ip(&["link", "add", PLUG, "address", &hardware, "type", "veth", "peer", "name", &port, "netns", &pid.to_string()])?;
    go(&switch)?;
    ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
    go(&own)?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["addr", "add", &format!("{}/24", network.address), "dev", PLUG])?;
    ip(&["link", "set", PLUG, "up"])?;
    if is_root { Ok(()) } else { caps::give_up() }
}

fn enter_user_namespace(pid: i32) -> Result<(), Error> {
    let user = namespace(pid, "user")?;
    setns(&user, CloneFlags::CLONE_NEWUSER).map_err(Error::system("enter the user namespace"))?;
    caps::pass_on()
}

/// Become `argv`, in the network namespace of process `pid`: as its administrator, or as `user` (whoever calls).
pub fn enter(pid: i32, admin: bool, user: Option<&str>, argv: &[String]) -> Result<Infallible, Error> {
    let network = namespace(pid, "net")?;
    let is_root = Uid::effective().is_root();
    if !is_root {
        enter_user_namespace(pid)?;
    }
    setns(&network, CloneFlags::CLONE_NEWNET).map_err(Error::system("enter the network namespace"))?;
    match user.filter(|_| is_root) {
        Some(user) => crate::supervise::become_user(user)?,
        None if !is_root && !admin => caps::give_up()?,
        None => {}
    }
    let (program, args) = argv
        .split_first()
        .ok_or_else(|| Error::Network { what: "enter a network".to_owned(), why: "no program was named".to_owned() })?;
    let source = Command::new(program).args(args).exec();
    Err(Error::Program { program: words(argv).into(), source })
}
