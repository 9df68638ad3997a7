"""Compilers, analysers, sanitizers, valgrind; and the words of the docs."""
import glob
import os
import re
import tempfile

from lib import *
from t_config import Root


def build(name, *args):
    p = run("make", "-s", "-C", TOP, "BUILD=build/" + name,
            "TEMPLATEDIR=" + TOP + "/templates", *args, "all", check=False,
            timeout=600)
    if p.rc or p.err.strip():
        raise AssertionError(p.out + p.err)
    return os.path.join(TOP, "build", name, "src")


@plain
def test_gcc_without_a_warning():
    build("gcc", "CC=gcc", "CFLAGS=-O2 -g -Werror")


@plain
def test_clang_without_a_warning():
    build("clang", "CC=clang", "CFLAGS=-O2 -g -Werror")


@plain
def test_lint():
    p = run(os.path.join(HERE, "lint"), check=False, timeout=300)
    if p.rc:
        raise AssertionError(p.out + p.err)


@plain
def test_golden():
    p = run(os.path.join(HERE, "golden.sh"), check=False)
    if p.rc:
        raise AssertionError(p.out + p.err + "\n(make golden refreshes them)")


def snippets():
    """Every configuration in the README and the manuals."""
    readme = open(os.path.join(TOP, "README.md")).read()
    for block in re.findall(r"(?:^    .*\n|^\n)+", readme, re.M):
        text = re.sub(r"^    ", "", block, flags=re.M).strip() + "\n"
        if re.search(r"^(bridge |bridge_)", text, re.M):
            yield "README.md", text
    for page in glob.glob(os.path.join(TOP, "docs/*.[58]")):
        for text in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", open(page)
                               .read(), re.M | re.S):
            yield page, text
    for f in glob.glob(os.path.join(TOP, "docs/examples/*.conf")):
        yield f, open(f).read()


@plain
def test_every_example_holds():
    n = 0
    for where, text in snippets():
        with Root(text) as r:
            p = r.gen("-q", "check", check=False)
            eq((p.rc, p.err), (0, ""), where + "\n" + text)
            r.gen("-q", "write")
        n += 1
    print("note: %d examples" % n)
    assert n >= 9


@plain
def test_manual_names_every_key():
    """And every verb and option of the usage texts."""
    page = open(os.path.join(TOP, "docs/vmnet.conf.5")).read()
    source = open(os.path.join(TOP, "src/conf.c")).read()
    for key in re.findall(r'\] = \{ "(\w*[a-z])"', source):
        assert re.search(r"\b%s\b" % key, page), key
    for prog in ("netbr-gen", "netbr-apply"):
        page = open(os.path.join(TOP, "docs/%s.8" % prog)).read()
        usage = run(os.path.join(SRC, prog), "--help").out
        for verb in re.findall(r"^  ([a-z]+)\b", usage, re.M):
            contains(page, ".It Cm " + verb)
        for opt in re.findall(r"--([a-z]+)", usage):
            contains(page, "Fl -" + opt)


def keys_of(j):
    if isinstance(j, dict):
        for k, v in j.items():
            yield k
            yield from keys_of(v)
    elif isinstance(j, list):
        for v in j:
            yield from keys_of(v)


def test_manual_names_every_json_field():
    """And every operation that there is."""
    page = open(os.path.join(TOP, "docs/netbr-apply.8")).read()
    Lan()
    conf(open(os.path.join(TOP, "docs/examples/two-bridges.conf")).read())
    p = apply("--json", "plan", check=False)
    up()
    ip("link", "set", "br0", "down")
    q = apply("--json", "status", check=False)
    keys = set(keys_of(json.loads(p.out))) | set(keys_of(json.loads(q.out)))
    assert len(keys) > 25, keys
    for k in keys:
        assert re.search(r"\b%s\b" % k, page), k
    source = open(os.path.join(TOP, "src/report.c")).read()
    for name in re.findall(r'\[OP_\w+\] = "([a-z-]+)"', source):
        assert re.search(r"\b%s\b" % name, page), name


def test_man_examples_run():
    """The EXAMPLES of the two programs, on the laptop's configuration."""
    conf(open(os.path.join(TOP, "docs/examples/laptop.conf")).read())
    for prog in ("netbr-gen", "netbr-apply"):
        page = open(os.path.join(TOP, "docs/%s.8" % prog)).read()
        for line in re.findall(r"^\.Dl (netbr-.*)$", page, re.M):
            words = line.split()
            p = run(os.path.join(SRC, words[0]), *words[1:], check=False)
            assert p.rc in (0, 3), (line, p.err)


def test_valgrind():
    """No leak and no error on the main verbs."""
    lan = Lan()
    ip("addr", "add", "10.99.0.2/24", "dev", "eth0")
    vg = ["valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds="
          "definite,indirect,possible", "--error-exitcode=99",
          "--trace-children=no"]
    conf(open(os.path.join(TOP, "docs/examples/two-bridges.conf")).read() +
         "bridge br9 { uplink = eth0 address = 10.99.0.2/24 "
         "gateway = 10.99.0.1 }\n")
    for prog, args, rcs in (
            (GEN, ["write"], (0,)), (GEN, ["write"], (0,)),
            (GEN, ["diff"], (0,)), (GEN, ["print"], (0,)),
            (GEN, ["show", "conf.d"], (0,)), (GEN, ["qemu", "web"], (0,)),
            (APPLY, ["plan"], (3,)), (APPLY, ["up"], (0,)),
            (APPLY, ["up"], (0,)), (APPLY, ["status", "--json"], (0,)),
            (APPLY, ["down"], (0,))):
        p = run(*vg, prog, *args, check=False)
        assert p.rc in rcs, (args, p.rc, p.err)
    conf("bridge br0 { mode = rooted\n stp = maybe }\n")
    eq(run(*vg, GEN, "check", check=False).rc, 78)


@plain
def test_asan_suite():
    """Again, on a build with ASan and UBSan: what goes through all of the
    code, without what only goes through it more often."""
    if os.environ.get("NETBR_NESTED"):
        raise Skip("this is that run")
    if os.geteuid() != 0:
        raise Skip("needs root (own network namespaces)")
    out = build("asan", "CFLAGS=-O1 -g -fsanitize=address,undefined "
                "-fno-sanitize-recover=all", "HARDEN_C=-fPIE")
    env = dict(os.environ, NETBR_BIN=out, NETBR_NESTED="1",
               ASAN_OPTIONS="abort_on_error=0:exitcode=99",
               UBSAN_OPTIONS="print_stacktrace=1")
    p = run(sys.executable, os.path.join(HERE, "run.py"), "t_config.",
            "t_gen.test_o", "t_gen.test_f", "t_gen.test_g", "t_apply.",
            "t_faults.test_random", "t_faults.test_failing",
            "t_faults.test_sigkill_at", "t_faults.test_journal",
            "t_filter.test_hostile", "t_filter.test_guest",
            "t_doctor.test_l",
            "t_doctor.test_docker", "t_try.test_conf", "t_try.test_a",
            check=False, timeout=800, env=env)
    tail = p.out.strip().splitlines()[-1]
    files = [os.path.join(HERE, f) for f in (
        "forward/forward.iptables.bats", "security/client.bats",
        "security/files.bats")]
    b = run(os.path.join(HERE, "machine"), *files, check=False, timeout=400,
            env=env)
    if b.rc or b.out.count("\nok ") < 20:
        raise AssertionError(b.out[-6000:] + b.err)
    if p.rc:
        raise AssertionError(p.out[-6000:] + p.err)
    print("note: " + tail)


test_asan_suite.timeout = 800
