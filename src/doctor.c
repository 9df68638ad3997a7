#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <jansson.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dhcpc.h"
#include "fw.h"
#include "spawn.h"
#include "sys.h"

/* ---- findings ---------------------------------------------------------- */

struct finding {
	const char *check;
	char bridge[IFNAMSIZ];
	char *evidence, *remedy;
};

struct doctor {
	const struct session *s;
	struct finding *v;
	size_t n;
	struct buf iptables;	/* what iptables-save says, if it is there */
	struct list processes;	/* "PID COMM" of all */
};

static void found(struct doctor *d, const char *check,
		  const struct bridge *b, char *evidence, char *remedy)
{
	struct finding *f;

	ARRAY_GROW(d->v, d->n);
	f = &d->v[d->n++];
	*f = (struct finding){ .check = check, .evidence = evidence,
			       .remedy = remedy };
	if (b)
		str_put(f->bridge, IFNAMSIZ, b->name);
}

static char *file_text(const char *path)
{
	struct buf b = { 0 };

	if (buf_read_file(&b, path, 4 << 20) < 0)
		buf_puts(&b, "");
	buf_puts(&b, "");
	return b.s;
}

/* Does a file have this word, on a line that is no comment? */
static bool file_says(const char *path, const char *word)
{
	_cleanup_free_ char *text = file_text(path);
	char *save = NULL, *line;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		line += strspn(line, " \t");
		if (*line != '#' && strstr(line, word))
			return true;
	}
	return false;
}

static bool glob_says(const char *pattern, const char *word)
{
	glob_t g;
	bool yes = false;

	if (glob(pattern, 0, NULL, &g) != 0)
		return false;
	for (size_t i = 0; !yes && i < g.gl_pathc; i++)
		yes = file_says(g.gl_pathv[i], word);
	globfree(&g);
	return yes;
}

static bool sysctl_is(const char *path, const char *value)
{
	_cleanup_free_ char *have = sysctl_read(path);

	return have && streq(have, value);
}

/* ---- processes --------------------------------------------------------- */

static void list_processes(struct list *l)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		_cleanup_free_ char *path = NULL, *comm = NULL, *both = NULL;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		path = xasprintf("/proc/%s/comm", e->d_name);
		comm = file_text(path);
		comm[strcspn(comm, "\n")] = '\0';
		both = xasprintf("%s %s", e->d_name, comm);
		list_add(l, both, (struct src){ 0 });
	}
	if (dir)
		closedir(dir);
}

/* The pid of a program (as text), NULL if it does not run. */
static const char *pid_of(const struct doctor *d, const char *comm)
{
	for (size_t i = 0; i < d->processes.n; i++) {
		char *text = d->processes.v[i].text, *name = strchr(text, ' ');

		if (name && strncmp(name + 1, comm, 15) == 0) {
			static char pid[16];

			snprintf(pid, sizeof(pid), "%.*s",
				 (int)(name - text), text);
			return pid;
		}
	}
	return NULL;
}

/* Arguments, separated by spaces. */
static char *cmdline(const char *pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%s/cmdline", pid);
	struct buf b = { 0 };

	if (buf_read_file(&b, path, 1 << 20) == 0)
		for (size_t i = 0; i + 1 < b.len; i++)
			if (!b.s[i])
				b.s[i] = ' ';
	buf_puts(&b, "");
	return b.s;
}

/* Which process holds a socket? "name (pid N)", NULL if none is found. */
static char *socket_owner(const struct doctor *d, unsigned long inode)
{
	_cleanup_free_ char *want = xasprintf("socket:[%lu]", inode);

	for (size_t i = 0; i < d->processes.n; i++) {
		const char *text = d->processes.v[i].text;
		int n = strcspn(text, " ");
		_cleanup_free_ char *pattern = xasprintf("/proc/%.*s/fd/*", n,
							 text);
		char target[64], *hit = NULL;
		glob_t g;

		if (glob(pattern, 0, NULL, &g) != 0)
			continue;
		for (size_t k = 0; !hit && k < g.gl_pathc; k++) {
			ssize_t len = readlink(g.gl_pathv[k], target,
					       sizeof(target) - 1);

			target[len < 0 ? 0 : len] = '\0';
			if (streq(target, want))
				hit = xstrdup(text);
		}
		globfree(&g);
		if (hit)
			return hit;
	}
	return NULL;
}

