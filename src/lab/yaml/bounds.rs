//! Reading YAML that nobody vouches for: bounded in size, depth, nodes and aliases.

use std::sync::Arc;

use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::Node;
use crate::lab::diagnostic::{Code, Diagnostic, File};
use crate::lab::indentation;

/// The largest file that is read.
pub const MAX_BYTES: u64 = 1024 * 1024;
/// How deep values may be nested.
const MAX_DEPTH: usize = 40;
/// How many values a file may hold, as written.
const MAX_NODES: usize = 100_000;
/// How many values its aliases may add.
const MAX_REPLAYED: usize = 100_000;
/// How many aliases it may use.
const MAX_ALIASES: usize = 1_000;

/// The tree of a file.
pub fn parse(file: &Arc<File>) -> Result<Node, Diagnostic> {
    serde_saphyr::from_str_with_options(&file.text, options()).map_err(|error| explain(file, error.without_snippet()))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: MAX_DEPTH,
        },
        // Keys that stand twice are reported by us, with both places and together with everything else.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        emit_comments: false,
    }
}

fn explain(file: &Arc<File>, error: &serde_saphyr::Error) -> Diagnostic {
    use serde_saphyr::Error;
    let start = error.location().and_then(|location| location.span().byte_offset()).unwrap_or(0) as usize;
    let start = start.min(file.text.len());
    let end = start + file.text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    let bounded = matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    );
    if bounded {
        return Diagnostic::error(Code::TooLarge, "the file would grow beyond what a lab may be".to_owned())
            .at(file, start..end, "the limit was reached here")
            .help(format!(
                "a lab may nest {MAX_DEPTH} levels and hold {MAX_NODES} values; its aliases may add {MAX_REPLAYED} ({})",
                message(error)
            ));
    }
    let what = Diagnostic::error(Code::NotYaml, format!("this is not well-formed YAML: {}", message(error)));
    let what = what.at(file, start..end, "here");
    match indentation::first_lost(&file.text) {
        Some(lost) => indentation::lost(file, lost.header, lost.child).help(format!(
            "indent what belongs under `{}:` by two spaces more than it; copying through a chat or a word processor \
             often loses indentation (the parser stopped at {}: {})",
            lost.key,
            what.place().unwrap_or_default(),
            message(error),
        )),
        None => what,
    }
}

fn message(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
