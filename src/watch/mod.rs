//! From what policies want to the objects of the cluster.
//!
//! In: the published policies and the kinds that the API server serves. Out: object events to the judge, and
//! one honest state for each selection and the warnings of each policy on the [`Board`]. `app` starts it; recorders read the board.
//!
//! Intent and reality are separate: [`interest`] says which watches are wanted, [`manager`] compares them with
//! those that run, [`stream`] is one of them. [`schemas`] reads what the selected kinds look like and checks the
//! policies against it.

pub mod access;
pub mod board;
pub mod catalog;
pub mod discovery;
pub mod interest;
pub mod kept;
pub mod manager;
pub mod metadata;
pub mod object;
pub mod schemas;
pub mod stream;
pub mod transport;

pub use board::{Board, SelectionState};
pub use catalog::Catalog;
