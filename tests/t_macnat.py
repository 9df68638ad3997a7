"""Guests with addresses of the LAN behind an uplink that accepts one MAC."""
from uplinks import *

CONFIG = """%(top)s
bridge br0 {
    mode    = %(mode)s
    uplink  = %(uplink)s
    address = { "%(net)s.20/24", "%(net6)s::20/64" }
    gateway = { "%(net)s.1", "%(net6)s::1" }
}
guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = { "%(net)s.31", "%(net6)s::31" } }
guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = { "%(net)s.32" } }
guest c { tap = tap2 mac = 52:54:00:00:00:03 }
"""


def config(mode, uplink, top=""):
    conf(CONFIG % dict(mode=mode, uplink=uplink, top=top, net=NET, net6=NET6))


def three_guests():
    """Declared addresses; a declared IPv4 one; none (the LAN's DHCP)."""
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31")
    b = Guest("tap1", "52:54:00:00:00:02", NET + ".32")
    c = Guest("tap2", "52:54:00:00:00:03")
    return a, b, c


def matrix(net, guests, host=(NET + ".20", NET6 + "::20"), dev="br0",
           but=()):
    a, b, c = guests
    eq(c.take_lease(), NET + ".1", "the LAN's DHCP server")
    b.slaac()
    c.slaac()
    result = cells(net, guests, host, dev)
    bad = sorted(n for n, good in result.items()
                 if not good and n not in but)
    eq(bad, [], "cells that fail, of %d" % len(result))
    print("note: %d cells" % len(result))


def test_station():
    """The uplink can't be a port: a veth and the netdev table."""
    net = Network("wlan0", True)
    before = snapshot()
    config("macnat", "wlan0")
    up()
    in_sync()
    guests = three_guests()
    matrix(net, guests)
    for g in guests:
        g.g.stop()
    down()
    same(before, snapshot())


def test_filtered_port():
    """The uplink is a port: the translation is in the bridge table."""
    net = Network("eth0", False)
    before = snapshot()
    config("macnat", "eth0")
    up()
    in_sync()
    guests = three_guests()
    matrix(net, guests)
    for g in guests:
        g.g.stop()
    down()
    same(before, snapshot())


def test_the_simulation_bites():
    """The same cells with plain bridging: nothing of a guest passes."""
    net = Network("eth0", False)
    config("bridged", "eth0")
    up()
    a = Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31")
    b = Guest("tap1", "52:54:00:00:00:02", NET + ".32", NET6 + "::32")
    eq(Guest("tap2", "52:54:00:00:00:03").dhcp(), (None, None))
    result = cells(net, (a, b), (NET + ".20", NET6 + "::20"), "br0", 1)
    works = sorted(n for n, good in result.items() if good)
    eq([n for n in works if "LAN" in n and "guest" in n or "Internet" in n],
       [])
    # within the host all is well
    for n in ("guest a to host, v4", "host to guest b, v6",
              "guest a to guest, v4", "host to LAN, v4"):
        assert n in works, n
