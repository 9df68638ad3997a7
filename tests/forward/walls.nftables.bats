#!/usr/bin/env bats
# bats file_tags=root
# Isolation is also routing: what the bridge keeps apart, the host doesn't join.
# Every host uses netbr's host as its router for everything (and every guest
# of an isolated bridge too).
#
#   lan 10.99.0.1 fd99::1 ─ eth0    br1 (routed)   ─ tap0 one, tap1 two (isolated),
#                                                    tap2 free (without an ip)
#                                   br2 (routed)   ─ tap3 far
#                                   br3 (isolated) ─ tap4 lab, tap5 lab2
load ../lib/netbr
# walls.iptables.bats is a link to this file
backend=${BATS_TEST_FILENAME%.bats} backend=${backend##*.}

setup_file() {
	lan
	ip addr add 10.99.0.2/24 dev eth0
	ip addr add fd99::2/64 dev eth0
	conf <<-END
	firewall = $backend
	bridge br1 { mode = routed nat = off address = { 192.168.51.1/24, "fd51::1/64" } }
	bridge br2 { mode = routed nat = off address = { 192.168.52.1/24, "fd52::1/64" } }
	bridge br3 { mode = isolated address = { 192.168.53.1/24, "fd53::1/64" } }
	guest one { bridge = br1 tap = tap0 mac = 52:54:00:00:00:01 isolate = on
	    ip = { 192.168.51.10, "fd51::10" } }
	guest two { bridge = br1 tap = tap1 mac = 52:54:00:00:00:02 isolate = on
	    ip = { 192.168.51.11, "fd51::11" } }
	guest free { bridge = br1 tap = tap2 mac = 52:54:00:00:00:03 }
	guest far { bridge = br2 tap = tap3 mac = 52:54:00:00:00:04
	    ip = { 192.168.52.10, "fd52::10" } }
	guest lab { bridge = br3 tap = tap4 mac = 52:54:00:00:00:05
	    ip = { 192.168.53.10, "fd53::10" } }
	guest lab2 { bridge = br3 tap = tap5 mac = 52:54:00:00:00:06
	    ip = { 192.168.53.11, "fd53::11" } }
	guest router { bridge = br2 tap = tap6 mac = 52:54:00:00:00:07 filter = off
	    ip = { 192.168.52.11, "fd52::11" } }
	END
	up
	guest one tap0 52:54:00:00:00:01 192.168.51.1 fd51::1 -- 192.168.51.10/24 fd51::10/64
	guest two tap1 52:54:00:00:00:02 192.168.51.1 fd51::1 -- 192.168.51.11/24 fd51::11/64
	guest free tap2 52:54:00:00:00:03 192.168.51.1 fd51::1 -- 192.168.51.12/24 fd51::12/64
	guest far tap3 52:54:00:00:00:04 192.168.52.1 fd52::1 -- 192.168.52.10/24 fd52::10/64
	guest lab tap4 52:54:00:00:00:05 192.168.53.1 fd53::1 -- 192.168.53.10/24 fd53::10/64
	guest lab2 tap5 52:54:00:00:00:06 192.168.53.1 fd53::1 -- 192.168.53.11/24 fd53::11/64
	guest router tap6 52:54:00:00:00:07 192.168.52.1 fd52::1 -- 192.168.52.11/24 fd52::11/64
	ip -n lan route add default via 10.99.0.2
	ip -n lan -6 route add default via fd99::2
	# the kernel's own check of sources is not what holds
	for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$f"; done
	sysctl -qw net.ipv4.conf.all.send_redirects=0
	must_ping one 10.99.0.1
	must_ping one fd99::1
	must_ping free 10.99.0.1
	must_ping free fd99::1
	must_ping lab 192.168.53.1
	must_ping lab fd53::1
}

# through_host HOST ADDRESS BR-ADDRESS: a route to it by the host's MAC
through_host() { ip -n "$1" route replace "$2" via "$3" onlink dev eth0; }

# heard_as SENDER SOURCE TARGET-HOST TARGET LINK: does the target hear a ping
# with that source?
heard_as() {
	local pid
	at "$1" ip addr replace "$2" dev lo nodad 2>/dev/null
	start at "$3" tcpdump -lni "$5" "src host ${2%/*}"
	pid=$background_pid
	wait_for tcpdump said_listening "$pid"
	at "$1" ping -c3 -i.2 -W.2 -I "${2%/*}" "$4" >/dev/null 2>&1 || :
	sleep .5
	at "$1" ip addr del "$2" dev lo 2>/dev/null || :
	stop "$pid"
	output_of "$pid" | grep -q "IP.* ${2%/*} >"
}
said_listening() { output_of "$1" | grep -q 'listening on'; }

@test "a second up would change nothing" { in_sync; }

@test "isolated guests of a bridge don't meet at the host's MAC" {
	through_host one 192.168.51.11/32 192.168.51.1
	through_host two 192.168.51.10/32 192.168.51.1
	no_ping one 192.168.51.11
	run ! heard_as one 192.168.51.10/32 two 192.168.51.11 eth0
}
@test "nor by IPv6" {
	through_host one fd51::11/128 fd51::1
	through_host two fd51::10/128 fd51::1
	no_ping one fd51::11
}
@test "an isolated guest doesn't reach another bridge's" {
	no_ping one 192.168.52.10
	no_ping one fd52::10
	no_ping far 192.168.51.10
	no_ping far fd51::10
}
@test "nothing is routed out of an isolated bridge" {
	no_ping lab 10.99.0.1
	no_ping lab fd99::1
	no_ping lab 192.168.52.10
	no_ping lab fd52::10
	run ! heard_as lab 192.168.53.10/32 lan 10.99.0.1 lan0
	run ! heard_as lab 192.168.53.10/32 far 192.168.52.10 eth0
}
@test "nothing is routed into an isolated bridge" {
	run ! heard_as lan 10.99.0.1/32 lab 192.168.53.10 eth0
	run ! heard_as far 192.168.52.10/32 lab 192.168.53.10 eth0
	run ! heard_as far fd52::10/128 lab fd53::10 eth0
}
@test "the guests of an isolated bridge reach each other and the host" {
	must_ping lab 192.168.53.11
	must_ping lab fd53::11
	must_ping lab 192.168.53.1
}
@test "a guest without an ip is not forwarded as the LAN's router" {
	run ! heard_as free 10.99.0.1/32 far 192.168.52.10 eth0
	run ! heard_as free fd99::1/128 far fd52::10 eth0
}
@test "nor as another bridge's guest" {
	run ! heard_as free 192.168.52.10/32 lan 10.99.0.1 lan0
	run ! heard_as free fd52::10/128 lan fd99::1 lan0
}
@test "nor as somebody of the Internet" {
	run ! heard_as free 8.8.8.8/32 lan 10.99.0.1 lan0
	run ! heard_as free 2001:db8::8/128 lan fd99::1 lan0
}
@test "a LAN host is not forwarded as a guest" {
	run ! heard_as lan 192.168.51.12/32 far 192.168.52.10 eth0
	run ! heard_as lan fd51::12/128 far fd52::10 eth0
}
@test "a guest with filter off may be a router" {
	heard_as router 203.0.113.9/32 lan 10.99.0.1 lan0
}
@test "but not for another bridge's subnet" {
	run ! heard_as router 192.168.51.12/32 lan 10.99.0.1 lan0
}
@test "the LAN reaches a routed guest by a route, and guests of bridges each other" {
	must_ping lan 192.168.51.10
	must_ping lan fd51::10
	must_ping free 192.168.52.10
	must_ping free fd52::10
	must_ping one 10.99.0.1
}
