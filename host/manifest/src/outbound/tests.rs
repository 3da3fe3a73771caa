use super::*;

fn hosts(entries: &[&str]) -> AllowedHosts {
    AllowedHosts::new(entries.iter().map(|entry| AllowedHost::parse(entry).unwrap()).collect())
}

#[test]
fn nothing_is_allowed_by_default() {
    let none = AllowedHosts::default();
    assert!(!none.allows("http", "example.com", None));
    assert!(!none.allows_self("http"));
    assert!(!none.allows_socket("tcp", "127.0.0.1:80".parse().unwrap()));
}

#[test]
fn allows_what_spin_allows() {
    for (entry, scheme, host, port, expected) in [
        ("http://example.com", "http", "example.com", None, true),
        ("http://example.com", "http", "EXAMPLE.com", Some(80), true),
        ("http://example.com/", "http", "example.com", None, true),
        ("http://example.com", "https", "example.com", None, false),
        ("http://example.com", "http", "example.com", Some(8080), false),
        ("http://example.com", "http", "sub.example.com", None, false),
        ("http://example.com:8383/", "http", "example.com", Some(8383), true),
        ("http://example.com:8000..9000", "http", "example.com", Some(8999), true),
        ("http://example.com:8000..9000", "http", "example.com", Some(9000), false),
        ("http://example.com:65535", "http", "example.com", Some(65535), true),
        ("*://example.com:443", "https", "example.com", None, true),
        ("https://*", "https", "anything.org", None, true),
        ("https://*", "https", "anything.org", Some(444), false),
        ("*://*:*", "mqtt", "1.2.3.4", Some(1), true),
        ("http://*.example.com", "http", "a.b.example.com", None, true),
        ("http://*.Example.COM", "http", "a.example.com", None, true),
        ("http://*.example.com", "http", "example.com", None, false),
        ("http://*.example.com", "http", "myexample.com", None, false),
        ("redis://localhost", "redis", "localhost", None, true),
        ("http://[::1]", "http", "[::1]", None, true),
        ("http://[::1]", "http", "::1", Some(80), true),
        ("http://[::1]", "http", "[::2]", None, false),
        ("http://[::1]:8080/", "http", "[::1]", Some(8080), true),
        ("http://2001:db8::/32", "http", "[2001:db8:abcd::1]", None, true),
        ("http://2001:db8::/32:443", "http", "[2001:db8::1]", Some(443), true),
        ("http://2001:db8::/32", "http", "[2001:db9::1]", None, false),
        ("*://127.0.0.1/24:63551", "tcp", "127.0.0.9", Some(63551), true),
        ("http://10.0.0.0/8", "http", "example.com", None, false),
        ("http://self", "http", "self", None, false),
        ("*://localhost:*", "unknown", "localhost", None, true),
        ("*://localhost:80", "unknown", "localhost", None, false),
    ] {
        let allowed = hosts(&[entry]).allows(scheme, host, port);
        assert_eq!(allowed, expected, "{entry} {scheme} {host} {port:?}");
    }
}

#[test]
fn sockets_are_checked_by_address() {
    let hosts = hosts(&["tcp://127.0.0.0/8:*", "udp://[::1]:53"]);
    for (scheme, address, expected) in [
        ("tcp", "127.0.0.1:5432", true),
        ("udp", "127.0.0.1:5432", false),
        ("tcp", "[::ffff:127.0.0.1]:5432", true),
        ("udp", "[::1]:53", true),
        ("udp", "[::1]:54", false),
        ("tcp", "128.0.0.1:80", false),
    ] {
        assert_eq!(hosts.allows_socket(scheme, address.parse().unwrap()), expected, "{scheme} {address}");
    }
}

#[test]
fn self_is_the_application() {
    assert!(hosts(&["http://self"]).allows_self("http"));
    assert!(!hosts(&["http://self"]).allows_self("https"));
    assert!(hosts(&["*://self:80"]).allows_self("https"));
    assert!(hosts(&["http://self.alt"]).allows_self("http"));
    assert!(hosts(&["*://*:*"]).allows_self("http"));
    assert!(!hosts(&["http://localhost:3000"]).allows_self("http"));
    assert!(is_self("self.alt") && !is_self("self"));
}

