"""netbr-gen's outputs: accepted by the programs that read them, written all
or not at all, and nobody else's line is ever touched."""
import atexit
import glob
import itertools
import os

from lib import *
from t_config import ARTICLE, Root

EXAMPLES = sorted(glob.glob(os.path.join(TOP, "docs/examples/*.conf")))
LAPTOP = os.path.join(TOP, "docs/examples/laptop.conf")
SHARED = os.path.join(TOP, "docs/examples/shared-host.conf")
OUTPUTS = ["conf.d", "dnsmasq", "hosts", "ebtables", "iptables", "ip6tables",
           "nftables", "sysctl", "qemu-bridge"]


def accepted(root):
    """Each file of a root passes its reader's own check."""
    n = 0
    for path in glob.glob(root + "/etc/**", recursive=True):
        if path.endswith(".nft"):
            run("nft", "-c", "-f", path)
        elif path.endswith(".iptables"):
            run("iptables-restore", "--test", "--noflush", path)
        elif path.endswith(".ip6tables"):
            run("ip6tables-restore", "--test", "--noflush", path)
        elif path.endswith(".ebtables"):
            sh("ebtables-restore --noflush < " + path)
        elif "/dnsmasq.d/" in path and path.endswith(".conf"):
            os.makedirs("/var/lib/netbr", exist_ok=True)
            for f in glob.glob(root + "/var/lib/netbr/*"):
                shutil.copy(f, "/var/lib/netbr/")
            run("dnsmasq", "--test", "-C", path)
        elif "/sysctl.d/" in path and path.endswith(".conf"):
            run("sysctl", "-p", path)
        elif path.endswith("conf.d/net"):
            run("sh", "-n", path)
            run("busybox", "sh", "-n", path)
        else:
            continue
        n += 1
    return n


def test_outputs_are_accepted():
    """dnsmasq, nft, ip(6)tables-restore, ebtables-restore, sysctl, sh."""
    n = 0
    for text in [open(e).read() for e in EXAMPLES] + \
            [t for pair in ARTICLE.values() for t in pair]:
        with Root(text) as r:
            r.gen("-q", "write")
            n += accepted(r.dir)
    print("note: %d files accepted by their readers" % n)
    assert n > 40


@plain
def test_second_write_changes_nothing():
    for e in EXAMPLES:
        with Root(open(e).read()) as r:
            contains(r.gen("write").err, "wrote")
            before = {p: os.stat(r.dir + p).st_mtime_ns for p in r.files()}
            p = r.gen("write")
            contains(p.err, "nothing to do")
            eq({p: os.stat(r.dir + p).st_mtime_ns for p in r.files()}, before)
            eq(r.gen("diff").rc, 0)


@plain
def test_show_is_what_write_writes():
    with Root(open(EXAMPLES[-1]).read() if False else
              open(os.path.join(TOP, "docs/examples/laptop.conf")).read()) as r:
        r.gen("-q", "write")
        files = r.files()
        for out, path in (("dnsmasq", "/etc/dnsmasq.d/netbr-br0.conf"),
                          ("nftables", "/etc/netbr/br0.nft"),
                          ("iptables", "/etc/netbr/br0.iptables"),
                          ("ip6tables", "/etc/netbr/br0.ip6tables"),
                          ("ebtables", "/etc/netbr/br0.ebtables"),
                          ("hosts", "/var/lib/netbr/br0.hosts"),
                          ("sysctl", "/etc/sysctl.d/90-netbr.conf")):
            eq(r.gen("show", out, "br0").out.encode(), files[path], out)
        contains(files["/etc/conf.d/net"].decode(), r.gen("show", "conf.d").out)
        contains(r.gen("show", "nope", check=False).err, "conf.d, dnsmasq")


@plain
def test_diff():
    with Root(open(LAPTOP).read()) as r:
        p = r.gen("diff", check=False)
        eq(p.rc, 3)
        contains(p.out, "+tuntap_tap0=\"tap\"")
        eq(r.files(), {})
        r.gen("-q", "write")
        r.write(open(LAPTOP).read().replace("192.168.50.10\n",
                                                 "192.168.50.11\n"))
        p = r.gen("diff", check=False)
        eq(p.rc, 3)
        eq([l for l in p.out.splitlines() if re.match(r"[+-][^+-]", l)],
           ["-52:54:00:12:34:56,192.168.50.10,win7",
            "+52:54:00:12:34:56,192.168.50.11,win7",
            '-"tap0" . 52:54:00:12:34:56 . 192.168.50.10,', '+"tap0" . 52:54:00:12:34:56 . 192.168.50.11,',
            "-192.168.50.10,", "+192.168.50.11,"])


