//! The destinations that a component may connect to. The component's `allowed_outbound_hosts` lists the destinations,
//! and has the same meaning as in Spin. A component may connect to a destination only if an entry allows this
//! destination.

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
};

use anyhow::{Context as _, bail, ensure};
use ipnet::IpNet;
use url::Host;

/// The host name in a request that a component sends to its own application.
pub const SELF_HOST: &str = "self.alt";
/// The domain of the host names with which components of one application call each other, as in Spin.
const CHAINING_DOMAIN: &str = "spin.internal";

/// The destinations that a component may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<AllowedHost>);

/// One entry of `allowed_outbound_hosts`, in the form `scheme://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    scheme: Pattern<String>,
    host: HostPattern,
    port: Pattern<Range<u32>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern<T> {
    Any,
    Only(T),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// A pattern that matches each host name that ends with this text. The text starts with a dot.
    Subdomain(String),
    /// The component's own application. The author writes `self` or `self.alt` as the host of the entry.
    Own,
    Exact(Host),
    Network(IpNet),
}

impl AllowedHosts {
    /// Creates the list from these entries. The component may connect to a destination if at least one entry allows the
    /// destination.
    pub fn new(entries: Vec<AllowedHost>) -> Self {
        Self(entries)
    }

    /// Adds an entry to the list, so that the component may also connect to the entry's destinations.
    pub fn push(&mut self, entry: AllowedHost) {
        self.0.push(entry);
    }

    /// Returns true if the component may not connect to any destination.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a component may send a request to the host `host`. If `port` is `None`, the request goes to the
    /// scheme's default port.
    pub fn allows(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let Some(host) = parse_host(host) else {
            return false;
        };
        let port = port.or(default_port(scheme));
        self.0.iter().any(|entry| entry.allows_scheme(scheme) && entry.host.matches(&host) && entry.allows_port(port))
    }

    /// Returns true if a raw socket may connect or send to this address. `scheme` is `tcp` or `udp`.
    pub fn allows_socket(&self, scheme: &str, address: SocketAddr) -> bool {
        // An IPv6 socket writes the IPv4 destination 1.2.3.4 as `::ffff:1.2.3.4`.
        let host = match address.ip().to_canonical() {
            IpAddr::V4(ip) => Host::<String>::Ipv4(ip),
            IpAddr::V6(ip) => Host::Ipv6(ip),
        };
        self.allows(scheme, &host.to_string(), Some(address.port()))
    }

    /// Returns true if a raw socket may connect or send to at least one address. `scheme` is `tcp` or `udp`.
    pub fn allows_sockets(&self, scheme: &str) -> bool {
        self.0.iter().any(|entry| entry.allows_scheme(scheme))
    }

    /// Returns true if a component may send requests to its own application, whose host name is [`SELF_HOST`].
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.0
            .iter()
            .any(|entry| entry.allows_scheme(scheme) && matches!(entry.host, HostPattern::Any | HostPattern::Own))
    }

    /// Returns the ids of the components that this component may call. The entry `http://shop.spin.internal` allows
    /// calls to the component `shop`. The entry `http://*.spin.internal` allows calls to all components. For this
    /// entry, the function returns the id `*`.
    pub fn chained(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|entry| match &entry.host {
            HostPattern::Exact(Host::Domain(domain)) => chained_component(domain),
            HostPattern::Subdomain(ending) if ending.strip_prefix('.') == Some(CHAINING_DOMAIN) => Some("*"),
            _ => None,
        })
    }

    /// Returns advice for a developer whose component may not connect to a destination: the entry that the developer
    /// can add to `allowed_outbound_hosts`.
    pub fn advice(&self, component: &str, scheme: &str, host: &str, port: Option<u16>) -> String {
        let add = |entry: &str| format!("add \"{entry}\" to allowed_outbound_hosts of [component.{component}]");
        let own = format!("{scheme}://self");
        let also = if self.allows_self(scheme) { String::new() } else { format!(", and {}", add(&own)) };
        if is_self(host) {
            return add(&own);
        }
        if host.eq_ignore_ascii_case("self") {
            return format!("the application itself is {scheme}://{SELF_HOST}: send the request there{also}");
        }
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let bracketed =
            if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let entry = format!("{scheme}://{bracketed}{port}");
        match AllowedHost::parse(&entry) {
            Ok(_) => format!("to allow it, {}", add(&entry)),
            Err(_) => "no entry of allowed_outbound_hosts can allow it".to_owned(),
        }
    }
}

/// Returns true if a host name stands for the component's own application.
pub fn is_self(host: &str) -> bool {
    host.eq_ignore_ascii_case(SELF_HOST)
}

/// Returns the id of the component that a request with this host name calls: `shop` for `shop.spin.internal`. If the
/// host name is not in the domain `spin.internal`, returns `None`. The function also returns an id that no component
/// has, such as `a.b` for `a.b.spin.internal`, so that the host never sends a request for the domain `spin.internal` to
/// the network.
pub fn chained_component(host: &str) -> Option<&str> {
    let (component, domain) = host.split_at_checked(host.len().checked_sub(CHAINING_DOMAIN.len() + 1)?)?;
    domain.strip_prefix('.')?.eq_ignore_ascii_case(CHAINING_DOMAIN).then_some(component)
}

