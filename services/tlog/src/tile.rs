//! Tiles of hashes, bundles of entries, and a set of tiles in memory.

use std::collections::HashMap;

use crate::{
    Error, Hash,
    path::{TILE_WIDTH, TileId},
};

/// The largest entry that a bundle can hold.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// A tile and its hashes: always as many as its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    id: TileId,
    hashes: Vec<Hash>,
}

impl Tile {
    /// A tile of these hashes, 1 to 256 of them.
    pub fn new(level: u8, index: u64, hashes: Vec<Hash>) -> Result<Self, Error> {
        let width = u16::try_from(hashes.len()).unwrap_or(u16::MAX);
        Ok(Self { id: TileId::new(level, index, width)?, hashes })
    }

    /// Reads the bytes that [`Tile::encode`] wrote.
    pub fn decode(id: TileId, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != usize::from(id.width()) * Hash::LEN {
            return Err(Error::TileLength { width: id.width(), bytes: bytes.len() });
        }
        Ok(Self { id, hashes: bytes.chunks(Hash::LEN).filter_map(Hash::from_slice).collect() })
    }

    /// The hashes, one after the other: what is stored and served.
    pub fn encode(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| hash.0).collect()
    }

    /// Its name.
    pub fn id(&self) -> TileId {
        self.id
    }

    /// Its hashes.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// The tiles that a proof or a root is computed from, once storage has given them. Of two tiles with the same level
/// and index it keeps the wider one, which answers for the narrower one too.
#[derive(Debug, Clone, Default)]
pub struct TileSet {
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl TileSet {
    /// A set without tiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tile.
    pub fn insert(&mut self, tile: Tile) {
        let held = self.tiles.entry((tile.id.level(), tile.id.index())).or_default();
        if held.len() < tile.hashes.len() {
            *held = tile.hashes;
        }
    }

    /// The hashes of a tile, exactly as many as its width, if the set holds that many.
    pub fn get(&self, id: TileId) -> Option<&[Hash]> {
        self.tiles.get(&(id.level(), id.index()))?.get(..usize::from(id.width()))
    }

    /// Those of the tiles that the set does not hold: the ones to fetch still.
    pub fn missing(&self, ids: &[TileId]) -> Vec<TileId> {
        ids.iter().copied().filter(|id| self.get(*id).is_none()).collect()
    }

    /// A run of hashes of one tile.
    pub(crate) fn run(&self, level: u8, index: u64, start: usize, count: usize) -> Option<&[Hash]> {
        self.tiles.get(&(level, index))?.get(start..start.checked_add(count)?)
    }
}

impl Extend<Tile> for TileSet {
    fn extend<I: IntoIterator<Item = Tile>>(&mut self, tiles: I) {
        tiles.into_iter().for_each(|tile| self.insert(tile));
    }
}

impl FromIterator<Tile> for TileSet {
    fn from_iter<I: IntoIterator<Item = Tile>>(tiles: I) -> Self {
        let mut set = Self::new();
        set.extend(tiles);
        set
    }
}

/// The bytes of `tile/entries/<index>`: each of the 1 to 256 entries behind its length, two bytes, big-endian.
pub fn encode_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, Error> {
    if entries.is_empty() || entries.len() > usize::from(TILE_WIDTH) {
        return Err(Error::BundleCount(entries.len()));
    }
    let mut bytes = Vec::with_capacity(entries.iter().map(|entry| entry.as_ref().len() + 2).sum());
    for entry in entries.iter().map(AsRef::as_ref) {
        let length = u16::try_from(entry.len()).map_err(|_| Error::EntryLength(entry.len()))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// Reads the entries of a bundle: exactly `width` of them (1 to 256), and nothing behind the last.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, Error> {
    if !(1..=TILE_WIDTH).contains(&width) {
        return Err(Error::BundleCount(width.into()));
    }
    let mut entries = Entries::new(bytes);
    let found = (0..width).map(|_| entries.next_entry()).collect::<Result<Vec<_>, _>>()?;
    entries.finish()?;
    Ok(found)
}

/// Walks the entries of a bundle.
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn next_entry(&mut self) -> Result<&'a [u8], Error> {
        let (length, rest) =
            self.rest.split_first_chunk().ok_or(Error::Bundle("ends before its last entry"))?;
        let (entry, rest) = rest
            .split_at_checked(u16::from_be_bytes(*length).into())
            .ok_or(Error::Bundle("ends within an entry"))?;
        self.rest = rest;
        Ok(entry)
    }

    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Bundle("has bytes behind its last entry")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::leaf_hash;

