"""What a guest must not send does not arrive, anywhere; what it lives by
does. Raw frames on real taps.

    the attacker (this test) ── tap1 ─┐
    the victim (a process) ──── tap0 ─┤ br1 (routed) or br0 (with eth0)
    ears: on the bridge, at the victim's, at the LAN's
"""
import ctypes
import itertools
import os
import select
import socket

import frames
from lib import *

A, V = "52:54:00:00:00:0a", "52:54:00:00:00:01"
libc = ctypes.CDLL(None, use_errno=True)


def in_ns(ns):
    with open("/run/netns/" + ns if ns else "/proc/self/ns/net") as f:
        assert libc.setns(f.fileno(), 0x40000000) == 0


class Ear:
    """A raw socket on a device, in a namespace; what it hears, whole."""

    def __init__(self, dev, ns=None):
        home = open("/proc/self/ns/net")
        if ns:
            in_ns(ns)
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                               socket.htons(3))
        self.s.bind((dev, 3))
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        # a stripped VLAN tag comes beside the frame (packet(7))
        self.s.setsockopt(263, 8, 1)
        if ns:
            assert libc.setns(home.fileno(), 0x40000000) == 0
        home.close()

    def heard(self):
        out = set()
        while select.select([self.s], [], [], 0)[0]:
            data, anc, _, addr = self.s.recvmsg(65536, 256)
            if addr[2] == 4:        # PACKET_OUTGOING
                continue
            for level, kind, aux in anc:
                if level == 263 and kind == 8:
                    status, _, _, _, _, tci, tpid = struct.unpack(
                        "IIIHHHH", aux[:20])
                    if status & 0x10:
                        data = data[:12] + struct.pack("!HH", tpid or 0x8100,
                                                       tci) + data[12:]
            out.add(data)
        return out


def config(filter, isolate, forward, nat, backend="nftables", stp=False):
    onoff = lambda b: "on" if b else "off"
    return """firewall = %s
bridge br1 {
    mode = routed
    address = { 192.168.50.1/24, "fd50::1/64" }
    nat = %s
    filter = %s
    isolate = %s
    stp = %s
}
guest v { tap = tap0 mac = %s ip = { 192.168.50.10, "fd50::10" } %s }
guest a { tap = tap1 mac = %s ip = { 192.168.50.11, "fd50::11" } %s }
""" % (backend, onoff(nat), onoff(filter), onoff(isolate), onoff(stp), V,
       'forward = "2222:22"' if forward else "", A,
       'forward = "2223:22"' if forward else "")


class Arena:
    def __init__(self, text):
        Lan()
        sh("ip addr add 10.99.0.2/24 dev eth0")
        # else fragments are put together on the way: not what is tested
        sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 "
           "net.bridge.bridge-nf-call-ip6tables=0", check=False)
        conf(text)
        up()
        # the victim and the host believe nothing of what they are told
        self.victim = TapGuest("tap0", V, ["192.168.50.10/24",
                                           "fd50::10/64"], "192.168.50.1")
        self.tap = os.open("/dev/net/tun", os.O_RDWR)
        import fcntl
        fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", b"tap1",
                                                     0x1002))
        os.set_blocking(self.tap, False)
        must_ping("192.168.50.10")
        must_ping("fd50::10")
        self.ears = [Ear("br1"), Ear("eth0", self.victim.ns)]
        h = json.loads(ip("-j", "link", "show", "br1").out)[0]["address"]
        self.w = frames.World(A, "192.168.50.11", "fd50::11", V,
                              "192.168.50.10", "fd50::10", h,
                              "192.168.50.1", "fd50::1")
        wait_for("tap1 to forward", lambda: "state forwarding" in
                 run("bridge", "link", "show", "dev", "tap1").out, 12)

    def arrived(self, what):
        """Which of these frames got through, to anybody?"""
        for e in self.ears:
            e.heard()
        for f in what.values():
            os.write(self.tap, f)
        time.sleep(0.08)
        heard = set().union(*[e.heard() for e in self.ears])
        return {n for n, f in what.items() if f in heard}

    def whose_is(self, m):
        """The port that the bridge has learned a MAC address on."""
        for l in run("bridge", "fdb", "show", "br", "br1").out.splitlines():
            if l.startswith(m + " ") and "permanent" not in l:
                return re.search(r"dev (\S+)", l).group(1)


