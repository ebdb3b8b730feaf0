//! A listener that holds back connections beyond a limit: they wait in the system's backlog instead of costing memory.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, Stream, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Incoming connections, at most so many open at once.
pub struct Bounded {
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
    patience: Patience,
    next: BoxFuture<'static, io::Result<Connection>>,
}

/// How long a connection may hold its slot for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it says something.
    pub silence: Duration,
    /// Until it has asked something: the head of a first request is there.
    pub request: Duration,
}

impl Bounded {
    /// Accepts from `listener` while fewer than `limit` connections are open. One that has not said, or asked, anything in
    /// time is closed: it would hold its slot for ever.
    pub fn new(listener: TcpListener, limit: usize, patience: Patience) -> Self {
        let (listener, slots) = (Arc::new(listener), Arc::new(Semaphore::new(limit)));
        let next = accept(Arc::clone(&listener), Arc::clone(&slots), patience).boxed();
        Self { listener, slots, patience, next }
    }
}

async fn accept(
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
    patience: Patience,
) -> io::Result<Connection> {
    let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let peer = Peer { tcp: stream.connect_info(), asked: Arc::default() };
    let (begun, said) = (Instant::now(), false);
    let wait =
        Wait { sleep: Box::pin(tokio::time::sleep(patience.silence)), until: begun + patience.request, said };
    Ok(Connection { stream, peer, wait: Some(wait), _slot: slot })
}

impl Stream for Bounded {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(outcome) = self.next.poll_unpin(cx) else { return Poll::Pending };
        self.next = accept(Arc::clone(&self.listener), Arc::clone(&self.slots), self.patience).boxed();
        Poll::Ready(Some(outcome))
    }
}

/// A connection that gives its slot back when it closes.
pub struct Connection {
    stream: TcpStream,
    peer: Peer,
    /// None once it has asked something.
    wait: Option<Wait>,
    _slot: OwnedSemaphorePermit,
}

/// The time in which a connection has to say, and then to ask something.
struct Wait {
    sleep: Pin<Box<Sleep>>,
    /// Until when it has to ask.
    until: Instant,
    said: bool,
}

/// Who is at the other end, as each request of the connection knows it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub tcp: TcpConnectInfo,
    asked: Arc<AtomicBool>,
}

impl Peer {
    /// The connection has asked something: from now on it may be silent.
    pub fn has_asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.peer.clone()
    }
}

impl Connection {
    /// Whether the connection has held its slot for nothing for too long; `said`: it has just said something.
    fn is_late(&mut self, said: bool, cx: &mut Context<'_>) -> bool {
        if self.peer.asked.load(Ordering::Relaxed) {
            self.wait = None;
        }
        let Some(wait) = &mut self.wait else { return false };
        if said && !wait.said {
            wait.said = true;
            wait.sleep.as_mut().reset(wait.until);
        }
        wait.sleep.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let said = buf.filled().len() > before;
        // also where it says a little now and then
        if self.is_late(said, cx) { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { read }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
