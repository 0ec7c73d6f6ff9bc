/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Metrics for Prometheus, as text over HTTP: off unless Open_vSwitch's
 * other_config:highway-metrics names a loopback address, 127.0.0.1:9404 or [::1]:9404, or a
 * socket, unix:/run/highway/metrics.  Served by the main loop; see highwayd(8) for the names.
 */
#ifndef HIGHWAY_AGENT_METRICS_H
#define HIGHWAY_AGENT_METRICS_H

#include <stdio.h>

void hwy_metrics_run(void);
void hwy_metrics_wait(void);
void hwy_metrics_exit(void);

/* Why highway-metrics is not served, in a sentence; NULL if it is, or nobody wants it. */
const char *hwy_metrics_trouble(void);

/* Writes all metrics. */
void hwy_metrics_write(FILE *out);

#endif /* HIGHWAY_AGENT_METRICS_H */
