//! From a lab and a mutant to a lab with the mistake in it, in a folder of its own. Edits are of text, so that a mistake
//! of layout (an indentation that was lost) is one like any other.

use std::path::Path;

use super::{Edit, Mutant};
use crate::lab::Loaded;
use crate::lab::library::LAB_FILE;

/// Write the lab with the mutant's edits into `dir`; or say which edit does not fit.
pub(super) fn write(loaded: &Loaded, mutant: &Mutant, dir: &Path) -> Result<(), String> {
    loaded.library.copy_into(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    keep(&dir.join(LAB_FILE), &loaded.source_text)?;
    for one in &mutant.edits {
        let path = dir.join(&one.file);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // A check of the library that the lab has not changed so far.
            Err(_) => match loaded.library.file(&one.file) {
                Ok(Some(found)) => found.text.clone(),
                Ok(None) => return Err(format!("{} is no file of the lab", one.file)),
                Err(finding) => return Err(finding.message),
            },
        };
        keep(&path, &edited(&text, one)?)?;
    }
    Ok(())
}

/// The text with the edit in it. Where it would change nothing the mutant would be no mutant.
fn edited(text: &str, edit: &Edit) -> Result<String, String> {
    match text.matches(&edit.find).count() {
        0 => Err(format!("{:?} is not in {}", edit.find, edit.file)),
        _ if edit.find == edit.replace => Err(format!("{:?} is replaced by itself", edit.find)),
        _ => Ok(text.replacen(&edit.find, &edit.replace, 1)),
    }
}

fn keep(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    std::fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_changes_nothing_is_told() {
        let edit =
            |find: &str, replace: &str| Edit { file: "lab.yaml".into(), find: find.into(), replace: replace.into() };
        assert_eq!(edited("a: 1\nb: 1\n", &edit("1", "2")).unwrap(), "a: 2\nb: 1\n");
        assert!(edited("a: 1\n", &edit("3", "2")).unwrap_err().contains("is not in lab.yaml"));
        assert!(edited("a: 1\n", &edit("1", "1")).is_err());
    }

    #[test]
    fn every_mutant_of_every_lab_fits_its_lab() {
        let mut seen = 0;
        for lab in crate::lab::library::builtin_labs() {
            let loaded = crate::lab::load(&format!("builtin:{lab}")).unwrap();
            for mutant in super::super::of(&loaded.library).unwrap() {
                let dir = tempfile::tempdir().unwrap();
                write(&loaded, &mutant, dir.path()).unwrap_or_else(|why| panic!("{lab}/{}: {why}", mutant.name));
                seen += 1;
            }
        }
        assert!(seen > 10, "{seen}");
    }
}
