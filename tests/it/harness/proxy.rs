//! A line that can be cut, silenced and torn to shreds, between the service and a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::frames::Frames;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Open,
    /// A few bytes at a time.
    Shreds,
    /// Ten bytes a second.
    Trickle,
    /// Everything vanishes, in both directions; the sockets stay open, and new ones are taken: a server that is hung.
    Hole,
    /// Everything vanishes, and what would connect hears nothing: a server that is off. By `off` alone.
    Off,
    /// Only what the server says vanishes.
    Mute,
    /// Every other COMMIT reaches Postgres, and the line is cut before its answer.
    LoseCommits,
    /// To a broker: no ack of an order reaches it. From the next connection on.
    LoseAcks,
    /// From a broker: messages come twice, out of order, and again later. From the next connection on.
    Scramble,
}

/// Connections that wait to be taken. Few, so that there is soon no room for more.
const BACKLOG: u32 = 16;

pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
    cut: watch::Sender<u32>,
    /// In nobody's way but that of whoever would connect.
    waiting: Vec<TcpStream>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), server).await
    }

    pub async fn at(address: SocketAddr, server: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let address = listener.local_addr().unwrap();
        let (line, mut lines) = watch::channel(Line::Open);
        let (cut, cuts) = watch::channel(0);
        tokio::spawn(async move {
            while lines.wait_for(|line| *line != Line::Off).await.is_ok() {
                let client = tokio::select! {
                    Ok((client, _)) = listener.accept() => client,
                    _ = lines.changed() => continue,
                };
                let (lines, mut cuts) = (lines.clone(), cuts.clone());
                cuts.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(client, server, lines) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            line,
            cut,
            waiting: Vec::new(),
        }
    }

    /// Takes no connection any more. The kernel would still answer for us, until so many wait that it drops what comes.
    pub async fn off(&mut self) {
        self.line.send_replace(Line::Off);
        let briefly = Duration::from_millis(500);
        while let Ok(connected) =
            tokio::time::timeout(briefly, TcpStream::connect(self.address)).await
        {
            self.waiting.push(connected.unwrap());
        }
    }

    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// All connections, at once; new ones are taken.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, lines: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let pipe = |from, to, up| Pipe {
        from,
        to,
        up,
        line: lines.clone(),
        doomed: Arc::default(),
        frames: Frames::default(),
        begun_with: *lines.borrow(),
    };
    let mut up = pipe(from_client, to_server, true);
    let mut down = pipe(from_server, to_client, false);
    down.doomed = up.doomed.clone();
    tokio::select! {
        () = up.run() => {}
        () = down.run() => {}
    }
}

struct Pipe {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    up: bool,
    line: watch::Receiver<Line>,
    /// A COMMIT is on its way whose answer is to be lost.
    doomed: Arc<AtomicBool>,
    frames: Frames,
    begun_with: Line,
}

impl Pipe {
    async fn run(&mut self) {
        let mut buffer = vec![0; 16 * 1024];
        let mut leaking = false;
        loop {
            let Ok(length @ 1..) = self.from.read(&mut buffer).await else {
                return;
            };
            let bytes = &buffer[..length];
            let line = *self.line.borrow();
            // Where bytes were lost, nothing that follows makes sense: such a connection stays a hole.
            leaking |= match line {
                Line::Hole | Line::Off => true,
                Line::Mute => !self.up,
                _ => false,
            };
            if leaking {
                continue;
            }
            let understood = match self.begun_with {
                Line::LoseAcks if self.up => Some(self.frames.without_acks(bytes)),
                Line::Scramble if !self.up => Some(self.frames.scrambled(bytes)),
                _ => None,
            };
            if let Some(bytes) = understood {
                if self.to.write_all(&bytes).await.is_err() {
                    return;
                }
                continue;
            }
            match line {
                Line::Shreds => {
                    for piece in bytes.chunks(7) {
                        if self.to.write_all(piece).await.is_err() {
                            return;
                        }
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                Line::Trickle => {
                    for piece in bytes.chunks(10) {
                        if *self.line.borrow() == Line::Trickle {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                        if self.to.write_all(piece).await.is_err() {
                            return;
                        }
                    }
                    continue;
                }
                Line::LoseCommits if self.up => {
                    let commit = bytes.windows(7).any(|part| part == b"commit\0");
                    if commit && fastrand::bool() {
                        self.doomed.store(true, Ordering::Relaxed);
                    }
                }
                Line::LoseCommits if self.doomed.load(Ordering::Relaxed) => return,
                _ => {}
            }
            if self.to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}
