//! The gate at the HTTP edge: a request publishes nothing before the response that names it has been
//! written, because a client finds its record by the `requestId` which it learns only from that response.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use duologue_actors::entrance::Gate;

/// A whole response body that holds a request's gate shut until it has been written.
///
/// actix-http drops a body when its last byte is in the connection's write buffer, and flushes that
/// buffer later in the same poll; the gate opens in a task, which runs on this thread after that poll. A
/// response that is dropped unsent, because its client vanished, opens the gate too.
pub struct GatedBody<G = Gate> {
    bytes: Bytes,
    _gate: Option<G>,
}

impl<G> GatedBody<G> {
    #[must_use]
    pub fn new(bytes: Bytes, gate: Option<G>) -> Self {
        Self { bytes, _gate: gate }
    }
}

impl<G: Unpin> MessageBody for GatedBody<G> {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(std::mem::take(&mut self.bytes))))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{SocketAddr, TcpStream},
        sync::{Arc, Mutex},
    };

    use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
    use tokio::sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    };

    use super::*;

    /// Opens as the real gate does: in a task spawned when it is dropped. Tells how much of the response
    /// the client's end of the connection held at that moment.
    struct Witness {
        client: Arc<Mutex<Option<TcpStream>>>,
        opened: UnboundedSender<usize>,
    }

    impl Drop for Witness {
        fn drop(&mut self) {
            let (client, opened) = (self.client.clone(), self.opened.clone());
            drop(tokio::spawn(async move {
                let client = client.lock().unwrap().take();
                let there = client.map_or(0, |client| client.peek(&mut [0; 4096]).unwrap_or(0));
                let _ = opened.send(there);
            }));
        }
    }

    struct Server {
        address: SocketAddr,
        handle: ServerHandle,
        client: Arc<Mutex<Option<TcpStream>>>,
        opened: UnboundedReceiver<usize>,
        asked: UnboundedReceiver<()>,
        answer: Arc<Notify>,
    }

    /// `/answers` answers with a gated body; `/waits` does so when it is told to.
    fn serve() -> Server {
        let (opens, opened) = unbounded_channel();
        let (asks, asked) = unbounded_channel();
        let client = Arc::new(Mutex::new(None));
        let answer = Arc::new(Notify::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (witnessed, told) = (client.clone(), answer.clone());
        let server = HttpServer::new(move || {
            let (client, opens, asks, told) = (witnessed.clone(), opens.clone(), asks.clone(), told.clone());
            let gate = move || Some(Witness { client: client.clone(), opened: opens.clone() });
            let held = gate.clone();
            App::new()
                .route(
                    "/answers",
                    web::get().to(move || {
                        let body = GatedBody::new(Bytes::from_static(b"{\"data\":1}"), gate());
                        async move { HttpResponse::Ok().body(body) }
                    }),
                )
                .route(
                    "/waits",
                    web::get().to(move || {
                        let (gate, asks, told) = (held(), asks.clone(), told.clone());
                        async move {
                            asks.send(()).unwrap();
                            told.notified().await;
                            HttpResponse::Ok().body(GatedBody::new(Bytes::from_static(b"late"), gate))
                        }
                    }),
                )
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Server { address, handle, client, opened, asked, answer }
    }

    fn get(address: SocketAddr, path: &str) -> TcpStream {
        let mut client = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
        client
    }

    #[actix_web::test]
    async fn the_gate_opens_only_when_the_response_is_on_the_wire() {
        let mut server = serve();
        let mut client = TcpStream::connect(server.address).unwrap();
        let watched = client.try_clone().unwrap();
        watched.set_nonblocking(true).unwrap();
        *server.client.lock().unwrap() = Some(watched);
        let request = "GET /answers HTTP/1.1\r\nhost: localhost\r\n\r\n";
        std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
        let there = server.opened.recv().await.unwrap();
        assert!(there > 0, "the gate opened while the response was still in the server's buffer");
        server.handle.stop(false).await;
    }

    #[actix_web::test]
    async fn a_client_that_vanished_opens_the_gate_too() {
        let mut server = serve();
        let client = get(server.address, "/waits");
        server.asked.recv().await.unwrap();
        drop(client);
        server.answer.notify_one();
        assert!(server.opened.recv().await.is_some());
        server.handle.stop(false).await;
    }

    #[actix_web::test]
    async fn the_gate_stays_shut_while_the_body_lives() {
        let (opens, mut opened) = unbounded_channel();
        let gate = Witness { client: Arc::default(), opened: opens };
        let mut body = Box::pin(GatedBody::new(Bytes::from_static(b"answer"), Some(gate)));
        let sent = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        assert_eq!(sent.unwrap().unwrap(), "answer");
        tokio::task::yield_now().await;
        assert!(opened.try_recv().is_err());
        drop(body);
        assert!(opened.recv().await.is_some());
    }
}
