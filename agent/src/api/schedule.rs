//! Times that people name.

use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::answer::Answer;

/// A point in time, as Python's `isoformat` writes it and in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scheduled {
    pub(super) text: String,
    pub(super) at: i64,
}

/// Reads a time that must name its zone and lie ahead of `now`; `action` is what it is for.
pub(super) fn parse(text: &str, action: &str, now: Timestamp) -> Result<Scheduled, Answer> {
    let unreadable = || {
        Answer::text(422, "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601")
    };
    let pieces = DateTimeParser::new().parse_pieces(text.trim()).map_err(|_| unreadable())?;
    let Some(offset) = pieces.to_numeric_offset() else {
        return Err(Answer::text(400, &format!("Timezone information is mandatory for the scheduled {action}")));
    };
    let at = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let at = offset.to_timestamp(at).map_err(|_| unreadable())?;
    if at < now {
        return Err(Answer::text(422, &format!("Cannot schedule {action} in the past")));
    }
    let zoned = Zoned::new(at, TimeZone::fixed(offset));
    let format = if at.subsec_nanosecond() == 0 { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%dT%H:%M:%S.%6f%:z" };
    Ok(Scheduled { text: zoned.strftime(format).to_string(), at: at.as_second() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_zone_and_lies_ahead() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let read = |text: &str| parse(text, "restart", now).map(|s| (s.text, s.at)).map_err(|answer| answer.code);
        assert_eq!(read("2030-01-01T00:00:00+00:00"), Ok(("2030-01-01T00:00:00+00:00".into(), 1893456000)));
        assert_eq!(read("2030-01-01 03:00+03"), Ok(("2030-01-01T03:00:00+03:00".into(), 1893456000)));
        assert_eq!(read("2030-01-01T00:00:00.5Z"), Ok(("2030-01-01T00:00:00.500000+00:00".into(), 1893456000)));
        assert_eq!(read("2030-01-01T00:00:00"), Err(400));
        assert_eq!(read("2020-01-01T00:00:00Z"), Err(422));
        assert_eq!(read("zzz"), Err(422));
    }
}
