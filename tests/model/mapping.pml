/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link region comes to two guest ends in virtual machines, and goes again, under the links
 * between them: docs/internals/hot-plug.md, isolated-ports.md; agent/far.c, shm/far.c,
 * shm/attach.c.  A guest end may die at any step, D times in all, and be there again.
 *
 * highwayd:   makes the region, plugs it into both machines, asks for it in the ledger;
 *             withdraws that at any time; when the host end has answered, takes the devices
 *             out, and is done when both machines have given theirs back.
 * Host end:   a new epoch in both attach slots, WANTED; when both have acknowledged that,
 *             USABLE, and links lead there; else, or when anything of that ends: routes are
 *             withdrawn, CLOSING, FREE, and the answer.  It waits for nobody for ever.
 * Guest end:  maps what is wanted in a new epoch, if the device is there, or says that it
 *             cannot; unmaps what is not wanted any more, or of another epoch, when none of
 *             its queues has a ring of it in its hands.
 * Sweep:      clears the acknowledgement of the dead, then lets the next one take the end.
 *
 * A process that dies has nothing mapped any more; its machine keeps the device.  A machine
 * gives a device back only when nobody there has it mapped: that is QEMU's and the guest's
 * kernel's doing.
 *
 * Asserted: links lead to a region only after both ends have mapped it, in this epoch; a queue
 * has a ring in its hands only while its end has the region mapped; the memory is never freed
 * while anybody has it mapped; and it always ends: with so many links and deaths all comes to
 * rest with every region freed, whatever each party did meanwhile.
 *
 * Broken on purpose:
 *   -DONE_ACK     one acknowledgement is enough
 *   -DOLD_EPOCH   an acknowledgement counts whatever its epoch
 *   -DFORCE       a device is taken for given back at once
 *   -DHOLDING     a guest end unmaps while a queue has a ring in its hands
 *   -DDEAF        a guest end unmaps only what it sees CLOSING (never ends)
 */
#ifndef D
#define D 1 /* deaths */
#endif
#ifndef LINKS
#define LINKS 2 /* link regions, one after the other, by the same slots */
#endif

mtype = {FREE, WANTED, MAPPED, USABLE, CLOSING, UNMAPPED};      /* attach slots */
mtype = {NONE, ASKED, WITHDRAWN, GONE};                         /* the ledger's entry */

mtype entry = NONE;                     /* highwayd; GONE: host end */
mtype want[2] = FREE, ack[2] = FREE;    /* each one word with its epoch */
byte want_epoch[2], ack_epoch[2];
bit attached[2];                        /* the guest end is somebody's */
bit route;                              /* links lead to the region */
bit plugged[2];                         /* the machine has the device */

bit mapped[2], holds[2];                /* of the end's present life */
byte map_epoch[2], seen_epoch[2];
bit dead[2];                            /* and not swept yet */
byte region;                            /* which one exists, 0: none */
byte has[2];                            /* ghost: which one is mapped */
byte had_epoch[2];                      /* ghost: the last epoch in which it was mapped */
byte deaths;
bit over;

#define UP(e)           (attached[e] && !dead[e])
#define IS_WANTED(e)    (want[e] == WANTED || want[e] == USABLE)
#ifdef OLD_EPOCH
#define SAYS(e, s)      (attached[e] && ack[e] == s)
#else
#define SAYS(e, s)      (attached[e] && ack[e] == s && ack_epoch[e] == want_epoch[e])
#endif
#ifdef ONE_ACK
#define BOTH            (SAYS(0, MAPPED) || SAYS(1, MAPPED))
#else
#define BOTH            (SAYS(0, MAPPED) && SAYS(1, MAPPED))
#endif
#ifdef HOLDING
#define MAY_UNMAP(e)    true
#else
#define MAY_UNMAP(e)    (!holds[e])
#endif
#ifdef DEAF
#define IS_OVER(e)      (want[e] == CLOSING)
#else
#define IS_OVER(e)      (!IS_WANTED(e) || map_epoch[e] != want_epoch[e])
#endif
#ifdef FORCE
#define GIVEN_BACK(e)   true
#else
#define GIVEN_BACK(e)   (!mapped[e])
#endif

inline say(e, state, epoch) {
	atomic { if :: UP(e) -> ack[e] = state; ack_epoch[e] = epoch :: else fi }
}

