//! JSON as Patroni writes it: compact in the DCS, Python's default spacing in REST answers.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use serde_json::{Map, Value};

/// Without any blanks, as in every znode.
pub fn compact<T: Serialize>(value: &T) -> String {
    render(value, Python { item: b",", colon: b":" })
}

/// With a blank after each comma and colon, as in every REST body.
pub fn spaced<T: Serialize>(value: &T) -> String {
    render(value, Python { item: b", ", colon: b": " })
}

/// Lays `patch` over `target`: objects are merged, `null` removes a key.
pub fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (target.get_mut(key), value) {
            (_, Value::Null) => {
                target.shift_remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
}

fn render<T: Serialize>(value: &T, format: Python) -> String {
    let mut text = Vec::new();
    // Our types have string keys and serialise into memory, so this cannot fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, format));
    String::from_utf8(text).unwrap_or_default()
}

/// Python's `json.dumps`: its separators, and ASCII only.
struct Python {
    item: &'static [u8],
    colon: &'static [u8],
}

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(self.item) }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(self.item) }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.colon)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        for c in text.chars() {
            if c.is_ascii() {
                out.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, out: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => out.write_all(b"\\\""),
            CharEscape::ReverseSolidus => out.write_all(b"\\\\"),
            CharEscape::Solidus => out.write_all(b"/"),
            CharEscape::Backspace => out.write_all(b"\\b"),
            CharEscape::FormFeed => out.write_all(b"\\f"),
            CharEscape::LineFeed => out.write_all(b"\\n"),
            CharEscape::CarriageReturn => out.write_all(b"\\r"),
            CharEscape::Tab => out.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(out, "\\u{byte:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spacing_and_escapes_are_those_of_python() {
        let value = json!({"a": [1, 2], "b": {"c": null}, "t": "é\n😀\""});
        assert_eq!(compact(&value), r#"{"a":[1,2],"b":{"c":null},"t":"\u00e9\n\ud83d\ude00\""}"#);
        assert_eq!(spaced(&json!({"a": [1, 2], "b": {}})), r#"{"a": [1, 2], "b": {}}"#);
    }
}
