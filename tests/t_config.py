"""The configuration: what is refused and how, what is understood."""
import atexit
import os
import stat
import tempfile
import itertools

from lib import *


class Root:
    """A throw-away --root with a config in it."""

    def __init__(self, text=None):
        self.dir = tempfile.mkdtemp(prefix="netbr-test-")
        atexit.register(shutil.rmtree, self.dir, True)
        os.makedirs(self.dir + "/etc")
        self.conf = self.dir + "/etc/vmnet.conf"
        if text is not None:
            self.write(text)

    def write(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        with open(self.conf, "wb") as f:
            f.write(data)
        os.chmod(self.conf, 0o644)

    def gen(self, *args, check=True, **kw):
        return run(GEN, "-r", self.dir, *args, check=check, **kw)

    def files(self):
        """Everything below but the config and netbr's own record."""
        out = {}
        for d, _, names in os.walk(self.dir):
            for n in names:
                p = os.path.join(d, n)
                if p == self.conf or "/run/netbr/" in p:
                    continue
                if os.path.isfile(p):
                    out[p[len(self.dir):]] = open(p, "rb").read()
        return out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)


def bad_cases():
    name, text, want = None, [], []
    for line in open(os.path.join(HERE, "bad.cases"), encoding="utf8"):
        if line.startswith("=== "):
            if name:
                yield name, "".join(text), want
            name, text, want = line[4:].strip(), [], []
        elif line.startswith("--- "):
            n, msg = line[4:].rstrip("\n").split(": ", 1)
            want.append((int(n), msg))
        elif name:
            text.append(line)
    yield name, "".join(text), want


@plain
def test_bad_configs():
    """Each is refused with its message and line, exit 78, nothing written."""
    n = 0
    for name, text, want in bad_cases():
        with Root(text) as r:
            for verb in ("check", "write"):
                p = r.gen(verb, check=False)
                eq(p.rc, 78, name)
                for line, msg in want:
                    place = r.conf + (":%d: " % line if line else ": ")
                    hits = [l for l in p.err.splitlines()
                            if l.startswith(place) and msg in l]
                    assert hits, "%s: no %r at line %d in:\n%s" % (
                        name, msg, line, p.err)
                lines = [l for l in p.err.splitlines()
                         if l.startswith(r.conf)]
                real = [l for l in lines if ": warning: " not in l]
                assert len(real) <= len(want) + 2, "%s: noise:\n%s" % (
                    name, p.err)
            eq(r.files(), {}, name)
            n += 1
    assert n >= 80, n
    print("note: %d bad configurations, each with its message and line" % n)


@plain
def test_caret_points_at_the_value():
    with Root("bridge br0 {\n    mode = rooted\n}\n") as r:
        lines = r.gen("check", check=False).err.splitlines()
        eq(lines[1], "        mode = rooted")
        eq(lines[2], "               ^~~~~~")


EVIL = ["a\nb", "a\rb", "a\0b", 'a"b', "a'b", "a;b", "a#b", "$(touch /x)",
        "`id`", "..", "a/b", "abcdefghijklmnop", "${HOME}", "a b", "a\\nb"]

FIELDS = """
bridge @ { mode = isolated }
bridge br0 { uplink = "@" }
bridge br0 { mode = "@" }
bridge br0 { ports = { "@" } mode = isolated }
bridge br0 { address = "@" }
bridge br0 { uplink = eth0 address = 10.0.0.2/24 gateway = "@" }
bridge br0 { uplink = eth0 routes = { "@" } }
bridge br0 { mode = isolated mac = "@" }
bridge br0 { mode = isolated mtu = "@" }
bridge br0 { mode = isolated forward_delay = "@" }
bridge br0 { address = 10.0.0.1/24 dhcp { range = { "@", 10.0.0.9 } } }
bridge br0 { address = 10.0.0.1/24 dhcp { lease_time = "@" } }
bridge br0 { address = 10.0.0.1/24 dhcp { router = "@" } }
bridge br0 { address = 10.0.0.1/24 dhcp { dns = "@" } }
bridge br0 { address = 10.0.0.1/24 dhcp { domain = "@" } }
bridge br0 { address = 10.0.0.1/24 dhcp { options = { "@" } } }
bridge br0 { mode = isolated } guest "@" { tap = tap0 }
bridge br0 { mode = isolated } guest a { tap = "@" }
bridge br0 { mode = isolated } guest a { tap = tap0 mac = "@" }
bridge br0 { address = 10.0.0.1/24 } guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = "@" }
bridge br0 { mode = isolated } guest a { tap = tap0 hostname = "@" }
bridge br0 { mode = isolated } guest a { tap = tap0 owner = "@" }
bridge br0 { mode = isolated } guest a { tap = tap0 group = "@" }
bridge br0 { mode = isolated } guest a { tap = tap0 model = "@" }
bridge br0 { mode = isolated } interface "@" { }
bridge br0 { mode = isolated } interface tap1 { bridge = "@" }
bridge_br0 = "@"
bridge_br0 = "tap0" brctl_br0 = "@"
bridge_br0 = "eth0" config_br0 = "@"
bridge_br0 = "eth0" routes_br0 = "@"
bridge_br0 = "tap0" mac_tap0 = "@"
bridge_br0 = "tap0" tuntap_tap0 = "@"
bridge_br0 = "eth0" dhcp-host = { "@" }
""".strip().splitlines()


