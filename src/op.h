/* A plan is a list of operations. Each carries from birth its sentence, its
 * class and what undoes it. Pure: nothing here touches the system. */
#ifndef NETBR_OP_H
#define NETBR_OP_H

#include "kstate.h"

enum op_kind {
	OP_BRIDGE_CREATE, OP_TAP_CREATE, OP_LINK_SET, OP_LINK_DELETE,
	OP_ADDR_ADD, OP_ADDR_DEL, OP_ROUTE_ADD, OP_ROUTE_DEL, OP_SYSCTL,
	OP_FIREWALL, OP_ANNOUNCE, OP_NEIGH_ADD, OP_DNSMASQ, OP_CLIENT_STOP,
	OP_CLIENT_START, OP_CARRIER, OP_RATE, OP_LEASE, OP_SETTLE,
	OP_VETH_CREATE, OP_4ADDR, OP_ASK, OP_PROXY,
	OP_SCREEN,
};
#define OP_KIND_COUNT (OP_SCREEN + 1)

/* OP_DNSMASQ: start it, stop it, both, or have it read its reservations
 * again (SIGHUP). */
enum dns_action { DNS_START, DNS_STOP, DNS_RESTART, DNS_RELOAD };

/* What an operation means to those who use the network. */
enum op_class { CLASS_SET, CLASS_CREATE, CLASS_DELETE, CLASS_INTERRUPTS };
#define CLASS_COUNT (CLASS_INTERRUPTS + 1)
extern const char *const class_names[CLASS_COUNT];

/* Attributes of a link; `has` says which are meant. */
enum {
	LS_MAC = 1 << 0, LS_MTU = 1 << 1, LS_UP = 1 << 2,
	LS_MASTER = 1 << 3, LS_ALIAS = 1 << 4, LS_ISOLATED = 1 << 5,
	LS_FORWARD_DELAY = 1 << 6, LS_HELLO_TIME = 1 << 7,
	LS_MAX_AGE = 1 << 8, LS_AGEING_TIME = 1 << 9, LS_PRIORITY = 1 << 10,
	LS_STP = 1 << 11, LS_SNOOPING = 1 << 12, LS_GROUP_FWD = 1 << 13,
	LS_NOARP = 1 << 14, LS_ALLMULTI = 1 << 15,
};
#define LS_BRIDGE_BITS (LS_FORWARD_DELAY | LS_HELLO_TIME | LS_MAX_AGE | \
			LS_AGEING_TIME | LS_PRIORITY | LS_STP | LS_SNOOPING)

struct link_set {
	unsigned int has;
	struct mac mac;
	uint32_t mtu;
	bool up, isolated, noarp, allmulti;
	uint16_t group_fwd;	/* of a port */
	char master[IFNAMSIZ];	/* "" = none */
	char alias[64];
	struct kbridge br;
};

struct op_addr {
	struct cidr c;
	uint32_t valid, preferred;	/* s, KFOREVER */
	bool noprefix;			/* no route to its subnet */
	uint8_t *raw;			/* replay this instead, if not NULL */
	size_t raw_len;
};

struct op_route {
	struct cidr dst;
	struct ip gw, source;		/* family 0: none */
	uint32_t metric;
	uint32_t expires;
	bool replace;			/* what has the same prefix, metric */
	uint8_t *raw;
	size_t raw_len;
};

struct op {
	enum op_kind kind;
	enum op_class class;
	char *sentence;
	char *attr, *want, *have;	/* for status; may be NULL */
	char object[IFNAMSIZ];		/* the link it is about */
	char bridge[IFNAMSIZ];		/* the bridge it is for */
	unsigned int batch;		/* != 0: one send with its neighbours
					 * of the same number */
	struct link_set set;
	char peer[IFNAMSIZ];		/* OP_VETH_CREATE: the other end */
	struct ktun tun;
	unsigned long queues;
	struct list_of_names {		/* OP_LINK_DELETE */
		char (*v)[IFNAMSIZ];
		size_t n;
	} names;
	struct op_addr addr;
	struct op_route route;
	struct kneigh neigh;		/* OP_NEIGH_ADD; index unused */
	char *path, *value;		/* OP_SYSCTL; OP_ANNOUNCE: value is the
					 * uplink whose guests are meant too */
	char *backend, *text;		/* OP_FIREWALL; text "" = remove */
	char *delta;			/* OP_FIREWALL: does the same as text
					 * where nothing has drifted; NULL */
	enum dns_action dns;		/* OP_DNSMASQ */
	uint8_t *code;			/* OP_SCREEN: struct sock_filter[]; NULL
					 * = none */
	size_t code_len;
	char *argv;			/* OP_CLIENT_*: one argument a line */
	int pid;			/* OP_CLIENT_STOP */
	bool hold;			/* OP_CARRIER: take, or let go;
					 * OP_4ADDR, OP_PROXY: on or off */
	struct ip server, lease;	/* OP_LEASE: release it; OP_ASK: whom */
	uint64_t rate;			/* OP_RATE: bit/s, 0 = none */
	bool may_fail;			/* gone already is as good */
	struct op *undo;		/* first of a list, or NULL */
	struct op *next;		/* in an undo list */
	bool done;
};

struct plan {
	struct op **v;
	size_t n;
	unsigned int batches;
	struct plan *before;		/* run before this one, undone after
					 * it; borrowed, or NULL */
	char **refusals;		/* why it must not be run */
	size_t n_refusals;
	char **warnings;
	size_t n_warnings;
};

struct op *op_new(enum op_kind kind, const char *object);
void op_free(struct op *op);
void plan_free(struct plan *p);

/* Appends an operation with its sentence; the plan owns it. */
struct op *plan_add(struct plan *p, enum op_kind kind, enum op_class class,
		    const char *bridge, const char *object,
		    const char *fmt, ...) PRINTF(6, 7);
void plan_refuse(struct plan *p, const char *fmt, ...) PRINTF(2, 3);
void plan_warn(struct plan *p, const char *fmt, ...) PRINTF(2, 3);
/* Appends what undoes op (the last one added is undone first). */
void op_add_undo(struct op *op, struct op *undo);
/* What an attribute should be and is, for status. */
void op_drift(struct op *op, const char *attr, const char *want,
	      const char *have);
void op_copy_raw(uint8_t **dst, size_t *dst_len, const uint8_t *src,
		 size_t len);
/* The route an operation adds or removes: a dumped one, over its object. */
void op_set_route(struct op *op, const struct kroute *r, bool replace);
void op_add_name(struct op *op, const char *name);

#endif
