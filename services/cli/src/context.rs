//! Contexts: named places to talk to, kept in one file of the user's.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where the server is when nothing says otherwise.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7443";

/// One named place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// `http://host:port` or `https://host:port`.
    pub address: String,
    /// File that holds the token; the token itself is never kept here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file of the certificate authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Tenant that short names are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Partner that short names are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
}

/// The file of contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the one in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All of them by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

impl Config {
    /// `$PROVOST_CONFIG`, else `$XDG_CONFIG_HOME/provost/config.toml`, else `~/.config/provost/config.toml`.
    pub fn path(env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf> {
        if let Some(path) = env("PROVOST_CONFIG") {
            return Ok(PathBuf::from(path));
        }
        let base = env("XDG_CONFIG_HOME").map(PathBuf::from);
        base.or_else(|| Some(PathBuf::from(env("HOME")?).join(".config")))
            .map(|base| base.join("provost").join("config.toml"))
            .ok_or_else(|| {
                Error::Local("neither HOME nor PROVOST_CONFIG is set; say where contexts are kept".to_owned())
            })
    }

    /// Reads the file; a file that is not there holds no context.
    pub fn load(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|e| {
                Error::Local(format!("`{}` is not a file of contexts: {}", path.display(), e.message()))
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Error::Local(format!("`{}` cannot be read: {e}", path.display()))),
        }
    }

    /// Writes the file whole or not at all, readable by its owner only.
    pub fn save(&self, path: &Path) -> Result<()> {
        let failed = |e: io::Error| Error::Local(format!("`{}` cannot be written: {e}", path.display()));
        let text = toml::to_string(self).map_err(|e| failed(io::Error::other(e)))?;
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        }
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        create_private(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, path))
            .map_err(|e| {
                let _ = fs::remove_file(&draft);
                failed(e)
            })
    }

    /// The context called `name`, else the one in use.
    pub fn pick(&self, name: Option<&str>) -> Result<Option<(&str, &Context)>> {
        let Some(name) = name.or(self.current.as_deref()) else { return Ok(None) };
        match self.contexts.get_key_value(name) {
            Some((name, context)) => Ok(Some((name, context))),
            None => {
                Err(Error::Usage(format!("there is no context `{name}`; `provost context list` shows them")))
            }
        }
    }
}

/// A new file that only its owner reads; fails when it is there already.
pub fn create_private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Where the token comes from. It is read when the first call needs it.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// Calls go out without one.
    None,
    /// From `PROVOST_TOKEN`.
    Value(String),
    /// From a file.
    File(PathBuf),
    /// From standard input (`--token-file -`).
    Input,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Value(_) => "PROVOST_TOKEN",
            Self::File(_) => "file",
            Self::Input => "standard input",
        })
    }
}

/// What the flags say about the place to talk to.
#[derive(Clone, Debug, Default)]
pub struct Place<'a> {
    /// `--address`.
    pub address: Option<&'a str>,
    /// `--token-file`.
    pub token_file: Option<&'a Path>,
    /// `--ca-file`.
    pub ca_file: Option<&'a Path>,
}

/// The place to talk to, once flags, environment and context are put together, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `http://host:port` or `https://host:port`.
    pub address: String,
    /// The credential.
    pub token: Token,
    /// PEM file of the certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// A context's token is only ever sent to the context's own address.
    pub fn new(flags: &Place<'_>, env: &dyn Fn(&str) -> Option<String>, context: Option<&Context>) -> Self {
        let asked = flags.address.map(str::to_owned).or_else(|| env("PROVOST_ADDRESS"));
        let home = context.filter(|c| asked.as_ref().is_none_or(|asked| *asked == c.address));
        let token = match (flags.token_file, env("PROVOST_TOKEN"), home.and_then(|c| c.token_file.clone())) {
            (Some(path), ..) if path == Path::new("-") => Token::Input,
            (Some(path), ..) => Token::File(path.to_owned()),
            (None, Some(token), _) => Token::Value(token),
            (None, None, Some(path)) => Token::File(path),
            (None, None, None) => Token::None,
        };
        Self {
            address: asked
                .or_else(|| context.map(|c| c.address.clone()))
                .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
            token,
            ca_file: flags.ca_file.map(Path::to_owned).or_else(|| home.and_then(|c| c.ca_file.clone())),
        }
    }
}