@plain
def test_injection():
    """Every string field x every evil value: refused, or harmless: the same
    lines come out as for the value "x", which holds in every output."""
    refused = harmless = 0
    for field, evil in itertools.product(FIELDS, EVIL):
        text = field.replace("@", evil)
        with Root(text) as r:
            p = r.gen("-q", "write", check=False)
            if p.rc == 78:
                refused += 1
                eq(r.files(), {}, text)
                continue
            eq(p.rc, 0, text + "\n" + p.err)
            # accepted: then no character that anything reads as syntax
            for path, data in r.files().items():
                for bad in (b"$(", b"`", b"\0", b"\r", b";b", b"#b", b"${"):
                    assert bad not in data, (text, path)
            sh("sh -n %s/etc/conf.d/net" % r.dir)
            harmless += 1
    print("note: %d evil values refused, %d harmless" % (refused, harmless))
    assert refused > 400


@plain
def test_odd_files():
    """A directory, a FIFO, nothing, CRLF, a BOM, 1 MB: each gets an answer."""
    good = "bridge br0 { mode = isolated }\n"
    with Root() as r:
        eq(r.gen("check", check=False).rc, 78, "missing")
        os.mkdir(r.conf)
        p = r.gen("check", check=False)
        eq(p.rc, 78)
        contains(p.err, "is a directory")
        os.rmdir(r.conf)
        os.mkfifo(r.conf, 0o644)
        p = r.gen("check", check=False, timeout=10)
        eq(p.rc, 78)
        contains(p.err, "not a regular file")
        os.unlink(r.conf)
        r.write(good.replace("\n", "\r\n"))
        r.gen("check")
        r.write(b"\xef\xbb\xbf" + good.encode())
        r.gen("check")
        r.write(good + "# " + "x" * 1000000 + "\n")
        r.gen("check")
        r.write(good + "\n" * 1000000)
        r.gen("check")
        r.write("a" * 1000000)
        eq(r.gen("check", check=False).rc, 78)
        r.write("{" * 100000)
        eq(r.gen("check", check=False).rc, 78)
        r.write(b"bridge br0 { mode = iso\0lated }\n")
        p = r.gen("check", check=False)
        contains(p.err, "NUL byte")
        r.write(good)
        for mode in (0o666, 0o664, 0o646):
            os.chmod(r.conf, mode)
            p = r.gen("check", check=False)
            eq(p.rc, 78)
            contains(p.err, "chmod go-w")


def test_config_of_another_user():
    with Root("bridge br0 { mode = isolated }\n") as r:
        os.chown(r.conf, 65534, 65534)
        p = r.gen("check", check=False)
        eq(p.rc, 78)
        contains(p.err, "belongs to user 65534")


@plain
def test_line_numbers_survive_comments():
    """libconfuse counts comments wrongly; users must not see that."""
    with Root("# one\n// two\n/* three\nfour */\n# five\nbridge br0 {\n"
              "    # seven\n    ports = { tap0, # eight\n tap1 }\n"
              "    mode = isolated  /* x */\n    stp = maybe\n}\n") as r:
        p = r.gen("check", check=False)
        contains(p.err, r.conf + ":11: 'maybe'")


@plain
def test_environment_does_not_matter():
    with Root('bridge br0 { mode = isolated }\nguest a { tap = tap0 '
              "hostname = 'home' }\n") as r:
        a = r.gen("print", env={"HOME": "/x", "PATH": "/nowhere"}).out
        eq(a, r.gen("print").out)


