# vmnet.conf and the programs that read it.
# shellcheck shell=bash

# conf [FILE]: standard input becomes /etc/vmnet.conf, or FILE
conf() {
	mkdir -p "$(dirname "${1:-/etc/vmnet.conf}")"
	cat >"${1:-/etc/vmnet.conf}"
	chmod 644 "${1:-/etc/vmnet.conf}"
}
up() { netbr-apply -q up "$@"; }
down() { netbr-apply -q down "$@"; }