/* ---- firewalls --------------------------------------------------------- */

static bool iptables_has(const struct doctor *d, const char *text)
{
	return strstr(buf_str(&d->iptables), text);
}

static bool nf_call(void)
{
	return sysctl_is("net/bridge/bridge-nf-call-iptables", "1");
}

static void check_docker(struct doctor *d, const struct bridge *b)
{
	_cleanup_free_ char *in = xasprintf("-A DOCKER-USER -i %s ", b->name);
	_cleanup_free_ char *ours = xasprintf("-A DOCKER-USER -j netbr-%s-c",
					      b->name);
	bool routed = bridge_routes(b);

	if (!iptables_has(d, ":FORWARD DROP") ||
	    !iptables_has(d, ":DOCKER-USER ") || iptables_has(d, in) ||
	    iptables_has(d, ours) || (!routed && !nf_call()) ||
	    (routed && streq(d->s->in.fw_backend, "iptables")))
		return;
	found(d, "docker-forward", b, xasprintf(
		"Docker has set the policy of iptables' FORWARD chain to DROP%s",
		routed ? "" : ", and net.bridge.bridge-nf-call-iptables = 1 "
		"sends bridged frames through it"), xasprintf(
		"iptables -I DOCKER-USER -i %s -j ACCEPT && iptables -I "
		"DOCKER-USER -o %s -j ACCEPT # for good: coexist = { docker }",
		b->name, b->name));
}

static void check_later_drop(struct doctor *d, const struct bridge *b)
{
	struct list chains = { 0 };

	if (!bridge_routes(b) && !nf_call())
		return;
	fw_dropping_chains(b->name, &chains);
	for (size_t i = 0; i < chains.n; i++) {
		const char *c = chains.v[i].text;

		/* Docker's own has a check, and a place, of its own */
		if (streq(c, "ip filter FORWARD") &&
		    iptables_has(d, ":DOCKER-USER "))
			continue;
		if (strstr(c, "inet firewalld ") ||
		    (streq(d->s->in.fw_backend, "iptables") &&
		     bridge_routes(b) && strstr(c, " filter FORWARD")))
			continue;	/* a check of its own; our jump */
		found(d, "later-drop", b, xasprintf("the chain '%s' drops what "
			"no rule of its own accepts: that netbr accepts it "
			"does not count there", c), xasprintf(
			"nft insert rule %s iifname %s accept && nft insert "
			"rule %s oifname %s accept", c, b->name, c, b->name));
	}
	list_free(&chains);
}

static void check_firewalld(struct doctor *d, const struct bridge *b)
{
	const char *pid = pid_of(d, "firewalld");

	if (!pid || fw_table_names(NULL, "firewalld", b->name))
		return;
	found(d, "firewalld", b, xasprintf("firewalld (pid %s) runs, and %s is "
		"in none of its zones: it rejects what the guests forward",
		pid, b->name), xasprintf("firewall-cmd --zone=trusted "
		"--add-interface=%s # for good: coexist = { firewalld }",
		b->name));
}

