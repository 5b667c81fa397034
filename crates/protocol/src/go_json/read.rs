//! Reads JSON into any type in one pass. Where that pass cannot tell what Go would make of a text (a key in another case, a key that comes
//! twice), it gives up and the text is read by [`super::merge`], which is slower.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{
    ReadError,
    lexer::{Lexer, RawString},
    merge, strings,
};

/// Reads a text as Go's `json.Unmarshal` does.
///
/// # Errors
/// When the text is no JSON, or a value is not of its field's type; the error names the field.
pub fn from_slice<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, ReadError> {
    match one_pass(text) {
        Err(error) if error.is_again() => merge::read(text),
        outcome => outcome,
    }
}

pub(super) fn one_pass<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, ReadError> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    reader.lexer.end()?;
    Ok(value)
}

/// Reads one value.
pub(super) struct Reader<'de> {
    lexer: Lexer<'de>,
    /// The key before the value at a position, and the keys that its object knows.
    key: (usize, RawString<'de>, &'static [&'static str]),
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de [u8]) -> Self {
        Self { lexer: Lexer::new(text), key: (usize::MAX, RawString::default(), &[]) }
    }

    /// Takes a `null`.
    #[inline]
    fn null(&mut self) -> Result<bool, ReadError> {
        let there = self.lexer.peek()? == b'n';
        if there {
            self.lexer.word("null")?;
        }
        Ok(there)
    }

    fn boolean(&mut self) -> Result<bool, ReadError> {
        let value = self.lexer.peek()? == b't';
        self.lexer.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Why the next value is refused where `visitor` reads.
    fn refuse(&mut self, expected: &dyn serde::de::Expected) -> ReadError {
        let found = match self.lexer.peek() {
            Ok(b'"') => "text",
            Ok(b'{') => "an object",
            Ok(b'[') => "an array",
            Ok(b't' | b'f') => "a boolean",
            Ok(b'-' | b'0'..=b'9') => "a number",
            _ => return self.lexer.unexpected(),
        };
        ReadError::invalid_type(Unexpected::Other(found), expected)
    }

    /// A whole number; none for `null`.
    #[inline]
    fn integer<T: std::str::FromStr + TryFrom<i64>>(
        &mut self,
        expected: &dyn serde::de::Expected,
    ) -> Result<Option<T>, ReadError> {
        self.lexer.peek()?;
        match self.lexer.small_integer() {
            Some(number) => match T::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ReadError::invalid_value(Unexpected::Signed(number), expected)),
            },
            None => self.number(expected),
        }
    }

    /// A number; none for `null`.
    fn number<T: std::str::FromStr>(
        &mut self,
        expected: &dyn serde::de::Expected,
    ) -> Result<Option<T>, ReadError> {
        match self.lexer.peek()? {
            b'n' => self.null().map(|_| None),
            b'-' | b'0'..=b'9' => {
                let text = self.lexer.number()?;
                let refuse = |_| ReadError::invalid_value(Unexpected::Other(text), expected);
                text.parse().map(Some).map_err(refuse)
            }
            _ => Err(self.refuse(expected)),
        }
    }

    fn any_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        if let Some(number) = self.lexer.small_integer() {
            return visitor.visit_u64(number.unsigned_abs());
        }
        let text = self.lexer.number()?;
        if let Ok(number) = text.parse() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = text.parse() {
            return visitor.visit_i64(number);
        }
        visitor.visit_f64(finite(text)?)
    }

    #[inline]
    fn text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        match self.lexer.string()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn elements<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, ReadError> {
        self.lexer.open(b'[')?;
        visitor.visit_seq(Elements { reader: self, first: true })
    }

    fn entries<V: Visitor<'de>>(
        &mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.lexer.open(b'{')?;
        visitor.visit_map(Entries { reader: self, first: true, fields, key: RawString::default() })
    }
}

/// A number whose size a float can hold.
fn finite(text: &str) -> Result<f64, ReadError> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) => Ok(number),
        _ => Err(ReadError::new(format!("{text} is too large"))),
    }
}

pub(super) fn no_elements<'de, V: Visitor<'de>>(visitor: V) -> Result<V::Value, ReadError> {
    visitor.visit_seq(SeqDeserializer::<_, ReadError>::new(std::iter::empty::<()>()))
}

