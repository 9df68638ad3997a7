"""Guests with addresses of the LAN behind an uplink that accepts one MAC."""
from uplinks import *

CONFIG = """%(top)s
bridge br0 {
    mode    = %(mode)s
    uplink  = %(uplink)s
    address = { "%(net)s.20/24", "%(net6)s::20/64" }
    gateway = { "%(net)s.1", "%(net6)s::1" }
}
guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = { "%(net)s.31", "%(net6)s::31" } }
guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = { "%(net)s.32" } }
guest c { tap = tap2 mac = 52:54:00:00:00:03 }
"""


def config(mode, uplink, top=""):
    conf(CONFIG % dict(mode=mode, uplink=uplink, top=top, net=NET, net6=NET6))


def three_guests():
    """Declared addresses; a declared IPv4 one; none (the LAN's DHCP)."""
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31")
    b = Guest("tap1", "52:54:00:00:00:02", NET + ".32")
    c = Guest("tap2", "52:54:00:00:00:03")
    return a, b, c


def matrix(net, guests, host=(NET + ".20", NET6 + "::20"), dev="br0",
           learned=None):
    a, b, c = guests
    eq(c.take_lease(), NET + ".1", "the LAN's DHCP server")
    b.slaac()
    c.slaac()
    if learned:
        learned()
    result = cells(net, guests, host, dev)
    bad = sorted(n for n, good in result.items() if not good)
    eq(bad, [], "cells that fail, of %d" % len(result))
    print("note: %d cells" % len(result))
    # a guest is started anew: it asks for a lease again, and is reached
    c.g.stop()
    again = Guest("tap2", "52:54:00:00:00:03")
    eq((again.take_lease(), again.addr), (NET + ".1", c.addr))
    must_ping(again.addr, ns=net.lan)
    c.g, c.ns = again.g, again.ns


def whole_matrix(uplink, station):
    net = Network(uplink, station)
    before = snapshot()
    config("macnat", uplink)
    up()
    in_sync()
    guests = three_guests()
    matrix(net, guests)
    for g in guests:
        g.g.stop()
    down()
    same(before, snapshot())


def test_station():
    """The uplink can't be a port: a veth and the netdev table."""
    whole_matrix("wlan0", True)


