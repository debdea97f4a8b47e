//! What publishers and subscribers are told, and may decide: layers that nobody watches, who may have a track,
//! tokens for later, and how good connections are.

use std::time::Duration;

use kith_voip::protocol::{
    ConnectionQuality, ConnectionQualityInfo, SubscriptionPermission, TrackPermission, TrackSource,
    UpdateTrackSettings, signal_request::Message as Request, signal_response::Message as Response,
};
use kith_voip::token;

use crate::{
    client::Client,
    proxy::{Impairment, Proxy},
    server::Server,
    story::{assert_story, python},
};

/// Which of a publisher's three layers are to be sent: the next that it is told.
async fn told_layers(ann: &mut Client) -> Vec<bool> {
    let told = ann.until(|message| match message {
        Response::SubscribedQualityUpdate(update) => Some(update),
        _ => None,
    });
    let codecs = told.await.subscribed_codecs;
    assert_eq!(codecs[0].codec, "vp8");
    codecs[0].qualities.iter().map(|quality| quality.enabled).collect()
}

#[tokio::test]
async fn publishers_learn_which_layers_nobody_watches() {
    let server = Server::start().await;
    let mut ann = Client::join(&server, "ann", "").await;
    let sid = ann.publish(TrackSource::Camera, &["q", "h", "f"]).await;
    assert_eq!(told_layers(&mut ann).await, [false; 3], "nobody is there");
    let mut bob = Client::join(&server, "bob", "").await;
    assert_eq!(told_layers(&mut ann).await, [true; 3], "the best until it is known what is shown");
    let shown = |width, height, disabled| {
        let track_sids = vec![sid.clone()];
        let settings =
            UpdateTrackSettings { track_sids, width, height, disabled, ..Default::default() };
        Request::TrackSetting(settings)
    };
    bob.send(shown(160, 90, false)).await;
    assert_eq!(told_layers(&mut ann).await, [true, false, false]);
    bob.send(shown(640, 360, false)).await;
    assert_eq!(told_layers(&mut ann).await, [true, true, false]);
    bob.send(shown(0, 0, true)).await;
    assert_eq!(told_layers(&mut ann).await, [false; 3]);
}

#[tokio::test]
async fn publishers_decide_who_may_have_their_tracks() {
    let server = Server::start().await;
    let mut ann = Client::join(&server, "ann", "").await;
    let nobody = SubscriptionPermission { all_participants: false, ..Default::default() };
    ann.send(Request::SubscriptionPermission(nobody)).await;
    let sid = ann.publish(TrackSource::Microphone, &[]).await;
    let mut bob = Client::join(&server, "bob", "").await;
    let permission = |message| match message {
        Response::SubscriptionPermissionUpdate(update) => Some((update.track_sid, update.allowed)),
        _ => None,
    };
    assert_eq!(bob.until(permission).await, (sid.clone(), false));
    let offered = |message| match message {
        Response::Offer(offer) => Some((offer.mid_to_track_id, offer.id, offer.sdp)),
        _ => None,
    };
    let (tracks, id, sdp) = bob.until(offered).await;
    assert!(tracks.is_empty(), "{tracks:?}");
    bob.answer(id, &sdp).await;

    let to_bob = TrackPermission {
        participant_identity: "bob".to_owned(),
        all_tracks: true,
        ..TrackPermission::default()
    };
    let only_bob =
        SubscriptionPermission { all_participants: false, track_permissions: vec![to_bob] };
    ann.send(Request::SubscriptionPermission(only_bob)).await;
    assert_eq!(bob.until(permission).await, (sid.clone(), true));
    let (tracks, ..) = bob.until(offered).await;
    assert!(tracks.values().any(|track| *track == sid), "{tracks:?}");
    let mut cid = Client::join(&server, "cid", "").await;
    assert_eq!(cid.until(permission).await, (sid.clone(), false));
}

#[tokio::test]
async fn participants_get_another_token_before_theirs_runs_out() {
    let often = Duration::from_millis(300);
    let server = Server::with(|config| config.limits.refresh_tokens_every = often).await;
    let mut ann = Client::join(&server, "ann", "").await;
    let refreshed = |message| match message {
        Response::RefreshToken(token) => Some(token),
        _ => None,
    };
    let refreshed = ann.until(refreshed).await;
    let grants = token::verify(
        "key",
        "a secret of thirty-two characters!",
        &refreshed,
        std::time::SystemTime::now(),
    );
    let grants = grants.unwrap();
    assert_eq!((grants.room.as_str(), grants.identity.as_str()), ("call", "ann"));
    assert!(Client::connect(&server.url, &refreshed, "").await.is_ok());
}

/// A listener whose packets are lost is shown to others as badly connected.
#[tokio::test]
async fn others_see_how_bad_a_connection_is() {
    let proxy = Proxy::bind().await;
    let address = proxy.address;
    let server = Server::with(|config| {
        config.advertised = vec![address];
        // Eve only listens to what is told.
        config.limits.connect_within = Duration::from_mins(2);
    })
    .await;
    proxy.run(server.relay.udp_address(), 7);
    let [ann, bob] = ["ann", "bob"].map(|identity| server.token(identity));
    let mut eve = Client::join(&server, "eve", "").await;
    let sends = python("sends.py", &[&server.url, &ann, "60"]);
    let watches = async {
        server.media_comes().await;
        proxy.newcomers_have(Impairment { loss: 0.15, ..Impairment::BAD });
        python("quality.py", &[&server.url, &bob, "20"]).await
    };
    let poor = |message| match message {
        Response::ConnectionQuality(update) => {
            let poor = |of: &&ConnectionQualityInfo| of.quality() == ConnectionQuality::Poor;
            update.updates.iter().find(poor).map(|of| of.score)
        }
        _ => None,
    };
    let poor = async {
        server.media_comes().await;
        eve.until(poor).await
    };
    tokio::select! {
        seen = watches => panic!("nobody said so: {seen:?}"),
        seen = sends => assert_story(&seen, &["ann stays"]),
        score = poor => assert!(score <= 2.0, "{score}"),
    }
}