/// The token in the text of a file: one line, nothing else.
pub fn token_in(text: &str, origin: &str) -> Result<String> {
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Error::Local(format!("{origin} does not hold one token and nothing else")));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn example() -> Config {
        let context = Context {
            address: "https://provost.example".to_owned(),
            token_file: Some(PathBuf::from("/keys/token")),
            tenant: Some("acme".to_owned()),
            ..Context::default()
        };
        Config { current: Some("prod".to_owned()), contexts: BTreeMap::from([("prod".to_owned(), context)]) }
    }

    #[test]
    fn a_saved_file_reads_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/config.toml");
        assert_eq!(Config::load(&path).unwrap(), Config::default());
        example().save(&path).unwrap();
        example().save(&path).unwrap();
        assert_eq!(Config::load(&path).unwrap(), example());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_with_unknown_keys_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        for text in ["token = 'x'", "[contexts.a]\naddress = 'http://x'\ntoken = 'x'", "current = ["] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Config::load(&path), Err(Error::Local(_))), "{text}");
        }
    }

    #[test]
    fn the_path_follows_the_environment() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned())
        };
        let all = [("PROVOST_CONFIG", "/c.toml"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        let all: &'static [_] = Box::leak(Box::new(all));
        assert_eq!(Config::path(&env(all)).unwrap(), PathBuf::from("/c.toml"));
        assert_eq!(Config::path(&env(&all[1..])).unwrap(), PathBuf::from("/x/provost/config.toml"));
        assert_eq!(Config::path(&env(&all[2..])).unwrap(), PathBuf::from("/h/.config/provost/config.toml"));
        assert!(Config::path(&env(&[])).is_err());
    }

    #[test]
    fn an_unknown_context_is_a_usage_error() {
        assert!(matches!(example().pick(Some("dev")), Err(Error::Usage(_))));
        assert_eq!(example().pick(None).unwrap().unwrap().0, "prod");
        assert_eq!(Config::default().pick(None).unwrap(), None);
    }

    #[test]
    fn flags_win_over_environment_over_context() {
        let config = example();
        let context = config.contexts.get("prod");
        let env = |key: &str| (key == "PROVOST_TOKEN").then(|| "pv_pat_x".to_owned());
        let none = |_: &str| None;
        let flags = Place { token_file: Some(Path::new("/f")), ..Place::default() };
        assert_eq!(Settings::new(&flags, &env, context).token, Token::File(PathBuf::from("/f")));
        assert_eq!(
            Settings::new(&Place::default(), &env, context).token,
            Token::Value("pv_pat_x".to_owned())
        );
        assert_eq!(
            Settings::new(&Place::default(), &none, context).token,
            Token::File(PathBuf::from("/keys/token"))
        );
        assert_eq!(Settings::new(&Place::default(), &none, None).address, DEFAULT_ADDRESS);
        let input = Place { token_file: Some(Path::new("-")), ..Place::default() };
        assert_eq!(Settings::new(&input, &env, context).token, Token::Input);
    }

    #[test]
    fn a_stored_token_stays_with_its_address() {
        let config = example();
        let context = config.contexts.get("prod");
        let elsewhere = Place { address: Some("http://evil.example"), ..Place::default() };
        assert_eq!(Settings::new(&elsewhere, &|_| None, context).token, Token::None);
        let home = Place { address: Some("https://provost.example"), ..Place::default() };
        assert_eq!(Settings::new(&home, &|_| None, context).token, Token::File(PathBuf::from("/keys/token")));
        let env = |key: &str| (key == "PROVOST_ADDRESS").then(|| "http://evil.example".to_owned());
        assert_eq!(Settings::new(&Place::default(), &env, context).token, Token::None);
    }

    #[test]
    fn a_token_file_holds_one_token() {
        assert_eq!(token_in("pv_pat_x\n", "`f`").unwrap(), "pv_pat_x");
        assert!(token_in("\n", "`f`").is_err());
        assert!(token_in("a b", "`f`").is_err());
    }

    #[test]
    fn debug_never_shows_a_token() {
        assert_eq!(format!("{:?}", Token::Value("pv_pat_secret".to_owned())), "PROVOST_TOKEN");
    }
}
