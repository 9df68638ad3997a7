#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "viewfw.h"
#include "wifi.h"

#ifndef TEMPLATEDIR
#define TEMPLATEDIR "/usr/share/netbr/templates"
#endif

/* In double quotes, to a shell: nothing it expands. */
#define SAFE_SHELL " ./:@%+=,_-\n"
#define SAFE_WORDS " ./:@%+=,_-[]"
#define SAFE_PATH "./:@%+_-"

const struct output outputs[OUT_COUNT] = {
	[OUT_CONFD] = { "conf.d", "net", "/etc/conf.d/net", SAFE_SHELL,
			false, true },
	[OUT_DNSMASQ] = { "dnsmasq", "dnsmasq", "/etc/dnsmasq.d/netbr-%s.conf",
			  SAFE_WORDS, true, false },
	[OUT_HOSTS] = { "hosts", "hosts", "/var/lib/netbr/%s.hosts",
			SAFE_WORDS, true, false },
	[OUT_EBTABLES] = { "ebtables", "ebtables", "/etc/netbr/%s.ebtables",
			   SAFE_PATH, true, false },
	[OUT_IPTABLES] = { "iptables", "iptables", "/etc/netbr/%s.iptables",
			   SAFE_PATH, true, false },
	[OUT_IP6TABLES] = { "ip6tables", "ip6tables",
			    "/etc/netbr/%s.ip6tables", SAFE_PATH, true,
			    false },
	[OUT_NFTABLES] = { "nftables", "nftables", "/etc/netbr/%s.nft",
			   SAFE_PATH, true, false },
	[OUT_SYSCTL] = { "sysctl", "sysctl", "/etc/sysctl.d/90-netbr.conf",
			 SAFE_PATH, false, false },
	[OUT_QEMU] = { "qemu-bridge", "qemu-bridge", "/etc/qemu/bridge.conf",
		       SAFE_PATH, false, true },
};

/* All outputs are made of one view: it holds that of each bridge, made when
 * it is first asked for. */
struct views {
	struct view *all;
	struct view **bridges;	/* NULL: not yet made */
	bool complete;		/* its list of all bridges is there */
};

/* ---- facts ------------------------------------------------------------ */

static const char *own_text(struct facts *f, const char *text)
{
	return list_add(&f->texts, text, (struct src){ 0 })->text;
}

/* The first line of a file, NULL if there is none. Sets *failed (after a
 * message) when that could not be found out. */
static char *read_line(const char *root, const char *path, bool *failed)
{
	_cleanup_free_ char *p = path_join(root, path);
	_cleanup_buf_ struct buf b = { 0 };
	int rc = buf_read_file(&b, p, 65536);

	if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR) {
		msg_error("%s: can't be read: %s", p, strerror(-rc));
		*failed = true;
	}
	if (rc < 0 || !b.len)
		return NULL;
	b.s[strcspn(b.s, "\r\n")] = '\0';
	return *b.s ? xstrdup(b.s) : NULL;
}

static bool live_root(const char *root)
{
	return !root || !*root || streq(root, "/");
}

/* A device's MAC: of the live machine by ioctl (which sees our network
 * namespace, where /sys may show another), else from root/sys. */
static bool device_mac(const char *root, const char *ifname, char *text,
		       bool *failed)
{
	_cleanup_fd_ int fd = -1;
	struct ifreq r = { 0 };
	struct mac m;

	if (!live_root(root)) {
		_cleanup_free_ char *path =
			xasprintf("/sys/class/net/%s/address", ifname);
		_cleanup_free_ char *line = read_line(root, path, failed);

		if (!line || !mac_parse(line, &m))
			return false;
	} else {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		str_put(r.ifr_name, sizeof(r.ifr_name), ifname);
		if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r) < 0) {
			if (errno == ENODEV)
				return false;
			msg_error("%s: its MAC address can't be read: %s",
				  ifname, strerror(errno));
			*failed = true;
			return false;
		}
		if (r.ifr_hwaddr.sa_family != ARPHRD_ETHER)
			return false;
		memcpy(m.b, r.ifr_hwaddr.sa_data, 6);
	}
	mac_format(&m, text);
	return true;
}

