/* What both programs' command lines share. */
#ifndef NETBR_CLI_H
#define NETBR_CLI_H

#include "model.h"

/* Exit codes; design.md section 3. */
enum {
	RC_OK = 0, RC_FAILED = 1, RC_DIFFERENT = 3, RC_BROKEN = 4,
	RC_UNCONFIRMED = 5, RC_USAGE = 64, RC_LOCKED = 75, RC_CONFIG = 78,
};

#ifndef VERSION
#define VERSION "0.1"
#endif

struct cli {
	const char *config;	/* as given, or NULL */
	const char *root;	/* "" for the live machine */
	bool json, force;
	unsigned int wait_s, timeout_s;
	const char *format;
	const char *verb;
	char **args;		/* behind the verb */
	int n_args;
};

/* Reads the options; ends the process for -h, -V and mistakes. `extra`
 * names the long options this program has beside the common ones. */
void cli_parse(struct cli *c, int argc, char **argv, const char *usage,
	       const char *const *extra);

/* Loads and checks the config; prints complaints. NULL: exit RC_CONFIG. */
struct model *cli_load(const struct cli *c);

/* Takes the lock of root/run/netbr, waiting up to wait_s seconds. Returns
 * the descriptor that holds it, or -RC after a message. */
int cli_lock(const struct cli *c);
/* The same before the configuration is known to be good: makes no file, does
 * not wait, says nothing. The descriptor, or -1. */
int cli_lock_early(const struct cli *c);

#endif
