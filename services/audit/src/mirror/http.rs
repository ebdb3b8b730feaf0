//! The routes: who asks, for which log, for which file.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
};
use kernel::{
    Kernel, Result,
    authz::Permit,
    ctx::{CallInfo, Ctx},
    error::{Error, http::Refusal},
};

use super::{
    MIRROR,
    file::{self, File, Missing},
    model::LinkSecret,
    store,
};
use crate::{Sequencer, sequencer::meta::META};

/// What stands before the secret of a link.
pub const LINK: &str = "/audit/v1/link/";

/// What the routes know.
#[derive(Clone)]
struct Logs {
    kernel: Arc<Kernel>,
    sequencer: Arc<Sequencer>,
}

/// How a path names a log.
#[derive(Debug, PartialEq, Eq)]
enum Log<'p> {
    /// By its scope: empty, `partners/{partner}` or `tenants/{tenant}`.
    Scope(&'p str),
    /// The deployment's meta log.
    Meta,
    /// By the secret of a link.
    Link(&'p str),
}

/// `/audit/v1/...`.
pub fn http_routes(kernel: Arc<Kernel>, sequencer: Arc<Sequencer>) -> Router {
    Router::new().route("/audit/v1/{*path}", get(answer)).with_state(Logs { kernel, sequencer })
}

/// Answers with a file of a log.
///
/// Errors carry a `google.rpc.Status`: 401 and 403 credential; 404 no such log or file, a link that is unknown, over or
/// revoked, or entries that retention pruned; 503 come back later.
async fn answer(
    State(logs): State<Logs>,
    info: Option<Extension<CallInfo>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let kernel = &logs.kernel;
    let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
    let info = info.map_or_else(fresh, |Extension(info)| info);
    let incident = info.id.to_string();
    match serve(&logs, info, &path, &headers).await {
        Ok((file, bytes)) => served(file, bytes),
        Err(refusal) => refusal.answer(&incident).into_response(),
    }
}

async fn serve(
    logs: &Logs,
    info: CallInfo,
    path: &str,
    headers: &HeaderMap,
) -> Result<(File, Vec<u8>), Refusal> {
    let (log, rest) = parse(path).ok_or_else(|| Error::not_found("path", path))?;
    let (ctx, permit) = match log {
        Log::Scope(scope) => by_token(&logs.kernel, scope, headers, info).await?,
        // it tells of every log of the deployment, though under names that say nothing
        Log::Meta => by_token(&logs.kernel, "", headers, info).await?,
        Log::Link(secret) => by_link(&logs.kernel, secret, info).await?,
    };
    let id = if log == Log::Meta { META } else { permit.scope().id() };
    let file = File::parse(rest).ok_or_else(|| Error::not_found("file", rest))?;
    match file::read(&ctx, &logs.sequencer, (&permit, id), file).await {
        Ok(bytes) => Ok((file, bytes)),
        Err(Missing::Error(error)) => Err(error.into()),
        Err(Missing::Because(sentence)) => {
            Err(Refusal::from(Error::not_found("file", rest)).saying(sentence))
        }
    }
}

/// The log that a path names, and the file below it.
fn parse(path: &str) -> Option<(Log<'_>, &str)> {
    let (word, rest) = path.split_once('/')?;
    match word {
        "platform" => return Some((Log::Scope(""), rest)),
        "meta" => return Some((Log::Meta, rest)),
        _ => {}
    }
    let (id, file) = rest.split_once('/')?;
    match word {
        "link" => Some((Log::Link(id), file)),
        "partners" | "tenants" => Some((Log::Scope(path.get(..word.len() + 1 + id.len())?), file)),
        _ => None,
    }
}

async fn by_token(
    kernel: &Arc<Kernel>,
    scope: &str,
    headers: &HeaderMap,
    info: CallInfo,
) -> Result<(Ctx, Permit)> {
    let authorization = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let ctx = kernel.enter(authorization, info).await?;
    let scope = ctx.scope("path", scope).await?;
    let permit = ctx.authorize(MIRROR, &scope).await?;
    Ok((ctx, permit))
}

/// What is unknown, over and revoked looks the same: there is nothing.
async fn by_link(kernel: &Arc<Kernel>, secret: &str, info: CallInfo) -> Result<(Ctx, Permit)> {
    let nothing = || Error::not_found("link", format!("{LINK}…"));
    let digest = LinkSecret::digest_of(secret).ok_or_else(nothing)?;
    let found = store::link_find(&mut kernel.db.reader().await?, &digest).await?;
    let (scope, link) = found.filter(|(_, link)| link.is_good(kernel.clock.now())).ok_or_else(nothing)?;
    let ctx = kernel.enter_by_link(link.id.0, scope.clone(), link.expire_time, info);
    let permit = ctx.authorize_own(MIRROR, &scope, true).await?;
    Ok((ctx, permit))
}

fn served(file: File, bytes: Vec<u8>) -> Response {
    let kind = if file.is_text() { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    // only the reader's own cache: one that others share would go on answering after the token or the link ended
    let keep = if file.is_immutable() { "private, immutable, max-age=31536000" } else { "no-store" };
    let headers =
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, keep)].map(|(k, v)| (k, HeaderValue::from_static(v)));
    (StatusCode::OK, headers, bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_log_and_a_file() {
        for (path, log, file) in [
            ("platform/checkpoint", Log::Scope(""), "checkpoint"),
            ("meta/checkpoint", Log::Meta, "checkpoint"),
            ("partners/northwind/vkey", Log::Scope("partners/northwind"), "vkey"),
            ("tenants/acme/tile/0/x001/234", Log::Scope("tenants/acme"), "tile/0/x001/234"),
            ("link/pvl_x/tile/entries/000", Log::Link("pvl_x"), "tile/entries/000"),
        ] {
            assert_eq!(parse(path), Some((log, file)), "{path}");
        }
        for path in ["", "platform", "meta", "tenants", "tenants/acme", "link/pvl_x", "roles/acme/checkpoint"]
        {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
