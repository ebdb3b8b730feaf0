//! Reading the log through a real kernel on the embedded database.

mod erasing;
mod house;
mod reading;
mod searching;
