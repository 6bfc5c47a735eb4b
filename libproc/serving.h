/* The life of a worker that is handed jobs, between its start and its stop. */
#ifndef LIBPROC_SERVING_H
#define LIBPROC_SERVING_H

#include "worker_state.h"

/* Returns the exit status. */
int serve_jobs(struct proc_worker *worker);

#endif
