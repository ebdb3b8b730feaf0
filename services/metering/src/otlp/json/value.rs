//! The smallest parts of OTLP/JSON (proto3 JSON mapping with the exceptions of OTLP: ids in hex, enums as numbers).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::otlp::{Attributes, Value};

/// Text that is borrowed where the JSON holds no escapes. (`Option<Cow>` and `Vec<Cow>` would copy.)
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Value<'a>>,
}

#[derive(Deserialize)]
struct ArrayValue<'a> {
    #[serde(borrow, default)]
    values: Option<Vec<Option<Value<'a>>>>,
}

/// Text or null.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|t| t.0).unwrap_or_default())
}

/// Nanoseconds as a number, as text, or null.
pub(crate) fn nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let read = match Option::<Number<'de>>::deserialize(deserializer)? {
        None => Some(0),
        Some(Number::Unsigned(n)) => Some(n),
        Some(Number::Signed(n)) => u64::try_from(n).ok(),
        Some(Number::Text(text)) => text.parse().ok(),
        Some(Number::Double(_)) => None,
    };
    read.ok_or_else(|| de::Error::custom("not a time in nanoseconds"))
}

/// Attributes or null.
pub(crate) fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes<'de>, D::Error> {
    Ok(Option::<Attributes<'de>>::deserialize(deserializer)?.unwrap_or_default())
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Attributes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of attributes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut attributes = Attributes::default();
                while !attributes.full() {
                    let Some(pair) = seq.next_element::<KeyValue<'de>>()? else { return Ok(attributes) };
                    let key = pair.key.map(|k| k.0).unwrap_or_default();
                    attributes.push(key, pair.value.unwrap_or(Value::Empty));
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    attributes.overflowed();
                }
                Ok(attributes)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value such as {\"stringValue\":\"…\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut value = Value::Empty;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let read = match key.0.as_ref() {
                        "stringValue" => map.next_value::<Option<Text<'de>>>()?.map(|t| Value::Text(t.0)),
                        "boolValue" => map.next_value::<Option<bool>>()?.map(Value::Bool),
                        "intValue" => map.next_value::<Option<Number<'de>>>()?.map(int).transpose()?,
                        "doubleValue" => map.next_value::<Option<Number<'de>>>()?.map(double),
                        "arrayValue" => map.next_value::<Option<ArrayValue<'de>>>()?.map(list),
                        // maps and bytes are never kept; a kind that is not known yet is nothing
                        _ => map.next_value::<IgnoredAny>().map(|_| None)?,
                    };
                    value = read.unwrap_or(value);
                }
                Ok(value)
            }
        }
        deserializer.deserialize_map(AnyValue)
    }
}

pub(super) fn int<E: de::Error>(number: Number<'_>) -> Result<Value<'_>, E> {
    let wrong = || de::Error::custom("not a 64-bit integer");
    match number {
        Number::Signed(n) => Ok(Value::Int(n)),
        Number::Unsigned(n) => i64::try_from(n).map(Value::Int).map_err(|_| wrong()),
        Number::Text(text) => text.parse().map(Value::Int).map_err(|_| wrong()),
        Number::Double(_) => Err(wrong()),
    }
}

/// Stays text where JSON has no number for it (`"NaN"`) or a float would round it.
pub(super) fn double(number: Number<'_>) -> Value<'_> {
    match number {
        Number::Double(n) => Value::Double(n),
        Number::Signed(n) => Value::Int(n),
        Number::Unsigned(n) => {
            i64::try_from(n).map_or_else(|_| Value::Text(n.to_string().into()), Value::Int)
        }
        Number::Text(text) => Value::Text(text),
    }
}

fn list(array: ArrayValue<'_>) -> Value<'_> {
    Value::List(array.values.unwrap_or_default().into_iter().map(|v| v.unwrap_or(Value::Empty)).collect())
}

/// A number, which JSON made from protobuf may also write as text.
pub(super) enum Number<'a> {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Number<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a number as text")
            }

            fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(n).map_or(Number::Unsigned(n), Number::Signed))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
                Ok(Number::Signed(n))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Self::Value, E> {
                Ok(Number::Double(n))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Number::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Number::Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
