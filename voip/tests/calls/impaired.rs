//! Bad networks: what is lost is asked for again, and calls go on.

use std::time::Duration;

use crate::{
    proxy::{Impairment, Proxy},
    server::Server,
    story::{assert_story, python},
};

/// 5 % loss and up to 50 ms of jitter in both directions of the client that watches and listens.
#[tokio::test]
async fn people_see_and_hear_each_other_over_a_bad_network() {
    let proxy = Proxy::bind().await;
    let address = proxy.address;
    let server = Server::with(|config| config.advertised = vec![address]).await;
    let bad = Impairment {
        loss: 0.05,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(50),
    };
    proxy.run(server.relay.udp_address(), bad, 20_261_122);
    let [ann, bob] = ["ann", "bob"].map(|identity| server.token(identity));
    let mut events = server.relay.events();
    let arguments = [server.url.as_str(), &ann, &bob];
    let (seen, ()) = tokio::join!(python("quality.py", &arguments), async {
        // Ann joins and sends, then Bob joins.
        events.recv().await.unwrap();
        events.recv().await.unwrap();
        proxy.newcomers_have_it_bad();
    });
    assert_story(&seen, &["picture", "sound"]);
    assert!(proxy.lost() > 30, "{} lost", proxy.lost());
    let number = |chapter: &str, field: &str| {
        let line = seen.iter().find(|line| line["saw"] == chapter).unwrap();
        line[field].as_f64().unwrap()
    };
    assert!(number("sound", "share") >= 0.95, "{seen:?}");
    println!("{seen:?}");
    assert!(number("picture", "frames") >= 100.0, "{seen:?}");
    assert!(number("picture", "freezes_a_minute") <= 4.0, "{seen:?}");
}
