//! The tokens of JSON, as strict and as lenient as Go's scanner: any bytes stand in a string, and what is no UTF-8 reads as U+FFFD.

use std::borrow::Cow;

use super::{ReadError, strings};

/// Maximum nesting of skipped values, as in Go.
const MAX_SKIPPED_DEPTH: usize = 10_000;
/// Maximum nesting of kept values: each level uses stack.
const MAX_DEPTH: usize = 128;

/// What stands between the quotes of a valid string.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RawString<'de> {
    bytes: &'de [u8],
    escaped: bool,
}

impl<'de> RawString<'de> {
    #[inline]
    pub(super) fn read(self) -> Cow<'de, str> {
        if !self.escaped
            && let Ok(text) = std::str::from_utf8(self.bytes)
        {
            return Cow::Borrowed(text);
        }
        Cow::Owned(strings::unquote(self.bytes))
    }
}

/// A place in a text.
#[derive(Debug)]
pub(super) struct Lexer<'de> {
    text: &'de [u8],
    at: usize,
    depth: usize,
}

impl<'de> Lexer<'de> {
    pub(super) fn new(text: &'de [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Bytes before the next token.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The byte that the next token starts with.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, ReadError> {
        match self.text.get(self.at) {
            Some(byte) if *byte > b' ' => Ok(*byte),
            _ => self.peek_behind_space(),
        }
    }

    fn peek_behind_space(&mut self) -> Result<u8, ReadError> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                byte => return Ok(*byte),
            }
        }
        Err(ReadError::new("the JSON ends early"))
    }

    /// Takes the next token when it is this byte.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Result<bool, ReadError> {
        let there = self.peek()? == byte;
        self.at += usize::from(there);
        Ok(there)
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), ReadError> {
        if self.take(byte)? { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Opens an array or an object.
    pub(super) fn open(&mut self, byte: u8) -> Result<(), ReadError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ReadError::new(format!("values are nested more than {MAX_DEPTH} deep")));
        }
        self.expect(byte)
    }

    /// Whether another item follows in an array or object that `byte` closes.
    #[inline]
    pub(super) fn more(&mut self, first: &mut bool, byte: u8) -> Result<bool, ReadError> {
        let next = self.peek()?;
        if next == byte {
            self.at += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !std::mem::take(first) {
            if next != b',' {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// Nothing but space may follow.
    pub(super) fn end(&mut self) -> Result<(), ReadError> {
        if self.peek().is_err() { Ok(()) } else { Err(self.unexpected()) }
    }

    #[cold]
    pub(super) fn unexpected(&self) -> ReadError {
        match self.text.get(self.at) {
            Some(byte) => {
                ReadError::new(format!("{:?} is not expected at byte {}", char::from(*byte), self.at))
            }
            None => ReadError::new("the JSON ends early"),
        }
    }

    /// `null`, `true` or `false`.
    pub(super) fn word(&mut self, word: &str) -> Result<(), ReadError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'de, str>, ReadError> {
        self.raw_string().map(RawString::read)
    }

    /// A valid string, not yet read.
    #[inline]
    pub(super) fn raw_string(&mut self) -> Result<RawString<'de>, ReadError> {
        self.expect(b'"')?;
        let start = self.at;
        self.at += strings::plain_bytes(&self.text[start..]);
        let escaped = self.text.get(self.at) != Some(&b'"');
        if escaped {
            self.escapes()?;
        }
        let bytes = &self.text[start..self.at];
        self.at += 1;
        Ok(RawString { bytes, escaped })
    }

    /// From the first escape of a string to its end.
    fn escapes(&mut self) -> Result<(), ReadError> {
        loop {
            match self.text.get(self.at) {
                Some(b'"') => return Ok(()),
                Some(b'\\') => {
                    let length = strings::escape_bytes(&self.text[self.at..]);
                    let refuse = || ReadError::new(format!("bad escape in a string at byte {}", self.at));
                    self.at += length.ok_or_else(refuse)?;
                }
                _ => return Err(self.unexpected()),
            }
            self.at += strings::plain_bytes(&self.text[self.at..]);
        }
    }

    /// The common kind of number, when it is next: digits without a sign, which any type of 64 bits holds.
    #[inline]
    pub(super) fn small_integer(&mut self) -> Option<i64> {
        let rest = self.text.get(self.at..)?;
        let mut number = 0;
        for (at, byte) in rest.iter().enumerate().take(19) {
            match byte {
                b'0'..=b'9' if at < 18 && (at == 0 || number > 0) => {
                    number = number * 10 + i64::from(byte - b'0')
                }
                b'0'..=b'9' | b'.' | b'e' | b'E' => return None,
                _ if at == 0 => return None,
                _ => {
                    self.at += at;
                    return Some(number);
                }
            }
        }
        None
    }

    /// The text of a number.
    pub(super) fn number(&mut self) -> Result<&'de str, ReadError> {
        let start = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        std::str::from_utf8(&self.text[start..self.at]).map_err(|_| self.unexpected())
    }

    fn digits(&mut self) -> Result<(), ReadError> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.unexpected());
        }
        self.at += digits;
        Ok(())
    }

    /// Passes over a value of any kind and depth; its text.
    pub(super) fn skip(&mut self) -> Result<&'de [u8], ReadError> {
        self.peek()?;
        let start = self.at;
        // What closes each open array and object.
        let mut open: Vec<u8> = Vec::new();
        loop {
            let opened = match self.peek()? {
                b'[' => Some(b']'),
                b'{' => Some(b'}'),
                _ => None,
            };
            let Some(close) = opened else {
                self.scalar()?;
                if self.close(&mut open)? {
                    return Ok(&self.text[start..self.at]);
                }
                continue;
            };
            self.at += 1;
            if open.len() == MAX_SKIPPED_DEPTH {
                return Err(ReadError::new(format!("values are nested more than {MAX_SKIPPED_DEPTH} deep")));
            }
            if self.take(close)? {
                if self.close(&mut open)? {
                    return Ok(&self.text[start..self.at]);
                }
                continue;
            }
            open.push(close);
            if close == b'}' {
                self.skipped_key()?;
            }
        }
    }

    /// After a value: closes what ends here, and stands before the next value. Whether the outermost value is over.
    fn close(&mut self, open: &mut Vec<u8>) -> Result<bool, ReadError> {
        while let Some(close) = open.last().copied() {
            if self.take(close)? {
                open.pop();
                continue;
            }
            self.expect(b',')?;
            if close == b'}' {
                self.skipped_key()?;
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn skipped_key(&mut self) -> Result<(), ReadError> {
        self.raw_string()?;
        self.expect(b':')
    }

    fn scalar(&mut self) -> Result<(), ReadError> {
        match self.peek()? {
            b'"' => self.raw_string().map(|_| ()),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.number().map(|_| ()),
        }
    }
}
