#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool mac_parse(const char *s, struct mac *out)
{
	struct mac m;

	for (int i = 0; i < 6; i++) {
		int hi = hex_digit(s[0]), lo = hi < 0 ? -1 : hex_digit(s[1]);

		if (lo < 0 || s[2] != (i < 5 ? ':' : '\0'))
			return false;
		m.b[i] = hi << 4 | lo;
		s += 3;
	}
	*out = m;
	return true;
}

/* ::ffff:1.2.3.4 and ::1.2.3.4 are IPv4 in a program's notation: no packet has
 * them (RFC 6890), and readers of our files take their dots for syntax. */
static bool holds_ipv4(const struct ip *a)
{
	struct in6_addr in6;

	memcpy(&in6, a->b, sizeof(in6));
	return IN6_IS_ADDR_V4MAPPED(&in6) || IN6_IS_ADDR_V4COMPAT(&in6);
}

bool ip_parse(const char *s, struct ip *out)
{
	struct ip a = { 0 };

	if (inet_pton(AF_INET, s, a.b) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, s, a.b) == 1 && !holds_ipv4(&a))
		a.family = AF_INET6;
	else
		return false;
	*out = a;
	return true;
}

bool uint_parse(const char *s, unsigned long min, unsigned long max,
		unsigned long *out)
{
	unsigned long v = 0;

	if (!*s || strlen(s) > 10)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (*s - '0');
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool cidr_parse(const char *s, bool host_ok, struct cidr *out)
{
	const char *slash = strchr(s, '/');
	char text[IP_TEXT];
	struct cidr c;
	unsigned long plen;

	if (!slash) {
		if (!host_ok || !ip_parse(s, &c.ip))
			return false;
		c.plen = ip_bits(&c.ip);
		*out = c;
		return true;
	}
	if ((size_t)(slash - s) >= sizeof(text))
		return false;
	memcpy(text, s, slash - s);
	text[slash - s] = '\0';
	if (!ip_parse(text, &c.ip) ||
	    !uint_parse(slash + 1, 0, ip_bits(&c.ip), &plen))
		return false;
	c.plen = plen;
	*out = c;
	return true;
}

bool netmask_parse(const char *s, unsigned int *plen)
{
	struct in_addr a;
	uint32_t m;

	if (inet_pton(AF_INET, s, &a) != 1)
		return false;
	m = ntohl(a.s_addr);
	if (~m & (~m + 1))
		return false;
	*plen = __builtin_popcount(m);
	return true;
}

bool time_cs_parse(const char *s, unsigned long *cs)
{
	unsigned long whole = 0, frac = 0;
	int digits = 0, places = 0;

	for (; *s >= '0' && *s <= '9'; s++, digits++)
		whole = whole * 10 + (*s - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, places++)
			frac = frac * 10 + (*s - '0');
	if (!digits || digits > 8 || places > 2)
		return false;
	if (places == 1)
		frac *= 10;
	if (strcmp(s, "ms") == 0) {
		if (places || whole % 10)
			return false;
		*cs = whole / 10;
	} else if (!*s || strcmp(s, "s") == 0) {
		*cs = whole * 100 + frac;
	} else if (strcmp(s, "m") == 0 && !places) {
		*cs = whole * 6000;
	} else {
		return false;
	}
	return true;
}

bool lease_parse(const char *s, uint32_t *seconds)
{
	static const struct {
		char unit;
		uint32_t factor;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 },
		      { 'd', 86400 }, { 'w', 604800 } };
	unsigned long v = 0;
	size_t digits = strspn(s, "0123456789");

	if (strcmp(s, "infinite") == 0) {
		*seconds = UINT32_MAX;
		return true;
	}
	if (!digits || digits > 9)
		return false;
	v = strtoul(s, NULL, 10);
	s += digits;
	for (size_t i = 0; *s && i < sizeof(units) / sizeof(units[0]); i++) {
		if (s[0] == units[i].unit && !s[1]) {
			v *= units[i].factor;
			s++;
			break;
		}
	}
	if (*s || v < 120 || v >= UINT32_MAX)
		return false;
	*seconds = v;
	return true;
}

bool rate_parse(const char *s, uint64_t *bits)
{
	static const struct {
		const char *unit;
		uint64_t factor;
	} units[] = { { "bit", 1 }, { "kbit", 1000 }, { "mbit", 1000000 },
		      { "gbit", 1000000000 } };
	size_t digits = strspn(s, "0123456789");
	uint64_t v;

	if (!digits || digits > 9)
		return false;
	v = strtoull(s, NULL, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (v && strcmp(s + digits, units[i].unit) == 0) {
			*bits = v * units[i].factor;
			return true;
		}
	}
	return false;
}

