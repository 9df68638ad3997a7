#!/usr/bin/env python3
"""What runs inside the machine of vm.py: real mac80211 radios, hostapd and
wpa_supplicant. Jobs by name; each prints a note of what it took."""
import sys

from uplinks import *

CONFIG = """
bridge br0 {
    mode    = %s
    uplink  = wlan0
    address = { "%s.20/24", "%s::20/64" }
    gateway = { "%s.1", "%s::1" }
}
guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = { "%s.31", "%s::31" } }
guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = "%s.32" }
guest c { tap = tap2 mac = 52:54:00:00:00:03 }
"""


def config(mode):
    conf(CONFIG % (mode, NET, NET6, NET, NET6, NET, NET6, NET))


class Wifi(Network):
    """The same network, the access point a real one."""

    def __init__(self, wpa=False, wds=False, extra=""):
        self.wpa, self.extra = wpa, extra
        if wds:
            self.extra += "\nwds_sta=1\nwds_bridge=lan"
        sh("modprobe mac80211_hwsim radios=3; modprobe tun")
        Network.__init__(self, "wlan0", True)

    def cable(self, uplink, station, filtered):
        phy = sh("iw dev wlan1 info").out.split("wiphy ")[1].split()[0]
        sh("""iw phy phy%s set netns name %s
              ip -n %s link set wlan1 down
              ip -n %s link set wlan1 name ap0""" % ((phy,) + 3 * (self.ap,)))
        ip("link", "set", uplink, "address", STATION)
        self.access_point()
        sh("sysctl -qw net.ipv6.conf.%s.accept_ra=0" % uplink)
        with open("/run/wpa.conf", "w") as f:
            f.write("ctrl_interface=/run/wpa\nnetwork={\nssid=\"lab\"\n"
                    "scan_freq=2412 2437\n%s\n}\n" % (
                        'psk="labsecret"' if self.wpa else "key_mgmt=NONE"))
        ip("link", "set", uplink, "up")
        run("wpa_supplicant", "-B", "-Dnl80211", "-i" + uplink,
            "-c/run/wpa.conf", "-P/run/wpa.pid")
        self.connected()

    def access_point(self):
        with open("/run/hostapd.conf", "w") as f:
            f.write("interface=ap0\nbridge=lan\ndriver=nl80211\nssid=lab\n"
                    "hw_mode=g\nchannel=1\n%s\n%s\n" % (
                        "wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\n"
                        "wpa_passphrase=labsecret" if self.wpa else "",
                        self.extra))
        run("hostapd", "-B", "-P", "/run/hostapd.pid", "/run/hostapd.conf",
            ns=self.ap)

    def second_access_point(self):
        """Another one of the same network, on another channel."""
        phy = sh("iw dev wlan2 info").out.split("wiphy ")[1].split()[0]
        sh("""iw phy phy%s set netns name %s
              ip -n %s link set wlan2 down
              ip -n %s link set wlan2 name ap1""" % ((phy,) + 3 * (self.ap,)))
        text = open("/run/hostapd.conf").read()
        with open("/run/hostapd1.conf", "w") as f:
            f.write(text.replace("=ap0", "=ap1").replace("channel=1",
                                                         "channel=6"))
        run("hostapd", "-B", "-P", "/run/hostapd1.pid", "/run/hostapd1.conf",
            ns=self.ap)

    def connected(self):
        wait_for("the association", lambda: "COMPLETED" in run(
            "wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "status",
            check=False).out, 30)


def ends():
    """What was started here ends with the job."""
    for f in ("/run/wpa.pid", "/run/hostapd.pid", "/run/hostapd1.pid"):
        try:
            os.kill(int(open(f).read()), signal.SIGTERM)
        except (OSError, ValueError):
            pass


def three():
    return (Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31"),
            Guest("tap1", "52:54:00:00:00:02", NET + ".32"),
            Guest("tap2", "52:54:00:00:00:03"))


def few_cells(net, guests):
    """Both ways, both families, with the LAN, the host and one another."""
    a, b, c = guests
    eq(c.take_lease(), NET + ".1", "the LAN's DHCP server")
    for what, ns, addr in (
            ("LAN to a", net.lan, a.addr), ("a to LAN", a.ns, NET + ".9"),
            ("LAN to c", net.lan, c.addr), ("c to Internet", c.ns,
                                            "203.0.113.9"),
            ("LAN to a, v6", net.lan, a.addr6),
            ("a to LAN, v6", a.ns, NET6 + "::9"),
            ("a to host", a.ns, NET + ".20"), ("host to c", None, c.addr),
            ("a to b", a.ns, b.addr), ("host to LAN", None, NET + ".9"),
            ("LAN to host, v6", net.lan, NET6 + "::20")):
        assert ping(addr, 3, 1, ns=ns) or ping(addr, 3, 1, ns=ns), what
    assert asks(net.lan, "224.0.0.251", "eth0", [(a.ns, "eth0")]), "mDNS"
    assert asks(a.ns, "255.255.255.255", "eth0", [(net.lan, "eth0")]), "group"