static void read_services(struct facts *f, const struct model *m,
			  const char *root)
{
	_cleanup_free_ char *path = path_join(root, "/etc/init.d");
	_cleanup_fd_ int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; dir >= 0 && i < m->n_bridges + m->n_ports; i++) {
		const char *name = i < m->n_bridges ? m->bridges[i]->name :
				   m->ports[i - m->n_bridges]->name;
		char service[IFNAMSIZ + 4] = "net.", target[PATH_MAX];
		const char *base;
		ssize_t n;

		str_put(service + 4, IFNAMSIZ, name);
		n = readlinkat(dir, service, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		base = strrchr(target, '/');
		if (streq(base ? base + 1 : target, "net.lo"))
			strmap_put(&f->services, service,
				   (void *)own_text(f, service));
	}
}

/* Is the device itself a bridge? (ethtool's name of a driver, "bridge": unlike
 * /sys it is that of our network namespace.) */
static bool is_bridge(const char *root, const char *ifname)
{
	struct ethtool_drvinfo d = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq r = { 0 };
	_cleanup_fd_ int fd = -1;

	if (!live_root(root)) {
		_cleanup_free_ char *path = xasprintf(
			"%s/sys/class/net/%s/bridge", root, ifname);

		return access(path, F_OK) == 0;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	str_put(r.ifr_name, sizeof(r.ifr_name), ifname);
	r.ifr_data = (void *)&d;
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0 &&
	       streq(d.driver, "bridge");
}

/* What kind of device is the uplink, and what does `auto` make of it? */
static void look_at_uplink(struct facts *f, struct bridge *b, const char *root)
{
	struct wifi w;
	bool wifi = wifi_ask(root, b->uplink, &w);
	bool bridge = !wifi && is_bridge(root, b->uplink);
	_cleanup_free_ char *why = NULL;

	b->no_port = bridge || (wifi && w.station && !w.four);
	b->wireless = wifi;
	b->four = wifi && w.four;
	b->chosen = wifi && w.four && w.station ? MODE_WDS :
		    b->no_port ? MODE_MACNAT : MODE_BRIDGED;
	if (b->chosen == MODE_WDS)
		why = xasprintf("%s is a Wi-Fi station in 4-address mode, "
				"which can be a port", b->uplink);
	else if (wifi && b->no_port)
		why = xasprintf("%s is a Wi-Fi station: the kernel refuses it "
				"as a bridge port, and the access point drops "
				"foreign MACs", b->uplink);
	else if (b->no_port)
		why = xasprintf("%s is a bridge itself, which can't be a port "
				"of another", b->uplink);
	else
		why = xasprintf("%s is %s and can be a port", b->uplink,
				wifi ? "an access point's side of Wi-Fi" :
				"wired");
	b->why = own_text(f, why);
}

int facts_read(struct facts *f, const struct model *m, const char *root)
{
	int rc = facts_read_few(f, m, root);

	if (rc == 0)
		read_services(f, m, root);
	return rc;
}

int facts_read_few(struct facts *f, const struct model *m, const char *root)
{
	static const char *const ids[] = { "/etc/machine-id",
					   "/var/lib/dbus/machine-id",
					   "/etc/hostname" };
	char text[MAC_TEXT];
	bool failed = false;

	*f = (struct facts){ 0 };
	for (size_t i = 0; !f->seed && i < N_ELEMENTS(ids); i++)
		f->seed = read_line(root, ids[i], &failed);
	if (!f->seed)
		f->seed = xstrdup("netbr");
	for (size_t i = 0; i < m->n_bridges; i++) {
		const char *up = m->bridges[i]->uplink;

		if (up && device_mac(root, up, text, &failed))
			strmap_put(&f->macs, up, (void *)own_text(f, text));
		if (up)
			look_at_uplink(f, m->bridges[i], root);
	}
	return failed ? -1 : 0;
}

void facts_free(struct facts *f)
{
	strmap_free(&f->macs);
	strmap_free(&f->services);
	list_free(&f->texts);
	free(f->seed);
	if (f->views) {
		view_free(f->views->all);
		free(f->views->bridges);
	}
	free(f->views);
	*f = (struct facts){ 0 };
}

bool bridge_mac(const struct bridge *b, const struct facts *f,
		struct mac *out)
{
	const char *text;

	switch (b->mac_policy) {
	case MACP_FIXED:
		*out = b->mac;
		return true;
	case MACP_STABLE:
		*out = bridge_stable_mac(b, f->seed);
		return true;
	case MACP_UPLINK:
		break;
	}
	text = b->uplink ? strmap_get(&f->macs, b->uplink) : NULL;
	return text && mac_parse(text, out);
}

char *shell_var(const char *ifname)
{
	char *s = xstrdup(ifname);

	for (char *p = s; *p; p++)
		if (*p == '-' || *p == '.')
			*p = '_';
	return s;
}

char *firewall_name(const struct bridge *b)
{
	return xasprintf("netbr-%s", b->name);
}

/* ---- views ------------------------------------------------------------ */

static void view_port(struct view *v, const struct port *p, bool without_rules)
{
	_cleanup_free_ char *var = shell_var(p->name);
	_cleanup_buf_ struct buf words = { 0 };
	struct mac mac = p->has_mac ? p->mac : port_default_mac(p);
	unsigned long mtu = p->mtu ? p->mtu : p->bridge->mtu;
	const char *const parts[] = {
		p->owner ? " user " : "", p->owner ? p->owner : "",
		p->group ? " group " : "", p->group ? p->group : "",
		p->queues > 1 ? " multi_queue" : "",
		p->vnet_hdr ? " vnet_hdr" : "",
	};
	char text[MAC_TEXT];
	bool tap = p->type == PORT_TAP;

	for (size_t i = 0; i < N_ELEMENTS(parts); i++)
		buf_puts(&words, parts[i]);
	view_set(v, "port", p->name);
	view_set(v, "port_var", var);
	view_set(v, "port_mac", mac_format(&mac, text));
	view_set(v, "iproute2", buf_str(&words) + (words.len > 0));
	if (mtu)
		view_setf(v, "port_mtu", "%lu", mtu);
	else
		view_set(v, "port_mtu", "0");
	view_if(v, "tap", tap);
	view_if(v, "has_iproute2", tap && words.len);
	view_if(v, "has_port_mac", tap || p->has_mac);
	view_if(v, "has_port_mtu", mtu);
	view_if(v, "isolated", port_isolated(p));
	view_if(v, "filtered_port", p->guest && guest_filtered(p->guest) &&
		!without_rules);
}

static void view_ports(struct view *v, const struct model *m,
		       const struct bridge *b)
{
	_cleanup_buf_ struct buf all = { 0 };

	if (bridge_enslaves(b))
		buf_puts(&all, b->uplink);
	view_list(v, "ports");
	for (size_t i = 0; i < b->ports.n; i++) {
		view_port(view_add(v, "ports"),
			  model_port(m, b->ports.v[i].text),
			  m->firewall == FW_NONE);
		if (all.len)
			buf_puts(&all, " ");
		buf_puts(&all, b->ports.v[i].text);
	}
	view_set(v, "port_list", buf_str(&all));
}

/* The addresses of one family with their subnets. */
static void view_subnets(struct view *v, const struct bridge *b)
{
	view_list(v, "subnets4");
	view_list(v, "subnets6");
	for (size_t i = 0; i < b->address.n; i++) {
		const struct cidr *c = &b->address.v[i].cidr;
		struct cidr net = cidr_network(c);
		bool v4 = c->ip.family == AF_INET;
		char text[CIDR_TEXT];
		struct view *e;

		if (ip_is_linklocal6(&c->ip))
			continue;
		e = view_add(v, v4 ? "subnets4" : "subnets6");
		view_set(e, "subnet", cidr_format(&net, text));
		view_set(e, "subnet_address", ip_format(&net.ip, text));
		view_set(e, "own_address", ip_format(&c->ip, text));
		view_setf(e, "plen", "%u", c->plen);
		if (v4)
			view_set(e, "netmask", netmask_format(c->plen, text));
	}
}

/* netifrc wants one address and one route a line. */
static void view_addresses(struct view *v, const struct bridge *b)
{
	_cleanup_buf_ struct buf all = { 0 };

	if (b->address_dhcp)
		buf_puts(&all, "dhcp");
	for (size_t i = 0; i < b->address.n; i++)
		buf_printf(&all, "%s%s", all.len ? "\n" : "",
			   b->address.v[i].text);
	view_set(v, "addresses", all.len ? buf_str(&all) : "null");
}

/* The metric is said: netifrc would make one of the interface's index. */
static void view_routes(struct view *v, const struct bridge *b)
{
	_cleanup_buf_ struct buf all = { 0 };

	for (size_t i = 0; i < b->gateway.n; i++) {
		const struct item *it = &b->gateway.v[i];
		bool v6 = it->cidr.ip.family == AF_INET6;

		buf_printf(&all, "%sdefault via %s metric %d",
			   all.len ? "\n" : "", it->text, v6 ? 1024 : 0);
	}
	for (size_t i = 0; i < b->routes.n; i++) {
		const struct item *it = &b->routes.v[i];
		bool v6 = it->cidr.ip.family == AF_INET6;
		bool metric = strstr(it->text, " metric ");

		buf_printf(&all, "%s%s%s", all.len ? "\n" : "", it->text,
			   metric ? "" : v6 ? " metric 1024" : " metric 0");
	}
	view_set(v, "routes", buf_str(&all));
	view_if(v, "has_routes", all.len);
}

static void view_range(struct view *v, const struct bridge *b,
		       const struct range *r)
{
	char text[IP_TEXT];

	view_set(v, "first", ip_format(&r->first, text));
	view_set(v, "last", ip_format(&r->last, text));
	for (size_t i = 0; i < b->address.n; i++) {
		const struct cidr *c = &b->address.v[i].cidr;

		if (!cidr_has(c, &r->first))
			continue;
		view_setf(v, "range_plen", "%u", c->plen);
		view_set(v, "range_netmask", c->ip.family == AF_INET ?
			 netmask_format(c->plen, text) : "");
		return;
	}
}

static void view_servers(struct view *v, const char *name4, const char *name6,
			 const struct list *l)
{
	_cleanup_buf_ struct buf b4 = { 0 }, b6 = { 0 };

	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].cidr.ip.family == AF_INET)
			buf_printf(&b4, ",%s", l->v[i].text);
		else
			buf_printf(&b6, ",[%s]", l->v[i].text);
	}
	view_list(v, name4);
	view_list(v, name6);
	if (b4.len)
		view_set(view_add(v, name4), "servers", buf_str(&b4));
	if (b6.len)
		view_set(view_add(v, name6), "servers", buf_str(&b6));
}

