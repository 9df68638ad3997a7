#include "confval.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FIELD(type, obj, k) ((type *)((char *)(obj) + (k)->off))

bool conf_wrong(const struct item *v, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	diag_error(v->src, v->text, "%s", buf_str(&b));
	return false;
}

bool conf_set_enum(void *obj, const struct key *k, const struct item *v)
{
	_cleanup_buf_ struct buf all = { 0 };

	for (unsigned int i = 0; i < k->max; i++) {
		if (streq(v->text, k->names[i])) {
			*FIELD(unsigned int, obj, k) = i;
			return true;
		}
		buf_printf(&all, "%s%s", i ? ", " : "", k->names[i]);
	}
	return conf_wrong(v, "'%s' is no value of '%s': use one of %s", v->text,
		     k->name, buf_str(&all));
}

static bool bool_value(const char *s, bool *out)
{
	static const char *const yes[] = { "on", "yes", "true", "1" };
	static const char *const no[] = { "off", "no", "false", "0" };

	for (size_t i = 0; i < N_ELEMENTS(yes); i++) {
		if (streq(s, yes[i]) || streq(s, no[i])) {
			*out = streq(s, yes[i]);
			return true;
		}
	}
	return false;
}

bool conf_set_bool(void *obj, const struct key *k, const struct item *v)
{
	if (bool_value(v->text, FIELD(bool, obj, k)))
		return true;
	return conf_wrong(v, "'%s' is neither on nor off", v->text);
}

bool conf_set_uint(void *obj, const struct key *k, const struct item *v)
{
	if (uint_parse(v->text, k->min, k->max, FIELD(unsigned long, obj, k)))
		return true;
	return conf_wrong(v, "'%s' must be a whole number from %lu to %lu", k->name,
		     k->min, k->max);
}

bool conf_set_time(void *obj, const struct key *k, const struct item *v)
{
	unsigned long cs;

	if (!time_cs_parse(v->text, &cs))
		return conf_wrong(v, "'%s' is no time: write seconds (15, 0.5) or "
			     "a unit (200ms, 15s)", v->text);
	if (cs < k->min || cs > k->max) {
		char lo[24], hi[24];

		return conf_wrong(v, "'%s' must be between %s and %s seconds",
			     k->name, time_cs_format(k->min, lo, sizeof(lo)),
			     time_cs_format(k->max, hi, sizeof(hi)));
	}
	*FIELD(unsigned long, obj, k) = cs;
	return true;
}

static bool mac_value(const struct item *v, struct mac *out)
{
	struct mac m;

	if (!mac_parse(v->text, &m))
		return conf_wrong(v, "'%s' is no MAC address: write six bytes, as "
			     "52:54:00:12:34:56", v->text);
	if (mac_is_zero(&m))
		return conf_wrong(v, "the MAC address must not be all zero");
	if (mac_is_multicast(&m))
		return conf_wrong(v, "%s is a multicast address: the first byte of "
			     "a device's MAC must be even", v->text);
	*out = m;
	return true;
}

bool conf_set_guest_mac(void *obj, const struct key *k, const struct item *v)
{
	struct guest *g = obj;

	(void)k;
	return g->has_mac = mac_value(v, &g->mac);
}

bool conf_set_port_mac(void *obj, const struct key *k, const struct item *v)
{
	struct port *p = obj;

	(void)k;
	return p->has_mac = mac_value(v, &p->mac);
}

bool conf_set_bridge_mac(void *obj, const struct key *k,
			 const struct item *v)
{
	struct bridge *b = obj;

	(void)k;
	if (streq(v->text, "uplink"))
		b->mac_policy = MACP_UPLINK;
	else if (streq(v->text, "stable"))
		b->mac_policy = MACP_STABLE;
	else if (mac_value(v, &b->mac))
		b->mac_policy = MACP_FIXED;
	else
		return false;
	return true;
}

bool conf_ifname_value(const struct item *v)
{
	if (ifname_ok(v->text))
		return true;
	if (strlen(v->text) > IFNAMSIZ - 1)
		return conf_wrong(v, "'%s' is longer than the %d characters of an "
			     "interface name", v->text, IFNAMSIZ - 1);
	return conf_wrong(v, "'%s' can't be an interface name: use letters, "
		     "digits, '.', '_' and '-', beginning with a letter or "
		     "digit", v->text);
}

