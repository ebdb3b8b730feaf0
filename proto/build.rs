//! Compiles the contract without protoc and keeps the descriptor set for reflection and for the coverage tests.

use std::{env, fs, io, path::PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=provost");
    let root = PathBuf::from(".");
    let mut files = Vec::new();
    for noun in fs::read_dir("provost")? {
        let version = noun?.path().join("v1");
        for file in fs::read_dir(&version)? {
            let path = file?.path();
            if path.extension().is_some_and(|ext| ext == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    let set = protox::compile(&files, [&root])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    fs::write(out.join("provost.bin"), set.encode_to_vec())?;
    fs::write(out.join("requests.rs"), request_impls(&set))?;
    tonic_prost_build::configure().compile_fds(set)?;
    Ok(())
}

/// One `impl RpcRequest` for every request message, so that idempotency and dry runs are handled in one place.
fn request_impls(set: &FileDescriptorSet) -> String {
    let mut code = String::new();
    for file in &set.file {
        let Some(package) = file.package().strip_prefix("provost.") else { continue };
        for message in file.message_type.iter().filter(|m| m.name().ends_with("Request")) {
            let path = format!("crate::{}::{}", package.replace('.', "::"), message.name());
            let has = |name: &str| message.field.iter().any(|f| f.name() == name);
            code.push_str(&format!("impl RpcRequest for {path} {{\n"));
            if has("request_id") {
                code.push_str("    fn request_id(&self) -> &str { &self.request_id }\n");
            }
            if has("validate_only") {
                code.push_str("    fn validate_only(&self) -> bool { self.validate_only }\n");
            }
            code.push_str("}\n");
        }
    }
    code
}
