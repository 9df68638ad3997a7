# Guests: processes that hold taps, namespaces on foreign ports, real QEMU.
# shellcheck shell=bash

# address_guest NAME GATEWAY... -- ADDRESS...: what its eth0 and routes are
address_guest() {
	local name=$1 gateways=() a g
	shift
	while [ "$1" != -- ]; do
		gateways+=("$1")
		shift
	done
	shift
	for a; do ip -n "$name" addr add "$a" dev eth0; done
	for g in "${gateways[@]}"; do
		ip -n "$name" route add default via "$g"
	done
}

# guest NAME TAP MAC GATEWAY... -- ADDRESS...: a process that holds TAP; its
# stack is the host NAME
guest() {
	host "$1"
	background tap-guest "$2" "$3" "$1"
	address_guest "$1" "${@:4}"
}

# port_guest NAME BRIDGE PORT MAC GATEWAY... -- ADDRESS...: a host NAME whose
# eth0 is the other end of PORT, a port of BRIDGE that is not netbr's
port_guest() {
	host "$1"
	ip link add "$3" type veth peer name eth0 address "$4" netns "$1"
	ip link set "$3" master "$2" up
	ip -n "$1" link set eth0 up
	address_guest "$1" "${@:5}"
}

# qemu_guest NAME: a real QEMU guest without a disk: its iPXE asks for DHCP
qemu_guest() {
	local args
	read -ra args <<<"$(netbr-gen qemu "$1" | tr '\n' ' ')"
	start qemu-system-x86_64 -M pc,accel=tcg -m 64 -display none \
		-serial file:/run/qemu.serial -monitor none -nodefaults \
		-boot n "${args[@]}"
}
