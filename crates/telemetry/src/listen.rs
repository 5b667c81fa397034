//! Listening on all addresses, IPv6 and IPv4.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

/// Connections waiting to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on a port on all addresses: IPv6 and IPv4, or only IPv4 if the system has no IPv6. IPv4 peers then have addresses such as `::ffff:10.0.0.7`.
///
/// # Errors
/// If the port is in use or needs a privilege.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    let everywhere = bound(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    match everywhere {
        // Without IPv6 the socket or the address does not exist.
        Err(error) if !is_final(&error) => bound(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        listening => listening,
    }
}

/// IPv4 would fail in the same way.
fn is_final(error: &io::Error) -> bool {
    [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied].contains(&error.kind())
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // The system's default may be IPv6 only.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_accepts_both_families() {
        let listener = listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, accepted) = tokio::join!(TcpStream::connect(("127.0.0.1", port)), listener.accept());
        assert_eq!(line.unwrap().local_addr().unwrap().ip(), accepted.unwrap().1.ip().to_canonical());
        // Where the machine has it.
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            let (line, accepted) = tokio::join!(TcpStream::connect(("::1", port)), listener.accept());
            assert_eq!(line.unwrap().local_addr().unwrap().ip(), accepted.unwrap().1.ip());
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let first = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let error = listen(first.local_addr().unwrap().port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
