//! One connection: reads one request, plays one script, watches for the caller to go away meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep},
};

use super::{Call, Script, Step};

/// More than any request of ours has.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

pub(super) enum End {
    Played,
    CallerClosed(Instant),
}

pub(crate) async fn read_request(socket: &mut TcpStream) -> Result<Call> {
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

async fn read_more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<()> {
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

pub(super) async fn play(socket: TcpStream, script: Script) -> End {
    let (mut reader, writer) = socket.into_split();
    tokio::select! {
        // A caller that has gone is noticed even where a write to it would still succeed.
        biased;
        at = gone(&mut reader) => End::CallerClosed(at),
        end = perform(writer, script) => end,
    }
}

/// Returns when the caller has closed its side, or reset it.
async fn gone(reader: &mut OwnedReadHalf) -> Instant {
    let mut ignored = [0; 1024];
    while matches!(reader.read(&mut ignored).await, Ok(1..)) {}
    Instant::now()
}

async fn perform(mut writer: OwnedWriteHalf, script: Script) -> End {
    let Script { before_head, status, headers, body } = script;
    for step in before_head {
        if !perform_step(&mut writer, step, false).await {
            return End::Played;
        }
    }
    if writer.write_all(head(status, &headers).as_bytes()).await.is_err() {
        return End::CallerClosed(Instant::now());
    }
    for step in body {
        if !perform_step(&mut writer, step, true).await {
            return End::Played;
        }
    }
    // An answer that cannot be ended has no reader any more; the script was played all the same.
    let _ = writer.write_all(b"0\r\n\r\n").await;
    End::Played
}

fn head(status: u16, headers: &[(String, String)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "HTTP/1.1 {status} As scripted\r\ntransfer-encoding: chunked\r\nconnection: close\r\n{headers}\r\n"
    )
}

/// Performs one step; false when the connection is not to be used any more.
async fn perform_step(writer: &mut OwnedWriteHalf, step: Step, in_body: bool) -> bool {
    match step {
        Step::Send(bytes) => send(writer, &bytes, in_body).await,
        Step::Wait(time) => {
            sleep(time).await;
            true
        }
        Step::Repeat(bytes, apart) => repeat(writer, &bytes, apart, in_body).await,
        Step::Stall => std::future::pending().await,
        Step::Cut => {
            // With a zero linger time the kernel answers the caller with a reset instead of an end.
            let _ = writer.as_ref().set_zero_linger();
            false
        }
        Step::Close => false,
    }
}

async fn repeat(writer: &mut OwnedWriteHalf, bytes: &[u8], apart: Duration, in_body: bool) -> bool {
    while send(writer, bytes, in_body).await {
        sleep(apart).await;
    }
    // The caller is gone, as the reading half is about to notice, or has noticed.
    std::future::pending().await
}

/// Sends a piece; in the body as a chunk of its own.
async fn send(writer: &mut OwnedWriteHalf, bytes: &[u8], in_body: bool) -> bool {
    if !in_body {
        return writer.write_all(bytes).await.is_ok();
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    writer.write_all(&chunk).await.is_ok()
}
