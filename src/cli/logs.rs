//! `labrun logs NODE`.

use std::time::Duration;

use super::deploy::interrupted;
use super::node::resolve;
use super::{CliError, Globals, exit, output};

/// How often a followed log is looked at.
const PACE: Duration = Duration::from_millis(200);

/// Print a node's log.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A node, or a role: leader, sync_standby, replica, proxy, dcs.
    node: String,
    /// Go on as it grows.
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines.
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let node = resolve(&deployment, &self.node).await?;
        let backend = deployment.backend();
        let (text, mut offset) = backend.logs(&deployment, &node, 0).await?;
        let all: Vec<_> = text.split_inclusive('\n').collect();
        let skipped = self.lines.map_or(0, |lines| all.len().saturating_sub(lines));
        output::print(&all[skipped..].concat())?;
        if !self.follow {
            return Ok(exit::OK);
        }
        let end = interrupted();
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(exit::OK),
                () = tokio::time::sleep(PACE) => {}
            }
            let (text, now) = backend.logs(&deployment, &node, offset).await?;
            offset = now;
            output::print(&text)?;
        }
    }
}
