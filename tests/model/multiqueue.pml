/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several queues: X has two transmit queues (an up ring, a link ring and a set of
 * gate words each), Y two receive queues, each with a thread of its own.  Receive
 * queue d owns down ring d and link ring d.  Flow q belongs to transmit queue q.
 *
 * The host end answers a gate with one opening per down ring; a gate is passed when
 * every down ring is consumed to its opening; a down entry asks all link rings.
 *
 * A receive call of Y collects at most RX entries and then hands them to the
 * application; only after that does it publish its consumer indexes.  In the code this
 * means: at the start of the next call on that queue, when the application is known to
 * have got what the last call returned.  X publishes its producer indexes once per
 * burst; hold_from, gate and stop come from its private ones.
 *
 * Which down ring the host end transmits to:
 *   default    chosen anew for each batch.  That alone reorders a flow that never
 *              leaves the switch, with or without us; so here two packets may change
 *              places if both came by the switch and by different down rings, and in
 *              no other case.
 *   -DSTEADY   chosen once per flow (a switch thread keeps its transmit queue, or
 *              queues are picked by a hash): flows must arrive in order, full stop.
 *
 * Also asserted: the system is never STUCK (see switchover.pml).
 *
 * Broken on purpose:
 *   -DRULE1=0 -DRULE2=0 -DRULE3=0  as in switchover.pml
 *   -DRULE3_OWN     a down entry asks only the link ring of its own receive queue
 *   -DPASS_OWN      a gate asks only the down ring of its own receive queue
 *   -DPUBLISH_EARLY consumer indexes are published before the hand-over
 *   -DSTOP_LATE     foreign stop words are read before the down producer index
 *
 * -DPOLLERS=2 polls each up ring by a thread of its own, and -DOTHERS=1 adds a thread
 * that puts one packet from elsewhere on each down ring.  -DSNAPSHOT=0 lets the openings
 * be read one by one: two gates then wait for each other for ever.  -DMIDWAY begins
 * where that is near: both queues of X have joined, sent one packet, and left again.
 */
#ifndef N0
#define N0 3            /* packets of flow 0 */
#endif
#ifndef N1
#define N1 1            /* packets of flow 1 */
#endif
#ifndef K
#define K 2             /* route changes */
#endif
#ifndef FIRST
#define FIRST 0         /* the route to begin with */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef BURST
#define BURST 2
#endif
#ifndef RX
#define RX 2
#endif
#ifndef POLLERS
#define POLLERS 1
#endif
#ifndef OTHERS
#define OTHERS 0
#endif
#ifndef SNAPSHOT
#define SNAPSHOT 1
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

#define AT(ring, index) ((ring) * SLOTS + (index) % SLOTS)
#define PACKET(q, n)    ((q) * 4 + (n))
#define FOREIGN         12                      /* a packet of nobody's flow */
#define BY_LINK         2                       /* else: number of the down ring */
#define DONE            (total == N0 + N1 + 2 * OTHERS)

bit route = FIRST;                              /* both queues of X share it */

byte up[2 * SLOTS], up_prod[2], up_cons[2];
byte down[2 * SLOTS], down_prod[2], down_cons[2];
byte link[2 * SLOTS], prod[2], cons[2];

byte hold_from[2], gate[2], gate_epoch[2], stop[2];     /* X, per link ring */
byte opening[4], open_epoch[2];                 /* host end: opening[link * 2 + down] */
byte pass_epoch[2];                             /* Y */

bit x_over[2], direct[2], y_busy[2];            /* as in switchover.pml */
byte filled[2], host_at[2], target[2], others;
byte total;                                     /* ghosts too */
byte got[2];                                    /* bit n: packet n has arrived */
byte on[4];                                     /* on[q * 2 + d], bit n: n went to down ring d */

#define X_IDLE(q) (x_over[q] || (filled[q] == 0 && direct[q] && prod[q] - cons[q] == SLOTS))
#define FULL(d)   (down_prod[d] - down_cons[d] == SLOTS)
#define NO_CALL(q) (up_cons[q] == up_prod[q] && \
                   (open_epoch[q] == gate_epoch[q] || up_cons[q] < gate[q]))
#if POLLERS == 1
#define HOST_IDLE ((host_at[0] == 0 && NO_CALL(0) && NO_CALL(1)) || \
                   (host_at[0] == 2 && FULL(target[0])))
#else
#define IDLE(q)   ((host_at[q] == 0 && NO_CALL(q)) || (host_at[q] == 2 && FULL(target[q])))
#define HOST_IDLE (IDLE(0) && IDLE(1))
#endif
#define HELD(q)   (pass_epoch[q] != gate_epoch[q] && cons[q] >= hold_from[q])
#define SHUT(q)   (open_epoch[q] != gate_epoch[q] || \
                   down_cons[0] < opening[(q) * 2] || down_cons[1] < opening[(q) * 2 + 1])
