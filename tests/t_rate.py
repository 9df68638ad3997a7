"""rate_in and rate_out of a guest, measured with real traffic."""
from lib import *

TEXT = """
bridge br1 { mode = routed address = 192.168.50.1/24 }
guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = 192.168.50.10 %s }
"""

SINK = """
import socket, time
s = socket.create_server(("%s", 7009))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    n, t = 0, None
    while True:
        d = c.recv(1 << 20)
        if not d: break
        t = t or time.time()
        n += len(d)
    print(n * 8 / (time.time() - t) / 1e6, flush=True)
"""
SOURCE = """
import socket, time
s = socket.create_connection(("%s", 7009))
end = time.time() + %s
while time.time() < end: s.sendall(b"x" * 65536)
"""


def mbit(src, dst, addr, secs=1.5):
    p = subprocess.Popen(
        (["ip", "netns", "exec", dst] if dst else []) +
        [sys.executable, "-c", SINK % addr], stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    run(sys.executable, "-c", SOURCE % (addr, secs), ns=src)
    v = float(p.stdout.readline())
    p.kill()
    p.wait()
    return v


def test_rates():
    """Shaped to what is said (bursts aside), shown in status, changed and
    taken away in place; without, far faster."""
    conf(TEXT % "rate_in = 8mbit rate_out = 16mbit")
    up()
    in_sync()
    g = TapGuest("tap0", "52:54:00:00:00:01", ["192.168.50.10/24"])
    must_ping("192.168.50.10")
    rate_in = mbit(None, g.ns, "192.168.50.10", 3)
    rate_out = mbit(g.ns, None, "192.168.50.1", 3)
    assert 4 < rate_in < 12, rate_in
    assert 4 < rate_out < 24, rate_out
    contains(apply("status").out, "rate_in 8 mbit rate_out 16 mbit")
    j = json.loads(apply("--json", "status").out)
    eq(j["bridges"][0]["ports"][0]["guest"]["rate_in"], 8000000)
    # drift: named and healed
    sh("tc qdisc del dev tap0 root")
    contains(apply("status", check=False).out,
             "drift: tap0 rate_in: wanted 8mbit, is none")
    sh("tc qdisc replace dev tap0 root handle 6e62: tbf rate 1mbit burst 10k "
       "latency 50ms")
    contains(apply("status", check=False).out,
             "drift: tap0 rate_in: wanted 8mbit, is 1mbit")
    up()
    in_sync()
    conf(TEXT % "rate_in = 40gbit")
    up()
    in_sync()
    conf(TEXT % "")
    contains(apply("plan", check=False).out,
             "set tap0's rate_in to none (was 40000mbit)")
    up()
    in_sync()
    assert mbit(None, g.ns, "192.168.50.10") > 2 * rate_in
    assert mbit(g.ns, None, "192.168.50.1") > 2 * rate_out
    contains(run("tc", "qdisc", "show", "dev", "tap0").out, "qdisc")
    assert "tbf" not in run("tc", "qdisc", "show", "dev", "tap0").out
    g.stop()


def test_rate_out_without_nftables():
    conf("firewall = iptables\n" + TEXT % "rate_out = 16mbit")
    p = up(check=False)
    eq(p.rc, 1)
    contains(p.err, "rate_out needs the nftables firewall")
    contains(p.err, "nothing was changed")
