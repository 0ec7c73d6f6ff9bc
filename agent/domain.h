/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains: the regions of the ports that the database names.  Attached to when the file is
 * there, left when it is not, when nobody else is in it, or when no port needs it any more;
 * told in every round of the main loop that highwayd lives.
 *
 * A region is memory of other processes, and its file may be cut short.  It is touched in
 * domain.c only, in functions that hwy_guarded() calls.
 */
#ifndef HIGHWAY_AGENT_DOMAIN_H
#define HIGHWAY_AGENT_DOMAIN_H

#include "model.h"
#include "snapshot.h"

/* A link as last seen. */
struct hwy_link_seen {
	uint32_t state; /* enum hwy_link_state */
	uint32_t src, dst;
	uint32_t opened;
};

struct hwy_domain {
	struct hmap_node node; /* in hwy_domains, by key */
	char *key;             /* name, or dir/name where devargs have a dir= */
	char *name;
	char *dir; /* dir= or NULL: the defaults */
	unsigned int users;
	struct hwy_region *region; /* NULL: not there (yet) */
	uint64_t generation;       /* of the ports in it: see hwy_domain_watch() */
	long long int next_try;    /* time_msec() */
	char *trouble;             /* why it cannot be attached to, or NULL */
	struct hwy_link_seen links[HWY_MAX_LINKS];
};

extern struct hmap hwy_domains;

/* The domain 'name' in folder 'dir' (NULL: the defaults), with one user more. */
struct hwy_domain *hwy_domain_ref(const char *name, const char *dir);
void hwy_domain_unref(struct hwy_domain *domain);

/* Is it that of one isolated port, and no domain by a name? */
bool hwy_domain_is_isolated(const struct hwy_domain *domain);

/* Beats; attaches to regions that are there now, leaves those that are not. */
void hwy_domains_run(void);
void hwy_domains_wait(void);
/* Leaves all regions; with 'keep', as one who will be back at once: what is proven and
 * permitted stays for as long as the host end waits for a beat. */
void hwy_domains_exit(bool keep);

/* Index of port 'name' in the region, HWY_SNAP_NONE if it is not there.  '*hint' is where
 * it was last time, and is brought up to date. */
uint32_t hwy_domain_port(struct hwy_domain *domain, const char *name, uint32_t *hint);

/* The agent's words for a port: what they are, and to set them. */
struct hwy_words {
	enum hwy_permit permit;
	uint32_t proof; /* port index or HWY_NO_PROOF */
};
bool hwy_domain_read(struct hwy_domain *domain, uint32_t port, struct hwy_words *words);
bool hwy_domain_write(struct hwy_domain *domain, uint32_t port, const struct hwy_words *words);

/* Does anybody hold the port's guest end? */
bool hwy_domain_has_guest(struct hwy_domain *domain, uint32_t port);
/* Who holds the port's guest end; false if nobody of a virtual machine does. */
bool hwy_domain_holder(struct hwy_domain *domain, uint32_t port, struct hwy_holder *holder);
/* Says of that client, and of none that may have followed it, what we know of its machine. */
void hwy_domain_say(struct hwy_domain *domain, const struct hwy_holder *holder, enum hwy_said what);

/*
 * Looks at the links and calls 'changed' for each that has opened or closed since the last
 * call: 'was' and 'is' are its states, 'since_ns' when that came about.  Returns true if
 * ports have come, gone or been made anew meanwhile: such a port has none of our words.
 */
typedef void hwy_link_changed(struct hwy_domain *domain, const char *src, const char *dst,
			      uint32_t was, uint32_t is, uint64_t since_ns);
bool hwy_domain_watch(struct hwy_domain *domain, hwy_link_changed *changed);

/* How far a link region is at one of its two ports. */
struct hwy_far_look {
	bool seen, mapped; /* by the guest end */
	bool open;         /* the link out of the port */
	uint64_t packets;  /* that it has carried */
};
void hwy_domain_far_look(struct hwy_domain *domain, uint32_t port, uint64_t id,
			 struct hwy_far_look *look);
/* Has the host end look at once what is wanted of it. */
void hwy_domain_ring(struct hwy_domain *domain);

/* A snapshot, or NULL if the region is not there.  To be freed with free(). */
struct hwy_snap *hwy_domain_look(const struct hwy_domain *domain);

#endif /* HIGHWAY_AGENT_DOMAIN_H */