def check(arena, filter, backend):
    bad, good = frames.hostile(arena.w), frames.honest(arena.w)
    got = arena.arrived(bad)
    if filter:
        eq(got, set(), "hostile")
    else:
        eq(set(bad) - got, set(), "hostile without a filter")
    got = arena.arrived(good)
    eq(set(good) - got, set(), "honest")
    return len(bad) + len(good)


def matrix(backend):
    """Every hostile frame x filter x isolate x forward x nat: none arrives
    with the filter, each does without; after up, reload, flush and heal. The
    victim loses no ping, and the bridge never learns its MAC elsewhere."""
    arena = Arena(config(True, False, False, True, backend))
    n = 0
    for combo in itertools.product((True, False), repeat=4):
        filter = combo[0]
        conf(config(*combo, backend))
        up()
        what = "filter, isolate, forward, nat = %r: " % (combo,)
        try:
            if filter:
                m = Meter("192.168.50.10")
                n += check(arena, filter, backend)
                eq(arena.whose_is(V), "tap0", "the victim's MAC")
                lost = m.stop()
                eq(lost, 0, "the victim's pings of %d" % m.sent)
            else:
                n += check(arena, filter, backend)
        except AssertionError as e:
            raise AssertionError(what + str(e))
        # clear what an unfiltered attack has left
        sh("ip neigh flush all; bridge fdb flush dev tap1 2>/dev/null || "
           "for m in $(bridge fdb show dev tap1 | grep -v permanent | "
           "cut -d' ' -f1); do bridge fdb del $m dev tap1 master || true; "
           "done", check=False)
        sh("ip neigh flush all", ns=arena.victim.ns, check=False)
        must_ping("192.168.50.10")
    # again after a reload, and after somebody has flushed and up has healed
    conf(config(True, True, True, True, backend))
    up()
    gen("-q", "write")
    up()
    n += check(arena, True, backend)
    sh("nft flush ruleset")
    up()
    n += check(arena, True, backend)
    print("note: %d frames" % n)


def test_hostile_frames_nftables():
    matrix("nftables")


def test_hostile_frames_ebtables():
    matrix("iptables")


def test_bridge_learns_from_no_hostile_frame():
    """With STP on and off; also from frames to the bridge itself, which it
    hears before it asks any rule."""
    for stp in (False, True):
        arena = Arena(config(True, False, False, True, stp=stp)) \
            if not stp else arena
        if stp:
            conf(config(True, False, False, True, stp=True))
            up()
            in_sync()
        w = arena.w
        for last in range(16):
            dst = frames.mac("0180c20000%02x" % last)
            for src in (w.v, frames.X):
                os.write(arena.tap, dst + src + struct.pack("!H", 38) +
                         frames.mac("424203") + b"\0" * 32)
                os.write(arena.tap, frames.eth(dst, src, 0x88cc, b"x" * 46))
        time.sleep(0.1)
        must_ping("192.168.50.10")
        eq(arena.whose_is(V), "tap0")
        eq(arena.whose_is("52:54:00:ee:ee:ee"), None)
        eq(json.loads(ip("-j", "-d", "link", "show", "br1").out)[0]
           ["linkinfo"]["info_data"].get("topology_change"), 0)
        assert "root port" not in run("bridge", "-d", "link").out
    # and without a filter it does learn, so that this can fail
    conf(config(False, False, False, True))
    up()
    os.write(arena.tap, frames.hostile(w)["another source MAC"])
    wait_for("the bridge to learn", lambda:
             arena.whose_is("52:54:00:ee:ee:ee") == "tap1", 3)


