#!/bin/sh
# Every docs/examples/X.conf makes just the files below tests/golden/X.
# --update writes them anew; without it, a difference is an error.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rc=0
for conf in docs/examples/*.conf; do
	name=$(basename "$conf" .conf)
	mkdir -p "$work/$name/etc"
	echo "netbr-golden" >"$work/$name/etc/machine-id"
	chmod 644 "$conf"
	# the machine that they are for: a wire and a Wi-Fi station
	sys=$work/$name/sys/class/net
	mkdir -p "$sys/eth0" "$sys/wlan0/phy80211"
	echo 52:54:00:00:00:e0 >"$sys/eth0/address"
	echo 52:54:00:00:00:80 >"$sys/wlan0/address"
	"${NETBR_BIN:-src}/netbr-gen" -q -r "$work/$name" -c "$conf" write
	"${NETBR_BIN:-src}/netbr-gen" -q -r "$work/$name" -c "$conf" print \
		>"$work/$name/print"
	rm -rf "$work/$name/run" "$work/$name/sys" \
		"$work/$name/etc/machine-id"
	if [ "${1:-}" = --update ]; then
		rm -rf "tests/golden/$name"
		mkdir -p tests/golden
		cp -R "$work/$name" tests/golden/
	else
		diff -ru "tests/golden/$name" "$work/$name" || rc=1
	fi
done
exit $rc
