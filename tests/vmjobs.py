#!/usr/bin/env python3
"""What runs inside the machine of vm.py: real mac80211 radios, hostapd and
wpa_supplicant. Jobs by name; each prints a note of what it took."""
import sys

from uplinks import *

CONFIG = """
bridge br0 {
    mode    = %s
    uplink  = wlan0
    address = { "%s.20/24", "%s::20/64" }
    gateway = { "%s.1", "%s::1" }
}
guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = { "%s.31", "%s::31" } }
guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = "%s.32" }
guest c { tap = tap2 mac = 52:54:00:00:00:03 }
"""


def config(mode):
    conf(CONFIG % (mode, NET, NET6, NET, NET6, NET, NET6, NET))


class Wifi(Network):
    """The same network, the access point a real one."""

    def __init__(self, wpa=False, wds=False, extra=""):
        self.wpa, self.extra = wpa, extra
        if wds:
            self.extra += "\nwds_sta=1\nwds_bridge=lan"
        sh("modprobe mac80211_hwsim radios=2; modprobe tun")
        Network.__init__(self, "wlan0", True)

    def cable(self, uplink, station, filtered):
        phy = sh("iw dev wlan1 info").out.split("wiphy ")[1].split()[0]
        sh("""iw phy phy%s set netns name %s
              ip -n %s link set wlan1 down
              ip -n %s link set wlan1 name ap0""" % ((phy,) + 3 * (self.ap,)))
        ip("link", "set", uplink, "address", STATION)
        self.access_point()
        with open("/run/wpa.conf", "w") as f:
            f.write("ctrl_interface=/run/wpa\nnetwork={\nssid=\"lab\"\n"
                    "scan_freq=2412\n%s\n}\n" % (
                        'psk="labsecret"' if self.wpa else "key_mgmt=NONE"))
        ip("link", "set", uplink, "up")
        run("wpa_supplicant", "-B", "-Dnl80211", "-i" + uplink,
            "-c/run/wpa.conf", "-P/run/wpa.pid")
        self.connected()

    def access_point(self):
        with open("/run/hostapd.conf", "w") as f:
            f.write("interface=ap0\nbridge=lan\ndriver=nl80211\nssid=lab\n"
                    "hw_mode=g\nchannel=1\n%s\n%s\n" % (
                        "wpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise=CCMP\n"
                        "wpa_passphrase=labsecret" if self.wpa else "",
                        self.extra))
        run("hostapd", "-B", "-P", "/run/hostapd.pid", "/run/hostapd.conf",
            ns=self.ap)

    def connected(self):
        wait_for("the association", lambda: "COMPLETED" in run(
            "wpa_cli", "-p", "/run/wpa", "-i", "wlan0", "status",
            check=False).out, 30)


def ends():
    """What was started here ends with the job."""
    for f in ("/run/wpa.pid", "/run/hostapd.pid"):
        try:
            os.kill(int(open(f).read()), signal.SIGTERM)
        except OSError:
            pass


def three():
    return (Guest("tap0", "52:54:00:00:00:01", NET + ".31", NET6 + "::31"),
            Guest("tap1", "52:54:00:00:00:02", NET + ".32"),
            Guest("tap2", "52:54:00:00:00:03"))


def all_cells(net):
    """The whole matrix, with a lease of the LAN's server and SLAAC."""
    guests = three()
    eq(guests[2].take_lease(), NET + ".1", "the LAN's DHCP server")
    guests[1].slaac()
    guests[2].slaac()
    result = cells(net, guests, (NET + ".20", NET6 + "::20"), "br0")
    eq(sorted(n for n, good in result.items() if not good), [],
       "cells that fail, of %d" % len(result))
    print("note: %d cells" % len(result))
    return guests


def finish(net, guests):
    for g in guests:
        g.g.stop()
    down()
    wait_for("the host on wlan0 again", lambda: ping(NET + ".9"))
    ends()


def macnat_open():
    """auto takes macnat and says why; bridged is refused and explained."""
    net = Wifi()
    # the article's error, from the kernel itself
    ip("link", "add", "brx", "type", "bridge")
    p = ip("link", "set", "wlan0", "master", "brx", check=False)
    assert p.rc and "Device does not allow enslaving" in p.err, p.err
    ip("link", "del", "brx")
    config("bridged")
    p = apply("plan", check=False)
    eq(p.rc, 1)
    contains(p.err, "wlan0 is a Wi-Fi station: the kernel refuses it as a "
             "bridge port (Operation not supported), and the access point "
             "drops foreign MACs")
    config("auto")
    contains(apply("plan", check=False).err, "br0: mode auto is macnat: wlan0 "
             "is a Wi-Fi station: the kernel refuses it as a bridge port, and "
             "the access point drops foreign MACs")
    up()
    in_sync()
    guests = all_cells(net)
    finish(net, guests)


JOBS = {f.__name__: f for f in (macnat_open,)}

if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        t = time.time()
        JOBS[name]()
        print("note: %-28s %.1f s" % (name, time.time() - t))
