/* What the configuration says, as plain structs. conf.c fills it, check.c
 * completes and judges it, everybody else only reads it.
 *
 * "Set in the file" is `at[KEY].line != 0`; after model_complete() fields
 * that were not set hold their default. All strings belong to the model. */
#ifndef NETBR_MODEL_H
#define NETBR_MODEL_H

#include "addr.h"
#include "diag.h"

/* One value with its place: a list is an array of these. */
struct item {
	struct src src;
	char *text;
	struct cidr cidr;	/* of address-like lists */
};

struct list {
	struct item *v;
	size_t n;
};

enum mode {
	MODE_AUTO, MODE_BRIDGED, MODE_ROUTED, MODE_ISOLATED,
	MODE_WDS, MODE_MACNAT, MODE_PROXYARP,
};
#define MODE_COUNT (MODE_PROXYARP + 1)
extern const char *const mode_names[MODE_COUNT];

enum firewall { FW_AUTO, FW_NFTABLES, FW_IPTABLES, FW_NONE };
#define FW_COUNT (FW_NONE + 1)
extern const char *const firewall_names[FW_COUNT];

enum mac_policy { MACP_STABLE, MACP_UPLINK, MACP_FIXED };
enum foreign { FOREIGN_KEEP, FOREIGN_REMOVE };
extern const char *const foreign_names[2];
enum dhcp_server { SERVER_OWN, SERVER_SYSTEM, SERVER_NONE };
extern const char *const server_names[3];
enum host_side { HOST_BRIDGE, HOST_UPLINK };
extern const char *const host_names[2];
enum nic { NIC_E1000, NIC_VIRTIO };
extern const char *const nic_names[2];
enum port_type { PORT_TAP, PORT_EXISTING };
extern const char *const port_type_names[2];

enum bridge_key {
	BK_MODE, BK_UPLINK, BK_PORTS, BK_ADDRESS, BK_GATEWAY, BK_ROUTES,
	BK_MAC, BK_MTU, BK_STP, BK_FORWARD_DELAY, BK_HELLO_TIME, BK_MAX_AGE,
	BK_AGEING_TIME, BK_PRIORITY, BK_NAT, BK_FILTER, BK_ISOLATE,
	BK_FOREIGN_PORTS, BK_HOST, BK_PROBE, BK_COEXIST,
};
#define BK_COUNT (BK_COEXIST + 1)

enum dhcp_key {
	DK_RANGE, DK_LEASE_TIME, DK_ROUTER, DK_DNS, DK_DOMAIN, DK_OPTIONS,
	DK_SERVER,
};
#define DK_COUNT (DK_SERVER + 1)

enum guest_key {
	GK_BRIDGE, GK_TAP, GK_MAC, GK_IP, GK_HOSTNAME, GK_OWNER, GK_GROUP,
	GK_QUEUES, GK_VNET_HDR, GK_MODEL, GK_FORWARD, GK_FILTER, GK_ISOLATE,
	GK_RATE_IN, GK_RATE_OUT,
};
#define GK_COUNT (GK_RATE_OUT + 1)

enum port_key {
	PK_TYPE, PK_BRIDGE, PK_MAC, PK_MTU, PK_OWNER, PK_GROUP, PK_QUEUES,
	PK_VNET_HDR,
};
#define PK_COUNT (PK_VNET_HDR + 1)

/* A pool of addresses for guests without a reservation. */
struct range {
	struct ip first, last;
	struct src src;
};

struct dhcp {
	bool present;
	struct src src;
	struct src at[DK_COUNT];
	struct list range;	/* pairs of addresses, as written */
	struct range *ranges;	/* by model_complete(); one per family */
	size_t n_ranges;
	char *lease_time;
	struct list router, dns, options;
	char *domain;
	enum dhcp_server server;
};

struct bridge {
	char name[IFNAMSIZ];
	struct src src;
	struct src at[BK_COUNT];
	enum mode mode;
	char *uplink;		/* NULL if none */
	struct list ports;	/* names, as written, without the uplink */
	struct list address;	/* CIDRs; "dhcp" sets the bit below instead */
	bool address_dhcp;
	struct list gateway;
	struct list routes;	/* text: "DEST via GW [metric N]" */
	enum mac_policy mac_policy;
	struct mac mac;		/* for MACP_FIXED */
	unsigned long mtu;	/* 0: the kernel's choice */
	bool stp;
	unsigned long forward_delay_cs, hello_time_cs, max_age_cs,
		ageing_time_cs, priority;
	bool nat, filter, isolate, probe;
	enum foreign foreign_ports;
	enum host_side host;
	struct list coexist;
	struct dhcp dhcp;
	/* By facts_read(), which looks at the uplink: */
	enum mode chosen;	/* what `auto` became; MODE_AUTO: not known */
	const char *why;	/* in a sentence; NULL if there is no choice */
	bool no_port;		/* the kernel refuses the uplink as a port */
	bool guests6;		/* a guest has an IPv6 ip; by model_check() */
	bool wireless, four;	/* the uplink is Wi-Fi; in 4-address mode */
};

/* [HOST:]PORT:GUESTPORT[/udp] [from NET]; families are 0 where not given. */
struct forward {
	struct src src;
	struct ip host;
	struct cidr from;
	unsigned int host_port, guest_port;
	bool udp;
};

