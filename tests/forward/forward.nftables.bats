#!/usr/bin/env bats
# bats file_tags=root
# Port forwards: TCP and UDP, IPv4 and IPv6; from the LAN, the host, guests.
#
#   lan                         this namespace             guests
#   10.99.0.1 fd99::1 lan0 ──── eth0
#                               10.99.0.2 .3 fd99::2
#                               192.168.50.1 fd50::1  br1 ─┬─ tap0  server
#                                                          └─ tap1  other
load ../lib/netbr
# forward.iptables.bats is a link to this file
backend=${BATS_TEST_FILENAME%.bats} backend=${backend##*.}

config() { # FORWARD...: a list of vmnet.conf
	conf <<-END
	firewall = $backend
	bridge br1 { mode = routed address = { 192.168.50.1/24, "fd50::1/64" } }
	guest server {
	    tap = tap0 mac = 52:54:00:00:00:01 ip = { 192.168.50.10, "fd50::10" }
	    forward = { $1 }
	}
	guest other { tap = tap1 mac = 52:54:00:00:00:02 ip = { 192.168.50.11, "fd50::11" } }
	END
}

setup_file() {
	lan 10.99.0.1/24 10.99.0.200/24 fd99::1/64
	for a in 10.99.0.2/24 10.99.0.3/24 fd99::2/64; do
		ip addr add "$a" dev eth0
	done
	snapshot >"$BATS_FILE_TMPDIR/before"
	config '"2222:22", "5353:53/udp", "10.99.0.2:2223:23",
		"2224:24 from 10.99.0.1/32", "[fd99::2]:2225:25/tcp"'
	up
	guest server tap0 52:54:00:00:00:01 192.168.50.1 fd50::1 -- 192.168.50.10/24 fd50::10/64
	guest other tap1 52:54:00:00:00:02 192.168.50.1 fd50::1 -- 192.168.50.11/24 fd50::11/64
	background at server port-server {22,23,24,25}/tcp 53/udp
	must_ping here fd50::10
	must_ping other 10.99.0.1
	must_ping other fd99::1
}

# reaches FROM ADDRESS [AS]: both ports lead to the server, who sees AS
reaches() {
	run -0 at "$1" ask tcp "$2" 2222
	assert_output -p "22 ${3:-}"
	run -0 at "$1" ask udp "$2" 5353
	assert_output -p "53 ${3:-}"
}
refused() { run ! at "$1" ask tcp "$2" "$3" .5; }

@test "a second up would change nothing" { in_sync; }

@test "the LAN reaches the guest at each address of the host" {
	reaches lan 10.99.0.2 10.99.0.1
	reaches lan 10.99.0.3 10.99.0.1
	reaches lan fd99::2 fd99::1
}
@test "so does the host itself" {
	reaches here 10.99.0.2
	reaches here 192.168.50.1
	reaches here fd99::2
}
@test "another guest does, and is seen as the bridge" {
	reaches other 10.99.0.2 192.168.50.1
	reaches other 192.168.50.1 192.168.50.1
	reaches other fd99::2 fd50::1
}
@test "a forward of one address is at no other" {
	run -0 at lan ask tcp 10.99.0.2 2223
	assert_output -p "23 "
	refused lan 10.99.0.3 2223
}
@test "a forward of one family is not in the other" {
	run -0 at lan ask tcp fd99::2 2225
	assert_output -p "25 "
	refused lan 10.99.0.2 2225
}
@test "a port of somebody else's is not taken" {
	refused other 10.99.0.200 2222
}
@test "from: only those it names" {
	run -0 at lan ask tcp 10.99.0.2 2224
	assert_output -p "24 "
	ip -n lan addr del 10.99.0.1/24 dev lan0
	ip -n lan addr replace 10.99.0.200/24 dev lan0
	refused lan 10.99.0.2 2224
	reaches lan 10.99.0.2 10.99.0.200
}
@test "taken out of the file, it is gone" {
	config '"5353:53/udp"'
	up
	refused lan 10.99.0.2 2222
}
@test "down leaves everything as it was" {
	stop_all
	down
	same "$BATS_FILE_TMPDIR/before"
}
