//! Bad networks: what is lost is asked for again, and calls go on.

use crate::{
    proxy::{Impairment, Proxy},
    server::Server,
    story::{assert_story, number, python},
};

/// 5 % loss and up to 50 ms of jitter in both directions of the client that watches and listens.
#[tokio::test]
async fn people_see_and_hear_each_other_over_a_bad_network() {
    let proxy = Proxy::bind().await;
    let address = proxy.address;
    let server = Server::with(|config| config.advertised = vec![address]).await;
    proxy.run(server.relay.udp_address(), 20_261_122);
    let [ann, bob] = ["ann", "bob"].map(|identity| server.token(identity));
    let ann = python("sends.py", &[&server.url, &ann, "60"]);
    let watches = async {
        // What Ann sends gets through: her network stays as it is now.
        server.media_comes().await;
        proxy.newcomers_have(Impairment::BAD);
        python("quality.py", &[&server.url, &bob, "15"]).await
    };
    let seen = tokio::select! {
        seen = watches => seen,
        seen = ann => panic!("ann has left: {seen:?}"),
    };
    assert_story(&seen, &["picture", "sound"]);
    assert!(proxy.lost() > 30, "{} lost", proxy.lost());
    println!("{seen:?}");
    assert!(number(&seen, "sound", "share") >= 0.95, "{seen:?}");
    assert!(number(&seen, "picture", "frames") >= 100.0, "{seen:?}");
    assert!(number(&seen, "picture", "freezes_a_minute") <= 4.0, "{seen:?}");
}
