//! The process around the passes: [`driver`] runs them in turn, `parts` says which, [`signals`] stops and reloads it,
//! [`idle`] says when nothing is left to do, [`heartbeat`] tells watchdogs whether the passes move. With other workers on
//! the same database, [`members`] holds the leases and [`shares`] tells the driver of them.

pub mod driver;
pub mod heartbeat;
pub mod idle;
pub mod members;
mod parts;
pub mod shares;
pub mod signals;
mod written;
