//! Whether this node's newest timeline is the one that the leader has under the same number.
//!
//! A leader that was promoted and died at once may have told nobody of its timeline: then another node is promoted
//! onto the same number. Neither PostgreSQL nor pg_rewind can tell the two apart (they compare numbers), and what was
//! written on one of them would be mixed with what was written on the other. Their first records do differ: they have
//! the time of the promotion in them. Where the first is gone (a copy begins at a checkpoint, and old WAL is recycled),
//! the first page of the oldest segment is compared that is still here.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::sql::Connection;
use super::{Error, off_the_loop};
use crate::cluster::{History, Lsn};

/// `XLOG_BLCKSZ`, and the sizes of what stands at the head of a page: of any, and of the first in a segment.
const PAGE: u64 = 8192;
const HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;
/// `SizeOfXLogRecord`: no record is shorter.
const RECORD: u32 = 24;

/// A piece of a timeline's WAL, as it lies here.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    segment: String,
    offset: u64,
    bytes: Vec<u8>,
}

/// False if this node's newest timeline began in another way than the leader's of that number. What cannot be
/// compared (the WAL is gone, or was never here) counts as the same.
pub(super) async fn is_shared(
    data_dir: &Path,
    leader: &Connection,
    timeline: u32,
    history: &History,
) -> Result<bool, Error> {
    let (wal, lineage) = (data_dir.join("pg_wal"), lineage(timeline, history));
    let Some((began, sample)) = off_the_loop(move || Ok(newest(&wal, &lineage))).await? else { return Ok(true) };
    let Sample { segment, offset, bytes } = sample;
    if !began {
        return Ok(false);
    }
    let length = bytes.len();
    let statement = format!("SELECT encode(pg_read_binary_file('pg_wal/{segment}', {offset}, {length}, true), 'hex')");
    let theirs = leader.text(&statement).await?.unwrap_or_default();
    let ours: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(theirs.len() < ours.len() || theirs == ours)
}

/// The leader's timelines but the first, each with where it began.
fn lineage(timeline: u32, history: &History) -> Vec<(u32, Lsn)> {
    let numbers = history.0.iter().skip(1).map(|line| line.timeline).chain([timeline]);
    numbers.zip(history.0.iter().map(|line| line.switchpoint)).collect()
}

/// The first record, or what there is in its stead, of the newest timeline of which there is WAL here and that the leader
/// has, too; and whether it began where the leader's did.
fn newest(wal: &Path, lineage: &[(u32, Lsn)]) -> Option<(bool, Sample)> {
    lineage.iter().rev().find_map(|(timeline, began)| {
        let file = std::fs::read_to_string(wal.join(format!("{timeline:08X}.history"))).ok()?;
        let here = History::parse_file(&file).0.last()?.switchpoint;
        let sample = first_record(wal, *timeline, here).or_else(|| first_page(wal, *timeline))?;
        Some((here == *began, sample))
    })
}

fn first_record(wal: &Path, timeline: u32, begins: Lsn) -> Option<Sample> {
    let size = segment_size(wal)?;
    let segment = begins.0 / size;
    let per_file = (1 << 32) / size;
    let segment = format!("{timeline:08X}{:08X}{:08X}", segment / per_file, segment % per_file);
    let header = match begins.0 % size {
        0 => LONG_HEADER,
        offset if offset % PAGE == 0 => HEADER,
        _ => 0,
    };
    let offset = begins.0 % size + header;
    let bytes = read(&wal.join(&segment), offset, PAGE - offset % PAGE)?;
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    // Nothing is written there yet; or no more than the record's length.
    let bytes = (length >= RECORD).then(|| bytes[..bytes.len().min(length as usize)].to_vec())?;
    Some(Sample { segment, offset, bytes })
}

/// The first page of the oldest segment in which it was written to its end: then the second one was begun. (A recycled
/// segment has old pages behind the new ones; their heads name other places.)
fn first_page(wal: &Path, timeline: u32) -> Option<Sample> {
    let size = segment_size(wal)?;
    let prefix = format!("{timeline:08X}");
    let names = std::fs::read_dir(wal).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut segments: Vec<_> = names.filter(|name| name.len() == 24 && name.starts_with(&prefix)).collect();
    segments.sort();
    segments.into_iter().find_map(|segment| {
        let number = |digits: std::ops::Range<usize>| u64::from_str_radix(segment.get(digits)?, 16).ok();
        let begins = (number(8..16)? * ((1 << 32) / size) + number(16..24)?) * size;
        let mut bytes = read(&wal.join(&segment), 0, PAGE + HEADER)?;
        let (first, second) = bytes.split_at_checked(PAGE as usize)?;
        let written = is_page_of(first, timeline, begins) && is_page_of(second, timeline, begins + PAGE);
        bytes.truncate(PAGE as usize);
        written.then_some(Sample { segment, offset: 0, bytes })
    })
}

