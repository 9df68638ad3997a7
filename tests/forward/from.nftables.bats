#!/usr/bin/env bats
# bats file_tags=root
# "from NET" is a wall: it holds on every way to the guest's port.
#
#   lan   10.99.0.1 (in NET), .200 (not), fd99::1 ─ eth0 ─┐  br1 ─ tap0 server
#   other 10.98.0.1, says it is 10.99.0.1 ───────── eth1 ─┘
load ../lib/netbr
# from.iptables.bats is a link to this file
backend=${BATS_TEST_FILENAME%.bats} backend=${backend##*.}

setup_file() {
	lan 10.99.0.1/24 10.99.0.200/24 fd99::1/64
	host other
	cable eth1 other other0 10.98.0.1/24
	ip addr add 10.99.0.2/24 dev eth0
	ip addr add fd99::2/64 dev eth0
	ip addr add 10.98.0.2/24 dev eth1
	conf <<-END
	firewall = $backend
	bridge br1 { mode = routed nat = off address = { 192.168.50.1/24, "fd50::1/64" } }
	guest server { tap = tap0 mac = 52:54:00:00:00:01 ip = { 192.168.50.10, "fd50::10" }
	    forward = { "2224:24 from 10.99.0.1/32", "2223:23", "5353:53/udp from 10.99.0.1/32",
	        "2226:26 from 10.99.0.1/32" } }
	END
	up
	guest server tap0 52:54:00:00:00:01 192.168.50.1 fd50::1 -- 192.168.50.10/24 fd50::10/64
	background at server port-server {22,23,24}/tcp 53/udp
	for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >"$f"; done
	ip -n lan route add 192.168.50.0/24 via 10.99.0.2
	ip -n lan -6 route add fd50::/64 via fd99::2
	ip -n other route add default via 10.98.0.2
	must_ping lan 192.168.50.10
	must_ping lan fd50::10
	must_ping other 192.168.50.10
}
reaches() { # HOST ADDRESS PORT [tcp|udp]
	run -0 at "$1" ask "${4:-tcp}" "$2" "$3"
}
refused() { run ! at "$1" ask "${4:-tcp}" "$2" "$3" .5; }
# as_200 COMMAND...: the LAN host is one outside NET
as_200() {
	local rc=0
	ip -n lan route replace 192.168.50.0/24 via 10.99.0.2 src 10.99.0.200
	"$@" || rc=$?
	ip -n lan route replace 192.168.50.0/24 via 10.99.0.2
	return $rc
}
# forged TARGET PORT: does a SYN (and a datagram) that says it is from
# 10.99.0.1, on the other cable, arrive at the server?
forged() {
	local pid
	ip -n other addr replace 10.99.0.1/32 dev lo
	start at server tcpdump -lni eth0 "src host 10.99.0.1 and not icmp"
	pid=$background_pid
	wait_for tcpdump said_listening "$pid"
	ip -n other route replace default via 10.98.0.2 src 10.99.0.1
	ip -n other route replace 10.98.0.0/24 dev other0 src 10.99.0.1
	at other ask tcp "$1" "$2" .3 || :
	ip -n other route replace default via 10.98.0.2
	ip -n other route replace 10.98.0.0/24 dev other0
	sleep .3
	stop "$pid"
	output_of "$pid" | grep -q 'IP 10.99.0.1'
}
said_listening() { output_of "$1" | grep -q 'listening on'; }

@test "a second up would change nothing" { in_sync; }

@test "who is in NET reaches the port, by the forward and by a route" {
	reaches lan 10.99.0.2 2224
	reaches lan 192.168.50.10 24
	reaches lan 192.168.50.10 53 udp
}
@test "who is outside NET doesn't reach it by a route" {
	run ! as_200 at lan ask tcp 192.168.50.10 24 .5
	run ! as_200 at lan ask udp 192.168.50.10 53 .5
	refused other 192.168.50.10 24
}
@test "nor in the other family" {
	refused lan fd50::10 24
	refused lan fd50::10 53 udp
}
@test "a forged source doesn't pass by the forward" {
	forged 10.98.0.2 2223
	run ! forged 10.98.0.2 2224
}
@test "a forged source doesn't pass by a route" {
	forged 192.168.50.10 22
	run ! forged 192.168.50.10 24
}
@test "other ports of the guest are reached by a route" {
	as_200 at lan ask tcp 192.168.50.10 22
	reaches lan fd50::10 22
	reaches other 192.168.50.10 23
}
@test "the guest's own connections from that port get their answers" {
	background at other port-server 24/tcp
	run -0 at server python3 -c '
import socket
s = socket.socket()
s.bind(("192.168.50.10", 26))
s.settimeout(3)
s.connect(("10.98.0.1", 24))'
}
@test "taken out of the file, it is no wall any more" {
	sed -i 's/ from 10.99.0.1.32//' /etc/vmnet.conf
	up
	in_sync
	reaches lan fd50::10 24
	reaches other 192.168.50.10 24
	forged 10.98.0.2 2224
}
