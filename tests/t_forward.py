"""Port forwards: TCP and UDP, IPv4 and IPv6; from the LAN, the host, guests.

    lan namespace               this namespace             guests
    10.99.0.1 fd99::1 lan0 ──── eth0
                                10.99.0.2 fd99::2
                                192.168.50.1 fd50::1  br1 ─┬─ tap0  server
                                                           └─ tap1  guest
"""
from lib import *

TEXT = """firewall = %s
bridge br1 {
    mode    = routed
    address = { 192.168.50.1/24, "fd50::1/64" }
}
guest server {
    tap = tap0
    mac = 52:54:00:00:00:01
    ip  = { 192.168.50.10, "fd50::10" }
    forward = { "2222:22", "5353:53/udp", "10.99.0.2:2223:23",
                "2224:24 from 10.99.0.0/25", "[fd99::2]:2225:25/tcp" }
}
guest other { tap = tap1 mac = 52:54:00:00:00:02 ip = { 192.168.50.11, "fd50::11" } }
"""

SERVER = """
import select, socket
s = []
for port, kind in ((22, 1), (23, 1), (24, 1), (25, 1), (53, 2)):
    x = socket.socket(socket.AF_INET6, kind)
    x.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    x.bind(("::", port))
    if kind == 1: x.listen(8)
    s.append((x, kind, port))
print("ready", flush=True)
while True:
    for x in select.select([x for x, _, _ in s], [], [])[0]:
        kind, port = next((k, p) for y, k, p in s if y is x)
        if kind == 1:
            c, who = x.accept()
            c.sendall(b"%d %s" % (port, who[0].encode()))
            c.close()
        else:
            d, who = x.recvfrom(99)
            x.sendto(b"%d %s" % (port, who[0].encode()), who)
"""

CLIENT = """
import socket, sys
kind, addr, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, kind)
s.settimeout(float(sys.argv[4]))
try:
    s.connect((addr, port))
    if kind == 2: s.send(b"x")
    print(s.recv(99).decode())
except OSError as e:
    print("no:", e)
"""


def ask(ns, kind, addr, port, timeout=2):
    return run(sys.executable, "-c", CLIENT, kind, addr, port, timeout,
               ns=ns).out.strip().replace("::ffff:", "")


def forwards(backend):
    lan = Lan()
    sh("""ip addr add 10.99.0.2/24 dev eth0; ip addr add fd99::2/64 dev eth0
          ip addr add 10.99.0.3/24 dev eth0""")
    ip("addr", "add", "10.99.0.200/24", "dev", "lan0", ns=lan.ns)
    settle()
    conf(TEXT % backend)
    before = snapshot()
    up()
    eq(apply("plan", check=False).out, "")
    guests = [TapGuest("tap%d" % i, "52:54:00:00:00:0%d" % (i + 1),
                       ["192.168.50.1%d/24" % i, "fd50::1%d/64" % i],
                       "192.168.50.1") for i in (0, 1)]
    for g in guests:
        ip("-6", "route", "add", "default", "via", "fd50::1", ns=g.ns)
    server = subprocess.Popen(["ip", "netns", "exec", guests[0].ns,
                               sys.executable, "-c", SERVER],
                              stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"ready\n"
    must_ping("fd50::10")
    must_ping("10.99.0.1", ns=guests[1].ns)
    must_ping("fd99::1", ns=guests[1].ns)
    who = {"lan": lan.ns, "host": None, "guest": guests[1].ns}
    n = 0
    # from where, to which address of the host: who the server sees
    for frm, addr, seen in (
            ("lan", "10.99.0.2", "10.99.0.1"), ("lan", "10.99.0.3",
                                                "10.99.0.1"),
            ("lan", "fd99::2", "fd99::1"),
            ("host", "10.99.0.2", None), ("host", "192.168.50.1", None),
            ("host", "fd99::2", None),
            ("guest", "10.99.0.2", "192.168.50.1"),
            ("guest", "192.168.50.1", "192.168.50.1"),
            ("guest", "fd99::2", "fd50::1")):
        for kind, port, to in ((1, 2222, 22), (2, 5353, 53)):
            got = ask(who[frm], kind, addr, port)
            assert got.startswith("%d " % to), (frm, addr, kind, got)
            if seen:
                eq(got, "%d %s" % (to, seen), (frm, addr))
            n += 1
    # only at one of the host's addresses; only in one family
    eq(ask(lan.ns, 1, "10.99.0.2", 2223)[:2], "23")
    assert "no:" in ask(lan.ns, 1, "10.99.0.3", 2223, .5)
    eq(ask(lan.ns, 1, "fd99::2", 2225)[:2], "25")
    assert "no:" in ask(lan.ns, 1, "10.99.0.2", 2225, .5)
    # only from some
    eq(ask(lan.ns, 1, "10.99.0.2", 2224)[:2], "24")
    sh("ip addr del 10.99.0.1/24 dev lan0; "
       "ip addr replace 10.99.0.200/24 dev lan0", ns=lan.ns)
    assert "no:" in ask(lan.ns, 1, "10.99.0.2", 2224, .5)
    eq(ask(lan.ns, 1, "10.99.0.2", 2222)[:2], "22")
    # what passes through the host is not its own
    assert "no:" in ask(guests[1].ns, 1, "10.99.0.200", 2222, .5)
    # taken out, it is gone
    conf((TEXT % backend).replace('"2222:22", ', ""))
    up()
    assert "no:" in ask(lan.ns, 1, "10.99.0.2", 2222, .5)
    server.kill()
    for g in guests:
        g.stop()
    down()
    same(before, snapshot())
    print("note: %d connections" % n)


def test_forwards_nftables():
    forwards("nftables")


def test_forwards_iptables():
    forwards("iptables")
