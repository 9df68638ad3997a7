/* The gatekeeper in front of libconfuse: reads a config file, refuses what
 * libconfuse 3.3 would misread, blanks comments so that its line numbers
 * are right, and lists what is set where. */
#ifndef NETBR_SCRUB_H
#define NETBR_SCRUB_H

#include "diag.h"
#include "model.h"

/* One `key = value` or one `section title {`, in file order. The strings
 * belong to the struct scrubbed. */
struct scan_item {
	struct src src;
	const char *section;	/* type of the section around it, "" at top
				 * level; one within one is "outer/inner" */
	const char *title;	/* of the (outer) section around it, or "" */
	const char *key;	/* the key, or the section's type */
	const char *name;	/* of a section: its title ("" if it has
				 * none); NULL of a key */
	bool append;		/* += */
	size_t beg, end;	/* its bytes, whole section included */
	size_t name_beg, name_end;	/* those of its title, with quotes */
};

struct scrubbed {
	const char *file;	/* name for messages; lives on in diag */
	char *text;		/* same length and lines as the file */
	size_t len;
	char *words;		/* the text again, a NUL behind each word */
	struct list inner;	/* "outer/inner" section names */
	struct scan_item *items;
	size_t n_items;
};

/* Reads and cleans one file. Complaints go to diag; returns false if the
 * file can't be used (then *out holds nothing). The file must be regular,
 * at most 16 MiB, owned by root or the caller, not writable by others. */
bool scrub_file(const char *path, struct scrubbed *out);

/* The same from memory, for tests and fuzzing. */
void scrub_text(const char *file, const char *text, size_t len,
		struct scrubbed *out);

/* Blanks the bytes of an item, or those of its title alone, keeping line
 * ends. */
void scrub_blank(struct scrubbed *s, const struct scan_item *it);
void scrub_blank_name(struct scrubbed *s, const struct scan_item *it);
void scrub_free(struct scrubbed *s);

#endif
