//! Calls of any RPC by its name, for tests that must cover all of them.

use std::sync::OnceLock;

use bytes::{Buf, BufMut};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::site::Caller;

/// The contract.
pub fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(proto::DESCRIPTOR_SET).unwrap())
}

/// Every RPC of the contract.
pub fn methods() -> Vec<MethodDescriptor> {
    let services = pool().services().filter(|s| s.full_name().starts_with("provost."));
    services.flat_map(|s| s.methods().collect::<Vec<_>>()).collect()
}

/// `provost.role.v1.RoleService/CreateRole`.
pub fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

/// Calls a unary or client-streaming RPC with one message.
pub async fn call(
    caller: &Caller,
    method: &MethodDescriptor,
    message: DynamicMessage,
) -> Result<DynamicMessage, Status> {
    let mut client = tonic::client::Grpc::new(caller.channel.clone());
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let codec = Dynamic(method.output());
    let path = format!("/{}", path(method)).parse().unwrap();
    client.unary(caller.ask(message), path, codec).await.map(tonic::Response::into_inner)
}

/// Calls an RPC by its path with a request written as JSON; the answer as JSON.
pub async fn json(
    caller: &Caller,
    rpc: &str,
    request: serde_json::Value,
) -> Result<serde_json::Value, Status> {
    let method = methods().into_iter().find(|m| path(m) == rpc).unwrap_or_else(|| panic!("no RPC {rpc}"));
    let request =
        DynamicMessage::deserialize(method.input(), request).unwrap_or_else(|e| panic!("{rpc}: {e}"));
    let answer = call(caller, &method, request).await?;
    Ok(serde_json::to_value(&answer).unwrap())
}

/// A request whose string fields hold what `fill` says for their name and whose words are the first of their enums;
/// other fields keep their defaults.
pub fn request(of: &MessageDescriptor, fill: &dyn Fn(&str) -> Option<String>) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields().filter(|f| !f.is_list()) {
        match field.kind() {
            Kind::Enum(words) => {
                let first = words.values().map(|v| v.number()).find(|n| *n > 0).unwrap();
                message.set_field(&field, Value::EnumNumber(first));
            }
            Kind::String => {
                if let Some(text) = fill(field.name()) {
                    message.set_field(&field, Value::String(text));
                }
            }
            Kind::Message(inner) if inner.full_name().starts_with("provost.") => {
                message.set_field(&field, Value::Message(request(&inner, fill)));
            }
            _ => {}
        }
    }
    message
}

#[derive(Clone)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put_slice(&item.encode_to_vec());
        Ok(())
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buf.copy_to_bytes(buf.remaining());
        DynamicMessage::decode(self.0.clone(), bytes).map(Some).map_err(|e| Status::internal(e.to_string()))
    }
}
