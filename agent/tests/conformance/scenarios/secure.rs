//! Who may call: passwords, addresses, certificates; and passwords of PostgreSQL that are hard to quote.

use serde_json::json;

use crate::harness::rest::Ask;
use crate::harness::wait::ensure;
use crate::harness::{Authority, Stage, until};

/// Unsafe calls need the name and password, all others do not; patronictl has them from the YAML.
pub async fn rest_authentication(stage: &Stage) {
    let users = json!({"restapi": {"authentication": {"username": "operator", "password": "p:w d"}}});
    let cluster = stage.cluster(2).with(users).started().await;
    let ask = |headers| Ask::new("PATCH", "/config").body(r#"{"loop_wait": 3}"#).headers(headers);
    let server = cluster[0].rest_address();
    let answer = ask(&[]).send(server).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (401, "no auth header received"));
    assert_eq!(answer.header("www-authenticate"), r#"Basic realm="Patroni""#);
    // operator:wrong
    let answer = ask(&[("authorization", "Basic b3BlcmF0b3I6d3Jvbmc=")]).send(server).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (401, "not authenticated"));
    // operator:p:w d
    let answer = ask(&[("authorization", "Basic b3BlcmF0b3I6cDp3IGQ=")]).send(server).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["loop_wait"], 3);
    for (method, path) in [
        ("POST", "/restart"),
        ("POST", "/reload"),
        ("POST", "/switchover"),
        ("POST", "/failover"),
        ("POST", "/reinitialize"),
        ("PUT", "/config"),
        ("DELETE", "/restart"),
        ("DELETE", "/switchover"),
    ] {
        let answer = Ask::new(method, path).body("{}").send(server).await.unwrap();
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    for path in ["/primary", "/patroni", "/cluster", "/config", "/metrics"] {
        assert_eq!(cluster[0].code(path).await.unwrap(), 200, "GET {path}");
    }
    let said = cluster.ctl(&["reload", &cluster.scope, "pg1", "--force"]).await;
    assert!(said.stdout.contains("Reload request received for member pg1"), "{said:?}");
}

/// Unsafe calls are taken from listed addresses only, and from members where that is asked for.
pub async fn rest_allowlist(stage: &Stage) {
    let listed = json!({"restapi": {"allowlist": ["127.250.0.0/16", "no-such-host.invalid"]}});
    let cluster = stage.cluster(1).with(listed).started().await;
    let answer = cluster[0].call("POST", "/reload", &json!({})).await;
    assert_eq!((answer.status, &*answer.body), (403, "Access is denied"));
    assert_eq!(cluster[0].code("/patroni").await.unwrap(), 200, "reading is for all");
    cluster[0].reconfigure(&json!({"restapi": {"allowlist": ["127.0.0.0/8"]}}));
    cluster[0].signal(nix::sys::signal::Signal::SIGHUP);
    until("the new list holds", async || {
        let code = cluster[0].call("POST", "/reload", &json!({})).await.status;
        ensure(code == 202, || code.to_string())
    })
    .await;
}

/// REST over TLS: everybody may read; who changes something needs a certificate (`optional`); patronictl has one.
/// Members ask each other over TLS in a failover.
pub async fn rest_tls(stage: &Stage) {
    let authority = Authority::new(&stage.folder("tls")).await;
    let files = json!({
        "restapi": {
            "certfile": authority.file("node.crt"),
            "keyfile": authority.file("node.key"),
            "cafile": authority.file("ca.crt"),
            "verify_client": "optional",
        },
        "ctl": {
            "certfile": authority.file("node.crt"),
            "keyfile": authority.file("node.key"),
            "cacert": authority.file("ca.crt"),
        },
    });
    let cluster = stage.cluster(3).with(files).laid();
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address.to_string()).collect();
    authority.sign(&addresses).await;
    cluster[0].start();
    cluster.leads(0).await;
    cluster[1].start();
    cluster[2].start();
    cluster.ready().await;
    let member = cluster.member(0).await.unwrap();
    assert_eq!(member["api_url"], format!("https://{}:8008/patroni", cluster[0].address));
    let ask = async |request, certified| authority.ask(&cluster[0], request, certified).await;
    assert_eq!(ask("GET /primary", false).await, "HTTP/1.0 200 OK");
    assert_eq!(ask("OPTIONS /replica", false).await, "HTTP/1.0 503 Service Unavailable");
    assert_eq!(ask("POST /reload", false).await, "HTTP/1.0 403 Forbidden");
    assert_eq!(ask("POST /reload", true).await, "HTTP/1.0 202 Accepted");
    let said = cluster.ctl(&["restart", &cluster.scope, "pg2", "--force"]).await;
    assert!(said.stdout.contains("Success: restart on member pg2"), "{said:?}");
    cluster.ready().await;
    cluster[0].stop().await;
    let new = cluster.new_leader(0).await;
    cluster.streams(3 - new).await;
}

