//! A wire between servers that a test cuts.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Listens at one address and passes connections on to another, unless it is shut: then nobody gets
/// through, and connections that stand are cut.
pub struct Gate {
    open: watch::Sender<bool>,
    passing: JoinHandle<()>,
}

impl Gate {
    pub async fn open(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.expect("the address is free");
        let (open, is_open) = watch::channel(true);
        let passing = tokio::spawn(async move {
            while let Ok((mut outer, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                if !*is_open.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut inner) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut outer, &mut inner) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { open, passing }
    }

    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open_again(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.passing.abort();
    }
}