impl AllowedHost {
    /// Reads an entry of `allowed_outbound_hosts`.
    pub fn parse(entry: &str) -> anyhow::Result<Self> {
        ensure!(
            entry != "insecure:allow-all",
            "\"insecure:allow-all\" is no longer allowed: \"*://*:*\" opens all of the network"
        );
        let (scheme, rest) = entry.trim().split_once("://").with_context(|| {
            format!("{entry:?} has no scheme: write <scheme>://<host>[:<port>], where each part may be \"*\"")
        })?;
        Self::parse_parts(scheme, rest).with_context(|| format!("{entry:?} is not an allowed host"))
    }

    fn parse_parts(scheme: &str, rest: &str) -> anyhow::Result<Self> {
        // An IPv6 address or network contains colons, so the last colon may not begin a port.
        let (host, port) = match rest.rsplit_once(':') {
            None => (rest, ""),
            Some((host, "")) => (host, ""),
            Some(_) if HostPattern::parse(rest).is_ok() => (rest, ""),
            Some((host, port)) => (host, port.strip_suffix('/').unwrap_or(port)),
        };
        ensure!(!port.contains('/'), "it must not have a path");
        Ok(Self { port: parse_port(port, scheme)?, scheme: parse_scheme(scheme)?, host: HostPattern::parse(host)? })
    }

    /// If this entry allows no destination, returns a warning for the author. An entry with the scheme `tcp` or `udp`
    /// and a host name allows nothing, because a socket connects to an IP address. In Spin, such an entry also allows
    /// nothing.
    pub fn warning(&self) -> Option<String> {
        let Pattern::Only(scheme) = &self.scheme else { return None };
        let name = match &self.host {
            HostPattern::Exact(Host::Domain(name)) => name.clone(),
            HostPattern::Subdomain(ending) => format!("*{ending}"),
            HostPattern::Own => SELF_HOST.to_owned(),
            _ => return None,
        };
        ["tcp", "udp"].contains(&scheme.as_str()).then(|| {
            format!(
                "{name:?} is a host name, but a socket connects to an IP address. The entry allows nothing: write the \
                 host's address or network, such as \"{scheme}://10.0.0.0/8:*\""
            )
        })
    }

    fn allows_scheme(&self, scheme: &str) -> bool {
        match &self.scheme {
            Pattern::Any => true,
            Pattern::Only(only) => only == scheme,
        }
    }

    fn allows_port(&self, port: Option<u16>) -> bool {
        match &self.port {
            Pattern::Any => true,
            Pattern::Only(range) => port.is_some_and(|port| range.contains(&port.into())),
        }
    }
}

impl HostPattern {
    fn parse(host: &str) -> anyhow::Result<Self> {
        let host = host.trim();
        match host {
            "*" => return Ok(Self::Any),
            "self" | SELF_HOST => return Ok(Self::Own),
            _ => {}
        }
        if let Ok(network) = host.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        ensure!(!host.contains('/'), "it must not have a path");
        match host.strip_prefix("*.") {
            Some(domain) => match exact(domain)? {
                Host::Domain(domain) => Ok(Self::Subdomain(format!(".{domain}"))),
                _ => bail!("\"*.\" must be followed by a domain, as in \"*.example.com\""),
            },
            None => Ok(Self::Exact(exact(host)?)),
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Subdomain(ending), Host::Domain(domain)) => domain.ends_with(ending),
            (Self::Exact(exact), host) => exact == host,
            (Self::Network(network), Host::Ipv4(ip)) => network.contains(&IpAddr::V4(*ip)),
            (Self::Network(network), Host::Ipv6(ip)) => network.contains(&IpAddr::V6(*ip)),
            (Self::Subdomain(_) | Self::Network(_) | Self::Own, _) => false,
        }
    }
}

fn exact(host: &str) -> anyhow::Result<Host> {
    ensure!(!host.contains('*'), "a wildcard can only stand for a whole host or, as \"*.\", in front of a domain");
    ensure!(!host.starts_with('{'), "lists of hosts are not supported");
    Host::parse(host).with_context(|| format!("{host:?} is not a host"))
}

/// Reads the host of a request, which is a name or an address. An IPv6 address may have brackets.
fn parse_host(host: &str) -> Option<Host> {
    match host.parse() {
        Ok(ip) => Some(Host::Ipv6(ip)),
        Err(_) => Host::parse(host).ok(),
    }
}

fn parse_scheme(scheme: &str) -> anyhow::Result<Pattern<String>> {
    match scheme {
        "*" => Ok(Pattern::Any),
        scheme if !scheme.is_empty() && scheme.chars().all(char::is_alphabetic) => Ok(Pattern::Only(scheme.to_owned())),
        scheme => bail!("the scheme {scheme:?} is neither a word nor \"*\""),
    }
}

fn parse_port(port: &str, scheme: &str) -> anyhow::Result<Pattern<Range<u32>>> {
    let number = |text: &str| {
        let port: Option<u16> = text.parse().ok();
        port.map(u32::from).with_context(|| format!("{text:?} is not a port"))
    };
    match (port, port.split_once("..")) {
        ("*", _) => Ok(Pattern::Any),
        ("", _) => {
            let port = default_port(scheme)
                .with_context(|| format!("it has no port, and the scheme {scheme:?} has no known default port"))?;
            Ok(Pattern::Only(single(port.into())))
        }
        // As in Spin, a range of ports does not include its end.
        (_, Some((start, end))) => Ok(Pattern::Only(number(start)?..number(end)?)),
        (port, None) => Ok(Pattern::Only(single(number(port)?))),
    }
}

/// Returns the range that contains only this port. The range has `u32` numbers, because the end of the range for port
/// 65535 is 65536.
fn single(port: u32) -> Range<u32> {
    port..port + 1
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        _ => None,
    }
}