def test_station_whose_host_stays():
    """host = uplink: another manager goes on with wlan0's address; the same
    cells. (A route to a guest that was learned is the watcher's.)"""
    net = Network("wlan0", True)
    before = snapshot()
    conf("""
    bridge br0 { mode = macnat uplink = wlan0 host = uplink }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = { "%s.31", "%s::31" } }
    guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = "%s.32" }
    guest c { tap = tap2 mac = 52:54:00:00:00:03 }
    """ % (NET, NET6, NET))
    up()
    in_sync()
    w = watcher()
    guests = three_guests()
    def learned():
        for g in guests:
            must_ping(NET + ".9", ns=g.ns)
            must_ping(NET6 + "::9", ns=g.ns)
        for a in (guests[2].addr, guests[1].addr6, guests[2].addr6):
            wait_for("a route to " + a, lambda: a in sh(
                "ip route; ip -6 route").out)

    matrix(net, guests, dev="wlan0", learned=learned)
    # the LAN hears one answer to what it asks of the host
    dump = subprocess.Popen(["ip", "netns", "exec", net.lan, "tcpdump", "-lni",
                             "eth0", "arp[6:2] == 2"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    sh("ip neigh flush all", ns=net.lan)
    must_ping(NET + ".20", ns=net.lan)
    time.sleep(0.3)
    dump.terminate()
    answers = dump.communicate()[0].decode()
    eq(len(re.findall(r"Reply %s.20 is-at %s" % (NET, STATION), answers)), 1,
       answers)
    # another address of the host follows
    sh("ip addr add %s.21/24 dev wlan0" % NET)
    must_ping(NET + ".21", ns=guests[0].ns)
    sh("ip addr del %s.21/24 dev wlan0" % NET)
    wait_for("its removal from br0", lambda: NET + ".21" not in ip(
        "addr", "show", "dev", "br0").out)
    eq(apply("status").rc, 0)
    w.kill()
    w.wait()
    for g in guests:
        g.g.stop()
    down()
    same(before, snapshot())


def test_filtered_port():
    """The uplink is a port: the translation is in the bridge table."""
    whole_matrix("eth0", False)


def test_the_simulation_bites():
    """The same cells with plain bridging: nothing of a guest passes."""
    net = Network("eth0", False)
    config("bridged", "eth0")
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31")
    b = Guest("tap1", "52:54:00:00:00:02", NET + ".32", NET6 + "::32")
    eq(Guest("tap2", "52:54:00:00:00:03").dhcp(), (None, None))
    result = cells(net, (a, b), (NET + ".20", NET6 + "::20"), "br0", 1)
    works = sorted(n for n, good in result.items() if good)
    eq([n for n in works if "LAN" in n and "guest" in n or "Internet" in n],
       [])
    # within the host all is well
    for n in ("guest a to host, v4", "host to guest b, v6",
              "guest a to guest, v4", "host to LAN, v4"):
        assert n in works, n


def watcher():
    p = subprocess.Popen([APPLY, "-v", "watch", "br0"],
                         stderr=open("/run/watch.log", "w"))
    time.sleep(0.3)
    return p


def test_station_gets_another_mac():
    """A watcher runs up when the uplink has another MAC, or is unplugged and
    comes back: LAN and guest reach each other again."""
    net = Network("wlan0", True)
    config("macnat", "wlan0")
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31")
    must_ping(a.addr, ns=net.lan)
    w = watcher()
    new = "02:aa:00:00:00:77"
    sh("ip link set wlan0 down; ip link set phy0 address %s; "
       "ip link set wlan0 address %s; ip link set wlan0 up" % (new, new))
    net.filter(new)
    for addr, ns in ((a.addr, net.lan), (NET + ".9", a.ns),
                     (NET + ".20", net.lan), (a.addr6, net.lan)):
        must_ping(addr, ns=ns)
    contains(ip("link", "show", "br0").out, new)
    wait_for("the end of up", lambda: apply("plan", check=False).rc == 0)
    sh("ip link del wlan0")
    time.sleep(0.3)
    assert not ping(a.addr, ns=net.lan)
    sh("""ip link add wlan0 address %s type bridge mcast_snooping 0
          ip link set phy0 master wlan0; ip link set wlan0 up""" % new)
    for addr, ns in ((a.addr, net.lan), (NET + ".9", a.ns),
                     (NET + ".20", net.lan), (a.addr6, net.lan)):
        must_ping(addr, ns=ns)
    wait_for("the end of up", lambda: apply("plan", check=False).rc == 0)
    w.kill()
    a.g.stop()
    down()
    # the host's own way out is wlan0's again
    must_ping(NET + ".9")


def guests_capture_nobodys_address(uplink, station):
    """What a guest says of the host's or another guest's address changes
    nothing, filtered or not; a declared address has one owner."""
    net = Network(uplink, station)
    config("macnat", uplink)
    text = open("/etc/vmnet.conf").read()
    conf(text.replace("mac = 52:54:00:00:00:03 }",
                      "mac = 52:54:00:00:00:03 filter = off }\n"
                      "guest d { tap = tap3 mac = 52:54:00:00:00:04 "
                      "filter = off }"))
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31")
    c = Guest("tap2", "52:54:00:00:00:03", NET + ".33", NET6 + "::33")
    d = Guest("tap3", "52:54:00:00:00:04", NET + ".34", NET6 + "::34")
    for g in (a, c, d):
        must_ping(g.addr, ns=net.lan)
        must_ping(g.addr6, ns=net.lan)
    must_ping(NET + ".20", ns=net.lan)
    # d speaks for everybody: gratuitous ARP, packets and NA
    for addr in (NET + ".20", a.addr, c.addr):
        sh("""ip addr add %s/32 dev eth0
              ping -c 1 -W 1 -I %s %s.9 || true
              arping -c 2 -U -I eth0 %s 2>/dev/null || true
              ip addr del %s/32 dev eth0""" % (addr, addr, NET, addr,
                                               addr), ns=d.ns)
    for addr in (NET6 + "::20", a.addr6, c.addr6):
        sh("""ip addr add %s/128 dev eth0 nodad
              ping -c 1 -W 1 -I %s %s::9 || true
              ip addr del %s/128 dev eth0""" % (addr, addr, NET6, addr),
           ns=d.ns)
    for addr in (NET + ".20", NET6 + "::20", a.addr, a.addr6, c.addr,
                 c.addr6):
        assert ping(addr, 3, ns=net.lan), addr
        eq(ping(addr, 1, ns=d.ns), True)
    table = {t["ip"]: t for t in json.loads(apply(
        "--json", "status").out)["bridges"][0]["translations"]}
    eq(table[a.addr]["guest"], "a")
    eq(table[a.addr]["learned"], False)
    eq(table[c.addr]["guest"], "c")
    assert 0 <= table[c.addr]["age_s"] < 60
    eq(table[c.addr6]["guest"], "c")
    assert NET + ".20" not in table and NET6 + "::20" not in table


def test_guests_capture_nobodys_address_on_a_station():
    guests_capture_nobodys_address("wlan0", True)


def test_guests_capture_nobodys_address_on_a_port():
    guests_capture_nobodys_address("eth0", False)


def test_filtered_port_with_ebtables():
    """The article's rules, put right: IPv4 of declared guests, both ways."""
    net = Network("eth0", False)
    before = snapshot()
    config("macnat", "eth0", "firewall = iptables")
    contains(apply("plan", check=False).err, "ebtables translates neither "
             "IPv6 nor")
    up()
    eq(apply("plan", check=False).rc, 0)
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    b = Guest("tap1", "52:54:00:00:00:02", NET + ".32")
    for ns, addr in ((net.lan, a.addr), (a.ns, NET + ".9"),
                     (a.ns, "203.0.113.9"), (net.inet, b.addr),
                     (a.ns, b.addr), (None, a.addr), (a.ns, NET + ".20"),
                     (net.lan, NET + ".20")):
        must_ping(addr, ns=ns)
    assert asks(net.lan, "224.0.0.251", "eth0", [(a.ns, "eth0")])
    assert asks(a.ns, "255.255.255.255", "eth0", [(net.lan, "eth0")])
    # ours match; the article's, which name the bridge as a port, never do
    for hook, opt, rest in (
            ("PREROUTING", "-i", "-p IPv4 --ip-dst %s -j dnat --to-dst "
             "52:54:00:00:00:01" % a.addr),
            ("POSTROUTING", "-o", "-s 52:54:00:00:00:01 -j snat --to-src " +
             STATION)):
        sh("ebtables -t nat -I %s %s br0 %s --%s-target ACCEPT" % (
            hook, opt, rest, rest.split(" -j ")[1].split()[0]))
    assert ping(a.addr, 3, ns=net.lan)
    counts = sh("ebtables -t nat -L --Lc").out
    for line in counts.splitlines():
        n = int(re.search(r"pcnt = (\d+)", line).group(1)) \
            if "pcnt" in line else None
        if n is not None and ("-i br0" in line or "-o br0" in line):
            eq(n, 0, line)
        if n is not None and "-i eth0" in line and a.addr in line:
            assert n > 0, line
    sh("ebtables -t nat -D PREROUTING 1; ebtables -t nat -D POSTROUTING 1")
    a.g.stop()
    b.g.stop()
    down()
    same(before, snapshot())


def down_without_the_record(uplink, station):
    """/run was emptied: the uplink still gets back what the bridge has."""
    net = Network(uplink, station)
    config("macnat", uplink)
    up()
    sh("rm -r /run/netbr")
    down()
    must_ping(NET + ".9")
    must_ping(NET + ".20", ns=net.lan)
    assert "netbr" not in run("nft", "list", "ruleset").out
    assert "br0" not in ip("link").out


def test_down_without_the_record_on_a_station():
    down_without_the_record("wlan0", True)


def test_down_without_the_record_on_a_port():
    down_without_the_record("eth0", False)


def test_reservations_of_our_own():
    """With a dhcp section guests that have an ip get it from netbr; others,
    and the LAN's machines, are served by the LAN."""
    net = Network("wlan0", True)
    config("macnat", "wlan0")
    text = open("/etc/vmnet.conf").read()
    conf(text.replace('::1" }\n}', '::1" }\n    dhcp { }\n}', 1))
    gen("-q", "write")
    up()
    in_sync()
    a = Guest("tap0", "52:54:00:00:00:01")
    c = Guest("tap2", "52:54:00:00:00:03")
    eq(a.dhcp(), (NET + ".31", NET + ".20"))
    eq(c.dhcp()[1], NET + ".1")
    p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "4", "-T", "1",
            "-s", "/bin/true", ns=net.lan)
    contains(p.out + p.err, "obtained from %s.1" % NET)
    down()


def test_auto_on_a_wire():
    """A wired uplink is a port; the reason is said; so it is with macnat on
    an uplink that is a bridge."""
    net = Network("eth0", False, filtered=False)
    config("auto", "eth0")
    contains(apply("plan", check=False).err, "br0: mode auto is bridged: "
             "eth0 is wired and can be a port")
    plan = json.loads(apply("--json", "plan", check=False).out)
    eq(plan["modes"], [{"bridge": "br0", "mode": "bridged",
                        "reason": "eth0 is wired and can be a port"}])
    up()
    contains(apply("status").out, "(auto: eth0 is wired")
    down()


def test_service_watches_the_uplink():
    """rc-service starts the watcher, which heals, and ends it."""
    net = Network("wlan0", True)
    config("macnat", "wlan0")
    openrc("br0")
    service("net.br0", "start")
    pid = wait_for("the watcher", lambda: run(
        "pgrep", "-f", "watch br0$", check=False).out.split())
    service("net.br0", "restart")
    eq(run("pgrep", "-f", "watch br0$", check=False).out.split(), pid)
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    must_ping(a.addr, ns=net.lan)
    new = "02:aa:00:00:00:77"
    net.filter(new)
    sh("ip link set wlan0 address " + new)
    must_ping(a.addr, ns=net.lan)
    wait_for("the end of up", lambda: apply("plan", check=False).rc == 0)
    a.g.stop()
    service("net.br0", "stop")
    wait_for("the watcher's end", lambda: run(
        "pgrep", "-f", "watch br0$", check=False).rc)
    must_ping(NET + ".9")


def test_proxyarp():
    """Routed, with addresses of the LAN: what is unicast works both ways, in
    both families; groups and undeclared addresses do not (the manual says
    so)."""
    net = Network("wlan0", True)
    before = snapshot()
    text = """
    bridge br0 {
        mode = proxyarp
        uplink = wlan0
        address = { "%s.20/24", "%s::20/64" }
        dhcp { router = %s.1 }
    }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = { "%s.31", "%s::31" } }
    guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = { "%s.32", "%s::32" } }
    """ % (NET, NET6, NET, NET, NET6, NET, NET6)
    conf(text)
    gen("-q", "write")
    up()
    in_sync()
    a = Guest("tap0", "52:54:00:00:00:01")
    b = Guest("tap1", "52:54:00:00:00:02")
    for g, n in ((a, "31"), (b, "32")):
        eq(g.dhcp(), (NET + "." + n, NET + ".20"))
        g.addr, g.addr6 = NET + "." + n, NET6 + "::" + n
        router = wait_for("a router", lambda: re.search(
            r"default via (\S+) ", ip("-6", "route", ns=g.ns).out), 30)
        sh("""ip addr add %s/24 dev eth0
              ip route add default via %s.1
              ip addr add %s/128 dev eth0""" % (g.addr, NET, g.addr6),
           ns=g.ns)
    result = cells(net, (a, b), (NET + ".20", NET6 + "::20"), "br0")
    groups = [n for n in result if "discovers" in n]
    bad = sorted(n for n, good in result.items()
                 if not good and n not in groups)
    eq(bad, [], "cells that fail, of %d" % len(result))
    assert not result["LAN discovers guest a by broadcast"]
    print("note: %d cells" % (len(result) - len(groups)))
    # one guest less: only what is its own goes
    conf(text.replace("guest b", "guest c").replace("::32", "::33").replace(
        ".32", ".33"))
    p = apply("--json", "plan", check=False)
    ops = [o["sentence"] for o in json.loads(p.out)["operations"]]
    for words in ("let wlan0 answer for %s.33", "let wlan0 no longer answer "
                  "for %s.32", "add route %s.33 dev br0",
                  "remove route %s.32 from br0"):
        assert words % NET in ops, ops
    up()
    in_sync()
    assert ping(a.addr, 2, ns=net.lan)
    sh("ip neigh del proxy %s.31 dev wlan0; ip route del %s.33/32; "
       "sysctl -qw net.ipv4.conf.br0.proxy_arp=0" % (NET, NET))
    p = apply("--json", "status", check=False)
    eq(sorted(d["attribute"] for d in json.loads(p.out)["drift"]),
       ["net/ipv4/conf/br0/proxy_arp", "proxy neighbour", "route"])
    up()
    in_sync()
    for g in (a, b):
        g.g.stop()
    down()
    same(before, snapshot())


def one_mode_to_another(uplink, station, modes):
    """Each mode into each other by one up, and down from the last: as before;
    the host reaches the LAN in between."""
    net = Network(uplink, station, filtered=False)
    before = snapshot()
    text = """bridge br0 { uplink = %s
    %s
    }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 %s }
    """
    pairs = [(i, k) for i in range(len(modes)) for k in range(len(modes))
             if i != k]
    for i, k in pairs:
        for n in (i, k):
            conf(text % (uplink, modes[n], "" if "routed" in modes[n] else
                         'ip = "%s.31"' % NET))
            up()
            in_sync()
            must_ping(NET + ".9")
            must_ping(NET + ".20", ns=net.lan)
        down()
        same(before, snapshot())
    print("note: %d pairs" % len(pairs))


HOST = """address = { "%s.20/24", "%s::20/64" }
          gateway = { "%s.1", "%s::1" }""" % (NET, NET6, NET, NET6)


def test_station_from_one_mode_to_another():
    one_mode_to_another("wlan0", True, [
        "mode = macnat\n" + HOST, "mode = macnat host = uplink",
        "mode = proxyarp",
        "mode = routed nat = on address = 192.168.61.129/25"])


def test_port_from_one_mode_to_another():
    one_mode_to_another("eth0", False, [
        "mode = bridged\n" + HOST, "mode = macnat\n" + HOST,
        "mode = macnat host = uplink", "mode = proxyarp",
        "mode = routed nat = on address = 192.168.61.129/25"])


def test_probe():
    """auto with probe = yes: a port that drops other MACs is found out."""
    net = Network("eth0", False, filtered=True)
    text = """bridge br0 { mode = auto uplink = eth0 probe = yes
    %s
    }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = "%s.31" }
    """ % (HOST, NET)
    conf(text)
    p = apply("up")
    contains(p.err, "br0: mode auto is macnat: its port answers one MAC alone")
    in_sync()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    must_ping(a.addr, ns=net.lan)
    contains(apply("status").out, "macnat, up (auto: its port answers one")
    a.g.stop()
    down()
    sh("nft delete table bridge ap", ns=net.ap)
    p = apply("up")
    contains(p.err, "br0: mode auto is bridged: the port answers other MACs")
    in_sync()
    down()


def test_missing_kernel_options():
    """A kernel without what the table needs (here: an nft that says so): the
    option is named; auto takes proxyarp."""
    net = Network("wlan0", True)
    nft = os.path.realpath(run("sh", "-c", "command -v nft").out.strip())
    shutil.copy(nft, "/run/real-nft")
    with open("/run/nft", "w") as f:
        f.write("""#!/bin/sh
text=$(cat)
case "$*$text" in
*-c*fwd*) echo "Error: Could not process rule: No such file or directory" >&2
    exit 1 ;;
esac
printf '%s\\n' "$text" | exec /run/real-nft "$@"
""")
    os.chmod("/run/nft", 0o755)
    run("mount", "--bind", "/run/nft", nft)
    config("macnat", "wlan0")
    p = apply("plan", check=False)
    eq(p.rc, 1)
    contains(p.err, "needs a kernel with CONFIG_NFT_FWD_NETDEV for wlan0")
    conf("""bridge br0 { mode = auto uplink = wlan0 }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = "%s.31" }""" % NET)
    contains(apply("plan", check=False).err, "br0: mode auto is proxyarp: "
             "wlan0 is a bridge itself, which can't be a port of another; "
             "macnat would need CONFIG_NFT_FWD_NETDEV")
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    must_ping(a.addr, ns=net.lan)
    a.g.stop()
    down()
    run("umount", nft)


TAMPER = {
    "the table flushed": ("nft flush table netdev netbr-br0",
                          [("br0", "firewall")]),
    "a declared guest taken out": (
        "nft delete element netdev netbr-br0 static4 { %s.31 }" % NET,
        [("br0", "firewall")]),
    "all multicast off": ("ip link set wlan0 allmulticast off",
                          [("wlan0", "allmulticast")]),
    "a veth down": ("ip link set br0-out down", [("br0-out", "up")]),
    "ARP on a veth": ("ip link set br0-out arp on", [("br0-out", "arp")]),
    "the port off its bridge": ("ip link set br0-up nomaster",
                                [("br0-up", "master")]),
    "its MTU": ("ip link set br0-up mtu 1400", [("br0-up", "mtu"),
                                               ("br0", "mtu")]),
    "the veths deleted": ("ip link del br0-up", [
        ("", "net/ipv6/conf/br0-out/disable_ipv6"),
        ("", "net/ipv6/conf/br0-up/disable_ipv6"),
        ("br0", "firewall"), ("br0-up", "exists")]),
    "an address back on the uplink": (
        "sysctl -qw net.ipv6.conf.wlan0.disable_ipv6=0",
        [("", "net/ipv6/conf/wlan0/disable_ipv6")]),
}


def test_drift():
    """Each kind of tampering by name; up heals it, and guests are reached."""
    net = Network("wlan0", True)
    config("macnat", "wlan0")
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    for name, (how, want) in TAMPER.items():
        sh(how)
        p = apply("--json", "status", check=False)
        eq(p.rc, 3, name)
        eq(sorted((d["object"], d["attribute"])
                  for d in json.loads(p.out)["drift"]), sorted(want), name)
        up()
        in_sync()
        must_ping(a.addr, ns=net.lan)
    print("note: %d kinds" % len(TAMPER))


def edits_are_hitless(uplink, station):
    """Guests come, go and change while others are pinged: 0 lost; what was
    learned stays."""
    net = Network(uplink, station)
    config("macnat", uplink)
    text = open("/etc/vmnet.conf").read()
    up()
    a, b, c = three_guests()
    eq(c.take_lease(), NET + ".1")
    for g in (a, b, c):
        must_ping(g.addr, ns=net.lan)
    edits = [
        text + "guest d { mac = 52:54:00:00:00:04 ip = %s.34 }\n" % NET,
        text.replace(".32", ".35"), text,
        text.replace('"%s::31"' % NET6, '"%s::36"' % NET6), text,
        text.replace("gateway", "ageing_time = 100\ngateway"), text,
    ]

    def act():
        for e in edits:
            conf(e)
            up()
        sh("nft flush chain %s netbr-br0 refused" % (
            "netdev" if station else "bridge"))
        up()

    sent = no_loss([(a.addr, net.lan), (c.addr, net.lan),
                    (NET + ".9", a.ns), (NET + ".20", net.lan)], act)
    print("note: %d edits, %d pings, 0 lost" % (len(edits), sent))


def test_edits_are_hitless_on_a_station():
    edits_are_hitless("wlan0", True)


def test_edits_are_hitless_on_a_port():
    edits_are_hitless("eth0", False)


def test_faults_on_the_way():
    """A failing call: the old state; SIGKILL: the guard, or the next up or
    down, makes it whole."""
    import t_faults as tf
    tf.quick()
    Network("wlan0", True)
    config("macnat", "wlan0")
    gen("-q", "write")
    before = snapshot()
    every = tf.points(["sendto", "write", "clone"], True)
    n = 0
    for call, k in every[::3]:
        for fault in ("error=" + tf.ERRNO.get(call, "ENOBUFS"),
                      "signal=KILL"):
            p = run("strace", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
                    "-e", "inject=%s:%s:when=%d" % (call, fault, k), APPLY,
                    "-q", "up", check=False, env=tf.TRACED)
            what = "%s %d %s: rc %d %s" % (call, k, fault, p.rc, p.err)
            n += 1
            try:
                if p.rc == 0 or (fault == "signal=KILL" and n % 4):
                    up()
                    eq(apply("plan", check=False).out, "")
                if p.rc == 0 or fault == "signal=KILL":
                    down()
                same(before, snapshot())
            except AssertionError as e:
                raise AssertionError(what + str(e))
    print("note: %d of %d points" % (n, 2 * len(every)))


def test_auto_keeps_its_mode_while_guests_run():
    """What auto would now choose otherwise waits until no guest runs."""
    net = Network("eth0", False, filtered=True)
    text = """bridge br0 { mode = auto uplink = eth0 %s
    %s
    }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = "%s.31" }
    """
    conf(text % ("", HOST, NET))
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    must_ping(NET + ".20", ns=a.ns)
    conf(text % ("probe = yes", HOST, NET))
    p = apply("plan", check=False)
    eq((p.rc, p.out), (0, ""))
    contains(p.err, "br0: mode auto is bridged: kept while guests run; without "
             "them it would be macnat: its port answers one MAC alone")
    a.g.stop()
    p = apply("up")
    contains(p.err, "br0: mode auto is macnat")
    in_sync()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31")
    must_ping(a.addr, ns=net.lan)
    a.g.stop()
    down()
