//! Names of files as patterns: what stays and what is a date, a number or an id.

use rows::files::partition;

/// What a path says about the table that its file may be part of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    /// The folder, with `*` for its numbers and for the values of partitions.
    pub(crate) folder: String,
    /// The name, with `*` for its numbers and ids, without the endings.
    pub(crate) stem: String,
}

impl Pattern {
    pub(crate) fn of(path: &str) -> Pattern {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let folder: Vec<String> = folder
            .split('/')
            .map(|it| {
                partition(it).map_or_else(|| without_numbers(it), |(name, _)| format!("{name}=*"))
            })
            .collect();
        Pattern { folder: folder.join("/"), stem: without_numbers(stem(file)) }
    }
}

/// Returns the name of a file without its endings, of which there may be two: `.csv.gz`.
pub(crate) fn stem(file: &str) -> &str {
    let mut stem = file;
    for _ in 0..3 {
        match stem.rsplit_once('.') {
            Some((before, ending)) if !before.is_empty() && is_ending(ending) => stem = before,
            _ => break,
        }
    }
    stem
}

/// Leaves out a date or a number that stands apart at the end: `orders_2024-01-05` is of `orders`.
pub(crate) fn without_last_number(stem: &str) -> &str {
    let mut kept = stem;
    loop {
        let before = kept.trim_end_matches(|it: char| it.is_ascii_digit());
        let word = before.trim_end_matches(['_', '-', '.', ' ']);
        if before.len() == kept.len() || word.len() == before.len() || word.is_empty() {
            return kept;
        }
        kept = word;
    }
}

fn is_ending(ending: &str) -> bool {
    let is_short = (1..=8).contains(&ending.len());
    is_short
        && ending.bytes().all(|it| it.is_ascii_alphanumeric())
        && !ending.bytes().all(|it| it.is_ascii_digit())
}

/// Puts `*` for numbers, and for words that are ids.
fn without_numbers(text: &str) -> String {
    let text = without_uuids(text);
    let mut out = String::new();
    for word in text.split_inclusive(['-', '_', '.', ' ']) {
        let (core, separator) = match word.char_indices().next_back() {
            Some((at, '-' | '_' | '.' | ' ')) => word.split_at(at),
            _ => (word, ""),
        };
        if is_id(core) {
            out.push('*');
        } else {
            let mut was_digit = false;
            for sign in core.chars() {
                if !sign.is_ascii_digit() {
                    out.push(sign);
                } else if !was_digit {
                    out.push('*');
                }
                was_digit = sign.is_ascii_digit();
            }
        }
        out.push_str(separator);
    }
    // `2024-01-05` is one date.
    for separator in ["*-*", "*_*", "*.*", "* *"] {
        while out.contains(separator) {
            out = out.replace(separator, "*");
        }
    }
    out
}

