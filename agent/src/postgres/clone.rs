//! A replica: by the first of `create_replica_methods` that works, pg_basebackup unless others are named.

use crate::config::{Config, ListOption, ReplicaMethod, ReplicaScript, Settings};
use crate::decide::Upstream;

use super::{Error, conf, conninfo, datadir, durable, pgpass, program};

/// Options that the agent sets itself.
const OWN: [&str; 11] = [
    "pgdata",
    "format",
    "wal-method",
    "xlog-method",
    "gzip",
    "version",
    "dbname",
    "host",
    "port",
    "username",
    "password",
];

/// Fills the data directory, which must be empty or unfinished; without a source only by methods that need none.
/// On failure it is empty again, unless a method keeps its data. `created` names the initialize key, if the copy is
/// the beginning of a standby cluster.
pub async fn clone(
    config: &Config,
    settings: &Settings,
    from: Option<&Upstream>,
    created: Option<i64>,
) -> Result<(), Error> {
    let dir = &config.data_dir;
    if let Some(from) = from {
        pgpass::write(config, from)?;
    }
    let mut failure = Error::Other("none of create_replica_methods works without a running member".into());
    for method in settings.replica_methods().iter().filter(|method| from.is_some() || !method.needs_leader()) {
        let keep = matches!(method, ReplicaMethod::Script(script) if script.keep_data);
        let (name, made) = match (method, from) {
            (ReplicaMethod::Script(script), _) => {
                let running = run_script(config, script, from);
                (script.name.as_str(), datadir::make_by(dir, created, keep, running).await)
            }
            (ReplicaMethod::Basebackup, Some(from)) => {
                datadir::begin(dir, created, false).await?;
                ("basebackup", basebackup(config, settings, from).await)
            }
            (ReplicaMethod::Basebackup, None) => continue,
        };
        match made {
            Ok(()) => {
                tracing::info!("replica has been created using {name}");
                conf::restore_missing(dir)?;
                datadir::remove_promote_trigger(dir)?;
                return match created {
                    Some(created) => datadir::mark_initialising(dir, created, true).await,
                    None => datadir::unmark(dir).await,
                };
            }
            Err(error) => tracing::error!("Error creating replica using method {name}: {error}"),
        }
        failure = Error::Other(format!("{name} failed, the last of create_replica_methods that could be tried"));
        if !keep {
            datadir::empty_unfinished(dir).await?;
        }
    }
    Err(failure)
}

async fn basebackup(config: &Config, settings: &Settings, from: &Upstream) -> Result<(), Error> {
    let mut command = program::command(&config.program("pg_basebackup"));
    command.arg(format!("--pgdata={}", config.data_dir.display())).args(["-X", "stream"]);
    command.arg(format!("--dbname={}", conninfo::source(config, from))).envs(pgpass::environment(config));
    let options = settings.basebackup.iter().filter(|option| is_allowed(option));
    // A new replica is worth a checkpoint at once, unless the configuration thinks otherwise.
    if !settings.basebackup.iter().any(|option| option.name == "checkpoint") {
        command.arg("--checkpoint=fast");
    }
    let flush = !settings.basebackup.iter().any(|option| option.name == "no-sync");
    if flush {
        command.arg("--no-sync");
    }
    command.args(options.map(ListOption::argument)).arg("--no-password");
    program::run(command).await?;
    if flush {
        durable::flush(&config.data_dir).await?;
    }
    Ok(())
}

/// What would break the copy is left out; of compression, all that the client would have to undo.
fn is_allowed(option: &ListOption) -> bool {
    let compressed = option.name == "compress" && !option.value.as_ref().is_some_and(|v| v.starts_with("server"));
    let allowed = !OWN.contains(&option.name.as_str()) && !compressed;
    if !allowed {
        tracing::error!("{} option for basebackup is not allowed", option.name);
    }
    allowed
}