char *mac_format(const struct mac *m, char out[MAC_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	char *p = out;

	for (int i = 0; i < 6; i++) {
		*p++ = digits[m->b[i] >> 4];
		*p++ = digits[m->b[i] & 15];
		*p++ = i < 5 ? ':' : '\0';
	}
	return out;
}

/* inet_ntop() goes by way of snprintf(): four numbers need not. */
static void ipv4_format(const uint8_t *b, char *p)
{
	for (int i = 0; i < 4; i++) {
		if (b[i] >= 100)
			*p++ = '0' + b[i] / 100;
		if (b[i] >= 10)
			*p++ = '0' + b[i] / 10 % 10;
		*p++ = '0' + b[i] % 10;
		*p++ = i < 3 ? '.' : '\0';
	}
}

char *ip_format(const struct ip *a, char out[IP_TEXT])
{
	out[0] = '\0';
	if (a->family == AF_INET)
		ipv4_format(a->b, out);
	else if (a->family)
		inet_ntop(a->family, a->b, out, IP_TEXT);
	return out;
}

char *cidr_format(const struct cidr *c, char out[CIDR_TEXT])
{
	char ip[IP_TEXT];

	snprintf(out, CIDR_TEXT, "%s/%u", ip_format(&c->ip, ip),
		 c->plen > 128 ? 128 : c->plen);
	return out;
}

char *netmask_format(unsigned int plen, char out[IP_TEXT])
{
	struct ip a = { .family = AF_INET };
	uint32_t m = plen ? htonl(~0u << (32 - plen)) : 0;

	memcpy(a.b, &m, 4);
	return ip_format(&a, out);
}

char *time_cs_format(unsigned long cs, char *out, size_t size)
{
	if (cs % 100 == 0)
		snprintf(out, size, "%lu", cs / 100);
	else if (cs % 10 == 0)
		snprintf(out, size, "%lu.%lu", cs / 100, cs % 100 / 10);
	else
		snprintf(out, size, "%lu.%02lu", cs / 100, cs % 100);
	return out;
}

bool mac_equal(const struct mac *a, const struct mac *b)
{
	return memcmp(a->b, b->b, 6) == 0;
}

bool mac_is_zero(const struct mac *m)
{
	static const struct mac zero;

	return mac_equal(m, &zero);
}

bool mac_is_multicast(const struct mac *m)
{
	return m->b[0] & 1;
}

unsigned int ip_bits(const struct ip *a)
{
	return a->family == AF_INET ? 32 : 128;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family &&
	       memcmp(a->b, b->b, ip_bits(a) / 8) == 0;
}

int ip_compare(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, ip_bits(a) / 8);
}

bool ip_is_multicast(const struct ip *a)
{
	return a->family == AF_INET ? (a->b[0] & 0xf0) == 0xe0 :
				      a->b[0] == 0xff;
}

bool ip_is_unspecified(const struct ip *a)
{
	for (unsigned int i = 0; i < ip_bits(a) / 8; i++)
		if (a->b[i])
			return false;
	return true;
}

bool ip_is_loopback(const struct ip *a)
{
	struct ip one = { .family = AF_INET6, .b = { [15] = 1 } };

	return a->family == AF_INET ? a->b[0] == 127 : ip_equal(a, &one);
}

bool ip_is_linklocal6(const struct ip *a)
{
	return a->family == AF_INET6 && a->b[0] == 0xfe &&
	       (a->b[1] & 0xc0) == 0x80;
}

bool cidr_equal(const struct cidr *a, const struct cidr *b)
{
	return a->plen == b->plen && ip_equal(&a->ip, &b->ip);
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return !rest || !((a[bits / 8] ^ b[bits / 8]) >> (8 - rest));
}

bool cidr_has(const struct cidr *net, const struct ip *a)
{
	return net->ip.family == a->family &&
	       bits_equal(net->ip.b, a->b, net->plen);
}

bool cidr_overlap(const struct cidr *a, const struct cidr *b)
{
	return a->ip.family == b->ip.family &&
	       bits_equal(a->ip.b, b->ip.b,
			  a->plen < b->plen ? a->plen : b->plen);
}

static struct ip fill_host_bits(const struct cidr *c, bool ones)
{
	struct ip a = c->ip;

	for (unsigned int bit = c->plen; bit < ip_bits(&a); bit++) {
		uint8_t mask = 0x80 >> (bit % 8);

		if (ones)
			a.b[bit / 8] |= mask;
		else
			a.b[bit / 8] &= ~mask;
	}
	return a;
}

struct cidr cidr_network(const struct cidr *c)
{
	return (struct cidr){ fill_host_bits(c, false), c->plen };
}

struct ip cidr_last(const struct cidr *c)
{
	return fill_host_bits(c, true);
}

static bool alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

bool name_ok(const char *s, size_t max)
{
	size_t len = strlen(s);

	if (!len || len > max || !alnum(s[0]))
		return false;
	for (; *s; s++)
		if (!alnum(*s) && *s != '.' && *s != '_' && *s != '-')
			return false;
	return true;
}

bool ifname_ok(const char *s)
{
	return name_ok(s, IFNAMSIZ - 1) && strcmp(s, "all") != 0 &&
	       strcmp(s, "default") != 0;
}

bool hostname_ok(const char *s)
{
	return name_ok(s, 63) && !strpbrk(s, "_.") && s[strlen(s) - 1] != '-';
}

bool dnsmasq_word(const char *s)
{
	size_t digits = strspn(s, "0123456789");

	if (strcmp(s, "ignore") == 0 || strcmp(s, "infinite") == 0)
		return true;
	return digits && (!s[digits] ||
			  (strchr("smhdw", s[digits]) && !s[digits + 1]));
}

struct mac mac_from_text(uint8_t first, const char *text)
{
	uint64_t h = 0xcbf29ce484222325ull;
	struct mac m = { { first } };

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
	for (int i = 1; i < 6; i++)
		m.b[i] = h >> (8 * i);
	return m;
}