#[test]
fn bad_entries_are_explained() {
    for (entry, expected) in [
        (
            "example.com",
            "\"example.com\" has no scheme: write <scheme>://<host>[:<port>], where each part may be \"*\"",
        ),
        ("http://a.com/b", "\"http://a.com/b\" is not an allowed host: it must not have a path"),
        ("http://a.com:80/b", "\"http://a.com:80/b\" is not an allowed host: it must not have a path"),
        ("http://a.com:8O", "\"http://a.com:8O\" is not an allowed host: \"8O\" is not a port"),
        ("http://a.com:99999", "\"http://a.com:99999\" is not an allowed host: \"99999\" is not a port"),
        (
            "ftp://a.com",
            "\"ftp://a.com\" is not an allowed host: it has no port, and the scheme \"ftp\" has no known default port",
        ),
        ("h2c://a.com:1", "\"h2c://a.com:1\" is not an allowed host: the scheme \"h2c\" is neither a word nor \"*\""),
        (
            "http://a.*.com",
            "\"http://a.*.com\" is not an allowed host: a wildcard can only stand for a whole host or, as \"*.\", in \
             front of a domain",
        ),
        (
            "http://*.127.0.0.1",
            "\"http://*.127.0.0.1\" is not an allowed host: \"*.\" must be followed by a domain, as in \"*.example.com\"",
        ),
    ] {
        assert_eq!(format!("{:#}", AllowedHost::parse(entry).unwrap_err()), expected);
    }
}

#[test]
fn what_spin_refuses_is_refused() {
    for entry in [
        "*",
        "",
        "insecure:allow-all",
        "localhost:3001",
        "*://127.0.0.0/24",
        "http://example.com:8080..70000",
        "http://self:notaport",
        "http://*.example.com:8080..",
        "http://127.0.0.0/24/p",
        "http://ff00::/8/extra",
        "http://[::1",
        "http://[::1]junk",
        "http://[::1]::80",
        "http://[v1.]",
        "http://*.",
        "http://example%GG.com",
        "http://example.com:80:90",
        "http://example.com//",
        "http://self//",
        "http://[::1]//",
        "{http,https}://a.com",
        "http://{a,b}",
    ] {
        assert!(AllowedHost::parse(entry).is_err(), "{entry}");
    }
}

#[test]
fn advice_is_what_helps() {
    let add = |entry: &str| format!("add \"{entry}\" to allowed_outbound_hosts of [component.c]");
    let own = "the application itself is http://self.alt: send the request there";
    for (entries, url, expected) in [
        (&[][..], ("http", "self.alt", None), add("http://self")),
        (&["https://self"], ("http", "SELF.alt", None), add("http://self")),
        (&[], ("http", "self", None), format!("{own}, and {}", add("http://self"))),
        (&["http://self"], ("http", "self", None), own.to_owned()),
        (&[], ("http", "db.spin.internal", None), format!("to allow it, {}", add("http://db.spin.internal"))),
        (&["http://a.example"], ("https", "a.example", None), format!("to allow it, {}", add("https://a.example"))),
        (&[], ("http", "a.example", Some(81)), format!("to allow it, {}", add("http://a.example:81"))),
        (&[], ("http", "[::1]", Some(81)), format!("to allow it, {}", add("http://[::1]:81"))),
        (&[], ("tcp", "::1", Some(81)), format!("to allow it, {}", add("tcp://[::1]:81"))),
        (&[], ("http", "a^b", None), "no entry of allowed_outbound_hosts can allow it".to_owned()),
    ] {
        let (scheme, host, port) = url;
        assert_eq!(hosts(entries).advice("c", scheme, host, port), expected, "{entries:?} {url:?}");
        // A developer who follows the advice can then send the request.
        if let Some((_, entry)) = expected.split_once("add \"") {
            let entry = entry.split('"').next().unwrap();
            let followed = hosts(&[entry]);
            assert!(followed.allows(scheme, host, port) || followed.allows_self(scheme), "{entry} for {url:?}");
        }
    }
}

#[test]
fn components_are_called_by_their_names() {
    for (host, expected) in [
        ("shop.spin.internal", Some("shop")),
        ("Shop-2.Spin.Internal", Some("Shop-2")),
        ("spin.internal", None),
        ("a.b.spin.internal", Some("a.b")),
        ("shop.internal", None),
    ] {
        assert_eq!(chained_component(host), expected, "{host}");
    }
    let entries = ["http://shop.spin.internal", "http://*.spin.internal", "http://a.example", "*://*:*"];
    assert_eq!(hosts(&entries).chained().collect::<Vec<_>>(), ["shop", "*"]);
    assert!(hosts(&["http://*.spin.internal"]).allows("http", "shop.spin.internal", None));
    assert!(!hosts(&["http://shop.spin.internal"]).allows("http", "till.spin.internal", None));
}
