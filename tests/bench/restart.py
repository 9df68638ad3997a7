"""rc-service restart, for bench.py: in namespaces and an OpenRC of its own
(tests/lib.py), restarts what each line on the standard input names, and says
how many milliseconds that took. First it says what there is.

    floor      a service that does nothing
    netbr      net.br0 with ten guests, converged
    netifrc    net.br1 with ten taps, from the block that netbr-gen writes;
               if netifrc is installed"""
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lib import *       # noqa: E402

NETIFRC = "/etc/init.d/net.lo"      # with its functions in /lib/netifrc


def config(bridge, tap, number):
    return "bridge %s { mode = isolated address = 10.%d.0.1/24 }\n" % (
        bridge, number) + "".join(
        "guest %s%d { bridge = %s tap = %s%d mac = 52:54:00:00:%02x:%02x "
        "owner = 1 }\n" % (tap, i, bridge, tap, i, number, i)
        for i in range(10))


def main():
    script = None
    if os.path.exists(NETIFRC):
        with open(NETIFRC) as f:
            script = f.read()
    make_machine()
    openrc("br0")
    with open("/etc/init.d/nothing", "w") as f:
        f.write("#!/sbin/openrc-run\nstart() {\n\t:\n}\nstop() {\n\t:\n}\n")
    os.chmod("/etc/init.d/nothing", 0o755)
    services = {"floor": "nothing", "netbr": "net.br0"}
    if script:
        # netifrc's turn first, for the block it reads; then ours joins it
        conf(config("br1", "n", 2))
        gen("-q", "write")
        with open(NETIFRC, "w") as f:
            f.write(script)
        os.chmod(NETIFRC, 0o755)
        for name in ["br1"] + ["n%d" % i for i in range(10)]:
            os.symlink("net.lo", "/etc/init.d/net." + name)
        service("net.br1", "start")
        services["netifrc"] = "net.br1"
        shutil.copy("/etc/conf.d/net", "/run/netifrc-net")
    conf(config("br0", "t", 1))
    for name in ("nothing", "net.br0"):
        service(name, "start")
    # what start wrote is older than OpenRC's list of dependencies by then
    time.sleep(1.1)
    run("rc-update", "-u")
    print(" ".join(services), flush=True)
    for line in sys.stdin:
        name = line.strip()
        if name == "netifrc":
            shutil.copy("/run/netifrc-net", "/etc/conf.d/net")
        t = time.perf_counter()
        service(services[name], "restart")
        print((time.perf_counter() - t) * 1e3, flush=True)


main()