static void check_saved_rules(struct doctor *d)
{
	static const char *const services[] = { "iptables", "ip6tables",
						"nftables", "ebtables" };

	for (size_t i = 0; i < N_ELEMENTS(services); i++) {
		_cleanup_free_ char *path = xasprintf("/etc/conf.d/%s",
						      services[i]);

		if (!file_says(path, "SAVE_ON_STOP=\"yes\""))
			continue;
		found(d, "saved-rules", NULL, xasprintf("%s says "
			"SAVE_ON_STOP=\"yes\": the service %s writes netbr's "
			"rules down as its own, and loads them when they are "
			"outdated", path, services[i]), xasprintf(
			"sed -i 's/^SAVE_ON_STOP=.*/SAVE_ON_STOP=\"no\"/' %s",
			path));
	}
}

/* ---- other managers ---------------------------------------------------- */

static void check_managers(struct doctor *d, const struct bridge *b)
{
	const char *nm = pid_of(d, "NetworkManager");
	const char *up = bridge_takes_over(b) ? b->uplink : NULL;
	_cleanup_free_ char *argv = NULL;

	if (nm && !glob_says("/etc/NetworkManager/conf.d/*.conf", b->name))
		found(d, "other-manager", b, xasprintf("NetworkManager (pid %s) "
			"runs, and nothing in /etc/NetworkManager/conf.d keeps "
			"it off %s and its ports", nm, b->name), xasprintf(
			"printf '[keyfile]\\nunmanaged-devices=interface-name:"
			"%s;interface-name:tap*%s%s\\n' "
			">/etc/NetworkManager/conf.d/netbr-%s.conf && nmcli "
			"general reload", b->name, up ? ";interface-name:" :
			"", up ? up : "", b->name));
	if (pid_of(d, "systemd-networkd") &&
	    !glob_says("/etc/systemd/network/*.network", b->name))
		found(d, "other-manager", b, xasprintf("systemd-networkd (pid "
			"%s) runs, and no file in /etc/systemd/network keeps "
			"it off %s", pid_of(d, "systemd-networkd"), b->name),
			xasprintf("printf '[Match]\\nName=%s tap*%s%s\\n[Link]"
			"\\nUnmanaged=yes\\n' >/etc/systemd/network/10-netbr-%s"
			".network", b->name, up ? " " : "", up ? up : "",
			b->name));
	if (dhcpc_find(up ? up : b->name, &argv) == -1 &&
	    !file_says("/etc/dhcpcd.conf", up ? up : b->name))
		found(d, "other-manager", b, xasprintf("a dhcpcd serves every "
			"interface, %s too", up ? up : b->name), xasprintf(
			"echo 'denyinterfaces %s%s%s tap*' >>/etc/dhcpcd.conf",
			b->name, up ? " " : "", up ? up : ""));
}

/* netifrc's own service for what netbr has. */
static void check_netifrc(struct doctor *d, const struct bridge *b,
			  const char *link)
{
	_cleanup_free_ char *level = xasprintf("/etc/runlevels/*/net.%s", link);
	_cleanup_free_ char *script = xasprintf("/etc/init.d/net.%s", link);
	_cleanup_free_ char *var = shell_var(link);
	_cleanup_free_ char *null = xasprintf("config_%s=\"null\"", var);
	char target[64];
	ssize_t n = readlink(script, target, sizeof(target) - 1);
	glob_t g;

	target[n < 0 ? 0 : n] = '\0';
	if (!strstr(target, "net.lo") || glob(level, 0, NULL, &g) != 0)
		return;
	globfree(&g);
	if (!file_says("/etc/conf.d/net", null))
		found(d, "other-manager", b, xasprintf("netifrc's service "
			"net.%s is in a runlevel, and /etc/conf.d/net does not "
			"tell it to leave %s alone (%s)", link, link, null),
			xstrdup("netbr-gen write"));
}

/* ---- servers ----------------------------------------------------------- */

/* A line of /proc/net/udp (proc(5)): who has this port on every address, or
 * on this one? Addresses are 32 bits in the machine's order. */
static bool udp_line(const char *line, unsigned int port, uint32_t addr,
		     unsigned long *inode)
{
	unsigned int a, p;

	return sscanf(line, " %*d: %x:%x %*x:%*x %*x %*x:%*x %*x:%*x %*x %*u "
		      "%*u %lu", &a, &p, inode) == 3 && p == port &&
	       (!a || a == addr);
}

