//! What is asked, out of JSON. Fields that nobody here knows are passed over.

use decision::Target;
use serde_json::{Map, Value};

use crate::MAX_EVALUATIONS;

/// Longest id, type, name or page token, bytes.
const MAX_TEXT: usize = 1_024;

/// Why a request is not answered, in words.
pub type Wrong = String;
type Object = Map<String, Value>;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who.
    pub subject: Subject,
    /// What.
    pub resource: Resource,
    /// To do what.
    pub action: String,
    /// Whether to say why.
    pub explain: bool,
}

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The tenant that is named; none for the caller's own.
    pub tenant: Option<String>,
    /// `user`, `service`, `agent`, `principal` or something else.
    pub kind: String,
    /// Id of the principal; empty where it is searched.
    pub id: String,
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `plugin`, `app`, `skill` or something else.
    pub kind: String,
    /// Its id as it was written; empty where it is searched.
    pub id: String,
}

/// When a batch ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Semantic {
    /// Never.
    ExecuteAll,
    /// With the first no.
    DenyOnFirstDeny,
    /// With the first yes.
    PermitOnFirstPermit,
}

/// A request for evaluations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluations {
    /// Without a list it is a single question.
    One(Box<Question>),
    /// A list; an item that is no whole question is answered with no.
    Many(Vec<Result<Question, Incomplete>>, Semantic),
}

/// An item of a batch that is no whole question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// What is missing.
    pub why: Wrong,
    /// The tenant that it names all the same.
    pub tenant: Option<String>,
    /// Whether to say so.
    pub explain: bool,
}

/// A request for a page of a search.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Page {
    /// Whether one was asked for.
    pub asked: bool,
    /// Where to go on; empty for the beginning.
    pub token: String,
    /// At most this many.
    pub limit: Option<usize>,
}

/// A body, as an object.
pub fn body(bytes: &[u8]) -> Result<Object, Wrong> {
    if bytes.is_empty() {
        return Err("the body is empty; send a JSON object".to_owned());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the body is no JSON object".to_owned()),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

/// The question of an evaluation.
pub fn evaluation(request: &Object) -> Result<Question, Wrong> {
    question(|key| request.get(key))
}

/// The questions of a batch: what an item does not have it inherits.
pub fn evaluations(request: &Object) -> Result<Evaluations, Wrong> {
    let semantic = semantic(request)?;
    let items = match request.get("evaluations") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(items)) => items,
        Some(_) => return Err("`evaluations` is no list".to_owned()),
    };
    if items.is_empty() {
        return evaluation(request).map(|question| Evaluations::One(Box::new(question)));
    }
    if items.len() > MAX_EVALUATIONS {
        return Err(format!("`evaluations` has {} items; send at most {MAX_EVALUATIONS}", items.len()));
    }
    // a default that is malformed is so for every item
    for key in ["subject", "resource", "action", "context"] {
        object(key, request.get(key))?;
    }
    let of = |item: &Value| {
        let Value::Object(item) = item else {
            return Err("an item of `evaluations` is no JSON object".to_owned());
        };
        let get = |key: &str| item.get(key).or_else(|| request.get(key));
        let explain = explain(get("context"));
        Ok(question(get).map_err(|why| {
            let subject = subject(get("subject"), get("context"), true).ok();
            Incomplete { why, tenant: subject.and_then(|subject| subject.tenant), explain }
        }))
    };
    Ok(Evaluations::Many(items.iter().map(of).collect::<Result<_, _>>()?, semantic))
}

fn semantic(request: &Object) -> Result<Semantic, Wrong> {
    let Some(options) = object("options", request.get("options"))? else { return Ok(Semantic::ExecuteAll) };
    match options.get("evaluations_semantic") {
        None | Some(Value::Null) => Ok(Semantic::ExecuteAll),
        Some(Value::String(word)) => match word.as_str() {
            "execute_all" => Ok(Semantic::ExecuteAll),
            "deny_on_first_deny" => Ok(Semantic::DenyOnFirstDeny),
            "permit_on_first_permit" => Ok(Semantic::PermitOnFirstPermit),
            _ => Err(
                "`options.evaluations_semantic` is none of `execute_all`, `deny_on_first_deny`, `permit_on_first_permit`"
                    .to_owned(),
            ),
        },
        Some(_) => Err("`options.evaluations_semantic` is no text".to_owned()),
    }
}

fn question<'r>(get: impl Fn(&str) -> Option<&'r Value>) -> Result<Question, Wrong> {
    let context = get("context");
    object("context", context)?;
    Ok(Question {
        subject: subject(get("subject"), context, true)?,
        resource: resource(get("resource"), true)?,
        action: action(get("action"))?,
        explain: explain(context),
    })
}

