//! A pooler of the tests' own, between the service and Postgres: as the known ones do in "transaction mode", it gives out its
//! server connections for one transaction each. It keeps prepared statements, by preparing them again if a server connection
//! has not seen them. It speaks as much of the protocol (version 3) as tokio-postgres does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::config::Host;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Each client has a server connection of its own.
    Session,
    /// Each transaction gets one that its client has not had before.
    Changing,
    /// All transactions get the same, one after the other.
    One,
}

pub struct Pooler {
    address: SocketAddr,
    database: String,
    pooling: watch::Sender<Pooling>,
}

impl Pooler {
    /// Between `url`'s Unix socket and a port of loopback.
    pub async fn to(url: &str, pooling: Pooling) -> Self {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let Host::Unix(directory) = &config.get_hosts()[0] else {
            panic!("no Unix socket: {url}");
        };
        let socket = directory.join(format!(".s.PGSQL.{}", config.get_ports()[0]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pooling, poolings) = watch::channel(pooling);
        tokio::spawn(async move {
            let pools = Arc::new(Pools {
                socket,
                of: Mutex::default(),
            });
            while let Ok((client, _)) = listener.accept().await {
                let (pools, poolings) = (pools.clone(), poolings.clone());
                tokio::spawn(async move {
                    // However it ends: the client sees that its connection is gone.
                    let _ = Client::serve(client, &pools, &poolings).await;
                });
            }
        });
        Self {
            address,
            database: config.get_dbname().unwrap().to_owned(),
            pooling,
        }
    }

    pub fn url(&self) -> String {
        let (address, database) = (self.address, &self.database);
        format!("postgresql://waybill@{address}/{database}?sslmode=disable")
    }

    /// From each transaction's end on.
    pub fn set(&self, pooling: Pooling) {
        self.pooling.send_replace(pooling);
    }
}

struct Message {
    kind: u8,
    body: Bytes,
}

impl Message {
    async fn read(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Self> {
        let kind = from.read_u8().await?;
        let body = body(from).await?;
        Ok(Self { kind, body })
    }

    async fn write(&self, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
        let mut bytes = BytesMut::with_capacity(5 + self.body.len());
        bytes.put_u8(self.kind);
        bytes.put_u32(self.body.len() as u32 + 4);
        bytes.put_slice(&self.body);
        to.write_all(&bytes).await
    }

    /// The statement that it names, and where the name is.
    fn statement(&self) -> Option<(usize, &[u8])> {
        let name = |start: usize| {
            let rest = &self.body[start..];
            let end = rest.iter().position(|byte| *byte == 0).unwrap();
            (start, &rest[..end])
        };
        match self.kind {
            b'P' => Some(name(0)),
            // After the portal's name.
            b'B' => Some(name(name(0).1.len() + 1)),
            b'D' | b'C' if self.body[0] == b'S' => Some(name(1)),
            _ => None,
        }
        .filter(|(_, name)| !name.is_empty())
    }

    fn renamed(&self, (start, old): (usize, &[u8]), new: &[u8]) -> Self {
        let mut body = BytesMut::from(&self.body[..start]);
        body.put_slice(new);
        body.put_slice(&self.body[start + old.len()..]);
        Self {
            kind: self.kind,
            body: body.freeze(),
        }
    }
}

/// A length that counts itself, and what it announces.
async fn body(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Bytes> {
    let length = from.read_u32().await? as usize;
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok(body.into())
}

struct Server {
    number: u32,
    /// Out of the pool, and to be given back; or of one client alone.
    pooled: bool,
    stream: BufReader<UnixStream>,
    /// The statements that it has been given, by the names that they have here.
    prepared: HashSet<Bytes>,
}

impl Server {
    /// Whether the other end is still there.
    fn lives(&self) -> bool {
        let mut byte = [0];
        let read = self.stream.get_ref().try_read(&mut byte);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

struct Pools {
    socket: PathBuf,
    /// By the startup message without the application's name.
    of: Mutex<HashMap<Bytes, Arc<Pool>>>,
}

#[derive(Default)]
struct Pool {
    /// None: one that was lost, and is to be made again.
    free: Mutex<VecDeque<Option<Server>>>,
    /// What a server says first.
    greeting: Mutex<Bytes>,
}

impl Pools {
    async fn of(&self, startup: &Bytes) -> io::Result<Arc<Pool>> {
        let kind = without_name(startup);
        if let Some(pool) = self.of.lock().unwrap().get(&kind) {
            return Ok(pool.clone());
        }
        let pool = Pool::default();
        let server = self.connect(startup, &pool).await?;
        pool.give_back(Some(server));
        let mut pools = self.of.lock().unwrap();
        Ok(pools.entry(kind).or_insert(Arc::new(pool)).clone())
    }

    async fn connect(&self, startup: &Bytes, pool: &Pool) -> io::Result<Server> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut stream = BufReader::new(UnixStream::connect(&self.socket).await?);
        let mut bytes = BytesMut::new();
        bytes.put_u32(startup.len() as u32 + 4);
        bytes.put_slice(startup);
        stream.write_all(&bytes).await?;
        let mut greeting = Vec::new();
        loop {
            let message = Message::read(&mut stream).await?;
            message.write(&mut greeting).await?;
            match message.kind {
                b'E' => return Err(io::ErrorKind::ConnectionRefused.into()),
                b'Z' => break,
                _ => {}
            }
        }
        *pool.greeting.lock().unwrap() = greeting.into();
        Ok(Server {
            number: COUNT.fetch_add(1, Ordering::Relaxed),
            pooled: true,
            stream,
            prepared: HashSet::new(),
        })
    }
}

impl Pool {
    fn give_back(&self, server: Option<Server>) {
        self.free.lock().unwrap().push_back(server);
    }
}

/// `application_name` is all in which the stages' sessions differ, and they share a pool as clients of one role do.
fn without_name(startup: &Bytes) -> Bytes {
    let words: Vec<&[u8]> = startup[4..].split(|byte| *byte == 0).collect();
    let pairs = words
        .chunks(2)
        .filter(|pair| pair[0] != b"application_name");
    pairs.flatten().copied().collect::<Vec<_>>().concat().into()
}

struct Client<'a> {
    stream: BufReader<TcpStream>,
    number: u32,
    startup: Bytes,
    pools: &'a Pools,
    pool: Arc<Pool>,
    /// What it has prepared, on whatever server.
    statements: HashMap<Bytes, Message>,
    /// The servers that it has had.
    had: HashSet<u32>,
}

impl<'a> Client<'a> {
    async fn serve(
        stream: TcpStream,
        pools: &'a Pools,
        pooling: &watch::Receiver<Pooling>,
    ) -> io::Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let _ = stream.set_nodelay(true);
        let mut stream = BufReader::new(stream);
        let startup = body(&mut stream).await?;
        let pool = pools.of(&startup).await?;
        let greeting = pool.greeting.lock().unwrap().clone();
        stream.write_all(&greeting).await?;
        let mut client = Self {
            stream,
            number: COUNT.fetch_add(1, Ordering::Relaxed),
            startup,
            pools,
            pool,
            statements: HashMap::new(),
            had: HashSet::new(),
        };
        let mut held = None;
        let outcome = client.transactions(&mut held, pooling).await;
        if held.is_some_and(|server| server.pooled) {
            // A transaction is open on it: nobody else is to have it.
            client.pool.give_back(None);
        }
        outcome
    }

    async fn transactions(
        &mut self,
        held: &mut Option<Server>,
        pooling: &watch::Receiver<Pooling>,
    ) -> io::Result<()> {
        while let Some(unit) = self.unit().await? {
            if held.is_none() {
                let now = *pooling.borrow();
                // Who shared servers has settings and statements on all of them, and on none alone: it has to connect anew.
                if now == Pooling::Session && !self.had.is_empty() {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                *held = Some(self.server(now).await);
            }
            let server = held.as_mut().unwrap();
            let ended = self.exchange(unit, server).await?;
            if ended && *pooling.borrow() != Pooling::Session {
                let server = held.take().filter(|server| server.pooled);
                server
                    .into_iter()
                    .for_each(|server| self.pool.give_back(Some(server)));
            }
        }
        Ok(())
    }

    /// What is to be answered together: up to a Query or a Sync. None if the client says goodbye.
    async fn unit(&mut self) -> io::Result<Option<Vec<Message>>> {
        let mut unit = Vec::new();
        loop {
            let message = Message::read(&mut self.stream).await?;
            match message.kind {
                b'X' => return Ok(None),
                b'Q' | b'S' => {
                    unit.push(message);
                    return Ok(Some(unit));
                }
                _ => unit.push(message),
            }
        }
    }

    /// A server, once there is one.
    async fn server(&mut self, pooling: Pooling) -> Server {
        let place = loop {
            match self.place(pooling) {
                Some(place) => break place,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let server = match place.filter(Server::lives) {
            Some(server) => server,
            None => self.connect().await,
        };
        self.had.insert(server.number);
        Server {
            pooled: pooling != Pooling::Session,
            ..server
        }
    }

    /// A place for a server, with the one that is there. None if it is to be waited for.
    fn place(&self, pooling: Pooling) -> Option<Option<Server>> {
        let mut free = self.pool.free.lock().unwrap();
        let is_new = |server: &Option<Server>| {
            let server = server.as_ref();
            server.is_some_and(|server| !self.had.contains(&server.number))
        };
        match pooling {
            Pooling::Session => Some(None),
            Pooling::One => free.pop_front(),
            // The pool has as many as it takes.
            Pooling::Changing => {
                let place = free.iter().position(is_new);
                Some(place.and_then(|place| free.remove(place)).flatten())
            }
        }
    }

    /// Clients are held back, not told, while Postgres is away.
    async fn connect(&self) -> Server {
        loop {
            match self.pools.connect(&self.startup, &self.pool).await {
                Ok(server) => return server,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Whether no transaction is open after it.
    async fn exchange(&mut self, unit: Vec<Message>, server: &mut Server) -> io::Result<bool> {
        // What the server has not seen is prepared first, and its answers are nobody's.
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        let mut parsed = 0;
        for message in &unit {
            let Some(statement) = message.statement() else {
                message.write(&mut rest).await?;
                continue;
            };
            let name = Bytes::from([format!("{}_", self.number).as_bytes(), statement.1].concat());
            let renamed = message.renamed(statement, &name);
            renamed.write(&mut rest).await?;
            if message.kind == b'C' {
                server.prepared.remove(&name);
                self.statements.remove(&name);
                continue;
            }
            let seen = !server.prepared.insert(name.clone());
            if message.kind == b'P' {
                self.statements.insert(name, renamed);
            } else if let Some(parse) = self.statements.get(&name).filter(|_| !seen) {
                parse.write(&mut first).await?;
                parsed += 1;
            }
        }
        server.stream.write_all(&first).await?;
        server.stream.write_all(&rest).await?;
        loop {
            let message = Message::read(&mut server.stream).await?;
            if message.kind == b'1' && parsed > 0 {
                parsed -= 1;
                continue;
            }
            message.write(&mut self.stream).await?;
            match message.kind {
                b'G' => self.copy_in(server).await?,
                b'Z' => return Ok(message.body[0] == b'I'),
                _ => {}
            }
        }
    }

    /// All up to the Sync that follows its end.
    async fn copy_in(&mut self, server: &mut Server) -> io::Result<()> {
        loop {
            let message = Message::read(&mut self.stream).await?;
            message.write(&mut server.stream).await?;
            if message.kind == b'S' {
                return Ok(());
            }
        }
    }
}