/// Puts `0` for each UUID, so that it is a number like others.
fn without_uuids(text: &str) -> String {
    const LENGTH: usize = 36;
    let is_uuid = |it: &[u8]| {
        it.len() == LENGTH
            && it.iter().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        if rest.as_bytes().get(..LENGTH).is_some_and(is_uuid) {
            out.push('0');
            rest = rest.get(LENGTH..).unwrap_or_default();
        } else {
            out.push(sign);
            rest = rest.get(sign.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// Whether a word is made by a program: a hash, or letters and digits in turn.
fn is_id(word: &str) -> bool {
    let has_digit = word.bytes().any(|it| it.is_ascii_digit());
    let is_hex = word.bytes().all(|it| it.is_ascii_hexdigit());
    let turns = word
        .as_bytes()
        .windows(2)
        .filter(|it| matches!(it, [a, b] if a.is_ascii_digit() != b.is_ascii_digit()))
        .count();
    (is_hex && 8 <= word.len() && has_digit) || (10 <= word.len() && 4 <= turns)
}

/// Returns the pattern that all of `paths` follow, as close to them as `*` allows.
pub(crate) fn common<'a>(mut paths: impl Iterator<Item = &'a str>) -> String {
    let Some(first) = paths.next() else { return String::new() };
    let mut common: Vec<String> = first.split('/').map(str::to_owned).collect();
    let mut is_one = true;
    for path in paths {
        let parts: Vec<&str> = path.split('/').collect();
        if is_one {
            // The next file may lie in the folder of another day.
            let folders = common.len() - 1;
            for folder in common.iter_mut().take(folders) {
                *folder = of_days(folder);
            }
            is_one = false;
        }
        if parts.len() != common.len() {
            // Folders of different depths: the last part says what is alike.
            let last =
                merged(common.last().map_or("", String::as_str), parts.last().unwrap_or(&""));
            common = vec!["**".to_owned(), last];
            continue;
        }
        let folders = parts.len() - 1;
        for (index, (known, part)) in common.iter_mut().zip(parts).enumerate() {
            let part = if index < folders { of_days(part) } else { part.to_owned() };
            if *known != part {
                *known = merged(known, &part);
            }
        }
    }
    common.join("/")
}

/// A folder that is a number or the value of a partition stands for others like it.
fn of_days(folder: &str) -> String {
    if let Some((name, _)) = partition(folder) {
        return format!("{name}=*");
    }
    let is_number = folder.chars().all(|it| it.is_ascii_digit() || matches!(it, '-' | '_' | '.'));
    if is_number { "*".to_owned() } else { folder.to_owned() }
}

/// The words that two texts begin and end with, and `*` between.
fn merged(a: &str, b: &str) -> String {
    if a == b {
        return a.to_owned();
    }
    let (a_begin, a_end) = a.split_once('*').map_or((a, a), |(begin, rest)| {
        (begin, rest.rsplit_once('*').map_or(rest, |(_, end)| end))
    });
    let begin: String =
        a_begin.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect();
    let end: String = {
        let (x, y) = (a_end.chars().rev(), b.chars().rev());
        let shared: Vec<char> = x.zip(y).take_while(|(x, y)| x == y).map(|(x, _)| x).collect();
        shared.into_iter().rev().collect()
    };
    let cuts = |text: &str, at: usize| {
        let next = text.get(at..).and_then(|it| it.chars().next());
        next.is_some_and(char::is_alphanumeric)
    };
    let is_inside = cuts(a_begin, begin.len()) || cuts(b, begin.len());
    let begin = trim_begin(&begin, is_inside);
    let before = |text: &str| {
        let at = text.len().checked_sub(end.len());
        let last = at.and_then(|it| text.get(..it)).and_then(|it| it.chars().next_back());
        last.is_some_and(char::is_alphanumeric)
    };
    let is_inside = before(a_end) || before(b);
    let end = trim_end(&end, is_inside);
    let room = a.len().min(b.len());
    let end = if room < begin.len() + end.len() { "" } else { end };
    format!("{begin}*{end}")
}

/// Leaves out the word that the end cuts, and the parts of a date before it.
fn trim_begin(text: &str, is_inside: bool) -> &str {
    let mut kept = text;
    if is_inside {
        let digits = kept.trim_end_matches(|it: char| it.is_ascii_digit());
        kept = if digits.len() < kept.len() {
            digits
        } else {
            kept.trim_end_matches(char::is_alphabetic)
        };
    }
    while let Some(before) = kept.strip_suffix(['-', '_', '.']) {
        let rest = before.trim_end_matches(|it: char| it.is_ascii_digit());
        if rest.len() == before.len() {
            break;
        }
        kept = rest;
    }
    kept
}

/// Leaves out the word that the begin cuts, and the parts of a date after it.
fn trim_end(text: &str, is_inside: bool) -> &str {
    let mut kept = text;
    if is_inside {
        let digits = kept.trim_start_matches(|it: char| it.is_ascii_digit());
        kept = if digits.len() < kept.len() {
            digits
        } else {
            kept.trim_start_matches(char::is_alphabetic)
        };
    }
    while let Some(after) = kept.strip_prefix(['-', '_']) {
        let rest = after.trim_start_matches(|it: char| it.is_ascii_digit());
        if rest.len() == after.len() {
            break;
        }
        kept = rest;
    }
    kept
}
