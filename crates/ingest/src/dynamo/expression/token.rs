//! Cuts an expression into tokens.

use super::Wrong;

/// One token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a token is; its text is in the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    And,
    Or,
    Not,
    Between,
    In,
    /// A name of an attribute or a function.
    Word,
    /// `#name`
    Name,
    /// `:name`
    Value,
    Digits,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Comma,
    Dot,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// What is part of no expression.
    Unknown,
    End,
}

/// Cuts `text` into tokens; the last one is [`Kind::End`].
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let start = text.len() - rest.len();
        let (kind, length) = first(rest);
        tokens.push(Token { kind, start, end: start + length });
        match rest.get(length..) {
            Some(after) if kind != Kind::End => rest = after,
            _ => return tokens,
        }
    }
}

fn first(text: &str) -> (Kind, usize) {
    let Some(begin) = text.chars().next() else { return (Kind::End, 0) };
    let is_part = |it: &u8| it.is_ascii_alphanumeric() || *it == b'_';
    let word = |from: usize| from + text.bytes().skip(from).take_while(is_part).count();
    let two = text.get(..2).unwrap_or_default();
    match begin {
        '(' => (Kind::Open, 1),
        ')' => (Kind::Close, 1),
        '[' => (Kind::OpenIndex, 1),
        ']' => (Kind::CloseIndex, 1),
        ',' => (Kind::Comma, 1),
        '.' => (Kind::Dot, 1),
        '=' => (Kind::Equal, 1),
        '<' if two == "<>" => (Kind::Unequal, 2),
        '<' if two == "<=" => (Kind::LessOrEqual, 2),
        '<' => (Kind::Less, 1),
        '>' if two == ">=" => (Kind::GreaterOrEqual, 2),
        '>' => (Kind::Greater, 1),
        '#' if word(1) != 1 => (Kind::Name, word(1)),
        ':' if word(1) != 1 => (Kind::Value, word(1)),
        '0'..='9' => {
            let length = word(0);
            let is_number = text.bytes().take(length).all(|it| it.is_ascii_digit());
            (if is_number { Kind::Digits } else { Kind::Unknown }, length)
        }
        'a'..='z' | 'A'..='Z' | '_' => {
            let length = word(0);
            (keyword(text.get(..length).unwrap_or_default()), length)
        }
        other => (Kind::Unknown, other.len_utf8()),
    }
}

fn keyword(word: &str) -> Kind {
    let keywords = [
        ("AND", Kind::And),
        ("OR", Kind::Or),
        ("NOT", Kind::Not),
        ("BETWEEN", Kind::Between),
        ("IN", Kind::In),
    ];
    let found = keywords.iter().find(|(it, _)| it.eq_ignore_ascii_case(word));
    found.map_or(Kind::Word, |(_, kind)| *kind)
}

/// Says that a token was not expected, with the tokens around it.
pub(crate) fn unexpected(text: &str, tokens: &[Token], at: usize) -> Wrong {
    let piece = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    let Some(token) = tokens.get(at) else {
        return Wrong::Syntax { token: END.to_owned(), near: String::new() };
    };
    let start = at.checked_sub(1).and_then(|it| tokens.get(it)).map_or(token.start, |it| it.start);
    let end = tokens.get(at + 1).map_or(token.end, |it| it.end);
    let shown =
        if token.kind == Kind::End { END.to_owned() } else { piece(token.start, token.end) };
    Wrong::Syntax { token: shown, near: piece(start, end) }
}

const END: &str = "<EOF>";
