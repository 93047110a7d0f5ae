//! Running a program on a node: in its folder, as its user, with its environment and a time limit.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{dir_of, place_of, service, supervisor, user};
use crate::deploy::{DeployError, DeployedNode, Deployment, ExecOutput};
use crate::topology::Service;

/// More of a program's output is read, so that it is not held up, but not kept.
const MOST_OUTPUT: usize = 256 << 10;

/// Run `argv` on `node`. After `limit` it is killed, with all that it started.
pub async fn exec(
    deployment: &Deployment,
    node: &DeployedNode,
    argv: &[String],
    limit: Duration,
) -> Result<ExecOutput, DeployError> {
    let what = || format!("run {} on {}", argv.first().map_or("nothing", String::as_str), node.name);
    let (program, args) = argv.split_first().ok_or_else(|| DeployError::process(what(), "no program was named"))?;
    let place = place_of(deployment)?;
    let user = user::known(place.user.as_deref())?;
    let (mut command, user) = match supervisor::held(dir_of(node)?)?.filter(|_| place.own_network) {
        // Into the node's network, and only there its user.
        Some(pid) => {
            let mut command = Command::new(&place.programs.agent);
            command.args(["enter", &pid.to_string()]);
            if let Some(user) = &user {
                command.args(["--user", &user.name]);
            }
            command.arg("--").arg(program);
            (command, None)
        }
        None => (Command::new(program), user),
    };
    command.args(args).current_dir(dir_of(node)?).env_clear().envs(environment(deployment, node)?).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(user) = &user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let mut child = command.spawn().map_err(|error| DeployError::process(what(), error))?;
    let group = child.id().map(|pid| Pid::from_raw(pid as i32));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(limit, async {
        let (stdout, stderr) = tokio::join!(bounded(out), bounded(err));
        (child.wait().await, stdout, stderr)
    });
    let Ok((status, stdout, stderr)) = ended.await else {
        if let Some(group) = group {
            // Gone already is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
        return Err(DeployError::process(what(), format!("it has not ended after {} ms", limit.as_millis())));
    };
    let status = status.map_err(|error| DeployError::process(what(), error))?;
    Ok(ExecOutput { code: status.code(), stdout, stderr })
}

/// The node's own environment; on a postgres node also that of its clients, so that `psql` just works.
fn environment(deployment: &Deployment, node: &DeployedNode) -> Result<Vec<(String, String)>, DeployError> {
    let mut env: Vec<_> = service::environment(dir_of(node)?, &place_of(deployment)?.programs).into_iter().collect();
    if matches!(node.service, Service::Postgres { .. }) {
        let credentials = deployment.credentials();
        let client = [
            ("PGHOST", deployment.address_of(&node.name).unwrap_or(node.main.ip()).to_string()),
            ("PGPORT", node.main.port().to_string()),
            ("PGUSER", credentials.superuser.clone()),
            ("PGPASSWORD", credentials.superuser_password.clone()),
        ];
        env.extend(client.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(env)
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let room = MOST_OUTPUT - kept.len();
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
