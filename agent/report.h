/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the operator asks, through unixctl: explain, ports, links, domains, bridges, events.
 * Each gives a table or sentences, or with --json one JSON object; see highwayd(8).
 */
#ifndef HIGHWAY_AGENT_REPORT_H
#define HIGHWAY_AGENT_REPORT_H

void hwy_report_init(void);

#endif /* HIGHWAY_AGENT_REPORT_H */