#define BLOCKS(q, d) (cons[q] < stop[q] && (pass_epoch[q] == gate_epoch[q] || \
                   (open_epoch[q] == gate_epoch[q] && down_cons[d] >= opening[(q) * 2 + d])))
#define Y_IDLE(d) (!y_busy[d] && (cons[d] == prod[d] || HELD(d)) && \
                   (pass_epoch[d] == gate_epoch[d] || SHUT(d)) && \
                   (down_cons[d] == down_prod[d] || BLOCKS(0, d) || BLOCKS(1, d)))
#define ELSE_IDLE (!OTHERS || others == 2 || FULL(others))
#define STUCK     (X_IDLE(0) && X_IDLE(1) && HOST_IDLE && ELSE_IDLE && Y_IDLE(0) && Y_IDLE(1))

/* Packet n of flow q comes out of the link or of down ring 'way'. */
inline hand_over(p, way)
{
    if
    :: p != FOREIGN ->
        assert(!(got[p / 4] & (1 << (p % 4))));
        got[p / 4] = got[p / 4] | (1 << (p % 4));
        /* those before it: all here, or on the other down ring */
        late = ((1 << (p % 4)) - 1) & ~got[p / 4];
#ifdef STEADY
        assert(late == 0);
#else
        if
        :: way == BY_LINK -> assert(late == 0)
        :: else -> assert((late & ~on[(p / 4) * 2 + 1 - way]) == 0)
        fi;
#endif
        late = 0
    :: else
    fi;
    total++
}

proctype Rules()
{
    byte k;
    do
    :: k < K -> atomic { k++; route = !route }
    :: break
    od
}

proctype X(byte q; byte many)
{
    byte next, my_prod, my_up;
    bit want;

    do
    :: atomic { filled[q] < BURST && next < many -> want = route };
        if
        :: want && !direct[q] ->
            if
            :: atomic { (!RULE2 || (pass_epoch[q] == gate_epoch[q] && cons[q] >= stop[q])) ->
                hold_from[q] = my_prod };
                gate[q] = my_up;
                atomic { gate_epoch[q]++; direct[q] = 1 }
            :: else
            fi
        :: !want && direct[q] -> atomic { stop[q] = my_prod; direct[q] = 0 }
        :: else
        fi;
        if
        :: atomic { direct[q] && my_prod - cons[q] < SLOTS ->
            link[AT(q, my_prod)] = PACKET(q, next); my_prod++; next++; filled[q]++; want = 0 }
        :: atomic { !direct[q] && my_up - up_cons[q] < SLOTS ->
            up[AT(q, my_up)] = PACKET(q, next); my_up++; next++; filled[q]++; want = 0 }
        :: atomic { else -> want = 0 }
        fi
    :: atomic { filled[q] > 0 && prod[q] == my_prod -> up_prod[q] = my_up; filled[q] = 0 }
    :: atomic { filled[q] > 0 && up_prod[q] == my_up -> prod[q] = my_prod; filled[q] = 0 }
    :: filled[q] > 0 && prod[q] != my_prod && up_prod[q] != my_up ->
        if
        :: prod[q] = my_prod; atomic { up_prod[q] = my_up; filled[q] = 0 }
        :: up_prod[q] = my_up; atomic { prod[q] = my_prod; filled[q] = 0 }
        fi
    :: atomic { filled[q] == 0 && next == many -> x_over[q] = 1; break }
    od
}

#if POLLERS == 1
#define ME 0
#else
#define ME q
#endif

proctype Host(byte q)
{
    byte limit, e, at, n, i, d, batch[2];

#ifdef STEADY
    bit way[2];
    atomic {
        if :: way[0] = 0 :: way[0] = 1 fi;
        if :: way[1] = 0 :: way[1] = 1 fi
    };
#endif
    do
    :: DONE -> break
    :: else ->
#if POLLERS == 1
        q = 1 - q;
#endif
#if defined(MIDWAY) && POLLERS == 2
        (!NO_CALL(q) || DONE);                  /* X is silent: an empty call is no step */
#endif
        atomic { limit = up_prod[q]; host_at[ME] = 1 }; e = gate_epoch[q]; at = gate[q];
        if
        :: e != open_epoch[q] && up_cons[q] >= at ->
#if SNAPSHOT
            atomic { opening[q * 2] = down_prod[0]; opening[q * 2 + 1] = down_prod[1] };
#else
            opening[q * 2] = down_prod[0]; opening[q * 2 + 1] = down_prod[1];
#endif
            open_epoch[q] = e
        :: RULE1 && e != open_epoch[q] && up_cons[q] < at && at < limit -> limit = at
        :: else
        fi;
        atomic {
            n = 0;
            do
            :: n < 2 && up_cons[q] < limit ->
                batch[n] = up[AT(q, up_cons[q])]; up[AT(q, up_cons[q])] = 0;
                up_cons[q]++; n++
            :: else -> break
            od;
            limit = 0; e = 0; at = 0; i = 0;
#ifdef STEADY
            if :: n > 0 -> d = way[q] :: else fi;
#else
            if :: n > 0 -> d = 0 :: n > 0 -> d = 1 :: else fi;
#endif
            target[ME] = d;
            host_at[ME] = (n > 0 -> 2 : 0)
        };
        do
        :: atomic { i < n && down_prod[d] - down_cons[d] < SLOTS ->
            down[AT(d, down_prod[d])] = batch[i]; down_prod[d]++;
#ifndef STEADY
            on[(batch[i] / 4) * 2 + d] = on[(batch[i] / 4) * 2 + d] | (1 << (batch[i] % 4));
#endif
            batch[i] = 0; i++;
            if :: i == n -> i = 0; n = 0; d = 0; host_at[ME] = 0; target[ME] = 0 :: else fi }
        :: n == 0 -> break
        od
    od
}

