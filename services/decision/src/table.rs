//! The rules of one role: their rows, and the cells that are made of them.

use std::sync::Arc;

use crate::{
    catalogue::{Catalogue, Entry, Scope},
    cell::{Cell, Cells},
    error::{Kind, Result},
    explain::Obstacle,
    model::{Effect, Level, MaxStage, Stage},
    mutant::{Mutant, mutated},
    names::number,
};

/// From when, inclusive, and until when, exclusive, a rule holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub from: Option<i64>,
    pub until: Option<i64>,
}

/// What a rule does, and on which terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub effect: Effect,
    pub max_stage: MaxStage,
    pub pool: Option<u32>,
    pub window: Window,
}

/// A rule, unpacked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'t> {
    pub id: &'t str,
    pub scope: Scope,
    pub terms: Terms,
    pub level: Level,
    pub reason: &'t str,
}

/// What keeps a rule from holding, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Obstacles(u8);

/// A rule, packed: texts and windows are elsewhere, most rules have no window.
#[derive(Clone, Copy, Debug)]
struct Row {
    scope: Scope,
    pool: u32,
    window: u32,
    text: u32,
    id_bytes: u32,
    reason_bytes: u32,
    effect: Effect,
    max_stage: MaxStage,
    level: Level,
}

const NONE: u32 = u32::MAX;

/// The rules of one role: first those with a seat or a window, then the others, each sorted by what they speak of.
#[derive(Debug, Default)]
struct Rows {
    all: Box<[Row]>,
    /// How many have a seat or a window.
    aside: usize,
    windows: Box<[Window]>,
    text: Box<str>,
}

/// The rules of one role with their cells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    plugins: Cells,
    parts: Cells,
    rows: Arc<Rows>,
}

impl Table {
    pub fn new(lines: Vec<Line<'_>>, catalogue: &Catalogue) -> Result<Self> {
        let rows = Arc::new(Rows::new(lines)?);
        let (mut plugins, mut parts) = (Vec::new(), Vec::new());
        for row in &rows.all {
            let cell = rows.terms(row).cell();
            match row.scope {
                Scope::Plugin(at) => plugins.push((at, cell)),
                Scope::Part(at) => parts.push((at, cell)),
                set => plugins.extend(catalogue.plugins_of(set).iter().map(|&at| (at, cell))),
            }
        }
        Ok(Self { plugins: Cells::new(plugins), parts: Cells::new(parts), rows })
    }

    /// The same rules, when `plugins` belong to other marketplaces or groups than they did.
    pub fn moved(&self, plugins: &[u32], catalogue: &Catalogue) -> Self {
        let cell = |at| {
            let mut cell = Cell::default();
            catalogue
                .cover(at)
                .flat_map(|scope| self.about(scope))
                .for_each(|line| cell |= line.terms.cell());
            (at, cell)
        };
        let plugins = self.plugins.with(plugins.iter().map(|&at| cell(at)).collect());
        Self { plugins, parts: self.parts.clone(), rows: Arc::clone(&self.rows) }
    }

    /// What these rules say of `entry`.
    #[inline]
    pub fn cell(&self, entry: &Entry<'_>) -> Cell {
        let mut cell = self.plugins.get(entry.plugin);
        if let Some(part) = entry.part {
            cell |= self.parts.get(part);
        }
        cell
    }

    /// The cells of all plugins.
    pub fn plugins(&self) -> &Cells {
        &self.plugins
    }

    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.rows.all.iter().map(|row| self.rows.line(row))
    }

    /// The rules that speak of `scope`.
    pub fn about(&self, scope: Scope) -> impl Iterator<Item = Line<'_>> {
        let (aside, others) = self.rows.split();
        about(aside, scope).chain(about(others, scope)).map(|row| self.rows.line(row))
    }

    /// The terms of those of them that have a seat or a window.
    #[inline]
    pub fn aside(&self, scope: Scope) -> impl Iterator<Item = Terms> {
        let (aside, _) = self.rows.split();
        about(aside, scope).map(|row| self.rows.terms(row))
    }

    /// All of those, with what they speak of.
    pub fn all_aside(&self) -> impl Iterator<Item = (Scope, Terms)> {
        let (aside, _) = self.rows.split();
        aside.iter().map(|row| (row.scope, self.rows.terms(row)))
    }

    /// Whether one of the rules has such an id.
    pub fn has_rule(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.rows.all.iter().any(|row| wanted(self.rows.id(row)))
    }

    /// What the rules name: each a scope and a pool.
    pub fn named(&self) -> impl Iterator<Item = (Scope, Option<u32>)> {
        self.rows.all.iter().map(|row| (row.scope, row.pool()))
    }

    pub fn len(&self) -> usize {
        self.rows.all.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let Rows { all, windows, text, .. } = &*self.rows;
        let rows = size_of_val(&**all) + size_of_val(&**windows) + text.len();
        size_of::<Self>() + size_of::<Rows>() + self.plugins.bytes() + self.parts.bytes() + rows
    }
}

