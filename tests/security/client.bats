#!/usr/bin/env bats
# bats file_tags=root
# Who counts as the uplink's DHCP client. If this fails, a local user's process
# is killed by root, or its command line is run by root.
#
#   a router ── lan0 ── eth0 (udhcpc, real or pretended) ── br0 ── tap0
load ../lib/netbr

setup() {
	lan
	ip addr add 10.99.0.2/24 dev eth0
	mkdir -m 755 /run/tmp/nobody
	conf <<-END
	bridge br0 { uplink = eth0 ports = { tap0 } }
	END
}
teardown() {
	stop_all
	netbr-apply -q --force down || :
	ip netns del lan
	rm -rf /run/tmp/nobody /run/pwned
	ip link del eth0 2>/dev/null || :
}

# pretend USER PROGRAM ARGV...: a sleeping process with this argv
pretend() {
	local user=$1 program=$2
	shift 2
	start python3 -c 'import os, sys
uid = int(sys.argv[1])
if uid: os.setgid(uid); os.setuid(uid)
os.execv(sys.argv[2], sys.argv[3:])' "$user" "$program" "$@"
	wait_for 'its new name' grep -qa "$(basename "$program")" \
		"/proc/$background_pid/comm"
}
sleeper() { # PATH: a program that does nothing
	printf '#include <unistd.h>\nint main(void){for(;;)pause();}\n' |
		cc -x c - -o "$1"
}

@test "a user's process that calls itself udhcpc lives on, and nothing of it is run" {
	sleeper /run/tmp/nobody/udhcpc
	pretend 65534 /run/tmp/nobody/udhcpc sh -c 'id >/run/pwned' eth0
	run -0 netbr-apply -q up
	kill -0 "$background_pid"
	run -0 grep -c udhcpc "/proc/$background_pid/comm"
	run -0 netbr-apply -q down
	assert_not_exists /run/pwned
}

@test "so does root's, of a program in a folder that others may write to" {
	sleeper /run/tmp/nobody/udhcpc
	chmod 777 /run/tmp/nobody
	pretend 0 /run/tmp/nobody/udhcpc sh -c 'id >/run/pwned' eth0
	run -0 netbr-apply -q up
	kill -0 "$background_pid"
	run -0 netbr-apply -q down
	assert_not_exists /run/pwned
}

@test "a user's own busybox with udhcpc's arguments does not count either" {
	sleeper /run/tmp/nobody/busybox
	pretend 65534 /run/tmp/nobody/busybox udhcpc -f -i eth0 -s /run/pwned
	run -0 netbr-apply -q up
	kill -0 "$background_pid"
	run -0 netbr-apply -q down
	assert_not_exists /run/pwned
}

@test "a record of another release runs nothing but a client" {
	run -0 netbr-apply -q up
	jq '.bridges |= map(. + {client: "sh\n-c\nid >/run/pwned\neth0\n"})' \
		/run/netbr/state.json >/run/tmp/state || skip 'the record has another form'
	cat /run/tmp/state >/run/netbr/state.json
	run netbr-apply -q down
	assert_not_exists /run/pwned
}

@test "root's udhcpc is taken over, and started again without strange options" {
	start udhcpc -f -i eth0 -x hostname:me -s /bin/true -t 1
	wait_for 'the client' pgrep -f 'udhcpc -f -i eth0'
	run -3 netbr-apply plan
	assert_output --partial udhcpc
	run -0 netbr-apply -q up
	wait_for 'its end' gone "$background_pid"
	run -0 netbr-apply -q down
	pid=$(pgrep -f 'udhcpc -x hostname:me')
	run -0 tr '\0' ' ' <"/proc/$pid/cmdline"
	echo "$pid none" >>"$pids_file"
	assert_output --partial '-i eth0'
	refute_output --partial ' -f '
}
