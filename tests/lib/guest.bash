# Guests: processes that hold taps, namespaces on foreign ports, real QEMU.
# shellcheck shell=bash

# guest NAME TAP MAC GATEWAY... -- ADDRESS...: a process that holds TAP; its
# stack is the host NAME
guest() {
	local name=$1 tap=$2 mac=$3 gateways=() a g
	shift 3
	while [ "$1" != -- ]; do
		gateways+=("$1")
		shift
	done
	shift
	host "$name"
	background tap-guest "$tap" "$mac" "$name"
	for a; do ip -n "$name" addr add "$a" dev eth0; done
	for g in "${gateways[@]}"; do
		ip -n "$name" route add default via "$g"
	done
}

# port_guest NAME BRIDGE PORT MAC GATEWAY... -- ADDRESS...: a host NAME whose
# eth0 is the other end of PORT, a port of BRIDGE that is not netbr's
port_guest() {
	local name=$1 bridge=$2 port=$3 mac=$4 gateways=() a g
	shift 4
	while [ "$1" != -- ]; do
		gateways+=("$1")
		shift
	done
	shift
	host "$name"
	ip link add "$port" type veth peer name eth0 address "$mac" netns "$name"
	ip link set "$port" master "$bridge" up
	ip -n "$name" link set eth0 up
	for a; do ip -n "$name" addr add "$a" dev eth0; done
	for g in "${gateways[@]}"; do
		ip -n "$name" route add default via "$g"
	done
}

# qemu_guest NAME: a real QEMU guest without a disk: its iPXE asks for DHCP
qemu_guest() {
	local args
	read -ra args <<<"$(netbr-gen qemu "$1" | tr '\n' ' ')"
	start qemu-system-x86_64 -M pc,accel=tcg -m 64 -display none \
		-serial file:/run/qemu.serial -monitor none -nodefaults \
		-boot n "${args[@]}"
}
