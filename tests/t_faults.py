"""Random configurations, and a system call that fails or a SIGKILL at every
point of `up`: the old state is in force, or the next up or down makes it so."""
import os
import random

from lib import *

RUNS = int(os.environ.get("NETBR_RUNS",
                          "15" if "NETBR_NESTED" in os.environ else "60"))


def random_config(r):
    """A valid configuration of up to three bridges, with what they need of
    devices: eth0 and eth1 exist."""
    uplinks = ["eth0", "eth1"]
    out, taps = [], 0
    for i in range(r.randint(1, 3)):
        name = r.choice(["br%d", "b-%d", "lan.%d"]) % i
        mode = r.choice(["bridged", "routed", "isolated", "auto"])
        keys = []
        if mode == "bridged" and not uplinks:
            mode = "isolated"
        uplink = None
        if mode == "bridged" or (mode == "auto" and uplinks and r.random() < .5):
            uplink = uplinks.pop(r.randrange(len(uplinks)))
            keys.append("uplink = " + uplink)
        nets = []
        if mode == "routed" or r.random() < .6:
            nets.append("10.%d.%d.1/24" % (10 + i, r.randrange(250)))
        if r.random() < .4:
            nets.append("fd%02x:%x::1/64" % (i, r.randrange(1, 65535)))
        routed = mode == "routed" or (mode == "auto" and not uplink and nets)
        if nets:
            keys.append("address = { %s }" % ", ".join(
                '"%s"' % n for n in nets))
        if uplink and nets and "." in nets[0] and r.random() < .5:
            keys.append("gateway = " + nets[0].replace(".1/24", ".254"))
        if r.random() < .3:
            keys += ["stp = on", "forward_delay = %d" % r.randint(2, 30)]
        elif r.random() < .4:
            keys.append("forward_delay = %d" % r.randint(0, 30))
        if r.random() < .3:
            keys.append("ageing_time = %d" % r.randint(1, 9999))
        if r.random() < .3:
            keys.append("priority = %d" % r.randrange(65536))
        if r.random() < .3:
            keys.append("mtu = %d" % r.choice([1280, 1400, 1500, 9000]))
        if r.random() < .3:
            keys.append("mac = 52:54:%02x:%02x:00:00" % (i, r.randrange(256)))
        if routed and r.random() < .3:
            keys.append("nat = off")
        if r.random() < .3:
            keys.append("isolate = on")
        if mode != "auto" or r.random() < .5:
            keys.append("mode = " + mode)
        if nets and not uplink and r.random() < .5:
            keys.append("dhcp { lease_time = 1h }")
        out.append("bridge %s {\n    %s\n}" % (name, "\n    ".join(keys)))
        for _ in range(r.randint(0, 3)):
            g = ["bridge = " + name, "tap = t%d" % taps]
            if r.random() < .7:
                g.append("mac = 52:54:00:00:%02x:%02x" % (i, taps))
                if nets and "." in nets[0] and r.random() < .5:
                    g.append("ip = " + nets[0].replace(
                        ".1/24", ".%d" % (10 + taps)))
            if r.random() < .2:
                g.append("owner = daemon")
            if r.random() < .2:
                g.append("isolate = on")
            if r.random() < .1:
                g.append("queues = 2")
            out.append("guest g%d {\n    %s\n}" % (taps, "\n    ".join(g)))
            taps += 1
    fw = r.choice(["auto", "auto", "iptables", "none"])
    return "firewall = %s\n%s\n" % (fw, "\n".join(out))


def test_random_configs():
    """up, up again (nothing), print parses to the same plan, down: as before."""
    seed = int(os.environ.get("NETBR_SEED", "1"))
    print("note: seed %d, %d configurations" % (seed, RUNS))
    Lan()
    Lan(addrs=("10.98.0.1/24",), dev="eth1")
    sh("""ip addr add 10.99.0.2/24 dev eth0; ip addr add fd99::2/64 dev eth0
          ip addr add 10.98.0.2/24 dev eth1; ip route add default via 10.99.0.1
          ip route add 10.77.0.0/16 via 10.98.0.1
          iptables-save >/dev/null""")
    before = snapshot()
    r = random.Random(seed)
    for i in range(RUNS):
        text = random_config(r)
        try:
            conf(text)
            up()
            p = apply("-v", "up")
            contains(p.err, " 0 changing messages")
            eq(apply("plan", check=False).out, "")
            conf(gen("-q", "print").out)
            p = apply("plan", check=False)
            eq((p.rc, p.out), (0, ""), p.err)
            down()
            same(before, snapshot())
        except AssertionError as e:
            raise AssertionError("run %d of seed %d:\n%s\n%s" % (
                i, seed, text, e))


