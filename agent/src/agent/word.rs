//! The word that this node has given in failsafe mode outlives its agent: a new life that knew nothing of it would race
//! against the leader that still lives on it. (Patroni's members forget theirs when they are restarted.)
//!
//! On disk: `<parent of data_dir>/.<name>.labrun-failsafe`, as JSON. Outside of the data directory, since a copy or
//! pg_rewind takes what lies in there to other nodes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Moment;
use crate::decide::failsafe::{Agreed, Call};

#[derive(Serialize, Deserialize)]
struct Word {
    /// Which start of the machine `at` is counted from.
    boot: String,
    at: u64,
    leader: Map<String, Value>,
}

/// A word of before a reboot counts from now on, unless its file is older than this: then it is over for sure.
const OVER: Duration = Duration::from_secs(600);

fn path(data_dir: &Path) -> PathBuf {
    let name = data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    data_dir.with_file_name(format!(".{name}.labrun-failsafe"))
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// One at a time: a leader asks again while a slow disk still has the last word to write.
static WRITING: Mutex<()> = Mutex::new(());

/// Puts it down; blocks for a moment.
pub(super) fn keep(data_dir: &Path, agreed: &Agreed) -> std::io::Result<()> {
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let leader = serde_json::from_str(&agreed.leader.to_json())?;
    let text = serde_json::to_vec(&Word { boot: boot(), at: agreed.at.0, leader })?;
    let (path, fresh) = (path(data_dir), path(data_dir).with_extension("labrun-failsafe-new"));
    std::fs::write(&fresh, text)?;
    std::fs::rename(fresh, path)
}

/// What a former life of this agent has agreed to. Whether it still counts is for its time to say.
pub(super) fn recall(data_dir: &Path, now: Moment) -> Option<Agreed> {
    let path = path(data_dir);
    let word: Word = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    let leader = Call::read(&word.leader)?;
    if word.boot == boot() {
        return Some(Agreed { at: Moment(word.at), leader });
    }
    let age = path.metadata().and_then(|meta| meta.modified()).ok()?.elapsed().unwrap_or_default();
    (age < OVER).then_some(Agreed { at: now, leader })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed() -> Agreed {
        let slots = [("pg1".to_owned(), crate::cluster::Lsn(7))].into();
        let leader = Call { name: "pg2".into(), conn_url: "postgres://h/".into(), api_url: "http://h".into(), slots };
        Agreed { at: Moment(1234), leader }
    }

    #[test]
    fn a_word_is_kept_beside_the_data_directory_and_recalled() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        assert_eq!(recall(&data, Moment(5000)), None);
        keep(&data, &agreed()).unwrap();
        assert_eq!(recall(&data, Moment(5000)), Some(agreed()));
        assert!(dir.path().join(".data.labrun-failsafe").is_file() && !data.exists());
    }

    #[test]
    fn words_that_are_put_down_at_once_do_not_get_in_each_others_way() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..50).try_for_each(|_| keep(&data, &agreed())))).collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap().unwrap());
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn after_a_reboot_it_counts_anew_but_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        keep(&data, &agreed()).unwrap();
        let file = path(&data);
        let text = std::fs::read_to_string(&file).unwrap().replace(&boot(), "another");
        std::fs::write(&file, text).unwrap();
        assert_eq!(recall(&data, Moment(99)), Some(Agreed { at: Moment(99), ..agreed() }));
        let old = std::time::SystemTime::now() - OVER;
        std::fs::File::open(&file).unwrap().set_modified(old).unwrap();
        assert_eq!(recall(&data, Moment(99)), None);
    }
}
