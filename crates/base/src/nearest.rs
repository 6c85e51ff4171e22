//! "Did you mean": which of the known names a wrong one was probably meant to be.

/// Returns the name that `text` was probably meant to be, if one is close.
///
/// Close is at most a third of its letters wrong, in the optimal string alignment distance: a
/// letter too many, too few, another, or two swapped count as one.
pub fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    // More than a third of the word wrong is another word.
    let distance_max = (text.chars().count() / 3).max(1);
    let rated = names.into_iter().map(|name| {
        let lower = name.to_lowercase();
        let is_plural = lower.strip_suffix('s') == Some(text.as_str())
            || text.strip_suffix('s') == Some(lower.as_str());
        let distance = strsim::osa_distance(&text, &lower);
        (if is_plural { distance.min(1) } else { distance }, name)
    });
    let best = rated.min_by_key(|(distance, _)| *distance);
    best.filter(|(distance, _)| *distance <= distance_max).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typing_error_finds_its_word_and_another_word_does_not() {
        assert_eq!(nearest("regin", ["region", "orders"]), Some("region"));
        assert_eq!(nearest("REGION", ["region"]), Some("region"));
        assert_eq!(nearest("order", ["border", "orders"]), Some("border"));
        assert_eq!(nearest("something", ["region", "orders"]), None);
        assert_eq!(nearest("", ["region"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
