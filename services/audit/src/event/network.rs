//! Networks: which addresses they hold, and by which stored prefixes they are found.

use std::net::IpAddr;

/// Prefix lengths that are stored of every IPv4 address.
const V4: [u8; 7] = [8, 12, 16, 20, 24, 28, 32];
/// Prefix lengths that are stored of every IPv6 address.
const V6: [u8; 10] = [32, 36, 40, 44, 48, 52, 56, 60, 64, 128];
/// Bits by which a network is at most spelled out into stored prefixes: eight of them.
const SPREAD: u8 = 3;

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: Bits,
    length: u8,
}

/// The bits of an address, the first one highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    width: u8,
    value: u128,
}

/// The stored prefixes that hold a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cover {
    /// As [`prefixes`] writes them.
    pub prefixes: Vec<String>,
    /// Whether they hold nothing else.
    pub exact: bool,
}

impl Bits {
    fn new(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self { width: 32, value: u128::from(u32::from(ip)) },
            IpAddr::V6(ip) => Self { width: 128, value: u128::from(ip) },
        }
    }

    fn stored(self) -> &'static [u8] {
        if self.width == 32 { &V4 } else { &V6 }
    }

    /// The first `length` bits.
    fn first(self, length: u8) -> u128 {
        self.value.checked_shr(u32::from(self.width.saturating_sub(length))).unwrap_or(0)
    }

    fn prefix(self, length: u8) -> String {
        spelled(self.width, length, self.first(length))
    }
}

fn spelled(width: u8, length: u8, first: u128) -> String {
    format!("{width}/{length}/{first:x}")
}

/// The stored prefixes of an address.
pub fn prefixes(ip: IpAddr) -> impl Iterator<Item = String> {
    let bits = Bits::new(ip);
    bits.stored().iter().map(move |length| bits.prefix(*length))
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address. Bits behind the prefix are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().ok()?;
        let address = Bits::new(ip);
        let length = length.unwrap_or(if ip.is_ipv4() { 32 } else { 128 });
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8
        let mapped = if ip.is_ipv6() && address.width == 32 { 96 } else { 0 };
        let length = length.checked_sub(mapped).filter(|length| *length <= address.width)?;
        Some(Self { address, length })
    }

    /// Whether the address is in it.
    pub fn holds(&self, ip: IpAddr) -> bool {
        let bits = Bits::new(ip);
        bits.width == self.address.width && bits.first(self.length) == self.address.first(self.length)
    }

    /// The stored prefixes that hold it; none when it is too wide to be searched for.
    pub fn cover(&self) -> Option<Cover> {
        let (width, stored) = (self.address.width, self.address.stored());
        let next = stored.iter().find(|l| (self.length..=self.length.saturating_add(SPREAD)).contains(*l));
        if let Some(next) = next {
            let spread = u32::from(next - self.length);
            let first = self.address.first(self.length).checked_shl(spread).unwrap_or(0);
            let prefixes = (0..1_u128 << spread).map(|n| spelled(width, *next, first + n)).collect();
            return Some(Cover { prefixes, exact: true });
        }
        let wider = stored.iter().rev().find(|l| **l < self.length)?;
        Some(Cover { prefixes: vec![self.address.prefix(*wider)], exact: false })
    }

    /// The widest network of its kind that can be searched for, in bits.
    pub fn least(&self) -> u8 {
        self.address.stored().first().map_or(0, |l| l.saturating_sub(SPREAD))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notation_is_read_and_nothing_else() {
        for good in ["10.0.0.0/8", "10.1.2.3", "::1", "2001:db8::/32", "::ffff:10.0.0.0/104", "0.0.0.0/0"] {
            assert!(Network::parse(good).is_some(), "{good}");
        }
        for bad in
            ["", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "::ffff:10.0.0.0/8", "x/8", "10.0.0.0/"]
        {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Network::parse("::ffff:10.9.9.9/104"), Network::parse("10.9.9.9/8"));
    }

    #[test]
    fn what_is_too_wide_has_no_cover() {
        assert!(Network::parse("10.0.0.0/4").unwrap().cover().is_none());
        assert_eq!(Network::parse("10.0.0.0/5").unwrap().cover().map(|c| c.prefixes.len()), Some(8));
        assert_eq!(Network::parse("10.0.0.0/4").unwrap().least(), 5);
        assert!(Network::parse("2001::/16").unwrap().cover().is_none());
        assert!(!Network::parse("2001:db8::/100").unwrap().cover().unwrap().exact);
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0..4_u32, 0..4_u32).prop_map(|(a, b)| IpAddr::from((a << 28 | b).to_be_bytes())),
            (0..4_u128, 0..4_u128, 0..4_u128)
                .prop_map(|(a, b, c)| IpAddr::from((a << 95 | b << 62 | c).to_be_bytes())),
        ]
    }

    proptest! {
        #[test]
        fn an_address_in_a_network_has_a_prefix_of_its_cover(ip in address(), other in address(), length in 0..129_u8) {
            let Some(network) = Network::parse(&format!("{other}/{length}")) else { return Ok(()) };
            let own: HashSet<_> = prefixes(ip).collect();
            if let Some(cover) = network.cover() {
                let found = cover.prefixes.iter().any(|p| own.contains(p));
                prop_assert!(found || !network.holds(ip));
                prop_assert!(!cover.exact || found == network.holds(ip));
            }
        }
    }
}
