//! Which addresses we dial (threats-and-faults.md section 6): public ones over TLS; private, loopback, link-local and
//! metadata addresses, and plain http, only in networks that the operator allowed by name. The check is made on the
//! address actually dialled, at every dial: names are resolved here, literal addresses are checked before the call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// A network in CIDR notation, for example `127.0.0.0/8`, `fd00::/8` or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads CIDR notation; `None` for anything else, also for a prefix longer than the address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= longest)?
            }
            Some(_) => return None,
        };
        Some(Self { address, prefix })
    }

    /// Whether every address of its kind lies in it.
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }

    /// Whether `address` lies in it. An IPv4 address written as IPv6 counts as the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |value: u128, width: u32| {
            value
                .checked_shr(width - u32::from(self.prefix))
                .unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(one)) => {
                bits(u128::from(net.to_bits()), 32) == bits(u128::from(one.to_bits()), 32)
            }
            (IpAddr::V6(net), IpAddr::V6(one)) => {
                bits(net.to_bits(), 128) == bits(one.to_bits(), 128)
            }
            _ => false,
        }
    }
}

/// Whether a network in CIDR notation contains an address; false when the notation is not one.
pub fn network_contains(cidr: &str, address: IpAddr) -> bool {
    Network::parse(cidr).is_some_and(|network| network.contains(address))
}

/// Whether an address is reachable on the public internet, as far as its number tells.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || (a == 100 && (64..128).contains(&b)) // RFC 6598 shared address space
        || (a == 192 && b == 0 && c == 0) // RFC 6890 protocol assignments
        || (a == 198 && (18..20).contains(&b)) // RFC 2544 benchmarking
        || a >= 240; // RFC 1112 reserved
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3; of it, 6to4 and Teredo and NAT64 wrap other addresses, 2001:db8::/32 is documentation.
    let segments = address.segments();
    let global = segments[0] & 0xe000 == 0x2000;
    let wrapping = segments[0] == 0x2002
        || (segments[0] == 0x2001 && (segments[1] == 0 || segments[1] == 0xdb8));
    global && !wrapping
}

/// What may be dialled.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Networks whose private addresses and plain http are allowed. Empty: public https only.
    pub allow: Vec<Network>,
}

impl Policy {
    /// What `delt demo` speaks: plain http on loopback.
    pub fn loopback() -> Self {
        Self {
            allow: vec![
                Network {
                    address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
                    prefix: 8,
                },
                Network {
                    address: IpAddr::V6(Ipv6Addr::LOCALHOST),
                    prefix: 128,
                },
            ],
        }
    }

    /// Whether this address may be dialled, with or without TLS.
    pub fn permits(&self, address: IpAddr, tls: bool) -> bool {
        self.allow.iter().any(|network| network.contains(address)) || (tls && is_public(address))
    }

    /// Whether a URL may be called, as far as it tells by itself: http(s), no user info, and an address written in it is
    /// permitted, in whatever notation (the URL standard reads decimal, octal, hexadecimal and mapped forms as the address
    /// they are). A name is permitted here; where it leads is judged at each dial.
    ///
    /// # Errors
    /// [`AddressFault`].
    pub fn judge(&self, url: &Url) -> Result<(), AddressFault> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(AddressFault::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressFault::UserInfo);
        }
        let literal: Option<IpAddr> = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(AddressFault::Host),
        };
        match literal {
            Some(address) if !self.permits(address, tls) => Err(AddressFault::Network),
            // Without TLS a name must lead into an allowed network; where none is, it never can.
            None if !tls && self.allow.is_empty() => Err(AddressFault::Network),
            _ => Ok(()),
        }
    }
}

/// Why a URL is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub enum AddressFault {
    /// Another scheme than http and https.
    Scheme,
    /// A user or password in it.
    UserInfo,
    /// No host.
    Host,
    /// A private, loopback, link-local or metadata address, or plain http, that the configuration does not allow.
    Network,
}

impl AddressFault {
    /// For a caller and a log alike; nothing of the URL.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Scheme => "not http or https",
            Self::UserInfo => "user info in the URL",
            Self::Host => "no host",
            Self::Network => "network not allowed",
        }
    }
}

/// How names are resolved: the system's way in operation, whatever a test likes in a test.
pub type Names =
    Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system_names() -> Names {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|at| at.ip()).collect())
        })
    })
}

