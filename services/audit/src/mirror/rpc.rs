//! Mirror links on the wire.

use kernel::{Result, error::Error};
use proto::audit::v1 as pb;

use super::model::{MirrorLink, NewMirrorLink};

impl TryFrom<pb::MirrorLink> for NewMirrorLink {
    type Error = Error;

    fn try_from(link: pb::MirrorLink) -> Result<Self> {
        let expire_time = link.expire_time.map(TryInto::try_into).transpose()?;
        Ok(Self { display_name: link.display_name, expire_time })
    }
}

impl From<MirrorLink> for pb::MirrorLink {
    fn from(link: MirrorLink) -> Self {
        Self {
            name: link.name,
            display_name: link.display_name,
            expire_time: Some(link.expire_time.into()),
            create_time: Some(link.create_time.into()),
            revoke_time: link.revoke_time.map(Into::into),
        }
    }
}
