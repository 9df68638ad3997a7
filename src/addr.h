/* Text to numbers and back: MAC and IP addresses, prefixes, names, times,
 * ports. Pure: no files, no network, no memory. */
#ifndef NETBR_ADDR_H
#define NETBR_ADDR_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mac {
	uint8_t b[6];
};

struct ip {
	int family;		/* AF_INET, AF_INET6, or 0 for none */
	uint8_t b[16];		/* network order; 4 bytes used for AF_INET */
};

struct cidr {
	struct ip ip;
	unsigned int plen;	/* prefix length in bits */
};

#define MAC_TEXT 18
#define IP_TEXT 46
#define CIDR_TEXT 50

/* All parsers take the whole text and return true if it is one, else false
 * with *out untouched. */
bool mac_parse(const char *s, struct mac *out);
bool ip_parse(const char *s, struct ip *out);
/* "192.168.1.1/24"; without a slash only where host_ok, as /32 or /128. */
bool cidr_parse(const char *s, bool host_ok, struct cidr *out);
/* "255.255.255.0" to 24; contiguous masks only. */
bool netmask_parse(const char *s, unsigned int *plen);
/* Seconds with up to two decimals, or with a unit: "2", "0.5", "200ms",
 * "2s", "5m"; *cs gets hundredths of a second, the kernel's USER_HZ. */
bool time_cs_parse(const char *s, unsigned long *cs);
/* A lease time of dnsmasq: seconds, or a number with s, m, h, d, w; or
 * "infinite" (UINT32_MAX). */
bool lease_parse(const char *s, uint32_t *seconds);
bool uint_parse(const char *s, unsigned long min, unsigned long max,
		unsigned long *out);
/* "100mbit", tc's words, to bits per second. */
bool rate_parse(const char *s, uint64_t *bits);

/* Formatters write into a buffer of the size named above; return it. */
char *mac_format(const struct mac *m, char out[MAC_TEXT]);
char *ip_format(const struct ip *a, char out[IP_TEXT]);
char *cidr_format(const struct cidr *c, char out[CIDR_TEXT]);
char *netmask_format(unsigned int plen, char out[IP_TEXT]);
/* Hundredths of a second as the shortest decimal seconds. */
char *time_cs_format(unsigned long cs, char *out, size_t size);

bool mac_equal(const struct mac *a, const struct mac *b);
bool mac_is_zero(const struct mac *m);
bool mac_is_multicast(const struct mac *m);
bool ip_equal(const struct ip *a, const struct ip *b);
int ip_compare(const struct ip *a, const struct ip *b);
bool ip_is_multicast(const struct ip *a);
bool ip_is_unspecified(const struct ip *a);
bool ip_is_loopback(const struct ip *a);
bool ip_is_linklocal6(const struct ip *a);
unsigned int ip_bits(const struct ip *a);	/* 32 or 128 */
bool cidr_equal(const struct cidr *a, const struct cidr *b);
/* Is the address inside the prefix? Families must agree. */
bool cidr_has(const struct cidr *net, const struct ip *a);
bool cidr_overlap(const struct cidr *a, const struct cidr *b);
/* The prefix with its host bits cleared, resp. all set. */
struct cidr cidr_network(const struct cidr *c);
struct ip cidr_last(const struct cidr *c);

/* [A-Za-z0-9][A-Za-z0-9._-]* of at most max characters. */
bool name_ok(const char *s, size_t max);
/* A name that may be an interface's: name_ok of IFNAMSIZ-1, neither "all"
 * nor "default" (they are sysctl directories). */
bool ifname_ok(const char *s);

/* One label of RFC 1123: letters, digits, inner '-'; at most 63. */
bool hostname_ok(const char *s);
/* Would dnsmasq read it as something else in a dhcp-host line: a keyword or
 * a lease time (dnsmasq(8), --dhcp-host)? */
bool dnsmasq_word(const char *s);

/* A stable locally administered address made from a text (FNV-1a), with the
 * given first byte. */
struct mac mac_from_text(uint8_t first, const char *text);

#endif
