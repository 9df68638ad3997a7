"""netbr-apply against a live kernel, proved with traffic.

     lan ns (router)            this namespace (the host)           guests
   10.99.0.1 fd99::1 lan0 ── eth0 ─┐
                                   br0 ─┬─ tap0 ── a process holding it
                                        └─ vnet0 ── a namespace
"""
import os
import threading

from lib import *
from t_config import ARTICLE

WIRED = """
bridge br0 {
    uplink  = eth0
    address = 10.99.0.2/24
    gateway = 10.99.0.1
}
guest one { tap = tap0  mac = 52:54:00:00:00:01 }
"""

ROUTED = """
bridge br0 {
    mode    = routed
    address = { 192.168.50.1/24, "fd00:50::1/64" }
    dhcp { range = { 192.168.50.100, 192.168.50.199 } }
}
guest one { tap = tap0  mac = 52:54:00:00:00:01  ip = { 192.168.50.10, "fd00:50::10" } }
"""

# other people's rules: the shapes that Docker, libvirt and firewalld leave
DOCKER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
"""
NFT = """
table ip libvirt_network {
    chain forward { type filter hook forward priority filter; policy accept;
        iifname "virbr0" counter accept; }
    chain guest_nat { type nat hook postrouting priority srcnat;
        ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade; }
}
table inet firewalld {
    set zones { type ifname; elements = { "wg0", "eth9" } }
    chain filter_INPUT { type filter hook input priority 10; policy accept;
        ct state established,related accept; }
    chain filter_FORWARD { type filter hook forward priority 10;
        iifname @zones counter packets 7 bytes 700 accept; }
}
table bridge mine {
    chain f { type filter hook forward priority 0;
        counter
    }
}
"""


def foreign():
    """Other people's taps, bridges, addresses, rules."""
    sh("""
    ip tuntap add dev vnet7 mode tap
    ip link set vnet7 up
    ip link add virbr0 type bridge
    ip addr add 192.168.122.1/24 dev virbr0
    ip link set virbr0 up
    ip tuntap add dev tapx mode tap
    ip link set tapx master virbr0
    ip addr add 172.16.5.1/24 dev vnet7
    ip route add 10.200.0.0/16 via 172.16.5.2
    """)
    run("iptables-restore", "--noflush", input=DOCKER)
    run("nft", "-f", "-", input=NFT)


def rules(nft=True):
    """Everybody else's rules, as text."""
    out = sh(("nft list ruleset; " if nft else "") + "iptables-save; "
             "ip6tables-save; ebtables-save 2>/dev/null || true").out
    out = re.sub(r"(?ms)^table (\w+ netbr-\S+|ip mangle) \{.*?^\}\n", "",
                 out)
    return "\n".join(l for l in out.splitlines() if "netbr-" not in l and
                     not re.match(r"#|:|\*|COMMIT", l))


def roundtrip(config, lan=True):
    before = snapshot()
    conf(config)
    up()
    in_sync()
    down()
    same(before, snapshot())


