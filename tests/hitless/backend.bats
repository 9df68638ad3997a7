#!/usr/bin/env bats
# bats file_tags=root
# The firewall's backend is changed while a guest talks to the host. If this
# fails, a guest notices the change.
#
#   lan ── lan0 ── eth0   br1 ── tap0 ── guest (masqueraded)
load ../lib/netbr

config() { # BACKEND
	conf <<-END
	firewall = $1
	bridge br1 { mode = routed address = 192.168.50.1/24 }
	guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = 192.168.50.10 }
	END
}
setup_file() {
	lan
	ip addr add 10.99.0.2/24 dev eth0
	config nftables
	up
	guest a tap0 52:54:00:00:00:01 192.168.50.1 -- 192.168.50.10/24
	must_ping a 10.99.0.1
}
there_and_back() {
	local i
	for ((i = 0; i < 10; i++)); do
		config iptables
		up
		config nftables
		up
	done
}

@test "no ping of a guest to the host is lost over twenty changes" {
	without_loss a,192.168.50.1 -- there_and_back
	in_sync
	must_ping a 10.99.0.1
	run -0 iptables-save
	refute_output --partial netbr
}
