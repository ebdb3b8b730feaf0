//! A listener that holds back connections beyond a limit: they wait in the system's backlog instead of costing memory.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, Stream, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Incoming connections, at most so many open at once.
pub struct Bounded {
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
    patience: Duration,
    next: BoxFuture<'static, io::Result<Connection>>,
}

impl Bounded {
    /// Accepts from `listener` while fewer than `limit` connections are open. One that has said nothing after `patience` is
    /// closed: it would hold its slot for ever.
    pub fn new(listener: TcpListener, limit: usize, patience: Duration) -> Self {
        let (listener, slots) = (Arc::new(listener), Arc::new(Semaphore::new(limit)));
        let next = accept(Arc::clone(&listener), Arc::clone(&slots), patience).boxed();
        Self { listener, slots, patience, next }
    }
}

async fn accept(
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
    patience: Duration,
) -> io::Result<Connection> {
    let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Connection { stream, silence: Some(Box::pin(tokio::time::sleep(patience))), _slot: slot })
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
    /// How long it may be silent, until it has said something.
    silence: Option<Pin<Box<Sleep>>>,
    _slot: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
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
        if buf.filled().len() > before {
            self.silence = None;
        }
        if read.is_pending()
            && let Some(silence) = &mut self.silence
            && silence.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
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
