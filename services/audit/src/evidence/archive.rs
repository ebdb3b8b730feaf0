//! The zip file, written as a stream: chunks leave as they fill, and every file's SHA-256 is noted.

use std::{
    io::{self, Write as _},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{SinkExt as _, channel::mpsc};
use kernel::{Result, error::Error, hash};
use proto::audit::v1 as pb;
use sha2::{Digest as _, Sha256};
use zip::{
    CompressionMethod, DateTime, ZipWriter,
    write::{SimpleFileOptions, StreamWriter},
};

/// Largest chunk, bytes.
const MAX_CHUNK: usize = 256 * 1024;
/// A chunk is sent once it is over this.
const FULL_CHUNK: usize = 128 * 1024;

/// What the zip writer has written and nobody has taken.
#[derive(Clone, Default)]
struct Outlet(Arc<Mutex<Vec<u8>>>);

impl io::Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outlet {
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A zip file on its way to a caller.
pub struct Archive {
    zip: Box<ZipWriter<StreamWriter<Outlet>>>,
    /// The file that is being written.
    open: Option<(String, Sha256)>,
    digests: String,
    out: Sending,
}

/// What leaves.
struct Sending {
    outlet: Outlet,
    to: mpsc::Sender<pb::ExportEvidenceResponse>,
    sha256: Sha256,
    size: usize,
}

impl Archive {
    /// An empty one.
    pub fn new(to: mpsc::Sender<pb::ExportEvidenceResponse>) -> Self {
        let outlet = Outlet::default();
        Self {
            zip: Box::new(ZipWriter::new_stream(outlet.clone())),
            open: None,
            digests: String::new(),
            out: Sending { outlet, to, sha256: Sha256::new(), size: 0 },
        }
    }

    /// Begins a file; the one before ends.
    pub fn begin(&mut self, path: &str) -> Result<()> {
        self.close();
        // the same bytes for the same pack: no times; and sizes that 32 bits do not hold
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(0o644)
            .large_file(true);
        self.zip.start_file(path, options).map_err(Error::internal)?;
        self.open = Some((path.to_owned(), Sha256::new()));
        Ok(())
    }

    /// Adds to the file that was begun.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(MAX_CHUNK) {
            self.zip.write_all(piece).map_err(Error::internal)?;
            if let Some((_, sha256)) = &mut self.open {
                sha256.update(piece);
            }
            // compressing is some milliseconds of work: others get their turn in between
            tokio::task::consume_budget().await;
            if self.out.outlet.len() >= FULL_CHUNK {
                self.out.send().await?;
            }
        }
        Ok(())
    }

    /// Adds a whole file.
    pub async fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.begin(path)?;
        self.write(bytes).await
    }

    /// The files so far as `sha256sum` lists them.
    pub fn digests(&mut self) -> String {
        self.close();
        self.digests.clone()
    }

    /// Ends the zip file. `manifest` has what is known but length and SHA-256.
    pub async fn end(self, manifest: pb::EvidenceManifest) -> Result<()> {
        let Self { zip, mut out, .. } = self;
        zip.finish().map_err(Error::internal)?;
        out.send().await?;
        let size_bytes = i64::try_from(out.size).map_err(Error::internal)?;
        let sha256 = out.sha256.finalize_reset().to_vec();
        let manifest = Some(pb::EvidenceManifest { size_bytes, sha256, ..manifest });
        out.pass(pb::ExportEvidenceResponse { data: Vec::new(), manifest }).await
    }

    fn close(&mut self) {
        if let Some((path, sha256)) = self.open.take() {
            self.digests.push_str(&format!("{}  {path}\n", hash::hex(&sha256.finalize())));
        }
    }
}

impl Sending {
    /// Sends what is ready.
    async fn send(&mut self) -> Result<()> {
        let ready = self.outlet.take();
        self.sha256.update(&ready);
        self.size += ready.len();
        for piece in ready.chunks(MAX_CHUNK) {
            self.pass(pb::ExportEvidenceResponse { data: piece.to_vec(), manifest: None }).await?;
        }
        Ok(())
    }

    async fn pass(&mut self, message: pb::ExportEvidenceResponse) -> Result<()> {
        // who takes the chunks is dropped together with who writes them
        self.to.send(message).await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use futures::StreamExt as _;

    use super::*;

    async fn written() -> (Vec<u8>, pb::EvidenceManifest) {
        let (to, mut chunks) = mpsc::channel(1);
        let write = async {
            let mut archive = Archive::new(to);
            archive.file("a.txt", b"a").await.unwrap();
            archive.begin("big").unwrap();
            let mut noise = 1_u32;
            for _ in 0..40 {
                let block: Vec<u8> = (0..50_000)
                    .map(|_| {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        noise.to_be_bytes()[0]
                    })
                    .collect();
                archive.write(&block).await.unwrap();
            }
            let digests = archive.digests();
            assert_eq!(digests.lines().count(), 2);
            archive.file("list", digests.as_bytes()).await.unwrap();
            archive.end(pb::EvidenceManifest::default()).await.unwrap();
        };
        let read = async {
            let (mut bytes, mut manifest) = (Vec::new(), None);
            while let Some(chunk) = chunks.next().await {
                assert!(chunk.data.len() <= MAX_CHUNK && manifest.is_none());
                bytes.extend(chunk.data);
                manifest = chunk.manifest;
            }
            (bytes, manifest.expect("last of all"))
        };
        futures::join!(write, read).1
    }

    #[tokio::test]
    async fn chunks_make_a_zip_file_and_the_same_one_again() {
        let (bytes, manifest) = written().await;
        assert_eq!(manifest.size_bytes, i64::try_from(bytes.len()).unwrap());
        assert_eq!(manifest.sha256, Sha256::digest(&bytes).to_vec());
        assert_eq!(written().await.0, bytes);
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        zip.by_name("list").unwrap().read_to_string(&mut text).unwrap();
        let mut big = Vec::new();
        zip.by_name("big").unwrap().read_to_end(&mut big).unwrap();
        assert_eq!(big.len(), 2_000_000);
        let line = format!("{}  big\n", hash::hex(&Sha256::digest(&big)));
        assert!(text.ends_with(&line) && text.contains("  a.txt\n"), "{text}");
    }
}
