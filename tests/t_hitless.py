"""The promise: running guests never notice. Pings at 10 ms across every kind
of edit, reload, restart, the uplink's move; nothing may be lost.

    lan namespace             this namespace                       guests
    10.99.0.1 ─ lan0 ──────── eth0 ─┐
    (router, DHCP)                  br0 ─┬─ tap0 ── a process (in the config)
                                         ├─ vnet0 ─ a namespace (by hand)
                                         └─ hand0 ─ a process, as QEMU's own
                                    br1 ─── tap1 ── a process (routed, NAT)
"""
import socket
import threading

from lib import *

BASE = {
    "br0": """
    uplink  = eth0
    address = 10.99.0.2/24
    gateway = 10.99.0.1
""",
    "br1": """
    mode    = routed
    address = 192.168.50.1/24
    dhcp { range = { 192.168.50.100, 192.168.50.199 } }
""",
    "guests": """
guest a { bridge = br0 tap = tap0 mac = 52:54:00:00:00:01 }
guest d { bridge = br1 tap = tap1 mac = 52:54:00:00:00:04 ip = 192.168.50.10 }
""",
}


def config(br0="", br1="", guests="", more="", base0=BASE["br0"],
           base1=BASE["br1"], known=BASE["guests"]):
    return "bridge br0 {%s%s}\nbridge br1 {%s%s}\n%s%s%s" % (
        base0, br0, base1, br1, known, guests, more)


# every kind of edit, in this order; each is a change of the one before
EDITS = [
    ("a guest more", config(guests="guest x { bridge = br0 tap = tap2 "
                            "mac = 52:54:00:00:00:09 }\n")),
    ("its owner", config(guests="guest x { bridge = br0 tap = tap2 "
                         "mac = 52:54:00:00:00:09 owner = daemon }\n")),
    ("its isolation", config(guests="guest x { bridge = br0 tap = tap2 "
                             "isolate = on mac = 52:54:00:00:00:09 }\n")),
    ("its queues: a new tap", config(
        guests="guest x { bridge = br0 tap = tap2 queues = 2 "
        "mac = 52:54:00:00:00:09 }\n")),
    ("a guest less", config()),
    ("a reservation", config(guests="guest r { bridge = br1 tap = none "
                             "mac = 52:54:00:00:00:08 ip = 192.168.50.8 }\n")),
    ("another address for it", config(
        guests="guest r { bridge = br1 tap = none mac = 52:54:00:00:00:08 "
        "ip = 192.168.50.9 }\n")),
    ("the range", config(base1=BASE["br1"].replace(
        "50.100", "50.110"))),
    ("an address more", config(base0=BASE["br0"].replace(
        "10.99.0.2/24", '{ 10.99.0.2/24, 10.99.0.22/24, "fd99::2/64" }'))),
    ("and less", config()),
    ("a route", config(br0='    routes = { "10.5.0.0/16 via 10.99.0.1" }\n')),
    ("timers", config(br0="    ageing_time = 60\n    forward_delay = 4\n"
                      "    hello_time = 3\n    max_age = 30\n")),
    ("priority", config(br0="    priority = 4096\n")),
    ("STP on", config(br0="    stp = on\n    forward_delay = 4\n")),
    ("STP off", config()),
    ("NAT off and a v6 subnet", config(
        br1="    nat = off\n", base1=BASE["br1"].replace(
            "192.168.50.1/24", '{ 192.168.50.1/24, "fd50::1/64" }'))),
    ("NAT on", config()),
    ("a third bridge", config(more="bridge br2 { mode = routed "
                              "address = 10.2.0.1/24 }\n"
                              "guest z { bridge = br2 tap = tap9 }\n")),
    ("which changes its name", config(more="bridge br3 { mode = routed "
                                      "address = 10.2.0.1/24 }\n"
                                      "guest z { bridge = br3 tap = tap9 }\n"
                                      )),
    ("and goes", config()),
    ("the other firewall", "firewall = iptables\n" + config()),
    ("and back", config()),
    ("the bridge's MAC, fixed to what it is", None),
]


