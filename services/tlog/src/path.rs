//! Which files a tiled log consists of, and how they are named: `checkpoint`, `tile/<level>/<index>[.p/<width>]`,
//! `tile/entries/<index>[.p/<width>]`. A name has one spelling; no other is read.

use std::fmt;

use crate::{Error, error::shown};

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// The highest level that a path may name. A tree that an index can count has no tile above level 7.
pub const MAX_LEVEL: u8 = 63;

/// Levels of tiles that a tree can have: 256 to the eighth is more than an index counts.
pub(crate) const LEVELS: u8 = 8;

/// Names a tile of hashes: at its level, the `index`-th run of 256 hashes, of which the first `width` exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    level: u8,
    index: u64,
    width: u16,
}

/// Names a bundle of entries: the entries below the level-0 tile of the same index and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}

/// A file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Checkpoint,
    Tile(TileId),
    Entries(BundleId),
}

impl TileId {
    /// A tile of level 0 to 63 and width 1 to 256.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, Error> {
        if level > MAX_LEVEL || !(1..=TILE_WIDTH).contains(&width) {
            return Err(Error::TileShape { level, width });
        }
        Ok(Self { level, index, width })
    }

    /// The tile with this index as a tree of `size` entries has it; `None` when that tree has no such tile.
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let width = width_at(hashes_at(level, size), index)?;
        Some(Self { level, index, width })
    }

    /// 0 for leaf hashes, one more for each 256 below.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The place within the level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes: 256 when full.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether nothing can be added to the tile any more.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile that this one is or grows to.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// The index of the first entry below the tile, capped at `u64::MAX`.
    pub fn start(&self) -> u64 {
        self.index.saturating_mul(self.span())
    }

    /// One past the index of the last entry below the full tile, capped at `u64::MAX`.
    pub fn end(&self) -> u64 {
        self.start().saturating_add(self.span())
    }

    fn span(&self) -> u64 {
        1_u64.checked_shl(8 * (u32::from(self.level) + 1)).unwrap_or(u64::MAX)
    }

    /// Such as `tile/0/x001/x234/067.p/12`.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, tail(self.index, self.width))
    }
}

impl BundleId {
    /// A bundle of 1 to 256 entries.
    pub fn new(index: u64, width: u16) -> Result<Self, Error> {
        TileId::new(0, index, width).map(Self::from)
    }

    /// The bundle with this index as a tree of `size` entries has it; `None` when that tree has no such bundle.
    pub fn in_tree(index: u64, size: u64) -> Option<Self> {
        TileId::in_tree(0, index, size).map(Self::from)
    }

    /// The bundle that holds an entry in a tree of `size` entries; `None` when the entry is not in that tree.
    pub fn of_entry(entry: u64, size: u64) -> Option<Self> {
        if entry < size { Self::in_tree(entry / u64::from(TILE_WIDTH), size) } else { None }
    }

    /// The place among the bundles.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many entries: 256 when full.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether nothing can be added to the bundle any more.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full bundle that this one is or grows to.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// The index of the first entry, capped at `u64::MAX`.
    pub fn start(&self) -> u64 {
        self.index.saturating_mul(u64::from(TILE_WIDTH))
    }

    /// One past the index of the last entry of the full bundle, capped at `u64::MAX`.
    pub fn end(&self) -> u64 {
        self.start().saturating_add(u64::from(TILE_WIDTH))
    }

    /// Such as `tile/entries/x001/x234/067.p/12`.
    pub fn path(&self) -> String {
        format!("tile/entries/{}", tail(self.index, self.width))
    }
}

impl From<TileId> for BundleId {
    fn from(tile: TileId) -> Self {
        Self { index: tile.index, width: tile.width }
    }
}

impl Resource {
    /// The path below the log's prefix, without a leading slash.
    pub fn path(&self) -> String {
        match self {
            Self::Checkpoint => "checkpoint".to_owned(),
            Self::Tile(tile) => tile.path(),
            Self::Entries(bundle) => bundle.path(),
        }
    }

    /// Reads a path as [`Resource::path`] writes it, and no other spelling.
    pub fn parse(path: &str) -> Result<Self, Error> {
        // what is read is written again and compared: so leading zeros, `x000/` and `.p/256` need no rule of their own
        Self::read(path).filter(|resource| resource.path() == path).ok_or_else(|| Error::Path(shown(path)))
    }

    fn read(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, decimal(width)?.try_into().ok()?),
            None => (rest, TILE_WIDTH),
        };
        let index = parse_index(index)?;
        match level {
            "entries" => BundleId::new(index, width).ok().map(Self::Entries),
            level => TileId::new(decimal(level)?.try_into().ok()?, index, width).ok().map(Self::Tile),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// The tiles that a tree of `new` entries has and one of `old` had not, level by level: those to publish when a log
/// grew. From 0 they are all tiles of a log. None when it did not grow.
pub fn tiles_added(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    (0..LEVELS).flat_map(move |level| {
        let (before, after) = (hashes_at(level, old), hashes_at(level, new));
        let first = before / u64::from(TILE_WIDTH);
        let last = if before < after { after.div_ceil(u64::from(TILE_WIDTH)) } else { first };
        (first..last).filter_map(move |index| TileId::in_tree(level, index, new))
    })
}

/// The bundles that a tree of `new` entries has and one of `old` had not, in order.
pub fn bundles_added(old: u64, new: u64) -> impl Iterator<Item = BundleId> {
    tiles_added(old, new).take_while(|tile| tile.level == 0).map(BundleId::from)
}

/// How many hashes a level of the tree has, in all its tiles.
pub(crate) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

fn width_at(hashes: u64, index: u64) -> Option<u16> {
    let rest = hashes.checked_sub(index.checked_mul(u64::from(TILE_WIDTH))?)?;
    u16::try_from(rest.min(u64::from(TILE_WIDTH))).ok().filter(|width| *width > 0)
}

fn tail(index: u64, width: u16) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH { format!("{text}.p/{width}") } else { text }
}

