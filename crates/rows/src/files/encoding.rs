//! The encoding of text, where the bytes say it.

use encoding_rs::{EUC_JP, EUC_KR, Encoding, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::files::Verdict;

/// Text, and what its bytes are.
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) encoding: &'static str,
    /// Whether bytes below 128 are their characters, so that a piece of it can be read by itself.
    pub(crate) is_ascii_like: bool,
    /// What is wrong with it.
    pub(crate) fault: Option<String>,
}

/// Decodes text; a character that is cut off at the end of a part is left out.
pub(crate) fn decode(bytes: &[u8], is_whole: bool) -> Result<Text, Verdict> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let rest = bytes.get(mark..).unwrap_or_default();
        if encoding != encoding_rs::UTF_8 {
            return Ok(utf_16(rest, encoding));
        }
        return decode_unmarked(rest, is_whole);
    }
    decode_unmarked(bytes, is_whole)
}

fn decode_unmarked(bytes: &[u8], is_whole: bool) -> Result<Text, Verdict> {
    if bytes.contains(&0) {
        return utf_16_unmarked(bytes);
    }
    let fault_at = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(utf_8(text.to_owned(), None)),
        Err(error) if error.error_len().is_none() && !is_whole => {
            let whole = bytes.get(..error.valid_up_to()).unwrap_or_default();
            return Ok(utf_8(String::from_utf8_lossy(whole).into_owned(), None));
        }
        Err(error) => error.valid_up_to(),
    };
    let counts = Counts::of(bytes);
    if counts.invalid <= counts.multibyte {
        let why =
            format!("UTF-8 but for {} places, the first at byte {fault_at}", counts.invalid.max(1));
        return Ok(utf_8(String::from_utf8_lossy(bytes).into_owned(), Some(why)));
    }
    // A part may end inside a character of two bytes.
    let kept = if is_whole { bytes } else { bytes.get(..bytes.len() - 1).unwrap_or_default() };
    for (encoding, is_certain) in
        [(SHIFT_JIS, is_japanese as fn(&str) -> bool), (EUC_JP, is_japanese), (EUC_KR, is_korean)]
    {
        let decoded = [kept, bytes]
            .into_iter()
            .find_map(|it| encoding.decode_without_bom_handling_and_without_replacement(it));
        if let Some(text) = decoded.filter(|it| is_certain(it)) {
            let text = text.into_owned();
            return Ok(Text { text, encoding: encoding.name(), is_ascii_like: false, fault: None });
        }
    }
    let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
    let fault = (!counts.is_western()).then(|| {
        format!("neither UTF-8 nor another encoding for certain, from byte {fault_at} on")
    });
    Ok(Text { text: text.into_owned(), encoding: WINDOWS_1252.name(), is_ascii_like: true, fault })
}

fn utf_8(text: String, fault: Option<String>) -> Text {
    Text { text, encoding: "UTF-8", is_ascii_like: true, fault }
}

fn utf_16(bytes: &[u8], encoding: &'static Encoding) -> Text {
    let even = bytes.get(..bytes.len() - bytes.len() % 2).unwrap_or_default();
    let (text, has_faults) = encoding.decode_without_bom_handling(even);
    let fault = has_faults.then(|| format!("not all of it is {}", encoding.name()));
    Text { text: text.into_owned(), encoding: encoding.name(), is_ascii_like: false, fault }
}

/// UTF-16 of mostly Latin text has a zero in every other byte.
fn utf_16_unmarked(bytes: &[u8]) -> Result<Text, Verdict> {
    let zeros = |rest: usize| {
        bytes.iter().enumerate().filter(|(at, it)| at % 2 == rest && **it == 0).count() * 2
    };
    let (even, odd) = (zeros(0), zeros(1));
    let most = bytes.len() / 10 * 7;
    if most < odd && even * 20 < bytes.len() {
        Ok(utf_16(bytes, UTF_16LE))
    } else if most < even && odd * 20 < bytes.len() {
        Ok(utf_16(bytes, UTF_16BE))
    } else {
        let zeros = even / 2 + odd / 2;
        let at = bytes.iter().position(|it| *it == 0).unwrap_or(0);
        if bytes.len() < zeros * 20 {
            Err(Verdict::Unknown("bytes that are no text".to_owned()))
        } else {
            Err(Verdict::Corrupt(format!("text with the byte 0 in it, the first at {at}")))
        }
    }
}

/// What the bytes above 127 look like.
struct Counts {
    multibyte: usize,
    invalid: usize,
    high: usize,
    letters: usize,
    undefined: usize,
}

impl Counts {
    fn of(bytes: &[u8]) -> Counts {
        let mut counts = Counts { multibyte: 0, invalid: 0, high: 0, letters: 0, undefined: 0 };
        for chunk in bytes.utf8_chunks() {
            counts.multibyte += chunk.valid().chars().filter(|it| !it.is_ascii()).count();
            counts.invalid += usize::from(!chunk.invalid().is_empty());
        }
        for byte in bytes {
            counts.high += usize::from(!byte.is_ascii());
            counts.letters += usize::from(matches!(byte, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0xff));
            counts.undefined += usize::from(matches!(byte, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d));
        }
        counts
    }

    /// Whether it reads like text of western Europe: letters with accents, signs, quotes.
    fn is_western(&self) -> bool {
        self.undefined == 0 && (self.high <= self.letters * 2 || self.high < 4)
    }
}

fn is_japanese(text: &str) -> bool {
    let kana = text.chars().filter(|it| matches!(it, '\u{3041}'..='\u{30ff}')).count();
    let half = text.chars().filter(|it| matches!(it, '\u{ff61}'..='\u{ff9f}')).count();
    let other = text.chars().filter(|it| !it.is_ascii()).count();
    2 <= kana && other <= kana * 8 && half * 4 <= other
}

fn is_korean(text: &str) -> bool {
    let hangul = text.chars().filter(|it| matches!(it, '\u{ac00}'..='\u{d7a3}')).count();
    let other = text.chars().filter(|it| !it.is_ascii()).count();
    2 <= hangul && other <= hangul * 5 / 4 + 1
}