class Guests:
    def __init__(self):
        self.lan = Lan()
        sh("""ip addr add 10.99.0.2/24 dev eth0
              ip route add default via 10.99.0.1""")
        conf(config())
        openrc("br0", "br1")
        service("net.br0", "start")
        service("net.br1", "start")
        self.a = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.11/24"])
        self.d = TapGuest("tap1", "52:54:00:00:00:04", ["192.168.50.10/24"],
                          "192.168.50.1")
        self.b = veth_guest("br0", "vnet0", "52:54:00:00:00:02",
                            ["10.99.0.12/24"])
        sh("ip tuntap add dev hand0 mode tap; ip link set hand0 up master br0")
        self.c = TapGuest("hand0", "52:54:00:00:00:03", ["10.99.0.13/24"])
        self.meters = [
            ("10.99.0.12", self.a.ns),      # guest to guest
            ("10.99.0.1", self.a.ns),       # guest to LAN
            ("10.99.0.11", self.lan.ns),    # LAN to guest
            ("10.99.0.2", self.lan.ns),     # LAN to host
            ("10.99.0.1", self.b),          # a port put there by hand
            ("10.99.0.1", self.c.ns),       # a tap that QEMU made
            ("10.99.0.1", None),            # host to LAN
            ("192.168.50.1", self.d.ns),    # routed guest to host
        ]
        for addr, ns in self.meters:
            must_ping(addr, ns=ns)

    def edit(self, name, text):
        if text is None:
            mac = json.loads(ip("-j", "link", "show", "br0").out)[0]["address"]
            text = config(br0="    mac = %s\n" % mac)
        conf(text)
        plan = apply("plan", check=False)
        cuts = [l for l in plan.out.splitlines() if "interrupts" in l]
        # only what concerns the thing that was edited
        assert all("tap2" in l or "dnsmasq" in l for l in cuts), (name, cuts)
        try:
            service("net.br0", "reload")
            service("net.br1", "reload")
        except AssertionError as e:
            raise AssertionError("%s: %s" % (name, e))
        up()        # what left the configuration is up's alone


def test_every_kind_of_edit():
    g = Guests()

    edits = []

    def act():
        began = time.time()
        for name, text in EDITS:
            edits.append("%s at %.2f s" % (name, time.time() - began))
            g.edit(name, text)

    try:
        sent = no_loss(g.meters, act)
    except Lost as e:
        raise AssertionError("%s\n%s" % (e, ", ".join(edits)))
    in_sync()
    print("note: %d edits, %d pings, 0 lost" % (len(EDITS), sent))


def test_restart_reload_up_and_a_neighbour_down():
    g = Guests()

    def act():
        for _ in range(2):
            service("net.br0", "restart")
            service("net.br1", "restart")
            service("net.br0", "reload")
            up()
            gen("-q", "write")
        # the other bridge goes and comes back: br0's guests do not notice
        g.d.stop()
        service("net.br1", "stop")
        service("net.br1", "start")

    sent = no_loss(g.meters[:-1], act)
    print("note: %d pings, 0 lost" % sent)


def test_the_meter_reports_a_deleted_bridge():
    """The same meters, while br0 is deleted and made again behind the guests:
    they must report it."""
    g = Guests()
    meters = [Meter(*m) for m in g.meters[:6]]
    ip("link", "del", "br0")
    time.sleep(0.3)
    up()
    assert all(m.stop() > 5 for m in meters)