/// With `verify_client: required` nobody gets a word without a certificate.
pub async fn rest_tls_required(stage: &Stage) {
    let authority = Authority::new(&stage.folder("tls")).await;
    let files = json!({"restapi": {
        "certfile": authority.file("node.crt"),
        "keyfile": authority.file("node.key"),
        "cafile": authority.file("ca.crt"),
        "verify_client": "required",
    }});
    let cluster = stage.cluster(1).with(files).laid();
    authority.sign(&[cluster[0].address.to_string()]).await;
    cluster[0].start();
    cluster.leads(0).await;
    assert_eq!(authority.ask(&cluster[0], "GET /primary", false).await, "");
    assert_eq!(authority.ask(&cluster[0], "GET /primary", true).await, "HTTP/1.0 200 OK");
}

/// A new certificate is taken up by a reload: who trusts only its authority is answered from then on.
pub async fn rest_tls_reload(stage: &Stage) {
    let authority = Authority::new(&stage.folder("tls")).await;
    let files = json!({"restapi": {
        "certfile": authority.file("node.crt"),
        "keyfile": authority.file("node.key"),
    }});
    let cluster = stage.cluster(1).with(files).laid();
    authority.sign(&[cluster[0].address.to_string()]).await;
    cluster[0].start();
    cluster.leads(0).await;
    assert_eq!(authority.ask(&cluster[0], "GET /primary", false).await, "HTTP/1.0 200 OK");
    let other = Authority::new(&stage.folder("tls/other")).await;
    other.sign(&[cluster[0].address.to_string()]).await;
    assert_eq!(other.ask(&cluster[0], "GET /primary", false).await, "", "the old certificate is not the other's");
    for name in ["node.crt", "node.key"] {
        std::fs::copy(other.file(name), authority.file(name)).unwrap();
    }
    cluster[0].signal(nix::sys::signal::Signal::SIGHUP);
    until("the new certificate is shown", async || {
        let line = other.ask(&cluster[0], "GET /primary", false).await;
        ensure(line == "HTTP/1.0 200 OK", || line)
    })
    .await;
}

/// One certificate, as `openssl req -x509` makes it, is everybody's: of REST and of PostgreSQL, of servers and of
/// clients, and the authority that both trust. Nobody gets in without it, in a failover and in a rejoin neither.
pub async fn one_certificate_for_all(stage: &Stage) {
    let dir = stage.folder("tls");
    let (certificate, key) = (dir.join("all.crt"), dir.join("all.key"));
    let connect = json!({"sslmode": "verify-ca", "sslrootcert": certificate, "sslcert": certificate, "sslkey": key});
    let mut rewinder = connect.clone();
    crate::harness::settings::merge(&mut rewinder, &json!({"username": "rewinder", "password": "of-the-rewinder"}));
    let identity = json!({"certfile": certificate, "keyfile": key});
    let mut rest = identity.clone();
    crate::harness::settings::merge(&mut rest, &json!({"cafile": certificate, "verify_client": "required"}));
    let mut ctl = identity;
    crate::harness::settings::merge(&mut ctl, &json!({"cacert": certificate, "insecure": true}));
    let files = json!({
        "restapi": rest,
        "ctl": ctl,
        "postgresql": {
            "authentication": {"superuser": connect, "replication": connect, "rewind": rewinder},
            "parameters": {
                "ssl": "on", "ssl_ca_file": certificate, "ssl_cert_file": certificate, "ssl_key_file": key,
            },
            "pg_hba": [
                "host all postgres all md5",
                "hostssl replication replicator all md5 clientcert=verify-ca",
                "hostssl all rewinder all md5 clientcert=verify-ca",
            ],
        },
    });
    let cluster = stage.cluster(3).with(files).laid();
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address.to_string()).collect();
    Authority::all_in_one(&dir, &addresses).await;
    cluster.nodes[0].start();
    cluster.leads(0).await;
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    cluster.ready().await;
    let encrypted = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
                     where usename = 'replicator' or application_name = 'labrun-agent' or application_name like 'Patroni%'";
    cluster.shows(0, encrypted, "t").await;
    cluster[0].stop().await;
    cluster.new_leader(0).await;
    cluster[0].start();
    cluster.streams(0).await;
}

/// Passwords with every sign that some file or shell treats as its own; none of them is told to anybody.
pub async fn odd_passwords(stage: &Stage) {
    let (replicator, rewinder) = (r#"r'e"p\l:i c$a%t#o{r}"#, r"re\\wind:'er");
    let users = json!({"postgresql": {"authentication": {
        "replication": {"password": replicator},
        "rewind": {"username": "rewinder", "password": rewinder},
    }}});
    let cluster = stage.cluster(2).with(users).started().await;
    let can = "select string_agg(rolname, ',' order by rolname) from pg_roles where rolcanlogin";
    assert_eq!(cluster[0].value(can).await.unwrap(), "postgres,replicator,rewinder");
    cluster[0].stop().await;
    cluster.leads(1).await;
    cluster[0].start();
    cluster.streams(0).await;
    for node in &cluster.nodes {
        for secret in [replicator, rewinder, crate::harness::sql::SUPERUSER_PASSWORD] {
            assert!(!node.log().contains(secret), "{}'s log tells a password", node.name);
        }
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(node.dir.join("pgpass")).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{}'s pgpass is for its owner alone", node.name);
    }
}
