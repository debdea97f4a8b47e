//! A client that does as it is told: signalling only, also what no decent client would send.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use kith_voip::protocol::{
    AddTrackRequest, SessionDescription, SignalRequest, SignalResponse, TrackSource, TrackType,
    VideoLayer, signal_request::Message as Request, signal_response::Message as Response,
};
use prost::Message as _;
use str0m::{
    Rtc,
    change::SdpOffer,
    media::{Direction, MediaKind, Simulcast, SimulcastLayer},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use crate::server::Server;

pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What makes and answers offers; nothing is ever sent.
    publisher: Box<Rtc>,
    subscriber: Box<Rtc>,
}

impl Client {
    /// The HTTP status if the WebSocket is refused.
    pub(crate) async fn connect(url: &str, token: &str, more: &str) -> Result<Self, u16> {
        let url = format!("{url}/rtc?access_token={token}&auto_subscribe=1{more}");
        match connect_async(url).await {
            Ok((socket, _)) => {
                let rtc = || Box::new(Rtc::builder().set_rtp_mode(true).build(Instant::now()));
                Ok(Self { socket, publisher: rtc(), subscriber: rtc() })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Somebody in the room `call` who was welcomed.
    pub(crate) async fn join(server: &Server, identity: &str, more: &str) -> Self {
        let client = Self::connect(&server.url, &server.token(identity), more).await;
        let mut client = client.unwrap_or_else(|status| panic!("{status}"));
        client.until(|message| matches!(message, Response::Join(_)).then_some(())).await;
        client
    }

    /// Offers a track with these simulcast layers; its `TR_…`.
    pub(crate) async fn publish(&mut self, source: TrackSource, layers: &[&str]) -> String {
        let (kind, r#type) = match source {
            TrackSource::Microphone => (MediaKind::Audio, TrackType::Audio),
            _ => (MediaKind::Video, TrackType::Video),
        };
        let layer = |(quality, _)| VideoLayer {
            quality,
            width: 320 << quality,
            height: 180 << quality,
            ..VideoLayer::default()
        };
        let request = AddTrackRequest {
            cid: "cid".to_owned(),
            source: source.into(),
            r#type: r#type.into(),
            layers: (0..).zip(layers).map(layer).collect(),
            ..AddTrackRequest::default()
        };
        self.send(Request::AddTrack(request)).await;
        let mut simulcast = Simulcast::new();
        for rid in layers {
            simulcast.add_send_layer(SimulcastLayer::new(rid));
        }
        let simulcast = (!layers.is_empty()).then_some(simulcast);
        let mut changes = self.publisher.sdp_api();
        let (stream, track) = (Some("stream".to_owned()), Some("cid".to_owned()));
        changes.add_media(kind, Direction::SendOnly, stream, track, simulcast);
        let (offer, _) = changes.apply().unwrap();
        self.send(Request::Offer(description("offer", offer.to_sdp_string(), 1))).await;
        let published = |message| match message {
            Response::TrackPublished(published) => published.track.map(|track| track.sid),
            _ => None,
        };
        let sid = self.until(published).await;
        self.until(|message| matches!(message, Response::Answer(_)).then_some(())).await;
        sid
    }

    /// Takes an offer of the relay.
    pub(crate) async fn answer(&mut self, id: u32, sdp: &str) {
        let offer = SdpOffer::from_sdp_string(sdp).unwrap();
        let answer = self.subscriber.sdp_api().accept_offer(offer).unwrap();
        self.send(Request::Answer(description("answer", answer.to_sdp_string(), id))).await;
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

fn description(r#type: &str, sdp: String, id: u32) -> SessionDescription {
    SessionDescription { r#type: r#type.to_owned(), sdp, id, ..SessionDescription::default() }
}