impl Rows {
    fn new(mut lines: Vec<Line<'_>>) -> Result<Self> {
        lines.sort_unstable_by_key(|line| (!line.terms.is_aside(), line.scope, line.id));
        let aside = lines.iter().take_while(|line| line.terms.is_aside()).count();
        let texts: usize = lines.iter().map(|line| line.id.len().saturating_add(line.reason.len())).sum();
        number(Kind::Rule, texts)?;
        let (mut rows, mut windows, mut text) = (Vec::with_capacity(lines.len()), Vec::new(), String::new());
        text.reserve_exact(texts);
        for line in lines {
            let Terms { effect, max_stage, pool, window } = line.terms;
            let window = if window == Window::default() {
                NONE
            } else {
                windows.push(window);
                number(Kind::Rule, windows.len() - 1)?
            };
            rows.push(Row {
                scope: line.scope,
                pool: pool.unwrap_or(NONE),
                window,
                text: number(Kind::Rule, text.len())?,
                id_bytes: number(Kind::Rule, line.id.len())?,
                reason_bytes: number(Kind::Rule, line.reason.len())?,
                effect,
                max_stage,
                level: line.level,
            });
            text.push_str(line.id);
            text.push_str(line.reason);
        }
        Ok(Self { all: rows.into(), aside, windows: windows.into(), text: text.into() })
    }

    fn split(&self) -> (&[Row], &[Row]) {
        self.all.split_at_checked(self.aside).unwrap_or_default()
    }

    fn id(&self, row: &Row) -> &str {
        let begin = row.text as usize;
        self.text.get(begin..begin + row.id_bytes as usize).unwrap_or_default()
    }

    fn line(&self, row: &Row) -> Line<'_> {
        let reason = row.text as usize + row.id_bytes as usize;
        let reason = self.text.get(reason..reason + row.reason_bytes as usize).unwrap_or_default();
        Line { id: self.id(row), scope: row.scope, terms: self.terms(row), level: row.level, reason }
    }

    #[inline]
    fn terms(&self, row: &Row) -> Terms {
        Terms {
            effect: row.effect,
            max_stage: row.max_stage,
            pool: row.pool(),
            window: self.windows.get(row.window as usize).copied().unwrap_or_default(),
        }
    }
}

/// The run of sorted `rows` that speak of `scope`.
#[inline]
fn about(rows: &[Row], scope: Scope) -> impl Iterator<Item = &Row> {
    let from = rows.partition_point(|row| row.scope < scope);
    rows.iter().skip(from).take_while(move |row| row.scope == scope)
}

impl Row {
    fn pool(&self) -> Option<u32> {
        (self.pool != NONE).then_some(self.pool)
    }
}

impl Terms {
    /// Whether it must be looked at when the question is asked.
    fn is_aside(&self) -> bool {
        self.window != Window::default() || (self.pool.is_some() && !self.denies())
    }

    pub fn denies(&self) -> bool {
        self.effect == Effect::Denied
    }

    fn cell(&self) -> Cell {
        if self.is_aside() {
            Cell::ASIDE
        } else if self.denies() {
            Cell::DENIED
        } else {
            Cell::allowed(self.effect, self.max_stage)
        }
    }

    /// What keeps the rule from holding for a plugin of `stage` and a holder of seats of `pools`, at `now`. A deny is
    /// kept by its window only.
    #[inline]
    pub fn obstacles(&self, stage: Stage, pools: &[u32], now: i64) -> Obstacles {
        let mut found = Obstacles::default();
        if !self.denies() {
            let seated = self.pool.is_none_or(|pool| pools.contains(&pool)) || mutated(Mutant::Term);
            found.add(Obstacle::Stage, !self.max_stage.admits(stage));
            found.add(Obstacle::Seat, !seated);
        }
        let Window { from, until } = self.window;
        let late = |until| if mutated(Mutant::Expiry) { now > until } else { now >= until };
        found.add(Obstacle::NotOpen, from.is_some_and(|from| now < from) && !mutated(Mutant::WindowStart));
        found.add(Obstacle::Closed, until.is_some_and(late));
        found
    }
}

impl Obstacles {
    /// A stage alone.
    pub const STAGE: Self = Self(1);

    fn add(&mut self, obstacle: Obstacle, stands: bool) {
        self.0 |= u8::from(stands) << obstacle as u8;
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order in which they are named.
    pub fn iter(self) -> impl Iterator<Item = Obstacle> {
        Obstacle::ALL.into_iter().filter(move |&obstacle| self.0 & (1 << obstacle as u8) != 0)
    }

    /// How far from holding: one obstacle before several; of as many, by the one that is named.
    pub fn distance(self) -> (u32, u32, u8) {
        (self.0.count_ones(), self.0.trailing_zeros(), self.0)
    }
}

impl FromIterator<Obstacle> for Obstacles {
    fn from_iter<I: IntoIterator<Item = Obstacle>>(obstacles: I) -> Self {
        let mut set = Self::default();
        obstacles.into_iter().for_each(|obstacle| set.add(obstacle, true));
        set
    }
}
