/* What breaks guests' networks on real hosts: each check looks for one pain,
 * and says its evidence and the remedy. Nothing is changed. */
#ifndef NETBR_DOCTOR_H
#define NETBR_DOCTOR_H

#include "session.h"

/* Runs every check and prints what was found. RC_OK or RC_DIFFERENT. */
int verb_doctor(struct session *s);

#endif
