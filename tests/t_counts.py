"""What is exact about speed: messages, ioctls, processes; counted by strace.
(Ratios are the business of make bench.)"""
from lib import *
import random


def config(n, more=""):
    return "bridge br0 { mode = isolated mac = 52:54:ff:00:00:01 }\n" + \
        "".join("guest g%d { tap = t%d mac = 52:54:00:00:%02x:%02x owner = 1 "
                "%s }\n" % (i, i, i >> 8, i & 255, more) for i in range(n))


def counted(*args):
    """An `up` under strace: what it sent, by kind."""
    p = run("strace", "-f", "-qq", "-v", "-s", "65536", "-o", "/run/trace",
            "-e", "trace=sendto,ioctl,execve,openat,kill", APPLY, "-q",
            *args, env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    text = open("/run/trace").read()
    main = re.match(r"(\d+)", text).group(1)
    mine = "".join(l + "\n" for l in text.splitlines()
                   if l.startswith(main + " "))
    return {
        "newlink": len(re.findall(r"nlmsg_type=RTM_NEWLINK", mine)),
        "changing": len(re.findall(
            r"nlmsg_type=RTM_(?:NEW|DEL|SET)", mine)),
        "tun ioctls": len(re.findall(r"ioctl\(\d+, TUN", mine)),
        "tun opens": mine.count('"/dev/net/tun", O_RDWR'),
        "programs": len(re.findall(r"execve\(", text)) - 1,
        "hups": mine.count("SIGHUP"),
        "text": mine,
    }


def test_create():
    """N taps: no program, one RTM_NEWLINK a tap and four more, at most four
    tun ioctls a tap."""
    conf("firewall = none\n" + config(100))
    c = counted("up")
    eq(c["programs"], 0)
    assert c["newlink"] <= 104, c["newlink"]
    assert c["tun ioctls"] <= 400, c["tun ioctls"]
    eq(c["tun opens"], 100)
    in_sync()


def test_converged():
    """Everything is verified, and nothing sent, opened or started."""
    conf(config(100, "ip = { }"))
    up()
    c = counted("up")
    eq((c["changing"], c["tun opens"], c["programs"]), (0, 0, 0))


def test_add_one():
    """One tap opened, nothing sent to any other link, the firewall changed by
    elements, dnsmasq by one SIGHUP."""
    text = "bridge br0 { mode = isolated address = 10.0.0.1/16 dhcp { } }\n" \
        + "".join("guest g%d { tap = t%d mac = 52:54:00:00:%02x:%02x "
                  "ip = 10.0.1.%d }\n" % (i, i, i >> 8, i & 255, i + 2)
                  for i in range(50))
    conf(text)
    gen("-q", "write")
    up()
    conf(text + "guest new { tap = tnew mac = 52:54:00:00:ff:01 "
         "ip = 10.0.2.1 }\n")
    gen("-q", "write")
    monitor = subprocess.Popen(["nft", "monitor"], stdout=subprocess.PIPE)
    time.sleep(0.3)
    c = counted("up")
    eq(c["tun opens"], 1)
    eq(c["hups"], 1)
    eq(c["programs"], 0)        # not even nft
    names, kind = set(), ""
    for k, name in re.findall(r'nlmsg_type=RTM_([A-Z]+)LINK|'
                              r'nla_type=IFLA_IFNAME\}, "([^"]+)"', c["text"]):
        kind = k or kind
        if name and kind != "GET":
            names.add(name)
    eq(names, {"tnew"})
    time.sleep(0.2)
    monitor.terminate()
    said = [l for l in monitor.communicate()[0].decode().splitlines()
            if not l.startswith("#")]
    assert said and all(l.startswith("add element bridge netbr-br0 ")
                        for l in said), said
    in_sync()


def rules():
    """What is loaded, in an order of its own."""
    text = run("nft", "list", "ruleset").out
    return sorted(p.strip() for p in re.split(r"[,{}\n]", text) if p.strip())


def test_elements_are_what_nft_makes_of_them():
    """Elements are changed over netlink, without nft: what is there then is
    what nft makes of the whole text."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    head = "firewall = nftables\nbridge br0 { mode = macnat uplink = eth0 " \
        "address = 10.99.0.2/24 gateway = 10.99.0.1 }\n" \
        "bridge br1 { mode = routed address = { 10.5.0.1/24, fd05::1/64 } }\n"
    edits = [
        "guest a { bridge = br0 mac = 52:54:00:00:00:01 ip = 10.99.0.5 }\n"
        "guest b { bridge = br1 mac = 52:54:00:00:00:02 "
        "ip = { 10.5.0.9, fd05::9 } }\n",
        "guest a { bridge = br0 mac = 52:54:00:00:00:01 ip = { 10.99.0.6, "
        "fd99::6 } }\n"
        "guest b { bridge = br1 mac = 52:54:00:00:00:02 "
        "ip = { 10.5.0.8, fd05::9 } }\n"
        "guest c { bridge = br0 mac = 52:54:00:00:00:03 ip = 10.99.0.7 }\n",
        "guest a { bridge = br0 mac = 52:54:00:00:00:11 ip = 10.99.0.6 }\n"
        "guest b { bridge = br1 mac = 52:54:00:00:00:12 ip = 10.5.0.8 }\n",
    ]
    started = []
    for text in edits + [edits[0]]:
        conf(head + text)
        c = counted("up")
        started.append(c["programs"])
        changed = rules()
        run("nft", "flush", "ruleset")
        up()
        eq(changed, rules())
    print("note: %d elements and rules; programs started: %s" % (
        len(changed), started))
    in_sync()


def test_unknown_elements_are_left_to_nft():
    """A template of the user's with a type of its own."""
    os.makedirs("/etc/netbr/templates")
    text = open(TOP + "/templates/nftables.tmpl").read()
    with open("/etc/netbr/templates/nftables.tmpl", "w") as f:
        f.write(text + "{{#filters}}\n"
                "add set bridge {{fw}} ports { type inet_service; }\n"
                "add element bridge {{fw}} ports {\n"
                "{{#filtered}}\n0x00{{! }}50,\n{{/filtered}}\n"
                "{{#own4}}\n0x0016,\n{{/own4}}\n}\n{{/filters}}\n")
    conf("firewall = nftables\n" + config(1))
    up()
    contains(run("nft", "list", "ruleset").out, "elements = { 80 }")
    conf("firewall = nftables\n" + config(1, "ip = 10.1.1.1"))
    up()
    contains(run("nft", "list", "ruleset").out, "elements = { 22, 80 }")
    in_sync()


def instructions(n):
    """Of a `netbr-gen write` of n guests in an empty root, by callgrind; and
    the memory of one without it, in MiB."""
    root = "/run/gen%d" % n
    os.makedirs(root + "/etc")
    conf("bridge br0 { mode = isolated }\n" + "".join(
        "guest g%d { tap = t%d mac = 52:54:00:00:%02x:%02x owner = 1 "
        "ip = 10.0.%d.%d }\n" % (i, i, i >> 8, i & 255, 1 + i // 250,
                                 1 + i % 250) for i in range(n)),
         root + "/etc/vmnet.conf")
    p = run("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
            GEN, "-q", "-r", root, "write")
    n = [int(x) for x in re.findall(r"Collected : (\d+)", p.err)]
    sh("rm -r %s/etc/netbr %s/etc/conf.d" % (root, root))
    pid = os.fork()
    if not pid:
        os.execv(GEN, [GEN, "-q", "-r", root, "write"])
    _, status, usage = os.wait4(pid, 0)
    eq(status, 0)
    # the child that asks the shell is none of it
    return max(n), usage.ru_maxrss / 1024


def test_write_is_linear():
    """100 million instructions at 1000 guests, at most 12 times as many at
    10000, and 64 MiB of memory there."""
    one, _ = instructions(1000)
    ten, mib = instructions(10000)
    print("note: %.1f and %.0f million instructions, %.0f MiB" % (
        one / 1e6, ten / 1e6, mib))
    assert one <= 100e6, one
    assert ten <= 12 * one, ten / one
    assert mib <= 64, mib


def test_restart_starts_few_programs():
    """rc-service restart of a converged bridge with ten guests."""
    conf("bridge br0 { mode = routed address = 192.168.5.1/24 dhcp { } }\n" +
         "".join("guest g%d { tap = t%d mac = 52:54:00:00:00:%02x }\n" % (
             i, i, i) for i in range(10)))
    openrc("br0")
    service("net.br0", "start")
    # start wrote /etc/conf.d/net: OpenRC reads all dependencies anew (ten
    # programs) when that is in a later second than its own list.
    time.sleep(1.1)
    run("rc-update", "-u")
    run("strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=execve",
        "rc-service", "net.br0", "restart",
        env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    n = len(re.findall(r"execve\(.* = 0$", open("/run/trace").read(), re.M))
    print("note: %d programs" % n)
    assert n <= 25, open("/run/trace").read()


def test_only_our_devices_in_the_group():
    """down deletes by a private group: nobody else's device is ever in it,
    and one that has its number already is not harmed."""
    conf("firewall = none\n" + config(100))
    up()
    sh("ip link add f0 type veth peer name f1; "
       "ip link set f0 group %d" % 0x6e627200)
    down()
    assert "f0@f1" in ip("link").out
    eq(ip("link", "show", "br0", check=False).rc, 1)


def test_firewall_changes_lose_nothing():
    """500 changes of one guest's address under load: no packet of another
    guest is lost, and no spoofed frame passes."""
    from t_filter import Arena, config as arena_config
    import frames
    arena = Arena(arena_config(True, False, False, True))
    base = open("/etc/vmnet.conf").read()
    bad = {n: f for n, f in frames.hostile(arena.w).items()
           if n in ("IPv4 as the victim", "ARP as the host",
                    "another source MAC")}
    r = random.Random(1)

    def act():
        for i in range(500):
            # the guest "third" changes its address
            conf(base + "guest third { tap = tap2 mac = 52:54:00:00:00:03 "
                 "ip = 192.168.50.%d }\n" % r.randint(100, 250))
            up()
            if i % 10 == 0:
                eq(arena.arrived(bad), set())

    sent = no_loss([("192.168.50.10", None, "0.002")], act)
    print("note: %d pings" % sent)


test_firewall_changes_lose_nothing.timeout = 200
