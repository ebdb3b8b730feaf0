//! Meters on the wire.

use kernel::{Result, audit::Resource as _, mask::Mask};
use proto::usage::v1 as pb;

use super::{
    Meter,
    model::{MeterPatch, UsageMeter},
    ops::Listed,
};

/// What a new meter says.
pub fn new(meter: pb::Meter) -> MeterPatch {
    MeterPatch {
        event_type: Some(meter.event_type),
        aggregation: Some(meter.aggregation),
        value_path: Some(meter.value_path),
        unit: Some(meter.unit),
        scale: Some(meter.scale.into()),
        dims: Some(meter.dims),
        allow_negative: Some(meter.allow_negative),
        description: Some(meter.description),
    }
}

/// What an update changes. Errors: INVALID_FIELD for what cannot be updated.
pub fn patch(meter: pb::Meter, mask: Option<&prost_types::FieldMask>) -> Result<MeterPatch> {
    let known =
        ["event_type", "aggregation", "value_path", "unit", "scale", "dims", "allow_negative", "description"];
    let mask = Mask::new(mask, &known)?;
    Ok(MeterPatch {
        event_type: mask.pick("event_type", meter.event_type),
        aggregation: mask.pick("aggregation", meter.aggregation),
        value_path: mask.pick("value_path", meter.value_path),
        unit: mask.pick("unit", meter.unit),
        scale: mask.pick("scale", meter.scale.into()),
        dims: mask.pick("dims", meter.dims),
        allow_negative: mask.pick("allow_negative", meter.allow_negative),
        description: mask.pick("description", meter.description),
    })
}

impl From<Listed> for pb::Meter {
    fn from(listed: Listed) -> Self {
        match listed {
            Listed::BuiltIn(meter) => meter.into(),
            Listed::Own(meter) => (*meter).into(),
        }
    }
}

impl From<&Meter> for pb::Meter {
    fn from(meter: &Meter) -> Self {
        Self {
            key: meter.key.to_string(),
            unit: meter.unit.to_string(),
            description: meter.description.to_string(),
            aggregation: meter.aggregation.as_str().to_owned(),
            scale: meter.scale.into(),
            dims: meter.dims.iter().map(ToString::to_string).collect(),
            version: meter.version,
            value_path: meter.value.text(),
            state: pb::MeterState::Active.into(),
            first_seq: meter.first_seq,
            ..Self::default()
        }
    }
}

impl From<UsageMeter> for pb::Meter {
    fn from(meter: UsageMeter) -> Self {
        let state = match (meter.archive_time, meter.end_seq) {
            (Some(_), _) => pb::MeterState::Archived,
            (None, Some(_)) => pb::MeterState::Superseded,
            (None, None) if meter.caught_seq < meter.live_seq => pb::MeterState::CatchingUp,
            (None, None) => pb::MeterState::Active,
        };
        let creator = match meter.creator.as_str() {
            "" => String::new(),
            slug => format!("tenants/{}/principals/{slug}", meter.tenant_slug),
        };
        Self {
            name: meter.name(),
            etag: meter.etag(),
            dims: meter.definition.dims(),
            key: meter.key.to_string(),
            unit: meter.definition.unit,
            description: meter.definition.description,
            aggregation: meter.definition.aggregation,
            scale: i32::try_from(meter.definition.scale).unwrap_or_default(),
            version: meter.version,
            event_type: meter.definition.event_type,
            value_path: meter.definition.value_path,
            allow_negative: meter.definition.allow_negative,
            state: state.into(),
            first_seq: meter.first_seq,
            end_seq: meter.end_seq.unwrap_or_default(),
            create_time: Some(meter.create_time.into()),
            creator,
            archive_time: meter.archive_time.map(Into::into),
        }
    }
}
