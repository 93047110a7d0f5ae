//! Compiles the folders `labs/`, `checks/`, `templates/` and `docs/errors/` in: a table of path and content for `lab::library`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("not run by cargo"))?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("not run by cargo"))?);
    let mut files = Vec::new();
    for folder in ["labs", "checks", "templates", "docs/errors"] {
        println!("cargo:rerun-if-changed={folder}");
        if root.join(folder).is_dir() {
            collect(&root.join(folder), &mut files)?;
        }
    }
    files.sort();
    let mut table = String::from("[\n");
    for file in files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?.display().to_string();
        writeln!(table, "    ({name:?}, include_str!({:?})),", file.display().to_string()).map_err(io::Error::other)?;
    }
    fs::write(out.join("library.rs"), table + "]\n")
}

/// Every file below `dir`; hidden ones (editors' and systems' own) are left out.
fn collect(dir: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), into)?,
            false => into.push(entry.path()),
        }
    }
    Ok(())
}
