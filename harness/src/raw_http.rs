//! One HTTP request over a bare socket. A client library reads its answer as soon as it can; a test of
//! *when* an answer was written needs a socket that is read only as far as the test says.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, Result, bail};

use crate::server::PATIENCE;

/// A request that was sent and whose answer lies, as far as it has been written, in the socket.
pub struct Unread {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Unread {
    /// Sends a POST with a JSON body and returns without looking at the answer.
    pub fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> Result<Self> {
        let length = body.len();
        let more = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        Self::send(address, &format!("POST {path}"), token, &more)
    }

    /// Sends a GET and returns without looking at the answer.
    pub fn get(address: SocketAddr, path: &str, token: &str) -> Result<Self> {
        Self::send(address, &format!("GET {path}"), token, "\r\n")
    }

    /// `more` is the rest of the head, and the body.
    fn send(address: SocketAddr, asked: &str, token: &str, more: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address).context("cannot connect")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let head = format!("{asked} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n");
        socket.write_all((head + more).as_bytes()).context("cannot send the request")?;
        Ok(Self { socket, read: Vec::new() })
    }

    /// Reads no further than the end of `mark`, byte by byte; all that was read up to there.
    pub fn read_through(&mut self, mark: &str) -> Result<String> {
        let mut byte = [0];
        while !self.read.ends_with(mark.as_bytes()) {
            self.socket.read_exact(&mut byte).with_context(|| format!("no {mark:?} in the answer"))?;
            self.read.extend(byte);
        }
        self.text()
    }

    /// Reads the rest; the whole answer.
    pub fn whole(mut self) -> Result<String> {
        let mut piece = [0; 65_536];
        while whole_body(&self.text()?).is_err() {
            match self.socket.read(&mut piece).context("the answer broke off")? {
                0 => bail!("the answer ended early"),
                length => self.read.extend(piece.iter().take(length)),
            }
        }
        self.text()
    }

    /// Goes away without having read what is left.
    pub fn vanish(self) {
        drop(self);
    }

    fn text(&self) -> Result<String> {
        String::from_utf8(self.read.clone()).context("the answer is not UTF-8")
    }
}

/// The body of a whole HTTP/1.1 answer; an error when the body is not all there.
pub fn whole_body(answer: &str) -> Result<&str> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the head of the answer is not all there")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if !name.eq_ignore_ascii_case("content-length") {
            return None;
        }
        value.trim().parse::<usize>().ok()
    });
    match length {
        Some(length) if length == body.len() => Ok(body),
        Some(length) => bail!("{} of {length} bytes of the body are there", body.len()),
        None => bail!("the answer has no content-length: {head}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_gives_its_body() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole_body(answer).unwrap(), "{}");
    }

    #[test]
    fn half_an_answer_is_an_error() {
        assert!(whole_body("HTTP/1.1 200 OK\r\nContent-Le").is_err());
        assert!(whole_body("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}").is_err());
    }
}