static void check_ports(struct doctor *d, const struct bridge *b)
{
	static const unsigned int ports[] = { 67, 53 };
	const struct cidr *own = bridge_address(b, AF_INET);
	_cleanup_free_ char *text = file_text("/proc/net/udp");
	char *save = NULL, *line;
	uint32_t addr = 0;

	if (!b->dhcp.present || b->dhcp.server != SERVER_OWN || !own ||
	    d->s->in.dns_runs(d->s->in.arg, b->name))
		return;
	memcpy(&addr, own->ip.b, 4);
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		for (size_t i = 0; i < N_ELEMENTS(ports); i++) {
			_cleanup_free_ char *who = NULL, *cmd = NULL;
			unsigned long inode;

			if (!udp_line(line, ports[i], addr, &inode))
				continue;
			who = socket_owner(d, inode);
			if (who)
				who[strcspn(who, " ")] = '\0';
			cmd = who ? cmdline(who) : xstrdup("a process unknown");
			if (strstr(cmd, "/netbr-"))
				continue;
			found(d, "port-in-use", b, xasprintf("%.*s (pid %s) "
				"has UDP port %u: %s's dnsmasq can't start",
				(int)strcspn(cmd, " "), cmd, who ? who : "?",
				ports[i], b->name), xasprintf(
				"kill %s # and keep it off %s in its own "
				"configuration (bind-dynamic, "
				"except-interface)", who ? who : "PID",
				b->name));
		}
}

static void check_leases(struct doctor *d, const struct bridge *b)
{
	struct leases l;

	leases_load(&l, d->s->cli->root, b->name);
	for (size_t i = 0; i < l.n; i++) {
		const struct guest *g = lease_blocks(&l.v[i], d->s->m, b);
		char ip[IP_TEXT], mac[MAC_TEXT];

		if (g)
			found(d, "stale-lease", b, xasprintf("%s is reserved "
				"for %s, but leased to %s",
				ip_format(&l.v[i].ip, ip), g->name,
				mac_format(&l.v[i].mac, mac)),
				xasprintf("netbr-apply up %s", b->name));
	}
	leases_free(&l);
}

/* ---- the kernel's settings ----------------------------------------------- */

static void check_rp_filter(struct doctor *d, const struct bridge *b,
			    const struct klink *l)
{
	_cleanup_free_ char *path = ifname_sysctl(AF_INET, b->name,
						  "rp_filter");
	bool strict = sysctl_is(path, "1") ||
		      (sysctl_is("net/ipv4/conf/all/rp_filter", "1") &&
		       !sysctl_is(path, "2"));

	for (size_t i = 0; strict && i < b->address.n; i++) {
		struct cidr net = cidr_network(&b->address.v[i].cidr);

		for (size_t k = 0; k < d->s->k.n_routes; k++) {
			const struct kroute *r = &d->s->k.routes[k];
			const struct klink *o;
			char text[160];

			if (r->oif == l->index || r->family != AF_INET ||
			    !r->dst.plen || r->dst.plen < net.plen ||
			    r->table != 254 || !cidr_has(&net, &r->dst.ip))
				continue;
			o = kstate_link_index(&d->s->k, r->oif);
			found(d, "rp-filter", b, xasprintf("rp_filter is strict, "
				"and there is a route %s over %s: what comes "
				"from there on %s is dropped", kroute_words(
				r, text, sizeof(text)), o ? o->name :
				"another link", b->name), xasprintf(
				"sysctl -w net.ipv4.conf.%s.rp_filter=2",
				b->name));
			return;
		}
	}
}

