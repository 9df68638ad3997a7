"""The block in /etc/conf.d/net does what `netbr-apply up` does.

netifrc itself is packaged by no distribution that CI runs on; this plays its
steps, as conf.d/net's own documentation has them, on what a shell makes of the
block: tuntap_ and iproute2_ with `ip tuntap`, bridge_KEY_ and brport_KEY_ into
sysfs in alphabetical order (centiseconds), mac_, mtu_, config_ one a line,
routes_ by `ip route append`. The two kernel states must be equal."""
import json
import os

from lib import *
from t_config import ARTICLE


def variables():
    out = run("sh", "-c", ". /etc/conf.d/net; set").out
    found = {}
    for m in re.finditer(r"^(\w+)='((?:[^']|'\\'')*)'$", out, re.M):
        found[m.group(1)] = m.group(2)
    return found


def write(path, value):
    with open(path, "w") as f:
        f.write(value)


def play(names):
    """Starts net.X for each name (ports first), as netifrc would."""
    v = variables()
    for name in names:
        var = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if "tuntap_" + var in v:
            ip("tuntap", "add", "dev", name, "mode", v["tuntap_" + var],
               *v.get("iproute2_" + var, "").split())
        ports = v.get("bridge_" + var)
        if ports is not None:
            ip("link", "add", name, "type", "bridge")
            options = sorted(k for k in v if re.fullmatch(
                r"bridge_[a-z_]+_" + var, k))
            for k in options:
                write("/sys/class/net/%s/bridge/%s" % (
                    name, k[len("bridge_"):-len(var) - 1]), v[k])
            for p in ports.split():
                ip("addr", "flush", "dev", p)
                ip("link", "set", p, "master", name)
                write("/proc/sys/net/ipv6/conf/%s/disable_ipv6" % p, "1")
                pvar = re.sub(r"[^A-Za-z0-9_]", "_", p)
                for k in v:
                    if re.fullmatch(r"brport_[a-z_]+_" + pvar, k):
                        write("/sys/class/net/%s/brport/%s" % (
                            p, k[len("brport_"):-len(pvar) - 1]), v[k])
        if "mac_" + var in v:
            ip("link", "set", name, "address", v["mac_" + var])
        if "mtu_" + var in v:
            ip("link", "set", name, "mtu", v["mtu_" + var])
        ip("link", "set", name, "up")
        for a in v["config_" + var].split("\n"):
            if a not in ("null", "dhcp"):
                ip("addr", "add", *a.split(), *(
                    ["brd", "+"] if ":" not in a else ["nodad"]), "dev", name)
        for r in v.get("routes_" + var, "").split("\n"):
            if r:
                ip("route", "append", *r.split(), "dev", name)


def state():
    """What both must agree on: links with their options, addresses, routes."""
    time.sleep(0.3)
    out = []
    for l in sorted(json.loads(ip("-d", "-j", "link").out),
                    key=lambda l: l["ifname"]):
        info = l.get("linkinfo", {})
        data = {k: info.get("info_data", {}).get(k) for k in (
            "forward_delay", "hello_time", "max_age", "ageing_time",
            "stp_state", "priority", "user", "group", "multi_queue",
            "persist")}
        out.append((l["ifname"], l["address"], l["mtu"], l.get("master"),
                    "UP" in l["flags"], info.get("info_slave_data", {}).get(
                        "isolated"), data))
    for l in json.loads(ip("-j", "addr").out):
        for a in l["addr_info"]:
            if a.get("scope") != "link":
                out.append((l["ifname"], a["local"], a["prefixlen"],
                            a.get("broadcast")))
    routes = ip("route").out + ip("-6", "route").out
    out += sorted(re.sub(r"linkdown|proto \w+ ?", "", r).split()
                  for r in routes.splitlines() if "fe80" not in r)
    return json.dumps(out, indent=1)


def test_block_gives_the_same_kernel_state():
    examples = [t for pair in ARTICLE.values() for t in pair] + [
        "bridge br0 { mode = isolated mtu = 1400 isolate = on }\n"
        "guest a { tap = tap0 owner = daemon group = tty "
        "mac = 52:54:00:00:00:01 }\n",
        "bridge br-a.1 { uplink = eth0 address = { 10.99.0.2/24, "
        "\"fd99::2/64\" } gateway = { 10.99.0.1, \"fd99::1\" } "
        "routes = { \"10.7.0.0/16 via 10.99.0.1\", "
        "\"10.8.0.0/16 via 10.99.0.1 metric 7\" } stp = on "
        "forward_delay = 4 priority = 100 ageing_time = 60 }\n"
        "guest a { tap = t-a mac = 52:54:00:00:00:01 }\n"]
    for text in examples:
        lan = Lan()
        conf("firewall = none\n" + text)
        gen("-q", "write")
        model = json.loads(apply("--json", "status", check=False).out)
        b = model["bridges"][0]
        up()
        ours = state()
        down()
        play([p["name"] for p in b["ports"]] + [b["name"]])
        same(ours, state())
        for p in b["ports"]:
            if p["name"] != "eth0":
                ip("link", "del", p["name"])
        ip("link", "del", b["name"])
        ip("netns", "del", lan.ns)
        wait_for("eth0 to go", lambda: ip("link", "show", "eth0",
                                          check=False).rc)
    print("note: %d configurations, equal states" % len(examples))
