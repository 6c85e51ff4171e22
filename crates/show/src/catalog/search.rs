//! Finds entries by the words of somebody who does not know their names.
//!
//! A word fits another if it begins it, whatever the case, accents of the plural aside; all words
//! must be found somewhere in an entry. Names count more than tags and layers, those more than
//! descriptions and columns. A misspelt word still finds what is one letter off.

use serde::{Deserialize, Serialize};

use super::{Brief, Catalog, Entry};

/// An entry that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// What is told of it.
    #[serde(flatten)]
    pub brief: Brief,
    /// Where the words were found: `name`, `tags`, `columns: region, total` …
    pub found_in: Vec<String>,
    /// How well it fits, for the order.
    pub score: u32,
}

/// How much a word counts where it is found.
const NAME: u32 = 100;
const LABEL: u32 = 40;
const DESCRIPTION: u32 = 20;
const COLUMN: u32 = 15;
const ABOUT_COLUMN: u32 = 10;
const BESIDE: u32 = 5;
/// What is left of that if the word only begins the other, or is one letter off.
const BEGINS: u32 = 2;
const MISSPELT: u32 = 5;

/// Returns the entries in which all words are found, the best first; all entries if there are none.
pub(crate) fn search(catalog: &Catalog, words: &str) -> Vec<Hit> {
    let wanted = words_of(words);
    let mut hits: Vec<Hit> = catalog.entries.iter().filter_map(|it| hit(it, &wanted)).collect();
    hits.sort_by(|one, other| {
        let by_score = other.score.cmp(&one.score);
        by_score.then_with(|| one.brief.name.cmp(&other.brief.name))
    });
    hits
}

/// A part of an entry that is searched.
struct Part {
    name: &'static str,
    weight: u32,
    words: Vec<String>,
    /// What is told of where it was found.
    told: String,
}

fn hit(entry: &Entry, wanted: &[String]) -> Option<Hit> {
    let parts = parts(entry);
    let mut score = 0;
    let mut found: Vec<(&Part, String)> = Vec::new();
    for word in wanted {
        let best =
            parts.iter().filter_map(|it| Some((score_in(it, word)?, it))).max_by_key(|it| it.0);
        let (points, _) = best?;
        score += points;
        for part in parts.iter().filter(|it| score_in(it, word).is_some()) {
            if found.iter().all(|(it, told)| it.name != part.name || *told != part.told) {
                found.push((part, part.told.clone()));
            }
        }
    }
    Some(Hit { brief: entry.brief.clone(), found_in: told(&found), score })
}

fn told(found: &[(&Part, String)]) -> Vec<String> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for (part, told) in found {
        match all.iter_mut().find(|(name, _)| *name == part.name) {
            Some((_, more)) => more.push(told),
            None => all.push((part.name, vec![told])),
        }
    }
    let line = |(name, told): &(&str, Vec<&str>)| {
        let told: Vec<&str> = told.iter().copied().filter(|it| !it.is_empty()).collect();
        if told.is_empty() { (*name).to_owned() } else { format!("{name}: {}", told.join(", ")) }
    };
    all.iter().map(line).collect()
}

fn parts(entry: &Entry) -> Vec<Part> {
    let part = |name, weight, text: &str, told: &str| Part {
        name,
        weight,
        words: words_of(text),
        told: told.to_owned(),
    };
    let brief = &entry.brief;
    let mut parts = vec![
        part("name", NAME, &brief.name, ""),
        part("kind", BESIDE, brief.kind.word(), ""),
        part("description", DESCRIPTION, brief.description.as_deref().unwrap_or_default(), ""),
        part("owner", LABEL, brief.owner.as_deref().unwrap_or_default(), ""),
        part("layer", LABEL, brief.layer.as_deref().unwrap_or_default(), ""),
    ];
    parts.extend(brief.tags.iter().map(|it| part("tags", LABEL, it, it)));
    for it in &entry.columns {
        let name = it.column.name.as_str();
        parts.push(part("columns", COLUMN, name, name));
        parts.extend(it.description.iter().map(|it| part("columns", ABOUT_COLUMN, it, name)));
    }
    parts.extend(entry.reads.iter().map(|it| part("reads", BESIDE, it, it)));
    parts.extend(entry.read_by.iter().map(|it| part("read by", BESIDE, &it.name, &it.name)));
    parts
}

fn score_in(part: &Part, wanted: &str) -> Option<u32> {
    let score = |word: &String| {
        if word == wanted {
            Some(part.weight * 10)
        } else if word.starts_with(wanted) {
            Some(part.weight * 10 / BEGINS)
        } else if is_misspelt(word, wanted) {
            Some(part.weight * 10 / MISSPELT)
        } else {
            None
        }
    };
    part.words.iter().filter_map(score).max()
}

/// Splits a text or a name into words: small letters, `sales_by_minute` and `salesByMinute` are three,
/// and a plural is its singular.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut was_small = false;
    for letter in text.chars() {
        let is_new = !letter.is_alphanumeric() || (was_small && letter.is_uppercase());
        if is_new && !word.is_empty() {
            words.push(singular(std::mem::take(&mut word)));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase().map(plain));
        }
        was_small = letter.is_lowercase();
    }
    if !word.is_empty() {
        words.push(singular(word));
    }
    words
}

/// A letter without its accent, as far as European languages have them.
fn plain(letter: char) -> char {
    match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'è' | 'é' | 'ê' | 'ë' => 'e',
        'ì' | 'í' | 'î' | 'ï' => 'i',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

fn singular(word: String) -> String {
    const LEAST: usize = 4;
    if word.len() < LEAST || word.ends_with("ss") {
        return word;
    }
    match (word.strip_suffix("ies"), word.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => word,
    }
}

/// Whether one letter more, less, other or swapped makes one word of the other; short words are what
/// they are.
fn is_misspelt(word: &str, wanted: &str) -> bool {
    const LEAST: usize = 5;
    let (one, other): (Vec<char>, Vec<char>) = (word.chars().collect(), wanted.chars().collect());
    if one.len() < LEAST || other.len() < LEAST || 1 < one.len().abs_diff(other.len()) {
        return false;
    }
    let before = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) =
        (one.get(before..).unwrap_or_default(), other.get(before..).unwrap_or_default());
    let behind = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let (left, right) = (one.len().saturating_sub(behind), other.len().saturating_sub(behind));
    match (one, other) {
        ([a, b, ..], [c, d, ..]) if left == 2 && right == 2 => a == d && b == c,
        _ => left <= 1 && right <= 1,
    }
}