pub(super) fn no_entries<'de, V: Visitor<'de>>(visitor: V) -> Result<V::Value, ReadError> {
    visitor.visit_map(MapDeserializer::<_, ReadError>::new(std::iter::empty::<((), ())>()))
}

macro_rules! numbers {
    ($($read:ident $number:ty => $visit:ident;)*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let number = self.integer::<$number>(&visitor)?;
            visitor.$visit(number.unwrap_or_default())
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.lexer.peek()? {
            b'"' => self.text(visitor),
            b'{' => self.entries(&[], visitor),
            b'[' => self.elements(visitor),
            b'n' => {
                self.null()?;
                visitor.visit_unit()
            }
            b't' | b'f' => visitor.visit_bool(self.boolean()?),
            _ => self.any_number(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.lexer.peek()? {
            b'n' => {
                self.null()?;
                visitor.visit_bool(false)
            }
            b't' | b'f' => visitor.visit_bool(self.boolean()?),
            _ => Err(self.refuse(&visitor)),
        }
    }

    numbers! {
        deserialize_i8 i8 => visit_i8;
        deserialize_i16 i16 => visit_i16;
        deserialize_i32 i32 => visit_i32;
        deserialize_i64 i64 => visit_i64;
        deserialize_u8 u8 => visit_u8;
        deserialize_u16 u16 => visit_u16;
        deserialize_u32 u32 => visit_u32;
        deserialize_u64 u64 => visit_u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let number = self.number::<f32>(&visitor)?.unwrap_or_default();
        if number.is_infinite() {
            return Err(ReadError::invalid_value(Unexpected::Other("a larger number"), &visitor));
        }
        visitor.visit_f32(number)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let number = self.number::<f64>(&visitor)?.unwrap_or_default();
        if number.is_infinite() {
            return Err(ReadError::invalid_value(Unexpected::Other("a larger number"), &visitor));
        }
        visitor.visit_f64(number)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.lexer.peek()? {
            b'n' => {
                self.null()?;
                visitor.visit_borrowed_str("")
            }
            b'"' => self.text(visitor),
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    /// Base64, or an array of numbers.
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.lexer.peek()? {
            b'[' => self.elements(visitor),
            _ => self.deserialize_str(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.lexer.peek()? {
            b'n' => {
                self.null()?;
                no_elements(visitor)
            }
            b'[' => self.elements(visitor),
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.lexer.peek()? {
            b'n' => {
                self.null()?;
                no_entries(visitor)
            }
            b'{' => self.entries(fields, visitor),
            // An array is no object, though derived readers would take one.
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(self.lexer.string()?.into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.lexer.peek()?;
        // A key that nobody knows as it stands: in another case it may be known.
        let (at, key, fields) = self.key;
        if at == self.lexer.position() {
            let key = key.read();
            if fields.iter().any(|field| strings::same_key(field, &key)) {
                return Err(ReadError::again());
            }
        }
        self.lexer.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 char unit unit_struct tuple tuple_struct identifier }
}

struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        if !self.reader.lexer.more(&mut self.first, b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

struct Entries<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
    fields: &'static [&'static str],
    key: RawString<'de>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let lexer = &mut self.reader.lexer;
        if !lexer.more(&mut self.first, b'}')? {
            return Ok(None);
        }
        self.key = lexer.raw_string()?;
        seed.deserialize(Key(self.key.read())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let lexer = &mut self.reader.lexer;
        lexer.expect(b':')?;
        lexer.peek()?;
        self.reader.key = (lexer.position(), self.key, self.fields);
        seed.deserialize(&mut *self.reader).map_err(|error| error.within(&self.key.read()))
    }
}

/// A key of an object: text, or a number's text in a map by numbers.
pub(super) struct Key<'de>(pub(super) Cow<'de, str>);

macro_rules! number_keys {
    ($($read:ident $number:ty => $visit:ident;)*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let refuse = |_| ReadError::invalid_value(Unexpected::Str(&self.0), &visitor);
            match self.0.parse::<$number>().map_err(refuse) {
                Ok(number) => visitor.$visit(number),
                Err(error) => Err(error),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    number_keys! {
        deserialize_i32 i32 => visit_i32;
        deserialize_i64 i64 => visit_i64;
        deserialize_u32 u32 => visit_u32;
        deserialize_u64 u64 => visit_u64;
    }

    forward_to_deserialize_any! {
        bool i8 i16 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct
        map struct enum identifier ignored_any
    }
}
