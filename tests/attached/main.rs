//! Somebody else's cluster: the reference report's own project, and twelve of its variants with one mistake each, started
//! with docker-compose on stand-in images, attached to and verified by the real `labrun`.
//!
//! The twelve are looked at without an engine in every run, and the most telling of them live. All of them live, with a
//! table of what was said: `make attached`.

mod live;
mod project;
#[path = "../common/said.rs"]
mod said;
mod told;
mod variants;
