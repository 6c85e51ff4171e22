//! What statements may change: files in buckets, and tables of the project.

use async_trait::async_trait;

use crate::asker::Asker;
use crate::engine::Answer;
use crate::error::SqlError;

/// Does what a statement changes. Whoever implements it decides where, and refuses the rest.
#[async_trait]
pub trait Changes: Send + Sync {
    /// Returns an error if the target cannot be written: before the question is asked.
    ///
    /// # Errors
    /// When nothing may be written there; the message says what may.
    async fn check_file(&self, target: &FileTarget) -> Result<(), SqlError>;

    /// Writes all rows of an answer into a file, which is there whole or not at all, and returns how
    /// many they were. When the future is dropped nothing is left.
    ///
    /// # Errors
    /// When nothing may be written there, the question fails, or the disk is full.
    async fn write_file(&self, target: &FileTarget, answer: Answer) -> Result<u64, SqlError>;

    /// Makes a table of the project that is kept up to date from now on, and returns what is worth
    /// telling. It is made or not, whatever becomes of the future.
    ///
    /// # Errors
    /// When the name is taken, the SELECT does not pass, or the project cannot be changed.
    async fn create_table(&self, asker: &Asker, table: NewTable) -> Result<String, SqlError>;

    /// Drops tables that [`Changes::create_table`] made, and returns what is worth telling.
    ///
    /// # Errors
    /// When one is not there or was not made so, others read it, or the project cannot be changed.
    async fn drop_tables(&self, names: Vec<String>, if_exists: bool) -> Result<String, SqlError>;
}

/// Where a `COPY … TO` writes, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// `BUCKET/PATH`.
    pub path: String,
    /// The format, if it is said; else the end of the name tells it.
    pub form: Option<FileForm>,
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// Parquet.
    Parquet,
    /// CSV with a line of names.
    Csv,
    /// One JSON object a line.
    Json,
}

/// A table that a statement makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Its name.
    pub name: String,
    /// Its SELECT, as it was written.
    pub select: String,
    /// Its settings as `WITH (…)` says them, values in TOML.
    pub settings: Vec<(String, String)>,
    /// Whether it takes the place of one that was made so.
    pub or_replace: bool,
    /// Whether nothing is done if there is one.
    pub if_not_exists: bool,
}