/// By its head (`XLogPageHeaderData`): `xlp_tli` and `xlp_pageaddr`.
fn is_page_of(page: &[u8], timeline: u32, begins: u64) -> bool {
    let (tli, address) = (page.get(4..8), page.get(8..16));
    tli == Some(&timeline.to_ne_bytes()) && address == Some(&begins.to_ne_bytes())
}

/// All segments have one size; a file's name has 24 hexadecimal digits.
fn segment_size(wal: &Path) -> Option<u64> {
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() == 24 && name.chars().all(|c| c.is_ascii_hexdigit())
    };
    let path = std::fs::read_dir(wal).ok()?.flatten().map(|entry| entry.path()).find(is_segment)?;
    let size = path.metadata().ok()?.len();
    size.is_power_of_two().then_some(size)
}

fn read(path: &Path, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut file = std::fs::File::open(path).ok()?;
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;

    /// pg_wal of a node whose timeline 2 began at `begins`, where `record` lies.
    fn wal(begins: u64, at: u64, record: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let line = format!("1\t{}\tno recovery target specified\n", Lsn(begins));
        std::fs::write(dir.path().join("00000002.history"), line).unwrap();
        let mut segment = vec![0; SIZE as usize];
        segment[at as usize..at as usize + record.len()].copy_from_slice(record);
        std::fs::write(dir.path().join("000000020000000000000003"), segment).unwrap();
        dir
    }

    fn record() -> Vec<u8> {
        let mut record: Vec<_> = (0..50).collect();
        record[..4].copy_from_slice(&50u32.to_le_bytes());
        record
    }

    #[test]
    fn the_first_record_of_the_newest_timeline_that_both_have_is_compared() {
        let history = History::parse(b"[[1,3145828,\"\"],[2,9999999,\"\"]]");
        let begins = 3 * SIZE + 100;
        let dir = wal(begins, 100, &record());
        let found = newest(dir.path(), &lineage(3, &history)).unwrap();
        let segment = "000000020000000000000003".to_owned();
        assert_eq!(found, (true, Sample { segment, offset: 100, bytes: record() }));
        // The leader branched off elsewhere.
        let history = History::parse(b"[[1,3145820,\"\"]]");
        assert!(!newest(dir.path(), &lineage(2, &history)).unwrap().0);
        // The leader has no timeline 2, or there is nothing of it here.
        assert_eq!(newest(dir.path(), &lineage(1, &History::default())), None);
        std::fs::remove_file(dir.path().join("000000020000000000000003")).unwrap();
        assert_eq!(newest(dir.path(), &lineage(2, &history)), None);
    }

    #[test]
    fn where_the_first_record_is_gone_a_page_that_was_written_to_its_end_is_compared() {
        let dir = wal(SIZE + 100, 0, &[]);
        std::fs::remove_file(dir.path().join("000000020000000000000003")).unwrap();
        let history = History::parse(format!("[[1,{},\"\"]]", SIZE + 100).as_bytes());
        let head = |page: u64| [&[1, 2, 3, 4], &2u32.to_ne_bytes()[..], &page.to_ne_bytes(), &[7; 8]].concat();
        let write = |number: u64, pages: &[u64]| {
            let mut segment = vec![0; SIZE as usize];
            for (i, page) in pages.iter().enumerate() {
                segment[i * PAGE as usize..][..HEADER as usize].copy_from_slice(&head(*page));
            }
            std::fs::write(dir.path().join(format!("0000000200000000{number:08X}")), segment).unwrap();
        };
        write(3, &[3 * SIZE]);
        assert_eq!(newest(dir.path(), &lineage(2, &history)), None);
        // What was recycled has an old page behind it.
        write(3, &[3 * SIZE, SIZE + PAGE]);
        assert_eq!(newest(dir.path(), &lineage(2, &history)), None);
        write(4, &[4 * SIZE, 4 * SIZE + PAGE]);
        let (began, Sample { segment, offset, bytes }) = newest(dir.path(), &lineage(2, &history)).unwrap();
        assert_eq!((began, segment.as_str(), offset), (true, "000000020000000000000004", 0));
        assert_eq!((bytes.len() as u64, &bytes[..24]), (PAGE, &head(4 * SIZE)[..]));
    }

    #[test]
    fn what_stands_at_the_head_of_a_page_is_passed_over_and_nothing_is_made_of_zeros() {
        let dir = wal(3 * SIZE, LONG_HEADER, &record());
        assert_eq!(first_record(dir.path(), 2, Lsn(3 * SIZE)).unwrap().bytes, record());
        let dir = wal(3 * SIZE + PAGE, PAGE + HEADER, &record());
        assert_eq!(first_record(dir.path(), 2, Lsn(3 * SIZE + PAGE)).unwrap().offset, PAGE + HEADER);
        assert_eq!(first_record(dir.path(), 2, Lsn(3 * SIZE + 800)), None);
        // Of a record that goes on on the next page, what is on the first.
        let dir = wal(4 * SIZE - 30, SIZE - 30, &record()[..30]);
        assert_eq!(first_record(dir.path(), 2, Lsn(4 * SIZE - 30)).unwrap().bytes, record()[..30]);
    }
}