/* Another thread of the switch, with traffic from other ports for both of Y's queues. */
proctype Elsewhere()
{
    do
    :: atomic { others < 2 && !FULL(others) ->
        down[AT(others, down_prod[others])] = FOREIGN; down_prod[others]++; others++ }
    :: others == 2 -> break
    od
}

#define FREE(q)     (pass[q] != e[q] && (o[q] != e[q] || my_down < opening[(q) * 2 + d]))
#define OWN         (my_cons >= must[d] || FREE(d))
#define OTHER       (cons[1 - d] >= must[1 - d] || FREE(1 - d))

#if !RULE3
#define MAY_TAKE    true
#elif defined(RULE3_OWN)
#define MAY_TAKE    OWN
#else
#define MAY_TAKE    (OWN && OTHER)
#endif

#ifdef PASS_OWN
#define REACHED     (my_down >= opening[d * 2 + d])
#else
#define REACHED     (my_down >= opening[d * 2 + d] && down_cons[1 - d] >= opening[d * 2 + 1 - d])
#endif

proctype Y(byte d)
{
    byte snap, seen, my_cons, my_down, n, i, late;
    byte must[2], e[2], o[2], pass[2];
    byte held[RX], from[RX];

    do
    :: DONE -> break
    :: atomic { !DONE -> assert(!STUCK); y_busy[d] = 1 };
#ifdef STOP_LATE
        must[1 - d] = stop[1 - d]; snap = down_prod[d]; must[d] = stop[d];
#else
        snap = down_prod[d]; must[d] = stop[d]; must[1 - d] = stop[1 - d];
#endif
        seen = prod[d]; e[d] = gate_epoch[d];
        do
        :: atomic { n < RX && my_cons < seen &&
            (pass_epoch[d] == e[d] || my_cons < hold_from[d]) ->
            held[n] = link[AT(d, my_cons)]; from[n] = BY_LINK; n++; my_cons++ }
        :: atomic { pass_epoch[d] != e[d] && (my_cons == seen || my_cons >= hold_from[d]) &&
            open_epoch[d] == e[d] && REACHED -> pass_epoch[d] = e[d] }
        :: else -> break
        od;
        if
        :: my_down < snap && n < RX ->
            e[1 - d] = gate_epoch[1 - d];
            pass[1 - d] = pass_epoch[1 - d];
            o[1 - d] = open_epoch[1 - d];
            atomic { o[d] = open_epoch[d]; pass[d] = pass_epoch[d] };
            do
            :: atomic { n < RX && my_down < snap && MAY_TAKE ->
                held[n] = down[AT(d, my_down)]; from[n] = d; n++; my_down++ }
            :: else -> break
            od
        :: else
        fi;
        atomic { snap = 0; seen = 0; must[0] = 0; must[1] = 0; e[0] = 0; e[1] = 0;
            o[0] = 0; o[1] = 0; pass[0] = 0; pass[1] = 0;
            if :: n == 0 -> y_busy[d] = 0 :: else fi };
        if
        :: n > 0 ->
#ifdef PUBLISH_EARLY
            cons[d] = my_cons; down_cons[d] = my_down;
#endif
            atomic {                            /* a call returns all at once */
                do
                :: i < n -> hand_over(held[i], from[i]); held[i] = 0; from[i] = 0; i++
                :: else -> break
                od;
                i = 0; n = 0
            };
            cons[d] = my_cons;
            atomic { down_cons[d] = my_down; y_busy[d] = 0 }
        :: else
        fi
    od
}

init
{
    atomic {
#ifdef MIDWAY
        prod[0] = 1; gate_epoch[0] = 1; stop[0] = 1; x_over[0] = 1;
        prod[1] = 1; gate_epoch[1] = 1; stop[1] = 1; x_over[1] = 1;
        link[AT(0, 0)] = PACKET(0, 0); link[AT(1, 0)] = PACKET(1, 0);
#else
        run Rules(); run X(0, N0); run X(1, N1);
#endif
        run Host(0);
#if POLLERS == 2
        run Host(1);
#endif
#if OTHERS
        run Elsewhere();
#endif
        run Y(0); run Y(1)
    };
    DONE
}
