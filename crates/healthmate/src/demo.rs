//! The demo: people, their care teams, and devices that replay the recordings of `data/`.

mod devices;
mod people;

pub(crate) use devices::start_devices;
pub(crate) use people::{seed, sign_ins};
