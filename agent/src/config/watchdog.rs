//! The `watchdog:` section (Patroni's documentation, "Watchdog support").

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

/// When the watchdog is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchdogMode {
    Off,
    /// Where there is one.
    #[default]
    Automatic,
    /// A node without one does not lead.
    Required,
}

/// How it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatchdogDriver {
    #[default]
    Linux,
    /// What would be said to the device is written to a file or a FIFO.
    Testing,
}

/// The section, with Patroni's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogConfig {
    pub mode: WatchdogMode,
    pub driver: WatchdogDriver,
    pub device: PathBuf,
    /// Seconds between the watchdog's bite and the end of the lease; -1 for half of the lease.
    pub safety_margin: i64,
}

impl Default for WatchdogConfig {
    fn default() -> WatchdogConfig {
        WatchdogConfig {
            mode: WatchdogMode::default(),
            driver: WatchdogDriver::default(),
            device: "/dev/watchdog".into(),
            safety_margin: 5,
        }
    }
}

impl WatchdogConfig {
    /// The section as it stands in the file, and what is wrong with it.
    pub(super) fn from_map(map: &Map<String, Value>) -> (WatchdogConfig, Option<String>) {
        let text = |key: &str| map.get(key).and_then(super::reader::scalar);
        let mut config = WatchdogConfig::default();
        let mut wrong = None;
        if let Some(mode) = text("mode") {
            config.mode = match mode.to_ascii_lowercase().as_str() {
                "require" | "required" => WatchdogMode::Required,
                "auto" | "automatic" => WatchdogMode::Automatic,
                "off" | "disable" | "disabled" | "false" | "no" => WatchdogMode::Off,
                _ => {
                    wrong = Some(format!("Watchdog mode {mode} not recognized, disabling watchdog"));
                    WatchdogMode::Off
                }
            };
        }
        if text("driver").as_deref() == Some("testing") {
            config.driver = WatchdogDriver::Testing;
        }
        if let Some(device) = text("device") {
            config.device = device.into();
        }
        if let Some(margin) = text("safety_margin").and_then(|margin| margin.parse().ok()) {
            config.safety_margin = margin;
        }
        (config, wrong)
    }

    /// After how many seconds without a sign of life the watchdog is to bite: the margin before `ttl` is over, as
    /// Patroni counts it, and never after the lease that was negotiated. It may come out as zero or less, and is then of
    /// no use.
    pub fn timeout(&self, ttl: Duration, lease: Duration) -> i64 {
        let (ttl, lease) = (ttl.as_secs() as i64, lease.as_secs() as i64);
        let wanted = if self.safety_margin == -1 { ttl / 2 } else { ttl - self.safety_margin };
        wanted.min(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(section: Value) -> (WatchdogConfig, Option<String>) {
        let Value::Object(map) = section else { panic!("not a map") };
        WatchdogConfig::from_map(&map)
    }

    #[test]
    fn modes_have_their_aliases_and_nonsense_turns_it_off_aloud() {
        assert_eq!(read(json!({})).0, WatchdogConfig::default());
        assert_eq!(read(json!({"mode": "require"})).0.mode, WatchdogMode::Required);
        assert_eq!(read(json!({"mode": "Automatic"})).0.mode, WatchdogMode::Automatic);
        assert_eq!(read(json!({"mode": false})).0.mode, WatchdogMode::Off);
        let (config, wrong) = read(json!({"mode": "sometimes"}));
        assert_eq!((config.mode, wrong.is_some()), (WatchdogMode::Off, true));
        let (config, _) = read(json!({"driver": "testing", "device": "/x", "safety_margin": 2}));
        assert_eq!((config.driver, config.device, config.safety_margin), (WatchdogDriver::Testing, "/x".into(), 2));
    }

    #[test]
    fn the_watchdog_bites_a_margin_before_the_lease_ends() {
        let of = |safety_margin, ttl, lease| {
            let config = WatchdogConfig { safety_margin, ..WatchdogConfig::default() };
            config.timeout(Duration::from_secs(ttl), Duration::from_secs(lease))
        };
        assert_eq!((of(5, 30, 30), of(-1, 30, 30), of(0, 30, 30), of(40, 30, 30)), (25, 15, 30, -10));
        // A session is a tick of ZooKeeper's shorter than ttl, or as short as the ensemble allows.
        assert_eq!((of(5, 20, 18), of(0, 20, 18), of(5, 30, 12)), (15, 18, 12));
    }
}
