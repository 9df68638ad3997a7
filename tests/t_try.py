"""try, confirm, revert: it goes back by itself, whatever becomes of the one
who started it.

    lan namespace                this namespace                guests
    10.99.0.1 ─ lan0 ─────────── eth0 ─┐
                                       br0 ─┬─ tap0 ── a process
                                            └─ vnet0 ─ a namespace
"""
import os
import pty
import select

from lib import *

OLD = """
bridge br0 {
    uplink  = eth0
    address = 10.99.0.2/24
    gateway = 10.99.0.1
}
bridge br1 {
    mode    = routed
    address = 192.168.50.1/24
    dhcp { range = { 192.168.50.100, 192.168.50.199 } }
}
guest one { bridge = br0 tap = tap0 mac = 52:54:00:00:00:01 }
guest two { bridge = br1 tap = tap1 mac = 52:54:00:00:00:02 ip = 192.168.50.10 }
"""

# everything that up changes: STP and timers, firewall and sysctls (br1 no
# longer routes), dnsmasq, a new guest, an address, and the files
NEW = """
bridge br0 {
    uplink  = eth0
    address = { 10.99.0.2/24, 10.99.0.22/24 }
    gateway = 10.99.0.1
    stp = on
    forward_delay = 4
    ageing_time = 60
    priority = 4096
}
bridge br1 {
    mode    = isolated
    address = 192.168.50.1/24
    dhcp { range = { 192.168.50.120, 192.168.50.199 } }
}
guest one { bridge = br0 tap = tap0 mac = 52:54:00:00:00:01 }
guest two { bridge = br1 tap = tap1 mac = 52:54:00:00:00:02 ip = 192.168.50.11 }
guest three { bridge = br0 tap = tap2 mac = 52:54:00:00:00:03 }
"""

FILES = ("/etc/conf.d/net", "/etc/dnsmasq.d/netbr-br1.conf",
         "/var/lib/netbr/br1.hosts", "/etc/netbr/br1.nft",
         "/etc/sysctl.d/90-netbr.conf", "/etc/qemu/bridge.conf")


def files():
    return {f: open(f, "rb").read() if os.path.exists(f) else None
            for f in FILES}


def steady(text):
    """Without br1's link-local address: no guest is on it, and whether the
    kernel gives it one depends on how soon it notices (link watch)."""
    return "".join(l for l in text.splitlines(True) if not (
        "br1" in l and ("fe80::" in l or "ff00::/8" in l)))


class World:
    def __init__(self):
        self.lan = Lan()
        sh("""ip addr add 10.99.0.2/24 dev eth0
              ip route add default via 10.99.0.1""")
        os.makedirs("/etc/conf.d", exist_ok=True)
        with open("/etc/conf.d/net", "w") as f:
            f.write('# mine, caf\xe9\nconfig_eth5="dhcp"\n')
        conf(OLD)
        gen("-q", "write")
        up()
        self.guest = TapGuest("tap0", "52:54:00:00:00:01", ["10.99.0.11/24"])
        must_ping("10.99.0.1", ns=self.guest.ns)
        must_ping("10.99.0.11", ns=self.lan.ns)
        self.pid = open("/run/netbr/dnsmasq-br1.pid").read()
        self.before, self.files = snapshot(), files()

    def change(self, stp=True):
        # with STP the timeout has a minimum of 18 s
        conf(NEW if stp else NEW.replace("stp = on", "stp = off"))
        gen("-q", "write")
        assert files() != self.files

    def is_old(self, before=None, now=None):
        same(steady(before or self.before), steady(now or snapshot()))
        eq(files(), self.files)
        contains(open("/proc/%s/cmdline" % open(
            "/run/netbr/dnsmasq-br1.pid").read().strip()).read(), "dnsmasq")
        # its settings are those of the old files again
        conf(OLD)
        p = apply("plan", check=False)
        eq((p.rc, p.out), (0, ""), p.err)

    def is_new(self):
        p = apply("plan", check=False)
        eq((p.rc, p.out), (0, ""), p.err)
        contains(ip("addr", "show", "br0").out, "10.99.0.22/24")


