//! Columns that folders say: `year=2024/month=01`.

/// The columns that the folders of a path say: `year=2024/month=01`.
pub fn partitions(path: &str) -> Vec<(String, Option<String>)> {
    let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
    folder.split('/').filter_map(partition).collect()
}

/// The column that a folder says.
pub fn partition(part: &str) -> Option<(String, Option<String>)> {
    let (name, value) = part.split_once('=')?;
    let is_name = !name.is_empty()
        && name.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '-'));
    let value =
        (value != "__HIVE_DEFAULT_PARTITION__" && !value.is_empty()).then(|| decoded(value));
    is_name.then(|| (name.to_owned(), value))
}

/// Undoes `%3A` and its like, as writers of partitions do them.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|it| std::str::from_utf8(it).ok());
        match hex.and_then(|it| u8::from_str_radix(it, 16).ok()).filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