/// The subject; with `one` it has an id, without it its id is passed over.
pub fn subject(value: Option<&Value>, context: Option<&Value>, one: bool) -> Result<Subject, Wrong> {
    let subject = needed("subject", value)?;
    let kind = text("subject.type", subject.get("type"))?;
    let properties = object("subject.properties", subject.get("properties"))?;
    let tenant = |holder: Option<&Object>| {
        let text = holder.and_then(|holder| holder.get("tenant")).and_then(Value::as_str);
        text.map(|text| text.strip_prefix("tenants/").unwrap_or(text).to_owned())
    };
    let mut tenant = tenant(properties).or_else(|| tenant(object("context", context).ok().flatten()));
    let mut id = String::new();
    if one {
        id = text("subject.id", subject.get("id"))?;
        if let Some((of, who)) = id.strip_prefix("tenants/").and_then(|rest| rest.split_once("/principals/"))
        {
            (tenant, id) = (Some(of.to_owned()), who.to_owned());
        }
    }
    Ok(Subject { tenant, kind, id })
}

/// The resource; with `one` it has an id, without it its id is passed over.
pub fn resource(value: Option<&Value>, one: bool) -> Result<Resource, Wrong> {
    let resource = needed("resource", value)?;
    object("resource.properties", resource.get("properties"))?;
    let kind = text("resource.type", resource.get("type"))?;
    let id = if one { text("resource.id", resource.get("id"))? } else { String::new() };
    Ok(Resource { kind, id })
}

/// The name of the action.
pub fn action(value: Option<&Value>) -> Result<String, Wrong> {
    let action = needed("action", value)?;
    object("action.properties", action.get("properties"))?;
    text("action.name", action.get("name"))
}

/// Whether to say why.
pub fn explain(context: Option<&Value>) -> bool {
    context.and_then(|context| context.get("explain")) == Some(&Value::Bool(true))
}

/// The page of a search.
pub fn page(request: &Object) -> Result<Page, Wrong> {
    let Some(page) = object("page", request.get("page"))? else { return Ok(Page::default()) };
    let token = match page.get("token") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(token)) if token.len() <= MAX_TEXT => token.clone(),
        Some(_) => return Err("`page.token` is none that was given out here".to_owned()),
    };
    let limit = match page.get("limit") {
        None | Some(Value::Null) => None,
        Some(limit) => {
            let limit = limit.as_u64().filter(|limit| *limit > 0);
            let limit = limit.ok_or_else(|| "`page.limit` is no positive integer".to_owned())?;
            Some(usize::try_from(limit).unwrap_or(usize::MAX))
        }
    };
    Ok(Page { asked: true, token, limit })
}

fn needed<'v>(key: &str, value: Option<&'v Value>) -> Result<&'v Object, Wrong> {
    object(key, value)?.ok_or_else(|| format!("`{key}` is missing"))
}

/// An object, if it is there.
pub fn object<'v>(key: &str, value: Option<&'v Value>) -> Result<Option<&'v Object>, Wrong> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(format!("`{key}` is no JSON object")),
    }
}

fn text(key: &str, value: Option<&Value>) -> Result<String, Wrong> {
    match value {
        None | Some(Value::Null) => Err(format!("`{key}` is missing")),
        Some(Value::String(text)) if text.is_empty() => Err(format!("`{key}` is empty")),
        Some(Value::String(text)) if text.len() > MAX_TEXT => {
            Err(format!("`{key}` is longer than {MAX_TEXT} bytes"))
        }
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{key}` is no text")),
    }
}

impl Resource {
    /// As the engine is asked; none for what it does not know.
    pub fn target(&self) -> Option<Target> {
        let (plugin, part) = if let Some(rest) = self.id.strip_prefix("marketplaces/") {
            let (marketplace, rest) = rest.split_once("/plugins/")?;
            let (plugin, part) =
                rest.split_once('/').map_or((rest, None), |(plugin, part)| (plugin, Some(part)));
            let part = match (self.kind.as_str(), part) {
                ("app", Some(part)) => Some(part.strip_prefix("apps/")?),
                ("skill", Some(part)) => Some(part.strip_prefix("skills/")?),
                (_, part) => part,
            };
            (format!("{marketplace}/{plugin}"), part)
        } else {
            let (marketplace, rest) = self.id.split_once('/')?;
            let split = rest.split_once('/');
            split.map_or((self.id.clone(), None), |(plugin, part)| {
                (format!("{marketplace}/{plugin}"), Some(part))
            })
        };
        match (self.kind.as_str(), part) {
            ("plugin", None) => Some(Target::Plugin(plugin)),
            ("app", Some(part)) => Some(Target::App { plugin, app: part.to_owned() }),
            ("skill", Some(part)) => Some(Target::Skill { plugin, skill: part.to_owned() }),
            _ => None,
        }
    }
}
