//! The certificates that this machine trusts beyond those that every Debian system trusts: a school's, a company's.

use std::collections::BTreeSet;
use std::path::Path;

use super::Host;

/// The bundles that programs are told to use, and the system's own.
const BUNDLES: [&str; 4] = ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where an administrator lays further ones on Debian.
const OWN: &str = "/usr/local/share/ca-certificates";
/// Where the package with the usual ones lays them.
const USUAL: &str = "/usr/share/ca-certificates/mozilla";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Each certificate of its own, in PEM, without the usual ones.
pub fn own(host: &Host) -> Vec<String> {
    let told = BUNDLES.iter().filter_map(|name| host.var(name));
    let bundles: BTreeSet<&str> = told.chain([SYSTEM]).collect();
    let mut trusted: BTreeSet<String> =
        bundles.iter().flat_map(|path| pems(&host.text(path).unwrap_or_default())).collect();
    trusted.extend(below(&host.path(OWN)));
    let usual = below(&host.path(USUAL));
    trusted.into_iter().filter(|pem| !usual.contains(pem)).collect()
}

/// The certificates of every file below a folder.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(below(&path)),
            false => found.extend(pems(&std::fs::read_to_string(&path).unwrap_or_default())),
        }
    }
    found
}

fn pems(text: &str) -> Vec<String> {
    let bodies = text.split(BEGIN).skip(1).filter_map(|rest| Some(rest.split_once(END)?.0));
    let lines = |body: &str| body.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    bodies.map(|body| format!("{BEGIN}\n{}\n{END}\n", lines(body))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::host;
    use super::*;

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    #[test]
    fn only_what_is_trusted_beyond_the_usual_is_handed_in_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let (usual, school, told) = (pem("usual"), pem("school"), pem("told"));
        let system = format!("{usual}\r\n{school}");
        let files = [
            ("usr/share/ca-certificates/mozilla/A.crt", usual.as_str()),
            ("usr/local/share/ca-certificates/school/x.crt", &school),
            ("etc/ssl/certs/ca-certificates.crt", &system),
            ("opt/bundle.pem", &told),
        ];
        let found = own(&host(dir.path(), &files, &[("SSL_CERT_FILE", "/opt/bundle.pem")]));
        assert_eq!(found, [school.clone(), told.clone()]);
        assert!(own(&host(&dir.path().join("none"), &[("x", "")], &[])).is_empty());
    }
}