def finish(net, guests):
    for g in guests:
        g.g.stop()
    down()
    wait_for("the host on wlan0 again", lambda: ping(NET + ".9"))
    ends()


def macnat_open():
    """auto takes macnat and says why; bridged is refused and explained."""
    net = Wifi()
    # the article's error, from the kernel itself
    ip("link", "add", "brx", "type", "bridge")
    p = ip("link", "set", "wlan0", "master", "brx", check=False)
    assert p.rc and "Device does not allow enslaving" in p.err, p.err
    ip("link", "del", "brx")
    config("bridged")
    p = apply("plan", check=False)
    eq(p.rc, 1)
    contains(p.err, "wlan0 is a Wi-Fi station: the kernel refuses it as a "
             "bridge port (Operation not supported), and the access point "
             "drops foreign MACs")
    config("auto")
    contains(apply("plan", check=False).err, "br0: mode auto is macnat: wlan0 "
             "is a Wi-Fi station: the kernel refuses it as a bridge port, and "
             "the access point drops foreign MACs")
    up()
    in_sync()
    guests = three()
    few_cells(net, guests)
    finish(net, guests)


def macnat_wpa2():
    """WPA2; the station is disconnected and reconnected under ping, and gets
    another MAC, which a watcher notices."""
    net = Wifi(wpa=True)
    config("macnat")
    up()
    guests = three()
    few_cells(net, guests)
    a = guests[0]
    for ns, addr in ((net.lan, a.addr), (a.ns, NET + ".9")):
        m = Meter(addr, ns, "0.1")
        run("wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "disconnect")
        time.sleep(0.5)
        run("wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "reconnect")
        net.connected()
        must_ping(addr, ns=ns)
        lost = m.stop()
        print("note: reconnected: %d of %d pings at 100 ms lost" % (lost,
                                                                  m.sent))
        assert 0 < lost < m.sent
    eq(apply("plan", check=False).rc, 0)
    net.second_access_point()
    m = Meter(a.addr, net.lan, "0.1")
    os.kill(int(open("/run/hostapd.pid").read()), signal.SIGTERM)
    wait_for("the other access point", lambda: "freq=2437" in run(
        "wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "status").out, 30)
    must_ping(a.addr, ns=net.lan)
    print("note: roamed: %d of %d pings at 100 ms lost" % (m.stop(), m.sent))
    eq(apply("plan", check=False).rc, 0)
    w = subprocess.Popen([APPLY, "watch", "br0"])
    time.sleep(1)
    sh("ip link set wlan0 down; ip link set wlan0 address 02:aa:00:00:00:77; "
       "ip link set wlan0 up")
    net.connected()
    must_ping(a.addr, ns=net.lan, timeout=30)
    must_ping(NET + ".20", ns=net.lan)
    must_ping(NET + ".9", ns=a.ns)
    contains(ip("link", "show", "br0").out, "02:aa:00:00:00:77")
    w.kill()
    w.wait()
    wait_for("its last up", lambda: apply("plan", check=False).rc == 0)
    finish(net, guests)


def wds():
    """An access point that speaks WDS: the station is a port."""
    net = Wifi(wpa=True, wds=True)
    config("wds")
    up()
    contains(sh("iw dev wlan0 info").out, "4addr: on")
    contains(ip("link", "show", "wlan0").out, "master br0")
    in_sync()
    guests = three()
    few_cells(net, guests)
    # auto keeps what somebody has switched on
    config("auto")
    contains(apply("plan", check=False).err, "br0: mode auto is wds: wlan0 is "
             "a Wi-Fi station in 4-address mode, which can be a port")
    config("wds")
    m = Meter(guests[0].addr, net.lan, "0.1")
    run("wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "disconnect")
    run("wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "reconnect")
    net.connected()
    must_ping(guests[0].addr, ns=net.lan, timeout=20)
    print("note: reconnected: %d of %d pings at 100 ms lost" % (m.stop(),
                                                              m.sent))
    finish(net, guests)
    assert "4addr: on" not in sh("iw dev wlan0 info").out


def others():
    """An access point without WDS: that is found out, said, and everything is
    as it was. Then proxyarp, routed with and without NAT, and macnat with the host's address
    on wlan0: one after the other over the same association."""
    net = Wifi(wpa=True)
    must_ping(NET + ".9")
    config("wds")
    p = up(check=False)
    eq(p.rc, 1, p.err)
    contains(p.err, "the access point does not take 4-address frames")
    contains(p.err, "the old state is in force")
    assert "4addr: on" not in sh("iw dev wlan0 info").out
    must_ping(NET + ".9")
    must_ping(NET + ".20", ns=net.lan)
    guests = """
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = %s.31 }
    guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = %s.32 }"""
    conf("bridge br0 { mode = proxyarp uplink = wlan0 }" + guests % (NET, NET))
    up()
    in_sync()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    for ns, addr in ((net.lan, a.addr), (a.ns, NET + ".9"), (None, a.addr),
                     (a.ns, "203.0.113.9"), (net.inet, a.addr)):
        must_ping(addr, ns=ns)
    conf("bridge br0 { mode = macnat uplink = wlan0 host = uplink }" +
         guests % (NET, NET))
    up()
    # another mode is another network: the host was who answered for the LAN
    sh("ip neigh flush all", ns=a.ns)
    for ns, addr in ((net.lan, a.addr), (a.ns, NET + ".9"), (None, a.addr),
                     (a.ns, NET + ".20"), (net.lan, NET + ".20")):
        must_ping(addr, ns=ns)
    a.g.stop()
    text = "bridge br0 { mode = routed uplink = wlan0 nat = %s\n" \
        "address = 192.168.77.1/24 }" + guests % ("192.168.77",
                                                 "192.168.77")
    conf(text % "on")
    up()
    a = Guest("tap0", "52:54:00:00:00:01")
    sh("ip addr add 192.168.77.31/24 dev eth0; "
       "ip route add default via 192.168.77.1", ns=a.ns)
    must_ping("203.0.113.9", ns=a.ns)
    assert not ping("192.168.77.31", ns=net.lan)
    conf(text % "off")
    p = apply("up")
    m = re.search(r"needs a route: (ip route add 192.168.77.0/24 via "
                  r"192.168.60.20)", p.err)
    assert m, p.err
    sh(m.group(1), ns=net.ap)
    must_ping("192.168.77.31", ns=net.lan)
    must_ping(NET + ".9", ns=a.ns)
    a.g.stop()
    down()
    must_ping(NET + ".9")
    ends()


def two_bridges():
    """A kernel that knows which bridge a frame is on: it goes through the
    rules of that one alone, and is filtered there."""
    sh("modprobe tun")
    conf("firewall = nftables\n" + "".join(
        "bridge br%d { mode = isolated }\n" % b + "".join(
            "guest g%d%d { bridge = br%d tap = tap%d%d mac = "
            "52:54:00:00:0%d:0%d ip = 10.%d.0.%d }\n" % (
                b, i, b, b, i, b, i, b, i) for i in (1, 2))
        for b in (0, 1)))
    up()
    eq(open("/run/netbr/kernel").read(), "meta ibrname: yes\n")
    rules = run("nft", "list", "ruleset").out
    for b in (0, 1):
        contains(rules, 'meta ibrname != "br%d" accept' % b)
    in_sync()
    for b in (0, 1):
        one, two = (TapGuest("tap%d%d" % (b, i), "52:54:00:00:0%d:0%d" % (
            b, i), ["10.%d.0.%d/24" % (b, i)]) for i in (1, 2))
        must_ping("10.%d.0.2" % b, ns=one.ns)
        sh("ip addr add 10.%d.0.7/24 dev eth0; "
           "ip neigh replace 10.%d.0.2 dev eth0 lladdr 52:54:00:00:0%d:02" % (
               b, b, b), ns=one.ns)
        assert not run("ping", "-c1", "-W1", "-I", "10.%d.0.7" % b,
                       "10.%d.0.2" % b, ns=one.ns, check=False).rc == 0
        for g in (one, two):
            g.stop()
    assert "packets 0" not in re.findall(
        r"chain spoofed {\s+counter (packets \d+)",
        run("nft", "list", "ruleset").out)
    # one bridge alone needs no such rule
    conf("firewall = nftables\nbridge br0 { mode = isolated }\n"
         "guest g { tap = tap01 mac = 52:54:00:00:00:01 }\n")
    up()
    assert "ibrname" not in run("nft", "list", "ruleset").out
    down()


JOBS = {f.__name__: f for f in (macnat_open, macnat_wpa2, wds, others,
                                  two_bridges)}

if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        t = time.time()
        JOBS[name]()
        print("note: %-28s %.1f s" % (name, time.time() - t))
