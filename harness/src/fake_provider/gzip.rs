//! Bodies under gzip, small on the wire and as large as wanted once they are unpacked.
//!
//! A repeated part is compressed once: a flush leaves it without any reference to what came before, so the same
//! compressed bytes can be sent again and again. The sum at the end is worked out for all repetitions without
//! going through them. The format is RFC 1952's, around RFC 1951's.

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::{Script, Step};

/// Deflate, no name, no time, unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A last block with nothing in it.
const LAST_BLOCK: [u8; 2] = [3, 0];

impl Script {
    /// Sends these parts, each so many times, as one body under gzip.
    #[must_use]
    pub fn send_gzip(self, parts: &[(&[u8], u64)]) -> Self {
        let mut script = self.header("content-encoding", "gzip").send(HEAD);
        let (mut sum, mut length) = (Hasher::new(), 0_u64);
        for (bytes, times) in parts {
            script = script.then(Step::SendTimes(deflated(bytes), *times));
            sum.combine(&sum_of(bytes, *times));
            length = length.wrapping_add(times.wrapping_mul(bytes.len() as u64));
        }
        // The format keeps the length modulo 2^32.
        let length = (length & u64::from(u32::MAX)) as u32;
        script.send([&LAST_BLOCK[..], &sum.finalize().to_le_bytes(), &length.to_le_bytes()].concat())
    }
}

/// Deflated without an end, so that more can follow.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() + 64);
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(taken..).unwrap_or_default();
        let room = out.capacity() - out.len();
        let status = deflate.compress_vec(rest, &mut out, FlushCompress::Full);
        // Only a full `out` leaves something to be flushed.
        if !matches!(status, Ok(Status::Ok)) || out.capacity() - out.len() > 0 {
            return out;
        }
        out.reserve(room.max(64));
    }
}

/// The sum over so many repetitions, by doubling.
fn sum_of(bytes: &[u8], times: u64) -> Hasher {
    let mut power = Hasher::new();
    power.update(bytes);
    let mut sum = Hasher::new();
    let mut left = times;
    while left > 0 {
        if left % 2 == 1 {
            sum.combine(&power);
        }
        power.combine(&power.clone());
        left /= 2;
    }
    sum
}

#[cfg(test)]
mod tests {
    use reqwest::Client;

    use super::{super::FakeProvider, *};

    async fn get(provider: &FakeProvider) -> reqwest::Response {
        Client::builder().no_proxy().build().unwrap().get(provider.url()).send().await.unwrap()
    }

    #[tokio::test]
    async fn a_body_under_gzip_is_unpacked_to_all_its_repetitions() {
        let script =
            Script::event_stream().send_gzip(&[(b"data: ", 1), (b"abc", 30_001), (b"", 5), (b"\n\n", 1)]);
        let provider = FakeProvider::start(script).await.unwrap();
        let body = get(&provider).await.text().await.unwrap();
        assert_eq!(body, format!("data: {}\n\n", "abc".repeat(30_001)));
    }

    #[tokio::test]
    async fn a_part_that_cannot_be_compressed_is_sent_whole() {
        let mut noise = vec![0; 50_000];
        aws_lc_rs::rand::fill(&mut noise).unwrap();
        let provider = FakeProvider::start(Script::status(200).send_gzip(&[(&noise, 2)])).await.unwrap();
        assert_eq!(get(&provider).await.bytes().await.unwrap(), noise.repeat(2));
    }

    #[test]
    fn a_bomb_is_small_until_it_is_unpacked() {
        let bomb = Script::status(200).send_gzip(&[(&[0; 65_536], 16_384)]);
        let wire: u64 = bomb
            .body
            .iter()
            .map(|step| match step {
                Step::Send(bytes) => bytes.len() as u64,
                Step::SendTimes(bytes, times) => bytes.len() as u64 * times,
                _ => 0,
            })
            .sum();
        assert!(wire < 3 << 20, "{wire} bytes for 1 GiB");
    }
}
