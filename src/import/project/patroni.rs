//! A Patroni configuration of the project, as far as the control questions ask about it.

use serde::Serialize;
use serde_json::Value;

/// What a Patroni configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patroni {
    /// The key in the DCS that holds the dynamic settings once the cluster was made: `/service/SCOPE/config`.
    pub config_key: String,
    /// The settings under `bootstrap.dcs`, which are read only when the cluster is made (Patroni, "Bootstrap configuration").
    pub bootstrap_dcs: Vec<String>,
}

/// Reads a file; none when it is no Patroni configuration.
pub fn read(content: &str) -> Option<Patroni> {
    let file: Value = serde_saphyr::from_str(content).ok()?;
    let scope = file.get("scope")?.as_str()?;
    file.get("postgresql")?.as_object()?;
    let namespace = file.get("namespace").and_then(Value::as_str).unwrap_or("service");
    let dcs = file.get("bootstrap").and_then(|bootstrap| bootstrap.get("dcs")).and_then(Value::as_object);
    Some(Patroni {
        config_key: format!("/{}/{scope}/config", namespace.trim_matches('/')),
        bootstrap_dcs: dcs.map(|dcs| dcs.keys().cloned().collect()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patroni_file_is_known_by_what_it_holds() {
        let read_file = read("scope: c\nnamespace: /db/\nbootstrap:\n  dcs:\n    ttl: 30\npostgresql:\n  listen: x\n");
        let expected = Patroni { config_key: "/db/c/config".to_owned(), bootstrap_dcs: vec!["ttl".to_owned()] };
        assert_eq!(read_file, Some(expected));
        assert_eq!(read("services: {}\n"), None);
        assert_eq!(read("global\n  maxconn 100\n"), None);
    }
}
