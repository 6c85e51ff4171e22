//! How fast the journal writes, beside a bare loop of write and sync on the same disk.
