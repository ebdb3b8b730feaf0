//! A marketplace directory that is arriving: a header, then files or one archive, in pieces.

use std::{fs::File, io::Write as _, path::PathBuf};

use kernel::{Ctx, Result, error::Error, hash};
use proto::catalog::v1::{self as pb, import_marketplace_request::Part};

use crate::{
    archive::{self, Packing},
    model::Stage,
    tree::{Kind, MAX_BYTES, Tree, TreeBuilder},
    wire::known_stage,
};

/// Largest piece, bytes.
const MAX_PIECE: usize = 1024 * 1024;

/// What has arrived.
pub(crate) struct Upload {
    /// Where archives wait until they are complete.
    spool: PathBuf,
    header: Option<pb::ImportHeader>,
    body: Body,
}

enum Body {
    Files(TreeBuilder),
    Archive(Archive),
}

/// An archive: on disk, in a file without a name that is gone with this process.
struct Archive {
    file: File,
    bytes: u64,
    packing: Option<Packing>,
}

impl Upload {
    /// Nothing yet; archives wait in the directory `spool`.
    pub(crate) fn new(spool: PathBuf) -> Self {
        Self { spool, header: None, body: Body::Files(TreeBuilder::new()) }
    }

    /// Takes the next message.
    pub(crate) fn take(&mut self, message: pb::ImportMarketplaceRequest) -> Result<()> {
        match (message.part, &self.header) {
            (Some(Part::Header(header)), None) => {
                initial_stage(&header)?;
                self.header = Some(header);
                Ok(())
            }
            (Some(Part::File(file)), Some(_)) => self.file(&file),
            (Some(Part::Archive(piece)), Some(_)) => self.archive(&piece),
            (Some(Part::Header(_)), Some(_)) => {
                Err(Error::invalid("header", "came twice; send it once, first"))
            }
            (Some(Part::File(_) | Part::Archive(_)), None) => {
                Err(Error::invalid("header", "is missing; send it before the files"))
            }
            (None, _) => {
                Err(Error::invalid("part", "is empty; send a header or a piece of a file or an archive"))
            }
        }
    }

    fn file(&mut self, file: &pb::ImportFile) -> Result<()> {
        short("file.content", &file.content)?;
        let kind = if file.symlink { Kind::Symlink } else { Kind::File };
        match &mut self.body {
            Body::Files(tree) => tree.push(&file.path, kind, &file.content),
            Body::Archive(_) => {
                Err(Error::invalid("file", "follows an archive; send either files or an archive"))
            }
        }
    }

    fn archive(&mut self, piece: &pb::ImportArchive) -> Result<()> {
        short("archive.content", &piece.content)?;
        let archive = match &mut self.body {
            Body::Archive(archive) => archive,
            Body::Files(tree) if tree.is_fresh() => {
                let file = tempfile::tempfile_in(&self.spool).map_err(Error::internal)?;
                self.body = Body::Archive(Archive { file, bytes: 0, packing: packing(piece.format)? });
                return self.archive(piece);
            }
            Body::Files(_) => {
                return Err(Error::invalid("archive", "follows a file; send either files or an archive"));
            }
        };
        archive.bytes += piece.content.len() as u64;
        if archive.bytes > MAX_BYTES {
            return Err(Error::Marketplace(
                "the archive has more than 256 MiB; remove what does not belong to the marketplace"
                    .to_owned(),
            ));
        }
        archive.file.write_all(&piece.content).map_err(Error::internal)
    }

    /// The directory and the stage of plugins not seen before; the context takes over what the header says.
    pub(crate) async fn finish(self, ctx: &mut Ctx) -> Result<(Tree, Option<Stage>)> {
        let header =
            self.header.ok_or_else(|| Error::invalid("header", "is missing; send it before the files"))?;
        let tree = match self.body {
            Body::Files(tree) => tree.finish()?,
            Body::Archive(Archive { file, packing, .. }) => {
                let unpacked = tokio::task::spawn_blocking(move || archive::unpack(file, packing)).await;
                unpacked.map_err(Error::internal)??
            }
        };
        let stage = initial_stage(&header)?;
        let payload = [tree.sha256().as_bytes(), stage.map_or("", Stage::as_str).as_bytes()].concat();
        ctx.with_request(&header.request_id, header.validate_only, hash::sha256(&payload).to_vec())?;
        Ok((tree, stage))
    }
}

