//! OpenSSL's cipher lists (`restapi.ciphers`), as far as the suites of rustls go: forward secret and authenticated
//! ones only. As in OpenSSL, the list is about TLS 1.2; the suites of TLS 1.3 stay.

use rustls::{CipherSuite, SupportedCipherSuite};

/// A suite of TLS 1.2 and the words by which OpenSSL's lists may mean it; the first one is its name.
const SUITES: &[(CipherSuite, &[&str])] = &[
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        &["ECDHE-ECDSA-AES256-GCM-SHA384", "aECDSA", "ECDSA", "AES", "AES256", "AESGCM", "SHA384"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        &["ECDHE-ECDSA-AES128-GCM-SHA256", "aECDSA", "ECDSA", "AES", "AES128", "AESGCM", "SHA256"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        &["ECDHE-ECDSA-CHACHA20-POLY1305", "aECDSA", "ECDSA", "CHACHA20"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        &["ECDHE-RSA-AES256-GCM-SHA384", "aRSA", "AES", "AES256", "AESGCM", "SHA384"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        &["ECDHE-RSA-AES128-GCM-SHA256", "aRSA", "AES", "AES128", "AESGCM", "SHA256"],
    ),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, &["ECDHE-RSA-CHACHA20-POLY1305", "aRSA", "CHACHA20"]),
];

/// What all of them are.
const COMMON: &[&str] = &["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "FIPS"];

/// Keeps the suites that `list` means.
pub(super) fn keep(suites: &mut Vec<SupportedCipherSuite>, list: &str) {
    let wanted = wanted(list);
    let is_old = |suite: CipherSuite| SUITES.iter().any(|(known, _)| *known == suite);
    suites.retain(|suite| !is_old(suite.suite()) || wanted.contains(&suite.suite()));
}

fn wanted(list: &str) -> Vec<CipherSuite> {
    let (mut wanted, mut never) = (Vec::new(), Vec::new());
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty() && !word.starts_with('@')) {
        let meant = |word: &str| {
            let is = |words: &[&str]| word.split('+').all(|part| COMMON.contains(&part) || words.contains(&part));
            SUITES.iter().filter(|(_, words)| is(words)).map(|(suite, _)| *suite).collect::<Vec<_>>()
        };
        match word.split_at(1) {
            ("!", word) => never.extend(meant(word)),
            ("-", word) => wanted.retain(|suite| !meant(word).contains(suite)),
            ("+", _) => {}
            _ => wanted.extend(meant(word)),
        }
    }
    wanted.retain(|suite| !never.contains(suite));
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_suites_by_name_by_kind_and_by_exclusion() {
        let count = |list: &str| {
            let mut names = wanted(list);
            names.sort_by_key(|suite| u16::from(*suite));
            names.dedup();
            names.len()
        };
        assert_eq!(count("ECDHE-RSA-AES256-GCM-SHA384"), 1);
        assert_eq!(count("ECDHE+AESGCM:!aNULL:!MD5"), 4);
        assert_eq!(count("HIGH:!aRSA"), 3);
        assert_eq!(count("ALL:-CHACHA20"), 4);
        assert_eq!(count("AES256-SHA:RC4"), 0);
        let mut suites = super::super::provider().cipher_suites.clone();
        let new = suites.len() - SUITES.len();
        keep(&mut suites, "ECDHE-ECDSA-CHACHA20-POLY1305:@STRENGTH");
        assert_eq!(suites.len(), new + 1);
    }
}
