"""Random configurations, and a system call that fails or a SIGKILL at every
point of `up`: the old state is in force, or the next up or down makes it so.
Also: things that come, go or hang in the middle."""
import os
import random

from lib import *

NESTED = "NETBR_NESTED" in os.environ
RUNS = int(os.environ.get("NETBR_RUNS", "16" if NESTED else "500"))
PARTS = 2       # of the long ones; they run side by side


def quick():
    """No address has to wait for duplicates: hundreds of runs would."""
    sh("sysctl -qw net.ipv6.conf.all.accept_dad=0 "
       "net.ipv6.conf.default.accept_dad=0")


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
        if r.random() < .1:
            keys.append("coexist = { docker }")
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
                    if routed and r.random() < .5:
                        g.append('forward = { "%d:22", "%d:53/udp" }' % (
                            2000 + taps, 3000 + taps))
            if r.random() < .1:
                g.append("filter = off")
            if r.random() < .2:
                g.append("rate_in = %dkbit" % r.randint(64, 10 ** 6))
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


def random_configs(part):
    """up, up again (nothing), print parses to the same plan, down: as before."""
    seed = int(os.environ.get("NETBR_SEED", "1"))
    quick()
    Lan()
    Lan(addrs=("10.98.0.1/24",), dev="eth1")
    sh("""ip addr add 10.99.0.2/24 dev eth0; ip addr add fd99::2/64 dev eth0
          ip addr add 10.98.0.2/24 dev eth1; ip route add default via 10.99.0.1
          ip route add 10.77.0.0/16 via 10.98.0.1
          iptables-save >/dev/null""")
    before = snapshot()
    r = random.Random(seed)
    n = 0
    for i in range(RUNS):
        text = random_config(r)
        if i % PARTS != part:
            continue
        n += 1
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
    print("note: %d of %d configurations, seed %d" % (n, RUNS, seed))


CONFIG = """
bridge br0 {
    uplink = eth0
    address = 10.99.0.2/24
    gateway = 10.99.0.1
    stp = on
}
bridge br1 {
    mode = routed
    address = { 192.168.50.1/24, "fd00:50::1/64" }
    dhcp { range = { 192.168.50.100, 192.168.50.199 } }
}
""" + "".join("guest g%d { bridge = br%d tap = t%d mac = 52:54:00:00:00:0%d }\n"
              % (i, i % 2, i, i) for i in range(6))

# All that can change something. What only asks is in the list of those that
# fail, but need not be among the kills: nothing happens between two changes.
CHANGING = ["sendto", "ioctl", "write", "openat", "rename", "unlink", "mkdir",
            "clone", "ftruncate", "pwrite64", "kill", "socketpair"]
ASKING = ["recvfrom", "pipe2", "flock", "socket", "wait4", "bind", "poll",
          "getdents64"]
ERRNO = {"openat": "ENOSPC", "write": "ENOSPC", "rename": "EROFS",
         "mkdir": "EROFS", "unlink": "EROFS", "ftruncate": "ENOSPC",
         "clone": "EAGAIN", "ioctl": "ENOMEM", "kill": "EPERM",
         "pwrite64": "ENOSPC", "getdents64": "ENOMEM"}

# what a call must look like to change anything
CHANGES = {"openat": r"O_WRONLY|O_RDWR|O_CREAT", "ioctl": r"TUNSET",
           "sendto": r"^(?!.*_GET)"}


