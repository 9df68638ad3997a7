# What every .bats file loads: load ../lib/netbr
# shellcheck shell=bash
bats_require_minimum_version 1.8.0
bats_load_library bats-support
bats_load_library bats-assert
bats_load_library bats-file

# the checkout; its programs (NETBR_BIN: others, e.g. a build with sanitizers)
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=${NETBR_BIN:-$top/src}:$top/tests/helpers:$PATH:/usr/sbin:/sbin
export LC_ALL=C
for lib in config host guest snapshot assertions; do
	# shellcheck source=/dev/null
	. "$top/tests/lib/$lib.bash"
done
unset lib

# A file that changes a network, /etc or processes says file_tags=root, and is
# run by tests/machine: anywhere else it must touch nothing.
if grep -q '^# bats file_tags=.*\<root\>' "$BATS_TEST_FILENAME" &&
	! { [ -n "${NETBR_MACHINE:-}" ] && [ -e /run/machine ]; }; then
	echo "run it by: tests/machine ${BATS_TEST_FILENAME#"$top"/}" >&2
	exit 1
fi

# A file that has a teardown_file of its own calls stop_all there.
teardown_file() { stop_all; }
