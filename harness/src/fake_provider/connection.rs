//! One connection: reads one request, plays one script, watches for the caller to go away meanwhile.

use std::{io, ops::ControlFlow, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_rustls::server::TlsStream;

use super::{Call, Script, Step, script::Framing};

/// More than any request of ours has.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// As much as is written at a time of bytes that are sent many times.
const REPETITION_BYTES: usize = 64 * 1024;

pub(super) enum End {
    Played,
    /// Played, and another request may follow.
    Kept,
    /// Played to a step that resets the connection.
    Reset,
    CallerClosed(Instant),
}

/// What a script is played on.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

pub(crate) async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Result<Call> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        read_more(socket, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(bytes.get(..head_end).unwrap_or_default()).into_owned();
    let mut call = parse_head(&head)?;
    let body_start = head_end + 4;
    let length: usize = call.header("content-length").unwrap_or("0").parse().context("content-length")?;
    while bytes.len() < body_start + length {
        read_more(socket, &mut bytes).await?;
    }
    call.body = bytes.split_off(body_start);
    Ok(call)
}

async fn read_more(socket: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Result<()> {
    if bytes.len() > MAX_REQUEST_BYTES {
        bail!("the request never ends");
    }
    if socket.read_buf(bytes).await? == 0 {
        bail!("the caller closed before its request was whole");
    }
    Ok(())
}

fn parse_head(head: &str) -> Result<Call> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = words.next().zip(words.next()).context("no request line")?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Ok(Call {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: lines.filter_map(header).collect(),
        body: Vec::new(),
        arrived: Instant::now(),
        caller_closed: None,
        played: false,
    })
}

pub(super) async fn play(socket: &mut impl Socket, script: Script) -> End {
    let (mut reader, mut writer) = split(&mut *socket);
    let end = tokio::select! {
        // A caller that has gone is noticed even where a write to it would still succeed.
        biased;
        at = gone(&mut reader) => End::CallerClosed(at),
        end = perform(&mut writer, script) => end,
    };
    // Nobody is left to hear of a fault of the farewell.
    let _ = match end {
        // With a zero linger time the kernel answers the caller with a reset instead of an end.
        End::Reset => socket.tcp().set_zero_linger(),
        End::Played | End::CallerClosed(_) => socket.shutdown().await,
        End::Kept => Ok(()),
    };
    end
}

/// Returns when the caller has closed its side, or reset it.
async fn gone(reader: &mut (impl AsyncRead + Unpin)) -> Instant {
    let mut ignored = [0; 1024];
    while matches!(reader.read(&mut ignored).await, Ok(1..)) {}
    Instant::now()
}

async fn perform(writer: &mut (impl AsyncWrite + Unpin), script: Script) -> End {
    let Script { before_head, status, headers, framing, body, keeps_connection } = script;
    for step in before_head {
        if let ControlFlow::Break(end) = perform_step(writer, step, None).await {
            return end;
        }
    }
    if write(writer, head(status, &headers, framing, keeps_connection).as_bytes()).await.is_err() {
        return End::CallerClosed(Instant::now());
    }
    for step in body {
        if let ControlFlow::Break(end) = perform_step(writer, step, Some(framing)).await {
            return end;
        }
    }
    if framing == Framing::Chunked {
        // An answer that cannot be ended has no reader any more; the script was played all the same.
        let _ = write(writer, b"0\r\n\r\n").await;
    }
    if keeps_connection { End::Kept } else { End::Played }
}

fn head(status: u16, headers: &[(String, String)], framing: Framing, keeps_connection: bool) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let framing = match framing {
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::Length(length) => format!("content-length: {length}\r\n"),
        Framing::UntilClosed => String::new(),
    };
    let connection = if keeps_connection { "keep-alive" } else { "close" };
    format!("HTTP/1.1 {status} As scripted\r\n{framing}connection: {connection}\r\n{headers}\r\n")
}

/// Performs one step; before the head, without a framing.
async fn perform_step(
    writer: &mut (impl AsyncWrite + Unpin),
    step: Step,
    framing: Option<Framing>,
) -> ControlFlow<End> {
    let sent = match step {
        Step::Send(bytes) => send(writer, &bytes, framing).await,
        Step::SendTimes(bytes, times) => send_times(writer, &bytes, times, framing).await,
        Step::Repeat(bytes, apart) => repeat(writer, &bytes, apart, framing).await,
        Step::Wait(time) => {
            sleep(time).await;
            Ok(())
        }
        Step::Until(signal) => {
            signal.given().await;
            Ok(())
        }
        Step::Stall => std::future::pending().await,
        Step::Cut => return ControlFlow::Break(End::Reset),
        Step::Close => return ControlFlow::Break(End::Played),
    };
    match sent {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(End::CallerClosed(Instant::now())),
    }
}

/// Never returns but with an error, when the caller is gone.
async fn repeat(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    apart: Duration,
    framing: Option<Framing>,
) -> io::Result<()> {
    loop {
        send(writer, bytes, framing).await?;
        sleep(apart).await;
    }
}

/// Sends what may be gigabytes, holding no more of it than one piece.
async fn send_times(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    times: u64,
    framing: Option<Framing>,
) -> io::Result<()> {
    let at_once = REPETITION_BYTES.checked_div(bytes.len()).unwrap_or(1).max(1);
    let piece = bytes.repeat(at_once);
    let mut left = times;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(at_once).min(at_once);
        send(writer, piece.get(..now * bytes.len()).unwrap_or_default(), framing).await?;
        left -= now as u64;
    }
    Ok(())
}

/// Sends a piece; in a chunked body as a chunk of its own.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    framing: Option<Framing>,
) -> io::Result<()> {
    // A chunk of no length would be the end of the body.
    if bytes.is_empty() {
        return Ok(());
    }
    if framing != Some(Framing::Chunked) {
        return write(writer, bytes).await;
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    write(writer, &chunk).await
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    // TLS would keep the end of a piece to itself.
    writer.flush().await
}