# what a Gentoo administrator's file may hold; no line of it is ours
FOREIGN = b"""# my own network, do not lose
modules="iproute2"
config_wlan0="dhcp"
dns_servers_eth1="10.0.0.53"
preup() {
\t[ "$IFACE" = eth1 ] && echo "hello; `date`"
}
# BEGIN something else
routes_eth1="default via 10.0.0.1"\t 
# END something else"""


@plain
def test_foreign_lines_survive():
    """Byte for byte, without a final newline too, and after the block left."""
    for tail in (b"\n", b""):
        with Root(open(LAPTOP).read()) as r:
            os.makedirs(r.dir + "/etc/conf.d")
            os.makedirs(r.dir + "/etc/qemu")
            for f, text in (("conf.d/net", FOREIGN + tail),
                            ("qemu/bridge.conf", b"allow virbr0\n")):
                open(r.dir + "/etc/" + f, "wb").write(text)
                os.chmod(r.dir + "/etc/" + f, 0o640)
            r.gen("-q", "write")
            new = r.files()["/etc/conf.d/net"]
            assert new.startswith(FOREIGN), new
            # somebody adds a line behind our block
            open(r.dir + "/etc/conf.d/net", "ab").write(b"rc_x=1\n")
            r.write(open(SHARED).read())
            r.gen("-q", "write")
            new = r.files()["/etc/conf.d/net"]
            assert new.startswith(FOREIGN) and new.endswith(b"rc_x=1\n"), new
            eq(new.count(b"# BEGIN netbr"), 1)
            assert r.files()["/etc/qemu/bridge.conf"].startswith(
                b"allow virbr0\n")
            eq(os.stat(r.dir + "/etc/conf.d/net").st_mode & 0o777, 0o640)


@plain
def test_clashing_variable_is_an_error():
    for line in ('config_br0="dhcp"', 'export mac_tap0="x"', ' bridge_br0+=" x"'):
        with Root(open(LAPTOP).read()) as r:
            os.makedirs(r.dir + "/etc/conf.d")
            text = "a=1\n" + line + "\n"
            open(r.dir + "/etc/conf.d/net", "w").write(text)
            p = r.gen("write", check=False)
            eq(p.rc, 1)
            contains(p.err, "/etc/conf.d/net:2: ")
            eq(r.files(), {"/etc/conf.d/net": text.encode()})


@plain
def test_broken_files_are_refused():
    """Unpaired markers, a shell file that does not parse, a foreign file in
    our place: nothing is written."""
    cases = [("etc/conf.d/net", "# BEGIN netbr\nx=1\n", "do not pair up"),
             ("etc/conf.d/net", "x=1\n# END netbr\n", "do not pair up"),
             ("etc/conf.d/net", "# BEGIN netbr\n# END netbr\n# BEGIN netbr\n"
              "# END netbr\n", "do not pair up"),
             ("etc/conf.d/net", "x=\"1\n", "valid shell"),
             ("etc/netbr/br0.nft", "table x\n", "not made by netbr-gen"),
             ("etc/dnsmasq.d/netbr-br0.conf", "port=1\n", "not made by")]
    for path, text, msg in cases:
        with Root(open(LAPTOP).read()) as r:
            os.makedirs(os.path.dirname(r.dir + "/" + path))
            open(r.dir + "/" + path, "w").write(text)
            p = r.gen("write", check=False)
            eq(p.rc, 1, path)
            contains(p.err, msg)
            eq(r.files(), {"/" + path: text.encode()})


@plain
def test_gone_bridges_are_cleaned_up():
    """Outputs of a bridge that left the config go; files without our header
    stay, whatever their name."""
    with Root(open(os.path.join(TOP, "docs/examples/two-bridges.conf"))
              .read()) as r:
        r.gen("-q", "write")
        foreign = {"/etc/netbr/mine.nft": b"# mine\n",
                   "/etc/dnsmasq.d/netbr-mine.conf": b"# mine\n",
                   "/etc/dnsmasq.d/other.conf": b"# Made by somebody\n"}
        for p, t in foreign.items():
            open(r.dir + p, "wb").write(t)
        r.write("bridge lab { mode = isolated }\n")
        contains(r.gen("write").err, "removed")
        left = r.files()
        assert not [p for p in left if "br0" in p], left.keys()
        assert "/etc/sysctl.d/90-netbr.conf" not in left
        for p, t in foreign.items():
            eq(left[p], t)


