"""doctor: a host set up to have a pain, the check that names it, and its
remedy, applied as it is printed, that cures it. And what netbr does itself
where others live: coexist, leases."""
import os
import shutil
import signal

from lib import *
from t_apply import DOCKER

BR0 = "bridge br0 { uplink = eth0 address = 10.99.0.2/24 %s }\n"
BR1 = """bridge br1 { mode = routed address = 192.168.50.1/24 %s }
guest a { bridge = br1 tap = tap1 mac = 52:54:00:00:00:01 ip = 192.168.50.10 %s }
"""
PLAIN = BR0 % "" + BR1 % ("", "")


def findings():
    p = apply("--json", "doctor", check=False)
    f = json.loads(p.out)
    eq(f["version"], 1)
    eq(p.rc, 3 if f["findings"] else 0, p.err)
    return f["findings"]


def checks():
    return sorted((f["check"], f.get("bridge", "")) for f in findings())


def healthy(text=PLAIN, gen_too=False):
    Lan()
    sh("ip addr add 10.99.0.2/24 dev eth0; ip route add default via "
       "10.99.0.1")
    # no sign of the machine that the tests run on
    sh("rm -rf /etc/NetworkManager /etc/systemd/network /etc/dhcpcd.conf "
       "/etc/runlevels /etc/init.d/net.* /etc/conf.d/iptables "
       "/etc/conf.d/nftables; mkdir -p /etc/conf.d")
    conf(text)
    if gen_too:
        gen("-q", "write")
    up()
    eq(findings(), [])
    contains(apply("doctor").out, "nothing found")


def cured(check, bridge, *evidence, remedy=None):
    """Named, with its evidence; the remedy is run as it stands; then gone."""
    f = [f for f in findings() if f["check"] == check and
         f.get("bridge", "") == bridge]
    assert f, (check, findings())
    for e in evidence:
        contains(f[0]["evidence"], e)
    p = apply("doctor", check=False)
    contains(p.out, f[0]["evidence"])
    contains(p.out, "remedy: " + f[0]["remedy"])
    before = steady()
    apply("doctor", check=False)
    same(before, snapshot())    # it changes nothing
    if remedy:
        remedy(f[0]["remedy"])
    else:
        sh(f[0]["remedy"].replace("netbr-apply", APPLY)
           .replace("netbr-gen", GEN))
    left = [g for g in findings() if g["check"] == check and
            g.get("bridge", "") == bridge]
    eq(left, [], "after the remedy")


def no_docker():
    """Docker's rules again without what it lets others put there."""
    sh("iptables -F; iptables -P FORWARD ACCEPT; iptables -X", check=False)


class Named:
    """A process of a certain name and arguments that does nothing."""

    def __init__(self, name, *args):
        path = "/run/" + name
        shutil.copy(run("sh", "-c", "command -v sleep").out.strip(), path)
        # arguments beyond the first are only for show
        self.p = subprocess.Popen([path, "1000"] if not args else
                                  [path] + list(args), executable=path
                                  if not args else "/bin/sh") \
            if not args else subprocess.Popen(
                ["python3", "-c", "import ctypes, time\n"
                 "ctypes.CDLL(None).prctl(15, b'%s', 0, 0, 0)\n"
                 "time.sleep(1000)" % name] + list(args))
        time.sleep(0.3)

    def stop(self):
        self.p.kill()
        self.p.wait()


# ---- firewalls -------------------------------------------------------------

