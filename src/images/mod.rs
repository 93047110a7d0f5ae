//! Stand-ins for the official images of a lab, made from Debian packages where no registry can be reached: a base system
//! by mmdebstrap, imported into the engine, and on it what `templates/images/` says, built by the engine.
//!
//! Nothing stays on disk but the engine's images. They carry two labels: `org.labrun.stand-in`, the name that the image
//! was made for, and `org.labrun.recipe`, a digest of everything that it was made from. An image of one of the names is
//! labrun's own only if the first label says that very name: an image built *from* a stand-in inherits the label.

mod base;
mod build;
mod error;
pub mod host;
mod import;
mod list;
mod recipe;
mod remove;
mod scratch;

pub use build::{Built, build};
pub use error::ImageError;
pub use list::{Listed, State, list};
pub use recipe::{BASE, STAND_INS, StandIn};
pub use remove::remove;

/// The name that an image was made for.
pub const STAND_IN: &str = "org.labrun.stand-in";
/// The digest of what it was made from.
const RECIPE: &str = "org.labrun.recipe";
