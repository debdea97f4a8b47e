//! A participant that costs little: str0m on the other side, with packets that carry the time at which they
//! were sent instead of sound and pictures. The relay cannot tell the difference.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use kith_voip::protocol::{
    AddTrackRequest, Ping, SessionDescription, SignalRequest, SignalResponse, TrackSource,
    TrackType, UpdateTrackSettings, VideoLayer, VideoQuality, signal_request::Message as Request,
    signal_response::Message as Response,
};
use prost::Message as _;
use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    media::{Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive},
    rtp::{RtpWrite, Ssrc},
};
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::{interval, sleep_until},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const OPUS: u8 = 111;
const VP8: u8 = 96;

/// Opus' usual packet, and a frame of video at 30 a second.
const AUDIO_EVERY: Duration = Duration::from_millis(20);
const VIDEO_EVERY: Duration = Duration::from_nanos(33_333_333);
const AUDIO_BYTES: usize = 100;
const VIDEO_BYTES: usize = 1100;

/// Names and widths of simulcast layers, as LiveKit's clients have them.
const LAYERS: [(&str, u32, u32); 3] = [("q", 320, 180), ("h", 640, 360), ("f", 1280, 720)];

/// What a participant sends.
#[derive(Clone, Copy)]
pub(crate) struct Sends {
    pub(crate) audio: bool,
    /// Packets in a frame of the picture: 0 for none.
    pub(crate) video: u32,
    pub(crate) simulcast: bool,
}

impl Sends {
    pub(crate) const NOTHING: Self = Self { audio: false, video: 0, simulcast: false };

    fn tracks(self) -> Vec<MediaKind> {
        let audio = self.audio.then_some(MediaKind::Audio);
        let video = (self.video > 0).then_some(MediaKind::Video);
        audio.into_iter().chain(video).collect()
    }
}

pub(crate) enum Command {
    /// The picture is shown in this size.
    Show(u32, u32),
    /// Every picture is lost: keyframes are needed.
    LosePictures,
    /// The WebSocket breaks, and comes back.
    Reconnect,
}

/// One packet of media that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) sequence: u64,
    pub(crate) audio: bool,
    /// 0 to 2.
    pub(crate) layer: u8,
    pub(crate) sent: Instant,
    pub(crate) at: Instant,
}

#[derive(Debug)]
pub(crate) enum Seen {
    Packet(Arrival),
    /// The relay asks for a keyframe.
    KeyframeAsked,
    /// Back after [`Command::Reconnect`]: both connections have new ICE credentials.
    Resumed,
}

/// A running participant. It ends when this is dropped.
pub(crate) struct Participant {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
}

impl Participant {
    /// `epoch` is the same for all whose packets are compared.
    pub(crate) async fn join(url: &str, token: &str, sends: Sends, epoch: Instant) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (sink, seen) = mpsc::unbounded_channel();
        let target = format!("{url}/rtc?access_token={token}&auto_subscribe=1");
        let socket = connect(&target).await;
        let task = Task {
            target,
            sid: String::new(),
            socket,
            publisher: Peer::new().await,
            subscriber: Peer::new().await,
            sends,
            epoch,
            seen: sink,
            offered: None,
            published: Vec::new(),
            tracks: Vec::new(),
            sources: Vec::new(),
            resumes: 0,
        };
        tokio::spawn(task.run(received));
        Self { commands, seen }
    }

    /// Packets that come within `time`.
    pub(crate) async fn arrivals(&mut self, time: Duration) -> Vec<Arrival> {
        let end = tokio::time::Instant::now() + time;
        let mut arrivals = Vec::new();
        while let Ok(Some(seen)) = tokio::time::timeout_at(end, self.seen.recv()).await {
            if let Seen::Packet(arrival) = seen {
                arrivals.push(arrival);
            }
        }
        arrivals
    }

    /// The first packet that `wanted` takes; panics if there is none for ten seconds.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Arrival) -> bool) -> Arrival {
        let found = async {
            loop {
                match self.seen.recv().await.expect("the participant runs") {
                    Seen::Packet(arrival) if wanted(&arrival) => return arrival,
                    _ => {}
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), found).await;
        found.expect("a packet that was waited for did not come")
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(target: &str) -> Socket {
    connect_async(target).await.expect("the relay takes the connection").0
}

struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
}

