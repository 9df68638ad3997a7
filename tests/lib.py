"""What the tests share: a machine of their own, LANs, guests, a loss meter."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
SRC = os.environ.get("NETBR_BIN", os.path.join(TOP, "src"))
GEN = os.path.join(SRC, "netbr-gen")
APPLY = os.path.join(SRC, "netbr-apply")


class Skip(Exception):
    pass


def plain(func):
    """Marks a test that needs neither root nor namespaces."""
    func.plain = True
    return func


def run(*argv, check=True, input=None, timeout=120, ns=None, env=None):
    """Runs a program; returns it with .out, .err and .rc."""
    argv = [str(a) for a in argv]
    if ns:
        argv = ["ip", "netns", "exec", ns] + argv
    p = subprocess.run(argv, input=input.encode() if input is not None
                       else None, stdin=None if input is not None
                       else subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=timeout, env=env)
    p.out = p.stdout.decode(errors="replace")
    p.err = p.stderr.decode(errors="replace")
    p.rc = p.returncode
    if check and p.rc != 0:
        raise AssertionError("%s: rc %d\n%s%s" % (" ".join(argv), p.rc, p.out,
                                                  p.err))
    return p


def sh(text, check=True, ns=None, timeout=120):
    return run("sh", "-ec", text, check=check, ns=ns, timeout=timeout)


def ip(*args, ns=None, check=True):
    return run("ip", *args, ns=ns, check=check)


def eq(have, want, what=""):
    if isinstance(have, dict) and isinstance(want, dict):
        for k in set(have) | set(want):
            if have.get(k) != want.get(k):
                raise AssertionError("%s: %s: have %.400r, want %.400r" % (
                    what, k, have.get(k), want.get(k)))
    elif have != want:
        raise AssertionError("%s: have %r, want %r" % (what, have, want))


def contains(text, part):
    if part not in text:
        raise AssertionError("%r is not in:\n%s" % (part, text))


def wait_for(what, cond, timeout=20, step=0.05):
    end = time.time() + timeout
    while time.time() < end:
        v = cond()
        if v:
            return v
        time.sleep(step)
    raise AssertionError("waited %d s in vain for %s" % (timeout, what))


# ---- the machine ----------------------------------------------------------

def private_copy(path, work):
    """Whatever is changed below path from now on is gone with us."""
    os.makedirs(work + "/upper")
    os.makedirs(work + "/work")
    p = run("mount", "-t", "overlay", "overlay", "-o",
            "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" %
            (path, work, work), path, check=False)
    if p.rc:
        shutil.copytree(path, work + "/copy", symlinks=True)
        run("mount", "--bind", work + "/copy", path)


def make_machine():
    """In fresh namespaces: own /sys, /run, /var/lib/netbr and a private /etc."""
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.makedirs("/run/netns")
    for i, d in enumerate(("/etc", "/var/lib")):
        private_copy(d, "/run/t%d" % i)
    os.makedirs("/var/lib/netbr", exist_ok=True)
    for f in ("/etc/vmnet.conf", "/etc/conf.d/net"):
        if os.path.exists(f):
            os.unlink(f)
    ip("link", "set", "lo", "up")


def conf(text, path="/etc/vmnet.conf"):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)


def gen(*args, check=True, **kw):
    return run(GEN, *args, check=check, **kw)


def apply(*args, check=True, **kw):
    return run(APPLY, *args, check=check, **kw)


def up(*args, **kw):
    return apply("-q", "up", *args, **kw)


def down(*args, **kw):
    return apply("-q", "down", *args, **kw)


def in_sync():
    """A second up would change nothing."""
    p = apply("plan", check=False)
    if p.rc != 0:
        raise AssertionError("plan is not empty:\n%s%s" % (p.out, p.err))
    p = apply("-v", "up")
    contains(p.err, " 0 changing messages, 0 programs started")


# sysctls that the kernel itself changes, or that have a random value
NOISE = re.compile(r"stable_secret|/neigh/|random|nf_conntrack_count|"
                   r"netfilter/nf_log|fib_sync_mem|ping_group|tcp_")


MARK = "--- %s ---"


def _links(text):
    for l in sorted(json.loads(text), key=lambda l: l["ifname"]):
        for k in ("ifindex", "stats", "stats64", "operstate", "link_index"):
            l.pop(k, None)
        if "UP" not in l["flags"]:
            l.pop("qdisc", None)
        l["flags"] = [f for f in l["flags"]
                      if f not in ("LOWER_UP", "NO-CARRIER")]
        info = l.get("linkinfo", {})
        d = info.get("info_data", {})
        for k in [k for k in d if "timer" in k]:
            d.pop(k)
        d = info.get("info_slave_data", {})
        for k in [k for k in d if "timer" in k or k in (
                "no", "port_no", "id", "designated_port", "state")]:
            d.pop(k)
        yield "link " + json.dumps(l, sort_keys=True)


def _addrs(text):
    for l in sorted(json.loads(text), key=lambda l: l["ifname"]):
        for a in l["addr_info"]:
            for k in ("valid_life_time", "preferred_life_time"):
                a.pop(k, None)
            yield "addr %s %s" % (l["ifname"], json.dumps(a, sort_keys=True))


def _sysctls():
    for root, _, files in os.walk("/proc/sys/net"):
        for f in files:
            p = os.path.join(root, f)
            if NOISE.search(p):
                continue
            try:
                with open(p) as fh:
                    yield p + " = " + fh.read().strip()
            except OSError:
                pass


def snapshot(ns=None):
    """Links, addresses, routes, rules, sysctls of the namespace, as text."""
    if not ns:
        settle()
    out = sh(r"""
    ip -j -d link; echo '--- addr ---'
    ip -j addr; echo '--- rest ---'
    { ip -4 route show table all; ip -6 route show table all; } |
        sed "s/linkdown//; s/expires [0-9]*sec//; s/  */ /g; s/ $//" | sort
    ip rule; ip -6 rule
    nft list ruleset | sed "s/packets [0-9]* bytes [0-9]*//"
    iptables-save 2>/dev/null | grep -v "^#" | sed "s/\[[0-9:]*\]//"
    """, ns=ns).out
    links, rest = out.split(MARK % "addr")
    addrs, rest = rest.split(MARK % "rest")
    return "\n".join(list(_links(links)) + list(_addrs(addrs)) + [rest] +
                     sorted(_sysctls())) + "\n"


def steady():
    """A snapshot when the kernel has done what it does later by itself
    (link-local addresses, carriers)."""
    before = snapshot()
    for _ in range(20):
        time.sleep(0.3)
        now = snapshot()
        if now == before:
            break
        before = now
    return before


def same(before, after):
    if before != after:
        import difflib
        raise AssertionError("not as before:\n" + "\n".join(
            difflib.unified_diff(before.splitlines(), after.splitlines(),
                                 lineterm="", n=0)))


def settle():
    """Waits until no address is tentative and carriers are known."""
    wait_for("addresses to settle", lambda: "tentative" not in
             ip("-6", "addr").out, 5)


# ---- hosts on the other side ----------------------------------------------

_ns = 0


def namespace():
    global _ns
    _ns += 1
    name = "n%d" % _ns
    ip("netns", "add", name)
    ip("link", "set", "lo", "up", ns=name)
    sh("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad", ns=name)
    return name


def veth(name, ns, peer, addrs=(), mac=None):
    """A cable from `name` here to `peer` in a namespace; both up."""
    ip("link", "add", name, "type", "veth", "peer", "name", peer, "netns", ns)
    if mac:
        ip("link", "set", peer, "address", mac, ns=ns)
    ip("link", "set", name, "up")
    ip("link", "set", peer, "up", ns=ns)
    for a in addrs:
        ip("addr", "add", a, "dev", peer, ns=ns)


class Lan:
    """A LAN host `lan` (router, DHCP server) on the other end of eth0."""

    def __init__(self, addrs=("10.99.0.1/24", "fd99::1/64"), dev="eth0"):
        self.ns = namespace()
        veth(dev, self.ns, "lan0", addrs)
        self.dev = dev

    def ping(self, ip_addr, count=1, timeout=2):
        return ping(ip_addr, count, timeout, ns=self.ns)


def ping(addr, count=1, timeout=2, ns=None):
    """Do `count` pings get their answers?"""
    p = run("ping", "-c", count, "-i", "0.05", "-W", timeout, "-q", addr,
            ns=ns, check=False)
    return " 0% packet loss" in p.out


def must_ping(addr, ns=None, timeout=10):
    wait_for("a ping answer of " + addr,
             lambda: ping(addr, ns=ns, timeout=1), timeout)


class Meter:
    """Pings at 10 ms until stopped. stop() is how many had no answer, .when
    when those were sent (as time.time()), .sent how many there were."""
    GRACE = 0.5     # s that the last pings' answers are waited for

    def __init__(self, addr, ns=None, interval="0.01"):
        argv = ["ping", "-D", "-i", interval, addr]
        if ns:
            argv = ["ip", "netns", "exec", ns] + argv
        self.addr = addr
        self.interval = float(interval)
        self.out = tempfile.TemporaryFile("w+")   # a pipe would fill up
        self.p = subprocess.Popen(argv, stdout=self.out,
                                  stderr=subprocess.STDOUT)
        wait_for("the first answer of " + addr, lambda: os.pread(
            self.out.fileno(), 4096, 0).count(b"icmp_seq="), 5)

    def stop(self, ended=None):
        """What was sent after `ended` (now) does not count: its answer may
        still be on its way when ping stops."""
        ended = ended or time.time()
        time.sleep(max(0, ended + self.GRACE - time.time()))
        self.p.send_signal(signal.SIGINT)
        self.p.wait()
        self.out.seek(0)
        out = self.out.read()
        m = re.search(r"(\d+) packets transmitted", out)
        assert m, out
        self.sent = int(m.group(1))
        got = {int(n): float(at) - float(rtt) / 1000 for at, n, rtt in
               re.findall(r"\[([\d.]+)\].*icmp_seq=(\d+) ttl.*time=([\d.]+)",
                          out)}
        self.when = []
        last, at = 1, 0
        for n in range(1, self.sent + 1):
            if n in got:
                last, at = n, got[n]
            elif at + (n - last) * self.interval < ended:
                self.when.append(at + (n - last) * self.interval)
        return len(self.when)


class Lost(AssertionError):
    """.worst: the most packets that one meter lost."""


def no_loss(meters, act, allowed=0):
    """Runs act() under the meters; no more than allowed may be lost."""
    meters = [Meter(*m) if isinstance(m, tuple) else m for m in meters]
    began = time.time()
    try:
        act()
    finally:
        ended = time.time()
        bad = [(m.addr, m.stop(ended), m.sent,
                ["at %.2f s" % (t - began) for t in m.when])
               for m in meters]
    bad = [l for l in bad if l[1] > allowed]
    if bad:
        e = Lost("lost packets in %.2f s: %r" % (ended - began, bad))
        e.worst = max(l[1] for l in bad)
        raise e
    return sum(m.sent for m in meters)


def no_loss_moving(meters, act):
    """no_loss() for an act that can be repeated and in which a port joins
    and leaves. The kernel drops what arrives in the microseconds between its
    registering a port and enabling it (br_if.c; the tracepoint kfree_skb names
    them BRIDGE_INGRESS_STP_STATE), whoever asks for it: a round that hit them,
    with one packet of a meter, is played again."""
    for last in (False, False, True):
        try:
            return no_loss(meters, act)
        except Lost as e:
            if last or e.worst > 1:
                raise
            print("note: the kernel's own window was hit; once more")


# ---- guests ---------------------------------------------------------------

def veth_guest(bridge, name, mac, addrs=(), gw=None):
    """A guest as a namespace, its host side a foreign port of the bridge."""
    ns = namespace()
    veth(name, ns, "eth0", addrs, mac)
    ip("link", "set", name, "master", bridge)
    if gw:
        ip("route", "add", "default", "via", gw, ns=ns)
    return ns


class TapGuest:
    """A process that holds a tap and behaves as a small host: a child with
    tests/tapguest.py, which bridges the tap to a namespace's stack."""

    def __init__(self, tap, mac, addrs=(), gw=None):
        self.ns = namespace()
        self.p = subprocess.Popen(
            ["ip", "netns", "exec", self.ns, sys.executable,
             os.path.join(HERE, "tapguest.py"), tap, mac],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[tap_open(tap, self)])
        assert self.p.stdout.readline() == b"ready\n"
        os.close(self.fd)
        ip("link", "set", "eth0", "up", ns=self.ns)
        for a in addrs:
            ip("addr", "add", a, "dev", "eth0", ns=self.ns)
        if gw:
            ip("route", "add", "default", "via", gw, ns=self.ns)

    def stop(self):
        self.p.stdin.close()
        self.p.wait()