    #[test]
    fn a_tile_has_as_many_hashes_as_its_name_says() {
        let hashes = vec![leaf_hash(b"a"), leaf_hash(b"b")];
        let tile = Tile::new(1, 7, hashes).unwrap();
        assert_eq!(Tile::decode(tile.id(), &tile.encode()), Ok(tile.clone()));
        assert_eq!(tile.id().path(), "tile/1/007.p/2");
        assert_eq!(
            Tile::decode(tile.id(), &tile.encode()[..63]),
            Err(Error::TileLength { width: 2, bytes: 63 })
        );
        assert_eq!(Tile::new(0, 0, Vec::new()), Err(Error::TileShape { level: 0, width: 0 }));
        assert!(Tile::new(0, 0, vec![leaf_hash(b""); 257]).is_err());
        assert!(Tile::new(0, 0, vec![leaf_hash(b""); 65_537]).is_err());
    }

    #[test]
    fn a_wider_tile_answers_for_a_narrower_one() {
        let hashes: Vec<_> = (0..9_u8).map(|n| leaf_hash(&[n])).collect();
        let narrow = Tile::new(0, 3, hashes[..4].to_vec()).unwrap();
        let wide = Tile::new(0, 3, hashes.clone()).unwrap();
        let mut set: TileSet = [wide.clone(), narrow.clone()].into_iter().collect();
        assert_eq!(set.get(wide.id()), Some(&hashes[..]));
        assert_eq!(set.get(narrow.id()), Some(&hashes[..4]));
        let wider = TileId::new(0, 3, 10).unwrap();
        assert_eq!(set.missing(&[wide.id(), wider]), [wider]);
        set.insert(Tile::new(0, 3, vec![leaf_hash(b"x"); 10]).unwrap());
        assert_eq!(set.missing(&[wide.id(), wider]), []);
    }

    #[test]
    fn bundles_have_their_limits() {
        assert_eq!(encode_bundle(&[b"ab".as_slice(), b""]), Ok(vec![0, 2, b'a', b'b', 0, 0]));
        assert_eq!(encode_bundle::<&[u8]>(&[]), Err(Error::BundleCount(0)));
        assert_eq!(encode_bundle(&[b""; 257]), Err(Error::BundleCount(257)));
        assert!(encode_bundle(&[vec![0; 65_535]]).is_ok());
        assert_eq!(encode_bundle(&[vec![0; 65_536]]), Err(Error::EntryLength(65_536)));
        assert_eq!(decode_bundle(&[0, 2, 1], 1), Err(Error::Bundle("ends within an entry")));
        assert_eq!(decode_bundle(&[0, 0, 0], 2), Err(Error::Bundle("ends before its last entry")));
        assert_eq!(decode_bundle(&[0, 0, 0], 1), Err(Error::Bundle("has bytes behind its last entry")));
        assert_eq!(decode_bundle(&[], 0), Err(Error::BundleCount(0)));
        assert_eq!(decode_bundle(&[], 257), Err(Error::BundleCount(257)));
    }

    proptest! {
        #[test]
        fn bundles_are_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..=256)) {
            let bytes = encode_bundle(&entries).unwrap();
            let width = u16::try_from(entries.len()).unwrap();
            prop_assert_eq!(decode_bundle(&bytes, width).unwrap(), entries);
        }

        #[test]
        fn what_is_read_as_a_bundle_is_written_the_same(bytes in prop::collection::vec(0..3_u8, 0..64), width in 0..12_u16) {
            if let Ok(entries) = decode_bundle(&bytes, width) {
                prop_assert_eq!(encode_bundle(&entries).unwrap(), bytes);
            }
        }
    }
}