proctype highwayd()
{
	byte rounds;

	do
	:: rounds < LINKS ->
		rounds++;
		region = rounds;
		plugged[0] = 1;
		plugged[1] = 1;
		entry = ASKED;
		/* the proof is taken back at any time, or the host end has given up */
		atomic { if :: entry == ASKED -> entry = WITHDRAWN :: else fi };
		entry == GONE;
		atomic { GIVEN_BACK(0); plugged[0] = 0 };
		atomic { GIVEN_BACK(1); plugged[1] = 0 };
		atomic { assert(!mapped[0] && !mapped[1]); region = 0 };
		entry = NONE
	:: else -> break
	od;
	over = 1
}

proctype host()
{
	do
	:: atomic { entry == ASKED && attached[0] && attached[1] ->
			want_epoch[0]++; want[0] = WANTED };
		atomic { want_epoch[1]++; want[1] = WANTED };
		if
		:: BOTH ->
			want[0] = USABLE;
			want[1] = USABLE;
			atomic {
				assert(had_epoch[0] == want_epoch[0] && had_epoch[1] == want_epoch[1]);
				route = 1
			};
			/* until it is withdrawn, or an acknowledgement is gone */
			if
			:: entry == WITHDRAWN
			:: !SAYS(0, MAPPED)
			:: !SAYS(1, MAPPED)
			fi;
			route = 0;
			if
			:: !holds[0] && !holds[1]
			:: true         /* the deadline */
			fi
		:: SAYS(0, UNMAPPED)
		:: SAYS(1, UNMAPPED)
		:: entry == WITHDRAWN
		:: true                 /* the deadline; an end that is gone */
		fi;
		want[0] = CLOSING;
		want[1] = CLOSING;
		if
		:: (!attached[0] || SAYS(0, UNMAPPED)) && (!attached[1] || SAYS(1, UNMAPPED))
		:: true                 /* the deadline */
		fi;
		want[0] = FREE;
		want[1] = FREE;
		entry = GONE
	:: atomic { entry == WITHDRAWN -> entry = GONE } /* before it was begun */
	:: over -> break
	od
}

proctype guest(bit me)
{
	byte epoch;

	do
	:: !attached[me] && !over ->
		atomic { seen_epoch[me] = 0; attached[me] = 1 }
	:: atomic { UP(me) && mapped[me] && IS_OVER(me) && MAY_UNMAP(me) ->
			mapped[me] = 0; has[me] = 0; assert(!holds[me]) };
		say(me, UNMAPPED, map_epoch[me])
	:: atomic { UP(me) && !mapped[me] && want[me] == WANTED && seen_epoch[me] != want_epoch[me] ->
			epoch = want_epoch[me] };
		if
		:: atomic { UP(me) && plugged[me] ->
				mapped[me] = 1; has[me] = region; map_epoch[me] = epoch;
				had_epoch[me] = epoch; seen_epoch[me] = epoch };
			say(me, MAPPED, epoch)
		:: seen_epoch[me] = epoch;
			say(me, UNMAPPED, epoch) /* it cannot */
		fi
	:: atomic { UP(me) && !mapped[me] && want[me] == CLOSING && ack_epoch[me] != want_epoch[me] ->
			epoch = want_epoch[me] };
		seen_epoch[me] = epoch;
		say(me, UNMAPPED, epoch)
	:: atomic { UP(me) && mapped[me] && route && map_epoch[me] == want_epoch[me] && !holds[me] ->
			assert(has[me] == region); holds[me] = 1 }
	:: atomic { UP(me) && holds[me] && !route -> holds[me] = 0 }
	:: over && !mapped[me] -> break
	od
}

/* What it had mapped, and in its hands, goes with it. */
proctype death()
{
	do
	:: atomic { deaths < D && UP(0) ->
			deaths++; dead[0] = 1; mapped[0] = 0; has[0] = 0; holds[0] = 0 }
	:: atomic { deaths < D && UP(1) ->
			deaths++; dead[1] = 1; mapped[1] = 0; has[1] = 0; holds[1] = 0 }
	:: over -> break
	od
}

/* The acknowledgement first: the next one must not inherit it. */
proctype sweep()
{
	do
	:: dead[0] -> atomic { ack[0] = FREE; ack_epoch[0] = 0 }; atomic { dead[0] = 0; attached[0] = 0 }
	:: dead[1] -> atomic { ack[1] = FREE; ack_epoch[1] = 0 }; atomic { dead[1] = 0; attached[1] = 0 }
	:: over && !dead[0] && !dead[1] -> break
	od
}

init
{
	atomic {
		run highwayd();
		run host();
		run guest(0);
		run guest(1);
		run death();
		run sweep()
	};
	if
	:: _nr_pr == 1
	:: timeout -> assert(false) /* stuck: somebody waits for what never comes */
	fi;
	assert(region == 0 && !plugged[0] && !plugged[1] && !route)
}
