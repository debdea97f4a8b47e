//! A client that does as it is told: signalling only, also what no decent client would send.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use kith_voip::protocol::{
    SignalRequest, SignalResponse, signal_request::Message as Request,
    signal_response::Message as Response,
};
use prost::Message as _;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// The HTTP status if the WebSocket is refused.
    pub(crate) async fn connect(url: &str, token: &str, more: &str) -> Result<Self, u16> {
        let url = format!("{url}/rtc?access_token={token}&auto_subscribe=1{more}");
        match connect_async(url).await {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn send(&mut self, request: Request) -> bool {
        let bytes = SignalRequest { message: Some(request) }.encode_to_vec();
        self.send_bytes(bytes).await
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) -> bool {
        self.socket.send(Message::Binary(bytes.into())).await.is_ok()
    }

    pub(crate) async fn send_text(&mut self, text: &str) -> bool {
        self.socket.send(Message::Text(text.to_owned().into())).await.is_ok()
    }

    /// `None` when the relay has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Response> {
        loop {
            let message = timeout(Duration::from_secs(10), self.socket.next()).await;
            match message.expect("a message or the end within ten seconds")? {
                Ok(Message::Binary(bytes)) => {
                    return SignalResponse::decode(bytes).unwrap().message;
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next message that `wanted` takes.
    pub(crate) async fn until<T>(&mut self, wanted: impl Fn(Response) -> Option<T>) -> T {
        loop {
            let message = self.next().await.expect("the connection is open");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    /// Reads until the relay ends the connection.
    pub(crate) async fn is_closed(&mut self) {
        while self.next().await.is_some() {}
    }
}
