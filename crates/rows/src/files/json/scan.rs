//! Finds where JSON values begin and end, in text that may stop anywhere.

use base::limits::JSON_DEPTH_MAX;

/// Why a scan does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text ends.
    End,
    /// It is no JSON from here on.
    Bad(usize),
    /// There are too many different keys.
    Wide,
}

/// A text whose values are looked for.
pub(crate) struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a str) -> Scan<'a> {
        Scan { text, bytes: text.as_bytes() }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(crate) fn part(&self, begin: usize, end: usize) -> &'a str {
        self.text.get(begin..end).unwrap_or_default()
    }

    pub(crate) fn skip_space(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(|it| it.is_ascii_whitespace()) {
            at += 1;
        }
        at
    }

    /// Returns where the line ends, if it does.
    pub(crate) fn line_end(&self, at: usize) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        memchr::memchr(b'\n', rest).map(|it| at + it + 1)
    }

    /// Returns where the line ends that is bad by itself: what comes after it is another value. A value
    /// that only is not there to its end is none.
    pub(crate) fn bad_line(&self, at: usize, stop: Stop) -> Option<usize> {
        match stop {
            Stop::Bad(_) => self.line_end(at),
            Stop::End => self.line_end(at).filter(|it| self.byte(*it) == Some(b'{')),
            Stop::Wide => None,
        }
    }

    /// Returns where the value ends that begins at `at`.
    pub(crate) fn skip_value(&self, at: usize) -> Result<usize, Stop> {
        match self.byte(at) {
            None => Err(Stop::End),
            Some(b'"') => self.skip_text(at),
            Some(b'{' | b'[') => self.skip_nested(at),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.skip_word(at),
            Some(_) => Err(Stop::Bad(at)),
        }
    }

    fn skip_text(&self, at: usize) -> Result<usize, Stop> {
        let mut here = at + 1;
        loop {
            let rest = self.bytes.get(here..).ok_or(Stop::End)?;
            let found = memchr::memchr3(b'"', b'\\', b'\n', rest).ok_or(Stop::End)?;
            here += found;
            match self.byte(here) {
                Some(b'"') => return Ok(here + 1),
                Some(b'\\') => here += 2,
                _ => return Err(Stop::Bad(here)), // A text has no line end in it.
            }
        }
    }

    fn skip_word(&self, at: usize) -> Result<usize, Stop> {
        let mut here = at;
        while self
            .byte(here)
            .is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'+' | b'.'))
        {
            here += 1;
        }
        // At the end nobody knows whether more digits follow.
        if here == self.len() && at != 0 { Err(Stop::End) } else { Ok(here) }
    }

    fn skip_nested(&self, at: usize) -> Result<usize, Stop> {
        let mut open = Vec::new();
        let mut here = at;
        while let Some(byte) = self.byte(here) {
            match byte {
                b'"' => {
                    here = self.skip_text(here)?;
                    continue;
                }
                b'{' | b'[' => {
                    if JSON_DEPTH_MAX <= open.len() {
                        return Err(Stop::Bad(here));
                    }
                    open.push(byte);
                }
                b'}' | b']' => {
                    let opening = if byte == b'}' { b'{' } else { b'[' };
                    if open.pop() != Some(opening) {
                        return Err(Stop::Bad(here));
                    }
                    if open.is_empty() {
                        return Ok(here + 1);
                    }
                }
                _ => {}
            }
            here += 1;
        }
        Err(Stop::End)
    }

    /// Goes through the entries of the object at `at`: key, begin and end of the value. It ends early
    /// where `take` says no.
    pub(crate) fn entries(
        &self,
        at: usize,
        mut take: impl FnMut(String, usize, usize) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        let mut here = self.skip_space(at + 1);
        if self.byte(here) == Some(b'}') {
            return Ok(());
        }
        loop {
            let (key, begin) = self.key(here)?;
            let end = self.skip_value(begin)?;
            if !take(key, begin, end)? {
                return Ok(());
            }
            here = self.skip_space(end);
            match self.byte(here) {
                Some(b',') => here = self.skip_space(here + 1),
                Some(b'}') => return Ok(()),
                Some(_) => return Err(Stop::Bad(here)),
                None => return Err(Stop::End),
            }
        }
    }

    /// Returns the key at `at` and where its value begins.
    pub(crate) fn key(&self, at: usize) -> Result<(String, usize), Stop> {
        if self.byte(at) != Some(b'"') {
            return Err(if self.byte(at).is_none() { Stop::End } else { Stop::Bad(at) });
        }
        let end = self.skip_text(at)?;
        let key = serde_json::from_str(self.part(at, end))
            .map_err(|_no_text: serde_json::Error| Stop::Bad(at))?;
        let colon = self.skip_space(end);
        match self.byte(colon) {
            Some(b':') => Ok((key, self.skip_space(colon + 1))),
            Some(_) => Err(Stop::Bad(colon)),
            None => Err(Stop::End),
        }
    }
}
