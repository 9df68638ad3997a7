#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "diag.h"
#include "util.h"

#define AFTER_MS 1000
#define EVERY_MS 100

static struct {
	size_t total, done;
	long long began, last;
	bool wanted, shown;
} progress;

void progress_begin(size_t total)
{
	progress.total = total;
	progress.done = 0;
	progress.began = now_ms();
	progress.last = 0;
	progress.shown = false;
	/* OpenRC sets RC_SVCNAME for what its services run (openrc-run(8)) */
	progress.wanted = isatty(STDERR_FILENO) && !diag_quiet &&
			  !getenv("RC_SVCNAME");
}

void progress_add(size_t n)
{
	long long now;

	progress.done += n;
	if (!progress.wanted)
		return;
	now = now_ms();
	if (now - progress.began < AFTER_MS ||
	    now - progress.last < EVERY_MS)
		return;
	progress.last = now;
	progress.shown = true;
	fprintf(stderr, "\r%zu of %zu ", progress.done, progress.total);
}

void progress_end(void)
{
	if (progress.shown)
		fputs("\r\033[K", stderr);
	progress.wanted = progress.shown = false;
}
