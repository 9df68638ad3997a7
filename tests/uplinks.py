"""An uplink that accepts one MAC, simulated: an access point whose port drops
every frame that does not come from the station's MAC, and delivers only what
goes to it or to a group.

    inet ─── ap (router, DHCP, RA; bridge "lan") ─── lanhost
              │ ap0: one MAC
    this namespace: wlan0 (a bridge over the cable: no port of another, as
    a station) or eth0 (a cable: a filtered switch port)
"""
from lib import *

STATION = "02:aa:00:00:00:20"
NET, NET6 = "192.168.60", "2001:db8:60"
UDP = r"""
import socket, struct, sys, time
what, target = sys.argv[1], sys.argv[2]
six = ":" in target
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
idx = socket.if_nametoindex(sys.argv[3])
if what == "serve":
    s.bind(("::" if six else "0.0.0.0", 9999))
    if six:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                     socket.inet_pton(socket.AF_INET6, target) +
                     struct.pack("@i", idx))
    elif target.startswith("224"):
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                     socket.inet_aton(target) + struct.pack("@4xi", idx))
    print("ready", flush=True)
    while True:
        data, peer = s.recvfrom(100)
        s.sendto(b"here", peer)
else:
    s.settimeout(0.4)
    if six:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, idx)
    else:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        # (the host may hear the answer on another link than it asked on)
        if len(sys.argv) < 5:
            s.setsockopt(socket.SOL_SOCKET, 25, sys.argv[3].encode())
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                     struct.pack("@4s4si", b"\0" * 4, b"\0" * 4, idx))
    for _ in range(3):
        s.sendto(b"anybody", (target, 9999))
        try:
            while s.recvfrom(100):
                sys.exit(0)
        except socket.timeout:
            pass
    sys.exit(1)
"""


class Network:
    """The access point and what is behind it; `uplink` is made here."""

    def __init__(self, uplink, station, filtered=True):
        self.ap, self.lan, self.inet = (namespace() for _ in range(3))
        sh("sysctl -qw net.ipv6.conf.all.accept_dad=0 "
           "net.ipv6.conf.default.accept_dad=0")
        ip("link", "add", "lan", "type", "bridge", "mcast_snooping", "0",
           ns=self.ap)
        self.cable(uplink, station, filtered)
        sh("""ip link set lan up
              ip link add lan1 type veth peer name eth0 netns %s
              ip link set lan1 master lan up
              ip link add wan type veth peer name eth0 netns %s
              ip link set wan up
              ip addr add %s.1/24 dev lan; ip addr add %s::1/64 dev lan
              ip addr add 203.0.113.1/24 dev wan
              ip addr add 2001:db8:99::1/64 dev wan
              sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
              """ % (self.lan, self.inet, NET, NET6), ns=self.ap)
        sh("""ip link set eth0 up; ip addr add %s.9/24 dev eth0
              ip addr add %s::9/64 dev eth0
              ip route add default via %s.1; ip route add default via %s::1
              """ % (NET, NET6, NET, NET6), ns=self.lan)
        sh("""ip link set eth0 up; ip addr add 203.0.113.9/24 dev eth0
              ip addr add 2001:db8:99::9/64 dev eth0
              ip route add %s.0/24 via 203.0.113.1
              ip route add %s::/64 via 2001:db8:99::1""" % (NET, NET6),
           ns=self.inet)
        self.dhcp = subprocess.Popen(
            ["ip", "netns", "exec", self.ap, "dnsmasq", "-d", "-C",
             "/dev/null", "-p", "0", "-i", "lan", "--bind-interfaces",
             "--no-ping", "--dhcp-range=%s.100,%s.120,255.255.255.0,1h" % (
                 NET, NET), "--dhcp-range=%s::,ra-only,64" % NET6,
             "--enable-ra", "--dhcp-authoritative", "--log-dhcp",
             "--dhcp-leasefile=/run/ap.leases"], stdout=subprocess.DEVNULL,
            stderr=open("/run/ap.log", "w"))
        sh("""sysctl -qw net.ipv6.conf.%s.accept_ra=0
              ip link set %s up; ip addr add %s.20/24 dev %s
              ip addr add %s::20/64 dev %s
              ip route add default via %s.1; ip route add default via %s::1
              """ % (uplink, uplink, NET, uplink, NET6, uplink, NET, NET6))
        wait_for("link-local addresses", lambda: "fe80" in ip(
            "addr", "show", "dev", uplink).out)
        settle()

    def cable(self, uplink, station, filtered):
        """Makes the uplink and its other end, a port of the bridge lan."""
        cable = "phy0" if station else uplink
        ip("link", "add", cable, "address", STATION, "type", "veth", "peer",
           "name", "ap0", "netns", self.ap)
        ip("link", "set", "ap0", "master", "lan", "up", ns=self.ap)
        if filtered:
            self.filter(STATION)
        if station:
            sh("""ip link add %s address %s type bridge mcast_snooping 0
                  ip link set phy0 master %s up""" % (uplink, STATION, uplink))

    def filter(self, mac):
        run("nft", "-f", "-", input=r"""table bridge ap
            delete table bridge ap
            table bridge ap {
            chain pre { type filter hook prerouting priority -300;
                iifname ap0 ether saddr != %s counter drop; }
            chain post { type filter hook postrouting priority 300;
                oifname ap0 ether daddr & 01:00:00:00:00:00 == \
                    00:00:00:00:00:00 ether daddr != %s counter drop; }
            }
            """
            % (mac, mac), ns=self.ap)

    def warm(self):
        """Nobody remembers anything of anybody."""
        for ns in (self.ap, self.lan, self.inet):
            sh("ip neigh flush all; ip -6 neigh flush all", ns=ns,
               check=False)


