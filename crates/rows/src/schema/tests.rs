//! Schemas and casts.