def machine():
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0
          ip addr add fd99::2/64 dev eth0
          ip route add default via 10.99.0.1
          ip route add 10.5.0.0/16 via 10.99.0.1 metric 50
          nft add table inet theirs""")
    conf(CONFIG)
    gen("-q", "write")
    return lan


TRACED = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")


def points(calls, changing):
    """(call, k) of every such system call of one `up`."""
    run("strace", "-qq", "-o", "/run/trace", APPLY, "-q", "up", env=TRACED)
    seen, out = {}, []
    for line in open("/run/trace"):
        m = re.match(r"(\w+)\(", line)
        if not m or m.group(1) not in calls:
            continue
        call = m.group(1)
        seen[call] = seen.get(call, 0) + 1
        if not changing or re.search(CHANGES.get(call, ""), line):
            out.append((call, seen[call]))
    down()
    return out


def sweep(part, calls, changing, inject, wrap=()):
    """(call, k, result) of `up` with a fault at the k-th of each call."""
    every = points(calls, changing)
    # what only asks has many points: every sixth, NETBR_SWEEP=1 takes all
    step = int(os.environ.get("NETBR_SWEEP", "6"))
    asking = [p for p in every if p[0] in ASKING]
    every = [p for p in every if p[0] not in ASKING]
    mine = every[part::PARTS] + asking[part::PARTS * step]
    if NESTED:
        mine = mine[::20]
    t = time.time()
    for call, k in mine:
        fault = inject(call)
        p = run(*wrap, "strace", "-qq", "-o", "/dev/null", "-e",
                "trace=" + call, "-e", "inject=%s:%s:when=%d" % (
                    call, fault, k), APPLY, "-q", "up", check=False,
                env=TRACED)
        yield call, k, p
    print("note: %d of all %d points that change something%s, in %d s" % (
        len(every[part::PARTS]), len(every), ", and %d of %d that ask" % (
            len(asking[part::PARTS * step]), len(asking)) if asking else "",
        time.time() - t))


def failing_calls(part):
    """Every system call of up that can fail, fails: rc 0 and the new state,
    or the old state and rc 1; dnsmasq and files included."""
    quick()
    machine()
    before = snapshot()
    points = new = 0
    for call, k, p in sweep(part, CHANGING + ASKING, False,
                            lambda c: "error=" + ERRNO.get(c, "ENOBUFS")):
        what = "%s %d: rc %d\n%s" % (call, k, p.rc, p.err)
        points += 1
        try:
            if p.rc == 0:
                eq(apply("plan", check=False).out, "", what)
                new += 1
                down()
            else:
                assert p.rc in (1, 75, 78, 127), p.rc
                assert p.err.strip(), "failed without a word"
            same(before, snapshot())
            eq(run("pgrep", "-x", "dnsmasq", check=False).rc, 1, "dnsmasq")
        except AssertionError as e:
            raise AssertionError(what + str(e))
    print("note: %d failing calls, %d of them without effect" % (points, new))


def killed(part, wrap):
    quick()
    machine()
    before = snapshot()
    n = 0
    for call, k, p in sweep(part, CHANGING, True, lambda c: "signal=KILL",
                            wrap):
        what = "%s %d: rc %d\n%s" % (call, k, p.rc, p.err)
        try:
            if n % 2:
                up()
                eq(apply("plan", check=False).out, "")
            down()
            same(before, snapshot())
            eq(run("pgrep", "-x", "dnsmasq", check=False).rc, 1, "dnsmasq")
            eq(os.path.exists("/run/netbr/state.json"), False, "record")
        except AssertionError as e:
            raise AssertionError(what + str(e))
        n += 1


def sigkill(part):
    """SIGKILL at every changing system call of up: the guard undoes, or the
    next up completes; down then leaves everything as it was."""
    killed(part, ())


def sigkill_of_all(part):
    """The same, and the guard, dnsmasq and every helper die in the same
    moment (they are in a PID namespace that ends)."""
    # strace as the first process would wait for the orphans; a shell does not
    killed(part, ("unshare", "--pid", "--fork", "--kill-child",
                  "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh"))


def test_half_of_the_rules():
    """A run and its guard that died between nft and iptables-restore leave
    rules of one of them; with the record or without, down removes them."""
    quick()
    machine()
    for firewall, lost in (("nftables", "nft list tables | grep netbr-br1 | "
                            "sed s/^/delete\\ / | nft -f -"),
                           ("iptables", "true")):
        for forget in ("true", "rm /run/netbr/state.json"):
            before = snapshot()
            conf("firewall = %s\n%s" % (firewall, CONFIG))
            up()
            contains(run("iptables-save").out, "netbr-br1-m")
            sh(lost)
            sh(forget)
            down()
            assert "netbr-" not in run("iptables-save").out, (firewall,
                                                              forget)
            assert "netbr-" not in run("nft", "list", "ruleset").out
            if forget == "true":
                same(before, snapshot())
            sh("ip addr replace 10.99.0.2/24 dev eth0; "
               "ip addr replace fd99::2/64 dev eth0")


def test_addresses_without_their_subnets():
    """A run and its guard that died while the uplink moved leave its
    addresses there, without the routes to their subnets."""
    quick()
    machine()
    before = snapshot()
    up()
    sh("""sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0
          ip addr add 10.99.0.2/24 dev eth0; ip addr add fd99::2/64 dev eth0
          ip route del 10.99.0.0/24 dev eth0; ip route del fd99::/64 dev eth0
          """)
    down()
    same(before, snapshot())


def make(what, name, part):
    def test():
        what(part)
    test.__doc__ = what.__doc__
    test.timeout = 800
    globals()["test_%s_part_%d" % (name, part + 1)] = test


for n in range(PARTS):
    make(random_configs, "random_configs", n)
    make(failing_calls, "failing_call_at_every_point", n)
    make(sigkill, "sigkill_at_every_point", n)
    make(sigkill_of_all, "sigkill_of_all_at_every_point", n)


# ---- things that come, go or hang in the middle ----------------------------

def fake(program, text):
    """Another program in place of a helper, in this test's machine only."""
    path = run("sh", "-c", "command -v " + program).out.strip()
    with open("/run/fake-" + program, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod("/run/fake-" + program, 0o755)
    run("mount", "--bind", "/run/fake-" + program, os.path.realpath(path))


def unfake(program):
    run("umount", os.path.realpath(
        run("sh", "-c", "command -v " + program).out.strip()))


def nft_does(text, *words):
    machine()
    before = snapshot()
    fake("nft", text)
    p = up(check=False)
    unfake("nft")
    eq(p.rc, 1, p.err)
    for w in words:
        contains(p.err, w)
    contains(p.err, "everything was undone: the old state is in force")
    same(before, snapshot())


def test_nft_fails():
    nft_does("echo 'Error: the sky is falling' >&2; exit 1\n",
             "load br0's nftables rules", "the sky is falling")


def test_nft_hangs():
    """It is given up after a while, and everything goes back."""
    nft_does("exec sleep 300\n", "nft did not end within")


test_nft_hangs.timeout = 200


def test_nft_is_missing():
    """firewall = nftables without nft: named, and whole."""
    machine()
    before = snapshot()
    conf("firewall = nftables\n" + CONFIG)
    path = os.path.realpath(run("sh", "-c", "command -v nft").out.strip())
    run("mount", "--bind", "/dev/null", path)
    p = up(check=False)
    run("umount", path)
    eq(p.rc, 1)
    contains(p.err, "nft is not installed")
    same(before, snapshot())


def test_undoing_fails_too():
    """From some point on the kernel refuses everything: rc 4, each thing that
    is left is named with the kernel's reason; down puts it right later."""
    quick()
    machine()
    before = snapshot()
    total = len(points(["sendto"], False))
    n = 0
    for k in range(40, total, 12):
        p = run("strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto",
                "-e", "inject=sendto:error=EPERM:when=%d+" % k, APPLY, "-q",
                "up", check=False, env=TRACED)
        if p.rc == 4:
            n += 1
            contains(p.err, "could not undo: ")
            contains(p.err, "Operation not permitted")
            contains(p.err, "what is left is named above; put it right and "
                     "run 'netbr-apply up', or 'netbr-apply down'")
            # nothing is there that was not named
            for l in json.loads(ip("-j", "link").out):
                if l["ifname"] not in ("lo", "eth0"):
                    contains(p.err, l["ifname"])
        down()
        same(before, snapshot())
    print("note: undoing failed at %d points" % n)
    assert n > 3


def test_enobufs_on_the_socket():
    """Out of memory on the socket: a dump is asked for again, and what is
    lost for good fails whole."""
    machine()
    before = snapshot()
    for when in ("1", "2", "3", "4"):
        p = run("strace", "-qq", "-o", "/dev/null", "-e", "trace=recvfrom",
                "-e", "inject=recvfrom:error=ENOBUFS:when=" + when, APPLY,
                "-q", "up", check=False, env=TRACED)
        eq((p.rc, p.err), (0, ""), "recvfrom " + when)
        eq(apply("plan", check=False).rc, 0)
        down()
        same(before, snapshot())
    # -f: the first dump is a thread's
    p = run("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=recvfrom",
            "-e", "inject=recvfrom:error=ENOBUFS", APPLY, "-q", "up",
            check=False, env=TRACED)
    eq(p.rc, 1)
    contains(p.err, "No buffer space available")
    same(before, snapshot())


def test_interrupted_dump():
    """Links that come and go all the time interrupt the kernel's dumps: they
    are asked for again, and no run takes half an answer for a whole one."""
    machine()
    up()
    churn = subprocess.Popen(
        ["sh", "-c", "while :; do ip link add c0 type veth peer name c1; "
         "ip link set c0 up; ip addr add 10.3.0.1/24 dev c0; "
         "ip link del c0; done"])
    try:
        for _ in range(40):
            p = apply("plan", check=False)
            eq((p.rc, p.out), (0, ""), p.err)
    finally:
        churn.kill()
        churn.wait()
    sh("ip link del c0 2>/dev/null || true")
    in_sync()


def pause_at(call, k):
    """up, stopped for a while at a system call."""
    return subprocess.Popen(
        ["strace", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e",
         "inject=%s:delay_enter=700000:when=%d" % (call, k), APPLY, "-q",
         "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=TRACED)


def test_links_vanish_in_the_middle():
    """A tap, the bridge or the uplink goes away while up is at work, at each
    of several points: it says so and undoes, or it heals in another round;
    the next up converges."""
    machine()
    before = snapshot()
    n = 0
    for victim in ("t0", "br0", "eth0"):
        for k in (8, 24, 40, 60, 80, 100, 120):
            p = pause_at("sendto", k)
            time.sleep(0.45)
            if victim == "eth0":
                # it comes back, as with a driver that resets
                sh("ip link set eth0 down; ip link set eth0 nomaster; "
                   "ip link set eth0 up", check=False)
            else:
                ip("link", "del", victim, check=False)
            err = p.communicate(timeout=60)[1].decode()
            assert p.returncode in (0, 1, 4), (victim, k, p.returncode, err)
            assert p.returncode == 0 or err.strip(), (victim, k)
            n += 1
            up()
            eq(apply("plan", check=False).out, "", (victim, k, err))
            down()
            eq(ip("link", "show", "br0", check=False).rc, 1, (victim, k))
    print("note: %d times" % n)


def test_links_appear_in_the_middle():
    """A foreign port that joins meanwhile is kept; a tap of our name that
    somebody makes first is used, or named as the reason."""
    machine()
    for k in (8, 24, 60, 100):
        p = pause_at("sendto", k)
        time.sleep(0.45)
        sh("ip link add vx type veth peer name vy; "
           "ip link set vx master br0 || true", check=False)
        err = p.communicate(timeout=60)[1].decode()
        assert p.returncode in (0, 1), (k, p.returncode, err)
        contains(ip("link").out, "vx@vy")
        up()
        eq(apply("plan", check=False).out, "", k)
        ip("link", "del", "vx")
        down()


def test_journal_never_blocks():
    """Torn, empty, another version, another boot, a directory, unreadable,
    huge: none of them keeps up or down from their work."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    conf("bridge br0 { uplink = eth0 address = 10.99.0.2/24 }\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 }\n")
    path = "/run/netbr/state.json"

    def boot():
        j = json.load(open(path))
        j["boot"] = "00000000-0000-0000-0000-000000000000"
        json.dump(j, open(path, "w"))

    def directory():
        os.unlink(path)
        os.makedirs(path + "/x")

    def stale():
        """Of links that no longer exist."""
        t = open(path).read().replace("eth0", "eth9").replace("br0", "br7")
        open(path, "w").write(t)

    kinds = {
        "torn": lambda: os.truncate(path, 100),
        "empty": lambda: os.truncate(path, 0),
        "another version": lambda: open(path, "w").write('{"version": 9}'),
        "no object": lambda: open(path, "w").write("[1, 2]"),
        "wrong types": lambda: open(path, "w").write(
            '{"version": 1, "bridges": [7, {"name": "br0", "ports": 3, '
            '"addresses": ["zz", "00"]}], "sysctls": {"a": 1}}'),
        "binary": lambda: open(path, "wb").write(os.urandom(4096)),
        "another boot": boot,
        "stale": stale,
        "a directory": directory,
        "a dangling link": lambda: (os.unlink(path),
                                    os.symlink("/nowhere", path)),
        "gone": lambda: os.unlink(path),
    }
    for verb in ("up", "down"):
        for name, spoil in kinds.items():
            up()
            spoil()
            p = apply("-q", verb, check=False)
            eq(p.rc, 0, (verb, name, p.err))
            if name == "another boot":
                contains(p.err, "from before a reboot")
            up()
            eq(apply("plan", check=False).out, "", (verb, name))
            down()
            eq(ip("link", "show", "br0", check=False).rc, 1, name)
            contains(ip("addr", "show", "eth0").out, "10.99.0.2/24")
            must_ping("10.99.0.2", ns=lan.ns)
            assert not os.path.isfile(path), name
            shutil.rmtree(path + ".old", ignore_errors=True)
    print("note: %d journals" % len(kinds))


def test_two_runs_at_once():
    """The second waits, or says who holds the lock once --wait runs out."""
    machine()
    for _ in range(8):
        both = [subprocess.Popen([APPLY, "-q", "up"], stderr=subprocess.PIPE)
                for _ in range(3)]
        for p in both:
            err = p.communicate()[1].decode()
            eq(p.returncode, 0, err)
        eq(apply("plan", check=False).out, "")
        both = [subprocess.Popen([APPLY, "-q", v]) for v in ("down", "up")]
        assert [p.wait() for p in both] == [0, 0]
        up()
    down()
    p = pause_at("sendto", 40)
    time.sleep(0.3)
    q = apply("--wait", "0", "up", check=False)
    eq(q.rc, 75)
    pid = re.search(r"\(pid (\d+)\)", q.err).group(1)
    contains(open("/proc/%s/cmdline" % pid).read(), "netbr-apply")
    eq(apply("--wait", "20", "up").rc, 0)
    eq(p.wait(), 0)


def test_what_is_ignored_is_an_error():
    """A write that is acknowledged and has no effect: wanted and actual are
    named, and everything is undone."""
    Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    conf("bridge br0 { mode = routed address = 192.168.50.1/24 }\n")
    before = snapshot()
    run("mount", "--bind", "/dev/null", "/proc/sys/net/ipv4/ip_forward")
    p = up(check=False)
    run("umount", "/proc/sys/net/ipv4/ip_forward")
    eq(p.rc, 1, p.err)
    contains(p.err, "net/ipv4/ip_forward: wanted 1, but the kernel has ")
    contains(p.err, "everything was undone")
    same(before, snapshot())
