//! JSON 1.1 and CBOR, the two encodings of one API, and the types they write differently.
//!
//! Bytes are base64 in JSON and byte strings in CBOR. Times are seconds with a fraction in JSON and,
//! in CBOR, tag 1 with whole **milliseconds**: not what RFC 8949 says, but what the SDKs send and
//! expect.

use std::borrow::Cow;
use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ciborium::tag::{Captured, Required};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fault::Fault;

/// Base64 as SDKs write it; some leave the padding out.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a request is written, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Cbor,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Encoding {
        let is_cbor = headers
            .get(CONTENT_TYPE)
            .is_some_and(|it| it.as_bytes().starts_with(b"application/x-amz-cbor"));
        if is_cbor { Encoding::Cbor } else { Encoding::Json }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/x-amz-json-1.1",
            Encoding::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    pub(crate) fn read<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, Fault> {
        match self {
            Encoding::Json => serde_json::from_slice(body)
                .map_err(|error| Fault::serialization(error.to_string())),
            Encoding::Cbor => {
                ciborium::from_reader(body).map_err(|error| Fault::serialization(error.to_string()))
            }
        }
    }

    pub(crate) fn write<T: Serialize>(self, answer: &T) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        match self {
            Encoding::Json => {
                serde_json::to_writer(&mut out, answer).map_err(|_error| Fault::internal())?;
            }
            Encoding::Cbor => {
                ciborium::into_writer(answer, &mut out).map_err(|_error| Fault::internal())?;
            }
        }
        Ok(out)
    }
}

/// Text that is borrowed from the request where it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text<'a>, D::Error> {
        from.deserialize_string(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text))
    }
}

/// Bytes of a request, in the form they came in.
pub(crate) trait Data {
    /// Returns the bytes, using `room` if they have to be decoded; none if they cannot be.
    fn decode<'b>(&'b self, room: &'b mut Vec<u8>) -> Option<&'b [u8]>;
}

/// Base64, in JSON.
impl Data for Text<'_> {
    fn decode<'b>(&'b self, room: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        let most = base64::decoded_len_estimate(self.len());
        if room.len() < most {
            room.resize(most, 0);
        }
        let length = BASE64.decode_slice(self.as_bytes(), room).ok()?;
        room.get(..length)
    }
}

/// A byte string of CBOR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ByteString(Vec<u8>);

impl ByteString {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Data for ByteString {
    fn decode<'b>(&'b self, _: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        Some(&self.0)
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteString, D::Error> {
        from.deserialize_byte_buf(BytesVisitor).map(ByteString)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_owned())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// Bytes of an answer.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&BASE64.encode(&self.0))
        } else {
            to.serialize_bytes(&self.0)
        }
    }
}

/// A moment, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

/// Far beyond any date that means something, and exact in a float.
const MOMENT_MS_MAX: f64 = 9e15;

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            #[expect(clippy::cast_precision_loss, reason = "exact up to the year 285000")]
            to.serialize_f64(self.0 as f64 / 1_000.0)
        } else {
            Required::<u64, 1>(self.0).serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let is_json = from.is_human_readable();
        let number = if is_json {
            f64::deserialize(from)? * 1_000.0
        } else {
            let Captured(_tag, number) = Captured::<Number>::deserialize(from)?;
            number.0
        };
        if (0.0..=MOMENT_MS_MAX).contains(&number) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the line above keeps it in range"
            )]
            Ok(Moment(number.round() as u64))
        } else {
            Err(D::Error::custom("not a timestamp"))
        }
    }
}

/// A number of either kind.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        from.deserialize_any(NumberVisitor).map(Number)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    #[expect(clippy::cast_precision_loss, reason = "what is not exact is out of range anyway")]
    fn visit_u64<E>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "what is not exact is out of range anyway")]
    fn visit_i64<E>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }
}

#[cfg(test)]
mod tests;