bool conf_set_ifname(void *obj, const struct key *k, const struct item *v)
{
	if (!conf_ifname_value(v))
		return false;
	*FIELD(char *, obj, k) = xstrdup(v->text);
	return true;
}

bool conf_set_tap(void *obj, const struct key *k, const struct item *v)
{
	/* "none": the guest's tap is made by somebody else */
	if (streq(v->text, "none"))
		return true;
	return conf_set_ifname(obj, k, v);
}

bool conf_add_ifname(void *obj, const struct key *k, const struct item *v)
{
	struct list *l = FIELD(struct list, obj, k);

	if (!conf_ifname_value(v))
		return false;
	if (list_has(l, v->text))
		return conf_wrong(v, "'%s' is named twice", v->text);
	list_add(l, v->text, v->src);
	return true;
}

/* User and group names: what useradd accepts, or a number. */
bool conf_set_account(void *obj, const struct key *k, const struct item *v)
{
	const char *s = v->text;

	if (!name_ok(s[0] == '_' ? s + 1 : s, 31))
		return conf_wrong(v, "'%s' can't be a %s: use its name or number",
			     v->text, k->name);
	*FIELD(char *, obj, k) = xstrdup(s);
	return true;
}

bool conf_hostname_value(const struct item *v)
{
	const char *s = v->text;

	if (!hostname_ok(s))
		return conf_wrong(v, "'%s' can't be a host name: use letters, "
			     "digits and inner '-', at most 63", s);
	if (dnsmasq_word(s))
		return conf_wrong(v, "the host name '%s' has another meaning to "
			     "dnsmasq (a keyword or a lease time): choose "
			     "another", s);
	return true;
}

bool conf_set_hostname(void *obj, const struct key *k, const struct item *v)
{
	if (!conf_hostname_value(v))
		return false;
	*FIELD(char *, obj, k) = xstrdup(v->text);
	return true;
}

bool conf_set_domain(void *obj, const struct key *k, const struct item *v)
{
	const char *s = v->text;

	if (!name_ok(s, 253) || strchr(s, '_') || strstr(s, ".."))
		return conf_wrong(v, "'%s' can't be a domain name", s);
	*FIELD(char *, obj, k) = xstrdup(s);
	return true;
}

bool conf_set_lease_time(void *obj, const struct key *k,
			 const struct item *v)
{
	uint32_t s;

	if (!lease_parse(v->text, &s))
		return conf_wrong(v, "'%s' is no lease time: write 12h, 30m, "
			     "3600 (at least two minutes), or infinite",
			     v->text);
	*FIELD(char *, obj, k) = xstrdup(v->text);
	return true;
}

static bool ip_value(const struct item *v, struct cidr *out)
{
	if (!cidr_parse(v->text, true, out) || strchr(v->text, '/'))
		return conf_wrong(v, "'%s' is no IP address%s", v->text,
			     strchr(v->text, '/') ? ": leave out the prefix "
			     "length" : "");
	if (ip_is_multicast(&out->ip) || ip_is_unspecified(&out->ip) ||
	    ip_is_loopback(&out->ip))
		return conf_wrong(v, "%s can't be the address of a host", v->text);
	return true;
}

bool conf_add_ip(void *obj, const struct key *k, const struct item *v)
{
	struct list *l = FIELD(struct list, obj, k);
	struct cidr c;

	if (!ip_value(v, &c))
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (ip_equal(&l->v[i].cidr.ip, &c.ip))
			return conf_wrong(v, "%s is named twice", v->text);
	list_add(l, v->text, v->src)->cidr = c;
	return true;
}

