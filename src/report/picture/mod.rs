//! Pictures: terminal windows, the topology, role lanes, the outage. Every one is a pure function to an [`svg::Svg`].

mod axis;
pub mod compare;
pub mod lanes;
pub mod outage;
pub mod svg;
pub mod terminal;
pub mod topology;
