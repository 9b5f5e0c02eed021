//! A peer that misbehaves below HTTP, on a raw socket: it never answers, answers late, too much, too little, or something
//! that is no answer at all. What a gateway must bear from a provider (threats-and-faults.md sections 7 and 12).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Takes the connection and never says a word.
    BlackHole,
    /// Says nothing for so long, then an empty searchset.
    Slow(Duration),
    /// Hangs up without an answer.
    HangsUp,
    /// Words that are no HTTP.
    NotHttp,
    /// 200 and this body.
    Says(String),
    /// 200 and a body that goes on for ever, as fast as it is taken.
    Endless,
    /// 200, a byte now and then, never an end.
    Drip,
    /// 200, announces more bytes than it sends, and hangs up.
    WrongLength,
    /// 200 and arrays inside arrays, deeper than any resource.
    Deep,
    /// This status, and `Retry-After` if there is one.
    Status(u16, Option<String>),
    /// 307 to this address.
    Redirects(String),
}

/// A listening liar; it ends with its last handle's process.
#[derive(Debug)]
pub struct Liar {
    port: u16,
    lie: Mutex<Lie>,
    asked: AtomicU64,
}

impl Liar {
    /// Listens on any free port of the loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(lie: Lie) -> io::Result<Arc<Liar>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let liar = Arc::new(Liar {
            port: listener.local_addr()?.port(),
            lie: Mutex::new(lie),
            asked: AtomicU64::new(0),
        });
        let serving = liar.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let liar = serving.clone();
                tokio::spawn(async move {
                    // Whoever asks may hang up at any time.
                    let _ = liar.meet(stream).await;
                });
            }
        });
        Ok(liar)
    }

    /// Its address, without a slash at the end.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it does this.
    pub fn tell(&self, lie: Lie) {
        *self.lie.lock().unwrap_or_else(PoisonError::into_inner) = lie;
    }

    /// How many questions reached it.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    async fn meet(&self, mut stream: TcpStream) -> io::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let lie = self
            .lie
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if lie == Lie::BlackHole {
            std::future::pending::<()>().await;
        }
        hear(&mut stream).await?;
        match lie {
            Lie::BlackHole | Lie::HangsUp => Ok(()),
            Lie::Slow(time) => {
                wire::stop::real_pause()(time).await;
                whole(
                    &mut stream,
                    r#"{"resourceType":"Bundle","type":"searchset"}"#,
                )
                .await
            }
            Lie::NotHttp => stream.write_all(b"EHLO provider\r\n\r\n").await,
            Lie::Says(body) => whole(&mut stream, &body).await,
            Lie::Endless => {
                head(&mut stream, "transfer-encoding: chunked").await?;
                let chunk = format!("{:x}\r\n{}\r\n", 65_536, " ".repeat(65_536));
                loop {
                    stream.write_all(chunk.as_bytes()).await?;
                }
            }
            Lie::Drip => {
                head(&mut stream, "transfer-encoding: chunked").await?;
                loop {
                    stream.write_all(b"1\r\n \r\n").await?;
                    wire::stop::real_pause()(Duration::from_millis(50)).await;
                }
            }
            Lie::WrongLength => {
                head(&mut stream, "content-length: 4096").await?;
                let body = br#"{"resourceType":"Bundle","type":"searchset"}"#;
                stream.write_all(body).await
            }
            Lie::Deep => {
                let deep = format!(
                    r#"{{"resourceType":"Bundle","type":"searchset","entry":{}{}}}"#,
                    "[".repeat(5_000),
                    "]".repeat(5_000)
                );
                whole(&mut stream, &deep).await
            }
            Lie::Status(status, wait) => {
                let wait = wait.map_or_else(String::new, |wait| format!("retry-after: {wait}\r\n"));
                let text = format!("HTTP/1.1 {status} No\r\n{wait}content-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).await
            }
            Lie::Redirects(to) => {
                let text =
                    format!("HTTP/1.1 307 There\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(text.as_bytes()).await
            }
        }
    }
}

/// Reads one request to its end, so that the answer is not lost in a reset.
async fn hear(stream: &mut TcpStream) -> io::Result<()> {
    let mut heard = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&heard).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let value = line.strip_prefix("content-length:")?;
                value.trim().parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(());
            }
        }
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Ok(());
        }
        heard.extend_from_slice(part.get(..read).unwrap_or_default());
    }
}

async fn head(stream: &mut TcpStream, length: &str) -> io::Result<()> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/fhir+json\r\n{length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await
}

async fn whole(stream: &mut TcpStream, body: &str) -> io::Result<()> {
    head(
        stream,
        &format!("connection: close\r\ncontent-length: {}", body.len()),
    )
    .await?;
    stream.write_all(body.as_bytes()).await
}
