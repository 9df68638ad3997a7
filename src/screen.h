/* What ebtables can't see of a guest's frames (the insides of DHCP, neighbour
 * discovery, extension headers) a classic BPF program on its tap looks at,
 * before the bridge learns from them: tc-bpf(8), direct action. */
#ifndef NETBR_SCREEN_H
#define NETBR_SCREEN_H

#include <linux/filter.h>

#include "model.h"

/* The program for a filtered guest with a MAC, as struct sock_filter. Returns
 * the number of instructions in *out (caller frees); 0 if it would pass
 * BPF_MAXINSNS: more addresses of others than a program can hold. */
size_t screen_program(const struct model *m, const struct guest *g,
		      struct sock_filter **out);

#endif
