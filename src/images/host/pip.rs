//! pip's settings, where they say from where packages come.

use std::path::Path;

use super::{Host, WHEELS, read};
use crate::images::ImageError;

/// The settings that matter in an image, as pip's files name them.
const KEPT: [&str; 9] = [
    "index-url",
    "extra-index-url",
    "trusted-host",
    "no-index",
    "find-links",
    "proxy",
    "timeout",
    "default-timeout",
    "retries",
];
/// The bundle of an image, which has the handed-in certificates too.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `/etc/pip.conf` for the image, and the packages of local folders that the settings name.
pub fn config(host: &Host, certificates: bool) -> Result<Vec<(String, Vec<u8>)>, ImageError> {
    let mut settings = of_files(host);
    for (name, value) in &host.env {
        if let Some(name) = name.strip_prefix("PIP_") {
            set(&mut settings, &name.to_lowercase().replace('_', "-"), value);
        }
    }
    let mut files = Vec::new();
    let mut text = String::from("[global]\n");
    for (name, value) in &mut settings {
        if name == "find-links" {
            *value = links(host, value, &mut files)?;
        }
        if !value.is_empty() {
            text += &format!("{name} = {value}\n");
        }
    }
    if certificates {
        text += &format!("cert = {BUNDLE}\n");
    }
    if text.lines().count() > 1 {
        files.push(("etc/pip.conf".to_owned(), text.into_bytes()));
    }
    Ok(files)
}

/// The settings of pip's files, a later file over an earlier one.
fn of_files(host: &Host) -> Vec<(String, String)> {
    let home = host.var("HOME").unwrap_or("/nonexistent");
    let usual = [
        "/etc/xdg/pip/pip.conf".to_owned(),
        "/etc/pip.conf".to_owned(),
        format!("{home}/.pip/pip.conf"),
        format!("{home}/.config/pip/pip.conf"),
    ];
    let mut settings = Vec::new();
    for path in usual.iter().map(String::as_str).chain(host.var("PIP_CONFIG_FILE")) {
        for (name, value) in parsed(&host.text(path).unwrap_or_default()) {
            set(&mut settings, &name, &value);
        }
    }
    settings
}

fn set(settings: &mut Vec<(String, String)>, name: &str, value: &str) {
    if KEPT.contains(&name) {
        settings.retain(|(there, _)| there != name);
        settings.push((name.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
}

/// The settings for every command and for `install`. A value may go on in lines that begin with a space.
fn parsed(text: &str) -> Vec<(String, String)> {
    let (mut wanted, mut settings) = (false, Vec::<(String, String)>::new());
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
        if let Some(section) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            wanted = ["global", "install"].contains(&section);
        } else if line.starts_with([' ', '\t']) {
            if let (true, Some((_, value))) = (wanted, settings.last_mut()) {
                *value += &format!(" {}", line.trim());
            }
        } else if let (true, Some((name, value))) = (wanted, line.split_once(['=', ':'])) {
            settings.push((name.trim().to_lowercase().replace('_', "-"), value.trim().to_owned()));
        }
    }
    settings
}

/// Links as the image has them: folders of this machine are handed in, and an empty one is left out.
fn links(host: &Host, value: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<String, ImageError> {
    let mut kept: Vec<&str> = Vec::new();
    let inside = format!("/{WHEELS}");
    for link in value.split_whitespace() {
        if link.contains("://") && !link.starts_with("file://") {
            kept.push(link);
            continue;
        }
        let folder = link.strip_prefix("file://").unwrap_or(link);
        let packages: Vec<_> = host.listed(folder).into_iter().filter(|path| is_package(path)).collect();
        if !packages.is_empty() && !kept.contains(&inside.as_str()) {
            kept.push(&inside);
        }
        for path in packages {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((format!("{WHEELS}/{name}"), read(&path)?));
        }
    }
    Ok(kept.join(" "))
}

fn is_package(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".whl") || name.ends_with(".tar.gz")
}

#[cfg(test)]
mod tests {
    use super::super::testing::host;
    use super::*;

    fn text(files: &[(String, Vec<u8>)]) -> String {
        let file = files.iter().find(|(path, _)| path == "etc/pip.conf");
        file.map(|(_, content)| String::from_utf8(content.clone()).unwrap()).unwrap_or_default()
    }

    #[test]
    fn settings_say_where_packages_come_from_and_the_environment_has_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let files = [(
            "etc/pip.conf",
            "[global]\nindex-url = https://one/simple\ncert = /etc/here.pem\nextra-index-url =\n  https://a\n  https://b\n\
             [list]\nformat = json\n[install]\ntrusted-host: one\n",
        )];
        let env = [("PIP_INDEX_URL", "https://two/simple"), ("PIP_NO_CACHE_DIR", "1")];
        let made = config(&host(dir.path(), &files, &env), true).unwrap();
        assert_eq!(
            text(&made),
            "[global]\nextra-index-url = https://a https://b\ntrusted-host = one\nindex-url = https://two/simple\n\
             cert = /etc/ssl/certs/ca-certificates.crt\n"
        );
    }

    #[test]
    fn packages_of_a_folder_are_handed_in_and_an_empty_folder_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = [("opt/wheels/p-1-py3-none-any.whl", "w"), ("opt/wheels/readme", "r"), ("opt/empty/readme", "")];
        let with = |folders: &str| config(&host(dir.path(), &files, &[("PIP_FIND_LINKS", folders)]), false).unwrap();
        let made = with("/opt/wheels https://x/links /opt/empty");
        assert_eq!(made[0], (format!("{WHEELS}/p-1-py3-none-any.whl"), b"w".to_vec()));
        assert_eq!(text(&made), format!("[global]\nfind-links = /{WHEELS} https://x/links\n"));
        assert_eq!(with("/opt/empty"), []);
    }
}
