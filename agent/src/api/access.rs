//! Who may change something: by address, by certificate, by password.

use std::net::IpAddr;

use ipnet::IpNet;

use super::answer::Answer;
use crate::config::{RestApi, VerifyClient};
use crate::decide::View;

/// The rules in force.
pub(super) struct Access {
    allowed: Vec<IpNet>,
    include_members: bool,
    needs_certificate: bool,
    /// `user:password` in base 64.
    key: Option<String>,
}

/// Who asks.
pub(super) struct Caller<'a> {
    pub(super) address: IpAddr,
    pub(super) has_certificate: bool,
    pub(super) authorization: Option<&'a str>,
}

impl Access {
    /// Names of the allowlist are looked up now, and not again before the next reload.
    pub(super) async fn new(rest: &RestApi) -> Access {
        let mut allowed = Vec::new();
        for entry in &rest.allowlist {
            match entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => allowed.push(network),
                Err(_) => allowed.extend(resolved(entry, 0).await.map(IpNet::from)),
            }
        }
        let asks_for_one = |tls: &crate::config::ServerTls| tls.verify_client != VerifyClient::None;
        Access {
            allowed,
            include_members: rest.allowlist_include_members,
            needs_certificate: rest.tls.as_ref().is_some_and(asks_for_one),
            key: rest.authentication.as_ref().map(|(user, password)| basic(user, &password.0)),
        }
    }

    /// The refusal, unless the caller may. `members` counts them in where the configuration does.
    pub(super) async fn refusal(&self, caller: &Caller<'_>, view: &View, members: bool) -> Option<Answer> {
        let members = members && self.include_members;
        let limited = !self.allowed.is_empty() || members;
        if limited && !self.is_listed(caller.address) && !(members && is_member(caller.address, view).await) {
            return Some(Answer::text(403, "Access is denied"));
        }
        if self.needs_certificate && !caller.has_certificate {
            return Some(Answer::text(403, "client certificate required"));
        }
        let reason = self.unauthorized(caller.authorization)?;
        let realm = ("WWW-Authenticate", "Basic realm=\"Patroni\"".to_owned());
        Some(Answer { headers: vec![realm], ..Answer::text(401, reason) })
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address.to_canonical()))
    }

    fn unauthorized(&self, header: Option<&str>) -> Option<&'static str> {
        let expected = self.key.as_ref()?;
        let Some(header) = header else { return Some("no auth header received") };
        let given = header.strip_prefix("Basic ").unwrap_or_default();
        // As long whatever the header is.
        let differs = given.bytes().zip(expected.bytes()).fold(0, |d, (a, b)| d | (a ^ b));
        (given.len() != expected.len() || differs != 0).then_some("not authenticated")
    }
}

/// The credentials of an `Authorization: Basic` header.
pub(super) fn basic(user: &str, password: &str) -> String {
    base64(format!("{user}:{password}").as_bytes())
}

async fn is_member(address: IpAddr, view: &View) -> bool {
    let members = view.dcs.cluster.iter().flat_map(|cluster| cluster.members.values());
    for url in members.map(|member| member.data.api_url.as_str()) {
        let Some(authority) = url.split("://").nth(1).and_then(|rest| rest.split('/').next()) else { continue };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(0)),
            _ => (authority, 0),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if resolved(host, port).await.any(|known| known == address.to_canonical()) {
            return true;
        }
    }
    false
}

async fn resolved(host: &str, port: u16) -> impl Iterator<Item = IpAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return vec![address.to_canonical()].into_iter();
    }
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found.map(|address| address.ip().to_canonical()).collect::<Vec<_>>().into_iter(),
        Err(error) => {
            tracing::error!("Failed to resolve {host}: {error}");
            Vec::new().into_iter()
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = if i <= chunk.len() { DIGITS[(word >> (18 - 6 * i)) as usize & 63] } else { b'=' };
            text.push(digit as char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing;

    async fn access(yaml: &str) -> Access {
        let text =
            include_str!("../../tests/data/postgres0.yml").replacen("restapi:\n", &format!("restapi:\n{yaml}"), 1);
        Access::new(&crate::config::read("f", &text, []).unwrap().0.restapi).await
    }

    async fn code(access: &Access, address: &str, authorization: Option<&str>, members: bool) -> u16 {
        let caller = Caller { address: address.parse().unwrap(), has_certificate: false, authorization };
        access.refusal(&caller, &testing::primary(), members).await.map_or(200, |answer| answer.code)
    }

    #[test]
    fn base64_is_the_usual_one() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(b"user:pass"), "dXNlcjpwYXNz");
    }

    #[tokio::test]
    async fn without_rules_anybody_may() {
        assert_eq!(code(&access("").await, "10.0.0.1", None, true).await, 200);
    }

    #[tokio::test]
    async fn only_listed_addresses_and_members_may() {
        let listed = access("  allowlist: [10.0.0.0/8, 192.168.1.1]\n").await;
        assert_eq!(code(&listed, "10.1.2.3", None, true).await, 200);
        assert_eq!(code(&listed, "::ffff:192.168.1.1", None, true).await, 200);
        assert_eq!(code(&listed, "127.0.1.2", None, true).await, 403);
        let members = access("  allowlist_include_members: true\n").await;
        assert_eq!(code(&members, "127.0.1.2", None, true).await, 200);
        assert_eq!(code(&members, "10.1.2.3", None, true).await, 403);
        // A failsafe request comes from whoever leads, whether its key is there or not.
        assert_eq!(code(&members, "10.1.2.3", None, false).await, 200);
    }

    #[tokio::test]
    async fn the_password_is_asked_for_and_compared() {
        let guarded = access("  authentication: {username: user, password: pass}\n").await;
        assert_eq!(code(&guarded, "10.0.0.1", None, true).await, 401);
        assert_eq!(code(&guarded, "10.0.0.1", Some("Basic dXNlcjpwYXNz"), true).await, 200);
        assert_eq!(code(&guarded, "10.0.0.1", Some("Basic dXNlcjpwYXNzd"), true).await, 401);
        assert_eq!(code(&guarded, "10.0.0.1", Some("Bearer dXNlcjpwYXNz"), true).await, 401);
    }
}
