//! Values that must not be printed.

use std::fmt;
use std::sync::Arc;

/// A value that may hold a password: it has no way to be printed but [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Hides `text`.
    pub fn new(text: &str) -> Secret {
        Secret(Arc::from(text))
    }

    /// Returns the value, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Stands in for a secret that is not set, where none is needed (`check`, `test`): pass it to
/// `load` behind the real source, `&|name| real(name).or_else(|| spec::placeholder(name))`.
pub fn placeholder(name: &str) -> Option<String> {
    Some(format!("${{{name}}}"))
}