@plain
def test_templates_can_be_overridden():
    with Root(open(LAPTOP).read()) as r:
        t = r.dir + "/etc/netbr/templates"
        os.makedirs(t)
        open(t + "/qemu-bridge.tmpl", "w").write(
            "# own\n{{#bridges}}\nallow {{bridge}}\n{{/bridges}}\n")
        contains(r.gen("show", "qemu-bridge").out, "# own\nallow br0\n")
        for text, msg in (("{{nonsense}}", "unknown name 'nonsense'"),
                          ("a\n{{#bridges}}", ":2: section 'bridges' is not"),
                          ("{{#nope}}{{/nope}}", "unknown section"),
                          ("{{bridge", "not closed")):
            open(t + "/qemu-bridge.tmpl", "w").write(text)
            p = r.gen("write", check=False)
            eq(p.rc, 1)
            contains(p.err, msg)
            assert not [f for f in r.files() if "tmpl" not in f]


def old_or_new(r, old, new, what):
    """No file is anything but its old or its new self; no litter but dot
    files, which the next write removes."""
    for p, data in r.files().items():
        if "/." in p:
            continue
        assert data in (old.get(p), new.get(p)), (what, p, data[:200])
    for p in set(old) & set(new):
        assert p in r.files(), (what, p, "is gone")


def two_states():
    """A root with an old state written, its config changed; both states."""
    r = Root(open(os.path.join(TOP, "docs/examples/two-bridges.conf")).read())
    os.makedirs(r.dir + "/etc/conf.d")
    open(r.dir + "/etc/conf.d/net", "wb").write(FOREIGN + b"\n")
    r.gen("-q", "write")
    old = r.files()
    change = open(r.conf).read().replace("192.168.50", "192.168.60").replace(
        "bridge lab", "bridge lab2").replace("= lab", "= lab2")
    r.write(change)
    with Root(change) as other:
        os.makedirs(other.dir + "/etc/conf.d")
        open(other.dir + "/etc/conf.d/net", "wb").write(FOREIGN + b"\n")
        other.gen("-q", "write")
        new = other.files()
    return r, old, new


SYSCALLS = ("openat,write,fsync,rename,unlink,mkdir,fchmod,fchown,ftruncate,"
            "pwrite64,memfd_create,fork,clone,flock")


# under strace, a leak sanitizer can't look; it does so elsewhere
TRACED = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")


def count_calls(argv, which=SYSCALLS):
    """System call -> how often a run makes it."""
    run("strace", "-qq", "-o", "/run/trace", "-e", "trace=" + which, *argv,
        env=TRACED)
    n = {}
    for line in open("/run/trace"):
        m = re.match(r"(\w+)\(", line)
        if m:
            n[m.group(1)] = n.get(m.group(1), 0) + 1
    return n


def test_sigkill_between_any_two_system_calls():
    """Old files or new ones; the next write completes the new state."""
    r, old, new = two_states()
    saved = r.dir + ".saved"
    shutil.copytree(r.dir, saved, symlinks=True)
    argv = [GEN, "-q", "-r", r.dir, "write"]
    calls = count_calls(argv, "all")
    calls.pop("execve")     # before it there is no run
    points = 0
    for call, n in sorted(calls.items()):
        # a sanitizer's own calls are many and change nothing
        step = 25 if os.environ.get("NETBR_NESTED") else 1
        for k in range(1, n + 1, step):
            shutil.rmtree(r.dir)
            shutil.copytree(saved, r.dir, symlinks=True)
            run("strace", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
                "-e", "inject=%s:signal=KILL:when=%d" % (call, k), *argv,
                check=False, env=TRACED)
            old_or_new(r, old, new, (call, k))
            points += 1
            if points % 8 == 0:
                r.gen("-q", "write")
                eq(r.files(), new, (call, k))
    shutil.rmtree(saved)
    print("note: killed at %d system calls" % points)


