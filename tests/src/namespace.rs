//! A network namespace for one case, with only a loopback interface and its own port range. Linux only.

use crate::failure::{Check, Failure};

/// The namespace that the calling thread has entered. Threads that it starts afterwards are in it too.
#[derive(Debug)]
pub struct Namespace(());

impl Namespace {
    /// Moves the calling thread into a new namespace and brings its loopback interface up. A case runs in its own thread,
    /// which therefore never moves back.
    ///
    /// # Errors
    /// The system has no network namespaces, or this process may not create one.
    pub fn enter() -> Check<Self> {
        linux::enter().map_err(|error| Failure::Needs(format!("a network namespace: {error}")))?;
        Ok(Self(()))
    }

    /// Runs `body` while `port` is the namespace's only ephemeral port.
    ///
    /// # Errors
    /// Those of `body`, or the kernel rejects the setting.
    pub fn with_one_ephemeral_port<T>(
        &self,
        port: u16,
        body: impl FnOnce() -> Check<T>,
    ) -> Check<T> {
        let _one_port = linux::PortRange::set(port)
            .map_err(|error| Failure::Needs(format!("one ephemeral port: {error}")))?;
        body()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io;

    use nix::sched::{CloneFlags, unshare};
    use socket2::{Domain, Socket, Type};

    pub(super) fn enter() -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        bring_loopback_up()
    }

    /// Sends `RTM_NEWLINK` for interface 1, which is the loopback interface in every namespace (rtnetlink(7)).
    fn bring_loopback_up() -> io::Result<()> {
        const AF_NETLINK: i32 = 16;
        const RTM_NEWLINK: u16 = 16;
        const NLM_F_REQUEST_ACK: u16 = 1 | 4;
        const NLMSG_ERROR: u16 = 2;
        const IFF_UP: u32 = 1;
        const MESSAGE_BYTES: u32 = 32;
        let mut message = Vec::new();
        message.extend(MESSAGE_BYTES.to_ne_bytes());
        message.extend(RTM_NEWLINK.to_ne_bytes());
        message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
        message.extend([0; 8]); // Sequence number, sender.
        message.extend([0; 4]); // Family, type.
        message.extend(1_i32.to_ne_bytes());
        message.extend(IFF_UP.to_ne_bytes()); // Flags, and the mask of those to change.
        message.extend(IFF_UP.to_ne_bytes());
        let mut socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, None)?;
        socket.send(&message)?;
        let mut reply = [0; 256];
        let length = io::Read::read(&mut socket, &mut reply)?;
        let error = reply.get(16..20).filter(|_| length >= 20);
        let kind = u16::from_ne_bytes([reply[4], reply[5]]);
        match error.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) if kind == NLMSG_ERROR => match i32::from_ne_bytes(bytes) {
                0 => Ok(()),
                negated => Err(io::Error::from_raw_os_error(-negated)),
            },
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

    /// The namespace's previous ephemeral port range, restored on drop.
    pub(super) struct PortRange(String);

    impl PortRange {
        pub(super) fn set(port: u16) -> io::Result<Self> {
            let previous = Self(fs::read_to_string(RANGE)?);
            fs::write(RANGE, format!("{port} {port}"))?;
            Ok(previous)
        }
    }

    impl Drop for PortRange {
        fn drop(&mut self) {
            // A failure is harmless: the namespace ends with the case.
            let _ = fs::write(RANGE, &self.0);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    use std::io;

    pub(super) fn enter() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) struct PortRange;

    impl PortRange {
        pub(super) fn set(_port: u16) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}
