//! Go's gob encoding, as far as the two frame structs need it (docs/protocol/websocket.md#gob): flat structs of int, uint, bool, string and
//! byte fields. A stream carries its own type definitions, so decoding trusts names, never type ids or field order.

use bytes::Bytes;

/// Why a gob stream was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GobError {
    /// The stream ends inside a value.
    #[error("gob stream is truncated")]
    Truncated,
    /// A number is longer than 8 bytes or a length exceeds the stream.
    #[error("gob number or length is out of range")]
    OutOfRange,
    /// A value refers to a type the stream did not define.
    #[error("gob value of an undefined type")]
    UndefinedType,
    /// A type other than a flat struct of basic fields.
    #[error("gob type is not a flat struct")]
    UnsupportedType,
}

/// A field value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Signed integer.
    Int(i64),
    /// Unsigned integer or bool.
    Uint(u64),
    /// String or byte slice.
    Bytes(Bytes),
}

const MAX_FIELDS: usize = 64;
const BOOL: i64 = 1;
const INT: i64 = 2;
const UINT: i64 = 3;
const FLOAT: i64 = 4;
const BYTES: i64 = 5;
const STRING: i64 = 6;

/// Reads the first struct value of `stream`; calls `field` for each field that is present.
pub fn decode_struct(stream: Bytes, mut field: impl FnMut(&str, Value)) -> Result<(), GobError> {
    let mut reader = Reader { stream, at: 0 };
    let mut types: Vec<(i64, Vec<(String, i64)>)> = Vec::new();
    loop {
        let length = reader.length()?;
        let end = reader.at + length;
        let type_id = reader.int()?;
        if type_id < 0 {
            let definition = reader.struct_definition()?;
            if types.len() >= MAX_FIELDS {
                return Err(GobError::OutOfRange);
            }
            types.push((type_id.checked_neg().ok_or(GobError::OutOfRange)?, definition));
            if reader.at > end {
                return Err(GobError::OutOfRange);
            }
            reader.at = end;
            continue;
        }
        let (_, fields) = types.iter().find(|(id, _)| *id == type_id).ok_or(GobError::UndefinedType)?;
        let mut index = -1_i64;
        loop {
            let delta = reader.uint()?;
            if delta == 0 {
                return Ok(());
            }
            index =
                i64::try_from(delta).ok().and_then(|d| index.checked_add(d)).ok_or(GobError::OutOfRange)?;
            let position = usize::try_from(index).map_err(|_| GobError::OutOfRange)?;
            let (name, kind) = fields.get(position).ok_or(GobError::OutOfRange)?;
            let value = match *kind {
                INT => Value::Int(reader.int()?),
                BOOL | UINT | FLOAT => Value::Uint(reader.uint()?),
                BYTES | STRING => Value::Bytes(reader.bytes()?),
                _ => return Err(GobError::UnsupportedType),
            };
            field(name, value);
        }
    }
}

struct Reader {
    stream: Bytes,
    at: usize,
}

impl Reader {
    fn byte(&mut self) -> Result<u8, GobError> {
        let byte = *self.stream.get(self.at).ok_or(GobError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn uint(&mut self) -> Result<u64, GobError> {
        let first = self.byte()?;
        if first < 128 {
            return Ok(u64::from(first));
        }
        let count = 256 - usize::from(first);
        if count > 8 {
            return Err(GobError::OutOfRange);
        }
        let mut value = 0_u64;
        for _ in 0..count {
            value = value << 8 | u64::from(self.byte()?);
        }
        Ok(value)
    }

    fn int(&mut self) -> Result<i64, GobError> {
        let raw = self.uint()?;
        let magnitude = (raw >> 1) as i64;
        Ok(if raw & 1 == 1 { !magnitude } else { magnitude })
    }

    fn length(&mut self) -> Result<usize, GobError> {
        let length = usize::try_from(self.uint()?).map_err(|_| GobError::OutOfRange)?;
        if length > self.stream.len() - self.at { Err(GobError::Truncated) } else { Ok(length) }
    }

    fn bytes(&mut self) -> Result<Bytes, GobError> {
        let length = self.length()?;
        let bytes = self.stream.slice(self.at..self.at + length);
        self.at += length;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, GobError> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// `wireType{StructT: structType{CommonType{Name, Id}, Field: []fieldType{Name, Id}}}`.
    fn struct_definition(&mut self) -> Result<Vec<(String, i64)>, GobError> {
        if self.uint()? != 3 {
            return Err(GobError::UnsupportedType);
        }
        let mut fields = Vec::new();
        let mut index = 0;
        loop {
            match self.uint()? {
                0 => break,
                delta => index += delta.min(16),
            }
            match index {
                1 => self.common_type()?,
                2 => {
                    let count = self.uint()?;
                    if count > MAX_FIELDS as u64 {
                        return Err(GobError::OutOfRange);
                    }
                    for _ in 0..count {
                        fields.push(self.field_type()?);
                    }
                }
                _ => return Err(GobError::UnsupportedType),
            }
        }
        Ok(fields)
    }

    fn common_type(&mut self) -> Result<(), GobError> {
        self.field_type().map(|_| ())
    }

    fn field_type(&mut self) -> Result<(String, i64), GobError> {
        let (mut name, mut id, mut index) = (String::new(), 0, 0);
        loop {
            match self.uint()? {
                0 => return Ok((name, id)),
                delta => index += delta.min(16),
            }
            match index {
                1 => name = self.text()?,
                2 => id = self.int()?,
                _ => return Err(GobError::UnsupportedType),
            }
        }
    }
}

/// Writes one flat struct as a stream of its own: definition, then value.
pub struct StructWriter {
    prefix: Vec<u8>,
    names: &'static [(&'static str, FieldKind)],
}

/// The kinds of fields our frames have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Go `int`.
    Int,
    /// Go `string`.
    Text,
    /// Go `[]byte`.
    Blob,
}

