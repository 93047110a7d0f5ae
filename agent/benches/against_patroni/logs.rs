//! The agents' logs of a round, and when what was done: what a figure's seconds went into.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use crate::harness::Cluster;

/// A folder with `NODE.log` and `marks.log`.
pub struct Logs(PathBuf);

impl Logs {
    /// Where nothing of this round is measured yet, what lies in `dir` is from another measurement.
    pub fn new(dir: PathBuf, fresh: bool) -> Logs {
        if fresh {
            let _ = std::fs::remove_dir_all(&dir);
        }
        std::fs::create_dir_all(&dir).expect("the folder of the logs can be made");
        Logs(dir)
    }

    /// Note that something happened at `instant`, by the wall clock, which the agents' logs use.
    pub fn mark(&self, instant: Instant, what: &str) {
        let at = jiff::Timestamp::now() - instant.elapsed();
        let file = OpenOptions::new().create(true).append(true).open(self.0.join("marks.log"));
        file.and_then(|mut file| writeln!(file, "{at:.6} {what}")).expect("marks.log can be written");
    }

    /// Copy the logs as they are now.
    pub fn keep(&self, cluster: &Cluster) {
        for node in &cluster.nodes {
            std::fs::write(self.0.join(format!("{}.log", node.name)), node.log()).expect("a log can be copied");
        }
    }
}
