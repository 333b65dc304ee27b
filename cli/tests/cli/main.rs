//! The command, run as a user runs it, on an installation with a stand-in for the library.

mod fixture;
mod info;
mod run;
mod tree;