/* Routed subnets of this host whose addresses are not translated: a client
 * that is told of routes (RFC 3442, option 121) does not listen to the router
 * option, so its default route is among them. */
static void view_static_routes(struct view *v, const struct model *m,
			       const struct bridge *b)
{
	const struct cidr *own = bridge_address(b, AF_INET);
	_cleanup_buf_ struct buf all = { 0 };
	char ip[IP_TEXT], text[CIDR_TEXT];

	for (size_t i = 0; own && bridge_takes_over(b) && i < m->n_bridges;
	     i++) {
		const struct bridge *o = m->bridges[i];
		const struct cidr *a = bridge_address(o, AF_INET);
		struct cidr net;

		if (bridge_mode(o) != MODE_ROUTED || o->nat || !a)
			continue;
		net = cidr_network(a);
		buf_printf(&all, ",%s,%s", cidr_format(&net, text),
			   ip_format(&own->ip, ip));
	}
	view_list(v, "static_routes");
	if (all.len)
		view_set(view_add(v, "static_routes"), "routes", buf_str(&all));
	view_set(v, "default_router", b->dhcp.router.n ?
		 b->dhcp.router.v[0].text : b->gateway.n &&
		 b->gateway.v[0].cidr.ip.family == AF_INET ?
		 b->gateway.v[0].text : own ? ip_format(&own->ip, ip) : "");
}

