/* libproc: multi-process programs, easy to write and hard to get wrong. This header includes every part. */
#ifndef PROC_H
#define PROC_H

#define PROC_VERSION_MAJOR 0
#define PROC_VERSION_MINOR 1
#define PROC_VERSION_PATCH 0

#include <proc/counter.h>
#include <proc/daemon.h>
#include <proc/fifo.h>
#include <proc/key.h>
#include <proc/lock.h>
#include <proc/pool.h>
#include <proc/process.h>
#include <proc/queue.h>
#include <proc/sem.h>
#include <proc/shm.h>
#include <proc/table.h>
#include <proc/title.h>
#include <proc/waiter.h>

#endif
