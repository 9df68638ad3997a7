"""Frames that a guest sends, byte by byte: those it may send, and those it
must not. A is the attacker (MAC a), V the victim, H the host."""
import ipaddress
import socket
import struct


def mac(s):
    return bytes.fromhex(s.replace(":", ""))


def ip4(s):
    return ipaddress.ip_address(s).packed


ip6 = ip4
BCAST = b"\xff" * 6
ALL6 = mac("33:33:00:00:00:01")


def eth(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def csum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def arp(op, sha, spa, tha, tpa, htype=1):
    return struct.pack("!HHBBH", htype, 0x800, 6, 4, op) + sha + spa + tha + tpa


def ipv4(src, dst, proto, payload, frag=0, options=b""):
    ihl = 5 + len(options) // 4
    h = struct.pack("!BBHHHBBH", 0x40 | ihl, 0, ihl * 4 + len(payload), 7,
                    frag, 64, proto, 0) + src + dst + options
    return h[:10] + struct.pack("!H", csum(h)) + h[12:] + payload


def udp(sport, dport, payload=b"x" * 12):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def bootp(chaddr):
    return struct.pack("!BBBBIHH", 1, 1, 6, 0, 7, 0, 0) + b"\0" * 16 + \
        chaddr + b"\0" * (10 + 64 + 128) + mac("63:82:53:63") + \
        b"\x35\x01\x01\xff"


def ipv6(src, dst, nexthdr, payload, hops=255):
    return struct.pack("!IHBB", 6 << 28, len(payload), nexthdr, hops) + \
        src + dst + payload


def icmp6(src, dst, kind, body):
    m = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = src + dst + struct.pack("!II", len(m), 58)
    return m[:2] + struct.pack("!H", csum(pseudo + m)) + m[4:]


def option(kind, m):
    return struct.pack("!BB", kind, 1) + m


def dest_opts(nexthdr):
    return struct.pack("!BB", nexthdr, 0) + b"\x01\x04\0\0\0\0"


def frag(nexthdr, offset=0, more=0):
    return struct.pack("!BBHI", nexthdr, 0, offset | more, 7)


def router_alert(nexthdr):
    return struct.pack("!BB", nexthdr, 0) + b"\x05\x02\0\0\x01\0"


class World:
    """Who is who. All are text."""

    def __init__(self, a, a4, a6, v, v4, v6, h, h4, h6):
        self.a, self.v, self.h = mac(a), mac(v), mac(h)
        self.a4, self.v4, self.h4 = ip4(a4), ip4(v4), ip4(h4)
        self.a6, self.v6, self.h6 = ip6(a6), ip6(v6), ip6(h6)
        m = self.a
        self.ll = ip6("fe80::") [:8] + bytes([m[0] ^ 2]) + m[1:3] + \
            b"\xff\xfe" + m[3:]


X = mac("52:54:00:ee:ee:ee")
Z4 = b"\0" * 4
Z6 = b"\0" * 16
ALLNODES = ip6("ff02::1")


def hostile(w):
    """name -> frame. Each would do harm if it arrived."""
    a, v, h = w.a, w.v, w.h
    all4 = ip4("255.255.255.255")

    def v4(src, **kw):
        return eth(BCAST, a, 0x800, ipv4(src, all4, 17, udp(9, 9), **kw))

    def v6(src, nexthdr, payload, dst=ALLNODES, smac=a):
        return eth(ALL6, smac, 0x86dd, ipv6(src, dst, nexthdr, payload))

    def nd(src, kind, body):
        return icmp6(src, ALLNODES, kind, body)

    na_v = struct.pack("!I", 0x20000000) + w.v6
    na_h = struct.pack("!I", 0x20000000) + w.h6
    na_a = struct.pack("!I", 0x20000000) + w.a6
    ra = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + option(1, a)
    bpdu = mac("424203") + b"\0" * 32
    return {
        "another source MAC": eth(BCAST, X, 0x800, ipv4(
            w.a4, all4, 17, udp(9, 9))),
        "the victim's source MAC": eth(BCAST, v, 0x800, ipv4(
            w.a4, all4, 17, udp(9, 9))),
        "the host's source MAC": eth(BCAST, h, 0x800, ipv4(
            w.a4, all4, 17, udp(9, 9))),
        "ARP with another sender MAC": eth(BCAST, a, 0x806, arp(
            1, v, w.a4, b"\0" * 6, w.h4)),
        "ARP as the victim": eth(BCAST, a, 0x806, arp(
            1, a, w.v4, b"\0" * 6, w.v4)),
        "ARP as the host": eth(BCAST, a, 0x806, arp(
            1, a, w.h4, b"\0" * 6, w.h4)),
        "ARP reply as the host": eth(BCAST, a, 0x806, arp(
            2, a, w.h4, v, w.v4)),
        "ARP reply as the victim": eth(BCAST, a, 0x806, arp(
            2, a, w.v4, h, w.h4)),
        "ARP of another hardware": eth(BCAST, a, 0x806, arp(
            1, a, w.v4, b"\0" * 6, w.h4, htype=6)),
        "IPv4 as the victim": v4(w.v4),
        "IPv4 as the host": v4(w.h4),
        "IPv4 from elsewhere": v4(ip4("198.51.100.7")),
        "IPv4 fragment as the victim": v4(w.v4, frag=100),
        "IPv4 with options as the victim": v4(w.v4, options=b"\x94\4\0\0"),
        "IPv4 from nobody": v4(Z4),
        "DHCP server": eth(BCAST, a, 0x800, ipv4(
            w.a4, all4, 17, udp(67, 68, bootp(v)))),
        "DHCP for another MAC": eth(BCAST, a, 0x800, ipv4(
            Z4, all4, 17, udp(68, 67, bootp(X)))),
        "VLAN-tagged ARP": eth(BCAST, a, 0x8100, struct.pack(
            "!HH", 5, 0x806) + arp(1, a, w.v4, b"\0" * 6, w.h4)),
        "VLAN 0 ARP": eth(BCAST, a, 0x8100, struct.pack(
            "!HH", 0, 0x806) + arp(1, a, w.v4, b"\0" * 6, w.h4)),
        "double-tagged ARP": eth(BCAST, a, 0x88a8, struct.pack(
            "!HHHH", 5, 0x8100, 6, 0x806) + arp(1, a, w.v4, b"\0" * 6, w.h4)),
        "SNAP-framed ARP": BCAST + a + struct.pack("!H", 36) +
        mac("aaaa03000000") + struct.pack("!H", 0x806) +
        arp(1, a, w.v4, b"\0" * 6, w.h4),
        "SNAP-framed IPv4": BCAST + a + struct.pack("!H", 60) +
        mac("aaaa03000000") + struct.pack("!H", 0x800) +
        ipv4(w.v4, all4, 17, udp(9, 9)),
        "another ethertype": eth(BCAST, a, 0x88b5, b"x" * 46),
        "PPPoE discovery": eth(BCAST, a, 0x8863, b"\x11\x09" + b"\0" * 44),
        "BPDU": mac("0180c2000000") + a + struct.pack("!H", 38) + bpdu,
        "BPDU to everybody": BCAST + a + struct.pack("!H", 38) + bpdu,
        "IPv6 as the victim": v6(w.v6, 17, udp(9, 9)),
        "IPv6 as the host": v6(w.h6, 17, udp(9, 9)),
        "IPv6 from elsewhere": v6(ip6("2001:db8::7"), 17, udp(9, 9)),
        "IPv6 from another link-local": v6(ip6("fe80::7"), 17, udp(9, 9)),
        "IPv6 fragment as the victim": v6(w.v6, 44, frag(17, 64) + b"x" * 16),
        "IPv6 with another source MAC": v6(w.a6, 17, udp(9, 9), smac=X),
        "NA for the victim": v6(w.a6, 58, nd(w.a6, 136, na_v + option(2, a))),
        "NA for the host": v6(w.a6, 58, nd(w.a6, 136, na_h + option(2, a))),
        "NA for the victim, no option": v6(w.a6, 58, nd(w.a6, 136, na_v)),
        "NA with another MAC": v6(w.a6, 58, nd(w.a6, 136,
                                               na_a + option(2, v))),
        "NA with two options": v6(w.a6, 58, nd(
            w.a6, 136, na_a + option(2, a) + option(2, v))),
        "NA as the victim": v6(w.v6, 58, nd(w.v6, 136, na_v + option(2, a))),
        "NA behind destination options": v6(w.a6, 60, dest_opts(58) + nd(
            w.a6, 136, na_v + option(2, a))),
        "NA in a fragment": v6(w.a6, 44, frag(58) + nd(
            w.a6, 136, na_v + option(2, a))),
        "NA behind hop-by-hop": v6(w.a6, 0, router_alert(58) + nd(
            w.a6, 136, na_v + option(2, a))),
        "NS with another MAC": v6(w.a6, 58, nd(
            w.a6, 135, b"\0" * 4 + w.h6 + option(1, v))),
        "NS as the victim": v6(w.v6, 58, nd(
            w.v6, 135, b"\0" * 4 + w.h6 + option(1, a))),
        "duplicate detection of the victim's": v6(Z6, 58, nd(
            Z6, 135, b"\0" * 4 + w.v6)),
        "RS with another MAC": v6(w.a6, 58, nd(
            w.a6, 133, b"\0" * 4 + option(1, v))),
        "RA": v6(w.ll, 58, nd(w.ll, 134, ra)),
        "RA behind hop-by-hop": v6(w.ll, 0, router_alert(58) +
                                   nd(w.ll, 134, ra)),
        "RA behind destination options": v6(w.ll, 60, dest_opts(58) +
                                            nd(w.ll, 134, ra)),
        "RA in an atomic fragment": v6(w.ll, 44, frag(58) +
                                       nd(w.ll, 134, ra)),
        "RA behind a fragment and options": v6(
            w.ll, 44, frag(60, 0, 1) + dest_opts(58) + nd(w.ll, 134, ra)),
        "first fragment without a transport header": v6(
            w.ll, 44, frag(60, 0, 1) + dest_opts(58)),
        "routing header": v6(w.a6, 43, struct.pack("!BBBB", 17, 2, 0, 1) +
                             b"\0" * 4 + w.v6 + udp(9, 9)),
        "redirect": v6(w.ll, 58, nd(w.ll, 137, b"\0" * 4 + w.a6 + w.h6)),
        "DHCPv6 server": v6(w.ll, 17, udp(547, 546)),
    }


def honest(w):
    """name -> frame: what a guest lives by."""
    a = w.a
    all4 = ip4("255.255.255.255")

    def v6(src, nexthdr, payload):
        return eth(ALL6, a, 0x86dd, ipv6(src, ALLNODES, nexthdr, payload))

    def nd(src, kind, body):
        return icmp6(src, ALLNODES, kind, body)

    return {
        "ARP request": eth(BCAST, a, 0x806, arp(1, a, w.a4, b"\0" * 6, w.h4)),
        "gratuitous ARP": eth(BCAST, a, 0x806, arp(1, a, w.a4, b"\0" * 6,
                                                   w.a4)),
        "ARP probe": eth(BCAST, a, 0x806, arp(1, a, Z4, b"\0" * 6, w.a4)),
        "IPv4": eth(BCAST, a, 0x800, ipv4(w.a4, all4, 17, udp(9, 9))),
        "IPv4 fragment": eth(BCAST, a, 0x800, ipv4(w.a4, all4, 17, b"x" * 16,
                                                   frag=100)),
        "DHCP discover": eth(BCAST, a, 0x800, ipv4(
            Z4, all4, 17, udp(68, 67, bootp(a)))),
        "DHCP renewal": eth(BCAST, a, 0x800, ipv4(
            w.a4, all4, 17, udp(68, 67, bootp(a)))),
        "IGMP from nobody": eth(BCAST, a, 0x800, ipv4(
            Z4, ip4("224.0.0.22"), 2, b"\x22\0\xf9\x02\0\0\0\1\4\0\0\0"
            b"\xe0\0\0\xfb")),
        "IPv6": v6(w.a6, 17, udp(9, 9)),
        "IPv6 link-local": v6(w.ll, 17, udp(9, 9)),
        "NA": v6(w.a6, 58, nd(w.a6, 136, struct.pack("!I", 0x20000000) +
                              w.a6 + option(2, a))),
        "NS": v6(w.a6, 58, nd(w.a6, 135, b"\0" * 4 + w.h6 + option(1, a))),
        "duplicate detection": v6(Z6, 58, nd(Z6, 135, b"\0" * 4 + w.a6)),
        "the same with a nonce": v6(Z6, 58, nd(
            Z6, 135, b"\0" * 4 + w.a6 + b"\x0e\x01" + b"nonce!")),
        "RS": v6(w.ll, 58, nd(w.ll, 133, b"\0" * 4 + option(1, a))),
        "RS from nobody": v6(Z6, 58, nd(Z6, 133, b"\0" * 4)),
        "DHCPv6 client": v6(w.ll, 17, udp(546, 547)),
        "echo request": v6(w.a6, 58, nd(w.a6, 128, b"\0\1\0\1")),
        "RARP of a guest that moved": eth(BCAST, a, 0x8035, arp(
            3, a, Z4, a, Z4)),
        "MLD report": v6(w.ll, 0, router_alert(58) + nd(
            w.ll, 143, b"\0\0\0\1\4\0\0\0" + ip6("ff02::fb"))),
        "IPv6 fragment": v6(w.a6, 44, frag(17, 64) + b"x" * 16),
    }
