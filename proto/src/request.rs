//! What every request can be asked, whatever its type.

/// Implemented by the build for every message named `*Request`.
pub trait RpcRequest: prost::Message {
    /// The caller's idempotency key, or empty where the request has none.
    fn request_id(&self) -> &str {
        ""
    }

    /// Whether only permission and input are to be checked.
    fn validate_only(&self) -> bool {
        false
    }
}

include!(concat!(env!("OUT_DIR"), "/requests.rs"));