static bool has_range(const struct bridge *b, int family)
{
	for (size_t i = 0; i < b->dhcp.n_ranges; i++)
		if (b->dhcp.ranges[i].first.family == family)
			return true;
	return false;
}

static void view_dhcp(struct view *v, const struct model *m,
		      const struct bridge *b)
{
	const struct dhcp *d = &b->dhcp;

	view_list(v, "ranges4");
	view_list(v, "ranges6");
	for (size_t i = 0; i < d->n_ranges; i++)
		view_range(view_add(v, d->ranges[i].first.family == AF_INET ?
				    "ranges4" : "ranges6"), b, &d->ranges[i]);
	view_if(v, "no_range4", !has_range(b, AF_INET) &&
		bridge_address(b, AF_INET));
	view_if(v, "no_range6", !has_range(b, AF_INET6) &&
		bridge_address(b, AF_INET6));
	view_if(v, "has_v6", bridge_address(b, AF_INET6));
	view_set(v, "lease_time", d->lease_time);
	view_set(v, "domain", d->domain);
	view_if(v, "has_domain", d->domain);
	view_servers(v, "routers4", "routers6", &d->router);
	view_servers(v, "dns4", "dns6", &d->dns);
	view_if(v, "no_router", !d->router.n &&
		bridge_mode(b) == MODE_ISOLATED);
	view_static_routes(v, m, b);
	view_list(v, "options");
	for (size_t i = 0; i < d->options.n; i++)
		view_set(view_add(v, "options"), "option",
			 d->options.v[i].text);
	view_if(v, "own", d->server == SERVER_OWN);
	view_if(v, "on_lan", bridge_mode(b) == MODE_MACNAT);
	view_if(v, "lan_router", !d->router.n && b->gateway.n);
	view_if(v, "lan_dns", !d->dns.n && b->gateway.n);
	view_if(v, "dhcp", d->present && d->server != SERVER_NONE);
}

