//! The process around the passes: [`driver`] runs them in turn, [`signals`] stops and reloads it, [`idle`] says
//! when nothing is left to do, [`heartbeat`] tells watchdogs whether the passes move.

pub mod driver;
pub mod heartbeat;
pub mod idle;
pub mod signals;
mod written;