impl Peer {
    async fn new() -> Self {
        let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs();
        config.codec_config().enable_opus(true, false);
        config.codec_config().enable_vp8(true);
        let mut rtc = config.build(Instant::now());
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address of ours"));
        Self { rtc, socket, address }
    }

    fn receive(&mut self, datagram: &[u8], source: SocketAddr) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, datagram) {
            self.rtc.handle_input(Input::Receive(Instant::now(), receive)).expect("of the relay");
        }
    }

    /// Sends what is to be sent; when to come back at the latest.
    fn drive(&mut self, events: &mut Vec<Event>) -> Instant {
        loop {
            match self.rtc.poll_output().expect("the relay does as it should") {
                // What the kernel does not take is lost.
                Output::Transmit(transmit) => {
                    let _ = self.socket.try_send_to(&transmit.contents, transmit.destination);
                }
                Output::Event(event) => events.push(event),
                Output::Timeout(at) if at > Instant::now() => return at,
                Output::Timeout(_) => {
                    let now = Input::Timeout(Instant::now());
                    self.rtc.handle_input(now).expect("time goes on");
                }
            }
        }
    }
}

/// One stream of packets on its way out.
struct Stream {
    mid: Mid,
    rid: Option<Rid>,
    audio: bool,
    layer: u8,
    sequence: u64,
    timestamp: u32,
    picture: u16,
    keyframe: bool,
}

