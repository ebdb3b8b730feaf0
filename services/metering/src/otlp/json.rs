//! The JSON form of OTLP logs (proto3 JSON mapping with the exceptions of OTLP: ids in hex, enums as numbers).

use std::{borrow::Cow, fmt};

use kernel::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Attributes, MAX_ATTRIBUTES, MAX_RECORDS, Record, Value};

/// A request, its records not yet read.
#[derive(Debug)]
pub struct Logs<'a> {
    /// One for every process that speaks.
    pub resources: Vec<ResourceLogs<'a>>,
}

/// The records of one process.
#[derive(Debug)]
pub struct ResourceLogs<'a> {
    /// `service.name`, or empty.
    pub service: Cow<'a, str>,
    records: Vec<&'a RawValue>,
}

impl<'a> ResourceLogs<'a> {
    /// Its records in order; `None` for one that is JSON and no log record.
    pub fn records(&self) -> impl Iterator<Item = Option<Record<'a>>> {
        self.records.iter().map(|raw| serde_json::from_str(raw.get()).ok())
    }
}

/// Takes a request apart. Refuses it whole when it is cut off, no JSON, not of the form `{"resourceLogs":[…]}`, or
/// holds more than [`MAX_RECORDS`].
pub fn decode(body: &[u8]) -> Result<Logs<'_>> {
    let wrong = |what: String| {
        Error::invalid("body", format!("is not OTLP/JSON logs: {what}; send the request anew"))
    };
    // a derived reader would also take `[…]` for an object
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(wrong("it does not start with `{`".to_owned()));
    }
    // the reader's own words may quote the body, and the body is private
    let wire: WireLogs<'_> = serde_json::from_slice(body)
        .map_err(|e| wrong(format!("line {} column {}: {}", e.line(), e.column(), kind(&e))))?;
    let mut count = 0_usize;
    let mut resources = Vec::new();
    for resource in wire.resource_logs.unwrap_or_default() {
        let records: Vec<_> = resource
            .scope_logs
            .unwrap_or_default()
            .into_iter()
            .flat_map(|s| s.log_records.unwrap_or_default())
            .collect();
        count = count.saturating_add(records.len());
        resources.push(ResourceLogs { service: service(resource.resource), records });
    }
    if count > MAX_RECORDS {
        return Err(Error::Limit {
            limit: "otlp.records".to_owned(),
            message: format!("the request holds {count} log records; send at most {MAX_RECORDS} at a time"),
        });
    }
    Ok(Logs { resources })
}

fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "cut off",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "malformed JSON",
        serde_json::error::Category::Data => "a field has the wrong type",
    }
}

fn service(resource: Option<WireResource<'_>>) -> Cow<'_, str> {
    let named = resource.and_then(|r| {
        r.attributes.list.into_iter().find_map(|(key, value)| match value {
            Value::Text(text) if key == "service.name" => Some(text),
            _ => None,
        })
    });
    named.unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLogs<'a> {
    #[serde(borrow, default)]
    resource_logs: Option<Vec<WireResourceLogs<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireResourceLogs<'a> {
    #[serde(borrow, default)]
    resource: Option<WireResource<'a>>,
    #[serde(borrow, default)]
    scope_logs: Option<Vec<WireScopeLogs<'a>>>,
}

#[derive(Deserialize)]
struct WireResource<'a> {
    #[serde(borrow, default, deserialize_with = "attributes")]
    attributes: Attributes<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireScopeLogs<'a> {
    #[serde(borrow, default)]
    log_records: Option<Vec<&'a RawValue>>,
}

/// Text that is borrowed where the JSON holds no escapes. (`Option<Cow>` and `Vec<Cow>` would copy.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|t| t.0).unwrap_or_default())
}

/// Nanoseconds as a number, as text, or null.
pub(super) fn nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
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
pub(super) fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes<'de>, D::Error> {
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
                while attributes.list.len() < MAX_ATTRIBUTES {
                    let Some(pair) = seq.next_element::<KeyValue<'de>>()? else { return Ok(attributes) };
                    let key = pair.key.map(|k| k.0).unwrap_or_default();
                    attributes.list.push((key, pair.value.unwrap_or(Value::Empty)));
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    attributes.overflow = true;
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

fn int<E: de::Error>(number: Number<'_>) -> Result<Value<'_>, E> {
    let wrong = || de::Error::custom("not a 64-bit integer");
    match number {
        Number::Signed(n) => Ok(Value::Int(n)),
        Number::Unsigned(n) => i64::try_from(n).map(Value::Int).map_err(|_| wrong()),
        Number::Text(text) => text.parse().map(Value::Int).map_err(|_| wrong()),
        Number::Double(_) => Err(wrong()),
    }
}

/// Stays text where JSON has no number for it (`"NaN"`) or a float would round it.
fn double(number: Number<'_>) -> Value<'_> {
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
enum Number<'a> {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Number<'de> {
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
