//! A connection that can be made to break at a chosen moment.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::fault::{Fault, Gate};

/// What is sent in place of an answer.
const NOT_HTTP: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46 this is not HTTP\r\n\r\n";

/// What becomes of the next answer on a connection. Given to handlers.
#[derive(Debug, Clone, Default)]
pub struct Wire(Arc<AtomicU8>);

const WHOLE: u8 = 0;
const CUT: u8 = 1;
const GARBLE: u8 = 2;
const GARBLED: u8 = 3;

impl Wire {
    /// The connection breaks instead of the answer.
    pub fn cut(&self) {
        self.0.store(CUT, Ordering::Release);
    }

    /// Something else is sent instead of the answer.
    pub fn garble(&self) {
        self.0.store(GARBLE, Ordering::Release);
    }
}

/// A connection. It breaks by a reset, which whoever sends sees at once.
pub struct Line {
    stream: TcpStream,
    wire: Wire,
    gate: Arc<Gate>,
    broken: bool,
}

impl Line {
    /// From now on it is a connection that breaks as soon as it is dropped.
    fn break_down(&mut self) -> io::Error {
        self.broken = true;
        // Fails for a connection that has ended already, which is what is wanted.
        let _ = self.stream.set_zero_linger();
        io::ErrorKind::ConnectionReset.into()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gate.fault() == Fault::ResetBefore {
            if !self.broken {
                self.gate.note_broken();
            }
            return Poll::Ready(Err(self.break_down()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.wire.0.load(Ordering::Acquire) {
            CUT => Poll::Ready(Err(self.break_down())),
            GARBLE => {
                // Short enough for the buffer of any connection.
                let written = Pin::new(&mut self.stream).poll_write(cx, NOT_HTTP);
                written.map_ok(|_| {
                    self.wire.0.store(GARBLED, Ordering::Release);
                    bytes.len()
                })
            }
            GARBLED => Poll::Ready(Ok(bytes.len())),
            _ => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An orderly end would be an answer of a kind.
        match self.broken {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.stream).poll_shutdown(cx),
        }
    }
}

/// A port whose connections are [`Line`]s.
pub struct Port {
    listener: TcpListener,
    gate: Arc<Gate>,
}

impl Port {
    pub fn new(listener: TcpListener, gate: Arc<Gate>) -> Port {
        Port { listener, gate }
    }
}

impl Listener for Port {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let line = Line { stream, wire: Wire::default(), gate: self.gate.clone(), broken: false };
        (line, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Port>> for Wire {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Wire {
        stream.io().wire.clone()
    }
}
