/* Small helpers every file may use: allocation that can't fail, ownership
 * marks, arrays. Nothing here knows about networks. */
#ifndef NETBR_UTIL_H
#define NETBR_UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Release at the end of the scope; hand-over is written steal(&p). */
#define _cleanup_free_ __attribute__((cleanup(util_freep)))
#define _cleanup_fd_ __attribute__((cleanup(util_closep)))
#define _cleanup_file_ __attribute__((cleanup(util_fclosep)))

void util_freep(void *pp);
void util_closep(int *fd);
void util_fclosep(FILE **f);

/* Returns *pp and sets it to NULL: the caller owns it now. */
#define steal(pp) ({ __typeof__(*(pp)) v_ = *(pp); *(pp) = NULL; v_; })

/* Memory. These end the process with a message when there is none left: the
 * guard of a running plan then rolls back, as after any other death. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);

/* Makes room for one more element of an array of n; doubles at powers of 2. */
#define ARRAY_GROW(p, n) \
	do { \
		if (((n) & ((n) - 1)) == 0) \
			(p) = xrealloc((p), (n) ? (n) * 2 : 1, sizeof(*(p))); \
	} while (0)

/* A hash of bytes (FNV-1a, 64 bits); h is 0 or that of what came before. */
uint64_t fnv64(uint64_t h, const void *data, size_t len);
/* A hash of much text: FNV-1a of 8 bytes at a time. */
uint64_t hash_text(const char *text, size_t len);

/* Bytes as two lower-case digits each; out has room for 2 * n + 1. Returns
 * out. */
char *hex_encode(const uint8_t *b, size_t n, char *out);
/* n bytes of such digits; false if one is none. */
bool hex_decode(const char *s, uint8_t *out, size_t n);

bool streq(const char *a, const char *b);
bool str_begins(const char *s, const char *prefix);

/* Copies s into dst of the given size, always terminated; s must fit
 * (callers have checked the length). Returns dst. */
char *str_put(char *dst, size_t size, const char *s);

/* The longest path that fits, prefix ROOT + path; owned by the caller. */
char *path_join(const char *root, const char *path);

/* The nearest of n words to `word` by edit distance, or NULL if none is
 * close enough to be meant. */
const char *str_nearest(const char *word, const char *const *words, size_t n);

/* A byte buffer that grows. Zero-initialise; buf_free() when done. */
struct buf {
	char *s;	/* always terminated once something was added */
	size_t len;
	size_t room;
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
	PRINTF(2, 0) __attribute__((nonnull(2)));
void buf_free(struct buf *b);
/* The text so far ("" when empty), still owned by the buffer. */
const char *buf_str(const struct buf *b);

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

/* A map from strings to pointers. Keys are copied, values are not owned. */
struct strmap {
	struct {
		char *key;
		void *value;
	} *v;
	size_t room, n;
};

void *strmap_get(const struct strmap *m, const char *key);
/* Puts a value where the key has none yet; returns the one it had (NULL if
 * this is the first). */
void *strmap_put(struct strmap *m, const char *key, void *value);
void strmap_free(struct strmap *m);

/* Reads a whole descriptor into b. Returns 0 or -errno (-EFBIG past max). */
int buf_read_fd(struct buf *b, int fd, size_t max);
/* Reads a whole file. Returns 0 or -errno. */
int buf_read_file(struct buf *b, const char *path, size_t max);
/* Puts text in place of a file in one step (rename(2)), by way of PATH.new;
 * mode 0600. The old file stays when it fails. 0 or -errno (-EISDIR: a
 * directory is in its place). */
int file_replace(const char *path, const char *text);

/* Milliseconds of a clock that only goes forward. */
long long now_ms(void);

#endif