def test_an_edit_touches_only_what_it_concerns():
    """The messages that go out are those of the one thing."""
    g = Guests()
    for text, want in (
            (config(guests="guest x { bridge = br0 tap = tap2 }\n"),
             ["create tap tap2", "set net/ipv6/conf/tap2/disable_ipv6 to 1",
              "add tap2 to br0"]),
            (config(guests="guest x { bridge = br0 tap = tap2 isolate = on "
                    "}\n"), ["set tap2 isolated on"]),
            (config(br0="    ageing_time = 60\n", guests="guest x { bridge = "
                    "br0 tap = tap2 isolate = on }\n"),
             ["set br0 ageing_time to 60 (was 300)"]),
            (config(guests="guest r { bridge = br1 tap = none "
                    "mac = 52:54:00:00:00:08 ip = 192.168.50.8 }\n"),
             ["set br0 ageing_time to 300 (was 60)",
              "remove tap2",
              "change elements of br1's nftables rules",
              "have dnsmasq on br1 read its reservations (SIGHUP)"])):
        conf(text)
        gen("-q", "write")
        p = apply("plan", check=False)
        eq([l.split(None, 1)[1] for l in p.out.splitlines()], want)
        up()


def test_kind_of_change_that_interrupts_is_shown():
    """A tap that must be made anew under a running guest is refused; what
    interrupts is called so before it happens."""
    g = Guests()
    conf(config().replace("tap = tap0", "tap = tap0 queues = 4"))
    p = apply("plan", check=False)
    eq(p.rc, 1)
    contains(p.err, "tap0 must be made anew with another number of queues, "
             "but a running guest holds it: stop the guest first")
    g.a.stop()
    p = apply("plan", check=False)
    contains(p.out, "interrupts remove tap tap0, to make it anew")
    conf(config(br0="    foreign_ports = remove\n"))
    contains(apply("plan", check=False).out,
             "interrupts take vnet0 off br0 (foreign_ports = remove)")
    conf(config(base1=BASE["br1"].replace("50.100", "50.110")))
    gen("-q", "write")
    contains(apply("plan", check=False).out,
             "interrupts start dnsmasq on br1 anew: its settings changed")


# ---- the uplink's move -----------------------------------------------------

