//! The load generator's own HTTP/1.1: one kept-alive connection, whole requests out, whole answers in, nothing between.
//!
//! Blocking and thread by thread, so that the generator costs little and its times are those of the wire. It reads what
//! our servers send (`Content-Length`); anything else is an error in words, never a guess.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest header block of an answer.
const HEAD: usize = 64 * 1024;
/// Least room for one read.
const ROOM: usize = 64 * 1024;

/// A connection to a server, opened anew when the server closed it.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// A whole answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    head: &'a str,
    /// Body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// A header's value, by name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

impl Connection {
    /// A connection that is opened by its first request.
    pub fn to(address: SocketAddr) -> Connection {
        Connection {
            address,
            stream: None,
            buffer: Vec::with_capacity(128 * 1024),
        }
    }

    /// Opens it now.
    pub fn open(&mut self) -> io::Result<()> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Closes it; the next request opens another.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Sends a request whole and reads its answer whole. After an error the connection is closed.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        if self.stream.is_none() {
            self.open()?;
        }
        let Some(stream) = self.stream.as_mut() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match answer(stream, request, &mut self.buffer) {
            Ok(parts) => {
                let head = std::str::from_utf8(&self.buffer[..parts.head])
                    .map_err(|_| strange("a header that is no text"))?;
                if parts.last {
                    self.stream = None;
                }
                Ok(Answer {
                    status: parts.status,
                    head,
                    body: &self.buffer[parts.head..parts.head + parts.body],
                })
            }
            Err(error) => {
                self.stream = None;
                Err(error)
            }
        }
    }
}

/// Where an answer's parts end in the buffer.
struct Parts {
    status: u16,
    head: usize,
    body: usize,
    last: bool,
}

fn answer(
    stream: &mut (impl Read + Write),
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> io::Result<Parts> {
    stream.write_all(request)?;
    let mut filled = 0_usize;
    let head = loop {
        let searched = filled.saturating_sub(3);
        more(stream, buffer, &mut filled)?;
        if let Some(at) = buffer[searched..filled]
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
        {
            break searched + at + 4;
        }
        if filled > HEAD {
            return Err(strange("a header block without end"));
        }
    };
    let text =
        std::str::from_utf8(&buffer[..head]).map_err(|_| strange("a header that is no text"))?;
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| strange("no HTTP/1.1 status line"))?;
    let body: usize = match header(text, "content-length") {
        Some(length) => length
            .parse()
            .map_err(|_| strange("a Content-Length that is no number"))?,
        None if status == 204 || status == 304 => 0,
        None => return Err(strange("an answer without Content-Length")),
    };
    let last = header(text, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    while filled < head + body {
        more(stream, buffer, &mut filled)?;
    }
    if filled > head + body {
        return Err(strange("more bytes than the answer has"));
    }
    Ok(Parts {
        status,
        head,
        body,
        last,
    })
}

/// Reads what has come, at least one byte, behind the first `filled`. Room once made stays.
fn more(stream: &mut impl Read, buffer: &mut Vec<u8>, filled: &mut usize) -> io::Result<()> {
    if buffer.len() < *filled + ROOM {
        buffer.resize(*filled + ROOM, 0);
    }
    let read = stream.read(&mut buffer[*filled..])?;
    if read == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *filled += read;
    Ok(())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn strange(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a POST into `out`, replacing what was there. Header values are the generator's own.
pub fn post(
    out: &mut Vec<u8>,
    host: SocketAddr,
    path: &str,
    media_type: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    out.clear();
    let mut line = |parts: &[&str]| {
        parts
            .iter()
            .for_each(|part| out.extend_from_slice(part.as_bytes()))
    };
    line(&[
        "POST ",
        path,
        " HTTP/1.1\r\nhost: ",
        &host.to_string(),
        "\r\ncontent-type: ",
        media_type,
    ]);
    line(&["\r\ncontent-length: ", &body.len().to_string(), "\r\n"]);
    for (name, value) in headers {
        line(&[name, ": ", value, "\r\n"]);
    }
    line(&["\r\n"]);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::collections::VecDeque;

    /// A server that says its pieces one read at a time.
    struct Said(VecDeque<&'static [u8]>, Vec<u8>);

    impl Read for Said {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }
    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read(pieces: &[&'static [u8]]) -> io::Result<(u16, Vec<u8>, bool)> {
        let mut said = Said(pieces.iter().copied().collect(), Vec::new());
        let mut buffer = Vec::new();
        let parts = answer(&mut said, b"GET / HTTP/1.1\r\n\r\n", &mut buffer)?;
        Ok((
            parts.status,
            buffer[parts.head..parts.head + parts.body].to_vec(),
            parts.last,
        ))
    }

    #[test]
    fn an_answer_is_whole_however_it_arrives() {
        let whole: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"];
        let pieces: &[&[u8]] = &[
            b"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r",
            b"\n\r",
            b"\nhe",
            b"llo",
        ];
        for said in [whole, pieces] {
            assert_eq!(read(said).unwrap(), (200, b"hello".to_vec(), false));
        }
        assert_eq!(
            read(&[b"HTTP/1.1 204 No Content\r\nconnection: Close\r\n\r\n"]).unwrap(),
            (204, Vec::new(), true)
        );
    }

    #[test]
    fn what_is_not_a_whole_answer_is_an_error() {
        let cut: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"];
        let chunked: &[&[u8]] =
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"];
        let more: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab"];
        let other: &[&[u8]] = &[b"SSH-2.0-x\r\n\r\n"];
        for said in [cut, chunked, more, other, &[]] {
            assert!(read(said).is_err());
        }
    }

    #[test]
    fn a_request_is_framed_by_its_length() {
        let mut out = b"left over".to_vec();
        post(
            &mut out,
            ([127, 0, 0, 1], 7070).into(),
            "/hub/fhir",
            "application/fhir+json",
            &[("dpop", "p")],
            b"{}",
        );
        let expected = "POST /hub/fhir HTTP/1.1\r\nhost: 127.0.0.1:7070\r\ncontent-type: application/fhir+json\r\ncontent-length: 2\r\ndpop: p\r\n\r\n{}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