def start(*args, **kw):
    return subprocess.Popen([APPLY, *args, "try"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **kw)


def waiting():
    return os.path.exists("/run/netbr/try.sock")


def is_waiting():
    wait_for("the try to wait", waiting)


def has_ended(timeout=30):
    wait_for("the try to go back", lambda: not waiting(), timeout)
    # the lock is free again: all is done
    wait_for("the lock", lambda: apply("--wait", "0", "--json", "revert",
                                       check=False).rc != 75)


def meters(w):
    return [("10.99.0.1", w.guest.ns), ("10.99.0.2", w.lan.ns),
            ("10.99.0.11", w.lan.ns)]


def test_not_confirmed_goes_back():
    """Everything: STP, timers, addresses, taps, firewall, sysctls, dnsmasq
    and files; and no guest loses a packet on the way there and back."""
    w = World()
    w.change()

    def act():
        p = start("--timeout", "1")
        err = p.communicate(timeout=60)[1].decode()
        eq(p.returncode, 5, err)
        contains(err, "the timeout is raised from 1 to 18 s: br0's ports "
                 "forward 8 s after they are up")
        contains(err, "not confirmed: the old state is in force")

    no_loss(meters(w), act)
    w.is_old()


def test_confirmed_stays():
    w = World()
    w.change()
    p = start("--timeout", "30")
    is_waiting()
    w.is_new()
    contains(apply("status", check=False).out, "a try waits for confirmation: ")
    j = json.loads(apply("--json", "status", check=False).out)
    assert 20 < j["try_left_s"] <= 30, j["try_left_s"]
    # nobody else changes anything meanwhile
    q = apply("--wait", "0", "up", check=False)
    eq(q.rc, 75)
    contains(q.err, "a try that waits for 'netbr-apply confirm'")
    eq(start("--wait", "0").wait(), 75)
    eq(apply("confirm").rc, 0)
    eq(p.wait(), 0)
    w.is_new()
    assert not os.path.exists("/run/netbr/files.json")
    p = apply("confirm", check=False)
    eq(p.rc, 1)
    contains(p.err, "no try waits")
    w.is_new()
    in_sync()


def test_reverted_by_hand():
    w = World()
    w.change()
    p = start("--timeout", "50")
    is_waiting()
    w.is_new()
    eq(apply("revert").rc, 0)
    eq(p.wait(), 5)
    w.is_old()
    p = apply("revert", check=False)
    eq(p.rc, 1)
    contains(p.err, "no try waits")


def test_caller_killed():
    """SIGKILL of the caller: the time goes on, then it goes back."""
    w = World()
    w.change(stp=False)
    p = start("--timeout", "4")
    is_waiting()
    p.kill()
    p.wait()
    time.sleep(0.5)
    w.is_new()
    has_ended()
    w.is_old()


def test_second_login_confirms():
    """The caller is gone; another session confirms."""
    w = World()
    w.change()
    p = start("--timeout", "40")
    is_waiting()
    p.kill()
    p.wait()
    eq(run("setsid", "-w", APPLY, "confirm").rc, 0)
    has_ended()
    w.is_new()


class Terminal:
    """A login: a session with a terminal of its own that runs a program."""

    def __init__(self, *argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.text = ""

    def read(self, until, timeout=30):
        end = time.time() + timeout
        while until not in self.text:
            if time.time() > end:
                raise AssertionError("no %r on the terminal, but: %r" %
                                     (until, self.text))
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.fd, 4096).decode()
                except OSError:
                    time.sleep(0.1)

    def type(self, text):
        os.write(self.fd, text.encode())

    def hang_up(self):
        os.close(self.fd)

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_terminal_closed():
    """SIGHUP: the caller dies with its terminal; then it goes back."""
    w = World()
    w.change(stp=False)
    t = Terminal(APPLY, "--timeout", "5", "try")
    t.read("  5 s left")
    t.read("  4 s left")
    t.hang_up()
    eq(t.wait(), -signal.SIGHUP)
    w.is_new()
    has_ended()
    w.is_old()


def test_keys_on_the_terminal():
    """It counts down visibly; Ctrl-C goes back at once, Enter keeps."""
    w = World()
    w.change()
    t = Terminal(APPLY, "try")
    t.read("60 s left")
    t.type("\x03")
    t.read("the old state is in force")
    eq(t.wait(), 5)
    w.is_old()
    w.change()
    t = Terminal(APPLY, "try")
    t.read("60 s left")
    t.type("\n")
    t.read("confirmed")
    eq(t.wait(), 0)
    w.is_new()


def test_lost_ssh_connection():
    """The administrator on the LAN tries a configuration without the address
    she came over; her connection is lost, and so is her way to confirm. It
    goes back, and she can log in again."""
    w = World()
    d = "/run/ssh"
    os.makedirs(d)
    os.makedirs("/run/sshd", exist_ok=True)
    sh("""cd %s
          ssh-keygen -q -t ed25519 -N '' -f host
          ssh-keygen -q -t ed25519 -N '' -f me""" % d)
    with open(d + "/conf", "w") as f:
        f.write("Port 2222\nListenAddress 10.99.0.2\nHostKey %s/host\n"
                "AuthorizedKeysFile %s/me.pub\nStrictModes no\nUsePAM no\n"
                "PermitRootLogin yes\nPidFile %s/pid\n" % (d, d, d))
    server = subprocess.Popen([shutil.which("sshd", path="/usr/sbin"), "-D",
                               "-e", "-f", d + "/conf"],
                              stderr=open(d + "/log", "w"))
    ssh = ["ssh", "-tt", "-p", "2222", "-i", d + "/me", "-o",
           "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
           "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5",
           "root@10.99.0.2"]
    wait_for("sshd", lambda: run(*ssh, "true", ns=w.lan.ns,
                                 check=False).rc == 0, 15)
    conf(OLD.replace("10.99.0.2/24", "10.99.0.99/24"))
    gen("-q", "write")
    client = subprocess.Popen(
        ["ip", "netns", "exec", w.lan.ns] + ssh +
        ["%s --timeout 6 try" % APPLY], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    is_waiting()
    assert not ping("10.99.0.2", ns=w.lan.ns, timeout=1)
    # the connection is given up on the host's side too
    sh("for p in $(pgrep -P %d); do kill -9 $p; done" % server.pid)
    has_ended()
    client.kill()
    w.is_old()
    eq(run(*ssh, "true", ns=w.lan.ns).rc, 0)
    server.kill()


def test_reboot_in_between():
    """The run directory and everything in the kernel is gone: nothing is
    pending, and what comes next does not stumble."""
    w = World()
    w.change()
    p = start("--timeout", "50")
    is_waiting()
    p.kill()
    w.guest.stop()
    # power off: nobody gets to say anything
    sh("""pkill -9 -x netbr-apply || true
          pkill -9 -x dnsmasq || true
          for l in br0 br1 tap0 tap1 tap2; do ip link del $l; done
          nft flush ruleset
          rm -rf /run/netbr""")
    sh("""ip addr flush dev eth0; ip addr add 10.99.0.2/24 dev eth0
          sysctl -q net.ipv6.conf.eth0.disable_ipv6=0
          sysctl -q net.ipv4.ip_forward=0
          ip route add default via 10.99.0.1""")
    for verb in ("confirm", "revert"):
        eq(apply(verb, check=False).rc, 1)
    eq(apply("status", check=False).rc, 3)
    up()
    w.is_new()
    down()
    must_ping("10.99.0.2", ns=w.lan.ns)


def test_guard_killed():
    """Nobody is left to go back: it is said, and up and down converge."""
    w = World()
    w.change()
    p = start("--timeout", "50")
    is_waiting()
    pid = open("/run/netbr/lock").read().split(",")[0]
    os.kill(int(pid), signal.SIGKILL)
    err = p.communicate()[1].decode()
    eq(p.returncode, 4)
    contains(err, "the guard of the try has died")
    q = apply("confirm", check=False)
    eq(q.rc, 1)
    contains(q.err, "no try waits")
    w.is_new()
    # revert still knows the files; up then makes the kernel match them
    conf(OLD)
    eq(apply("-q", "revert").rc, 0)
    eq(files(), w.files)
    up()
    # what a change of address needs of our own bridge stays
    knob = "br0/promote_secondaries = "
    w.is_old(w.before.replace(knob + "0", knob + "1"))


def test_a_bridge_that_left_comes_back():
    """Trying a configuration without br1: going back makes it again, with
    its tap, addresses, rules and dnsmasq."""
    w = World()
    conf(re.sub(r"(?s)bridge br1 \{.*?\n\}\n|guest two .*?\n", "", OLD))
    gen("-q", "write")
    p = start("--timeout", "2")
    is_waiting()
    eq(ip("link", "show", "br1", check=False).rc, 1)
    eq(p.wait(), 5)
    w.is_old()


def test_edited_file_is_left_alone():
    """Somebody edits conf.d/net while a try waits: the edit survives."""
    w = World()
    w.change()
    p = start("--timeout", "30")
    is_waiting()
    with open("/etc/conf.d/net", "a") as f:
        f.write("# a new line\n")
    apply("revert", check=False)
    eq(p.wait(), 4)
    contains(open("/etc/conf.d/net").read(), "# a new line\n")


def test_nothing_to_try():
    w = World()
    p = start("--timeout", "30")
    err = p.communicate(timeout=20)[1].decode()
    eq(p.returncode, 0)
    contains(err, "nothing to do")


def test_try_that_fails_takes_the_files_along():
    w = World()
    conf(NEW.replace("uplink  = eth0", "uplink  = eth9"))
    gen("-q", "write")
    p = start()
    err = p.communicate(timeout=20)[1].decode()
    eq(p.returncode, 1)
    contains(err, "its uplink eth9 does not exist")
    w.is_old()


def test_reload_with_try():
    """netbr_try: reload waits for confirm, and goes back without it, files
    and all."""
    w = World()
    openrc("br0")
    with open("/etc/conf.d/net.br0", "a") as f:
        f.write('netbr_try="3"\n')
    with open("/etc/conf.d/net", "w") as f:
        f.write('# mine, caf\xe9\nconfig_eth5="dhcp"\n')
    gen("-q", "write")
    service("net.br0", "start")
    before, old = snapshot(), files()
    conf(NEW.replace("    stp = on\n", ""))
    p = service("net.br0", "reload", check=False)
    assert p.rc != 0, p.out + p.err
    contains(p.out + p.err, "not confirmed")
    same(before, snapshot())
    eq(files(), old)
    q = subprocess.Popen(["rc-service", "net.br0", "reload"],
                         stdin=subprocess.DEVNULL)
    is_waiting()
    apply("confirm")
    eq(q.wait(), 0)
    contains(ip("addr", "show", "br0").out, "10.99.0.22/24")
