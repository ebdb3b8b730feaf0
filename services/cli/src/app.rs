//! One run: where to talk to, how to answer, and the few ways in which commands call the API.

use std::{fmt::Display, fs, path::Path, pin::pin, time::Duration};

use proto::RpcRequest;
use tonic::{Request, Response, Status};

use crate::{
    args::{ChangeArgs, DangerArgs, ListArgs, PageArgs, Verb, YesArgs},
    cli::Global,
    client::{Client, Credentials, Link, Repeat, in_the_clear},
    console::Console,
    context::{Config, Settings, Token, token_in},
    error::{Error, Exit, Result},
    http::Files,
    names::Names,
    output::{Answer, Format, Named, items, reflect, text_field},
};

/// How often a watched answer is read again.
pub const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Default time for one call, in seconds.
const TIMEOUT_SECONDS: u64 = 30;
/// Said before a token leaves the machine unencrypted.
const IN_THE_CLEAR: &str = "warning: the token travels unencrypted to another machine; use an https address";

/// Everything that a command needs.
#[expect(missing_debug_implementations, reason = "streams have nothing to show")]
pub struct App<'a, 'c> {
    /// Where it reads and writes.
    pub console: &'a mut Console<'c>,
    /// The flags before and after the noun.
    pub global: Global,
    /// What short names mean.
    pub names: Names,
    settings: Settings,
    client: Option<Client>,
}

/// What a page of a list is asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// AIP-160 filter.
    pub filter: String,
    /// Order.
    pub order_by: String,
    /// At most this many.
    pub page_size: i32,
    /// Where to go on.
    pub page_token: String,
}

impl<'a, 'c> App<'a, 'c> {
    /// Puts flags, environment and context together. Nothing is sent yet and no token is read. A `local` command talks to
    /// no server, so a broken file of contexts cannot stop it.
    pub fn new(global: Global, local: bool, console: &'a mut Console<'c>) -> Result<Self> {
        if local {
            let settings = Settings::new(&global.place(), console.env, None);
            return Ok(Self { console, global, names: Names::default(), settings, client: None });
        }
        let config = Config::load(&Config::path(console.env)?)?;
        let wanted = global.context.clone().or_else(|| (console.env)("PROVOST_CONTEXT"));
        let context = config.pick(wanted.as_deref())?.map(|(_, context)| context);
        let settings = Settings::new(&global.place(), console.env, context);
        let home = (context.and_then(|c| c.tenant.as_deref()), context.and_then(|c| c.partner.as_deref()));
        let flags = (global.tenant.as_deref(), global.partner.as_deref());
        let names = Names::new(flags, global.platform, home)?;
        Ok(Self { console, global, names, settings, client: None })
    }

    /// How answers are written.
    pub fn format(&self) -> Format {
        self.global.output
    }