def test_guest_without_an_address():
    """MAC only; but it can't take an address that is another's."""
    text = config(True, False, False, True).replace(
        'ip = { 192.168.50.11, "fd50::11" }', "")
    arena = Arena(text)
    got = arena.arrived(frames.hostile(arena.w))
    eq(got, {"IPv4 from elsewhere", "IPv6 from elsewhere",
             "IPv6 from another link-local"})
    good = frames.honest(arena.w)
    eq(arena.arrived(good), set(good))


def test_real_guests_work_behind_the_filter():
    """DHCP, ARP, IPv6 autoconfiguration, DAD, TCP: a real stack's traffic."""
    conf(config(True, False, False, True).replace("nat = on", "nat = on\n"
                                                  "    dhcp { }"))
    openrc("br1")
    service("net.br1", "start")
    v = TapGuest("tap0", V)
    p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true",
            ns=v.ns, timeout=30)
    contains(p.out + p.err, "lease of 192.168.50.10 obtained")
    ip("addr", "add", "192.168.50.10/24", "dev", "eth0", ns=v.ns)
    must_ping("192.168.50.1", ns=v.ns)
    wait_for("SLAAC", lambda: "inet6 fd50:" in ip(
        "-6", "addr", "show", "eth0", ns=v.ns).out)
    wait_for("DAD to end", lambda: "tentative" not in ip(
        "-6", "addr", "show", "eth0", ns=v.ns).out)
    must_ping("fd50::1", ns=v.ns)
    ip("addr", "add", "fd50::10/64", "dev", "eth0", ns=v.ns)
    must_ping("fd50::10")
    for a in ("192.168.50.1", "fd50::1"):
        run("ping", "-c", "2", "-s", "4000", "-W", "2", a, ns=v.ns)
    # another address of its own choice gets it nowhere
    sh("ip addr flush dev eth0; ip addr add 192.168.50.77/24 dev eth0",
       ns=v.ns)
    assert not ping("192.168.50.1", ns=v.ns, timeout=1)
    service("net.br1", "stop", check=False)


def test_isolated_guest_without_an_address():
    """Whatever address it takes, what it sends reaches no other bridge."""
    Lan()
    for backend in ("nftables", "iptables"):
        text = """firewall = %s
bridge br1 { mode = routed address = 192.168.50.1/24 }
bridge br2 { mode = routed address = 192.168.60.1/24 }
guest a { bridge = br1 tap = tap0 mac = 52:54:00:00:00:01 isolate = %s }
guest c { bridge = br2 tap = tap2 mac = 52:54:00:00:00:03 ip = 192.168.60.10 }
"""
        conf(text % (backend, "off"))
        up()
        a = TapGuest("tap0", "52:54:00:00:00:01", ["192.168.50.33/24"],
                     "192.168.50.1")
        c = TapGuest("tap2", "52:54:00:00:00:03", ["192.168.60.10/24"],
                     "192.168.60.1")
        must_ping("192.168.60.10", ns=a.ns)
        conf(text % (backend, "on"))
        up()
        assert not ping("192.168.60.10", ns=a.ns, timeout=1)
        must_ping("192.168.50.1", ns=a.ns)
        a.stop()
        c.stop()


def test_isolated_guests_and_bridges():
    """Isolated guests reach the host and the LAN, not one another; nor those
    of another bridge, from either side; for both backends."""
    lan = Lan()
    sh("ip addr add 10.99.0.2/24 dev eth0; ip route add default via "
       "10.99.0.1")
    text = """firewall = %s
bridge br1 { mode = routed address = 192.168.50.1/24 %s }
bridge br2 { mode = routed address = 192.168.60.1/24 }
guest a { bridge = br1 tap = tap0 mac = 52:54:00:00:00:01 ip = 192.168.50.10 %s }
guest b { bridge = br1 tap = tap1 mac = 52:54:00:00:00:02 ip = 192.168.50.11 %s }
guest c { bridge = br2 tap = tap2 mac = 52:54:00:00:00:03 ip = 192.168.60.10 }
"""
    conf(text % ("nftables", "", "", ""))
    up()
    g = {n: TapGuest("tap%d" % i, "52:54:00:00:00:0%d" % (i + 1),
                     ["192.168.%s/24" % a], "192.168.%s.1" % a[:2])
         for i, (n, a) in enumerate((("a", "50.10"), ("b", "50.11"),
                                     ("c", "60.10")))}
    ways = [("a", "50.11"), ("b", "50.10"), ("a", "60.10"), ("c", "50.10"),
            ("b", "60.10"), ("c", "50.11")]
    for backend in ("nftables", "iptables"):
        for bridge, ga, gb, shut in (
                ("", "", "", set()),
                ("isolate = on", "", "", set(ways)),
                ("", "isolate = on", "", {("a", "60.10"), ("c", "50.10")}),
                ("", "isolate = on", "isolate = on", set(ways))):
            conf(text % (backend, bridge, ga, gb))
            up()
            eq(apply("plan", check=False).out, "")
            for n in g:
                must_ping("10.99.0.1", ns=g[n].ns)
                must_ping("192.168.50.1", ns=g[n].ns)
            for who, to in ways:
                if (who, to) in shut:
                    assert not ping("192.168." + to, ns=g[who].ns,
                                    timeout=0.3), (backend, bridge, ga, who,
                                                   to)
                else:
                    must_ping("192.168." + to, ns=g[who].ns)