TUNSETIFF = 0x400454ca


def tap_open(tap, guest):
    import fcntl
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", tap.encode(),
                                           0x0002 | 0x1000))
    guest.fd = fd
    os.environ["TAPFD"] = str(fd)
    return fd


# ---- QEMU -----------------------------------------------------------------

class Qemu:
    """A real QEMU guest without a disk: its firmware's iPXE asks for DHCP."""

    def __init__(self, guest):
        args = gen("qemu", guest).out.split()
        self.p = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "pc,accel=tcg", "-m", "64",
             "-display", "none", "-serial", "file:/run/qemu.serial",
             "-monitor", "none", "-nodefaults", "-boot", "n"] + args,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open("/run/qemu.err", "w"))

    def stop(self):
        self.p.kill()
        self.p.wait()


# ---- OpenRC ---------------------------------------------------------------

def openrc(*bridges):
    """A private OpenRC: our service script, links for bridges, softlevel."""
    for d in ("/etc/init.d", "/etc/conf.d", "/etc/runlevels"):
        os.makedirs(d, exist_ok=True)
    for d in ("/etc/init.d", "/etc/conf.d"):
        run("mount", "-t", "tmpfs", "tmpfs", d)
    for level in ("sysinit", "boot", "default", "shutdown", "nonetwork"):
        os.makedirs("/etc/runlevels/" + level, exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/etc/runlevels")
    for level in ("sysinit", "boot", "default"):
        os.makedirs("/etc/runlevels/" + level, exist_ok=True)
    shutil.copy(os.path.join(TOP, "init.d/netbr"), "/etc/init.d/netbr")
    shutil.copy(os.path.join(TOP, "conf.d/netbr"), "/etc/conf.d/netbr")
    for b in bridges:
        os.symlink("netbr", "/etc/init.d/net." + b)
        with open("/etc/conf.d/net." + b, "w") as f:
            f.write('netbr_gen="%s"\nnetbr_apply="%s"\n'
                    'netbr_dhcp_script="%s/init.d/dhcp-script"\n' %
                    (GEN, APPLY, TOP))
    with open("/etc/rc.conf", "w") as f:
        f.write('rc_cgroup_mode="none"\nrc_parallel="NO"\n')
    run("rc-status", check=False)
    open("/run/openrc/softlevel", "w").write("default\n")


def service(name, verb, check=True):
    return run("rc-service", name, verb, check=check)