def test_down_restores_wired():
    Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0
          ip addr add 10.99.0.3/24 dev eth0 label eth0:1
          ip addr add fd99::2/64 dev eth0
          ip route add default via 10.99.0.1
          ip route add 10.5.0.0/16 via 10.99.0.1 metric 50
          ip route add 10.6.0.0/16 dev eth0 table 100
          ip rule add from 10.99.0.3 lookup 100
          ip -6 route add default via fd99::1
          ip -6 route add fd05::/48 via fd99::1 metric 77""")
    settle()
    foreign()
    roundtrip(WIRED)


def test_down_restores_routed():
    Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    foreign()
    roundtrip(ROUTED)


def test_down_restores_bare_uplink():
    """An uplink that was down and bare is so again."""
    Lan()
    ip("link", "set", "eth0", "down")
    roundtrip(WIRED)


def test_down_restores_with_iptables():
    """Also the tables that iptables-restore makes for itself are gone."""
    Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    before = snapshot()
    conf("firewall = iptables\n" + ROUTED)
    up()
    eq(apply("plan", check=False).rc, 0)
    contains(apply("-v", "up").err, " 0 changing messages")
    down()
    same(before, snapshot())
    foreign()
    theirs = rules(nft=False)
    up()
    eq(rules(nft=False), theirs)
    # our accept comes before Docker's DROP policy
    contains(run("iptables-save").out, "-A FORWARD -j netbr-br0-f\n"
             "-A FORWARD -j DOCKER-USER")
    down()
    eq(rules(nft=False), theirs)


def test_foreign_rules_stay():
    """Byte-identical while we are up, after reloads, heals and down."""
    Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    foreign()
    before = rules()
    conf(ROUTED)
    up()
    eq(rules(), before)
    sh("nft flush chain inet netbr-br0 forward")
    up()
    eq(rules(), before)
    conf(ROUTED.replace("nat", "nat").replace("fd00:50::1/64", "fd00:51::1/64")
         .replace("fd00:50::10", "fd00:51::10"))
    up()
    eq(rules(), before)
    down()
    eq(rules(), before)


def test_two_forms_one_kernel_state():
    """Section and flat form of the article's set-ups: the same kernel."""
    lan = Lan()
    for name, (sections, flat) in ARTICLE.items():
        states = []
        for text in (sections, flat):
            conf(text)
            up()
            in_sync()
            # link-local addresses come with the carrier, whenever that is
            states.append("".join(
                l for l in snapshot().splitlines(True)
                if not re.search(r"fe80|ff00|anycast", l)))
            down()
        same(*states)


def test_bridged_traffic():
    """Guests ping the host, the LAN and each other, and are pinged."""
    lan = Lan()
    conf(WIRED)
    up()
    a = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.11/24", "fd99::11/64"])
    b = veth_guest("br0", "vnet0", "52:54:00:00:00:02", ["10.99.0.12/24"])
    for ns in (a.ns, b):
        for addr in ("10.99.0.1", "10.99.0.2"):
            must_ping(addr, ns=ns)
    must_ping("10.99.0.12", ns=a.ns)
    must_ping("10.99.0.11", ns=lan.ns)
    must_ping("fd99::11", ns=lan.ns)
    must_ping("10.99.0.12", ns=lan.ns)
    must_ping("10.99.0.2", ns=lan.ns)
    must_ping("10.99.0.11")


def test_routed_traffic_and_nat():
    """The LAN sees the host's address; both families; guests are forwarded;
    the guests' own subnet is not translated."""
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0; ip addr add fd99::2/64 dev eth0
          ip route add default via 10.99.0.1""")
    settle()
    conf(ROUTED)
    up()
    g = TapGuest("tap0", "52:54:00:00:00:01", ["192.168.50.10/24",
                                               "fd00:50::10/64"],
                 "192.168.50.1")
    ip("-6", "route", "add", "default", "via", "fd00:50::1", ns=g.ns)
    must_ping("192.168.50.1", ns=g.ns)
    must_ping("10.99.0.1", ns=g.ns)
    must_ping("fd99::1", ns=g.ns)
    # whom does the LAN see? its own neighbour table knows no guest
    neigh = ip("neigh", ns=lan.ns).out
    contains(neigh, "10.99.0.2")
    assert "192.168.50" not in neigh and "fd00:50" not in neigh, neigh
    # without nat the LAN needs a route, and then sees the guest itself
    conf(ROUTED.replace("dhcp {", "nat = off\n dhcp {"))
    up()
    wait_for("no answer without a route",
             lambda: not ping("10.99.0.1", ns=g.ns, timeout=1))
    sh("ip route add 192.168.50.0/24 via 10.99.0.2; "
       "ip -6 route add fd00:50::/64 via fd99::2", ns=lan.ns)
    must_ping("10.99.0.1", ns=g.ns)
    must_ping("192.168.50.10", ns=lan.ns)
    must_ping("fd00:50::10", ns=lan.ns)


def test_routed_iptables_behind_docker():
    """With Docker's FORWARD DROP, the iptables backend's accept holds."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    run("iptables-restore", "--noflush", input=DOCKER)
    conf("firewall = iptables\n" + ROUTED)
    up()
    g = TapGuest("tap0", "52:54:00:00:00:01", ["192.168.50.10/24"],
                 "192.168.50.1")
    must_ping("10.99.0.1", ns=g.ns)