CONFIG = """
bridge br0 {
    uplink = eth0
    address = 10.99.0.2/24
    gateway = 10.99.0.1
}
bridge br1 {
    mode = routed
    address = { 192.168.50.1/24, "fd00:50::1/64" }
    dhcp { }
}
""" + "".join("guest g%d { bridge = br%d tap = t%d mac = 52:54:00:00:00:0%d }\n"
              % (i, i % 2, i, i) for i in range(6))

# all that can change something, and all that asks
CALLS = ["sendto", "ioctl", "write", "openat", "rename", "unlink", "recvfrom",
         "clone", "pipe2", "mkdir", "ftruncate", "pwrite64", "flock", "socket",
         "wait4", "close", "fork", "vfork", "bind"]


def machine():
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0
          ip addr add fd99::2/64 dev eth0
          ip route add default via 10.99.0.1
          ip route add 10.5.0.0/16 via 10.99.0.1 metric 50
          nft add table inet theirs""")
    conf(CONFIG)
    return lan


TRACED = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")


def count(argv):
    run("strace", "-qq", "-o", "/run/trace", *argv, env=TRACED)
    n = {}
    for line in open("/run/trace"):
        m = re.match(r"(\w+)\(", line)
        if m and m.group(1) in CALLS:
            n[m.group(1)] = n.get(m.group(1), 0) + 1
    return n


def sweep(inject):
    """(call, k, result) of `up` with a fault at the k-th of each call."""
    argv = [APPLY, "-q", "up"]
    calls = count(argv)
    down()
    points = [(c, k) for c, n in sorted(calls.items())
              for k in range(1, n + 1)]
    # all of them take many minutes: NETBR_SWEEP=1; NETBR_FIRST=N: others
    step = int(os.environ.get("NETBR_SWEEP", "20"))
    if os.environ.get("NETBR_NESTED"):
        step = 40
    first = int(os.environ.get("NETBR_FIRST", "0")) % step
    print("note: points %d, %d, ... of %d" % (first, first + step,
                                              len(points)))
    for call, k in points[first::step]:
        p = run("strace", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
                "-e", "inject=%s:%s:when=%d" % (call, inject, k), *argv,
                check=False, env=TRACED)
        yield call, k, p


def test_failing_call_at_every_point():
    """ENOBUFS at every system call of up that can fail: rc 0 and the new
    state, or the old state and rc 1."""
    machine()
    before = snapshot()
    points = new = 0
    for call, k, p in sweep("error=ENOBUFS"):
        what = "%s %d: rc %d\n%s" % (call, k, p.rc, p.err)
        points += 1
        if p.rc == 0:
            eq(apply("plan", check=False).out, "", what)
            new += 1
            down()
            try:
                same(before, snapshot())
            except AssertionError as e:
                raise AssertionError(what + str(e))
            continue
        try:
            assert p.rc in (1, 78, 127), p.rc
            same(before, snapshot())
        except AssertionError as e:
            raise AssertionError(what + str(e))
    print("note: %d failing calls, %d of them without effect" % (points, new))


def test_sigkill_at_every_point():
    """SIGKILL at every system call of up: the guard undoes, or the next up
    completes; down then leaves everything as it was."""
    machine()
    before = snapshot()
    points = 0
    for call, k, p in sweep("signal=KILL"):
        what = "%s %d: rc %d\n%s" % (call, k, p.rc, p.err)
        try:
            if points % 2:
                up()
                eq(apply("plan", check=False).out, "")
            down()
            same(before, snapshot())
        except AssertionError as e:
            raise AssertionError(what + str(e))
        points += 1
    print("note: killed at %d points" % points)


for t in (test_random_configs, test_failing_call_at_every_point,
          test_sigkill_at_every_point):
    t.timeout = 600
