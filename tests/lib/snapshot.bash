# Everything that a namespace has, as text.
# shellcheck shell=bash

# snapshot [HOST]: links, addresses, routes, rules, firewall, sysctls; without
# what the kernel itself changes (timers, counters, states)
snapshot() {
	[ $# -gt 0 ] || settle
	at "${1:-here}" net-snapshot
}
# steady [HOST]: a snapshot when the kernel has done what it does later by
# itself (link-local addresses, carriers)
steady() {
	local before now i
	before=$(snapshot "$@")
	for ((i = 0; i < 20; i++)); do
		sleep 0.3
		now=$(snapshot "$@")
		[ "$now" != "$before" ] || break
		before=$now
	done
	printf '%s\n' "$now"
}
# same FILE [HOST]: everything is as in the snapshot FILE
same() {
	snapshot "${@:2}" >"$BATS_TEST_TMPDIR/now"
	diff -U0 "$1" "$BATS_TEST_TMPDIR/now"
}