static void view_reservations(struct view *v, const struct model *m,
			      const struct bridge *b)
{
	char mac[MAC_TEXT], ip[IP_TEXT];

	view_list(v, "reservations");
	for (size_t i = 0; b->dhcp.present && i < m->n_guests; i++) {
		const struct guest *g = m->guests[i];
		_cleanup_buf_ struct buf ips = { 0 };
		struct view *e;

		if (g->bridge != b || !g->has_mac)
			continue;
		for (size_t k = 0; k < g->ip.n; k++) {
			const struct ip *a = &g->ip.v[k].cidr.ip;

			buf_puts(&ips, a->family == AF_INET ? "" : "[");
			buf_puts(&ips, ip_format(a, ip));
			buf_puts(&ips, a->family == AF_INET ? "," : "],");
		}
		e = view_add(v, "reservations");
		view_set(e, "mac", mac_format(&g->mac, mac));
		view_set(e, "ips", buf_str(&ips));
		view_set(e, "hostname", g->hostname);
	}
}

/* What netifrc must start first, if it runs this bridge. */
static void view_needs(struct view *v, const struct bridge *b,
		       const struct facts *f)
{
	_cleanup_free_ char *self = xasprintf("net.%s", b->name);
	_cleanup_buf_ struct buf needs = { 0 };

	for (size_t i = 0; i <= b->ports.n; i++) {
		const char *port = i ? b->ports.v[i - 1].text : b->uplink;
		_cleanup_free_ char *service = NULL;

		if (!port || (!i && !bridge_takes_over(b)))
			continue;
		service = xasprintf("net.%s", port);
		if (strmap_get(&f->services, service))
			buf_printf(&needs, "%s%s", needs.len ? " " : "",
				   service);
	}
	
	view_set(v, "needs", buf_str(&needs));
	view_if(v, "has_needs", needs.len && strmap_get(&f->services, self));
}