def test_failing_system_calls():
    """ENOSPC, EIO, EROFS at each call: exit 1 and the old files, or 0 and
    the new ones; never a damaged file."""
    r, old, new = two_states()
    saved = r.dir + ".saved"
    shutil.copytree(r.dir, saved, symlinks=True)
    argv = [GEN, "-q", "-r", r.dir, "write"]
    calls = count_calls(argv)
    points = 0
    for call in ("write", "fsync", "rename", "unlink", "fchmod", "openat",
                 "memfd_create"):
        for k in range(1, calls.get(call, 0) + 1, 4 if call == "openat" else 1):
            for err in ("ENOSPC", "EIO"):
                shutil.rmtree(r.dir)
                shutil.copytree(saved, r.dir, symlinks=True)
                p = run("strace", "-qq", "-o", "/dev/null", "-e",
                        "trace=" + call, "-e", "inject=%s:error=%s:when=%d" %
                        (call, err, k), *argv, check=False,
                        env=TRACED)
                old_or_new(r, old, new, (call, k, err))
                if p.rc == 0:
                    eq(r.files(), new, (call, k, err))
                assert not [f for f in r.files() if "/." in f] or \
                    call == "unlink", (call, k, r.files().keys())
                points += 1
    shutil.rmtree(saved)
    print("note: %d failing system calls" % points)


def test_full_disk_and_read_only():
    r, old, new = two_states()
    src = r.dir + ".src"
    os.rename(r.dir, src)
    atexit.register(shutil.rmtree, src, True)
    os.mkdir(r.dir)
    atexit.register(run, "umount", "-R", r.dir)     # before it is removed
    run("mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", r.dir)
    sh("cp -a %s/. %s/" % (src, r.dir))
    sh("dd if=/dev/zero of=%s/fill bs=1k 2>/dev/null || true" % r.dir)
    p = r.gen("-q", "write", check=False)
    eq(p.rc, 1)
    contains(p.err, "No space left")
    contains(p.err, "nothing was changed")
    now = r.files()
    now.pop("/fill")
    eq(now, old)
    os.unlink(r.dir + "/fill")
    run("mount", "-o", "remount,size=1m", r.dir)
    # the lock must be had, the outputs not
    run("mount", "--bind", r.dir + "/etc", r.dir + "/etc")
    run("mount", "-o", "remount,ro,bind", r.dir + "/etc")
    p = r.gen("-q", "write", check=False)
    eq(p.rc, 1)
    contains(p.err, "Read-only file system")
    eq(r.files(), old)
    run("umount", r.dir + "/etc")
    r.gen("-q", "write")
    eq(r.files(), new)


def test_symlinks():
    """root's symlink is followed and kept; one that another user planted, or
    one in the temporary file's place, is not."""
    with Root(open(LAPTOP).read()) as r:
        os.makedirs(r.dir + "/etc/conf.d")
        os.makedirs(r.dir + "/real")
        open(r.dir + "/real/net", "w").write("x=1\n")
        os.symlink("../../real/net", r.dir + "/etc/conf.d/net")
        r.gen("-q", "write")
        assert os.path.islink(r.dir + "/etc/conf.d/net")
        assert open(r.dir + "/real/net").read().startswith("x=1\n# BEGIN")
    with Root(open(LAPTOP).read()) as r:
        os.makedirs(r.dir + "/var/lib/netbr")
        open(r.dir + "/victim", "w").write("# Made by netbr-gen secret\n")
        os.symlink(r.dir + "/victim", r.dir + "/var/lib/netbr/br0.hosts")
        os.lchown(r.dir + "/var/lib/netbr/br0.hosts", 65534, 65534)
        p = r.gen("-q", "write", check=False)
        eq(p.rc, 1)
        eq(open(r.dir + "/victim").read(), "# Made by netbr-gen secret\n")
        os.unlink(r.dir + "/var/lib/netbr/br0.hosts")
        os.symlink(r.dir + "/victim",
                   r.dir + "/var/lib/netbr/.br0.hosts.netbr-new")
        r.gen("-q", "write")
        eq(open(r.dir + "/victim").read(), "# Made by netbr-gen secret\n")


