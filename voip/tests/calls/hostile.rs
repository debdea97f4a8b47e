//! Garbage, floods and people who vanish: nobody else is hurt.

use std::time::{Duration, Instant};

use kith_voip::{
    Event, Grants,
    protocol::{
        AddTrackRequest, DisconnectReason, Ping, SessionDescription, leave_request::Action,
        signal_request::Message as Request, signal_response::Message as Response,
    },
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use tokio::net::UdpSocket;

use crate::{
    client::Client,
    server::Server,
    story::{assert_story, python},
};

/// Sends a ping and waits for its answer.
async fn pong(client: &mut Client) -> Duration {
    let started = Instant::now();
    assert!(client.send(Request::PingReq(Ping { timestamp: 77, rtt: 0 })).await);
    let is_pong =
        |message| matches!(message, Response::PongResp(pong) if pong.last_ping_timestamp == 77);
    client.until(|message| is_pong(message).then_some(())).await;
    started.elapsed()
}

/// Random bytes, and some that look like STUN, DTLS, RTP and RTCP, from many ports.
async fn garbage(server: &Server) {
    let mut random = StdRng::seed_from_u64(1);
    let mut sockets = Vec::new();
    for _ in 0..16 {
        sockets.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    let relay = server.relay.udp_address();
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    loop {
        pause.tick().await;
        for socket in &sockets {
            let mut datagram = vec![0; random.random_range(0..1500)];
            random.fill_bytes(&mut datagram);
            if let Some(first) = datagram.first_mut() {
                *first = [0, 1, 22, 23, 128, 144, *first][random.random_range(0..7)];
            }
            if datagram.len() > 60 && datagram[0] < 2 {
                // A binding request with STUN's cookie and a user name.
                datagram[..8].copy_from_slice(&[0, 1, 0, 40, 0x21, 0x12, 0xa4, 0x42]);
                datagram[20..24].copy_from_slice(&[0, 6, 0, 36]);
                datagram.truncate(60);
            }
            let _ = socket.send_to(&datagram, relay).await;
        }
    }
}

#[tokio::test]
async fn garbage_on_the_media_port_hurts_no_call() {
    let server = Server::start().await;
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|identity| server.token(identity));
    let arguments = [server.url.as_str(), &ann, &bob, &cid, "VP8", "plain"];
    tokio::select! {
        seen = python("call.py", &arguments) => assert_story(&seen, &["picture", "sound", "left"]),
        () = garbage(&server) => unreachable!("it goes on"),
    }
}

#[tokio::test]
async fn nobody_joins_without_a_good_token() {
    let server = Server::start().await;
    let status = async |token: &str| Client::connect(&server.url, token, "").await.err();
    assert_eq!(status("").await, Some(401));
    assert_eq!(status("a.b.c").await, Some(401));
    let mut grants = Grants::participant("call", "ann");
    grants.can_create_room = false;
    assert_eq!(status(&server.relay.token(&grants)).await, Some(404));
    let _bob =
        Client::connect(&server.url, &server.token("bob"), "").await.unwrap_or_else(|_| panic!());
    assert_eq!(status(&server.relay.token(&grants)).await, None, "the room exists now");
}

#[tokio::test]
async fn a_full_room_and_a_full_relay_say_so() {
    let server = Server::with(|config| {
        config.limits.participants_per_room = 1;
        config.limits.rooms = 1;
    })
    .await;
    let connect = async |room: &str, identity: &str| {
        let token = server.relay.token(&Grants::participant(room, identity));
        Client::connect(&server.url, &token, "").await
    };
    let _ann = connect("call", "ann").await.unwrap_or_else(|status| panic!("{status}"));
    assert_eq!(connect("call", "bob").await.err(), Some(503));
    assert_eq!(connect("another", "bob").await.err(), Some(503));
}

#[tokio::test]
async fn nonsense_in_signalling_ends_only_the_own_session() {
    let server = Server::start().await;
    let mut good =
        Client::connect(&server.url, &server.token("good"), "").await.unwrap_or_else(|_| panic!());
    let mut random = StdRng::seed_from_u64(2);
    for round in 0..20 {
        let mut bad = Client::connect(&server.url, &server.token("bad"), "")
            .await
            .unwrap_or_else(|_| panic!());
        bad.until(|message| matches!(message, Response::Join(_)).then_some(())).await;
        let offer = |sdp: &str| SessionDescription {
            r#type: "offer".to_owned(),
            sdp: sdp.to_owned(),
            ..SessionDescription::default()
        };
        match round % 5 {
            0 => {
                let mut bytes = vec![0xff; random.random_range(1..2000)];
                random.fill_bytes(&mut bytes[1..]);
                bad.send_bytes(bytes).await;
            }
            1 => {
                bad.send_text("{}").await;
            }
            2 => {
                bad.send(Request::Offer(offer("v=0\r\nm=\r\n"))).await;
            }
            3 => {
                bad.send(Request::Answer(offer("not SDP at all"))).await;
            }
            _ => {
                bad.send_bytes(vec![0; 300 * 1024]).await;
            }
        }
        bad.is_closed().await;
    }
    assert!(pong(&mut good).await < Duration::from_secs(1));
}

#[tokio::test]
async fn a_flood_of_messages_ends_only_the_own_session() {
    let server = Server::start().await;
    let mut good =
        Client::connect(&server.url, &server.token("good"), "").await.unwrap_or_else(|_| panic!());
    let mut bad =
        Client::connect(&server.url, &server.token("bad"), "").await.unwrap_or_else(|_| panic!());
    let request = |number: u32| AddTrackRequest { cid: number.to_string(), ..Default::default() };
    for number in 0..10_000 {
        if !bad.send(Request::AddTrack(request(number))).await {
            break;
        }
    }
    bad.is_closed().await;
    assert!(pong(&mut good).await < Duration::from_secs(1));
}

#[tokio::test]
async fn tracks_beyond_the_limit_are_refused() {
    let server = Server::with(|config| config.limits.tracks_per_participant = 2).await;
    let mut ann =
        Client::connect(&server.url, &server.token("ann"), "").await.unwrap_or_else(|_| panic!());
    for number in 0..3 {
        let request = AddTrackRequest { cid: format!("track {number}"), ..Default::default() };
        ann.send(Request::AddTrack(request)).await;
    }
    let mut published = 0;
    let refused = loop {
        match ann.next().await.unwrap() {
            Response::TrackPublished(_) => published += 1,
            Response::RequestResponse(response) => break response,
            _ => {}
        }
    };
    assert_eq!((published, refused.message.as_str()), (2, "too many tracks"));
}

#[tokio::test]
async fn whoever_vanishes_leaves_after_a_while() {
    let server =
        Server::with(|config| config.limits.resume_within = Duration::from_millis(300)).await;
    let mut events = server.relay.events();
    let ann =
        Client::connect(&server.url, &server.token("ann"), "").await.unwrap_or_else(|_| panic!());
    let (room, identity) = ("call".to_owned(), "ann".to_owned());
    let joined = Event::ParticipantJoined { room: room.clone(), identity: identity.clone() };
    assert_eq!(events.recv().await.unwrap(), joined);
    assert_eq!(server.relay.rooms().await[0].identities, ["ann"]);
    drop(ann);
    assert_eq!(
        events.recv().await.unwrap(),
        Event::ParticipantLeft { room: room.clone(), identity }
    );
    assert_eq!(events.recv().await.unwrap(), Event::RoomFinished { room });
    assert!(server.relay.rooms().await.is_empty());
}

#[tokio::test]
async fn the_same_identity_again_ends_the_earlier_session() {
    let server = Server::start().await;
    let connect = async || {
        Client::connect(&server.url, &server.token("ann"), "").await.unwrap_or_else(|_| panic!())
    };
    let mut first = connect().await;
    let mut second = connect().await;
    let left = first.until(|message| match message {
        Response::Leave(leave) => Some(leave),
        _ => None,
    });
    assert_eq!(left.await.reason(), DisconnectReason::DuplicateIdentity);
    first.is_closed().await;
    pong(&mut second).await;
}

#[tokio::test]
async fn a_session_that_is_unknown_cannot_be_resumed() {
    let server = Server::start().await;
    let more = "&reconnect=1&sid=PA_nobody";
    let mut ann =
        Client::connect(&server.url, &server.token("ann"), more).await.unwrap_or_else(|_| panic!());
    match ann.next().await {
        Some(Response::Leave(leave)) => assert_eq!(leave.action(), Action::Reconnect),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_homeserver_removes_people_and_shuts_down() {
    let server = Server::start().await;
    let mut ann =
        Client::connect(&server.url, &server.token("ann"), "").await.unwrap_or_else(|_| panic!());
    let mut bob =
        Client::connect(&server.url, &server.token("bob"), "").await.unwrap_or_else(|_| panic!());
    assert!(!server.relay.remove_participant("call", "nobody").await);
    assert!(server.relay.remove_participant("call", "ann").await);
    ann.is_closed().await;
    pong(&mut bob).await;
    server.relay.shutdown().await;
    bob.is_closed().await;
    server.relay.shutdown().await;
    assert!(server.relay.rooms().await.is_empty());
}
