# What tests claim about traffic and about the product.
# shellcheck shell=bash

# in_sync: a second up would change nothing: it sends no changing message, and
# starts no program (iptables' rules can only be looked at by programs)
in_sync() {
	run netbr-apply plan
	assert_output ''
	assert_success
	run netbr-apply -v up
	assert_success
	if grep -q '^firewall = iptables' /etc/vmnet.conf; then
		assert_output --partial ' 0 changing messages'
	else
		assert_output --partial ' 0 changing messages, 0 programs started'
	fi
}

# pings HOST ADDRESS: one ping is answered
pings() { at "$1" ping -c1 -W1 -q "$2" >/dev/null 2>&1; }
must_ping() { wait_for "$1 to ping $2" pings "$1" "$2"; }
# no_ping HOST ADDRESS: three pings are not answered
no_ping() {
	if at "$1" ping -c3 -i0.2 -W1 -q "$2" >/dev/null 2>&1; then
		echo "$1 reaches $2, and must not"
		return 1
	fi
}

# without_loss METER... -- COMMAND...: pings every 10 ms while COMMAND runs; no
# one is lost. A METER is ADDRESS, or HOST,ADDRESS. LOST=N: N are allowed.
without_loss() {
	local meters=() m pid said rc=0 n
	while [ "$1" != -- ]; do
		m=$1
		[[ $m == *,* ]] || m=here,$m
		background at "${m%%,*}" loss-meter "${m#*,}"
		meters+=("$background_pid")
		shift
	done
	shift
	"$@" || rc=$?
	for pid in "${meters[@]}"; do kill "$pid"; done
	for pid in "${meters[@]}"; do
		wait_for 'the meter' gone "$pid"
		said=$(output_of "$pid" | tail -n1)
		n=${said##*: lost }
		echo "${said}"
		[ "${n%% *}" -le "${LOST:-0}" ] || rc=1
	done
	return "$rc"
}