async fn run_script(config: &Config, script: &ReplicaScript, from: Option<&Upstream>) -> Result<(), Error> {
    let source = from.map(|from| conninfo::source(config, from)).unwrap_or_default();
    let environment = pgpass::environment(config);
    let environment: Vec<_> = environment.iter().map(|(name, path)| (*name, path.as_str())).collect();
    let environment = if from.is_some() { &*environment } else { &[] };
    program::call(&script.command, &arguments(config, script, &source), environment).await?;
    datadir::looks_complete(&config.data_dir)
        .then_some(())
        .ok_or_else(|| Error::Other(format!("{} has made no data directory of PostgreSQL's", script.command)))
}

fn arguments(config: &Config, script: &ReplicaScript, source: &str) -> Vec<String> {
    let mut arguments = script.arguments.clone();
    if !script.no_params {
        let data_dir = config.data_dir.display().to_string();
        for (key, value) in
            [("scope", config.scope.as_str()), ("role", "replica"), ("datadir", &data_dir), ("connstring", source)]
        {
            match arguments.iter_mut().find(|(name, _)| name == key) {
                Some((_, old)) => *old = value.to_owned(),
                None => arguments.push((key.to_owned(), value.to_owned())),
            }
        }
    }
    arguments.into_iter().map(|(key, value)| format!("--{key}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = include_str!("../../tests/data/postgres0.yml");
        crate::config::read("f", text, []).unwrap().0
    }

    fn script(no_params: bool) -> ReplicaScript {
        ReplicaScript {
            name: "mine".into(),
            command: "mine".into(),
            no_params,
            no_leader: false,
            keep_data: false,
            arguments: vec![("extra".into(), "word".into()), ("scope".into(), "theirs".into())],
        }
    }

    #[test]
    fn a_script_is_told_what_patroni_tells_it() {
        let mut config = config();
        config.data_dir = "/d".into();
        assert_eq!(
            arguments(&config, &script(false), "host=h"),
            ["--extra=word", "--scope=my_cluster", "--role=replica", "--datadir=/d", "--connstring=host=h"]
        );
        assert_eq!(arguments(&config, &script(true), "host=h"), ["--extra=word", "--scope=theirs"]);
    }

    #[test]
    fn options_that_would_break_the_copy_are_left_out() {
        let option = |name: &str, value: Option<&str>| ListOption { name: name.into(), value: value.map(Into::into) };
        assert!(is_allowed(&option("max-rate", Some("100M"))));
        assert!(is_allowed(&option("compress", Some("server-gzip"))));
        assert!(!is_allowed(&option("compress", Some("9"))));
        assert!(!is_allowed(&option("pgdata", Some("/x"))));
    }

    #[tokio::test]
    async fn methods_are_tried_in_order_and_what_one_leaves_is_removed_before_the_next() {
        let root = tempfile::tempdir().unwrap();
        let mut config = config();
        config.data_dir = root.path().join("data");
        let mut settings = Settings::new(&config, &config.bootstrap.dcs);
        let dir = config.data_dir.display().to_string();
        let method = |command: String, no_leader: bool| {
            ReplicaMethod::Script(ReplicaScript { command, no_leader, ..script(true) })
        };
        let fails = format!("/bin/sh -c 'mkdir {dir} && touch {dir}/half; exit 1'");
        let works = format!(
            "/bin/sh -c 'mkdir {dir} {dir}/global && touch {dir}/PG_VERSION {dir}/global/pg_control {dir}/promote'"
        );
        settings.replica_methods = vec![ReplicaMethod::Basebackup, method(fails.clone(), true), method(works, true)];
        super::clone(&config, &settings, None, None).await.unwrap();
        assert!(config.data_dir.join("PG_VERSION").exists() && !config.data_dir.join("promote").exists());

        std::fs::remove_dir_all(&config.data_dir).unwrap();
        settings.replica_methods = vec![method(fails, true)];
        assert!(super::clone(&config, &settings, None, None).await.is_err());
        assert_eq!(std::fs::read_dir(&config.data_dir).unwrap().count(), 0);
        settings.replica_methods = vec![ReplicaMethod::Basebackup];
        assert!(
            super::clone(&config, &settings, None, None).await.unwrap_err().to_string().contains("without a running")
        );
    }
}
