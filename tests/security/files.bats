#!/usr/bin/env bats
# bats file_tags=root
# Files that root believes, and the lock. If this fails, another user writes
# root's firewall rules, or keeps root from running netbr.
load ../lib/netbr

setup() {
	mkdir -p /etc/netbr/templates
	conf <<-END
	bridge br0 { mode = routed address = 10.0.0.9/24 dhcp { } }
	guest a { tap = tap0 mac = 52:54:00:00:00:01 ip = 10.0.0.1 }
	guest b { tap = tap1 mac = 52:54:00:00:00:02 ip = 10.0.0.2 }
	END
	override=/etc/netbr/templates/hosts.tmpl
	echo 'mine' >"$override"
	chmod 644 "$override"
}
teardown() {
	rm -rf /etc/netbr/templates
	netbr-apply -q --force down || :
}

@test "a template of root's own is taken" {
	run -0 netbr-gen show hosts br0
	assert_line mine
}
@test "a template that another user owns is refused, and named" {
	chown nobody "$override"
	run -1 netbr-gen show hosts br0
	assert_output --partial "$override"
	refute_line mine
}
@test "a template that others can write to is refused" {
	chmod 666 "$override"
	run -1 netbr-gen show hosts br0
	assert_output --partial 'chmod go-w'
}
@test "a template in a folder of another user is refused" {
	chown nobody /etc/netbr/templates
	run -1 netbr-gen show hosts br0
	assert_output --partial '/etc/netbr/templates'
}
@test "a link to another user's template is refused" {
	mkdir -p /run/tmp/theirs
	echo mine >/run/tmp/theirs/hosts.tmpl
	chown -R nobody /run/tmp/theirs
	ln -sf /run/tmp/theirs/hosts.tmpl "$override"
	run -1 netbr-gen show hosts br0
	refute_line mine
}
@test "a link in another user's folder is refused, though it leads to root's file" {
	mv "$override" /etc/netbr/hosts.tmpl
	ln -s ../hosts.tmpl "$override"
	run -0 netbr-gen show hosts br0
	assert_line mine
	chown nobody /etc/netbr/templates
	run -1 netbr-gen show hosts br0
	refute_line mine
}
@test "the templates of a build tree that a user owns are taken" {
	cp -R "$top/templates" /run/tmp/templates
	mkdir -p /run/tmp/tree/src
	mv /run/tmp/templates /run/tmp/tree/
	cp "$(command -v netbr-gen)" "$top/src/view.h" /run/tmp/tree/src/
	chown -R nobody /run/tmp/tree
	chmod -R g+w /run/tmp/tree
	rm -rf /etc/netbr/templates
	run -0 /run/tmp/tree/src/netbr-gen show hosts br0
}
@test "a list within itself is an error, not an endless loop" {
	printf '{{#reservations}}{{#reservations}}{{nothing}}{{/reservations}}{{/reservations}}\n' \
		>"$override"
	run -1 timeout 10 netbr-gen show hosts br0
	assert_output --partial 'within itself'
}

@test "a user who opens the lock does not hold it" {
	run -0 netbr-apply -q up
	chmod 644 /run/netbr/lock	# as an older release left it
	run -0 netbr-apply -q up
	run ! setpriv --reuid 65534 --clear-groups flock -n -s /run/netbr/lock true
	run -0 netbr-apply -q up
}