fn parse_index(text: &str) -> Option<u64> {
    let mut groups = text.split('/').rev();
    let last = groups.next()?;
    let mut index = group(last)?;
    let mut scale = 1_u64;
    for text in groups {
        scale = scale.checked_mul(1000)?;
        index = index.checked_add(group(text.strip_prefix('x')?)?.checked_mul(scale)?)?;
    }
    Some(index)
}

fn group(text: &str) -> Option<u64> {
    if text.len() == 3 { decimal(text) } else { None }
}

/// Digits alone: `str::parse` would also take a plus sign.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A number as sizes and indexes are written: digits without leading zeros.
pub(crate) fn canonical_decimal(text: &str) -> Option<u64> {
    if text.len() > 1 && text.starts_with('0') { None } else { decimal(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tile(level: u8, index: u64, width: u16) -> Resource {
        Resource::Tile(TileId::new(level, index, width).unwrap())
    }

    fn entries(index: u64, width: u16) -> Resource {
        Resource::Entries(BundleId::new(index, width).unwrap())
    }

    #[test]
    fn paths_read_as_the_specification_writes_them() {
        for (resource, path) in [
            (Resource::Checkpoint, "checkpoint"),
            (tile(0, 0, 256), "tile/0/000"),
            (tile(0, 273, 112), "tile/0/273.p/112"),
            (tile(63, 1_234_067, 256), "tile/63/x001/x234/067"),
            (entries(1_000, 1), "tile/entries/x001/000.p/1"),
            (entries(u64::MAX, 255), "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255"),
        ] {
            assert_eq!(resource.path(), path);
            assert_eq!(Resource::parse(path), Ok(resource));
        }
    }

    #[test]
    fn no_other_spelling_is_read() {
        for path in [
            "",
            "/checkpoint",
            "checkpoint/",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/00/000",
            "tile/64/000",
            "tile/256/000",
            "tile/+1/000",
            "tile/-1/000",
            "tile//000",
            "tile/data/000",
            "tile/0/0",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/x1/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/+01",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/x001.p/000",
            "tile/0/\u{0661}00",
            "tile/0/../0/000",
            "tile/entries/x018/x446/x744/x073/x709/x551/616",
            "tile/entries/x999/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Resource::parse(path), Err(Error::Path(path.to_owned())), "{path}");
        }
        assert_eq!(TileId::new(64, 0, 1), Err(Error::TileShape { level: 64, width: 1 }));
        assert_eq!(TileId::new(0, 0, 0), Err(Error::TileShape { level: 0, width: 0 }));
        assert_eq!(TileId::new(0, 0, 257), Err(Error::TileShape { level: 0, width: 257 }));
    }

    #[test]
    fn a_log_of_70000_entries_has_the_tiles_that_the_specification_counts() {
        let partial: Vec<_> = tiles_added(0, 70_000).filter(|id| !id.is_full()).map(|id| id.path()).collect();
        assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        assert_eq!(tiles_added(0, 70_000).filter(TileId::is_full).count(), 273 + 1);
        assert_eq!(bundles_added(0, 70_000).count(), 274);
        let grown: Vec<_> = tiles_added(255, 256).map(|id| id.path()).collect();
        assert_eq!(grown, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(tiles_added(7, 7).count() + tiles_added(9, 7).count(), 0);
    }

    #[test]
    fn the_ends_of_the_number_range_are_no_trap() {
        assert_eq!(tiles_added(u64::MAX - 1, u64::MAX).count(), 1);
        assert_eq!(TileId::in_tree(7, 0, u64::MAX).map(|id| id.width()), Some(255));
        assert_eq!(TileId::in_tree(8, 0, u64::MAX), None);
        assert_eq!(TileId::in_tree(0, u64::MAX, u64::MAX), None);
        assert_eq!(TileId::new(63, u64::MAX, 1).unwrap().end(), u64::MAX);
        assert_eq!(TileId::new(6, 0, 1).unwrap().end(), 1 << 56);
        assert_eq!(BundleId::new(u64::MAX, 1).unwrap().end(), u64::MAX);
        assert_eq!(BundleId::of_entry(512, 513), BundleId::new(2, 1).ok());
        assert_eq!(BundleId::of_entry(513, 513), None);
    }

    proptest! {
        #[test]
        fn every_name_is_read_back(level in 0..=MAX_LEVEL, index: u64, width in 1..=TILE_WIDTH) {
            for resource in [tile(level, index, width), entries(index, width)] {
                prop_assert_eq!(Resource::parse(&resource.path()), Ok(resource));
            }
        }

        #[test]
        fn what_is_read_was_spelt_the_one_way(path in "(tile/)?(entries|[0-9]{1,3})(/x?[0-9]{2,4}){1,8}(\\.p/[0-9]{1,4})?|\\PC*") {
            if let Ok(resource) = Resource::parse(&path) {
                prop_assert_eq!(resource.path(), path);
            }
        }
    }
}
