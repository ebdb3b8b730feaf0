//! A listener that holds back connections beyond a limit: they wait in the system's backlog instead of costing memory.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt as _, Stream, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Incoming connections, at most so many open at once.
pub struct Bounded {
    listener: Arc<TcpListener>,
    slots: Arc<Semaphore>,
    next: BoxFuture<'static, io::Result<Connection>>,
}

impl Bounded {
    /// Accepts from `listener` while fewer than `limit` connections are open.
    pub fn new(listener: TcpListener, limit: usize) -> Self {
        let (listener, slots) = (Arc::new(listener), Arc::new(Semaphore::new(limit)));
        let next = accept(Arc::clone(&listener), Arc::clone(&slots)).boxed();
        Self { listener, slots, next }
    }
}

async fn accept(listener: Arc<TcpListener>, slots: Arc<Semaphore>) -> io::Result<Connection> {
    let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Connection { stream, _slot: slot })
}

impl Stream for Bounded {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(outcome) = self.next.poll_unpin(cx) else { return Poll::Pending };
        self.next = accept(Arc::clone(&self.listener), Arc::clone(&self.slots)).boxed();
        Poll::Ready(Some(outcome))
    }
}

/// A connection that gives its slot back when it closes.
pub struct Connection {
    stream: TcpStream,
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
        Pin::new(&mut self.stream).poll_read(cx, buf)
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
