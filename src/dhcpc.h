/* The DHCP client that holds the lease of an uplink: who it is, ending it
 * without losing the lease, starting it again. */
#ifndef NETBR_DHCPC_H
#define NETBR_DHCPC_H

#include <stdbool.h>

/* Finds the dhcpcd, dhclient or udhcpc that serves an interface, in our own
 * network and mount namespace, if it is root's: a known program in a place of
 * root's (see dhcpc.c). Returns its pid, 0 if there is none, -1 if a dhcpcd for
 * all interfaces is there; *argv (caller frees) gets what starts it again,
 * one argument a line: only what an own table of options allows. */
int dhcpc_find(const char *ifname, char **argv);
/* Ends it and waits for its end. It gets SIGKILL: on every other signal one
 * of the three would give the lease back or take the address away.
 * 0 or -errno. */
int dhcpc_stop(const char *ifname, int pid);
/* Starts one, told once not to flush the interface first. 0 or -errno. */
int dhcpc_start(const char *ifname, const char *argv);

#endif