/* Links whose v6 address came from a router. */
static void check_accept_ra(struct doctor *d)
{
	if (!sysctl_is("net/ipv6/conf/all/forwarding", "1"))
		return;
	for (size_t i = 0; i < d->s->k.n_addrs; i++) {
		const struct kaddr *a = &d->s->k.addrs[i];
		const struct klink *l = kstate_link_index(&d->s->k, a->index);
		_cleanup_free_ char *path = NULL;

		if (!l || a->c.ip.family != AF_INET6 || a->valid == KFOREVER ||
		    ip_is_linklocal6(&a->c.ip))
			continue;
		path = ifname_sysctl(AF_INET6, l->name, "accept_ra");
		if (sysctl_is(path, "1"))
			found(d, "accept-ra", NULL, xasprintf("%s has its IPv6 "
				"address from a router, but the host forwards, "
				"and with accept_ra = 1 it no longer listens "
				"to routers: address and route will expire",
				l->name), xasprintf("sysctl -w net.ipv6.conf."
				"%s.accept_ra=2", l->name));
	}
}

static void check_mtu(struct doctor *d, const struct bridge *b,
		      const struct klink *br)
{
	for (size_t i = 0; i < d->s->k.n_links; i++) {
		const struct klink *l = &d->s->k.links[i];

		if (l->master == br->index && l->mtu < br->mtu)
			found(d, "mtu", b, xasprintf("the MTU of %s's port %s "
				"is %u, that of %s %u: large frames to it are "
				"lost", b->name, l->name, l->mtu, b->name,
				br->mtu), xasprintf("ip link set %s mtu %u",
				l->name, br->mtu));
	}
}

static void check_stp(struct doctor *d, const struct bridge *b)
{
	if (b->stp && b->forward_delay_cs >= 500)
		found(d, "stp-delay", b, xasprintf("with STP on and "
			"forward_delay = %lu a guest's first %lu seconds pass "
			"in silence: DHCP clients and network boot give up",
			b->forward_delay_cs / 100, b->forward_delay_cs / 50),
			xasprintf("set forward_delay = 2 in bridge %s of "
				  "vmnet.conf, then netbr-apply up", b->name));
}

/* ---- taps and QEMU ----------------------------------------------------- */

static void check_tun(struct doctor *d)
{
	struct stat st;

	if (stat("/dev/net/tun", &st) < 0) {
		found(d, "kernel", NULL, xstrdup("there is no /dev/net/tun: no "
			"tap can be made (CONFIG_TUN)"), xstrdup(
			"modprobe tun && mkdir -p /dev/net && mknod "
			"/dev/net/tun c 10 200"));
		return;
	}
	for (size_t i = 0; i < d->s->m->n_ports; i++) {
		const struct port *p = d->s->m->ports[i];

		if (p->owner && !streq(p->owner, "root") &&
		    (st.st_mode & 06) != 06) {
			found(d, "tap-owner", p->bridge, xasprintf("%s belongs "
				"to %s, but /dev/net/tun is open to its own "
				"owner and group alone (mode %04o)", p->name,
				p->owner, st.st_mode & 07777),
				xstrdup("chmod 0666 /dev/net/tun"));
			return;
		}
	}
}

/* The -netdev argument of a tap in some QEMU's command line. */
static bool netdev_of(const char *cmd, const char *tap, char *out, size_t size)
{
	_cleanup_free_ char *want = xasprintf("ifname=%s", tap);
	const char *p = cmd;

	while ((p = strstr(p, want))) {
		const char *beg = p, *end = p + strcspn(p, " ");
		char after = p[strlen(want)];

		while (beg > cmd && beg[-1] != ' ')
			beg--;
		if (!after || after == ' ' || after == ',') {
			snprintf(out, size, "%.*s", (int)(end - beg), beg);
			return true;
		}
		p += strlen(want);
	}
	return false;
}

