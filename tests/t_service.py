"""The OpenRC service, with real DHCP servers, clients and guests.

      lan namespace                this namespace
   dnsmasq ─ lan0 ─────────── eth0 ─┐
                                    br0 ── tap0 ── QEMU or a tap guest
"""
import os
import time

from lib import *

ROUTED = """
bridge br0 {
    mode    = routed
    address = 192.168.50.1/24
    dhcp { range = { 192.168.50.100, 192.168.50.199 } }
}
guest win7 {
    tap = tap0
    mac = 52:54:00:12:34:56
    ip  = 192.168.50.10
}
"""


def lan_dhcp(lan, *more):
    """A DHCP server on the LAN."""
    return subprocess.Popen(
        ["ip", "netns", "exec", lan.ns, "dnsmasq", "-d", "-C", "/dev/null",
         "-p", "0", "-i", "lan0", "--bind-interfaces", "--no-ping",
         "--dhcp-range=10.99.0.100,10.99.0.150,10m",
         "--dhcp-leasefile=/run/lan.leases", *more],
        stdout=subprocess.DEVNULL, stderr=open("/run/lan.log", "w"))


def test_routed_qemu_guest():
    """A real QEMU guest gets its reserved address from our dnsmasq, answers
    the host's ping (iPXE does while it waits), and stop leaves nothing."""
    conf(ROUTED)
    openrc("br0")
    before = snapshot()
    service("net.br0", "start")
    eq(service("net.br0", "status").rc, 0)
    q = Qemu("win7")
    wait_for("the guest's lease", lambda: "192.168.50.10 win7" in
             open("/var/lib/netbr/br0.leases").read(), 60)
    must_ping("192.168.50.10", timeout=30)
    contains(apply("status").out, "lease 192.168.50.10")
    q.stop()
    service("net.br0", "stop")
    same(before, snapshot())
    eq(run("pgrep", "-x", "dnsmasq", check=False).rc, 1, "dnsmasq left over")


def reserve(ns, mac, want, name):
    """udhcpc in a guest's namespace gets this address."""
    p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "1",
            "-s", "/bin/true", ns=ns, check=False, timeout=30)
    contains(p.out + p.err, "lease of %s obtained" % want)


def test_routed_qemu_is_reached_from_the_lan():
    """Without nat and with a route on the LAN, the LAN pings the guest."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    ip("route", "add", "192.168.50.0/24", "via", "10.99.0.2", ns=lan.ns)
    conf(ROUTED.replace("dhcp {", "nat = off\n dhcp {"))
    openrc("br0")
    service("net.br0", "start")
    q = Qemu("win7")
    must_ping("192.168.50.10", timeout=60)
    must_ping("192.168.50.10", ns=lan.ns, timeout=30)
    q.stop()
    service("net.br0", "stop")


def test_bridged_qemu_guest():
    """A QEMU guest on the LAN: the LAN's own server gives it its address,
    the LAN and the host ping it."""
    lan = Lan(addrs=("10.99.0.1/24",))
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    server = lan_dhcp(lan, "--dhcp-host=52:54:00:12:34:56,10.99.0.10")
    conf("bridge br0 { uplink = eth0 address = 10.99.0.2/24 }\n"
         "guest win7 { tap = tap0 mac = 52:54:00:12:34:56 ip = 10.99.0.10 }\n")
    openrc("br0")
    service("net.br0", "start")
    q = Qemu("win7")
    must_ping("10.99.0.10", ns=lan.ns, timeout=60)
    must_ping("10.99.0.10")
    g = veth_guest("br0", "vg", "52:54:00:00:00:07", ["10.99.0.7/24"])
    must_ping("10.99.0.10", ns=g)
    must_ping("10.99.0.7", ns=lan.ns)
    q.stop()
    service("net.br0", "stop", check=False)
    server.kill()


def test_dnsmasq_is_supervised():
    """Killed, it comes back; stopped with the service, it stays away."""
    conf(ROUTED)
    openrc("br0")
    service("net.br0", "start")
    pid = open("/run/netbr/dnsmasq-br0.pid").read().strip()
    os.kill(int(pid), signal.SIGKILL)
    g = veth_guest("br0", "vg1", "52:54:00:12:34:56")
    wait_for("another dnsmasq", lambda: open(
        "/run/netbr/dnsmasq-br0.pid").read().strip() not in ("", pid))
    reserve(g, "52:54:00:12:34:56", "192.168.50.10", "win7")
    ip("link", "del", "vg1")
    service("net.br0", "stop")
    time.sleep(1.5)
    eq(run("pgrep", "-x", "dnsmasq", check=False).rc, 1)


def test_routed_veth_guest_and_sighup():
    """A running dnsmasq learns a new reservation on reload, by SIGHUP: its
    process stays the same."""
    conf(ROUTED)
    openrc("br0")
    service("net.br0", "start")
    g = veth_guest("br0", "vg1", "52:54:00:12:34:56")
    reserve(g, "52:54:00:12:34:56", "192.168.50.10", "win7")
    pid = open("/run/netbr/dnsmasq-br0.pid").read()
    conf(ROUTED + "guest two { tap = none mac = 52:54:00:00:00:02 "
         "ip = 192.168.50.22 }\n")
    service("net.br0", "reload")
    eq(open("/run/netbr/dnsmasq-br0.pid").read(), pid, "dnsmasq's pid")
    g2 = veth_guest("br0", "vg2", "52:54:00:00:00:02")
    reserve(g2, "52:54:00:00:00:02", "192.168.50.22", "two")
    g3 = veth_guest("br0", "vg3", "52:54:00:00:00:03")
    p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true",
            ns=g3, timeout=30)
    contains(p.out + p.err, "lease of 192.168.50.1")
    # a changed range needs a restart, and gets one
    conf(ROUTED.replace("50.100,", "50.120,"))
    service("net.br0", "reload")
    wait_for("a new dnsmasq", lambda: os.path.exists(
        "/run/netbr/dnsmasq-br0.pid") and open(
        "/run/netbr/dnsmasq-br0.pid").read() not in ("", pid))


def wired(client):
    if run("sh", "-c", "command -v " + client, check=False).rc:
        raise AssertionError(client + " is not installed")
    lan = Lan(addrs=("10.99.0.1/24",))
    server = lan_dhcp(lan)
    conf("""