def test_isolated():
    """Guests talk to each other (not where `isolate`), and to nothing else."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    text = ("bridge lab { mode = isolated }\n"
            "guest a { tap = tap0 mac = 52:54:00:00:00:01 }\n"
            "guest b { tap = tap1 mac = 52:54:00:00:00:02 }\n")
    conf(text)
    up()
    a = TapGuest("tap0", "52:54:00:00:00:01", ["10.1.0.1/24"])
    b = TapGuest("tap1", "52:54:00:00:00:02", ["10.1.0.2/24"])
    must_ping("10.1.0.2", ns=a.ns)
    assert not ping("10.99.0.1", ns=a.ns, timeout=1)
    eq(ip("-4", "addr", "show", "lab").out, "")
    conf(text.replace("isolated }", "isolated isolate = on }"))
    up()
    in_sync()
    assert not ping("10.1.0.2", ns=a.ns, timeout=1)
    conf(text)
    up()
    must_ping("10.1.0.2", ns=a.ns)


def test_ipv6_guests_get_addresses():
    """RA and DHCPv6 from our dnsmasq: a guest's stack configures itself."""
    conf(ROUTED)
    openrc("br0")
    service("net.br0", "start")
    g = TapGuest("tap0", "52:54:00:00:00:01")
    wait_for("an address from the RA's prefix", lambda:
             "inet6 fd00:50:" in ip("-6", "addr", "show", "eth0", ns=g.ns).out)
    wait_for("the default route from the RA", lambda:
             "default via fe80" in ip("-6", "route", ns=g.ns).out)
    must_ping("fd00:50::1", ns=g.ns)
    if run("sh", "-c", "command -v dhclient", check=False).rc == 0:
        run("dhclient", "-6", "-1", "-q", "-sf", "/bin/true", "-D", "LL",
            "-lf", "/run/v6.leases", "-pf", "/run/v6.pid", "eth0", ns=g.ns,
            timeout=30)
        contains(open("/run/v6.leases").read(), "iaaddr fd00:50::10 ")
    service("net.br0", "stop")