@plain
def test_system_dnsmasq_is_warned_of():
    with Root(open(os.path.join(TOP, "docs/examples/laptop.conf")).read()) as r:
        open(r.dir + "/etc/dnsmasq.conf", "w").write(
            "#conf-dir=/etc/dnsmasq.d\n")
        assert "server = system" not in r.gen("write").err
        open(r.dir + "/etc/dnsmasq.conf", "w").write(
            "port=53\nconf-dir=/etc/dnsmasq.d/,*.conf\n")
        contains(r.gen("write").err, "or say server = system")


@plain
def test_qemu_arguments():
    with Root(open(os.path.join(TOP, "docs/examples/two-bridges.conf"))
              .read()) as r:
        eq(r.gen("qemu", "web").out,
           "-netdev tap,id=web,ifname=tap-web,script=no,downscript=no,"
           "vnet_hdr=on -device virtio-net-pci,netdev=web,"
           "mac=52:54:00:00:00:01\n")
        eq(r.gen("qemu", "nobody", check=False).rc, 64)


@plain
def test_names_reach_netifrc_as_shell_variables():
    """conf.d/net as the shell reads it: netifrc's own view of the block."""
    with Root("bridge br-lan.1 { uplink = eth0.5 address = { 10.0.0.2/24, "
              "\"fd00::2/64\" } gateway = 10.0.0.1 }\n"
              "guest a { tap = tap-a.b owner = root queues = 2 }\n") as r:
        r.gen("-q", "write")
        out = sh(". %s/etc/conf.d/net; set" % r.dir).out
        for want in ("bridge_br_lan_1='eth0.5 tap-a.b'",
                     "config_eth0_5='null'", "config_tap_a_b='null'",
                     "tuntap_tap_a_b='tap'",
                     "iproute2_tap_a_b='user root multi_queue'",
                     "bridge_stp_state_br_lan_1='0'",
                     "routes_br_lan_1='default via 10.0.0.1 metric 0'",
                     "config_br_lan_1='10.0.0.2/24\nfd00::2/64'"):
            contains(out, want)


@plain
def test_makes_net_links_into_needs():
    """rc_net_br0_need only where netifrc runs the bridge."""
    with Root(open(LAPTOP).read()) as r:
        os.makedirs(r.dir + "/etc/init.d")
        assert "rc_net_br0_need" not in r.gen("show", "conf.d").out
        for s in ("net.br0", "net.tap0"):
            os.symlink("net.lo", r.dir + "/etc/init.d/" + s)
        contains(r.gen("show", "conf.d").out, 'rc_net_br0_need="net.tap0"')


def test_concurrent_writes_wait():
    with Root(open(LAPTOP).read()) as r:
        ps = [subprocess.Popen([GEN, "-q", "-r", r.dir, "write"])
              for _ in range(8)]
        eq([p.wait() for p in ps], [0] * 8)
        eq(r.gen("diff").rc, 0)


def test_install_and_uninstall():
    """DESTDIR and the directory variables; uninstall leaves nothing."""
    with Root() as r:
        d = r.dir + "/dest"
        sh("make -s -C %s install DESTDIR=%s SBINDIR=/sbin" % (TOP, d))
        for f in ("sbin/netbr-gen", "sbin/netbr-apply", "etc/init.d/netbr",
                  "etc/conf.d/netbr", "usr/share/man/man5/vmnet.conf.5",
                  "usr/share/man/man8/netbr-gen.8",
                  "usr/share/netbr/templates/net.tmpl"):
            assert os.path.exists(d + "/" + f), f
        assert not os.path.exists(d + "/etc/init.d/net.br0")
        contains(open(d + "/etc/init.d/netbr").read(), "=/sbin/netbr-gen")
        sh("make -s -C %s uninstall DESTDIR=%s SBINDIR=/sbin" % (TOP, d))
        left = [os.path.join(a, f) for a, _, fs in os.walk(d) for f in fs]
        eq(left, [])
        # the link into a live system, and what stands in its way
        os.makedirs(r.dir + "/init.d")
        link = [os.path.join(TOP, "tests/link-service"), "", r.dir + "/init.d"]
        run(*link)
        eq(os.readlink(r.dir + "/init.d/net.br0"), "netbr")
        for target in ("net.lo", "other"):
            os.unlink(r.dir + "/init.d/net.br0")
            os.symlink(target, r.dir + "/init.d/net.br0")
            contains(run(*link).out, "ln -sf netbr")
            eq(os.readlink(r.dir + "/init.d/net.br0"), target)
