//! The reference report's project with one mistake each, as they were found in what people handed in.

/// A mistake.
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, in a few words.
    pub mistake: &'static str,
    /// Texts of files that are replaced: file, from, to.
    pub edits: &'static [(&'static str, &'static str, &'static str)],
    /// The same once the cluster runs.
    pub edits_later: &'static [(&'static str, &'static str, &'static str)],
    /// The code that names the mistake; none where only the running cluster shows it.
    pub code: Option<&'static str>,
    /// Words of what is said, by the linter or by the verification.
    pub words: &'static str,
}

const NONE: Variant = Variant { name: "", mistake: "", edits: &[], edits_later: &[], code: None, words: "" };
const CHECK: &str = "option httpchk\n    http-check expect status 200";
const DCS: &str = "    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        wal_level: replica
        hot_standby: \"on\"
        wal_keep_segments: 8
        max_wal_senders: 10
        max_replication_slots: 10
        wal_log_hints: \"on\"
        archive_mode: always
        archive_timeout: 1800s
        archive_command: mkdir -p /tmp/wal_archive && test ! -f /tmp/wal_archive/%f && cp %p /tmp/wal_archive/%f
";
const BESIDE_DCS: &str = "  postgresql:
    use_pg_rewind: true
    use_slots: true
    parameters:
      wal_level: replica
      hot_standby: \"on\"
      wal_log_hints: \"on\"
";

/// The twelve.
pub const TWELVE: [Variant; 12] = [
    Variant {
        name: "check-patroni",
        mistake: "HAProxy asks GET /patroni, which a replica answers too",
        edits: &[("haproxy.cfg", CHECK, "option httpchk GET /patroni\n    http-check expect status 200")],
        code: Some("LR0701"),
        words: "passes on replicas",
        ..NONE
    },
    Variant {
        name: "check-health",
        mistake: "HAProxy asks GET /health, which a replica answers too",
        edits: &[("haproxy.cfg", CHECK, "option httpchk GET /health\n    http-check expect status 200")],
        code: Some("LR0701"),
        words: "passes on replicas",
        ..NONE
    },
    Variant {
        name: "check-tcp",
        mistake: "HAProxy only connects (tcp-check), which works on a replica too",
        edits: &[("haproxy.cfg", CHECK, "option tcp-check")],
        code: Some("LR0701"),
        words: "passes on replicas",
        ..NONE
    },
    Variant {
        name: "bootstrap-postgresql",
        mistake: "bootstrap.postgresql instead of bootstrap.dcs.postgresql",
        edits: &[("postgres0.yml", DCS, BESIDE_DCS), ("postgres1.yml", DCS, BESIDE_DCS)],
        code: Some("LR0705"),
        words: "does not read `postgresql` under `bootstrap`",
        ..NONE
    },
    Variant {
        name: "parameters-under-authentication",
        mistake: "parameters under postgresql.authentication",
        edits: &[
            (
                "postgres0.yml",
                "      password: postgres\n  parameters:\n    unix",
                "      password: postgres\n    parameters:\n      unix",
            ),
            (
                "postgres1.yml",
                "      password: postgres\n  parameters:\n    unix",
                "      password: postgres\n    parameters:\n      unix",
            ),
        ],
        code: Some("LR0705"),
        words: "does not read `parameters` under `postgresql.authentication`",
        ..NONE
    },
    Variant {
        name: "recovery-conf",
        mistake: "recovery_conf at the top level",
        edits: &[(
            "postgres0.yml",
            "tags:\n",
            "recovery_conf:\n  restore_command: cp /tmp/wal_archive/%f %p\n\ntags:\n",
        )],
        code: Some("LR0705"),
        words: "does not read `recovery_conf`",
        ..NONE
    },
    Variant {
        name: "rewind",
        mistake: "use_pg_rewind without wal_log_hints and data checksums",
        edits: &[
            ("postgres0.yml", "wal_log_hints: \"on\"", "wal_log_hints: \"off\""),
            ("postgres1.yml", "wal_log_hints: \"on\"", "wal_log_hints: \"off\""),
        ],
        code: Some("LR0706"),
        words: "neither wal_log_hints nor checksums",
        ..NONE
    },
    Variant {
        name: "port",
        mistake: "a published port on which nothing listens",
        edits: &[("docker-compose.yml", ":5432\"\n      - \"{rest0}", ":5433\"\n      - \"{rest0}")],
        code: Some("LR0717"),
        words: "nothing listens on port 5433",
        ..NONE
    },
    Variant {
        name: "indentation",
        mistake: "the indentation of a file was lost when it was copied",
        edits: &[
            ("postgres1.yml", "\n  ", "\n"),
            ("postgres1.yml", "\n  ", "\n"),
            ("postgres1.yml", "\n  ", "\n"),
            ("postgres1.yml", "\n  ", "\n"),
        ],
        code: Some("LR0104"),
        words: "the indentation was lost",
        ..NONE
    },
    Variant {
        name: "not-rebuilt",
        mistake: "postgres0.yml was edited and the image not built again",
        edits_later: &[("postgres0.yml", "ttl: 30", "ttl: 60")],
        words: "edited after the image was built",
        ..NONE
    },
    Variant {
        name: "nobody-may-lead",
        mistake: "nofailover on every node",
        edits: &[
            ("postgres0.yml", "nofailover: false", "nofailover: true"),
            ("postgres1.yml", "nofailover: false", "nofailover: true"),
        ],
        code: Some("LR0714"),
        words: "may not lead",
        ..NONE
    },
    Variant {
        name: "passwords",
        mistake: "the replication user's password differs between the nodes",
        edits: &[("postgres1.yml", "password: rep-pass", "password: reppass")],
        code: Some("LR0713"),
        words: "the password of the replication differs",
        ..NONE
    },
];
