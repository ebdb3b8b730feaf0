//! A version on the wire.

use kernel::audit::Resource as _;
use proto::catalog::v1 as pb;

use super::model::PluginVersion;

impl From<PluginVersion> for pb::PluginVersion {
    fn from(version: PluginVersion) -> Self {
        Self {
            name: version.name(),
            digest: version.content_sha256.to_string(),
            stage: pb::Stage::from(version.stage).into(),
            sunset_time: version.sunset_time.map(Into::into),
            apps: version.apps.0.into_iter().map(Into::into).collect(),
            skills: version.skills.0,
            mcp_servers: version.mcp_servers.0.into_iter().map(Into::into).collect(),
            has_hooks: version.has_hooks,
            current: version.is_current,
            uid: version.id.to_string(),
            create_time: Some(version.create_time.into()),
            version: version.version,
        }
    }
}