/* A guest, or, with no tap, a reservation alone. */
struct guest {
	char *name;
	struct src src;
	struct src at[GK_COUNT];
	char *bridge_name;	/* NULL: the only one */
	struct bridge *bridge;
	bool reserved;		/* by dhcp-host: may be paired with a tap */
	char *tap;		/* NULL: the tap is somebody else's matter */
	bool has_mac;
	struct mac mac;
	struct list ip;
	char *hostname, *owner, *group;
	unsigned long queues;
	bool vnet_hdr;
	enum nic model;
	struct list forward;	/* as written */
	struct forward *forwards;	/* by model_check() */
	size_t n_forwards;
	bool filter, isolate;
	uint64_t rate_in, rate_out;	/* bit/s, 0 = unlimited */
};

/* A device on a bridge: a tap that we make or one that must exist. */
struct port {
	char *name;
	struct src src;
	struct src at[PK_COUNT];
	enum port_type type;
	char *bridge_name;
	struct bridge *bridge;	/* NULL: on none */
	struct guest *guest;	/* NULL: an interface without a guest */
	bool declared;		/* by an interface section */
	bool has_mac;
	struct mac mac;
	unsigned long mtu;
	char *owner, *group;
	unsigned long queues;
	bool vnet_hdr;
};

struct model {
	char *file;		/* the main file, as the user named it */
	enum firewall firewall;
	struct src firewall_at;
	struct list interfaces;
	struct bridge **bridges;
	size_t n_bridges;
	struct guest **guests;
	size_t n_guests;
	struct port **ports;
	size_t n_ports;
	struct strmap by_name;	/* "b:NAME", "g:NAME", "p:NAME" */
};

struct model *model_new(void);
void model_free(struct model *m);
struct bridge *model_add_bridge(struct model *m, const char *name,
				struct src src);
struct guest *model_add_guest(struct model *m, const char *name,
			      struct src src);
struct port *model_add_port(struct model *m, const char *name,
			    struct src src);
/* Look-ups by name; NULL if there is none. */
struct bridge *model_bridge(const struct model *m, const char *name);
struct guest *model_guest(const struct model *m, const char *name);
struct port *model_port(const struct model *m, const char *name);

/* "[HOST:]PORT:GUESTPORT[/tcp|/udp] [from NET]", docker's words and a
 * restriction; a v6 host is in brackets. False if it is none. */
bool forward_parse(const char *text, struct forward *out);

struct item *list_add(struct list *l, const char *text, struct src src);
void list_free(struct list *l);
bool list_has(const struct list *l, const char *text);

/* The bridge's first address of a family, NULL if it has none. */
const struct cidr *bridge_address(const struct bridge *b, int family);
/* The guest's first address of a family, NULL if it has none. */
const struct ip *guest_ip(const struct guest *g, int family);
/* Does anything of this bridge go through the host's routing? */
bool bridge_routes(const struct bridge *b);
/* And of this family? */
bool bridge_carries(const struct bridge *b, int family);
/* Its mode with `auto` resolved: by what is known of the uplink, else by what
 * the config alone can say (an uplink: bridged; an address: routed; neither:
 * isolated). */
enum mode bridge_mode(const struct bridge *b);
/* Is the bridge the host's own way to the LAN: do the uplink's addresses and
 * routes move to it? */
bool bridge_takes_over(const struct bridge *b);
/* Is the uplink a port of the bridge? */
bool bridge_enslaves(const struct bridge *b);
/* Does the uplink reach the bridge through a pair of veths and a table that
 * translates between them (macnat where the uplink can't be a port)? */
bool bridge_has_veth(const struct bridge *b);
/* Their names: the bridge's port, and its other end. */
void bridge_veth(const struct bridge *b, char port[IFNAMSIZ],
		 char outer[IFNAMSIZ]);
/* The MAC of a bridge with policy `stable`: made from its name and, so that
 * two hosts differ, from a seed (the machine's id). */
struct mac bridge_stable_mac(const struct bridge *b, const char *seed);
/* Its own IPv6 addresses: those that its MAC makes (RFC 4291, appendix A), link-
 * local and in each /64 of its bridge, and those declared. Caller frees v. */
struct list_of_ips {
	struct ip *v;
	size_t n;
};
struct list_of_ips guest_own6(const struct guest *g);
/* Is what the guest sends looked at? */
bool guest_filtered(const struct guest *g);
/* Is the port cut off from other isolated ports (IFLA_BRPORT_ISOLATED)? */
bool port_isolated(const struct port *p);
/* The tap's own (host-side) MAC where none is given: fe: + the guest's, as
 * a bridge never picks so high an address for itself. */
struct mac port_default_mac(const struct port *p);

/* conf.c: reads a file and, if a directory is given, its *.conf in name
 * order, into one model. All complaints go to diag; NULL when the file can't be used at
 * all. The caller asks diag_errors(). */
struct model *conf_load(const char *path, const char *dropins_dir);

/* check.c: fills in defaults, resolves names, then the cross-checks.
 * Returns the number of errors recorded so far. */
unsigned int model_check(struct model *m);

/* print.c: the model as a config that parses to the same model. */
void model_print(const struct model *m, struct buf *out);

#endif
