//! Bad networks: what is lost is asked for again, and calls go on.

use serde_json::Value;

use crate::{
    proxy::{Impairment, Proxy},
    server::Server,
    story::{assert_story, number, python},
};

/// What Bob sees and hears of Ann for 15 seconds, over these networks of hers and his.
async fn seen(ann: Impairment, bob: Impairment) -> Vec<Value> {
    let proxy = Proxy::bind().await;
    let address = proxy.address;
    let server = Server::with(|config| config.advertised = vec![address]).await;
    proxy.newcomers_have(ann);
    proxy.run(server.relay.udp_address(), 20_261_122);
    let [ann, his] = ["ann", "bob"].map(|identity| server.token(identity));
    let ann = python("sends.py", &[&server.url, &ann, "60"]);
    let watches = async {
        // Ann's network stays as it is now.
        server.media_comes().await;
        proxy.newcomers_have(bob);
        python("quality.py", &[&server.url, &his, "15"]).await
    };
    let seen = tokio::select! {
        seen = watches => seen,
        seen = ann => panic!("ann has left: {seen:?}"),
    };
    assert_story(&seen, &["picture", "sound"]);
    assert!(proxy.lost() > 30, "{} lost", proxy.lost());
    seen
}

#[track_caller]
fn assert_good(seen: &[Value]) {
    assert!(number(seen, "sound", "share") >= 0.95, "{seen:?}");
    // Each packet of sound repeats the one before: less is missing than was lost.
    assert!(number(seen, "sound", "concealed") <= 0.03, "{seen:?}");
    assert!(number(seen, "picture", "frames") >= 100.0, "{seen:?}");
    assert!(number(seen, "picture", "freezes_a_minute") <= 4.0, "{seen:?}");
}

/// 5 % loss and up to 50 ms of jitter in both directions of the client that watches and listens.
#[tokio::test]
async fn people_see_and_hear_others_over_a_bad_network() {
    assert_good(&seen(Impairment::NONE, Impairment::BAD).await);
}

/// The same on the side of the client that sends, which offers no RTX: it is asked to repeat packets as they were.
#[tokio::test]
async fn people_are_seen_and_heard_over_a_bad_network_of_theirs() {
    assert_good(&seen(Impairment::BAD, Impairment::NONE).await);
}
