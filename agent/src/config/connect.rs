//! How a user of PostgreSQL connects, beside name and password: libpq's options as `authentication:` gives them.

use indexmap::IndexMap;

/// What may be set, in the order in which Patroni writes connection strings.
pub const CONNECT_OPTIONS: [&str; 10] = [
    "sslmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "gssencmode",
    "channel_binding",
    "sslnegotiation",
];

/// The one that is a secret.
const SECRET: &str = "sslpassword";

/// The options of a user that are set. `Debug` does not show the password of the key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConnectOptions(IndexMap<&'static str, String>);

impl ConnectOptions {
    /// What `read` says of each option; one that is empty says nothing.
    pub(super) fn new<E>(mut read: impl FnMut(&str) -> Result<Option<String>, E>) -> Result<ConnectOptions, E> {
        let mut options = IndexMap::new();
        for name in CONNECT_OPTIONS {
            options.extend(read(name)?.filter(|value| !value.is_empty()).map(|value| (name, value)));
        }
        Ok(ConnectOptions(options))
    }

    /// As [`ConnectOptions::new`], of a source that is never wrong.
    pub fn of(mut read: impl FnMut(&str) -> Option<String>) -> ConnectOptions {
        ConnectOptions::new(|name| Ok::<_, std::convert::Infallible>(read(name))).unwrap_or_default()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All but the password of the key.
    pub fn public(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter(|(name, _)| **name != SECRET).map(|(name, value)| (*name, value.as_str()))
    }

    /// The password of the key (`sslkey`).
    pub fn key_password(&self) -> Option<&str> {
        self.get(SECRET)
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.public()).finish()
    }
}
