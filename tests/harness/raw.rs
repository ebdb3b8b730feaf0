//! Calls of any RPC by its name, for tests that must cover all of them.

use std::sync::OnceLock;

use bytes::{Buf, BufMut};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, Value};
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
pub async fn call(caller: &Caller, method: &MethodDescriptor, message: DynamicMessage) -> Result<DynamicMessage, Status> {
    let mut client = tonic::client::Grpc::new(caller.channel.clone());
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let codec = Dynamic(method.output());
    let path = format!("/{}", path(method)).parse().unwrap();
    client.unary(caller.ask(message), path, codec).await.map(tonic::Response::into_inner)
}

/// A request whose string fields hold what `fill` says for their name; other fields keep their defaults.
pub fn request(of: &MessageDescriptor, fill: &dyn Fn(&str) -> Option<String>) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    for field in of.fields() {
        if let Some(text) = fill(field.name()) {
            if matches!(field.kind(), prost_reflect::Kind::String) && !field.is_list() {
                message.set_field(&field, Value::String(text));
            } else if let prost_reflect::Kind::Message(inner) = field.kind()
                && !field.is_list()
            {
                message.set_field(&field, Value::Message(request(&inner, &|n| fill(&format!("{}.{n}", field.name())))));
            }
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
