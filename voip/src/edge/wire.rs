//! The UDP socket: large buffers, no waiting. What the kernel does not take at once is lost, as on any network.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::sys::{
    socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
        sockopt::ReceiveTimestamp,
    },
    time::TimeVal,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

/// A burst of all participants' keyframes fits in.
const BUFFER: usize = 4 * 1024 * 1024;

/// What has waited in the socket for longer is taken to have come so long ago, as somebody may set the clock.
const WAITED: Duration = Duration::from_secs(1);

/// Binds the media port.
pub(crate) fn bind(address: SocketAddr) -> io::Result<StdUdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel gives what `net.core.rmem_max` allows; less is no error.
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, ReceiveTimestamp, &true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A datagram that has come.
pub(crate) struct Datagram<'a> {
    pub source: SocketAddr,
    /// When the kernel got it. Senders find out from this how much the way can carry: a relay that was not given the
    /// processor for a moment must not look like a crowded way.
    pub arrived: Instant,
    pub contents: &'a [u8],
}

/// The socket as peers use it.
pub(crate) struct Wire {
    socket: UdpSocket,
    /// For what the kernel says beside a datagram.
    beside: Vec<u8>,
    /// IPv4 clients of an IPv6 socket.
    mapped: bool,
    /// What clients were told to send to.
    advertised: Vec<SocketAddr>,
}

impl Wire {
    /// To be called inside of the runtime that will read the socket.
    pub(crate) fn new(socket: StdUdpSocket, advertised: Vec<SocketAddr>) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket)?;
        let mapped = socket.local_addr()?.is_ipv6();
        Ok(Self { socket, beside: nix::cmsg_space!(TimeVal), mapped, advertised })
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// A datagram, if one is there.
    pub(crate) fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<Datagram<'a>> {
        let (socket, beside) = (self.socket.as_raw_fd(), &mut self.beside);
        let (length, source, age) = self.socket.try_io(Interest::READABLE, || {
            let mut parts = [IoSliceMut::new(buffer)];
            let message =
                recvmsg::<SockaddrStorage>(socket, &mut parts, Some(beside), MsgFlags::empty())?;
            let age = message.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestamp(time) => age(time),
                _ => None,
            });
            Ok((message.bytes, message.address.and_then(|address| socket_address(&address)), age))
        })?;
        let source = source.ok_or(io::ErrorKind::InvalidData)?;
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        let now = Instant::now();
        let arrived = now.checked_sub(age.unwrap_or_default().min(WAITED)).unwrap_or(now);
        Ok(Datagram { source, arrived, contents: &buffer[..length] })
    }

    /// False if it was not sent.
    pub(crate) fn send(&self, contents: &[u8], destination: SocketAddr) -> bool {
        let destination = match destination.ip() {
            IpAddr::V4(ip) if self.mapped => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), destination.port())
            }
            _ => destination,
        };
        self.socket.try_send_to(contents, destination).is_ok()
    }

    pub(crate) fn advertised(&self) -> &[SocketAddr] {
        &self.advertised
    }

    /// The local candidate on which a datagram from `source` has arrived.
    pub(crate) fn local_for(&self, source: SocketAddr) -> Option<SocketAddr> {
        let family = |address: &&SocketAddr| address.is_ipv4() == source.is_ipv4();
        self.advertised.iter().find(family).copied()
    }
}

/// How long ago it was; `None` if it is yet to come.
fn age(time: TimeVal) -> Option<Duration> {
    let since_epoch = Duration::new(
        time.tv_sec().try_into().ok()?,
        u32::try_from(time.tv_usec()).ok()?.checked_mul(1000)?,
    );
    SystemTime::now().duration_since(UNIX_EPOCH.checked_add(since_epoch)?).ok()
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|it| SocketAddr::V4((*it).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|it| SocketAddr::V6((*it).into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worker was busy while they came.
    #[tokio::test]
    async fn datagrams_that_waited_are_as_old_as_they_are() {
        let socket = bind("[::1]:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let mut wire = Wire::new(socket, vec![address]).unwrap();
        let sender = StdUdpSocket::bind("[::1]:0").unwrap();
        let mut buffer = [0; 100];
        // The kernel begins to note times a while after the first socket of a machine has asked for them.
        for _ in 0..50 {
            sender.send_to(b"early", address).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            let waited = Instant::now();
            wire.readable().await.unwrap();
            if wire.receive(&mut buffer).unwrap().arrived < waited {
                break;
            }
        }
        let apart = Duration::from_millis(80);
        let sent = [0u8, 1].map(|number| {
            sender.send_to(&[number; 3], address).unwrap();
            std::thread::sleep(apart);
            Instant::now()
        });
        let mut arrived = Vec::new();
        for number in 0..2 {
            wire.readable().await.unwrap();
            let datagram = wire.receive(&mut buffer).unwrap();
            assert_eq!(
                (datagram.contents, datagram.source),
                (&[number; 3][..], sender.local_addr().unwrap())
            );
            arrived.push(datagram.arrived);
        }
        assert!(wire.receive(&mut buffer).is_err(), "there is no third");
        for (arrived, later) in arrived.iter().zip(sent) {
            assert!(*arrived < later, "long before it was read");
        }
        assert!(arrived[1] - arrived[0] > apart / 2, "one after the other");
    }
}
