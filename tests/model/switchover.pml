/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch-over protocol with one sender X, one receiver Y, the host end between
 * them, one queue everywhere, and two classes whose routes change at any time.
 *
 * Grain: one step reads or writes one word that another party writes or reads.  Where
 * a guard below looks at several such words, what it asks for stays true once it is
 * true (until the asking party itself acts), so that asking at once hides nothing.
 *
 * X sends in bursts of up to BURST packets: slots are filled first, the producer
 * indexes are published at the end of the burst, in either order.  With BURST > 1, Y
 * publishes its consumer indexes once, at the end of its receive call.
 *
 * Asserted: per class, packets arrive in the order sent, none twice, none skipped; and
 * the system is never STUCK, a state in which no party that polls would find anything to
 * do although packets are missing.  As packets and route changes are finite, that is
 * the same as delivery of everything under fairness, at the price of a safety search.
 * -DLIVE checks the latter directly (weak fairness, so run with -a -f).
 *
 * -DRULE1=0: a receive call of the host end runs across an unanswered gate.
 * -DRULE2=0: X starts a gate without asking whether the previous one is passed.
 * -DRULE3=0: Y takes down entries without regard to stop.
 * -DRULE3_HARD: a down entry waits for stop even before an open gate (stuck).
 * -DFLUSH_LATE: the switch keeps a batch back until after its next receive call.
 * Further rules about the order of steps, each switched off to see that it counts:
 * -DORDER_Y1=0: Y reads stop before the down producer index.
 * -DORDER_Y2=0: Y reads gate_epoch before the link's producer index.
 * -DORDER_H=0:  the host end reads the gate before the up producer index.
 * -DORDER_X=0:  X publishes its up ring before it writes stop.
 */
#ifndef N
#define N 2             /* packets of each class */
#endif
#ifndef K
#define K 3             /* route changes */
#endif
#ifndef SLOTS
#define SLOTS 2         /* of each ring */
#endif
#ifndef BURST
#define BURST 1
#endif
#ifndef RULE1
#define RULE1 1
#endif
#ifndef RULE2
#define RULE2 1
#endif
#ifndef RULE3
#define RULE3 1
#endif
#ifndef ORDER_Y1
#define ORDER_Y1 1
#endif
#ifndef ORDER_Y2
#define ORDER_Y2 1
#endif
#ifndef ORDER_H
#define ORDER_H 1
#endif
#ifndef ORDER_X
#define ORDER_X 1
#endif

#define PACKET(c, n)    ((c) * 8 + (n))
#define CLASS(p)        ((p) / 8)
#define NUMBER(p)       ((p) % 8)
#define DONE            (arrived[0] == N && arrived[1] == N)

bit route[2];                                   /* rules: 1 = by the link */

byte up[SLOTS], up_prod, up_cons;               /* X to host end */
byte down[SLOTS], down_prod, down_cons;         /* host end to Y */
byte link[SLOTS], prod, cons;                   /* X to Y */

byte hold_from, gate, gate_epoch, stop;         /* written by X */
byte opening[1], open_epoch;                    /* written by the host end */
byte pass_epoch;                                /* written by Y */

byte arrived[2];                                /* ghosts: what Y's application got; */
byte filled;                                    /* X: packets of a burst so far */
bit x_over, direct[2];                          /* X: all sent; class is on the link */
byte host_at;                                   /* 0 between calls, 1 in one, 2 sending */

#define X_IDLE  (x_over || (filled == 0 && prod - cons == SLOTS && (direct[0] || direct[1])))
#define HOST_IDLE ((host_at == 0 && up_cons == up_prod && \
                    (open_epoch == gate_epoch || up_cons < gate)) || \
                   (host_at == 2 && down_prod - down_cons == SLOTS))
#define GATE_SHUT (open_epoch != gate_epoch || down_cons < opening[0])
#define Y_IDLE  ((cons == prod || (pass_epoch != gate_epoch && cons >= hold_from)) && \
                 (pass_epoch == gate_epoch || GATE_SHUT || (cons < prod && cons < hold_from)) && \
                 (down_cons == down_prod || (RULE3 && cons < stop && \
                  !FREE(gate_epoch, open_epoch, down_cons))))
#define STUCK   (X_IDLE && HOST_IDLE && Y_IDLE)

#ifdef RULE3_HARD
#define FREE(e, o, i)   false
#else
#define FREE(e, o, i)   (pass_epoch != e && (o != e || i < opening[0]))
#endif

inline hand_over(p)
{
    assert(NUMBER(p) == arrived[CLASS(p)]);
    arrived[CLASS(p)]++
}

/* What the control plane does to the routes, at any time. */
proctype Rules()
{
    byte k;
    do
    :: k < K -> atomic { k++; if :: route[0] = !route[0] :: route[1] = !route[1] fi }
    :: break
    od
}

