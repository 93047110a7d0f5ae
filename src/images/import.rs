//! An archive of a whole system, given to the engine as an image.

use std::path::Path;

use bollard::body_try_stream;
use bollard::query_parameters::CreateImageOptionsBuilder;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncReadExt;

use super::{BASE, ImageError, RECIPE, STAND_IN};
use crate::engine::Engine;

/// How much is read and sent at once.
const PIECE: usize = 256 << 10;

/// Imports the base system.
pub async fn import(engine: &Engine, archive: &Path, digest: &str) -> Result<(), ImageError> {
    let file = tokio::fs::File::open(archive).await.map_err(ImageError::io("open", archive))?;
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(piece), file)))
    });
    let changes = vec![
        format!("LABEL {STAND_IN}={BASE} {RECIPE}={digest}"),
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "CMD [\"bash\"]".to_owned(),
    ];
    let (repo, tag) = BASE.split_once(':').unwrap_or((BASE, "latest"));
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(repo).tag(tag).changes(changes).build();
    let docker = engine.docker();
    let answers = docker.create_image(Some(options), Some(body_try_stream(pieces)), None).boxed();
    answers.try_for_each(|_| async { Ok(()) }).await.map_err(engine.failed(format!("import {BASE}")))?;
    Ok(())
}
