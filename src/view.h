/* What templates may see, and the outputs they make. */
#ifndef NETBR_VIEW_H
#define NETBR_VIEW_H

#include "model.h"
#include "tmpl.h"

/* What the outputs need to know beyond the config. */
struct facts {
	char *seed;		/* the machine's id, for stable MACs */
	struct strmap macs;	/* uplink name -> its MAC as text */
	struct strmap services;	/* "net.X" that netifrc runs -> itself */
	struct list texts;	/* owns the strings above */
	bool names_bridges;	/* rules ask which bridge a frame is on */
	struct views *views;	/* made once for all outputs */
};

/* Reads the facts of the machine under root ("" or "/": the live one).
 * Returns 0, or -1 after a message if one can't be had: a MAC made without
 * the machine's id would be another. */
int facts_read(struct facts *f, const struct model *m, const char *root);
/* The same without the services, which only conf.d/net speaks of. */
int facts_read_few(struct facts *f, const struct model *m, const char *root);
void facts_free(struct facts *f);

enum output_id {
	OUT_CONFD, OUT_DNSMASQ, OUT_HOSTS, OUT_EBTABLES, OUT_IPTABLES,
	OUT_IP6TABLES, OUT_NFTABLES, OUT_SYSCTL, OUT_QEMU,
};
#define OUT_COUNT (OUT_QEMU + 1)

/* One kind of output. */
struct output {
	const char *name;	/* as `show` calls it */
	const char *tmpl;	/* of its template, without .tmpl */
	const char *path;	/* "%s" is the bridge; below root */
	const char *allowed;	/* in values, beside letters and digits */
	bool per_bridge;
	bool block;		/* a managed block in somebody's file */
};
extern const struct output outputs[OUT_COUNT];

/* The first line of everything we write; says whose it is. */
#define NETBR_HEADER "# Made by netbr-gen"

/* Does this config want that output (of that bridge)? */
bool output_wanted(const struct model *m, enum output_id id,
		   const struct bridge *b);
/* The path of an output, without root; owned by the caller. */
char *output_path(enum output_id id, const struct bridge *b);

/* Renders an output (b: for those per bridge). Templates come from
 * root/etc/netbr/templates or the installed directory. Returns 0, or -1
 * after an error message. */
int output_render(const struct model *m, const struct facts *f,
		  enum output_id id, const struct bridge *b, const char *root,
		  struct buf *out);

/* netifrc's shell variable for an interface name; owned by the caller. */
char *shell_var(const char *ifname);

/* The MAC that a bridge gets: the configured, the uplink's, or a stable
 * one. False if it is the uplink's and that is not known. */
bool bridge_mac(const struct bridge *b, const struct facts *f,
		struct mac *out);

/* The name of our firewall table and chains for a bridge, "netbr-br0". */
char *firewall_name(const struct bridge *b);

#endif
