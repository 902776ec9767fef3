//! By which names the broker may be asked for. A page in a browser may rebind its own name to 127.0.0.1 and then ask there as if it
//! was this machine, with the credentials of a new broker; so on loopback addresses only this machine's names are answered.

use std::net::IpAddr;

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use rustix::system::uname;

pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// This machine's names, and those that the operator adds.
    pub(super) fn new(added: Vec<String>) -> Hosts {
        let mut names = added;
        names.push("localhost".to_owned());
        names.extend(uname().nodename().to_str().map(str::to_owned));
        Hosts(names)
    }

    /// Whether a request that came to a loopback address is for this machine. One that names nobody comes from no browser.
    pub(super) fn allow(&self, head: &Parts) -> bool {
        let named = head.headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        named.chain(head.uri.authority().map(Authority::as_str)).all(|host| self.has(host))
    }

    fn has(&self, host: &str) -> bool {
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split(':').next().unwrap_or_default(),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        name.parse::<IpAddr>().map_or_else(
            |_| self.0.iter().any(|known| known.eq_ignore_ascii_case(name)),
            |address| address.to_canonical().is_loopback(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names_and_loopback_addresses() {
        let hosts = Hosts::new(vec!["proxy.example".to_owned()]);
        for own in [
            "localhost",
            "LOCALHOST:15672",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:15672",
            "proxy.example:80",
            "localhost.",
        ] {
            assert!(hosts.has(own), "{own}");
        }
        for other in [
            "",
            "example.org",
            "example.org:15672",
            "localhost.example.org",
            "10.0.0.1",
            "[::2]",
            "x@example.org",
        ] {
            assert!(!hosts.has(other), "{other}");
        }
    }
}
