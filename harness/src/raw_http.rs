//! One HTTP request over a bare socket. A client library reads its answer as soon as it can; a test of
//! *when* an answer was written needs a socket that nobody reads meanwhile.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context, Result, bail};

/// A request that was sent and whose answer still lies in the socket.
pub struct Unread {
    socket: TcpStream,
}

impl Unread {
    /// Sends a POST with a JSON body and returns without looking at the answer.
    pub fn post(address: SocketAddr, path: &str, token: &str, body: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address).context("cannot connect")?;
        socket.set_nodelay(true)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).context("cannot send the request")?;
        Ok(Self { socket })
    }

    /// The bytes that have arrived by now, without waiting for any more.
    pub fn arrived(mut self) -> Result<String> {
        self.socket.set_nonblocking(true)?;
        let mut arrived = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => arrived.extend(piece.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("the socket broke"),
            }
        }
        String::from_utf8(arrived).context("the answer is not UTF-8")
    }

    /// Goes away without having read a byte.
    pub fn vanish(self) {
        drop(self);
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
