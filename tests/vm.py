"""A machine of its own for what needs another kernel (Wi-Fi radios): QEMU with
Debian's kernel, whose root is this machine's, read-only, under an overlay.
Everything installed here is there, the build under test too."""
import fcntl
import glob
import os
import shutil
import subprocess
import sys
import time

from lib import TOP, Skip, run

DIR = os.path.join(TOP, "build/vm")
# what is needed before the root is there; the rest is loaded from it
FIRST = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for m in %s; do
    /bin/busybox insmod "$m" || echo "insmod $m failed"
done
/bin/busybox mkdir -p /host /over /root
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose root /host
/bin/busybox mount -t tmpfs tmpfs /over
/bin/busybox mkdir -p /over/upper /over/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /root
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -t sysfs sysfs /root/sys
/bin/busybox mount -t devtmpfs dev /root/dev
/bin/busybox mount -t tmpfs tmpfs /root/run
/bin/busybox mkdir -p /root/lib/modules/%s
/bin/busybox mount --bind /root%s/lib/modules/%s /root/lib/modules/%s
exec /bin/busybox chroot /root /bin/sh -c '
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export HOME=/root PYTHONDONTWRITEBYTECODE=1
    for a in $(cat /proc/cmdline); do
        case $a in job=*) job=${a#job=} ;; esac
    done
    mkdir -p /run/netns
    cd %s/tests
    %s $job
    echo "RESULT $?"
    sleep 1
    echo b >/proc/sysrq-trigger
    while :; do :; done'
"""


def cpio(files):
    """An archive in the newc format (cpio(5), initramfs buffer format)."""
    out = b""
    for i, (name, mode, data) in enumerate(files + [("TRAILER!!!", 0, b"")]):
        raw = name.encode() + b"\0"
        head = b"070701" + b"".join(
            b"%08X" % n for n in (i + 1, mode, 0, 0, 1, 0, len(data), 0, 0,
                                  0, 0, len(raw), 0)) + raw
        out += head + b"\0" * (-len(head) % 4) + data
        out += b"\0" * (-len(data) % 4)
    return out


def kernel():
    """Debian's kernel package, unpacked: (image, directory, version)."""
    os.makedirs(DIR, exist_ok=True)
    lock = open(DIR + "/lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)    # tests run side by side
    have = glob.glob(DIR + "/tree/boot/vmlinuz-*")
    if not have:
        if shutil.which("apt-get") is None:
            raise Skip("no Debian package of a kernel with mac80211_hwsim")
        if "Depends: " not in run("apt-cache", "depends", "linux-image-amd64",
                                  check=False).out:
            run("apt-get", "-qq", "update", check=False)
        out = run("apt-cache", "depends", "linux-image-amd64", check=False).out
        if "Depends: " not in out:
            raise Skip("no list of packages has linux-image-amd64")
        name = out.split("Depends: ")[1].split()[0]
        p = run("sh", "-ec", "cd %s && rm -f *.deb && apt-get -qq download %s" %
                (DIR, name), check=False)
        if p.rc:
            # no network, or no mirror: said, and not a fault of netbr's
            raise Skip("the package %s can't be fetched: %s" % (
                name, p.err.strip().splitlines()[-1]))
        run("sh", "-ec", "cd %s && rm -rf new && dpkg-deb -x *.deb new && "
            "rm *.deb && depmod -b new %s && mv new tree" % (DIR, name[len("linux-image-"):]))
        have = glob.glob(DIR + "/tree/boot/vmlinuz-*")
    version = os.path.basename(have[0])[len("vmlinuz-"):]
    return have[0], DIR + "/tree", version


def in_order(base):
    """Paths of the modules of FIRST, each after those that it needs."""
    deps, out = {}, []
    for line in open(base + "/modules.dep"):
        path, needs = line.split(":")
        deps[path] = needs.split()

    def add(path):
        for d in deps[path]:
            add(d)
        if path not in out:
            out.append(path)

    for m in FIRST:
        for path in [p for p in deps if p.endswith("/%s.ko" % m)]:
            add(path)
    return out


def initramfs(tree, version):
    path = os.path.join(DIR, "initramfs")
    files = [(d, 0o40755, b"") for d in (
        "bin", "dev", "proc", "lib", "lib64", "lib/modules")]
    box = shutil.which("busybox")
    libs = [w for w in run("ldd", box, check=False).out.split()
            if w.startswith("/")]
    done = {"bin", "dev", "proc", "lib", "lib64", "lib/modules"}
    for f in [("/bin/busybox", box)] + [(l, l) for l in libs]:
        parent = os.path.dirname(f[0])[1:]
        for n in range(1, parent.count("/") + 2):
            d = "/".join(parent.split("/")[:n])
            if d not in done:
                done.add(d)
                files.append((d, 0o40755, b""))
        files.append((f[0][1:], 0o100755, open(f[1], "rb").read()))
    base = "%s/lib/modules/%s" % (tree, version)
    modules = ["lib/modules/" + os.path.basename(m) for m in in_order(base)]
    for name, m in zip(modules, in_order(base)):
        files.append((name, 0o100644,
                      open(os.path.join(base, m), "rb").read()))
    text = INIT % (" ".join("/" + m for m in modules), version, tree, version, version, TOP,
                   sys.executable + " -u vmjobs.py")
    files.append(("init", 0o100755, text.encode()))
    tmp = "%s.%d" % (path, os.getpid())
    with open(tmp, "wb") as f:
        f.write(cpio(files))
    os.rename(tmp, path)
    return path


def play(job, timeout=220):
    """Runs `vmjobs.py JOB` in the machine; returns what it printed. The job
    must succeed."""
    image, tree, version = kernel()
    argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi",
            "-cpu", "max", "-smp", "1", "-m", "768", "-nographic",
            "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel", image,
            "-initrd", initramfs(tree, version), "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off sysrq_always_enabled"
            " job=" + job, "-fsdev",
            "local,id=root,path=/,security_model=none,readonly=on,"
            "multidevs=remap", "-device", "virtio-9p-pci,fsdev=root,"
            "mount_tag=root"]
    began = time.time()
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out = p.communicate(timeout=timeout)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        p.kill()
        out = p.communicate()[0].decode(errors="replace")
        raise AssertionError("the machine took longer than %d s:\n%s" % (
            timeout, out[-6000:]))
    out = out.replace("\r", "")
    if "RESULT 0" not in out:
        raise AssertionError("in the machine:\n" + out[-8000:])
    print("note: the whole machine %d s" % (time.time() - began))
    for line in out.splitlines():
        if line.startswith("note: "):
            print(line)
    return out
