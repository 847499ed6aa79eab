//! Puts a server under load and measures it.
//!
//! The load comes from one thread with sockets of its own (`net`), so that it costs little beside the server. Where
//! there are two cores, the server has one and the load the other (`process`). Each load is a file under `scenario/`.

mod clock;
mod door;
mod frame;
mod house;
mod leftovers;
mod measure;
mod net;
mod people;
mod process;
mod report;
mod scenario;
mod stage;
mod statistics;
mod target;
mod visitor;

pub(crate) use house::Site;
pub(crate) use leftovers::clear_away;
pub(crate) use process::Cores;
pub(crate) use report::{Line, Progress, tables};
pub(crate) use scenario::{Bench, Scenario};
pub(crate) use target::{Class, Peer};
