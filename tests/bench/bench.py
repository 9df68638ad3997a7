"""make bench: netbr against the kernel's floor and its peers, in rotation.

usage: bench.py [--full] [--markdown FILE] [--svg FILE] [NAME...]

Every run happens in a network namespace of its own, with a root directory of
its own; what is quoted are ratios of medians within one run of this program:
absolute times on a shared machine mean nothing."""
import argparse
import ctypes
import fcntl
import math
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
GEN, APPLY = TOP + "/src/netbr-gen", TOP + "/src/netbr-apply"
FLOOR = TOP + "/build/bench/floor"
libc = ctypes.CDLL(None, use_errno=True)
WORK = tempfile.mkdtemp(prefix="netbr-bench-")
NULL = subprocess.DEVNULL


def sh(text, ns=None):
    argv = ["sh", "-ec", text]
    subprocess.run((["ip", "netns", "exec", ns] if ns else []) + argv,
                   check=True, stdout=NULL, stderr=NULL)


class Place:
    """A namespace and a root for one run."""
    n = 0

    def __init__(self, config=None):
        Place.n += 1
        self.ns = "nbench%d-%d" % (os.getpid(), Place.n)
        sh("ip netns add " + self.ns)
        self.fd = os.open("/run/netns/" + self.ns, os.O_RDONLY)
        self.root = "%s/%d" % (WORK, Place.n)
        os.makedirs(self.root + "/etc")
        # in memory, as on a real machine
        os.makedirs("/run/" + self.ns)
        os.symlink("/run/" + self.ns, self.root + "/run")
        if config:
            self.conf(config)

    def conf(self, text):
        with open(self.root + "/etc/vmnet.conf", "w") as f:
            f.write(text)
        os.chmod(f.name, 0o644)

    def enter(self):
        libc.setns(self.fd, 0x40000000)

    def run(self, argv, input=None, check=True):
        """Milliseconds of wall time from fork to the end of the process."""
        stdin = open(input) if input else NULL
        t = time.perf_counter()
        p = subprocess.Popen(argv, stdin=stdin, stdout=NULL,
                             stderr=subprocess.PIPE, preexec_fn=self.enter)
        err = p.stderr.read()
        p.wait()
        t = (time.perf_counter() - t) * 1e3
        if check and p.returncode:
            raise SystemExit("%s: rc %d: %s" % (argv, p.returncode,
                                                err.decode()))
        return t

    def apply(self, *args, **kw):
        return self.run([APPLY, "-q", "-r", self.root] + list(args), **kw)

    def close(self):
        """With its devices first: the kernel takes a namespace apart in the
        background, and holds the lock that the next contestant needs."""
        subprocess.run([FLOOR, "clear"], preexec_fn=self.enter, check=True)
        os.close(self.fd)
        sh("ip netns del " + self.ns)
        shutil.rmtree(self.root)
        shutil.rmtree("/run/" + self.ns)
        quiet()


def quiet():
    """Waits until nobody holds the kernel's RTNL lock: 20 times in a row
    setting a flag on lo, which it has, takes no time."""
    s = socket.socket()
    request = struct.pack("16sh14x", b"lo", 0x49)      # up, loopback, running
    good, end = 0, time.monotonic() + 30
    while good < 20 and time.monotonic() < end:
        t = time.perf_counter()
        fcntl.ioctl(s, 0x8914, request)                 # SIOCSIFFLAGS
        good = good + 1 if time.perf_counter() - t < 1e-3 else 0
        time.sleep(5e-3)
    s.close()


# ---- the jobs: name -> {contestant: function(place) -> ms} ------------------