fn short(field: &str, content: &[u8]) -> Result<()> {
    if content.len() <= MAX_PIECE {
        return Ok(());
    }
    let length = content.len();
    Err(Error::invalid(field, format!("has {length} bytes; send pieces of at most 1,048,576")))
}

fn packing(number: i32) -> Result<Option<Packing>> {
    match pb::ArchiveFormat::try_from(number) {
        Ok(pb::ArchiveFormat::Unspecified) => Ok(None),
        Ok(pb::ArchiveFormat::Tar) => Ok(Some(Packing::Tar)),
        Ok(pb::ArchiveFormat::TarGz) => Ok(Some(Packing::TarGz)),
        Ok(pb::ArchiveFormat::Zip) => Ok(Some(Packing::Zip)),
        Err(_) => Err(Error::invalid(
            "archive.format",
            format!("`{number}` is not a format; use TAR, TAR_GZ or ZIP, or nothing"),
        )),
    }
}

/// The stage that the header asks for, if it does.
fn initial_stage(header: &pb::ImportHeader) -> Result<Option<Stage>> {
    match header.initial_stage {
        0 => Ok(None),
        number => known_stage("header.initial_stage", number).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(part: Part) -> pb::ImportMarketplaceRequest {
        pb::ImportMarketplaceRequest { part: Some(part) }
    }

    fn header(initial_stage: i32) -> pb::ImportMarketplaceRequest {
        message(Part::Header(pb::ImportHeader { initial_stage, ..pb::ImportHeader::default() }))
    }

    fn file(path: &str, bytes: usize) -> pb::ImportMarketplaceRequest {
        message(Part::File(pb::ImportFile {
            path: path.to_owned(),
            content: vec![b'x'; bytes],
            symlink: false,
        }))
    }

    fn archive(format: i32, bytes: usize) -> pb::ImportMarketplaceRequest {
        message(Part::Archive(pb::ImportArchive { format, content: vec![b'x'; bytes] }))
    }

    fn taken(messages: Vec<pb::ImportMarketplaceRequest>) -> Result<Upload> {
        let mut upload = Upload::new(std::env::temp_dir());
        messages.into_iter().try_for_each(|m| upload.take(m)).map(|()| upload)
    }

    #[test]
    fn an_upload_is_one_header_and_then_pieces_of_files() {
        let upload = taken(vec![header(0), file("a", MAX_PIECE), file("a", 1), file("b", 0)]).unwrap();
        let Body::Files(tree) = upload.body else { panic!("files are no archive") };
        let tree = tree.finish().unwrap();
        assert_eq!(tree.file("a").unwrap().length, MAX_PIECE as u64 + 1);
        for (wrong, field) in [
            (vec![file("a", 1)], "header"),
            (vec![header(0), header(0)], "header"),
            (vec![header(0), pb::ImportMarketplaceRequest { part: None }], "part"),
            (vec![header(0), file("a", MAX_PIECE + 1)], "file.content"),
            (vec![header(9)], "header.initial_stage"),
            (vec![archive(0, 1)], "header"),
            (vec![header(0), archive(9, 1)], "archive.format"),
            (vec![header(0), archive(0, MAX_PIECE + 1)], "archive.content"),
            (vec![header(0), archive(1, 1), file("a", 1)], "file"),
            (vec![header(0), file("a", 1), archive(1, 1)], "archive"),
        ] {
            let Err(Error::Invalid(violations)) = taken(wrong).map(|_| ()) else {
                panic!("{field} was accepted")
            };
            assert_eq!(violations[0].field, field);
        }
        let link = pb::ImportFile { path: "a".to_owned(), symlink: true, ..pb::ImportFile::default() };
        assert!(matches!(taken(vec![header(0), message(Part::File(link))]), Err(Error::Marketplace(_))));
    }

    #[test]
    fn stages_read_back_from_the_wire_and_only_an_import_may_leave_it_open() {
        for stage in Stage::ALL {
            assert_eq!(known_stage("stage", pb::Stage::from(stage).into()).unwrap(), stage);
        }
        assert_eq!(initial_stage(&pb::ImportHeader::default()).unwrap(), None);
        assert!(known_stage("stage", 0).is_err() && known_stage("stage", 6).is_err());
    }
}
