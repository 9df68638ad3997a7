#!/usr/bin/env bats
# bats file_tags=root
# Frames that got past the filter once: a server's word from a strange port, a
# request in pieces, a tag, a querier's question. If this fails, a guest is the
# LAN's DHCP server, ends another guest's lease, or speaks in another VLAN.
#
#   the attacker ── tap1 ─┐
#                  tap0 ── br1 (10.0.0.1): here it is heard
load ../lib/netbr
# evasion.iptables.bats is a link to this file
backend=${BATS_TEST_FILENAME%.bats} backend=${backend##*.}

config() { # KEYS of the attacker's
	conf <<-END
	firewall = $backend
	bridge br1 { mode = isolated address = { 10.0.0.1/24, "fd00::1/64" } }
	guest a { tap = tap1 mac = 52:54:00:00:00:0a $1 }
	guest v { tap = tap0 mac = 52:54:00:00:00:01 ip = 10.0.0.2 }
	END
	up
}
send() { evasion-frames tap1 52:54:00:00:00:0a 10.0.0.3 br1; }
none_passes() {
	run -0 send
	refute_line --regexp '^must not: .*: passed$'
	refute_line --regexp '^must: .*: dropped$'
	assert_line 'must: UDP: passed'
}
setup_file() {
	sysctl -qw net.bridge.bridge-nf-call-iptables=0 \
		net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || :
}

@test "a guest with an address gets none of them past the filter" {
	config 'ip = 10.0.0.3'
	none_passes
}
@test "nor does a guest without an address" {
	config ''
	none_passes
}
@test "nor after the rules were flushed and put back" {
	config 'ip = 10.0.0.3'
	nft flush ruleset
	up
	none_passes
}
@test "without a filter they pass: the test can fail" {
	config 'ip = 10.0.0.3 filter = off'
	run -0 send
	assert_line --regexp '^must not: DHCP to a client from port 9: passed$'
	assert_line --regexp '^must not: IGMP query: passed$'
}
