//! Encoding and decoding of the primitive types of Kafka's protocol. Input is untrusted: truncated data is an error.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A response violates the protocol.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the response of the broker is malformed")]
pub(crate) struct Malformed;

/// A request being encoded.
#[derive(Default)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    pub fn int8(&mut self, value: i8) -> &mut Self {
        self.0.put_i8(value);
        self
    }

    pub fn int16(&mut self, value: i16) -> &mut Self {
        self.0.put_i16(value);
        self
    }

    pub fn int32(&mut self, value: i32) -> &mut Self {
        self.0.put_i32(value);
        self
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.int16(value.len() as i16);
        self.0.put_slice(value.as_bytes());
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.int32(value.len() as i32);
        self.0.put_slice(value);
        self
    }

    /// An array: its length, then the items.
    pub fn all<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) -> &mut Self {
        self.int32(items.len() as i32);
        for item in items {
            write(self, item);
        }
        self
    }

    pub fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// The rest of a response.
pub(crate) struct Reader(Bytes);

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<Bytes, Malformed> {
        if self.0.remaining() < count { Err(Malformed) } else { Ok(self.0.split_to(count)) }
    }

    pub fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.int8()? != 0)
    }

    pub fn int8(&mut self) -> Result<i8, Malformed> {
        self.0.try_get_i8().map_err(|_short| Malformed)
    }

    pub fn int16(&mut self) -> Result<i16, Malformed> {
        self.0.try_get_i16().map_err(|_short| Malformed)
    }

    pub fn int32(&mut self) -> Result<i32, Malformed> {
        self.0.try_get_i32().map_err(|_short| Malformed)
    }

    pub fn int64(&mut self) -> Result<i64, Malformed> {
        self.0.try_get_i64().map_err(|_short| Malformed)
    }

    /// A nullable string.
    pub fn maybe_text(&mut self) -> Result<Option<String>, Malformed> {
        let Ok(length) = usize::try_from(self.int16()?) else { return Ok(None) };
        let bytes = self.take(length)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub fn text(&mut self) -> Result<String, Malformed> {
        self.maybe_text().map(Option::unwrap_or_default)
    }

    /// An array; null is empty.
    pub fn all<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        // The announced length reserves no memory.
        let count = self.int32()?.max(0);
        (0..count).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_round_trip_and_truncated_ones_are_refused() {
        let mut writer = Writer::default();
        writer.int8(-1).int16(2).int32(3).text("Kafka");
        writer.all(["a", "bc"].into_iter(), |writer, item| _ = writer.text(item));
        let whole = writer.finish();
        let read = |bytes: Bytes| {
            let mut reader = Reader::new(bytes);
            let numbers = (reader.int8()?, reader.int16()?, reader.int32()?);
            Ok::<_, Malformed>((numbers, reader.text()?, reader.all(Reader::text)?))
        };
        let expected = ((-1, 2, 3), "Kafka".to_owned(), vec!["a".to_owned(), "bc".to_owned()]);
        assert_eq!(read(whole.clone()), Ok(expected));
        for length in 0..whole.len() {
            assert_eq!(read(whole.slice(..length)), Err(Malformed), "the first {length} bytes");
        }
    }

    #[test]
    fn an_announced_length_reserves_no_memory() {
        let many = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 1]);
        assert_eq!(Reader::new(many).all(Reader::int8), Err(Malformed));
        assert_eq!(Reader::new(Bytes::from_static(&[0xff; 4])).all(Reader::int8), Ok(vec![]), "null");
        assert_eq!(Reader::new(Bytes::from_static(&[0xff; 2])).maybe_text(), Ok(None));
    }
}