/// A field to write; zero values are omitted from the stream, as gob requires.
#[derive(Debug, Clone, Copy)]
pub enum FieldRef<'a> {
    /// For [`FieldKind::Int`].
    Int(i64),
    /// For [`FieldKind::Text`] and [`FieldKind::Blob`].
    Bytes(&'a [u8]),
}

const TYPE_ID: i64 = 65;

impl StructWriter {
    /// Prepares the definition of a struct; it is repeated in front of every value.
    pub fn new(type_name: &str, names: &'static [(&'static str, FieldKind)]) -> Self {
        let mut body = Vec::new();
        put_int(&mut body, -TYPE_ID);
        body.extend([3, 1, 1]);
        put_bytes(&mut body, type_name.as_bytes());
        body.push(1);
        put_int(&mut body, TYPE_ID);
        body.extend([0, 1]);
        put_uint(&mut body, names.len() as u64);
        for (name, kind) in names {
            body.push(1);
            put_bytes(&mut body, name.as_bytes());
            body.push(1);
            put_int(
                &mut body,
                match kind {
                    FieldKind::Int => INT,
                    FieldKind::Text => STRING,
                    FieldKind::Blob => BYTES,
                },
            );
            body.push(0);
        }
        body.extend([0, 0]);
        let mut prefix = Vec::new();
        put_uint(&mut prefix, body.len() as u64);
        prefix.extend(body);
        Self { prefix, names }
    }

    /// Encodes one value; `fields` are in the order of the definition.
    pub fn encode(&self, fields: &[FieldRef<'_>]) -> Vec<u8> {
        debug_assert_eq!(fields.len(), self.names.len());
        let size: usize = fields
            .iter()
            .map(|field| if let FieldRef::Bytes(bytes) = field { bytes.len() + 10 } else { 10 })
            .sum();
        let mut body = Vec::with_capacity(size + 8);
        put_int(&mut body, TYPE_ID);
        let mut skipped = 1;
        for field in fields {
            match field {
                FieldRef::Int(0) | FieldRef::Bytes([]) => skipped += 1,
                FieldRef::Int(value) => {
                    put_uint(&mut body, std::mem::replace(&mut skipped, 1));
                    put_int(&mut body, *value);
                }
                FieldRef::Bytes(bytes) => {
                    put_uint(&mut body, std::mem::replace(&mut skipped, 1));
                    put_bytes(&mut body, bytes);
                }
            }
        }
        body.push(0);
        let mut stream = Vec::with_capacity(self.prefix.len() + body.len() + 9);
        stream.extend_from_slice(&self.prefix);
        put_uint(&mut stream, body.len() as u64);
        stream.extend_from_slice(&body);
        stream
    }
}

fn put_uint(out: &mut Vec<u8>, value: u64) {
    if value < 128 {
        out.push(value as u8);
        return;
    }
    let bytes = value.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    out.push((256 - (8 - first)) as u8);
    out.extend_from_slice(&bytes[first..]);
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    let raw = if value < 0 { (!value as u64) << 1 | 1 } else { (value as u64) << 1 };
    put_uint(out, raw);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