def test_dhcp_checksum():
    """A guest that reads raw frames sees a valid UDP checksum in the reply,
    as clients on an offloading interface must."""
    conf(ROUTED)
    openrc("br0")
    service("net.br0", "start")
    g = veth_guest("br0", "vg", "52:54:00:00:00:01")
    p = subprocess.Popen(
        ["ip", "netns", "exec", g, "tcpdump", "-i", "eth0", "-vv", "-n", "-c",
         "1", "--immediate-mode", "-Z", "root", "udp src port 67"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true", ns=g,
        timeout=30)
    try:
        out = p.communicate(timeout=10)[0].decode()
    except subprocess.TimeoutExpired:
        p.kill()
        raise AssertionError("no DHCP reply seen: %r" % (p.communicate(),))
    contains(out, "[udp sum ok]")
    service("net.br0", "stop")


def test_two_bridges_one_removed_one_renamed():
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    before = snapshot()
    two = WIRED + ("bridge br1 { mode = routed address = 192.168.7.1/24 }\n"
                   "guest two { bridge = br1 tap = tap1 "
                   "mac = 52:54:00:00:00:02 }\n")
    two = two.replace("guest one {", "guest one { bridge = br0")
    conf(two)
    up()
    in_sync()
    # one bridge down: the other does not notice
    g = veth_guest("br0", "vnet0", "52:54:00:00:00:03", ["10.99.0.12/24"])
    must_ping("10.99.0.1", ns=g)
    no_loss([("10.99.0.1", g), ("10.99.0.2", lan.ns)], lambda: down("br1"))
    eq(ip("link", "show", "br1", check=False).rc, 1)
    eq(open("/proc/sys/net/ipv4/ip_forward").read(), "0\n")
    up()
    # br1 leaves the config
    conf(WIRED)
    contains(apply("plan", check=False).out, "remove tap1, br1")
    up()
    eq(ip("link", "show", "br1", check=False).rc, 1)
    eq(ip("link", "show", "tap1", check=False).rc, 1)
    assert "netbr-br1" not in run("nft", "list", "ruleset").out
    in_sync()
    # br0 becomes lan; the running guest's tap moves along
    ip("link", "del", "vnet0")
    t = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.11/24"])
    conf(WIRED.replace("br0", "lan"))
    up()
    in_sync()
    eq(ip("link", "show", "br0", check=False).rc, 1)
    must_ping("10.99.0.1", ns=t.ns)
    must_ping("10.99.0.1")
    t.stop()
    down()
    same(before, snapshot())


def test_uplink_changes():
    """eth0 gives way to eth1 and gets back what it had."""
    lan = Lan()
    lan2 = Lan(addrs=("10.99.0.1/24",), dev="eth1")
    ip("addr", "add", "10.99.0.7/24", "dev", "eth0")
    before = snapshot()
    conf(WIRED)
    up()
    conf(WIRED.replace("eth0", "eth1"))
    up()
    in_sync()
    contains(ip("addr", "show", "eth0").out, "10.99.0.7/24")
    must_ping("10.99.0.2", ns=lan2.ns)
    down()
    same(before, snapshot())


def refused(msg, *args):
    before = snapshot()
    p = up(*args, check=False)
    eq(p.rc, 1)
    contains(p.err, msg)
    contains(p.err, "nothing was changed")
    same(before, snapshot())


def test_refusals_touch_nothing():
    lan = Lan()
    conf(WIRED.replace("eth0", "eth9"))
    refused("its uplink eth9 does not exist")
    conf(WIRED)
    sh("ip link add tap0 type veth peer name tap0p")
    refused("tap0 exists, but is no tap (veth)")
    sh("ip link del tap0; ip link add br0 type bridge")
    refused("netbr did not make it")
    sh("ip link del br0; ip link add br0 type veth peer name br0p")
    refused("br0 exists, but is no bridge (veth)")
    sh("ip link del br0; ip link add brx type bridge; "
       "ip link set eth0 master brx")
    refused("eth0 already belongs to brx")
    sh("ip link set eth0 nomaster; ip link del brx")
    conf(WIRED.replace("mac = 52", "owner = nobodyatall mac = 52"))
    refused("there is no user 'nobodyatall'")
    conf(WIRED.replace("uplink  = eth0", "uplink = lo"))
    refused("lo is no Ethernet device")
    conf(WIRED.replace("uplink  = eth0", "uplink = eth0 ports = { eth7 }"))
    refused("its port eth7 does not exist")


def test_adoption():
    """A hand-made bridge can be handed over, and is then netbr's."""
    Lan()
    sh("ip link add br0 type bridge; ip link set br0 alias netbr")
    conf(WIRED)
    up()
    in_sync()
    down()
    eq(ip("link", "show", "br0", check=False).rc, 1)


def test_kernel_refuses_everything_is_undone():
    """A macvlan on eth0 makes the kernel refuse it as a port, in the middle:
    all is as before, and the LAN can reach the host."""
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0
          ip route add default via 10.99.0.1
          ip link add mv0 link eth0 type macvlan mode bridge""")
    conf(WIRED)
    before = snapshot()
    p = up(check=False)
    eq(p.rc, 1, p.err)
    contains(p.err, "add eth0 to br0: Device or resource busy")
    contains(p.err, "everything was undone")
    same(before, snapshot())
    must_ping("10.99.0.2", ns=lan.ns)


def test_bridge_options():
    """Every option, its unit, in place on a live bridge."""
    Lan()
    conf(WIRED)
    up()
    index = ip("-o", "link", "show", "br0").out.split(":")[0]
    for opts, want in (
            ("stp = on forward_delay = 4 hello_time = 1 max_age = 6",
             {"stp_state": 1, "forward_delay": 400, "hello_time": 100,
              "max_age": 600}),
            ("stp = on forward_delay = 0", {"stp_state": 1,
                                            "forward_delay": 200}),
            ("forward_delay = 0", {"stp_state": 0, "forward_delay": 0,
                                   "hello_time": 200}),
            ("forward_delay = 500ms", {"forward_delay": 50}),
            ("ageing_time = 10 priority = 4096", {"ageing_time": 1000,
                                                  "priority": 4096}),
            ("mtu = 1400", {})):
        conf(WIRED.replace("gateway =", opts + "\n gateway ="))
        up()
        in_sync()
        l = json.loads(ip("-j", "-d", "link", "show", "br0").out)[0]
        for k, v in want.items():
            eq(l["linkinfo"]["info_data"][k], v, opts + " " + k)
    eq(l["mtu"], 1400)
    # it sticks when a port with another MTU joins
    sh("ip link add p0 type veth peer name p1; ip link set p0 mtu 1300; "
       "ip link set p0 master br0")
    eq(json.loads(ip("-j", "link", "show", "br0").out)[0]["mtu"], 1400)
    # and the bridge was never made anew
    eq(ip("-o", "link", "show", "br0").out.split(":")[0], index)


def test_bridge_mac_is_pinned():
    """No port that joins changes it; default is the uplink's."""
    Lan()
    mac = json.loads(ip("-j", "link", "show", "eth0").out)[0]["address"]
    conf(WIRED)
    up()
    have = lambda: json.loads(ip("-j", "link", "show", "br0").out)[0]["address"]
    eq(have(), mac)
    sh("ip link add p0 address 02:00:00:00:00:01 type veth peer name p1; "
       "ip link set p0 master br0; ip link set p0 up; ip link set p1 up")
    eq(have(), mac)


def test_tap_attributes():
    Lan()
    conf("bridge br0 { mode = isolated }\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 owner = daemon "
         "group = tty }\n"
         "guest b { tap = tap1 queues = 2 model = virtio-net-pci }\n"
         "interface tap2 { mac = 32:00:00:00:00:07 mtu = 1280 }\n")
    up()
    in_sync()
    l = {x["ifname"]: x for x in json.loads(ip("-j", "-d", "link").out)}
    t = json.loads(ip("-j", "tuntap").out)
    eq(l["tap0"]["linkinfo"]["info_data"]["user"], "daemon")
    eq(l["tap0"]["linkinfo"]["info_data"]["group"], "tty")
    eq(l["tap0"]["address"], "fe:54:00:00:00:01")
    eq(l["tap0"]["linkinfo"]["info_data"]["persist"], True)
    eq(l["tap1"]["linkinfo"]["info_data"]["multi_queue"], True)
    eq(l["tap2"]["address"], "32:00:00:00:00:07")
    eq(l["tap2"]["mtu"], 1280)
    # owner changes in place, queues need a new tap
    index = l["tap0"]["ifindex"]
    conf("bridge br0 { mode = isolated }\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 owner = root "
         "queues = 2 }\n")
    out = apply("plan", check=False).out
    contains(out, "interrupts remove tap tap0, to make it anew")
    contains(out, "remove tap1, tap2")
    conf("bridge br0 { mode = isolated }\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 owner = root "
         "group = tty }\n")
    up()
    in_sync()
    l = {x["ifname"]: x for x in json.loads(ip("-j", "-d", "link").out)}
    eq(l["tap0"]["linkinfo"]["info_data"]["user"], "root")
    eq(l["tap0"]["ifindex"], index)
    assert "tap1" not in l
    # to take an owner away the kernel knows no way but a new tap
    conf("bridge br0 { mode = isolated }\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 }\n")
    contains(apply("plan", check=False).out, "interrupts remove tap tap0")
    up()
    in_sync()


def test_down_keeps_running_guests_and_foreign_ports():
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    conf(WIRED + "interface tap5 { }\n")
    up()
    a = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.11/24"])
    b = veth_guest("br0", "vnet0", "52:54:00:00:00:02", ["10.99.0.12/24"])
    p = down()
    contains(p.err, "tap0 is kept: a running guest holds it")
    contains(p.err, "br0 is kept: its port vnet0 is not netbr's")
    eq(ip("link", "show", "tap5", check=False).rc, 1)
    contains(ip("addr", "show", "eth0").out, "10.99.0.2/24")
    assert "10.99.0.2" not in ip("addr", "show", "br0").out
    must_ping("10.99.0.2", ns=lan.ns)
    must_ping("10.99.0.12", ns=a.ns)
    # and up again finds them
    up()
    in_sync()
    must_ping("10.99.0.1", ns=a.ns)
    down("--force")
    for l in ("br0", "tap0"):
        eq(ip("link", "show", l, check=False).rc, 1, l)
    must_ping("10.99.0.2", ns=lan.ns)


def test_foreign_tap_is_borrowed():
    """A tap somebody made is used, and given back as it was."""
    Lan()
    sh("ip tuntap add dev tap0 mode tap user daemon")
    before = snapshot()
    conf(WIRED)
    up()
    in_sync()
    contains(ip("link", "show", "tap0").out, "master br0")
    down()
    same(before, snapshot())


def test_state_file_torn_or_gone():
    """Neither blocks; without a record, down gives the uplink what br0 has."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    ip("route", "add", "default", "via", "10.99.0.1")
    conf(WIRED)
    for text in ('{"version": 1, "bri', "", "\0" * 100, '{"version": 99}',
                 None):
        up()
        if text is None:
            os.unlink("/run/netbr/state.json")
        else:
            open("/run/netbr/state.json", "w").write(text)
        up()
        down()
        eq(ip("link", "show", "br0", check=False).rc, 1)
        contains(ip("addr", "show", "eth0").out, "10.99.0.2/24")
        contains(ip("route").out, "default via 10.99.0.1 dev eth0")
        must_ping("10.99.0.2", ns=lan.ns)


def test_lock():
    Lan()
    conf(WIRED)
    up()
    import fcntl
    with open("/run/netbr/lock", "r+") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        p = apply("--wait", "0", "up", check=False)
        eq(p.rc, 75)
        contains(p.err, "another run holds the lock")


def test_ra_default_route_survives_forwarding():
    """The kernel drops router advertisements once it forwards; the host must
    keep its default route."""
    lan = Lan()
    sh("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding", ns=lan.ns)
    r = subprocess.Popen(["ip", "netns", "exec", lan.ns, "dnsmasq", "-d", "-C",
                          "/dev/null", "-p", "0", "-i", "lan0", "--enable-ra",
                          "--dhcp-range=fd99::,ra-only,64,10m",
                          "--ra-param=lan0,4,600"],
                         stderr=open("/run/ra.log", "w"))
    wait_for("the RA's route", lambda: "default via fe80" in
             ip("-6", "route").out, 30)
    conf(ROUTED)
    up()
    time.sleep(1)
    contains(ip("-6", "route").out, "default via fe80")
    down()
    eq(open("/proc/sys/net/ipv6/conf/eth0/accept_ra").read(), "1\n")
    r.kill()


def test_meter_can_fail():
    """The loss meter reports what a bridge deleted behind guests costs."""
    lan = Lan()
    conf(WIRED)
    up()
    g = veth_guest("br0", "vnet0", "52:54:00:00:00:02", ["10.99.0.12/24"])
    must_ping("10.99.0.1", ns=g)
    m = Meter("10.99.0.1", g)
    ip("link", "del", "br0")
    time.sleep(0.5)
    assert m.stop() > 5


def test_meter_waits_for_late_answers():
    """A guest that is not scheduled when the meter stops has lost nothing;
    one that never answers again has."""
    Lan()
    conf(WIRED)
    up()
    g = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.12/24"])
    must_ping("10.99.0.12")
    m = Meter("10.99.0.12")

    def nap():
        time.sleep(0.2)
        g.p.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        g.p.send_signal(signal.SIGCONT)
    t = threading.Thread(target=nap)
    t.start()
    eq(m.stop(), 0)
    t.join()
    m = Meter("10.99.0.12")
    g.p.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    assert m.stop() > 5
    g.p.send_signal(signal.SIGCONT)


def test_status():
    lan = Lan()
    conf(WIRED)
    up()
    p = apply("status")
    contains(p.out, "br0: bridged, up")
    contains(p.out, "guest one")
    j = json.loads(apply("status", "--json").out)
    eq(j["version"], 1)
    eq(j["bridges"][0]["ports"][0]["name"], "eth0")
    eq(j["drift"], [])
    ip("link", "set", "tap0", "nomaster")
    p = apply("status", check=False)
    eq(p.rc, 3)
    contains(p.out, "drift: tap0 master: wanted br0, is none")
    j = json.loads(apply("status", "--json", check=False).out)
    eq([(d["object"], d["attribute"]) for d in j["drift"]],
       [("tap0", "master"), ("tap0", "group_fwd_mask")])
    p = apply("plan", "--json", check=False)
    eq(p.rc, 3)
    eq(json.loads(p.out)["operations"][0]["sentence"], "add tap0 to br0")


def test_status_of_an_ordinary_user():
    """What may not be looked at is said, and not called absent."""
    conf(ROUTED)
    up()
    p = run("setpriv", "--reuid", "65534", "--clear-groups", APPLY, "status",
            check=False)
    contains(p.err, "not root: firewall rules are not looked at")
    assert "drift" not in p.out, p.out
    eq(p.rc, 0, p.err)
    eq(run("setpriv", "--reuid", "65534", "--clear-groups", APPLY, "up",
           check=False).rc, 1)


def test_article_stp_on():
    """setfd 0 stp on: accepted with a warning; the LAN is reached at once,
    since the port joins before STP is switched on."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    conf(ARTICLE["wired static"][1])
    contains(gen("check").err, "kernel makes forward_delay 0 into 2 seconds")
    no_loss([("10.99.0.2", lan.ns)], up)
    in_sync()
    eq(json.loads(ip("-j", "-d", "link", "show", "br0").out)[0]["linkinfo"]
       ["info_data"]["stp_state"], 1)


def test_thousand_taps():
    """1000 taps: up, verified, nothing to do, and gone again."""
    text = "bridge br0 { mode = isolated }\n" + "".join(
        "guest g%d { tap = t%d mac = 52:54:00:00:%02x:%02x }\n" %
        (i, i, i // 256, i % 256) for i in range(1000))
    conf(text)
    up()
    in_sync()
    eq(len([l for l in os.listdir("/sys/class/net") if l.startswith("t")]),
       1000)
    p = apply("-v", "down")
    eq([l for l in os.listdir("/sys/class/net") if l[0] in "tb"], [])


def on_terminal(argv, env=None):
    """What a program says on a terminal."""
    import pty
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, dict(os.environ, **(env or {})))
    out = b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.waitpid(pid, 0)
    return out.decode()


def test_progress_line():
    """On a terminal, for what takes more than a second (here: a kernel that
    takes its time for each message, or each tap); not in a pipe, nor under OpenRC."""
    if "NETBR_NESTED" in os.environ:
        raise Skip("strace and the leak sanitizer exclude each other")
    conf("bridge br0 { mode = isolated }\n" + "".join(
        "guest g%d { tap = tap%d }\n" % (i, i) for i in range(100)))

    def slow(ms, *args):
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e",
                "trace=sendto", "-e", "inject=sendto:delay_enter=%d" % (
                    ms * 1000), APPLY] + list(args)

    def slow_taps(ms, *args):
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e",
                "trace=close", "-e", "inject=close:delay_enter=%d" % (
                    ms * 1000), APPLY] + list(args)

    line = r"\r(\d+) of (\d+) "
    out = on_terminal(slow_taps(15, "up"))
    seen = [(int(a), int(b)) for a, b in re.findall(line, out)]
    assert len(seen) >= 2 and seen == sorted(seen), out
    assert all(a <= b for a, b in seen), seen
    contains(out, "\r\033[K")
    out = on_terminal(slow(120, "down"))
    assert re.search(line, out), out
    for argv, env in ((slow_taps(15, "-q", "up"), {}),
                      (slow(120, "down"), {"RC_SVCNAME": "net.br0"})):
        assert not re.search(line, on_terminal(argv, env))
    p = run(*slow_taps(15, "up"))
    assert " of " not in p.err, p.err