    /// The place to talk to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The connection; the first use reads the token.
    pub fn client(&mut self) -> Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let token = self.token()?;
        if token.is_some() && in_the_clear(&self.settings.address) {
            self.console.note(IN_THE_CLEAR);
        }
        let credentials = Credentials::new(token.as_deref(), (self.console.env)("TRACEPARENT").as_deref())?;
        let ca_file = self.settings.ca_file.as_deref();
        let client = Client::new(&self.settings.address, ca_file, credentials, self.patience())?;
        Ok(self.client.insert(client).clone())
    }

    /// The files below a path of the server, with the caller's token.
    pub fn files(&mut self, path: &str) -> Result<Files> {
        let token = self.token()?;
        if token.is_some() && in_the_clear(&self.settings.address) {
            self.console.note(IN_THE_CLEAR);
        }
        let base = format!("{}{path}", self.settings.address.trim_end_matches('/'));
        Files::new(
            &base,
            &self.settings.address,
            self.settings.ca_file.as_deref(),
            token.as_deref(),
            self.patience(),
        )
    }

    /// The files below an address that is a secret itself; a path alone is one of the server's.
    pub fn files_at(&self, url: &str) -> Result<Files> {
        let server = self.settings.address.trim_end_matches('/');
        let base = if url.starts_with('/') { format!("{server}{url}") } else { url.to_owned() };
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Error::Usage(
                "--url takes what `provost audit link create` printed, with or without `https://HOST:PORT` before it"
                    .to_owned(),
            ));
        }
        Files::new(&base, "the link", self.settings.ca_file.as_deref(), None, self.patience())
    }

    /// Longest time for one call.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.global.timeout.unwrap_or(TIMEOUT_SECONDS))
    }

    fn token(&mut self) -> Result<Option<String>> {
        match &self.settings.token {
            Token::None => Ok(None),
            Token::Value(token) => token_in(token, "PROVOST_TOKEN").map(Some),
            Token::Input => token_in(&self.console.read_input()?, "standard input").map(Some),
            Token::File(path) => {
                let origin = format!("the token file `{}`", path.display());
                let text = fs::read_to_string(path)
                    .map_err(|e| Error::Local(format!("{origin} cannot be read: {e}")))?;
                token_in(&text, &origin).map(Some)
            }
        }
    }

    /// Reads one thing and shows it; with `watch`, every time that it changes.
    pub async fn read<Q, A>(
        &mut self,
        watch: bool,
        request: Q,
        rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<A>, Status>,
    ) -> Result<Exit>
    where
        Q: RpcRequest + Clone,
        A: Named,
    {
        let client = self.client()?;
        let read = async || Ok(Answer::One(reflect(&client.call(Repeat::Safe, &request, &rpc).await?)?));
        self.show(watch, read).await
    }

    /// Reads a page, or all pages, of a list; `ask` makes the request of a page.
    pub async fn list<Q, A>(
        &mut self,
        watch: bool,
        args: &ListArgs,
        ask: impl Fn(Page) -> Q,
        rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<A>, Status>,
    ) -> Result<Exit>
    where
        Q: RpcRequest + Clone,
        A: Named,
    {
        let first = Page {
            filter: args.filter.clone(),
            order_by: args.order_by.clone(),
            page_size: args.page.page_size.unwrap_or_default(),
            page_token: args.page.page_token.clone(),
        };
        self.pages(watch, args.page.all, first, ask, rpc).await
    }

    /// The same for lists that are neither filtered nor ordered.
    pub async fn list_plain<Q, A>(
        &mut self,
        args: &PageArgs,
        ask: impl Fn(Page) -> Q,
        rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<A>, Status>,
    ) -> Result<Exit>
    where
        Q: RpcRequest + Clone,
        A: Named,
    {
        let (page_size, page_token) = (args.page_size.unwrap_or_default(), args.page_token.clone());
        let first = Page { filter: String::new(), order_by: String::new(), page_size, page_token };
        self.pages(false, args.all, first, ask, rpc).await
    }

    async fn pages<Q, A>(
        &mut self,
        watch: bool,
        all: bool,
        first: Page,
        ask: impl Fn(Page) -> Q,
        rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<A>, Status>,
    ) -> Result<Exit>
    where
        Q: RpcRequest + Clone,
        A: Named,
    {
        let client = self.client()?;
        let read = async || {
            let (mut page, mut found) = (first.clone(), Vec::new());
            loop {
                let answer = reflect(&client.call(Repeat::Safe, &ask(page.clone()), &rpc).await?)?;
                if !all {
                    return Ok(Answer::One(answer));
                }
                found.extend(items(&answer));
                page.page_token = text_field(&answer, "next_page_token");
                if page.page_token.is_empty() {
                    return Ok(Answer::All(found));
                }
            }
        };
        self.show(watch, read).await
    }

    /// Makes a change and shows the result.
    pub async fn change<Q, A>(
        &mut self,
        request: Q,
        rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<A>, Status>,
    ) -> Result<Exit>
    where
        Q: RpcRequest + Clone,
        A: Named,
    {
        let answer = self.client()?.call(Repeat::of_change(&request), &request, rpc).await?;
        self.changed(request.validate_only(), &answer)
    }

    /// Shows the result of a change, or that it would be accepted.
    pub fn changed<A: Named>(&mut self, validate_only: bool, answer: &A) -> Result<Exit> {
        const VALID: &str = "valid; nothing was changed";
        match (validate_only, self.format()) {
            (true, Format::Table) => self.console.print(&format!("{VALID}\n"))?,
            (true, _) => {
                self.console.note(VALID);
                self.print(&Answer::One(reflect(answer)?))?;
            }
            (false, _) => self.print(&Answer::One(reflect(answer)?))?,
        }
        Ok(Exit::OK)
    }

    /// Prints an answer and what there is to say beside it.
    pub fn print(&mut self, answer: &Answer) -> Result<()> {
        self.console.print(&answer.text(self.format())?)?;
        for note in answer.notes(self.format()) {
            self.console.note(&note);
        }
        Ok(())
    }

    /// Asks before `act` on `name`, unless told not to or nothing is going to change.
    pub fn confirm(&mut self, act: &str, name: &str, change: &ChangeArgs, yes: YesArgs) -> Result<()> {
        if yes.yes || change.validate_only { Ok(()) } else { self.console.confirm(&format!("{act} {name}")) }
    }

    /// A verb that asks first.
    pub fn danger(&mut self, act: &str, args: &DangerArgs, name: impl Display) -> Result<Verb> {
        let verb = args.verb.on(name);
        self.confirm(act, &verb.name, &args.verb.change, args.yes)?;
        Ok(verb)
    }

    /// Text of a file, or of standard input for `-`.
    pub fn read_file(&mut self, path: &Path) -> Result<String> {
        if path == Path::new("-") {
            return self.console.read_input();
        }
        fs::read_to_string(path)
            .map_err(|e| Error::Local(format!("`{}` cannot be read: {e}", path.display())))
    }

    async fn show(&mut self, watch: bool, read: impl AsyncFn() -> Result<Answer>) -> Result<Exit> {
        let mut shown = read().await?;
        self.print(&shown)?;
        if !watch {
            return Ok(Exit::OK);
        }
        // One listener for the whole watch: a Ctrl-C in the middle of a call counts too, and is no failure.
        let mut stop = pin!(tokio::signal::ctrl_c());
        loop {
            let next = async {
                tokio::time::sleep(WATCH_PERIOD).await;
                read().await
            };
            let now = tokio::select! {
                _ = &mut stop => return Ok(Exit::OK),
                now = next => now?,
            };
            if now != shown {
                self.print(&now)?;
                shown = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proto::token::v1::WhoAmIResponse;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_shows_changes_only() {
        let mut out = Vec::new();
        let mut console = Console {
            out: &mut out,
            err: &mut Vec::new(),
            input: &mut &b""[..],
            interactive: false,
            env: &|_| None,
        };
        let mut app = App::new(Global::default(), true, &mut console).unwrap();
        let read = Cell::new(0);
        let answers = ["one", "one", "two", "two"];
        let result = app
            .show(true, async || {
                let principal =
                    answers.get(read.replace(read.get() + 1)).ok_or(Error::Local("end".to_owned()))?;
                let answer =
                    WhoAmIResponse { principal: (*principal).to_owned(), ..WhoAmIResponse::default() };
                Ok(Answer::One(reflect(&answer)?))
            })
            .await;
        assert!(matches!(result, Err(Error::Local(_))));
        assert_eq!(String::from_utf8(out).unwrap(), "principal  one\nprincipal  two\n");
    }
}
