//! Types from sampled values, with the evidence for each.
//!
//! ```text
//! cells ──► Profile (counts per way of writing, merged over files) ──► Guess (type, form, evidence)
//! ```
//!
//! A [`Profile`] only counts: how often a column's values are written in which way, with examples
//! and their places. A [`Guess`] is a pure function of it: the narrowest type of the language that
//! holds for what was seen, and the values that it does not hold for, by name. Profiles of several
//! files add up, so that a table of many files has one guess and all its evidence.

mod form;
mod guess;
mod moments;
mod profile;

pub use self::form::Form;
pub(crate) use self::form::looks_like_a_value;
pub use self::guess::{DateOrder, Evidence, Exception, Guess};
pub use self::moments::Order;
pub use self::profile::{Cell, Distinct, Place, Profile};

#[cfg(test)]
mod tests;
