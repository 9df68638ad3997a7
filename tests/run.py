#!/usr/bin/env python3
"""Runs netbr's tests: every test_* function of every t_*.py here, each in a
process, network, mount and PID namespace of its own, so that whatever it
starts or makes is gone when it ends; and the cmocka programs of unit/.

usage: run.py [NAME...]     only tests whose "module.function" contains a NAME
"""
import concurrent.futures
import importlib
import os
import re
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
sys.path.insert(0, HERE)
TIMEOUT = 300


def modules():
    names = sorted(f[:-3] for f in os.listdir(HERE)
                   if re.fullmatch(r"t_\w+\.py", f))
    return [importlib.import_module(n) for n in names]


def all_tests():
    for m in modules():
        for n in sorted(vars(m)):
            if n.startswith("test_"):
                yield m, n


def be_init():
    """PID 1 must collect orphans: a daemon that ended would stay a zombie."""
    child = os.fork()
    if child == 0:
        return
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            os._exit(1)
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def run_one(full):
    """In the child: prepares the machine and calls the test."""
    import lib
    if os.getpid() == 1:
        be_init()
    module, name = full.split(".", 1)
    func = getattr(importlib.import_module(module), name)
    try:
        if not getattr(func, "plain", False):
            lib.make_machine()
        func()
    except lib.Skip as e:
        print("SKIP:", e)
        sys.exit(77)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def command(m, n):
    func = getattr(m, n)
    me = [sys.executable, os.path.abspath(__file__), "--one",
          m.__name__ + "." + n]
    if getattr(func, "plain", False):
        return me
    return ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc",
            "--kill-child", "--propagation", "private"] + me


def start(test):
    m, n = test
    func = getattr(m, n)
    if os.geteuid() != 0 and not getattr(func, "plain", False):
        return test, 77, "SKIP: needs root (own network namespaces)", 0
    began = time.time()
    try:
        p = subprocess.run(command(m, n), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=getattr(func, "timeout", TIMEOUT))
        rc, out = p.returncode, p.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        rc, out = 124, (e.stdout or b"").decode(errors="replace") + \
            "\ntook longer than %d s" % e.timeout
    return test, rc, out, time.time() - began


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        return run_one(sys.argv[2])
    want = sys.argv[1:]
    passed = failed = skipped = 0
    tests = [t for t in all_tests() if not want or
             any(w in t[0].__name__ + "." + t[1] for w in want)]
    failures = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (m, n), rc, out, secs in pool.map(start, tests):
            full = m.__name__ + "." + n
            if rc == 0:
                passed += 1
                notes = [l for l in out.splitlines()
                         if l.startswith("note: ")]
                print("ok   %s (%.1f s)" % (full, secs))
                for l in notes:
                    print("       " + l[6:])
            elif rc == 77:
                skipped += 1
                print("skip %s: %s" % (full, out.strip().split("SKIP: ")[-1]))
            else:
                failed += 1
                failures.append(full)
                print("FAIL %s (%.1f s, rc %d)" % (full, secs, rc))
                print("     | " + out.rstrip().replace("\n", "\n     | "))
            sys.stdout.flush()
    for f in failures:
        print("failed: " + f)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