/// Resolves names and gives only addresses that the policy permits.
pub(super) struct GuardedResolver {
    pub policy: Arc<Policy>,
    pub names: Names,
    pub tls: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, tls) = (self.policy.clone(), self.tls);
        let found = (self.names)(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await?.into_iter();
            let permitted: Vec<SocketAddr> = found
                .filter(|address| policy.permits(*address, tls))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if permitted.is_empty() {
                return Err("the name leads to no address that the configuration allows".into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test may panic")]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_what_lies_in_them_and_not_their_neighbours() {
        for (cidr, inside, outside) in [
            ("127.0.0.0/8", "127.255.255.255", "128.0.0.0"),
            ("10.20.0.0/15", "10.21.255.255", "10.22.0.0"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
        ] {
            assert!(network_contains(cidr, ip(inside)), "{cidr} {inside}");
            assert!(!network_contains(cidr, ip(outside)), "{cidr} {outside}");
        }
        assert!(network_contains("0.0.0.0/0", ip("8.8.8.8")));
        assert!(network_contains("127.0.0.0/8", ip("::ffff:127.0.0.1")));
    }

    #[test]
    fn what_is_not_cidr_is_no_network() {
        for strange in [
            "",
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "::/129",
            "10.0.0.0/+8",
        ] {
            assert_eq!(Network::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn private_addresses_in_any_notation_are_not_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "255.255.255.255",
            "224.0.0.1",
        ] {
            assert!(!is_public(ip(private)), "{private}");
        }
        assert!(is_public(ip("193.156.90.1")) && is_public(ip("2a02:c0::1")));
    }

    #[test]
    fn a_url_is_judged_by_the_address_it_means_in_whatever_notation() {
        let loopback = "https://127.0.0.1/";
        for text in [
            loopback,
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://127.0.0.1./",
            "https://%31%32%37.0.0.1/",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "https://127\u{3002}0\u{3002}0\u{3002}1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[64:ff9b:1::a9fe:a9fe]/",
            "https://[2002:7f00:1::]/",
            "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
            "https://[fe80::1]/",
            "https://[fec0::1]/",
            "https://[fd12:3456::1]/",
            "https://[ff02::1]/",
            "https://[2001:db8::1]/",
            "https://0.0.0.0/",
            "https://0/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://172.31.255.255/",
            "https://192.168.0.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://0xa9fea9fe/",
            "https://2852039166/",
            "https://[fd00:ec2::254]/",
            "https://192.0.0.192/",
            "https://198.18.0.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://240.0.0.1/",
            "http://193.156.90.1/",
            "http://delt.example/",
        ] {
            let url = Url::parse(text).unwrap();
            let judged = Policy::default().judge(&url);
            assert_eq!(judged, Err(AddressFault::Network), "{text} is {url}");
        }
        // What is no URL at all is refused before.
        for text in [
            "https://[fe80::1%25eth0]/",
            "https://127.0.0.256/",
            "https://1.2.3.4.5/",
            "https://a b/",
            "//127.0.0.1/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_that_may_be_called_is_https_without_user_info() {
        let judged = |text: &str| Policy::default().judge(&Url::parse(text).unwrap());
        assert_eq!(judged("https://193.156.90.1:8443/x"), Ok(()));
        assert_eq!(judged("https://[2a02:c0::1]/x"), Ok(()));
        assert_eq!(judged("https://delt.example/x"), Ok(()));
        for (text, fault) in [
            ("https://user@delt.example/", AddressFault::UserInfo),
            ("https://user:word@delt.example/", AddressFault::UserInfo),
            ("https://:word@delt.example/", AddressFault::UserInfo),
            ("https://delt.example@127.0.0.1/", AddressFault::UserInfo),
            ("ftp://delt.example/", AddressFault::Scheme),
            ("file:///etc/passwd", AddressFault::Scheme),
            ("gopher://127.0.0.1/", AddressFault::Scheme),
            ("javascript:alert(1)", AddressFault::Scheme),
            ("unix:/var/run/x", AddressFault::Scheme),
        ] {
            assert_eq!(judged(text), Err(fault), "{text}");
        }
        // The operator allowed loopback by name: there, and there alone, plain http too.
        let demo = |text: &str| Policy::loopback().judge(&Url::parse(text).unwrap());
        assert_eq!(demo("http://127.0.0.1:7070/x"), Ok(()));
        assert_eq!(demo("http://[::ffff:127.0.0.1]/x"), Ok(()));
        assert_eq!(demo("http://10.0.0.1/"), Err(AddressFault::Network));
        assert_eq!(demo("https://169.254.169.254/"), Err(AddressFault::Network));
    }

    #[test]
    fn plain_http_goes_only_where_a_network_is_allowed() {
        let public = Policy::default();
        assert!(public.permits(ip("193.156.90.1"), true));
        assert!(!public.permits(ip("193.156.90.1"), false));
        assert!(!public.permits(ip("127.0.0.1"), true));
        let demo = Policy::loopback();
        assert!(demo.permits(ip("127.0.0.1"), false));
        assert!(!demo.permits(ip("10.0.0.1"), true));
    }
}
