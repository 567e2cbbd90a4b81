/* SPDX-License-Identifier: MIT */
/* An embedded broker in a process of its own, which lives as long as ours. */
#ifndef BROKER_H
#define BROKER_H

#include "injection.h"
#include "kafka_embedded.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char brokers[64];
static pid_t broker_pid;

static inline void broker_be(const char *const topics[], bool (*fill)(void), int answer)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct kafka_embedded *broker = kafka_embedded_new();
	MUST(broker);
	for (; *topics; topics++)
		MUST(kafka_embedded_add_topic(broker, *topics));
	snprintf(brokers, sizeof brokers, "%s", kafka_embedded_brokers(broker));
	MUST(fill());
	MUST(write(answer, brokers, sizeof brokers) == (ssize_t)sizeof brokers);
	for (;;)
		pause();
}

/* `topics` ends with NULL; `fill` is called in the process of the broker and fills them. */
static inline void broker_start(const char *const topics[], bool (*fill)(void))
{
	int answer[2];
	MUST(pipe(answer) == 0);
	broker_pid = fork();
	MUST(broker_pid >= 0);
	if (broker_pid == 0)
		broker_be(topics, fill, answer[1]);
	close(answer[1]);
	MUST(read(answer[0], brokers, sizeof brokers) == (ssize_t)sizeof brokers);
	close(answer[0]);
}

static inline void broker_stop(void)
{
	kill(broker_pid, SIGKILL);
	waitpid(broker_pid, NULL, 0);
}

#endif