bool conf_add_address(void *obj, const struct key *k, const struct item *v)
{
	struct bridge *b = obj;
	struct list *l = FIELD(struct list, obj, k);
	struct cidr c;

	if (streq(v->text, "dhcp")) {
		b->address_dhcp = true;
		return true;
	}
	if (!cidr_parse(v->text, false, &c))
		return conf_wrong(v, "'%s' is no address: write dhcp, or an "
			     "address with its prefix length, as "
			     "192.168.1.2/24", v->text);
	if (ip_is_multicast(&c.ip) || ip_is_unspecified(&c.ip) ||
	    ip_is_loopback(&c.ip) || !c.plen)
		return conf_wrong(v, "%s can't be the address of a host", v->text);
	for (size_t i = 0; i < l->n; i++)
		if (ip_equal(&l->v[i].cidr.ip, &c.ip))
			return conf_wrong(v, "%s is given twice", v->text);
	list_add(l, v->text, v->src)->cidr = c;
	return true;
}

/* "DEST via GATEWAY [metric N]", ip-route's words; DEST may be default. */
bool conf_add_route(void *obj, const struct key *k, const struct item *v)
{
	_cleanup_free_ char *text = xstrdup(v->text);
	char *save = NULL, *w[6] = { 0 };	/* one more: too many */
	struct cidr dst, gw;
	unsigned long metric;
	int n = 0;

	for (char *p = strtok_r(text, " \t", &save); p && n < 6;
	     p = strtok_r(NULL, " \t", &save))
		w[n++] = p;
	if ((n != 3 && n != 5) || !streq(w[1], "via") ||
	    (n == 5 && (!streq(w[3], "metric") ||
			!uint_parse(w[4], 0, 0xffffffff, &metric))) ||
	    !cidr_parse(w[2], true, &gw) || strchr(w[2], '/'))
		return conf_wrong(v, "'%s' is no route: write \"DESTINATION via "
			     "GATEWAY\" or \"... metric N\"", v->text);
	if (streq(w[0], "default"))
		dst = (struct cidr){ .ip.family = gw.ip.family };
	else if (!cidr_parse(w[0], true, &dst))
		return conf_wrong(v, "'%s' is no destination: write default or a "
			     "prefix, as 10.0.0.0/8", w[0]);
	if (dst.ip.family != gw.ip.family)
		return conf_wrong(v, "destination and gateway are of two families");
	list_add(FIELD(struct list, obj, k), v->text, v->src)->cidr = gw;
	return true;
}

/* What may stand in a dhcp-option line: one line, no quote, no comment. */
bool conf_add_option(void *obj, const struct key *k, const struct item *v)
{
	static const char ok[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789.:,/_-=[]";

	if (!*v->text || v->text[strspn(v->text, ok)])
		return conf_wrong(v, "'%s' can't be a dhcp-option: use letters, "
			     "digits and . : , / _ - = [ ]", v->text);
	list_add(FIELD(struct list, obj, k), v->text, v->src);
	return true;
}

bool conf_add_word(void *obj, const struct key *k, const struct item *v)
{
	if (!streq(v->text, "docker") && !streq(v->text, "firewalld"))
		return conf_wrong(v, "'%s' is no value of '%s': use docker or "
				  "firewalld", v->text, k->name);
	if (list_has(FIELD(struct list, obj, k), v->text))
		return conf_wrong(v, "'%s' is named twice", v->text);
	list_add(FIELD(struct list, obj, k), v->text, v->src);
	return true;
}

bool conf_add_forward(void *obj, const struct key *k, const struct item *v)
{
	struct forward f;

	if (!forward_parse(v->text, &f))
		return conf_wrong(v, "'%s' is no forward: write "
			     "\"HOSTPORT:GUESTPORT\", with \"ADDRESS:\" before "
			     "and \"/udp\" and \" from NETWORK\" behind where "
			     "wanted", v->text);
	if (f.host.family && f.from.ip.family &&
	    f.host.family != f.from.ip.family)
		return conf_wrong(v, "'%s' speaks of two address families",
				  v->text);
	list_add(FIELD(struct list, obj, k), v->text, v->src);
	return true;
}

bool conf_set_rate(void *obj, const struct key *k, const struct item *v)
{
	if (rate_parse(v->text, FIELD(uint64_t, obj, k)))
		return true;
	return conf_wrong(v, "'%s' is no rate: write a number with bit, kbit, "
		     "mbit or gbit, as 100mbit", v->text);
}