static void view_bridge(struct view *v, const struct model *m,
			const struct bridge *b, const struct facts *f)
{
	_cleanup_free_ char *var = shell_var(b->name);
	_cleanup_free_ char *upvar = b->uplink ? shell_var(b->uplink) : NULL;
	_cleanup_free_ char *fw = firewall_name(b);
	enum mode mode = bridge_mode(b);
	bool routed = bridge_routes(b);
	bool port = bridge_enslaves(b);
	char text[MAC_TEXT];
	const char *up;
	struct mac mac;

	view_set(v, "bridge", b->name);
	view_set(v, "var", var);
	view_set(v, "fw", fw);
	view_set(v, "mode", mode_names[mode]);
	view_set(v, "uplink", b->uplink);
	view_set(v, "uplink_var", upvar);
	view_if(v, "takes_over", bridge_takes_over(b));
	view_if(v, "named_uplink", b->uplink && !port);
	view_if(v, "uplink_port", port);
	view_if(v, "has_mac", bridge_mac(b, f, &mac));
	view_set(v, "bridge_mac", bridge_mac(b, f, &mac) ?
		 mac_format(&mac, text) : "");
	view_if(v, "has_mtu", b->mtu);
	view_setf(v, "mtu", "%lu", b->mtu);
	view_set(v, "stp", b->stp ? "1" : "0");
	view_setf(v, "forward_delay", "%lu", b->forward_delay_cs);
	view_setf(v, "hello_time", "%lu", b->hello_time_cs);
	view_setf(v, "max_age", "%lu", b->max_age_cs);
	view_setf(v, "ageing_time", "%lu", b->ageing_time_cs);
	view_setf(v, "priority", "%lu", b->priority);
	view_if(v, "routed", routed);
	view_if(v, "routed4", bridge_carries(b, AF_INET));
	view_if(v, "routed6", bridge_carries(b, AF_INET6));
	view_if(v, "proxyarp", mode == MODE_PROXYARP);
	view_if(v, "nat", routed && b->nat);
	view_if(v, "serves_dhcp", b->dhcp.present &&
		b->dhcp.server != SERVER_NONE);
	view_addresses(v, b);
	view_ports(v, m, b);
	view_subnets(v, b);
	view_routes(v, b);
	view_dhcp(v, m, b);
	view_reservations(v, m, b);
	up = b->uplink ? strmap_get(&f->macs, b->uplink) : NULL;
	view_firewall(v, m, b, f, up && mac_parse(up, &mac) ? &mac : NULL);
	view_needs(v, b, f);
}

static bool any_routed(const struct model *m, int family)
{
	for (size_t i = 0; i < m->n_bridges; i++)
		if (bridge_carries(m->bridges[i], family))
			return true;
	return false;
}

static struct view *bridge_view(struct views *all, const struct model *m,
				const struct facts *f, size_t i)
{
	if (!all->bridges[i]) {
		all->bridges[i] = view_part(all->all);
		view_bridge(all->bridges[i], m, m->bridges[i], f);
	}
	return all->bridges[i];
}

/* The view of a bridge, or (b NULL) of all. */
static struct view *get_view(const struct model *m, const struct facts *f,
			     const struct bridge *b)
{
	struct facts *keep = (struct facts *)(uintptr_t)f;
	struct views *all = keep->views;
	size_t i = 0;

	if (!all) {
		all = keep->views = xcalloc(1, sizeof(*all));
		all->all = view_new();
		all->bridges = xcalloc(m->n_bridges, sizeof(*all->bridges));
		view_if(all->all, "forward4", any_routed(m, AF_INET));
		view_if(all->all, "forward6", any_routed(m, AF_INET6));
	}
	if (b) {
		while (m->bridges[i] != b)
			i++;
		return bridge_view(all, m, f, i);
	}
	for (; !all->complete && i < m->n_bridges; i++)
		view_share(all->all, "bridges", bridge_view(all, m, f, i));
	if (!m->n_bridges)
		view_list(all->all, "bridges");
	all->complete = true;
	return all->all;
}

/* ---- outputs ---------------------------------------------------------- */

bool output_wanted(const struct model *m, enum output_id id,
		   const struct bridge *b)
{
	switch (id) {
	case OUT_CONFD:
	case OUT_QEMU:
		return m->n_bridges;
	case OUT_SYSCTL:
		return any_routed(m, AF_INET) || any_routed(m, AF_INET6);
	case OUT_DNSMASQ:
	case OUT_HOSTS:
		return b->dhcp.present && b->dhcp.server != SERVER_NONE;
	case OUT_EBTABLES:
	case OUT_IPTABLES:
	case OUT_IP6TABLES:
		return m->firewall == FW_IPTABLES || m->firewall == FW_AUTO;
	case OUT_NFTABLES:
		return m->firewall == FW_NFTABLES || m->firewall == FW_AUTO;
	}
	return false;
}

