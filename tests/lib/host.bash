# Hosts, cables between them, processes in the background.
# shellcheck shell=bash disable=SC2154 # top: of netbr.bash

# host NAME: a network namespace with a stack of its own
host() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	at "$1" sysctl -qw net.ipv6.conf.default.accept_dad=0
}

# at HOST COMMAND...: there; "here" is the namespace of the test
at() {
	if [ "$1" = here ]; then
		shift
		"$@"
	else
		ip netns exec "$@"
	fi
}

# cable HERE HOST THERE [ADDRESS...]: link HERE of this host to link THERE of
# HOST, which gets the addresses; both up
cable() {
	ip link add "$1" type veth peer name "$3" netns "$2"
	ip link set "$1" up
	ip -n "$2" link set "$3" up
	for a in "${@:4}"; do ip -n "$2" addr add "$a" dev "$3"; done
}

# lan [ADDRESS...]: a host "lan" (a router, a DHCP server) whose lan0 is the
# other end of our eth0
lan() {
	[ $# -gt 0 ] || set -- 10.99.0.1/24 fd99::1/64
	host lan
	cable eth0 lan lan0 "$@"
}

# pids of what runs in the background, one a line; tests add to those of setup
pids_file=${BATS_FILE_TMPDIR:-}/pids

# start COMMAND...: runs until stop, stop_all or the end of the file. The pid is
# in $background_pid, what it says in output_of.
start() {
	background_said=$(mktemp "$BATS_FILE_TMPDIR/said.XXXXXX")
	# the pid is the program's, not that of a shell which runs at()
	if [ "$1 $2" = 'at here' ]; then
		shift 2
	elif [ "$1" = at ]; then
		shift
		set -- ip netns exec "$@"
	fi
	# bats waits for whoever holds its descriptors
	"$@" </dev/null >"$background_said" 2>&1 3>&- 4>&- &
	background_pid=$!
	echo "$background_pid $background_said" >>"$pids_file"
}
# background COMMAND...: the same for a program that says "ready", and waits
# until it does
background() {
	start "$@"
	wait_for "$* to be ready" grep -q ready "$background_said" || {
		cat "$background_said"
		return 1
	}
}

# output_of PID: what a background command has said
output_of() { cat "$(awk -v p="$1" '$1 == p { print $2 }' "$pids_file")"; }

# stop PID [SIGNAL]: ends one background command and waits for its end
stop() {
	kill -"${2:-TERM}" "$1" 2>/dev/null || :
	wait_for "the end of process $1" gone "$1"
}
stop_all() {
	[ -e "$pids_file" ] || return 0
	while read -r pid _; do stop "$pid"; done <"$pids_file"
	rm -f "$pids_file"
}
# a zombie is gone too: its parent has not asked yet
gone() {
	local state
	state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
	[ "${state%% *}" = Z ]
}

# wait_for WHAT COMMAND...: until it succeeds, 20 s at most. WAIT=N: N s.
wait_for() {
	local what=$1 end=$((SECONDS + ${WAIT:-20}))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "waited ${WAIT:-20} s in vain for $what"
			return 1
		fi
		sleep 0.05
	done
}

# settled: no address is tentative
settled() { ! ip -6 addr show tentative | grep -q .; }
settle() { wait_for 'addresses to settle' settled; }

# openrc BRIDGE...: a private OpenRC with our service, a link for each bridge
openrc() {
	local d
	mkdir -p /etc/init.d /etc/conf.d /etc/runlevels
	for d in /etc/init.d /etc/conf.d /etc/runlevels; do
		mount -t tmpfs tmpfs "$d"
	done
	mkdir /etc/runlevels/{sysinit,boot,default,shutdown,nonetwork}
	cp "$top/init.d/netbr" /etc/init.d/netbr
	cp "$top/conf.d/netbr" /etc/conf.d/netbr
	for d; do
		ln -s netbr "/etc/init.d/net.$d"
		cat >"/etc/conf.d/net.$d" <<-END
		netbr_gen="$(command -v netbr-gen)"
		netbr_apply="$(command -v netbr-apply)"
		netbr_dhcp_script="$top/init.d/dhcp-script"
		END
	done
	printf 'rc_cgroup_mode="none"\nrc_parallel="NO"\n' >/etc/rc.conf
	rc-status >/dev/null 2>&1 || :
	echo default >/run/openrc/softlevel
}
# service NAME VERB: its daemons don't hold bats's descriptors
service() { rc-service "$@" 3>&- 4>&-; }
