//! The project files.
