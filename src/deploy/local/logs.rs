//! Reading a node's log from where one has read it before.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use crate::deploy::DeployError;

/// What lies behind `offset`, and the new end. A log that is shorter than that has been rotated: it is read from its
/// beginning. Its size is bounded by the supervisor.
pub fn read(log: &Path, offset: u64) -> Result<(String, u64), DeployError> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((String::new(), 0)),
        Err(error) => return Err(DeployError::io("read", log)(error)),
    };
    let mut bytes = Vec::new();
    let length = file.metadata().map_err(DeployError::io("read", log))?.len();
    let start = if length < offset { 0 } else { offset };
    file.seek(SeekFrom::Start(start)).map_err(DeployError::io("read", log))?;
    file.take(length - start).read_to_end(&mut bytes).map_err(DeployError::io("read", log))?;
    let end = start + bytes.len() as u64;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_on_from_an_offset_and_anew_after_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert_eq!(read(&log, 0).unwrap(), (String::new(), 0));
        std::fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(read(&log, 0).unwrap(), ("one\ntwo\n".to_owned(), 8));
        assert_eq!(read(&log, 4).unwrap(), ("two\n".to_owned(), 8));
        std::fs::write(&log, "new\n").unwrap();
        assert_eq!(read(&log, 8).unwrap(), ("new\n".to_owned(), 4));
    }
}