char *output_path(enum output_id id, const struct bridge *b)
{
	const char *pattern = outputs[id].path, *at = strstr(pattern, "%s");

	if (!at)
		return xstrdup(pattern);
	return xasprintf("%.*s%s%s", (int)(at - pattern), pattern, b->name,
			 at + 2);
}

/* The directory of a build tree's templates, if we run from one. */
static char *build_tree_templates(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash, *path;

	if (n < 0)
		return NULL;
	exe[n] = '\0';
	for (int i = 0; i < 2; i++) {
		slash = strrchr(exe, '/');
		if (!slash)
			return NULL;
		*slash = '\0';
	}
	path = xasprintf("%s/templates", exe);
	_cleanup_free_ char *probe = xasprintf("%s/src/view.h", exe);

	if (access(probe, R_OK) == 0 && access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* May root believe this file? A template makes rules and shell words: like
 * vmnet.conf it, and each folder above, must be root's or ours, and closed to
 * others' writing. A folder like /tmp, where nobody can replace another's file,
 * is fine. */
static bool believed_real(const char *path, bool file)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;

	for (; real && *real; file = false) {
		char *slash = strrchr(real, '/');

		if (stat(real, &st) < 0 ||
		    (file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode)))
			return false;
		if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
		    ((st.st_mode & 022) && (file || !(st.st_mode & S_ISVTX)))) {
			msg_error("%s: others can write to %s: chown root it, "
				  "chmod go-w it", path, real);
			return false;
		}
		*slash = '\0';
	}
	return real;
}

/* A link is judged where it lies and where it leads. */
static bool believed(const char *path)
{
	_cleanup_free_ char *dir = xstrndup(path, strrchr(path, '/') - path);

	return believed_real(*dir ? dir : "/", false) &&
	       believed_real(path, true);
}

/* -ENOENT where there is none. */
static int read_override(struct buf *text, const char *path)
{
	if (access(path, F_OK) < 0)
		return -errno;
	return believed(path) ? buf_read_file(text, path, 1 << 20) : -EPERM;
}

/* Reads a template; *file gets the path it came from (caller owns it). */
static int read_template(const char *name, const char *root, struct buf *text,
			 char **file)
{
	_cleanup_free_ char *below =
		xasprintf("/etc/netbr/templates/%s.tmpl", name);
	_cleanup_free_ char *built = build_tree_templates();
	char *paths[2];
	int rc = -ENOENT;

	paths[0] = path_join(root, below);
	paths[1] = xasprintf("%s/%s.tmpl", built ? built : TEMPLATEDIR, name);
	*file = NULL;
	for (int i = 0; i < 2 && rc == -ENOENT; i++) {
		buf_free(text);
		/* what is installed, or built beside us, is ours as the
		 * program is */
		rc = i ? buf_read_file(text, paths[i], 1 << 20) :
		     read_override(text, paths[i]);
		free(*file);
		*file = xstrdup(paths[i]);
	}
	if (rc == 0 && strlen(buf_str(text)) != text->len)
		rc = -EILSEQ;	/* a NUL byte */
	if (rc < 0)
		msg_error("template %s: %s", *file, strerror(-rc));
	free(paths[0]);
	free(paths[1]);
	return rc;
}

int output_render(const struct model *m, const struct facts *f,
		  enum output_id id, const struct bridge *b, const char *root,
		  struct buf *out)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *file = NULL, *error = NULL;
	struct view *v;
	bool ok;

	if (read_template(outputs[id].tmpl, root, &text, &file) < 0)
		return -1;
	buf_puts(out, NETBR_HEADER " from vmnet.conf: do not edit, "
		 "'netbr-gen write' replaces it.\n");
	v = get_view(m, f, outputs[id].per_bridge ? b : NULL);
	ok = tmpl_render(file, buf_str(&text), outputs[id].allowed, v, out,
			 &error);
	if (ok)
		return 0;
	msg_error("%s", error);
	return -1;
}