static void check_qemu(struct doctor *d, const struct bridge *b,
		       const struct port *p, const struct klink *l)
{
	for (size_t i = 0; i < d->processes.n; i++) {
		char *text = d->processes.v[i].text, pid[16], dev[512];
		_cleanup_free_ char *cmd = NULL;
		bool hdr, multi;

		if (!strstr(text, " qemu"))
			continue;
		snprintf(pid, sizeof(pid), "%.*s", (int)strcspn(text, " "),
			 text);
		cmd = cmdline(pid);
		if (!netdev_of(cmd, p->name, dev, sizeof(dev)))
			continue;
		hdr = !strstr(dev, "vnet_hdr=off");
		multi = strstr(dev, "queues=") && !strstr(dev, "queues=1,") &&
			!str_begins(strstr(dev, "queues=") + 7, "1");
		if (hdr == l->tun.vnet_hdr && multi == l->tun.multi_queue)
			continue;
		found(d, "qemu-flags", b, xasprintf("QEMU (pid %s) opens %s "
			"with '%s', but the tap has vnet_hdr=%s and %s", pid,
			p->name, dev, l->tun.vnet_hdr ? "on" : "off",
			l->tun.multi_queue ? "several queues" : "one queue"),
			xasprintf("stop the guest, and start it with what "
				  "'netbr-gen qemu %s' prints", p->guest ?
				  p->guest->name : "GUEST"));
	}
}

/* ---- what is missing ----------------------------------------------------- */

static void need(struct doctor *d, const struct bridge *b, const char *program,
		 const char *package, const char *what)
{
	_cleanup_free_ char *path = spawn_find(program);

	if (!path)
		found(d, "missing-helper", b, xasprintf("%s is not installed: "
			"%s", program, what), xasprintf("install %s", package));
}

static bool filters(const struct model *m, const struct bridge *b)
{
	for (size_t i = 0; i < m->n_guests; i++)
		if (m->guests[i]->bridge == b && guest_filtered(m->guests[i]))
			return true;
	return false;
}

static void check_helpers(struct doctor *d, const struct bridge *b)
{
	enum firewall fw = d->s->m->firewall;
	bool wanted = bridge_routes(b) || filters(d->s->m, b);

	if (wanted && (fw == FW_NFTABLES || (fw == FW_AUTO && streq(
	    d->s->in.fw_backend, "none"))))
		need(d, b, "nft", "nftables", "no rule can be loaded");
	if (fw == FW_IPTABLES && wanted)
		need(d, b, "iptables-restore", "iptables",
		     "no rule can be loaded");
	if (fw == FW_IPTABLES && filters(d->s->m, b))
		need(d, b, "ebtables-restore", "ebtables",
		     "guests can send what they like");
	if (b->dhcp.present && b->dhcp.server == SERVER_OWN)
		need(d, b, "dnsmasq", "dnsmasq", "nobody serves the guests");
	if (b->address_dhcp) {
		_cleanup_free_ char *a = spawn_find("dhcpcd");
		_cleanup_free_ char *c = spawn_find("dhclient");

		if (!a && !c)
			need(d, b, "udhcpc", "dhcpcd, dhclient or udhcpc",
			     "address = dhcp has no client");
	}
}

