//! `labrun heal`: undo the faults that an earlier labrun left behind.

use serde_json::json;

use super::{CliError, Globals, exit, output};
use crate::deploy::Lock;
use crate::verify::faults::heal::heal;
use crate::verify::world::live::Live;

/// Undo every fault that is still in effect.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    pub async fn run(self, globals: &Globals) -> Result<u8, CliError> {
        let deployment = globals.deployment()?;
        let _lock = Lock::take(&deployment.dir, "labrun heal")?;
        let backend = deployment.backend();
        let world = Live::new(&deployment, backend.as_ref());
        let healed = heal(&world).await.map_err(CliError::NotHealed)?;
        if globals.json {
            let told = healed.iter().map(|healed| json!({"fault": healed.entry, "trouble": healed.trouble}));
            output::json(&told.collect::<Vec<_>>())?;
        } else {
            for fault in healed.iter().filter(|healed| healed.trouble.is_none()) {
                output::line(&format!("undone: {}", fault.entry.deed.words()))?;
            }
            if healed.is_empty() {
                output::tell!("{} has no fault in effect", deployment.name);
            }
        }
        let left: Vec<String> = healed
            .iter()
            .filter_map(|healed| Some(format!("{}: {}", healed.entry.deed.words(), healed.trouble.as_ref()?)))
            .collect();
        if left.is_empty() { Ok(exit::OK) } else { Err(CliError::NotHealed(left.join("; "))) }
    }
}