ARTICLE = {
    "wired static": ("""
bridge br0 {
    uplink = eth0
    address = 10.99.0.2/24
    gateway = 10.99.0.1
    forward_delay = 0
    stp = on
    hello_time = 1
    mac = 32:7f:aa:56:59:01
}
interface tap0 { mac = 32:7f:aa:56:59:02 }
guest win7 { tap = tap0 mac = 52:54:00:12:34:56 ip = 10.99.0.10 }
""", """
interfaces = { "eth0", "tap0" }
bridge_br0 = "eth0 tap0"
brctl_br0  = "setfd 0 stp on sethello 1"
config_br0 = "10.99.0.2 netmask 255.255.255.0 brd +"
routes_br0 = "default via 10.99.0.1"
mac_br0    = "32:7f:aa:56:59:01"
mac_tap0   = "32:7f:aa:56:59:02"
dhcp-host  = { "52:54:00:12:34:56,10.99.0.10,win7" }
"""),
    "wired dhcp": ("""
bridge br0 {
    uplink = eth0
    address = dhcp
    forward_delay = 0
    stp = on
    hello_time = 1
    mac = 32:7f:aa:56:59:01
}
interface tap0 { mac = 32:7f:aa:56:59:02 }
guest win7 { tap = tap0 mac = 52:54:00:12:34:56 ip = 192.168.1.10 }
""", """
interfaces = { "eth0", "tap0" }
bridge_br0 = { "eth0", "tap0" }
brctl_br0  = "setfd 0 stp on sethello 1"
config_br0 = "dhcp"
mac_br0    = "32:7f:aa:56:59:01"
mac_tap0   = "32:7f:aa:56:59:02"
tuntap_tap0 = "tap"
dhcp-host  = { "52:54:00:12:34:56,192.168.1.10,win7" }
"""),
    "routed": ("""
bridge br0 { mode = routed  address = 192.168.50.1/24
    dhcp { range = { 192.168.50.100, 192.168.50.199 } } }
guest win7 { tap = tap0  mac = 52:54:00:12:34:56  ip = 192.168.50.10 }
""", """
bridge_br0 = "tap0"
config_br0 = "192.168.50.1/24"
bridge br0 { mode = routed
    dhcp { range = { 192.168.50.100, 192.168.50.199 } } }
dhcp-host  = { "52:54:00:12:34:56,192.168.50.10,win7" }
"""),
}


@plain
def test_two_forms_one_model():
    """Section form and flat form: the same model, the same files."""
    for name, (sections, flat) in ARTICLE.items():
        with Root(sections) as a, Root(flat) as b:
            eq(b.gen("-q", "print").out, a.gen("-q", "print").out, name)
            a.gen("-q", "write")
            b.gen("-q", "write")
            eq(b.files(), a.files(), name)


@plain
def test_print_parses_to_the_same():
    texts = [t for pair in ARTICLE.values() for t in pair]
    texts += [open(os.path.join(TOP, "docs/examples", f)).read()
              for f in sorted(os.listdir(os.path.join(TOP, "docs/examples")))
              if f.endswith(".conf")]
    for text in texts:
        with Root(text) as a:
            printed = a.gen("-q", "print").out
            with Root(printed) as b:
                eq(b.gen("-q", "print").out, printed)
                a.gen("-q", "write")
                b.gen("-q", "write")
                eq(b.files(), a.files())


@plain
def test_dropins():
    """vmnet.d/*.conf in name order into the same model; clashes name both."""
    with Root("bridge br0 { mode = isolated }\n") as r:
        os.mkdir(r.dir + "/etc/vmnet.d")
        for name, text in (("10-a.conf", "guest a { tap = tap0 }\n"),
                           ("20-b.conf", "guest b { tap = tap1 }\n"),
                           ("skip.bak", "nonsense\n"),
                           (".hidden.conf", "nonsense\n")):
            p = r.dir + "/etc/vmnet.d/" + name
            open(p, "w").write(text)
            os.chmod(p, 0o644)
        out = r.gen("print").out
        contains(out, "guest a")
        contains(out, "guest b")
        open(r.dir + "/etc/vmnet.d/20-b.conf", "w").write(
            "\nguest a { tap = tap1 }\n")
        p = r.gen("check", check=False)
        eq(p.rc, 78)
        contains(p.err, "20-b.conf:2: section 'a' is given here and at")
        contains(p.err, "10-a.conf:1")


@plain
def test_usage():
    for args in (["frobnicate"], ["show"], ["qemu"], ["--nonsense"],
                 ["print", "x"]):
        eq(run(GEN, *args, check=False).rc, 64, args)
    for args in ([], ["frobnicate"], ["--nonsense"]):
        eq(run(APPLY, *args, check=False).rc, 64, args)
    for prog in (GEN, APPLY):
        contains(run(prog, "--help").out, "Usage:")
        contains(run(prog, "-V").out, "netbr-")
