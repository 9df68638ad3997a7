/* The values of vmnet.conf: one setter for each type of value. */
#ifndef NETBR_CONFVAL_H
#define NETBR_CONFVAL_H

#include "model.h"

struct key;
/* Stores one value in the object; false after a complaint. */
typedef bool (*set_fn)(void *obj, const struct key *k, const struct item *v);

struct key {
	const char *name;
	set_fn set;
	size_t off;			/* of the field in the object */
	const char *const *names;	/* of an enum */
	unsigned long min, max;		/* of an enum: max = its count */
	bool list;
	bool later;			/* has its place, not its function */
};

/* Complains about a value, with its place; returns false. */
bool conf_wrong(const struct item *v, const char *fmt, ...) PRINTF(2, 3);
/* Is the value an interface's (a host's) name? Complains if not. */
bool conf_ifname_value(const struct item *v);
bool conf_hostname_value(const struct item *v);

/* conf_set_... sets a field, conf_add_... appends to a list. */
bool conf_set_enum(void *obj, const struct key *k, const struct item *v);
bool conf_set_bool(void *obj, const struct key *k, const struct item *v);
bool conf_set_uint(void *obj, const struct key *k, const struct item *v);
bool conf_set_time(void *obj, const struct key *k, const struct item *v);
bool conf_set_guest_mac(void *obj, const struct key *k, const struct item *v);
bool conf_set_port_mac(void *obj, const struct key *k, const struct item *v);
bool conf_set_bridge_mac(void *obj, const struct key *k, const struct item *v);
bool conf_set_ifname(void *obj, const struct key *k, const struct item *v);
bool conf_set_tap(void *obj, const struct key *k, const struct item *v);
bool conf_add_ifname(void *obj, const struct key *k, const struct item *v);
bool conf_set_account(void *obj, const struct key *k, const struct item *v);
bool conf_set_hostname(void *obj, const struct key *k, const struct item *v);
bool conf_set_domain(void *obj, const struct key *k, const struct item *v);
bool conf_set_lease_time(void *obj, const struct key *k, const struct item *v);
bool conf_add_ip(void *obj, const struct key *k, const struct item *v);
bool conf_add_address(void *obj, const struct key *k, const struct item *v);
bool conf_add_route(void *obj, const struct key *k, const struct item *v);
bool conf_add_option(void *obj, const struct key *k, const struct item *v);
bool conf_add_word(void *obj, const struct key *k, const struct item *v);
bool conf_add_forward(void *obj, const struct key *k, const struct item *v);
bool conf_set_rate(void *obj, const struct key *k, const struct item *v);

#endif