def test_docker():
    """Its FORWARD DROP, for bridged guests (by bridge-nf-call-iptables) and
    routed ones: proved with traffic, before and after."""
    healthy()
    lan = "n1"
    a = TapGuest("tap1", "52:54:00:00:00:01", ["192.168.50.10/24"],
                 "192.168.50.1")
    b = veth_guest("br0", "vnet0", "52:54:00:00:00:07", ["10.99.0.7/24"])
    sh("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
    must_ping("10.99.0.1", ns=a.ns)
    must_ping("10.99.0.1", ns=b)
    run("iptables-restore", "--noflush", input=DOCKER)
    assert not ping("10.99.0.1", ns=a.ns, timeout=1)
    assert not ping("10.99.0.1", ns=b, timeout=1)
    cured("docker-forward", "br1", "policy of iptables' FORWARD chain to DROP")
    must_ping("10.99.0.1", ns=a.ns)
    cured("docker-forward", "br0", "bridge-nf-call-iptables = 1")
    must_ping("10.99.0.1", ns=b)
    eq(findings(), [])


def test_later_drop():
    """A firewall of the administrator's whose chain comes after ours."""
    healthy()
    a = TapGuest("tap1", "52:54:00:00:00:01", ["192.168.50.10/24"],
                 "192.168.50.1")
    run("nft", "-f", "-", input="table inet mine {\n chain fw {\n type filter "
        "hook forward priority 10; policy drop;\n ct state established "
        "accept\n }\n}\n")
    assert not ping("10.99.0.1", ns=a.ns, timeout=1)
    cured("later-drop", "br1", "inet mine fw")
    must_ping("10.99.0.1", ns=a.ns)
    # one that accepts by policy, but ends with a reject
    sh("nft delete table inet mine")
    run("nft", "-f", "-", input="table inet mine {\n chain fw {\n type filter "
        "hook forward priority 10;\n ct state established accept\n"
        " counter reject\n }\n}\n")
    assert not ping("10.99.0.1", ns=a.ns, timeout=1)
    cured("later-drop", "br1", "inet mine fw")
    must_ping("10.99.0.1", ns=a.ns)


def system_bus():
    """A D-Bus of this test's machine."""
    os.makedirs("/run/dbus", exist_ok=True)
    subprocess.Popen(["dbus-daemon", "--system", "--nofork", "--nopidfile"])
    wait_for("the bus", lambda: os.path.exists("/run/dbus/system_bus_socket"))


def firewalld():
    system_bus()
    p = subprocess.Popen(["firewalld", "--nofork", "--nopid"],
                         stdout=open("/run/firewalld.log", "w"),
                         stderr=subprocess.STDOUT)
    wait_for("firewalld", lambda: run("firewall-cmd", "--state",
                                      check=False).rc == 0, 30)
    return p


def test_firewalld():
    """The real one: what guests forward is rejected; the remedy; and then
    coexist, which does it by itself, again after a reload, and not after
    down."""
    healthy()
    a = TapGuest("tap1", "52:54:00:00:00:01", ["192.168.50.10/24"],
                 "192.168.50.1")
    p = firewalld()
    run("firewall-cmd", "-q", "--add-interface=eth0")
    assert not ping("10.99.0.1", ns=a.ns, timeout=1)
    cured("firewalld", "br1", "firewalld (pid %d) runs" % p.pid)
    must_ping("10.99.0.1", ns=a.ns)
    run("firewall-cmd", "-q", "--zone=trusted", "--remove-interface=br1")
    zone = lambda: run("firewall-cmd", "--get-zone-of-interface=br1",
                       check=False).out.strip()
    assert zone() != "trusted"
    conf(PLAIN.replace("mode = routed", "mode = routed "
                       "coexist = { firewalld }"))
    contains(apply("plan", check=False).out,
             "put br1 into firewalld's zone trusted")
    up()
    in_sync()
    eq(zone(), "trusted")
    must_ping("10.99.0.1", ns=a.ns)
    # somebody starts it anew: it has forgotten; up heals
    run("firewall-cmd", "-q", "--zone=trusted", "--remove-interface=br1")
    contains(apply("status", check=False).out,
             "drift: br1 firewalld zone: wanted trusted, is none")
    up()
    must_ping("10.99.0.1", ns=a.ns)
    a.stop()
    down()
    assert zone() != "trusted"
    p.terminate()
    p.wait()


def test_coexist_docker():
    """Exactly one jump in the place that Docker provides; again after Docker
    has started anew; gone after down; everybody's rules as they were."""
    for backend in ("nftables", "iptables"):
        text = "firewall = %s\n" % backend + \
            BR0 % "coexist = { docker }" + BR1 % ("coexist = { docker }", "")
        if backend == "nftables":
            healthy("firewall = nftables\n" + PLAIN)
            down()
            run("iptables-restore", "--noflush", input=DOCKER)
            theirs = run("iptables-save").out
        rules = lambda: [l for l in run("iptables-save").out.splitlines()
                         if l.startswith("-") and "netbr" not in l]
        before = rules()
        conf(text)
        up()
        eq(apply("plan", check=False).out, "")
        eq([c for c in checks() if c[0] == "docker-forward"], [])
        eq(rules(), before)
        saved = run("iptables-save").out
        for b in ("br0", "br1"):
            eq(saved.count("-A DOCKER-USER -j netbr-%s-c" % b), 1)
        a = TapGuest("tap1", "52:54:00:00:00:01", ["192.168.50.10/24"],
                     "192.168.50.1")
        g = veth_guest("br0", "vnet0", "52:54:00:00:00:07", ["10.99.0.7/24"])
        sh("sysctl -qw net.bridge.bridge-nf-call-iptables=1")
        must_ping("10.99.0.1", ns=a.ns)
        must_ping("10.99.0.1", ns=g)
        # Docker starts anew and has forgotten what was in its place
        sh("iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN")
        eq(apply("status", check=False).rc, 3)
        up()
        must_ping("10.99.0.1", ns=a.ns)
        a.stop()
        ip("link", "del", "vnet0")
        down()
        eq(rules(), before)
        assert "netbr" not in run("iptables-save").out


def test_saved_rules():
    healthy()
    with open("/etc/conf.d/nftables", "w") as f:
        f.write('SAVE_ON_STOP="yes"\n')
    cured("saved-rules", "", "SAVE_ON_STOP")


# ---- other managers --------------------------------------------------------

def test_network_manager():
    healthy()
    p = Named("NetworkManager")
    os.makedirs("/etc/NetworkManager/conf.d")
    with open("/run/nmcli", "w") as f:
        f.write("#!/bin/sh\nexit 0\n")
    os.chmod("/run/nmcli", 0o755)
    os.environ["PATH"] += ":/run"
    cured("other-manager", "br0", "NetworkManager (pid %d)" % p.p.pid)
    cured("other-manager", "br1", "NetworkManager")
    p.stop()


def test_networkd():
    healthy()
    p = Named("systemd-network")
    os.makedirs("/etc/systemd/network", exist_ok=True)
    cured("other-manager", "br0", "systemd-networkd (pid %d)" % p.p.pid)
    p.stop()


def test_dhcpcd_for_everything():
    healthy()
    # its file counts: root's, in a folder of root's
    os.makedirs("/etc/sbin", 0o755)
    shutil.copy(shutil.which("sleep"), "/etc/sbin/dhcpcd")
    p = subprocess.Popen(["dhcpcd: [manager] [ip4]", "1000"],
                         executable="/etc/sbin/dhcpcd")
    time.sleep(0.3)
    cured("other-manager", "br0", "a dhcpcd serves every interface")
    p.kill()
    p.wait()


def test_netifrc():
    healthy()
    os.makedirs("/etc/init.d", exist_ok=True)
    os.makedirs("/etc/runlevels/default", exist_ok=True)
    os.symlink("net.lo", "/etc/init.d/net.eth0")
    os.symlink("/etc/init.d/net.eth0", "/etc/runlevels/default/net.eth0")
    with open("/etc/conf.d/net", "w") as f:
        f.write('config_eth0="dhcp"\n')
    found = [f for f in findings() if f["check"] == "other-manager"]
    contains(found[0]["evidence"], "net.eth0 is in a runlevel")
    os.unlink("/etc/conf.d/net")
    cured("other-manager", "br0", "net.eth0 is in a runlevel")


# ---- servers ---------------------------------------------------------------

def test_port_in_use():
    """A named on port 53 (or any server on 67) of all addresses: with pid."""
    text = BR1 % ("dhcp { }", "")
    healthy(text, True)
    sh("kill $(cat /run/netbr/dnsmasq-br1.pid)")
    wait_for("dnsmasq to end", lambda: run("pgrep", "-x", "dnsmasq",
                                           check=False).rc == 1)
    time.sleep(0.2)
    p = subprocess.Popen(
        ["python3", "-c", "import socket, time\n"
         "s = [socket.socket(2, 2) for _ in range(2)]\n"
         "s[0].bind(('0.0.0.0', 53)); s[1].bind(('0.0.0.0', 67))\n"
         "time.sleep(1000)", "named"])
    wait_for("the port", lambda: ":0043 " in open("/proc/net/udp").read())
    eq(up(check=False).rc, 1)
    cured("port-in-use", "br1", "(pid %d) has UDP port" % p.pid)
    p.wait()
    up()


def leased(ns, want):
    p = run("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "6", "-T", "1",
            "-s", "/bin/true", ns=ns, check=False, timeout=30)
    contains(p.out + p.err, "lease of %s" % want)
    return re.search(r"lease of ([\d.]+)", p.out + p.err).group(1)


def test_leases():
    """Reserved, active, conflicting; a changed reservation releases exactly
    the lease that is in its way, and the guest gets its address."""
    text = """bridge br1 { mode = routed address = 192.168.50.1/24
    dhcp { range = { 192.168.50.100, 192.168.50.120 } } }
guest one { tap = none mac = 52:54:00:00:00:01 ip = %s }
"""
    healthy(text % "192.168.50.10", True)
    x = veth_guest("br1", "vx", "52:54:00:00:00:0a")
    y = veth_guest("br1", "vy", "52:54:00:00:00:0b")
    one = veth_guest("br1", "v1", "52:54:00:00:00:01")
    ax, ay = leased(x, "192.168.50.1"), leased(y, "192.168.50.1")
    j = json.loads(apply("--json", "leases").out)
    states = {l["lease"]: l["state"] for l in j["bridges"][0]["leases"]}
    eq(states, {ax: "active", ay: "active", "192.168.50.10": "reserved"})
    leased(one, "192.168.50.10")
    contains(apply("leases").out, "192.168.50.10   52:54:00:00:00:01  "
             "active      one")
    # the reservation moves to where x is
    conf(text % ax)
    p = apply("leases", check=False)
    eq(p.rc, 3)
    contains(p.out, "conflicting")
    contains(p.out, "but it is reserved for one")
    contains(apply("doctor", check=False).out, "stale-lease: %s is reserved "
             "for one, but leased to 52:54:00:00:00:0a" % ax)
    gen("-q", "write")
    contains(apply("plan", check=False).out, "release %s, leased to "
             "52:54:00:00:00:0a, for guest one" % ax)
    before = open("/run/netbr/dnsmasq-br1.pid").read()
    up()
    in_sync()
    eq(open("/run/netbr/dnsmasq-br1.pid").read(), before)
    text = open("/var/lib/netbr/br1.leases").read()
    assert ax not in text, text
    contains(text, ay)
    leased(one, ax)
    assert leased(x, "192.168.50.1") != ax
    eq(leased(y, "192.168.50.1"), ay)
    eq(findings(), [])


# ---- the kernel, taps, QEMU, what is missing ---------------------------------

def test_rp_filter():
    healthy()
    sh("""ip link add wg9 type veth peer name wg9p; ip link set wg9 up
          ip link set wg9p up
          ip route add 192.168.50.128/25 dev wg9
          sysctl -qw net.ipv4.conf.all.rp_filter=1""")
    cured("rp-filter", "br1", "192.168.50.128/25", "wg9")


def test_accept_ra():
    healthy()
    sh("""ip addr add 2001:db8::5/64 dev lo valid_lft 600 preferred_lft 600
          ip link add up0 type veth peer name up0p; ip link set up0 up
          ip link set up0p up
          ip addr add 2001:db8:1::5/64 dev up0 valid_lft 600 preferred_lft 600
          sysctl -qw net.ipv6.conf.all.forwarding=1
          sysctl -qw net.ipv6.conf.lo.accept_ra=2""")
    cured("accept-ra", "", "up0 has its IPv6 address from a router")


def test_mtu():
    healthy()
    sh("ip link add vnet0 type veth peer name v0; ip link set vnet0 master "
       "br1; ip link set vnet0 mtu 1400; ip link set br1 mtu 1500")
    cured("mtu", "br1", "port vnet0 is 1400, that of br1 1500")


def test_tap_owner():
    run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    sh("mknod /mnt/tun c 10 200; chmod 0666 /mnt/tun; "
       "mount --bind /mnt/tun /dev/net/tun")
    healthy(PLAIN.replace("ip = 192.168.50.10", "owner = daemon "
                          "ip = 192.168.50.10"))
    os.chmod("/dev/net/tun", 0o660)
    cured("tap-owner", "br1", "tap1 belongs to daemon", "mode 0660")


def test_qemu_flags():
    healthy(PLAIN.replace("ip = 192.168.50.10", "model = virtio-net-pci "
                          "ip = 192.168.50.10"))

    def qemu(*args):
        return Named("qemu-system-x86", *args)

    q = [qemu("-netdev", "tap,id=a,ifname=tap1,script=no,vnet_hdr=off",
              "-netdev", "tap,id=b,ifname=tap10,vnet_hdr=on")]

    def remedy(words):
        guest = re.search(r"netbr-gen qemu (\w+)", words).group(1)
        q[0].stop()
        q[0] = qemu(*gen("qemu", guest).out.split())

    cured("qemu-flags", "br1", "QEMU (pid %d)" % q[0].p.pid, "vnet_hdr=on",
          remedy=remedy)
    q[0].stop()


def test_stp_delay():
    text = BR0 % "stp = on forward_delay = 15"
    Lan()
    conf(text)
    up()

    def remedy(words):
        m = re.search(r"set (forward_delay = 2) in bridge br0", words)
        conf(text.replace("forward_delay = 15", m.group(1)))
        up()

    cured("stp-delay", "br0", "first 30 seconds", remedy=remedy)


def hide(program):
    path = os.path.realpath(run("sh", "-c", "command -v " + program)
                            .out.strip())
    run("mount", "--bind", "/dev/null", path)
    return path


def test_missing_helpers():
    """Each named with its package; installing it (taking the cover off) is
    the remedy."""
    for text, program, bridge in (
            ("firewall = nftables\n" + PLAIN, "nft", "br1"),
            ("firewall = iptables\n" + PLAIN, "iptables-restore", "br1"),
            (BR1 % ("dhcp { }", ""), "dnsmasq", "br1")):
        conf(text)
        Lan() if not os.path.exists("/sys/class/net/eth0") else None
        path = hide(program)
        f = [f for f in findings() if f["check"] == "missing-helper"]
        assert f, (program, findings())
        contains(f[0]["evidence"], program + " is not installed")
        contains(f[0]["remedy"], "install ")
        run("umount", path)
        eq([f for f in findings() if f["check"] == "missing-helper"], [])


def test_missing_kernel_pieces():
    """nft -c asks the kernel: the option is named. Here a nft that reports
    what a kernel without it does."""
    healthy()
    path = os.path.realpath(run("sh", "-c", "command -v nft").out.strip())
    with open("/run/fake-nft", "w") as f:
        f.write("#!/bin/sh\n[ \"$1\" = -c ] || exit 0\necho '/dev/stdin:40:1-9"
                ": Error: Could not process rule: No such file or directory"
                "' >&2\necho 'add rule inet netbr-br1 prerouting fib daddr "
                "type local' >&2\nexit 1\n")
    os.chmod("/run/fake-nft", 0o755)
    run("mount", "--bind", "/run/fake-nft", path)
    f = [f for f in findings() if f["check"] == "kernel"]
    contains(f[0]["remedy"], "CONFIG_NFT_FIB_INET")
    run("umount", path)
    eq(findings(), [])


def test_no_tun():
    healthy()
    run("mount", "-t", "tmpfs", "tmpfs", "/dev/net")
    f = [f for f in findings() if f["check"] == "kernel"]
    contains(f[0]["evidence"], "there is no /dev/net/tun")
    contains(f[0]["remedy"], "mknod /dev/net/tun c 10 200")
    sh("mknod /dev/net/tun c 10 200")
    eq(findings(), [])
