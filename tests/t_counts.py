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
    eq(c["programs"], 1)        # nft
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
