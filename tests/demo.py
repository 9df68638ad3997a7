"""The story that `make demo` tells; runs in namespaces of its own."""
import os
import sys

import lib
from lib import *

CONF = """\
# over Wi-Fi the kernel refuses wlan0 in a bridge: br0 holds only the taps
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


def say(text):
    print("\n== " + text, flush=True)


def show(*argv, **kw):
    print("# " + " ".join(os.path.basename(str(a)) if i == 0 else str(a)
                          for i, a in enumerate(argv)), flush=True)
    p = run(*argv, **kw)
    text = (p.out + p.err).rstrip()
    if text:
        print("   " + text.replace("\n", "\n   "), flush=True)
    return p


def main():
    make_machine()
    lan = Lan(addrs=("10.99.0.1/24",), dev="wlan0")
    ip("addr", "add", "10.99.0.2/24", "dev", "wlan0")
    ip("route", "add", "default", "via", "10.99.0.1")

    say("A laptop with wlan0 (10.99.0.2) on a LAN; its /etc/vmnet.conf:")
    conf(CONF)
    print("   " + CONF.rstrip().replace("\n", "\n   "))

    say("netbr-gen turns it into the files the system reads")
    show(GEN, "write")

    say("The OpenRC service brings it up")
    openrc("br0")
    show("rc-service", "net.br0", "start")
    show("ip", "-br", "link")

    say("A real QEMU guest on tap0; its firmware asks for an address")
    show(GEN, "qemu", "win7")
    guest = Qemu("win7")
    wait_for("the guest's lease", lambda: os.path.exists(
        "/var/lib/netbr/br0.leases") and " win7 " in
        open("/var/lib/netbr/br0.leases").read(), 60)
    show("cat", "/var/lib/netbr/br0.leases")
    must_ping("192.168.50.10", timeout=30)
    show("ping", "-c", "2", "-i", "0.2", "-q", "192.168.50.10")

    say("What netbr sees")
    show(APPLY, "status")
    guest.stop()

    say("Out to the LAN: guests are masqueraded behind 10.99.0.2")
    time.sleep(0.2)
    tap = TapGuest("tap0", "52:54:00:12:34:56", ["192.168.50.10/24"],
                   "192.168.50.1")
    must_ping("10.99.0.1", ns=tap.ns)
    print("# (a guest on tap0, 192.168.50.10)")
    show("ping", "-c", "2", "-i", "0.2", "-q", "10.99.0.1", ns=tap.ns)
    print("# (the LAN host's neighbours: it has seen nobody but the laptop)")
    show("ip", "neigh", ns=lan.ns)
    tap.stop()

    say("Away again, and nothing is left")
    show("rc-service", "net.br0", "stop")
    show("ip", "-br", "link")
    say("That was it. README.md says how to do the same for real.")


if __name__ == "__main__":
    if os.getpid() == 1:
        import importlib
        runner = importlib.import_module("run")
        runner.be_init()
    main()
