/* The system's knobs beside netlink: taps, sysctls, users, announcements. */
#ifndef NETBR_SYS_H
#define NETBR_SYS_H

#include "op.h"

/* Makes a persistent tap, or sets the owner and group of one (tun(4),
 * linux/Documentation/networking/tuntap.rst). 0 or -errno. */
int tap_create(const char *name, const struct ktun *t, unsigned long queues);
/* Gives a bridge a carrier of its own: a tap that lives as long as we hold
 * it, and joins it. Waits until the bridge can send. carrier_drop() ends it;
 * so does our end. The caller sets it up and enslaves it (its name goes to
 * name). 0 or -errno. */
int carrier_make(char name[IFNAMSIZ]);
bool carrier_wait(const char *bridge);
void carrier_drop(void);
/* Does any process hold this tap? Looks at /proc/PID/fdinfo. */
bool tap_held(const char *name);

/* A value below /proc/sys, without its newline (caller frees), or NULL. */
char *sysctl_read(const char *path);
int sysctl_write(const char *path, const char *value);

bool account_id(const char *name, bool group, uint32_t *id);

/* Tells the neighbours on a link of its own addresses: gratuitous ARP
 * (RFC 5227, an ARP request for itself) and unsolicited NA (RFC 4861). */
int announce(const char *ifname);
/* The same for an IPv4 address (network order) behind the link's MAC. */
void announce_ip(const char *ifname, const uint8_t ip[4]);
/* Does somebody on the link answer for an IPv4 address (network order) within
 * so many milliseconds? Asked by ARP, several times a second. */
bool arp_answers(const char *ifname, const uint8_t ip[4], unsigned int ms);
/* The same, asked as a probe (RFC 5227: from nobody's address) from a MAC that
 * is not the link's: does the LAN answer to that one? */
bool arp_answers_mac(const char *ifname, const uint8_t mac[6],
		     const uint8_t ip[4], unsigned int ms);

#endif
