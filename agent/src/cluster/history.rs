//! `history`: where each timeline ended, and PostgreSQL's `<TL>.history` files that it is made from.

use serde_json::Value;

use super::{Lsn, json};

/// One former timeline: a row of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    pub timeline: u32,
    /// Where the next timeline branched off.
    pub switchpoint: Lsn,
    pub reason: String,
    /// When the branch was made (ISO 8601), if known.
    pub at: Option<String>,
    /// Who led the next timeline, if known.
    pub leader: Option<String>,
}

/// All former timelines, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History(pub Vec<HistoryLine>);

impl History {
    /// Rows that are not as they should be are left out.
    pub fn parse(bytes: &[u8]) -> History {
        let rows: Vec<Value> = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let line = |row: Value| {
            Some(HistoryLine {
                timeline: row.get(0)?.as_u64()? as u32,
                switchpoint: Lsn(row.get(1)?.as_u64()?),
                reason: text(row.get(2)).unwrap_or_default(),
                at: text(row.get(3)),
                leader: text(row.get(4)),
            })
        };
        History(rows.into_iter().filter_map(line).collect())
    }

    /// Reads a `<TL>.history` file of pg_wal (PostgreSQL, "timeline history files").
    pub fn parse_file(text: &str) -> History {
        let line = |line: &str| {
            let mut fields = line.trim().splitn(3, '\t').map(str::trim);
            Some(HistoryLine {
                timeline: fields.next()?.parse().ok()?,
                switchpoint: fields.next()?.parse().ok()?,
                reason: fields.next().unwrap_or_default().to_owned(),
                at: None,
                leader: None,
            })
        };
        History(text.lines().filter(|text| !text.trim_start().starts_with('#')).filter_map(line).collect())
    }

    pub fn to_value(&self) -> Value {
        let row = |line: &HistoryLine| {
            let mut row = vec![line.timeline.into(), line.switchpoint.0.into(), line.reason.clone().into()];
            if let Some(at) = &line.at {
                row.push(at.clone().into());
                row.extend(line.leader.clone().map(Value::from));
            }
            Value::from(row)
        };
        Value::from(self.0.iter().map(row).collect::<Vec<_>>())
    }

    pub fn to_json(&self) -> String {
        json::compact(&self.to_value())
    }

    /// Where `timeline` ended, if it is a former one.
    pub fn switchpoint(&self, timeline: u32) -> Option<Lsn> {
        self.0.iter().find(|line| line.timeline == timeline).map(|line| line.switchpoint)
    }

    /// The newest former timeline; the current one is greater.
    pub fn last_timeline(&self) -> Option<u32> {
        self.0.last().map(|line| line.timeline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_captured_payload_survives_a_round_trip_byte_for_byte() {
        let line = r#"[[1,50332136,"no recovery target specified","2026-11-23T02:37:57.673359+00:00","pg2"]]"#;
        let history = History::parse(line.as_bytes());
        assert_eq!(history.to_json(), line);
        assert_eq!(history.switchpoint(1), Some(Lsn(50332136)));
        assert_eq!(history.switchpoint(2), None);
        assert_eq!(History::parse(b"[]").to_json(), "[]");
    }

    #[test]
    fn a_history_file_is_read_as_postgresql_writes_it() {
        let file = "1\t0/30001E8\tno recovery target specified\n\n2\t0/5000000\tbefore 2000-01-01 00:00:00+00\n";
        let history = History::parse_file(file);
        assert_eq!(history.switchpoint(1), Some(Lsn(0x30001E8)));
        assert_eq!(history.last_timeline(), Some(2));
        assert_eq!(
            history.to_json(),
            r#"[[1,50332136,"no recovery target specified"],[2,83886080,"before 2000-01-01 00:00:00+00"]]"#
        );
    }
}
