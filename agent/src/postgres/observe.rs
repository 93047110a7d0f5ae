//! One look at a running PostgreSQL: a single statement, within a deadline.

use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::SimpleQueryRow;

use crate::cluster::{History, Lsn};
use crate::config::Config;
use crate::decide::{Server, Slot, WalReceiver, WalSender};

use super::sql::Connection;
use super::{Error, conninfo};

/// What the statement gives that is not part of [`Server`].
pub struct Observed {
    pub server: Server,
    pub can_rewind: bool,
}

const STATEMENT: &str = "
SELECT r.rec::text,
  CASE WHEN r.rec THEN greatest(
      (SELECT received_tli FROM pg_stat_get_wal_receiver() WHERE latest_end_lsn IS NOT NULL),
      c.timeline_id, (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
  CASE WHEN r.rec THEN '0/0' ELSE pg_current_wal_flush_lsn() END,
  pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(),
  CASE WHEN r.rec THEN pg_is_wal_replay_paused() ELSE false END::text,
  to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00:00'),
  to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00:00'),
  current_setting('server_version_num'), current_setting('synchronous_standby_names'),
  current_setting('primary_conninfo'), current_setting('primary_slot_name'), current_setting('restore_command'),
  c.timeline_id,
  (current_setting('wal_log_hints') = 'on' OR current_setting('data_checksums') = 'on')::text,
  (SELECT json_agg(json_build_object('status', status, 'latest_end', latest_end_lsn, 'timeline',
      CASE WHEN latest_end_lsn IS NOT NULL THEN received_tli END)) FROM pg_stat_get_wal_receiver()),
  (SELECT json_agg(json_build_object('pid', pid, 'user', usename, 'application_name', application_name,
      'client_addr', host(client_addr), 'state', state, 'sync_state', sync_state, 'sync_priority', sync_priority,
      'written', write_lsn, 'flushed', flush_lsn, 'replayed', replay_lsn)) FROM pg_stat_replication),
  (SELECT json_agg(json_build_object('name', slot_name, 'active', active, 'logical', slot_type = 'logical',
      'position', CASE WHEN slot_type = 'logical' THEN confirmed_flush_lsn ELSE restart_lsn END,
      'database', database, 'plugin', plugin, 'has_xmin', xmin IS NOT NULL, 'lost', wal_status = 'lost'))
   FROM pg_replication_slots AS s
   WHERE NOT temporary AND (to_jsonb(s) ->> 'failover') IS DISTINCT FROM 'true'),
  (SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'),
  (SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'IO' AND lower(wait_event) IN
      ('walsync', 'walwrite', 'walinitsync', 'walinitwrite'))::text,
  (SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'startup' AND lower(wait_event) IN
      ('recoverywalall', 'recoverywalstream', 'recoveryretrieveretryinterval'))::text
FROM (SELECT pg_is_in_recovery() AS rec) r, pg_control_checkpoint() c";

/// Asks once, and waits up to `limit` for the answer.
pub async fn observe(connection: &Connection, config: &Config, limit: Duration) -> Result<Observed, Error> {
    let rows = connection.rows_within(STATEMENT, limit).await?;
    let row = rows.first().ok_or_else(|| Error::Sql("no row".into()))?;
    let mut observed = read(row, config);
    let server = &mut observed.server;
    if !server.in_recovery && server.timeline > 1 {
        server.history = history(config, server.timeline);
    }
    Ok(observed)
}

fn read(row: &SimpleQueryRow, config: &Config) -> Observed {
    let text = |i: usize| row.get(i).unwrap_or_default();
    let owned = |i: usize| row.get(i).map(str::to_owned);
    let lsn = |i: usize| text(i).parse().unwrap_or(Lsn(0));
    let in_recovery = text(0) == "true";
    let timeline = text(1).parse().unwrap_or(0);
    let receivers: Vec<ReceiverRow> = list(row.get(15));
    let server = Server {
        in_recovery,
        timeline,
        written: lsn(2),
        wal_awaited: text(19) == "true",
        received: lsn(3),
        replayed: lsn(4),
        replay_paused: text(5) == "true",
        // PostgreSQL asks for WAL only when there is none left in its data directory.
        has_read_all: row.get(3).is_some() || text(20) == "true",
        replay_timestamp: owned(6),
        start_time: text(7).to_owned(),
        version: text(8).parse().unwrap_or(0),
        sync_names: text(9).to_owned(),
        upstream: conninfo::upstream(config, text(10)),
        upstream_slot: text(11).to_owned(),
        archive_recovery: !text(12).is_empty(),
        startup: text(18).parse().ok(),
        checkpointed: in_recovery || text(13).parse() == Ok(timeline),
        wal_receiver: receivers.into_iter().next().map(Into::into),
        wal_senders: list::<SenderRow>(row.get(16)).into_iter().map(Into::into).collect(),
        slots: list::<SlotRow>(row.get(17)).into_iter().map(Into::into).collect(),
        history: None,
    };
    Observed { server, can_rewind: text(14) == "true" }
}

/// `null` for an empty list.
fn list<T: for<'a> Deserialize<'a>>(json: Option<&str>) -> Vec<T> {
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

fn position(text: &Option<String>) -> Lsn {
    text.as_ref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[derive(Deserialize)]
struct ReceiverRow {
    status: Option<String>,
    latest_end: Option<String>,
    timeline: Option<u32>,
}

impl From<ReceiverRow> for WalReceiver {
    fn from(row: ReceiverRow) -> WalReceiver {
        let latest_end = position(&row.latest_end);
        WalReceiver { status: row.status.unwrap_or_default(), latest_end, timeline: row.timeline }
    }
}

#[derive(Deserialize)]
struct SenderRow {
    pid: i32,
    user: Option<String>,
    application_name: Option<String>,
    client_addr: Option<String>,
    state: Option<String>,
    sync_state: Option<String>,
    sync_priority: Option<i32>,
    written: Option<String>,
    flushed: Option<String>,
    replayed: Option<String>,
}

impl From<SenderRow> for WalSender {
    fn from(row: SenderRow) -> WalSender {
        WalSender {
            pid: row.pid,
            user: row.user.unwrap_or_default(),
            application_name: row.application_name.unwrap_or_default(),
            written: position(&row.written),
            flushed: position(&row.flushed),
            replayed: position(&row.replayed),
            client_addr: row.client_addr,
            state: row.state.unwrap_or_default(),
            sync_state: row.sync_state.unwrap_or_default(),
            sync_priority: row.sync_priority.unwrap_or(0),
        }
    }
}

#[derive(Deserialize)]
struct SlotRow {
    name: String,
    active: Option<bool>,
    logical: Option<bool>,
    position: Option<String>,
    database: Option<String>,
    plugin: Option<String>,
    has_xmin: Option<bool>,
    lost: Option<bool>,
}

impl From<SlotRow> for Slot {
    fn from(row: SlotRow) -> Slot {
        Slot {
            position: position(&row.position),
            name: row.name,
            active: row.active == Some(true),
            logical: row.logical == Some(true),
            database: row.database.unwrap_or_default(),
            plugin: row.plugin.unwrap_or_default(),
            has_xmin: row.has_xmin == Some(true),
            lost: row.lost == Some(true),
        }
    }
}

/// The history file of our timeline; its last branch is dated by the file itself.
fn history(config: &Config, timeline: u32) -> Option<History> {
    let path = config.data_dir.join(format!("pg_wal/{timeline:08X}.history"));
    let mut history = History::parse_file(&std::fs::read_to_string(&path).ok()?);
    let modified = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
    if let Some(last) = history.0.last_mut() {
        let at = jiff::Timestamp::try_from(modified).ok()?.to_zoned(jiff::tz::TimeZone::system());
        last.at = Some(at.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string());
    }
    Some(history)
}
