//! The C interface from outside: headers and libraries as `make` lays them out, and C and C++ programs
//! that use them.

mod dist;
mod exports;
mod headers;
mod install;
mod languages;
mod life;
mod neighbours;
mod order;
