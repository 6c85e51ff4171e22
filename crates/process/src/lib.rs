//! Rows in motion.