def talk(stop, result):
    """One TCP connection from the host to the LAN, an echo every 10 ms."""
    s = socket.create_connection(("10.99.0.1", 7007), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not stop.is_set():
        at = time.time()
        s.sendall(b"x")
        if s.recv(1) != b"x":
            raise AssertionError("connection closed")
        result.append(time.time() - at)
        time.sleep(0.01)
    s.close()


def echo_server(lan):
    p = subprocess.Popen(
        ["ip", "netns", "exec", lan.ns, sys.executable, "-c", """
import socket
s = socket.create_server(("10.99.0.1", 7007))
print("ready", flush=True)
c, _ = s.accept()
while True:
    d = c.recv(1)
    if not d: break
    c.sendall(d)
"""], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    return p


def test_uplink_moves_there_and_back():
    """eth0 with its addresses and default route under br0, and back: no ping
    of the LAN, no ping to it, IPv6 too, and a TCP connection goes on."""
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0
          ip addr add fd99::2/64 dev eth0
          ip route add default via 10.99.0.1""")
    settle()
    conf("bridge br0 {%s}\n" % BASE["br0"])
    server = echo_server(lan)
    stop, echoes, failed = threading.Event(), [], []

    def client():
        try:
            talk(stop, echoes)
        except Exception as e:
            failed.append(e)

    t = threading.Thread(target=client)
    t.start()

    def act():
        for _ in range(5):
            up()
            time.sleep(0.1)
            down()
            time.sleep(0.1)

    try:
        sent = no_loss_moving([
            ("10.99.0.2", lan.ns), ("10.99.0.1", None),
            ("fd99::2", lan.ns), ("fd99::1", None)], act)
    finally:
        stop.set()
        t.join()
        server.kill()
    eq(failed, [], "the TCP connection")
    print("note: %d pings, 0 lost; %d TCP echoes, the slowest took %d ms" %
          (sent, len(echoes), max(echoes) * 1000))


def test_neighbours_hear_of_another_mac():
    """With a MAC of its own, br0 says so: the LAN's tables change at once,
    before anybody has to ask."""
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0; ip addr add fd99::2/64 dev eth0
          ip route add default via 10.99.0.1""")
    settle()
    conf("bridge br0 {%s    mac = 52:54:00:99:99:99\n}\n" % BASE["br0"])
    must_ping("10.99.0.2", ns=lan.ns)
    must_ping("fd99::2", ns=lan.ns)
    no_loss([("10.99.0.2", lan.ns)], up)
    neigh = ip("neigh", ns=lan.ns).out
    contains(neigh, "10.99.0.2 dev lan0 lladdr 52:54:00:99:99:99")
    contains(neigh, "fd99::2 dev lan0 lladdr 52:54:00:99:99:99")


# ---- a DHCP lease on the uplink --------------------------------------------

CLIENTS = {
    "dhclient": ["dhclient", "-nw", "-pf", "/run/dhc.pid", "-lf",
                 "/run/dhc.leases", "eth0"],
    "dhcpcd": ["dhcpcd", "-q", "-b", "-4", "eth0"],
    "udhcpc": ["udhcpc", "-i", "eth0", "-b", "-t", "3", "-T", "2", "-p",
               "/run/dhc.pid"],
}


def handover(client):
    """A lease held on eth0 by this client goes over to br0, whose client
    takes it on: the address stays reachable, and so it is after `stop`."""
    lan = Lan(addrs=("10.99.0.1/24",))
    server = subprocess.Popen(
        ["ip", "netns", "exec", lan.ns, "dnsmasq", "-d", "-C", "/dev/null",
         "-p", "0", "-i", "lan0", "--bind-interfaces", "--no-ping",
         "--dhcp-range=10.99.0.100,10.99.0.150,2m", "--log-dhcp",
         "--dhcp-leasefile=/run/lan.leases", "--dhcp-option=3,10.99.0.1"],
        stdout=subprocess.DEVNULL, stderr=open("/run/lan.log", "w"))
    run(*CLIENTS[client])
    have = lambda dev: re.findall(r"inet ([\d.]+)/", ip(
        "-4", "addr", "show", dev, "scope", "global", check=False).out)
    wait_for("a lease on eth0", lambda: have("eth0"), 30)
    addr = have("eth0")[0]
    must_ping(addr, ns=lan.ns)
    conf("bridge br0 {\n uplink = eth0\n address = dhcp\n}\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 }\n")
    openrc("br0")
    with open("/etc/conf.d/net.br0", "a") as f:
        f.write('netbr_dhcp_client="%s"\n' % client)
    contains(apply("plan", check=False).out,
             "end %s on eth0, keeping the lease" % client)

    def there():
        service("net.br0", "start")
        # br0's client has made the lease its own
        wait_for("the new lease", lambda: open("/run/lan.log").read()
                 .count("DHCPACK") >= 2, 20)
        time.sleep(1)

    # one: the kernel's own window, see no_loss_moving()
    sent = no_loss([(addr, lan.ns), ("10.99.0.1", None)], there, 1)
    eq(have("br0"), [addr])
    eq(have("eth0"), [])
    contains(ip("route").out, "default via 10.99.0.1 dev br0")
    apply("-q", "plan")
    assert "RELEASE" not in open("/run/lan.log").read()

    def back():
        service("net.br0", "stop")
        time.sleep(1.5)

    sent += no_loss([(addr, lan.ns), ("10.99.0.1", None)], back, 1)
    eq(have("eth0"), [addr])
    # eth0 has its client back, which goes on renewing
    assert run("pgrep", "-x", client, check=False).rc == 0, client
    contains(ip("route").out, "default via 10.99.0.1 dev eth0")
    print("note: %d pings, 0 lost" % sent)
    server.kill()


def test_lease_goes_over_dhclient():
    handover("dhclient")


def test_lease_goes_over_dhcpcd():
    handover("dhcpcd")


def test_lease_goes_over_udhcpc():
    handover("udhcpc")


test_every_kind_of_edit.timeout = 400
