//! Which keys of a bucket, or files of a folder, are meant: `sales/**/*.{csv,tsv}`.

/// Alternatives, each of whole parts between slashes.
#[derive(Debug, Clone)]
pub struct Glob(Vec<Vec<Part>>);

#[derive(Debug, Clone)]
enum Part {
    /// Any number of folders.
    Any,
    /// A name in which `*` and `?` stand for others.
    Name(Vec<char>),
}

/// Alternatives that braces may make together.
const ALTERNATIVES_MAX: usize = 100;

impl Glob {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn new(text: &str) -> Result<Glob, String> {
        if text.is_empty() {
            return Err("the pattern is empty; leave it out for all objects".to_owned());
        }
        let mut all = Vec::new();
        alternatives(text, &mut all)?;
        let part = |it: &str| if it == "**" { Part::Any } else { Part::Name(it.chars().collect()) };
        let parts = |it: &String| it.trim_start_matches('/').split('/').map(part).collect();
        Ok(Glob(all.iter().map(parts).collect()))
    }

    /// Returns whether a key is meant.
    pub fn matches(&self, key: &str) -> bool {
        let parts: Vec<Vec<char>> = key.split('/').map(|it| it.chars().collect()).collect();
        self.0.iter().any(|it| all_match(it, &parts))
    }
}

/// Takes braces apart, the first first.
fn alternatives(text: &str, into: &mut Vec<String>) -> Result<(), String> {
    let Some((before, rest)) = text.split_once('{') else {
        if text.contains('}') {
            return Err("`}` without `{`".to_owned());
        }
        if ALTERNATIVES_MAX <= into.len() {
            return Err(format!("more than {ALTERNATIVES_MAX} alternatives"));
        }
        into.push(text.to_owned());
        return Ok(());
    };
    let Some((inside, after)) = rest.split_once('}') else {
        return Err("`{` without `}`".to_owned());
    };
    if inside.contains('{') {
        return Err("braces within braces".to_owned());
    }
    inside.split(',').try_for_each(|one| alternatives(&format!("{before}{one}{after}"), into))
}

fn all_match(pattern: &[Part], parts: &[Vec<char>]) -> bool {
    // Whether the pattern up to here fits the first so many parts.
    let mut fits = vec![false; parts.len() + 1];
    fits[0] = true;
    for part in pattern {
        let mut next = vec![false; parts.len() + 1];
        for (at, _) in fits.iter().enumerate().filter(|(_, it)| **it) {
            match part {
                Part::Any => next[at..].fill(true),
                Part::Name(name) => {
                    if parts.get(at).is_some_and(|it| name_matches(name, it)) {
                        next[at + 1] = true;
                    }
                }
            }
        }
        fits = next;
    }
    fits.last().copied().unwrap_or(false)
}

fn name_matches(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where the last star stands, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(sign) if *sign == '?' || name.get(in_name) == Some(sign) => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((place, reached)) = star else { return false };
                star = Some((place, reached + 1));
                (at, in_name) = (place + 1, reached + 1);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|it| *it == '*')
}

#[cfg(test)]
mod tests;