struct Task {
    target: String,
    sid: String,
    socket: Socket,
    publisher: Peer,
    subscriber: Peer,
    sends: Sends,
    epoch: Instant,
    seen: mpsc::UnboundedSender<Seen>,
    offered: Option<(SdpPendingOffer, Vec<(MediaKind, Mid)>)>,
    published: Vec<Stream>,
    /// The pictures that are received.
    tracks: Vec<String>,
    sources: Vec<(Ssrc, bool)>,
    /// What is still to come after a reconnection: the answer and the offer.
    resumes: u8,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut audio = interval(AUDIO_EVERY);
        let mut video = interval(VIDEO_EVERY);
        let mut ping = interval(Duration::from_secs(5));
        let (mut first, mut second) = ([0; 2000], [0; 2000]);
        let mut events = Vec::new();
        loop {
            let wake = self.publisher.drive(&mut events).min(self.subscriber.drive(&mut events));
            for event in events.drain(..) {
                self.event(event);
            }
            tokio::select! {
                biased;
                Ok((length, source)) = self.subscriber.socket.recv_from(&mut second) => {
                    self.subscriber.receive(&second[..length], source);
                }
                Ok((length, source)) = self.publisher.socket.recv_from(&mut first) => {
                    self.publisher.receive(&first[..length], source);
                }
                _ = audio.tick(), if self.sends.audio => self.write(true),
                _ = video.tick(), if self.sends.video > 0 => self.write(false),
                message = self.socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let message = SignalResponse::decode(bytes).expect("a message of the relay");
                        if let Some(message) = message.message {
                            self.signal(message).await;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
                _ = ping.tick() => self.send(Request::PingReq(Ping::default())).await,
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => {
                        self.send(Request::Leave(Default::default())).await;
                        return;
                    }
                },
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    async fn send(&mut self, request: Request) {
        let bytes = SignalRequest { message: Some(request) }.encode_to_vec();
        // The end of the connection is seen where it is read.
        let _ = self.socket.send(Message::Binary(bytes.into())).await;
    }

    fn tell(&self, seen: Seen) {
        // The measurement may be over.
        let _ = self.seen.send(seen);
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Show(width, height) => {
                let track_sids = self.tracks.clone();
                let settings =
                    UpdateTrackSettings { track_sids, width, height, ..Default::default() };
                self.send(Request::TrackSetting(settings)).await;
            }
            Command::LosePictures => {
                let mut api = self.subscriber.rtc.direct_api();
                for (ssrc, _) in self.sources.iter().filter(|(_, audio)| !audio) {
                    if let Some(stream) = api.stream_rx(ssrc) {
                        stream.request_keyframe(KeyframeRequestKind::Pli);
                    }
                }
            }
            Command::Reconnect => {
                self.socket =
                    connect(&format!("{}&reconnect=1&sid={}", self.target, self.sid)).await;
                self.resumes = 1;
                if !self.published.is_empty() {
                    self.resumes = 2;
                    let mut changes = self.publisher.rtc.sdp_api();
                    changes.ice_restart(true);
                    let (offer, pending) = changes.apply().expect("a restart is a change");
                    self.offered = Some((pending, Vec::new()));
                    self.send(Request::Offer(description("offer", offer.to_sdp_string(), 2))).await;
                }
            }
        }
    }

    async fn signal(&mut self, message: Response) {
        match message {
            Response::Join(join) => {
                self.sid = join.participant.map(|own| own.sid).unwrap_or_default();
                for kind in self.sends.tracks() {
                    self.send(Request::AddTrack(add_track(kind, self.sends.simulcast))).await;
                }
                self.offer().await;
            }
            Response::Answer(answer) => {
                let Some((pending, tracks)) = self.offered.take() else { return };
                let answer = SdpAnswer::from_sdp_string(&answer.sdp).expect("SDP of the relay");
                self.publisher.rtc.sdp_api().accept_answer(pending, answer).expect("it fits");
                for (kind, mid) in tracks {
                    self.published.extend(streams(kind, mid, self.sends.simulcast));
                }
                self.resumed();
            }
            Response::Offer(offer) => {
                let sdp = SdpOffer::from_sdp_string(&offer.sdp).expect("SDP of the relay");
                let rtc = &mut self.subscriber.rtc;
                let answer = rtc.sdp_api().accept_offer(sdp).expect("it fits").to_sdp_string();
                let is_video = |mid: &str| {
                    rtc.media(Mid::from(mid)).is_some_and(|media| media.kind().is_video())
                };
                let sids = offer.mid_to_track_id.into_iter().filter(|(mid, _)| is_video(mid));
                self.tracks = sids.map(|(_, sid)| sid).collect();
                self.send(Request::Answer(description("answer", answer, offer.id))).await;
                self.resumed();
            }
            _ => {}
        }
    }

    fn resumed(&mut self) {
        if self.resumes > 0 {
            self.resumes -= 1;
            if self.resumes == 0 {
                self.tell(Seen::Resumed);
            }
        }
    }

    async fn offer(&mut self) {
        let mut changes = self.publisher.rtc.sdp_api();
        let mut tracks = Vec::new();
        for kind in self.sends.tracks() {
            let mut simulcast = Simulcast::new();
            for (rid, ..) in LAYERS {
                simulcast.add_send_layer(SimulcastLayer::new(rid));
            }
            let simulcast = (kind.is_video() && self.sends.simulcast).then_some(simulcast);
            let stream = Some("stream".to_owned());
            let mid =
                changes.add_media(kind, Direction::SendOnly, stream, Some(cid(kind)), simulcast);
            tracks.push((kind, mid));
        }
        if let Some((offer, pending)) = changes.apply() {
            self.offered = Some((pending, tracks));
            self.send(Request::Offer(description("offer", offer.to_sdp_string(), 1))).await;
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::RtpPacket(packet) => {
                let audio = *packet.header.payload_type == OPUS;
                let ssrc = packet.header.ssrc;
                if !self.sources.contains(&(ssrc, audio)) {
                    self.sources.push((ssrc, audio));
                }
                let stamp = packet.payload.get(if audio { 1 } else { VP8_HEADER }..);
                let Some([t0, t1, t2, t3, t4, t5, t6, t7, layer, ..]) = stamp else { return };
                let nanos = u64::from_be_bytes([*t0, *t1, *t2, *t3, *t4, *t5, *t6, *t7]);
                let sequence = *packet.seq_no;
                let sent = self.epoch + Duration::from_nanos(nanos);
                let layer = *layer;
                let at = Instant::now();
                self.tell(Seen::Packet(Arrival { sequence, audio, layer, sent, at }));
            }
            Event::KeyframeRequest(request) => {
                let asked =
                    |stream: &&mut Stream| stream.mid == request.mid && stream.rid == request.rid;
                if let Some(stream) = self.published.iter_mut().find(asked) {
                    stream.keyframe = true;
                    self.tell(Seen::KeyframeAsked);
                }
            }
            _ => {}
        }
    }

    /// One packet of sound, or one frame of each layer.
    fn write(&mut self, audio: bool) {
        if !self.publisher.rtc.is_connected() {
            return;
        }
        let now = Instant::now();
        let nanos = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        let mut api = self.publisher.rtc.direct_api();
        for stream in self.published.iter_mut().filter(|stream| stream.audio == audio) {
            let Some(out) = api.stream_tx_by_mid(stream.mid, stream.rid) else { continue };
            let packets = match (audio, stream.keyframe) {
                (true, _) => 1,
                (false, true) => self.sends.video * 3,
                (false, false) => self.sends.video,
            };
            for packet in 0..packets {
                let payload = stream.payload(nanos, packet == 0);
                let pt = if audio { OPUS } else { VP8 };
                let write = RtpWrite::new(
                    pt.into(),
                    stream.sequence.into(),
                    stream.timestamp,
                    now,
                    payload,
                );
                out.write_rtp(write.marker(packet + 1 == packets).nackable(!audio));
                stream.sequence += 1;
            }
            stream.timestamp = stream.timestamp.wrapping_add(if audio { 960 } else { 3000 });
            stream.picture = stream.picture.wrapping_add(1) & 0x7fff;
            stream.keyframe = false;
        }
    }
}

/// A descriptor with a picture ID of 15 bits, `TL0PICIDX` and `TID` (RFC 7741, section 4.2), and the frame's
/// first byte.
const VP8_HEADER: usize = 7;

impl Stream {
    fn payload(&self, nanos: u64, first: bool) -> Vec<u8> {
        let mut payload = if self.audio {
            vec![0x78]
        } else {
            let [high, low] = self.picture.to_be_bytes();
            let start = if first { 0x90 } else { 0x80 };
            vec![start, 0xe0, 0x80 | high, low, low, 0, u8::from(!self.keyframe)]
        };
        payload.extend(nanos.to_be_bytes());
        payload.push(self.layer);
        payload.resize(if self.audio { AUDIO_BYTES } else { VIDEO_BYTES }, 0);
        payload
    }
}

fn streams(kind: MediaKind, mid: Mid, simulcast: bool) -> Vec<Stream> {
    let stream = |rid: Option<&str>, layer| Stream {
        mid,
        rid: rid.map(Rid::from),
        audio: kind.is_audio(),
        layer,
        sequence: 1,
        timestamp: 1,
        picture: 1,
        keyframe: true,
    };
    if kind.is_audio() || !simulcast {
        return vec![stream(None, 2)];
    }
    let layers = (0u8..).zip(LAYERS);
    layers.map(|(layer, (rid, ..))| stream(Some(rid), layer)).collect()
}

fn cid(kind: MediaKind) -> String {
    if kind.is_audio() { "microphone" } else { "camera" }.to_owned()
}

fn add_track(kind: MediaKind, simulcast: bool) -> AddTrackRequest {
    let layer = |(quality, (_, width, height)): (i32, (&str, u32, u32))| VideoLayer {
        quality,
        width,
        height,
        ..VideoLayer::default()
    };
    let video = kind.is_video();
    let layers = (VideoQuality::Low as i32..).zip(LAYERS).filter(|_| video && simulcast);
    let (width, height) = if video { (1280, 720) } else { (0, 0) };
    AddTrackRequest {
        cid: cid(kind),
        r#type: if video { TrackType::Video } else { TrackType::Audio }.into(),
        source: if video { TrackSource::Camera } else { TrackSource::Microphone }.into(),
        width,
        height,
        layers: layers.map(layer).collect(),
        ..AddTrackRequest::default()
    }
}

fn description(r#type: &str, sdp: String, id: u32) -> SessionDescription {
    SessionDescription { r#type: r#type.to_owned(), sdp, id, ..SessionDescription::default() }
}