proctype X()
{
    byte next[2], c, my_prod, my_up;
    bit want;

    do
    :: atomic { filled < BURST && (next[0] < N || next[1] < N) ->
        if :: next[0] < N -> c = 0 :: next[1] < N -> c = 1 fi;
        want = route[c] };
        if
        :: want && !direct[c] ->
            if
            :: atomic { (!RULE2 || (pass_epoch == gate_epoch && cons >= stop)) ->
                hold_from = my_prod };
                gate = my_up;
                atomic { gate_epoch++; direct[c] = 1 }
            :: else                             /* not yet: the switch, still */
            fi
        :: !want && direct[c] ->
#if ORDER_X
            atomic { stop = my_prod; direct[c] = 0 }
#else
            atomic { my_up - up_cons < SLOTS ->
                up[my_up % SLOTS] = PACKET(c, next[c]); my_up++; next[c]++; filled++;
                up_prod = my_up };
            atomic { stop = my_prod; direct[c] = 0 };
            goto sent
#endif
        :: else
        fi;
        if
        :: atomic { direct[c] && my_prod - cons < SLOTS ->
            link[my_prod % SLOTS] = PACKET(c, next[c]); my_prod++; next[c]++; filled++ }
        :: atomic { !direct[c] && my_up - up_cons < SLOTS ->
            up[my_up % SLOTS] = PACKET(c, next[c]); my_up++; next[c]++; filled++ }
        :: else                                 /* full: try again later */
        fi;
#if !ORDER_X
sent:
#endif
        atomic { c = 0; want = 0 }              /* forget: fewer states */
    :: filled > 0 ->
        if
        :: prod = my_prod; up_prod = my_up
        :: up_prod = my_up; prod = my_prod
        fi;
        filled = 0
    :: atomic { filled == 0 && next[0] == N && next[1] == N -> x_over = 1; break }
    od
}

proctype Host()
{
    byte limit, e, at, n, i, batch[2];

    do
    :: DONE -> break
    :: else ->
#if ORDER_H
        atomic { limit = up_prod; host_at = 1 }; e = gate_epoch; at = gate;
#else
        host_at = 1; e = gate_epoch; at = gate; limit = up_prod;
#endif
        if
        :: e != open_epoch && up_cons >= at ->
            opening[0] = down_prod; open_epoch = e
        :: RULE1 && e != open_epoch && up_cons < at && at < limit -> limit = at
        :: else
        fi;
#ifdef FLUSH_LATE
        i = 0;
        do
        :: atomic { i < n && down_prod - down_cons < SLOTS ->
            down[down_prod % SLOTS] = batch[i]; batch[i] = 0; down_prod++; i++ }
        :: atomic { i == n -> i = 0; break }
        od;
#endif
        atomic {
            n = 0;
            do
            :: n < 2 && up_cons < limit ->
                batch[n] = up[up_cons % SLOTS]; up[up_cons % SLOTS] = 0; up_cons++; n++
            :: else -> break
            od;
            limit = 0; e = 0; at = 0;
            host_at = (n > 0 -> 2 : 0)
        };
#ifndef FLUSH_LATE
        i = 0;
        do
        :: atomic { i < n && down_prod - down_cons < SLOTS ->
            down[down_prod % SLOTS] = batch[i]; batch[i] = 0; down_prod++; i++;
            if :: i == n -> i = 0; n = 0; host_at = 0 :: else fi }
        :: n == 0 -> break
        od
#endif
    od
}

proctype Y()
{
    byte snap, must, seen, e, o, my_cons, my_down;

    do
    :: DONE -> break
    :: atomic { !DONE -> assert(!STUCK) };
#if ORDER_Y1
        snap = down_prod; must = stop;
#else
        must = stop; snap = down_prod;
#endif
#if ORDER_Y2
        seen = prod; e = gate_epoch;
#else
        e = gate_epoch; seen = prod;
#endif
        /* The gate is tried whether or not a held packet is waiting behind it. */
        do
        :: atomic { my_cons < seen && (pass_epoch == e || my_cons < hold_from) ->
            hand_over(link[my_cons % SLOTS]); link[my_cons % SLOTS] = 0; my_cons++;
            if :: BURST == 1 -> cons = my_cons :: else fi }
        :: atomic { pass_epoch != e && (my_cons == seen || my_cons >= hold_from) &&
            open_epoch == e && my_down >= opening[0] -> pass_epoch = e }
        :: else -> break
        od;
        o = open_epoch;
        do
        :: atomic { my_down < snap &&
            (!RULE3 || my_cons >= must || FREE(e, o, my_down)) ->
            hand_over(down[my_down % SLOTS]); down[my_down % SLOTS] = 0; my_down++;
            if :: BURST == 1 -> down_cons = my_down :: else fi }
        :: atomic { else -> snap = 0; must = 0; seen = 0; e = 0; o = 0; break }
        od;
#if BURST > 1
        if
        :: cons != my_cons -> cons = my_cons
        :: else
        fi;
        if
        :: down_cons != my_down -> down_cons = my_down
        :: else
        fi
#endif
    od
}

init
{
    atomic { run Rules(); run X(); run Host(); run Y() };
    DONE
}

#ifdef LIVE
ltl all_arrive { <> (arrived[0] == N && arrived[1] == N) }
#endif
