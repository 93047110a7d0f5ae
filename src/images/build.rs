//! Building what is not there yet, or was made from something else.

use std::collections::{HashMap, VecDeque};

use bollard::body_full;
use bollard::query_parameters::{BuildImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::StreamExt;

use super::host::Host;
use super::list::{Known, known};
use super::recipe::{base_digest, is_program};
use super::{BASE, ImageError, RECIPE, STAND_IN, STAND_INS, StandIn, base, import, scratch};
use crate::deploy::Progress;
use crate::engine::Engine;

/// How many lines of a build are kept to explain its failure.
const KEPT: usize = 25;

/// What became of one image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Built {
    /// The image.
    pub image: String,
    /// Whether it was built; it is up to date otherwise.
    pub built: bool,
}

/// The last lines that something printed.
#[derive(Debug, Default)]
pub struct Last(VecDeque<String>);

impl Last {
    /// One more line.
    pub fn keep(&mut self, line: &str) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    /// All that is kept.
    pub fn text(&self) -> String {
        self.0.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// Makes every stand-in that is not up to date. `force` takes the names of images that are not labrun's, too.
pub async fn build(engine: &Engine, force: bool, progress: &dyn Progress) -> Result<Vec<Built>, ImageError> {
    let _turn = scratch::turn(|| progress.stage("another labrun builds images: waiting for its end")).await?;
    let host = Host::this().gather()?;
    same_architecture(engine).await?;
    let base_digest = base_digest(&host);
    let mut wanted = Vec::new();
    for one in STAND_INS {
        let there = known(engine, one.image).await?;
        if let (Known::Foreign, false) = (&there, force) {
            return Err(ImageError::Foreign { image: one.image.to_owned() });
        }
        wanted.push((one, one.digest(&base_digest), there));
    }
    let stale = wanted.iter().any(|(_, digest, there)| !there.is(digest));
    let there = known(engine, BASE).await?;
    let mut done = vec![Built { image: BASE.to_owned(), built: stale && !there.is(&base_digest) }];
    if done[0].built {
        make_base(engine, &host, &base_digest, progress).await?;
        drop_former(engine, &there).await;
    }
    for (one, digest, there) in wanted {
        let built = !there.is(&digest);
        if built {
            progress.stage(&format!("building {} ({})", one.image, one.inside));
            build_one(engine, &one, &digest, progress).await?;
            drop_former(engine, &there).await;
        }
        done.push(Built { image: one.image.to_owned(), built });
    }
    Ok(done)
}

async fn make_base(
    engine: &Engine,
    host: &super::host::HandedIn,
    digest: &str,
    progress: &dyn Progress,
) -> Result<(), ImageError> {
    progress.stage(&format!("making {BASE} (Debian by mmdebstrap)"));
    let scratch = scratch::Scratch::new()?;
    let archive = base::make(host, scratch.path(), progress).await?;
    progress.waiting("importing it into the engine");
    import::import(engine, &archive, digest).await
}

async fn build_one(engine: &Engine, one: &StandIn, digest: &str, progress: &dyn Progress) -> Result<(), ImageError> {
    let labels = HashMap::from([(STAND_IN, one.image), (RECIPE, digest)]);
    let options = BuildImageOptionsBuilder::new().t(one.image).rm(true).forcerm(true).labels(&labels).build();
    let context = context(one).map_err(ImageError::io("pack", one.image))?;
    let mut last = Last::default();
    let mut stream = engine.docker().build_image(options, None, Some(body_full(context.into())));
    while let Some(told) = stream.next().await {
        match told {
            Ok(told) => {
                for line in told.stream.as_deref().unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
                    last.keep(line);
                    progress.waiting(line);
                }
            }
            Err(bollard::errors::Error::DockerStreamError { error }) => {
                return Err(ImageError::Build { image: one.image.to_owned(), why: error, last: last.text() });
            }
            Err(error) => return Err(engine.failed(format!("build {}", one.image))(error).into()),
        }
    }
    Ok(())
}

/// What the engine builds from, as a tar archive.
fn context(one: &StandIn) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in one.files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        // The same mode and time at every build: the engine's cache looks at them.
        header.set_mode(if is_program(text.as_bytes()) { 0o755 } else { 0o644 });
        header.set_mtime(0);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.into_inner()
}

/// What was made for the name before and is labrun's own has no name any more: it goes, unless something uses it.
async fn drop_former(engine: &Engine, former: &Known) {
    if let Known::Ours { id, .. } = former {
        let options = RemoveImageOptionsBuilder::new().force(false).noprune(false).build();
        let _ = engine.docker().remove_image(id, Some(options), None).await;
    }
}

async fn same_architecture(engine: &Engine) -> Result<(), ImageError> {
    let version = engine.docker().version().await.map_err(engine.failed("tell its version"))?;
    let here = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match version.arch {
        Some(arch) if arch != here => Err(ImageError::Architecture { engine: arch, here: here.to_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut last = Last::default();
        (0..30).for_each(|number| last.keep(&format!("line {number}")));
        let text = last.text();
        assert!(text.starts_with("  line 5\n") && text.ends_with("line 29"), "{text}");
    }

    #[test]
    fn the_context_has_every_file_and_its_programs_can_be_executed() {
        for one in STAND_INS {
            let packed = context(&one).unwrap();
            assert_eq!(packed, context(&one).unwrap());
            let mut archive = tar::Archive::new(packed.as_slice());
            let modes: Vec<_> = archive
                .entries()
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap()))
                .collect();
            assert_eq!(modes.len(), one.files().len());
            assert!(modes.contains(&("Dockerfile".to_owned(), 0o644)), "{modes:?}");
            assert!(modes.iter().any(|(_, mode)| *mode == 0o755), "{modes:?}");
        }
    }
}