def config(n, firewall="none", ips=False, skip=None):
    out = ["firewall = " + firewall,
           "bridge br0 { mode = isolated stp = on forward_delay = 4 "
           "hello_time = 2 mac = 52:54:ff:00:00:01 }"]
    for i in range(n):
        out.append("guest g%d { tap = t%d mac = 52:54:00:00:%02x:%02x "
                   "owner = 1 %s }" % (
                       i, i, i >> 8, i & 255, "ip = 10.0.%d.%d" % (
                           1 + i // 250, 1 + i % 250) if ips else ""))
    return "\n".join(out) + "\n"


def batch(n, verb="create"):
    """The same for `ip -batch`, one merged line a tap where it can be."""
    path = "%s/batch-%s-%d" % (WORK, verb, n)
    if os.path.exists(path):
        return path
    with open(path, "w") as f:
        if verb == "create":
            f.write("link add br0 address 52:54:ff:00:00:01 type bridge "
                    "stp_state 1 forward_delay 400 hello_time 200\n")
            for i in range(n):
                f.write("tuntap add dev t%d mode tap user 1\n" % i)
        if verb in ("create", "set"):
            f.write("link set br0 up type bridge stp_state 1 forward_delay "
                    "400 hello_time 200\n" if verb == "set" else
                    "link set br0 up\n")
            for i in range(n):
                f.write("link set t%d address fe:54:00:00:%02x:%02x master "
                        "br0 up\n" % (i, i >> 8, i & 255))
        if verb == "delete":
            for i in range(n):
                f.write("link del t%d\n" % i)
            f.write("link del br0\n")
    return path


def made(n, text=None):
    p = Place(text or config(n))
    p.apply("up")
    return p


def with_place(make, act):
    def once():
        p = make()
        try:
            return act(p)
        finally:
            p.close()
    return once


def ifupdown2(p, verb):
    """With the place's own files where ifupdown2 wants them."""
    return p.run(["unshare", "--mount", "sh", "-ec", """
        mount -t sysfs sysfs /sys
        mkdir -p /run/network /var/tmp/network
        mount --bind %s/run /run/network
        mount --bind %s/run /var/tmp/network
        mount --bind %s/etc/interfaces /etc/network/interfaces
        exec %s""" % (p.root, p.root, p.root, verb)])


def interfaces(p, n):
    with open(p.root + "/etc/interfaces", "w") as f:
        f.write("auto br0\niface br0\n  hwaddress 52:54:ff:00:00:01\n"
                "  bridge-stp on\n  bridge-fd 4\n  bridge-hello 2\n"
                "  bridge-ports %s\n" % " ".join(
                    "t%d" % i for i in range(n)))
        for i in range(n):
            f.write("auto t%d\niface t%d\n  pre-up ip tuntap add dev t%d "
                    "mode tap user 1 || true\n"
                    "  hwaddress fe:54:00:00:%02x:%02x\n" % (
                        i, i, i, i >> 8, i & 255))


def with_interfaces(n, started):
    def make():
        p = Place()
        interfaces(p, n)
        if started:
            ifupdown2(p, "ifup -a")
        return p
    return make


def has_ifupdown2(n):
    return FULL and n <= 100 and shutil.which("ifreload") and \
        os.path.exists("/etc/network/interfaces")


def job_create(n):
    def shell(p):
        lines = [l.replace("\n", "") for l in open(batch(n))]
        return p.run(["sh", "-ec", "\n".join("ip " + l for l in lines)])

    out = {
        "floor": with_place(Place, lambda p: p.run([FLOOR, "create",
                                                    str(n)])),
        "netbr": with_place(lambda: Place(config(n)),
                            lambda p: p.apply("up")),
        "netbr, filtered": with_place(
            lambda: Place(config(n, "nftables", True)),
            lambda p: p.apply("up")),
        "ip -batch": with_place(Place, lambda p: p.run(
            ["ip", "-batch", batch(n)])),
    }
    if n <= 100 and FULL:
        out["sh + ip"] = with_place(Place, shell)
    if has_ifupdown2(n):
        out["ifupdown2"] = with_place(with_interfaces(n, False),
                                      lambda p: ifupdown2(p, "ifup -a"))
    return out


def job_converged(n):
    out = {
        "floor": with_place(lambda: made(n), lambda p: p.run([FLOOR,
                                                              "dump"])),
        "netbr": with_place(lambda: made(n), lambda p: p.apply("up")),
        "netbr, filtered": with_place(
            lambda: made(n, config(n, "nftables", True)),
            lambda p: p.apply("up")),
        "ip -batch": with_place(lambda: made(n), lambda p: p.run(
            ["ip", "-batch", batch(n, "set")])),
    }
    if has_ifupdown2(n):
        out["ifupdown2"] = with_place(with_interfaces(n, True),
                                      lambda p: ifupdown2(p, "ifreload -a"))
    return out


def job_add(n):
    def netbr(p):
        p.conf(config(n + 1))
        return p.apply("up")

    def peer(p):
        interfaces(p, n + 1)
        return ifupdown2(p, "ifreload -a")

    out = {
        "floor": with_place(lambda: made(n), lambda p: p.run(
            [FLOOR, "add", str(n)])),
        "netbr": with_place(lambda: made(n), netbr),
    }
    if has_ifupdown2(n):
        out["ifupdown2"] = with_place(with_interfaces(n, True), peer)
    return out


def job_down(n):
    out = {
        "floor": with_place(lambda: made(n), lambda p: p.run(
            [FLOOR, "down", str(n)])),
        "netbr": with_place(lambda: made(n), lambda p: p.apply("down")),
    }
    if n <= 100 or FULL:
        out["ip -batch"] = with_place(lambda: made(n), lambda p: p.run(
            ["ip", "-batch", batch(n, "delete")]))
    return out


def job_hold(n):
    """The longest that the RTNL lock was held while all taps went: what
    somebody else who wants it waits."""
    def watched(act):
        def once(p):
            waits, done = [0.0], threading.Event()

            def watch():
                s = socket.socket()
                request = struct.pack("16sh14x", b"lo", 0x49)
                while not done.is_set():
                    t = time.perf_counter()
                    fcntl.ioctl(s, 0x8914, request)
                    waits.append((time.perf_counter() - t) * 1e3)
                    time.sleep(1e-3)
                s.close()

            t = threading.Thread(target=watch)
            t.start()
            act(p)
            done.set()
            t.join()
            return max(waits)
        return with_place(lambda: made(n), once)

    return {
        "floor": watched(lambda p: p.run([FLOOR, "down", str(n)])),
        "netbr": watched(lambda p: p.apply("down")),
        "one group": watched(lambda p: p.run([FLOOR, "clear"])),
    }


def job_start(_):
    return {
        "floor": with_place(lambda: made(0), lambda p: p.run(
            ["ip", "link"])),
        "netbr": with_place(lambda: made(0), lambda p: p.apply("plan")),
    }


def job_gen(n):
    def netplan(p):
        d = p.root + "/etc/netplan"
        os.makedirs(d)
        with open(d + "/a.yaml", "w") as f:
            f.write("network:\n  version: 2\n  bridges:\n" + "".join(
                "    b%d:\n      addresses: [10.%d.%d.1/24]\n" % (
                    i, i >> 8, i & 255) for i in range(n)))
        os.chmod(f.name, 0o600)
        return p.run(["netplan", "generate", "--root-dir", p.root])

    text = config(n, "nftables", True)
    out = {
        "floor": with_place(lambda: Place(text), lambda p: p.run(
            [FLOOR, "parse", p.root + "/etc/vmnet.conf"])),
        "netbr": with_place(lambda: Place(text), lambda p: p.run(
            [GEN, "-q", "-r", p.root, "write"])),
        "netbr, check": with_place(lambda: Place(text), lambda p: p.run(
            [GEN, "-q", "-r", p.root, "check"])),
        "netbr, all rules": with_place(
            lambda: Place(text.replace("= nftables", "= auto", 1)),
            lambda p: p.run([GEN, "-q", "-r", p.root, "write"])),
    }
    if shutil.which("netplan"):
        out["netplan"] = with_place(Place, netplan)
    return out


SET = "element bridge netbr-br0 "
OLD, NEW = "10.0.1.1", "10.9.9.9"


def element(n, before, after, commands):
    def netbr(p):
        p.conf(after(config(n, "nftables", True)))
        return p.apply("up")

    def floor(p):
        path = p.root + "/commands"
        with open(path, "w") as f:
            f.write(commands)
        return p.run(["nft", "-f", path])

    make = lambda: made(n, before(config(n, "nftables", True)))
    return {"floor": with_place(make, floor), "netbr": with_place(make, netbr)}


def job_address(n):
    """A guest gets an address: nft's part of it is three elements."""
    return element(n, lambda t: t.replace("ip = %s " % OLD, ""),
                   lambda t: t,
                   "add %sstrict4 { \"t0\" }\n"
                   "add %ssources4 { \"t0\" . 52:54:00:00:00:00 . %s }\n"
                   "add %sowned4 { %s }\n" % (SET, SET, OLD, SET, OLD))


def job_other_address(n):
    """A guest gets another address: two elements go, and two come."""
    pair = "%ssources4 { \"t0\" . 52:54:00:00:00:00 . %s }\n"
    return element(n, lambda t: t,
                   lambda t: t.replace(OLD + " ", NEW + " "),
                   "delete " + pair % (SET, OLD) +
                   "delete %sowned4 { %s }\n" % (SET, OLD) +
                   "add " + pair % (SET, NEW) +
                   "add %sowned4 { %s }\n" % (SET, NEW))


def job_reload(n):
    """Somebody has flushed everything."""
    text = config(n, "nftables", True)

    def rules(p):
        path = p.root + "/rules"
        with open(path, "w") as f:
            subprocess.run([GEN, "-r", p.root, "show", "nftables"], stdout=f,
                           check=True)
        p.run(["nft", "flush", "ruleset"])
        return path

    def netbr(p):
        p.run(["nft", "flush", "ruleset"])
        return p.apply("up")

    return {
        "floor": with_place(lambda: made(n, text), lambda p: p.run(
            ["nft", "-f", rules(p)])),
        "netbr": with_place(lambda: made(n, text), netbr),
    }


class Wire(Place):
    """A bridge with an uplink to a namespace that hears, and N guests; from
    1001 on further bridges, since one takes 1023 ports."""

    def __init__(self, n, more, guests):
        Place.__init__(self)
        self.far = self.ns + "f"
        sh("ip netns add " + self.far)
        sh("""ip link add eth0 type veth peer name eth0 netns %s
              ip link set eth0 up; ip -n %s link set eth0 up
              ip link set lo up
              """ % (self.far, self.far), self.ns)
        # what others hang into the bridge's way is not measured
        try:
            sh("sysctl -w net.bridge.bridge-nf-call-iptables=0", self.ns)
        except subprocess.CalledProcessError:
            pass
        d = self.root + "/sys/class/net/eth0"
        os.makedirs(d)
        with open(d + "/address", "w") as f:
            f.write("02:00:00:00:00:02\n")
        sh("ip link set eth0 address 02:00:00:00:00:02", self.ns)
        text = more + "bridge br0 { uplink = eth0 }\n"
        for b in range(1, 1 if guests else (n + 999) // 1000):
            text += "bridge br%d { mode = isolated }\n" % b
        self.conf(text + "".join(
            "guest g%d { bridge = br%d %s mac = 52:54:00:00:%02x:%02x "
            "ip = 10.0.%d.%d }\n" % (
                i, 0 if guests else i // 1000, guests or "tap = t%d" % i,
                i >> 8, i & 255, 1 + i // 250, 1 + i % 250)
            for i in range(n)))
        self.apply("up")
        sh("bridge fdb add 02:00:00:00:00:09 dev eth0 master static", self.ns)

    def blast(self, i, tap):
        """CPU of one frame of a guest's, from its tap until it is heard."""
        out = subprocess.run(
            [FLOOR, "blast", tap, "30000", "020000000009",
             "52540000%02x%02x" % (i >> 8, i & 255), "0a00%02x%02x" % (
                 1 + i // 250, 1 + i % 250)], check=True,
            stdout=subprocess.PIPE, preexec_fn=self.enter).stdout
        return float(out) / 1e3

    def close(self):
        Place.close(self)
        sh("ip netns del " + self.far)


def job_filter(n):
    """The last guest of the first bridge."""
    def act(firewall):
        i = min(n, 1000) - 1
        return with_place(lambda: Wire(n, "firewall = %s\n" % firewall, ""),
                          lambda p: p.blast(i, "t%d" % i))
    return {"floor": act("none"), "netbr": act("nftables")}


def job_translate(n):
    """The last of N guests behind the uplink's one MAC address; against a
    bridge that translates nothing."""
    def make(mode):
        p = Wire(n, "firewall = nftables\n", "tap = none")
        sh("ip tuntap add dev tap0 mode tap; ip link set tap0 master br0 up",
           p.ns)
        if mode == "macnat":
            with open(p.root + "/etc/vmnet.conf") as f:
                text = f.read()
            p.conf(text.replace("uplink = eth0", "uplink = eth0 mode = macnat"))
            p.apply("up")
        return p

    return {"floor": with_place(lambda: make(""),
                                lambda p: p.blast(n - 1, "tap0")),
            "netbr": with_place(lambda: make("macnat"),
                                lambda p: p.blast(n - 1, "tap0"))}


# ---- OpenRC ----------------------------------------------------------------

class Restarts:
    """restart.py, which waits for our word."""
    def __init__(self):
        self.p = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork",
             "--mount-proc", "--kill-child", "--propagation", "private",
             sys.executable, HERE + "/restart.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.names = self.p.stdout.readline().split()

    def restart(self, name):
        self.p.stdin.write(name + "\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())


def job_restart(_):
    if not shutil.which("rc-service"):
        return None
    r = Restarts()
    return {n: lambda n=n: r.restart(n) for n in r.names}


# ---- modes: what a guest's traffic costs on its way to the LAN ----------------

HOST_ADDRESS = "address = 10.8.0.2/16"
MODES = {
    "floor": ("eth0", "nftables", None),        # a plain bridge, by hand
    "bridged": ("eth0", "nftables", "mode = bridged " + HOST_ADDRESS),
    "macnat, port": ("eth0", "nftables", "mode = macnat " + HOST_ADDRESS),
    "macnat, ebtables": ("eth0", "iptables", "mode = macnat " + HOST_ADDRESS),
    "macnat, veth": ("wlan0", "nftables", "mode = macnat " + HOST_ADDRESS),
    "macnat, host = uplink": ("wlan0", "nftables",
                              "mode = macnat host = uplink"),
    "proxyarp": ("eth0", "nftables", "mode = proxyarp"),
    "routed": ("eth0", "nftables", "mode = routed address = 10.7.0.1/16"),
}
# on a bridge over the cable, as a stand-in for a station: so is its floor
STATION = "ip link add wlan0 type bridge && ip link set wlan0 address " \
    "02:00:00:00:00:02 && ip link set eth0 master wlan0 && " \
    "ip link set wlan0 up"
MAC = "52:54:00:00:00:01"
TCP = """
import socket, sys, time
if sys.argv[1] == "serve":
    s = socket.create_server(("0.0.0.0", 9000))
    print("ready", flush=True)
    c, _ = s.accept()
    while c.recv(1 << 20): pass
else:
    s = socket.create_connection((sys.argv[1], 9000))
    data = bytes(1 << 20)
    t = time.perf_counter()
    for _ in range(int(sys.argv[2])): s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
    print((time.perf_counter() - t) * 1e3)
"""


class Lan(Place):
    """A LAN host, this host with an uplink in a mode, and a guest."""

    def __init__(self, uplink, firewall, mode):
        Place.__init__(self)
        self.lan, self.guest = self.ns + "l", self.ns + "g"
        guest_addr = "10.7.0.9" if mode and "routed" in mode else "10.8.0.9"
        for n in (self.lan, self.guest):
            sh("ip netns add " + n)
        sh("""ip link add eth0 address 02:00:00:00:00:02 type veth peer name \
                  eth0 netns %s
              ip link add g type veth peer name eth0 address %s netns %s
              ip link set eth0 up; ip link set g up
              ip -n %s addr add 10.8.0.1/16 dev eth0; ip -n %s link set eth0 up
              ip -n %s addr add %s/16 dev eth0; ip -n %s link set eth0 up
              ip link set lo up
              sysctl -qw net.ipv4.conf.all.rp_filter=0 || true
              """ % (self.lan, MAC, self.guest, self.lan, self.lan,
                     self.guest, guest_addr, self.guest), self.ns)
        if uplink == "wlan0":
            sh(STATION, self.ns)
        if not mode:
            sh("""ip link add br0 type bridge; ip link set br0 up
                  ip link set eth0 master br0; ip link set g master br0
                  """, self.ns)
            return
        sh("ip addr add 10.8.0.2/16 dev " + uplink, self.ns)
        d = self.root + "/sys/class/net/" + uplink
        os.makedirs(d + "/bridge" if uplink == "wlan0" else d)
        with open(d + "/address", "w") as f:
            f.write("02:00:00:00:00:02\n")
        self.conf("firewall = %s\nbridge br0 { %s uplink = %s }\n"
                  "guest a { tap = none mac = %s ip = %s }\n" % (
                      firewall, mode, uplink, MAC, guest_addr))
        self.apply("up")
        sh("ip link set g master br0", self.ns)
        if "routed" in mode:
            sh("ip route add default via 10.7.0.1", self.guest)
        sh("ping -c 2 -W 2 10.8.0.1", self.guest)

    def tcp(self):
        """Milliseconds for 256 MiB from the guest to the LAN."""
        inside = lambda ns: ["ip", "netns", "exec", ns, sys.executable, "-c",
                             TCP]
        server = subprocess.Popen(inside(self.lan) + ["serve"],
                                  stdout=subprocess.PIPE)
        server.stdout.readline()
        out = subprocess.run(inside(self.guest) + ["10.8.0.1", "256"],
                             check=True, stdout=subprocess.PIPE).stdout
        server.wait()
        return float(out)

    def rtt(self):
        """Microseconds of a round trip, of many without a pause."""
        out = subprocess.run(["ip", "netns", "exec", self.guest, "ping", "-fqc",
                              "5000", "10.8.0.1"], check=True,
                             stdout=subprocess.PIPE).stdout.decode()
        return 1e3 * float(re.search(r"= [\d.]+/([\d.]+)/", out).group(1))

    def close(self):
        for n in (self.lan, self.guest):
            sh("ip netns del " + n)
        Place.close(self)


def job_mode(what):
    def once(args):
        def act():
            p = Lan(*args)
            try:
                return what(p)
            finally:
                p.close()
        return act

    return lambda n: {name: once(args) for name, args in MODES.items()}


# job, sizes (and those of --full), gates: {contestant: ratio to it}, or
# {"above": ms above the floor}, or {"at most": ms}
JOBS = [
    ("create", job_create, (100, 1000), (), {"floor": 1.25,
                                             "ip -batch": 1.0}),
    ("converged", job_converged, (100, 1000), (), {
        "floor": 1.7, "ip -batch": {1000: 0.2}}),
    ("add one", job_add, (100, 1000), (), {"floor": 1.4}),
    ("down", job_down, (100,), (1000,), {
        "floor": {100: 1.3, 1000: 1.7}, "ip -batch": 1 / 15}),
    ("longest hold of the lock, down", job_hold, (1000,), (),
     {"at most": 100}),
    ("start-up", job_start, (0,), (), {"above": 3}),
    ("restart", job_restart, (10,), (), {"above": 50, "netifrc": 1 / 8}),
    ("generate", job_gen, (1000,), (), {"floor": 2.0, "netplan": 0.2}),
    ("a guest's address comes", job_address, (100, 1000), (),
     {"floor": 2.0}),
    ("a guest's address changes", job_other_address, (100, 1000), (),
     {"floor": 2.0}),
    ("reload rules", job_reload, (1000,), (), {"floor": 1.3}),
    ("filter, per frame", job_filter, (1, 100, 1000), (5000,),
     {"floor": 1.3, "flat": (0.9, 1.1)}),
    ("translation, per frame", job_translate, (1, 1000), (100, 5000),
     {"floor": 1.3, "flat": (0.9, 1.1)}),
    ("mode, 256 MiB of TCP", job_mode(Lan.tcp), (), (1,), {}),
    ("mode, round trip", job_mode(Lan.rtt), (), (1,), {}),
]
FULL = False


def measure(contestants, rounds):
    times = {c: [] for c in contestants}
    for _ in range(rounds):
        for c, once in contestants.items():
            times[c].append(once())
    return {c: statistics.median(t) for c, t in times.items()}


def unit(name):
    return "µs" if "frame" in name or "trip" in name else "ms"


def judge(gates, m, n):
    """What the gates say of netbr's median: [(held, words)]."""
    out = []
    for peer, limit in gates.items():
        if isinstance(limit, dict):
            limit = limit.get(n)
        if peer == "above":
            above = m["netbr"] - m["floor"]
            out.append((above <= limit, "%.1f ms above the floor (gate %d)" % (
                above, limit)))
        elif peer == "at most":
            out.append((m["netbr"] <= limit, "%.0f ms (gate %d)" % (
                m["netbr"], limit)))
        elif peer in m and limit:
            ratio = m["netbr"] / m[peer]
            out.append((ratio <= limit, "%.3g x %s (gate %.3g)" % (
                ratio, peer, limit)))
    return out


def main():
    global FULL
    a = argparse.ArgumentParser()
    a.add_argument("--full", action="store_true")
    a.add_argument("--markdown")
    a.add_argument("--svg")
    a.add_argument("names", nargs="*")
    a = a.parse_args()
    FULL = a.full
    rows, missed = [], 0

    def say(row):
        rows.append(row)
        name, n, c, ms, ratio, note = row
        print("%-26s %5d  %-16s %9.2f %s  %6.2f x floor  %s" % (
            name, n, c, ms, unit(name), ratio, note), flush=True)

    for name, job, sizes, more, gates in JOBS:
        if a.names and not any(w in name for w in a.names):
            continue
        ours = {}
        for n in sorted(sizes + (more if FULL else ())):
            contestants = job(n)
            if not contestants:
                print("%s: not here" % name)
                continue
            m = measure(contestants, (5 if n >= 1000 else 9) if FULL else
                        (3 if n >= 1000 else 5))
            for c, ms in m.items():
                note = ""
                if c == "netbr":
                    ours[n] = ms
                    said = judge(gates, m, n)
                    missed += sum(not ok for ok, _ in said)
                    note = "; ".join(("" if ok else "MISSED: ") + words
                                     for ok, words in said)
                say((name, n, c, ms, ms / m["floor"], note))
        if "flat" in gates and len(ours) > 1:
            ratio = ours[max(ours)] / ours[min(ours)]
            low, high = gates["flat"]
            missed += not low <= ratio <= high
            print("%-26s %5s  N=%d / N=%d: %.2f (gate %.1f to %.1f)%s" % (
                name, "", max(ours), min(ours), ratio, low, high,
                "" if low <= ratio <= high else " MISSED"), flush=True)
    if a.markdown:
        markdown(a.markdown, rows)
    if a.svg:
        svg(a.svg, rows)
    print("%d gates missed" % missed)


def markdown(path, rows):
    with open(path, "w") as f:
        f.write("| job | N | who | median | x floor | gates |\n"
                "| --- | --- | --- | --- | --- | --- |\n")
        for name, n, c, ms, ratio, note in rows:
            f.write("| %s | %d | %s | %.2f %s | %.2f | %s |\n" % (
                name, n, c, ms, unit(name), ratio,
                note))


def svg(path, rows):
    """A bar for each contestant: times the floor, on a log scale."""
    bars = [r for r in rows if r[2] != "floor"]
    row, left, scale = 18, 380, 95      # pixels; a decade is `scale` wide
    place = lambda ratio: left + scale * (math.log10(max(ratio, .1)) + 1)
    with open(path, "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="820" '
                'height="%d" font-family="sans-serif" font-size="12">\n'
                '<rect width="100%%" height="100%%" fill="#fff"/>\n' % (
                    len(bars) * row + 40))
        for i, (name, n, c, _, ratio, _) in enumerate(bars):
            y, end = 24 + i * row, max(place(ratio), left + 2)
            ours = c.startswith("netbr") or name.startswith("mode")
            f.write('<text x="8" y="%d">%s, N=%d: %s</text><rect x="%d" '
                    'y="%d" width="%.0f" height="%d" fill="%s"/>'
                    '<text x="%.0f" y="%d">%.2f</text>\n' % (
                        y + 12, name, n, c, left, y, end - left, row - 4,
                        "#2a7" if ours else "#999", end + 6, y + 12, ratio))
        x = place(1)
        f.write('<line x1="%.0f" x2="%.0f" y1="20" y2="%d" stroke="#000" '
                'stroke-dasharray="3"/><text x="%.0f" y="14">the floor = 1 '
                '(log scale)</text>\n</svg>\n' % (
                    x, x, len(bars) * row + 24, x - 40))


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
