//! The UDP socket: large buffers, no waiting. What the kernel does not take at once is lost, as on any network.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// A burst of all participants' keyframes fits in.
const BUFFER: usize = 4 * 1024 * 1024;

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
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The socket as peers use it.
pub(crate) struct Wire {
    socket: UdpSocket,
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
        Ok(Self { socket, mapped, advertised })
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// A datagram, if one is there.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, source) = self.socket.try_recv_from(buffer)?;
        Ok((length, SocketAddr::new(source.ip().to_canonical(), source.port())))
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
