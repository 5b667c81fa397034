//! Keys in another case, and keys that come more than once: Go reads each value into what the values before it have left. A text or number
//! is replaced and not touched by `null`; objects and maps are completed; the items of a list are read into those in the same place.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Unexpected, Visitor, value::SeqDeserializer},
};

use super::{
    Base64, ReadError,
    lexer::Lexer,
    read::{Key, Reader, no_elements, no_entries, one_pass},
    strings,
};

pub(super) fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, ReadError> {
    let mut lexer = Lexer::new(text);
    let value = lexer.skip()?;
    lexer.end()?;
    T::deserialize(Values(vec![value]))
}

/// Whether a valid object sets a field: Go leaves a list that is missing or `null` nil, which is not the same as empty.
pub fn is_set(object: &[u8], field: &str) -> bool {
    let entries = entries(&[object]).unwrap_or_default();
    let last = entries.iter().rfind(|(key, _)| strings::same_key(field, key));
    last.is_some_and(|(_, value)| !is_null(value))
}

/// The valid texts of the values that are read into one place, in their order; at least one.
struct Values<'de>(Vec<&'de [u8]>);

fn is_null(value: &[u8]) -> bool {
    value.first() == Some(&b'n')
}

impl<'de> Values<'de> {
    /// The value that stays, where `null` leaves what is there. All must be of the type.
    fn last<T: Deserialize<'de>>(&self) -> Result<Reader<'de>, ReadError> {
        let mut last: &[u8] = b"null";
        for value in &self.0 {
            one_pass::<T>(value)?;
            if !is_null(value) {
                last = value;
            }
        }
        Ok(Reader::new(last))
    }

    /// The values after the last that empties the place.
    fn since(self, empties: impl Fn(&[u8]) -> bool) -> Vec<&'de [u8]> {
        let start = self.0.iter().rposition(|value| empties(value)).map_or(0, |at| at + 1);
        self.0.into_iter().skip(start).collect()
    }

    /// Refuses values that do not start with `byte` and are not null.
    fn all_start_with(&self, byte: u8, expected: &dyn serde::de::Expected) -> Result<(), ReadError> {
        if self.0.iter().all(|value| is_null(value) || value.first() == Some(&byte)) {
            return Ok(());
        }
        Err(ReadError::invalid_type(Unexpected::Other("another type"), expected))
    }
}

/// The items of a valid array.
fn items(array: &[u8]) -> Result<Vec<&[u8]>, ReadError> {
    let mut lexer = Lexer::new(array);
    lexer.open(b'[')?;
    let (mut first, mut items) = (true, vec![]);
    while lexer.more(&mut first, b']')? {
        items.push(lexer.skip()?);
    }
    Ok(items)
}

/// A key of an object and the text of its value.
type Entry<'de> = (Cow<'de, str>, &'de [u8]);

/// The entries of valid objects, one after the other.
fn entries<'de>(objects: &[&'de [u8]]) -> Result<Vec<Entry<'de>>, ReadError> {
    let mut entries = vec![];
    for object in objects {
        let mut lexer = Lexer::new(object);
        lexer.open(b'{')?;
        let mut first = true;
        while lexer.more(&mut first, b'}')? {
            let key = lexer.string()?;
            lexer.expect(b':')?;
            entries.push((key, lexer.skip()?));
        }
    }
    Ok(entries)
}

macro_rules! scalars {
    ($($read:ident $type:ty;)*) => {$(
        fn $read<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.last::<$type>()?.$read(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Values<'de> {
    type Error = ReadError;

    /// Where anything may stand, the last value counts.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        Reader::new(self.0.last().copied().unwrap_or_default()).deserialize_any(visitor)
    }

    scalars! {
        deserialize_bool bool;
        deserialize_i8 i8;
        deserialize_i16 i16;
        deserialize_i32 i32;
        deserialize_i64 i64;
        deserialize_u8 u8;
        deserialize_u16 u16;
        deserialize_u32 u32;
        deserialize_u64 u64;
        deserialize_f32 f32;
        deserialize_f64 f64;
        deserialize_str String;
        deserialize_string String;
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.last::<Base64>()?;
        // Unlike a text, bytes are emptied by null.
        Reader::new(self.0.last().copied().unwrap_or_default()).deserialize_bytes(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let values = self.since(is_null);
        if values.is_empty() { visitor.visit_none() } else { visitor.visit_some(Self(values)) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.all_start_with(b'[', &visitor)?;
        let arrays = self.since(|value| is_null(value) || items(value).is_ok_and(|items| items.is_empty()));
        let mut places: Vec<Values<'de>> = vec![];
        let mut length = 0;
        for array in arrays {
            let items = items(array)?;
            length = items.len();
            for (at, item) in items.into_iter().enumerate() {
                match places.get_mut(at) {
                    Some(place) => place.0.push(item),
                    None => places.push(Values(vec![item])),
                }
            }
        }
        places.truncate(length);
        if places.is_empty() {
            return no_elements(visitor);
        }
        visitor.visit_seq(SeqDeserializer::new(places.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.all_start_with(b'{', &visitor)?;
        let entries = entries(&self.since(is_null))?;
        if entries.is_empty() {
            return no_entries(visitor);
        }
        let entries = entries.into_iter().map(|(key, value)| (key, Values(vec![value])));
        visitor.visit_map(Entries::new(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.all_start_with(b'{', &visitor)?;
        let mut places: Vec<Values<'de>> = fields.iter().map(|_| Values(vec![])).collect();
        for (key, value) in entries(&self.since(is_null))? {
            let exact = fields.iter().position(|field| *field == key);
            let known = exact.or_else(|| fields.iter().position(|field| strings::same_key(field, &key)));
            if let Some(place) = known.and_then(|at| places.get_mut(at)) {
                place.0.push(value);
            }
        }
        let given = fields.iter().zip(places).filter(|(_, place)| !place.0.is_empty());
        visitor.visit_map(Entries::new(given.map(|(field, place)| (Cow::Borrowed(*field), place))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.last::<String>()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 char unit unit_struct tuple tuple_struct identifier }
}

impl<'de> IntoDeserializer<'de, ReadError> for Values<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Each key once, with its values.
struct Entries<'de, I> {
    rest: I,
    value: Option<(Cow<'de, str>, Values<'de>)>,
}

impl<'de, I: Iterator<Item = (Cow<'de, str>, Values<'de>)>> Entries<'de, I> {
    fn new(rest: I) -> Self {
        Self { rest, value: None }
    }
}

impl<'de, I: Iterator<Item = (Cow<'de, str>, Values<'de>)>> MapAccess<'de> for Entries<'de, I> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some((key, values)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key.clone(), values));
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, values) = self.value.take().ok_or_else(|| ReadError::new("a value without its key"))?;
        seed.deserialize(values).map_err(|error| error.within(&key))
    }
}
