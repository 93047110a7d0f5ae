//! Removing labrun's own images, and no others.

use bollard::query_parameters::RemoveImageOptionsBuilder;

use super::list::{Known, known};
use super::{BASE, ImageError, STAND_INS, scratch};
use crate::engine::{Engine, EngineError};

/// Removes every stand-in, and the base last; says which were there. One that a container uses stays, and is an error.
pub async fn remove(engine: &Engine) -> Result<Vec<String>, ImageError> {
    let _turn = scratch::turn(|| ()).await?;
    let mut removed = Vec::new();
    for image in STAND_INS.iter().map(|one| one.image).chain([BASE]) {
        if !matches!(known(engine, image).await?, Known::Ours { .. }) {
            continue;
        }
        let options = RemoveImageOptionsBuilder::new().force(false).noprune(false).build();
        let answer = engine.docker().remove_image(image, Some(options), None).await;
        match answer.map_err(engine.failed(format!("remove the image {image}"))) {
            Ok(_) => removed.push(image.to_owned()),
            Err(EngineError::Refused { status: 409, why, .. }) => {
                return Err(ImageError::InUse { image: image.to_owned(), why });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(removed)
}
