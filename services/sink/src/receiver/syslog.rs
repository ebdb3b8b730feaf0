//! Syslog: RFC 5424 messages, octet-counted in TLS (RFC 5425).
//!
//! Syslog has no acknowledgement. What comes closest is the end of the connection: a receiver answers our `close_notify` with
//! its own once it has read what was before it (RFC 5425, section 4.4). So a batch is one connection, and counts when the
//! receiver has closed it too. rsyslog and older syslog-ng close the connection without a `close_notify` of their own; that
//! counts as well: all of ours was sent before. A connection that is
//! reset, or that does not end in time, does not count, and the batch comes again.
//!
//! So it is at least once up to the receiver's socket, not up to its disk: what a receiver has read and loses, or reads and
//! throws away, nobody tells us. A delivery certificate shows what is missing, and a replay brings it.

use std::sync::Arc;

use audit::https::{Reach, advised, tls};
use kernel::{Result, audit::Resource as _, config::Sinks, error::Error};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Outcome, PATIENCE};
use crate::{message::Message, model::Sink, target::reach};

/// Facility 13: log audit.
const FACILITY: u8 = 13;
/// Private enterprise number of the structured data: the one of RFC 5612, for those who have none.
const SD_ID: &str = "provost@32473";

/// The sender.
pub struct Syslog {
    reach: Reach,
    tls: Arc<ClientConfig>,
    host: String,
    port: u16,
}

impl Syslog {
    /// To the sink's address.
    pub fn new(settings: &Sinks, sink: &Sink) -> Result<Self> {
        let missing = || Error::internal(format!("`{}` has no address", sink.name()));
        let (host, port) = sink.target.host().ok_or_else(missing)?;
        Ok(Self { reach: reach(settings), tls: Arc::new(tls(&sink.ca_certificate)?), host, port })
    }

    /// Sends the batch over a connection of its own.
    pub async fn send(&self, batch: &[Message]) -> Outcome {
        let mut frames = Vec::new();
        for message in batch {
            match frame(message) {
                Ok(frame) => frames.extend(frame),
                Err(error) => return Outcome::Refused(error.to_string()),
            }
        }
        match timeout(PATIENCE, self.exchange(&frames)).await {
            Ok(Ok(())) => Outcome::Taken,
            Ok(Err(error)) => {
                Outcome::again(format!("`{}:{}`: {}", self.host, self.port, advised(error.to_string())))
            }
            Err(_) => Outcome::again(format!("`{}:{}`: it did not answer in time", self.host, self.port)),
        }
    }

    async fn exchange(&self, frames: &[u8]) -> std::io::Result<()> {
        let addresses = self.reach.resolve(&self.host, self.port).await?;
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        let mut stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        stream.write_all(frames).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut rest = [0_u8; 512];
        loop {
            match stream.read(&mut rest).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // closed, though without the word of TLS for it
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// `LENGTH SP MESSAGE`.
fn frame(message: &Message) -> Result<Vec<u8>> {
    let text = format(message)?;
    Ok([text.len().to_string().as_bytes(), b" ", text.as_bytes()].concat())
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID [SD] BOM MSG`.
fn format(message: &Message) -> Result<String> {
    let severity = match message.outcome.as_str() {
        "ok" => 6,
        "denied" => 4,
        _ => 3,
    };
    let host = message.log.split('/').next().unwrap_or_default();
    let data = [
        ("event", message.id.to_string()),
        ("sequence", message.sequence.to_string()),
        ("log", message.log.clone()),
        ("outcome", message.outcome.clone()),
        ("leafHash", message.leaf_hash.clone()),
    ];
    let data = data.map(|(name, value)| format!(" {name}=\"{}\"", escaped(&value))).concat();
    Ok(format!(
        "<{}>1 {} {} provost - {} [{SD_ID}{data}] \u{feff}{}",
        FACILITY * 8 + severity,
        message.time,
        word(host, 255),
        word(&message.action, 32),
        message.payload()?
    ))
}

/// A header field: printable ASCII without spaces, or `-`.
fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// A value of structured data.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    use kernel::clock::Time;

    use super::*;

    #[test]
    fn a_message_is_framed_by_its_length_in_octets() {
        let mut message = Message::test(uuid::Uuid::nil(), "log.example/plat\"form]\\", Time::from_micros(1));
        message.outcome = "denied".to_owned();
        message.event = serde_json::json!({"name": "Zoë"});
        let text = format(&message).unwrap();
        assert!(text.starts_with("<108>1 1970-01-01T00:00:00.000001Z log.example provost - sink.test [provost@32473 event=\"00000000-"), "{text}");
        assert!(text.contains("log=\"log.example/plat\\\"form\\]\\\\\""), "{text}");
        let frame = frame(&message).unwrap();
        assert!(frame.starts_with(format!("{} <108>1 ", text.len()).as_bytes()));
        assert_eq!(word("", 3), "-");
        assert_eq!(word("a b\u{e9}cd", 3), "abc");
    }
}
