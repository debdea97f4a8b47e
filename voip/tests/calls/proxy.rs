//! A bad network in user space: between the clients and the relay's UDP port, with a seed, so that a run can
//! be repeated.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, sleep_until},
};

/// What happens to each datagram, in both directions.
#[derive(Clone, Copy)]
pub(crate) struct Impairment {
    /// 0 to 1.
    pub(crate) loss: f64,
    pub(crate) delay: Duration,
    /// Up to so much on top; later datagrams overtake earlier ones.
    pub(crate) jitter: Duration,
}

impl Impairment {
    /// A crowded wireless network: 5 % loss, up to 50 ms of jitter.
    pub(crate) const BAD: Self =
        Self { loss: 0.05, delay: Duration::from_millis(10), jitter: Duration::from_millis(50) };
    pub(crate) const NONE: Self = Self { loss: 0.0, delay: Duration::ZERO, jitter: Duration::ZERO };
}

/// A port that clients take for the relay's.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    socket: Arc<UdpSocket>,
    lost: Arc<AtomicU64>,
    newcomers: watch::Sender<Impairment>,
}

impl Proxy {
    pub(crate) async fn bind() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        Self {
            address: socket.local_addr().unwrap(),
            socket,
            lost: Arc::default(),
            newcomers: watch::Sender::new(Impairment::NONE),
        }
    }

    /// How many datagrams it has swallowed.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Those who come from now on have this network; until then all have a good one.
    pub(crate) fn newcomers_have(&self, impairment: Impairment) {
        self.newcomers.send_replace(impairment);
    }

    /// Passes datagrams on: each client has a socket of its own towards the relay.
    pub(crate) fn run(&self, relay: SocketAddr, seed: u64) {
        let (front, lost) = (Arc::clone(&self.socket), Arc::clone(&self.lost));
        let newcomers = self.newcomers.subscribe();
        tokio::spawn(async move {
            let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, Impairment)> = HashMap::new();
            let mut random = StdRng::seed_from_u64(seed);
            let mut buffer = [0; 2000];
            while let Ok((length, client)) = front.recv_from(&mut buffer).await {
                let known = clients.get(&client).cloned();
                let (back, impairment) = match known {
                    Some(known) => known,
                    None => {
                        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                        back.connect(relay).await.unwrap();
                        let impairment = *newcomers.borrow();
                        clients.insert(client, (Arc::clone(&back), impairment));
                        let way_back = WayBack {
                            front: Arc::clone(&front),
                            client,
                            lost: Arc::clone(&lost),
                            random: StdRng::seed_from_u64(random.random()),
                        };
                        tokio::spawn(way_back.run(Arc::clone(&back), impairment));
                        (back, impairment)
                    }
                };
                let datagram = buffer[..length].to_vec();
                impair(impairment, &mut random, &lost, async move {
                    let _ = back.send(&datagram).await;
                });
            }
        });
    }
}

/// From the relay to one client.
struct WayBack {
    front: Arc<UdpSocket>,
    client: SocketAddr,
    lost: Arc<AtomicU64>,
    random: StdRng,
}

impl WayBack {
    async fn run(mut self, back: Arc<UdpSocket>, impairment: Impairment) {
        let mut buffer = [0; 2000];
        while let Ok(length) = back.recv(&mut buffer).await {
            let datagram = buffer[..length].to_vec();
            let (front, client) = (Arc::clone(&self.front), self.client);
            impair(impairment, &mut self.random, &self.lost, async move {
                // A client that has gone does not listen.
                let _ = front.send_to(&datagram, client).await;
            });
        }
    }
}

fn impair(
    impairment: Impairment,
    random: &mut StdRng,
    lost: &AtomicU64,
    send: impl Future<Output = ()> + Send + 'static,
) {
    if random.random_bool(impairment.loss) {
        lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if impairment.delay.is_zero() && impairment.jitter.is_zero() {
        tokio::spawn(send);
        return;
    }
    let at = Instant::now() + impairment.delay + impairment.jitter.mul_f64(random.random());
    tokio::spawn(async move {
        sleep_until(at).await;
        send.await;
    });
}