interfaces = { "eth0", "tap0" }
bridge_br0 = "eth0 tap0"
brctl_br0  = "setfd 0 stp on sethello 1"
config_br0 = "dhcp"
mac_br0    = "32:7f:aa:56:59:01"
mac_tap0   = "32:7f:aa:56:59:02"
dhcp-host  = { "52:54:00:12:34:56,10.99.0.10,win7" }
""")
    openrc("br0")
    with open("/etc/conf.d/net.br0", "a") as f:
        f.write('netbr_dhcp_client="%s"\n' % client)
    before = snapshot()
    service("net.br0", "start")
    contains(ip("addr", "show", "br0").out, "inet 10.99.0.1")
    must_ping("10.99.0.1")
    g = TapGuest("tap0", "52:54:00:12:34:56")
    p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true",
            ns=g.ns, timeout=30)
    contains(p.out + p.err, "lease of 10.99.0.1")
    ip("addr", "add", "10.99.0.10/24", "dev", "eth0", ns=g.ns)
    must_ping("10.99.0.10", ns=lan.ns)
    must_ping("10.99.0.1", ns=g.ns)
    service("net.br0", "restart")
    contains(ip("addr", "show", "br0").out, "inet 10.99.0.1")
    g.stop()
    service("net.br0", "stop")
    for c in ("dhcpcd", "dhclient", "udhcpc"):
        wait_for(c + " to end", lambda: run("pgrep", "-x", c,
                                            check=False).rc == 1)
    server.kill()
    same(before, snapshot())


def test_wired_dhcpcd():
    wired("dhcpcd")


def test_wired_dhclient():
    wired("dhclient")


def test_wired_udhcpc():
    wired("udhcpc")


def test_restart_reconciles():
    """restart loses no packet of any guest, known or not."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    conf("bridge br0 { uplink = eth0 address = 10.99.0.2/24 }\n"
         "guest a { tap = tap0 mac = 52:54:00:00:00:01 }\n")
    openrc("br0")
    service("net.br0", "start")
    a = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.11/24"])
    b = veth_guest("br0", "vnet0", "52:54:00:00:00:02", ["10.99.0.12/24"])
    for ns in (a.ns, b):
        must_ping("10.99.0.1", ns=ns)

    def act():
        service("net.br0", "restart")
        service("net.br0", "reload")
        up()

    no_loss([("10.99.0.12", a.ns), ("10.99.0.1", a.ns), ("10.99.0.2", lan.ns),
             ("10.99.0.11", lan.ns)], act)


def test_bad_config_keeps_everything():
    conf(ROUTED)
    openrc("br0")
    service("net.br0", "start")
    before = snapshot()
    conf(ROUTED.replace("192.168.50.10", "192.168.51.10"))
    p = service("net.br0", "reload", check=False)
    assert p.rc != 0
    contains(p.out + p.err, "in no subnet of br0")
    p = service("net.br0", "checkconfig", check=False)
    assert p.rc != 0
    same(before, snapshot())
    # it can still be stopped
    service("net.br0", "stop")
    eq(ip("link", "show", "br0", check=False).rc, 1, "br0")


def test_start_fails_whole():
    """Somebody else's server on the port: start says so, and leaves nothing."""
    conf(ROUTED)
    openrc("br0")
    before = snapshot()
    other = subprocess.Popen(
        [sys.executable, "-c", "import socket, time; s = socket.socket("
         "socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 67)); "
         "time.sleep(60)"])
    time.sleep(0.3)
    p = service("net.br0", "start", check=False)
    assert p.rc != 0
    contains(p.out + p.err, "is another server on br0's ports 53 or 67?")
    same(before, snapshot())
    eq(run("pgrep", "-x", "dnsmasq", check=False).rc, 1)
    other.kill()
    service("net.br0", "start")


def test_runlevel_and_dependencies():
    Lan()
    conf("bridge br0 { uplink = eth0 }\nbridge br1 { mode = routed "
         "address = 192.168.7.1/24 }\n")
    openrc("br0", "br1")
    run("rc-update", "add", "net.br0", "default")
    assert re.search(r"net.br0 \|\s+default", run("rc-update", "show").out)
    run("rc-update", "-u", check=False)
    tree = open("/run/openrc/deptree").read()
    num = re.search(r"depinfo_(\d+)_service='net.br0'", tree).group(1)
    contains(tree, "depinfo_%s_iprovide_0='net'" % num)
    num = re.search(r"depinfo_(\d+)_service='net.br1'", tree).group(1)
    assert "depinfo_%s_iprovide_0='net'" % num not in tree
    p = service("netbr", "start", check=False)
    assert p.rc != 0
    contains(p.out + p.err, "ln -s netbr")