for t in (test_hostile_frames_nftables, test_hostile_frames_ebtables):
    t.timeout = 400


def test_program_on_the_tap():
    """The iptables backend's program is there for filtered taps alone; taken
    away it is named and healed; other people's filters stay."""
    def ours(tap):
        return "pref 28258" in run("tc", "filter", "show", "dev", tap,
                                   "ingress", check=False).out

    text = """firewall = iptables
    bridge br0 { mode = isolated }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = 10.0.0.1 }
    guest b { tap = tap1 mac = 52:54:00:00:00:02 filter = %s }
    """
    conf(text % "off")
    up()
    eq((ours("tap0"), ours("tap1")), (True, False))
    eq(apply("plan", check=False).rc, 0)
    bytecode = "1,6 0 0 4294967295"
    sh("""tc qdisc add dev tap1 clsact
          tc filter add dev tap1 ingress pref 7 bpf bytecode '%s' da
          tc filter add dev tap0 ingress pref 7 bpf bytecode '%s' da
          tc filter del dev tap0 ingress pref 28258""" % (bytecode, bytecode))
    p = apply("--json", "status", check=False)
    eq([(d["object"], d["attribute"]) for d in json.loads(p.out)["drift"]],
       [("tap0", "screen")])
    conf(text % "on")
    up()
    eq((ours("tap0"), ours("tap1")), (True, True))
    eq(apply("plan", check=False).rc, 0)
    # with nftables there is no need of it
    conf((text % "on").replace("iptables", "nftables"))
    up()
    eq((ours("tap0"), ours("tap1")), (False, False))
    for tap in ("tap0", "tap1"):
        contains(run("tc", "filter", "show", "dev", tap, "ingress").out,
                 "pref 7")
    in_sync()


def test_kernel_without_programs_on_taps():
    """The kernel lacks them: ebtables' rules alone, and it is said; status
    goes on to name it."""
    conf("""firewall = iptables
    bridge br0 { mode = isolated }
    guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = 10.0.0.1 }
    """)
    trace = ["strace", "-qq", "-o", "/run/trace", "-e", "trace=sendto"]
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    for _ in range(2):      # the first one has more to do
        run(*trace, APPLY, "-q", "up", env=env)
        down()
    calls = [l for l in open("/run/trace") if l.startswith("sendto(")]
    at = [n for n, l in enumerate(calls, 1) if "RTM_NEWQDISC" in l]
    eq(len(at), 1)
    p = run(*trace, "-e", "inject=sendto:error=ENOENT:when=%d" % at[0], APPLY,
            "up", env=env)
    contains(p.err, "guests are filtered by ebtables alone")
    contains(p.err, "CONFIG_NET_CLS_BPF")
    contains(run("ebtables", "-t", "nat", "-L").out, "tap0")
    p = apply("status", check=False)
    eq(p.rc, 3)
    contains(p.out, "drift: tap0 screen: wanted as configured, is none")
    up()
    eq(apply("status").rc, 0)
