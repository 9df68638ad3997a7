/* How to tell QEMU about a guest's tap. */
#ifndef NETBR_QEMU_H
#define NETBR_QEMU_H

#include "model.h"

/* One line of "-netdev ... -device ..." for a guest with a tap and a MAC.
 * Returns false after an error message if it has none. */
bool qemu_arguments(const struct model *m, const struct guest *g,
		    struct buf *out);

#endif