/* nft -c asks the kernel itself. The options of what our rules use. */
static void check_kernel(struct doctor *d, const struct bridge *b)
{
	static const struct {
		const char *word, *option;
	} options[] = {
		{ "fib", "CONFIG_NFT_FIB_INET" },
		{ "masquerade", "CONFIG_NFT_MASQ" },
		{ "dnat", "CONFIG_NFT_NAT" }, { "nat hook", "CONFIG_NFT_NAT" },
		{ "limit", "CONFIG_NFT_LIMIT" }, { "ct ", "CONFIG_NFT_CT" },
		{ "table bridge", "CONFIG_NF_TABLES_BRIDGE" },
		{ "table inet", "CONFIG_NF_TABLES_INET" },
	};
	static const char *const argv[] = { "nft", "-c", "-f", "-", NULL };
	_cleanup_free_ char *text = NULL, *nft = spawn_find("nft");
	_cleanup_buf_ struct buf err = { 0 };
	const char *option = "see the message for the expression it lacks";
	char *mark;

	if (!streq(d->s->in.fw_backend, "nftables") || !nft)
		return;
	text = d->s->in.fw_text(d->s->in.arg, b);
	mark = text ? strstr(text, FW_CSUM_MARK) : NULL;
	if (mark)
		*mark = '\0';
	if (!text || spawn_run(argv, text, strlen(text), &err, &err, 20) == 0)
		return;
	for (size_t i = 0; i < N_ELEMENTS(options); i++)
		if (strstr(buf_str(&err), options[i].word)) {
			option = options[i].option;
			break;
		}
	found(d, "kernel", b, xasprintf("the kernel does not take %s's rules: "
		"%.*s", b->name, (int)strcspn(buf_str(&err), "\n"),
		buf_str(&err)), xasprintf("build the kernel with %s, or say "
		"firewall = iptables", option));
}

/* ---- all of them --------------------------------------------------------- */

static void check_bridge(struct doctor *d, const struct bridge *b)
{
	const struct klink *l = kstate_link(&d->s->k, b->name);

	check_docker(d, b);
	check_later_drop(d, b);
	if (bridge_routes(b))
		check_firewalld(d, b);
	check_managers(d, b);
	if (bridge_takes_over(b))
		check_netifrc(d, b, b->uplink);
	check_ports(d, b);
	check_leases(d, b);
	check_stp(d, b);
	check_helpers(d, b);
	check_kernel(d, b);
	if (l) {
		check_rp_filter(d, b, l);
		check_mtu(d, b, l);
	}
	for (size_t i = 0; i < b->ports.n; i++) {
		const struct port *p = model_port(d->s->m, b->ports.v[i].text);
		const struct klink *t = kstate_link(&d->s->k, p->name);

		check_netifrc(d, b, p->name);
		if (t && p->type == PORT_TAP)
			check_qemu(d, b, p, t);
	}
}

static void print_findings(const struct doctor *d, bool json)
{
	json_t *list = json_array(), *o;

	for (size_t i = 0; i < d->n; i++) {
		const struct finding *f = &d->v[i];

		if (!json) {
			printf("%s%s%s: %s\n    remedy: %s\n", f->bridge,
			       *f->bridge ? " " : "", f->check, f->evidence,
			       f->remedy);
			continue;
		}
		o = json_pack("{s:s, s:s, s:s}", "check", f->check, "evidence",
			      f->evidence, "remedy", f->remedy);
		if (*f->bridge)
			json_object_set_new(o, "bridge",
					    json_string(f->bridge));
		json_array_append_new(list, o);
	}
	if (json) {
		o = json_pack("{s:i, s:O}", "version", 1, "findings", list);
		json_dumpf(o, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(o);
	} else if (!d->n) {
		printf("nothing found\n");
	}
	json_decref(list);
}

int verb_doctor(struct session *s)
{
	static const char *const save[] = { "iptables-save", NULL };
	struct doctor d = { .s = s };
	_cleanup_buf_ struct buf err = { 0 };

	if (geteuid() != 0)
		msg_warn("not root: much of what there is to find is not seen");
	spawn_run(save, "", 0, &d.iptables, &err, 20);
	list_processes(&d.processes);
	for (size_t i = 0; i < s->n_bridges; i++)
		check_bridge(&d, s->bridges[i]);
	check_saved_rules(&d);
	check_accept_ra(&d);
	check_tun(&d);
	print_findings(&d, s->cli->json);
	for (size_t i = 0; i < d.n; i++) {
		free(d.v[i].evidence);
		free(d.v[i].remedy);
	}
	free(d.v);
	buf_free(&d.iptables);
	list_free(&d.processes);
	return d.n ? RC_DIFFERENT : RC_OK;
}