class Guest:
    """A guest on the tap that the config gives it."""

    def __init__(self, tap, mac, addr=None, addr6=None):
        self.g = TapGuest(tap, mac)
        self.ns = self.g.ns
        self.addr, self.addr6 = addr, addr6
        sh("sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0", ns=self.ns)
        if addr:
            sh("""ip addr add %s/24 dev eth0
                  ip route add default via %s.1""" % (addr, NET), ns=self.ns)
        if addr6:
            ip("addr", "add", addr6 + "/64", "dev", "eth0", ns=self.ns)

    def dhcp(self):
        """A lease by a client that does not ask for broadcasts."""
        p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T",
                "1", "-s", "/bin/true", ns=self.ns, check=False)
        m = re.search(r"lease of ([\d.]+) obtained from ([\d.]+)",
                      p.out + p.err)
        return (m.group(1), m.group(2)) if m else (None, None)

    def take_lease(self):
        self.addr, server = self.dhcp()
        if self.addr:
            sh("""ip addr add %s/24 dev eth0
                  ip route add default via %s.1""" % (self.addr, NET),
               ns=self.ns)
        return server

    def slaac(self):
        """The address that the LAN's router has it make."""
        def have():
            m = re.search(r"inet6 (2001:[\da-f:]+)/64",
                          ip("-6", "addr", "show", "dev", "eth0",
                             "scope", "global", ns=self.ns).out)
            return m and m.group(1)
        self.addr6 = wait_for("a SLAAC address", have, 15)


def asks(ns, target, dev, servers):
    """Does a server of `servers` (namespaces) answer what ns asks of a group?
    dev: where ns asks."""
    procs = []
    try:
        for s, sdev in servers:
            argv = [sys.executable, "-c", UDP, "serve", target, sdev]
            if s:
                argv = ["ip", "netns", "exec", s] + argv
            p = subprocess.Popen(argv, stdout=subprocess.PIPE)
            procs.append(p)
            assert p.stdout.readline() == b"ready\n"
        return run(sys.executable, "-c", UDP, "ask", target, dev,
                   *([] if ns else ["host"]), ns=ns, check=False).rc == 0
    finally:
        for p in procs:
            p.kill()
            p.wait()


def cells(net, guests, host, dev, tries=2):
    """The matrix: name -> whether it works. host: its (v4, v6) addresses, on
    the link dev. Each cell by traffic, from cold caches."""
    out = {}

    def cell(name, ns, addr):
        out[name] = any(ping(addr, 3 if tries > 1 else 1,
                             1 if tries > 1 else 0.4, ns=ns)
                        for _ in range(tries))

    for i, g in enumerate(guests):
        net.warm()
        n = "guest %s" % "abc"[i]
        for v, mine, lan, inet, me in (
                ("v4", g.addr, NET + ".9", "203.0.113.9", host[0]),
                ("v6", g.addr6, NET6 + "::9", "2001:db8:99::9", host[1])):
            if not mine:
                out["%s has an address, %s" % (n, v)] = False
                continue
            cell("LAN to %s, %s" % (n, v), net.lan, mine)
            cell("%s to LAN, %s" % (n, v), g.ns, lan)
            cell("%s to Internet, %s" % (n, v), g.ns, inet)
            cell("Internet to %s, %s" % (n, v), net.inet, mine)
            cell("%s to host, %s" % (n, v), g.ns, me)
            cell("host to %s, %s" % (n, v), None, mine)
            other = guests[(i + 1) % len(guests)]
            cell("%s to guest, %s" % (n, v), g.ns,
                 other.addr if v == "v4" else other.addr6)
    for v, lan, me in (("v4", NET + ".9", host[0]),
                       ("v6", NET6 + "::9", host[1])):
        cell("LAN to host, " + v, net.lan, me)
        cell("host to LAN, " + v, None, lan)
    a = guests[0].ns
    for target, name in (("255.255.255.255", "broadcast"),
                         (NET + ".255", "subnet broadcast"),
                         ("224.0.0.251", "mDNS v4"), ("ff02::fb", "mDNS v6")):
        out["guest a discovers LAN by " + name] = asks(
            a, target, "eth0", [(net.lan, "eth0")])
        out["LAN discovers guest a by " + name] = asks(
            net.lan, target, "eth0", [(a, "eth0")])
        out["host discovers guest a by " + name] = asks(
            None, target, dev, [(a, "eth0")])
    return out
