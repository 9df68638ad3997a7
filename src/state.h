/* What must outlive a run: how things were before netbr, kept as JSON in
 * /run/netbr/state.json. A missing or unreadable file never blocks. */
#ifndef NETBR_STATE_H
#define NETBR_STATE_H

#include "kstate.h"

struct raw {
	uint8_t *v;
	size_t len;
};

/* A port that existed before us, as it was. */
struct saved_port {
	char name[IFNAMSIZ];
	bool was_up;
	bool has_mac;
	struct mac mac;
	uint32_t mtu;
};

struct saved_bridge {
	char name[IFNAMSIZ];
	char uplink[IFNAMSIZ];	/* "" if none, or not known */
	bool uplink_up;
	struct raw *addrs, *routes;	/* of the uplink */
	size_t n_addrs, n_routes;
	struct saved_port *ports;
	size_t n_ports;
	char **added;		/* addresses (CIDR) and routes that we put
				 * on the bridge: "a CIDR", "r TEXT"; links
				 * about to be made: "n NAME" */
	size_t n_added;
	char *fw_backend, *fw_digest;	/* NULL: none loaded */
	uint64_t fw_hash;	/* of their text: it has a file of its own */
	char *fw_text;		/* NULL: not read; see state_rules() */
	uint64_t dns_conf, dns_hosts;	/* what our dnsmasq has read; 0: it
					 * was not started */
	char *client;		/* the DHCP client that the uplink had, one
				 * argument a line; NULL: none */
};

struct saved_sysctl {
	char *path, *old, *set;
	char **bridges;		/* who needs it */
	size_t n_bridges;
};

struct state {
	struct saved_bridge *bridges;
	size_t n_bridges;
	struct saved_sysctl *sysctls;
	size_t n_sysctls;
};

/* The kernel's id of this boot (proc(5), random/boot_id), "" if it does not
 * say; caller frees. */
char *state_boot_id(void);
/* Reads the file under root; anything wrong with it gives an empty state
 * and a warning, and so does one of another boot. */
void state_load(struct state *s, const char *root);
/* Writes it atomically (removes the file when empty), and rules that have no
 * file yet. 0 or -errno. */
int state_save(const struct state *s, const char *root);
/* The text of a bridge's rules, read when it is asked for; NULL if there are
 * none, or their file is gone or another one. */
const char *state_rules(struct saved_bridge *b, const char *root);
/* Removes files of rules that no bridge of the state has: those of before a
 * run that can't be undone any more. */
void state_tidy(const struct state *s, const char *root);
void state_free(struct state *s);
/* A deep copy, for going back. */
void state_copy(struct state *dst, const struct state *src);

struct saved_bridge *state_bridge(const struct state *s, const char *name);
struct saved_bridge *state_add_bridge(struct state *s, const char *name);
void state_drop_bridge(struct state *s, const char *name);
void saved_add_raw(struct raw **v, size_t *n, const uint8_t *p, size_t len);
void saved_add_note(struct saved_bridge *b, char kind, const char *text);
/* The same where it is known to be new: no look-up among the others. */
void saved_append_note(struct saved_bridge *b, char kind, const char *text);
/* Any of this kind? */
bool saved_has_kind(const struct saved_bridge *b, char kind);
bool saved_has_note(const struct saved_bridge *b, char kind,
		    const char *text);
void saved_clear_notes(struct saved_bridge *b);
void saved_set_firewall(struct saved_bridge *b, const char *backend,
			const char *text, const char *digest);
struct saved_port *saved_port(const struct saved_bridge *b,
			      const char *name);

bool state_has_sysctl(const struct state *s, const char *path);
/* A bridge no longer needs any sysctl; entries stay until dropped. */
void state_forget_users(struct state *s, const char *bridge);
void state_drop_sysctl(struct state *s, size_t i);

/* Remembers a sysctl's old value (the first time) and who needs it. */
void state_note_sysctl(struct state *s, const char *path, const char *old,
		       const char *set, const char *bridge);

#endif
